//! The stream under a connection: requests written in order, answers read in order and handed to whoever waits.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf},
    sync::{mpsc, oneshot, watch},
};

use crate::{
    memory::{Buffer, Reservation},
    transport::Stream,
};

/// Small answers come whole with one system call; of a large one this much at most is copied once more.
const READ_AHEAD: usize = 8 * 1024;
/// Bytes of an answer's length and correlation id.
const PREFIX: usize = 8;

/// A request to be written.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) frame: Segments,
    pub(super) waiting: Waiting,
}

/// Who waits for an answer.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) correlation: i32,
    pub(super) reply: oneshot::Sender<io::Result<Bytes>>,
    pub(super) room: Option<Room>,
}

/// The reservation of an answer, shared by who waits and who reads: it goes back at once when the one who waits has gone, and is the
/// buffer's once the answer begins.
#[derive(Debug, Clone)]
pub(super) struct Room(Arc<Mutex<Option<Reservation>>>);

impl Room {
    pub(super) fn new(reservation: Reservation) -> Self {
        Self(Arc::new(Mutex::new(Some(reservation))))
    }

    fn take(&self) -> Option<Reservation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Gives the room back when the asker stops waiting, for whatever reason.
#[derive(Debug)]
pub(super) struct Vacate(pub(super) Option<Room>);

impl Drop for Vacate {
    fn drop(&mut self) {
        drop(self.0.as_ref().and_then(Room::take));
    }
}

/// Waiting answers, in the order their requests were written.
type Pending = Mutex<VecDeque<Waiting>>;

/// Serves one stream until it ends, and then fails whatever is still waiting.
pub(super) async fn run(
    stream: Box<dyn Stream>,
    requests: mpsc::Receiver<Outgoing>,
    mut closing: watch::Receiver<Option<String>>,
    max_response_bytes: usize,
) {
    let (reader, writer) = tokio::io::split(stream);
    let reader = BufReader::with_capacity(READ_AHEAD, reader);
    let pending = Pending::default();
    let end = tokio::select! {
        end = write_all(writer, requests, &pending) => end,
        end = read_all(reader, &pending, max_response_bytes) => end,
        said = closing.wait_for(Option::is_some) => {
            let cause = said.ok().and_then(|cause| cause.clone()).unwrap_or_else(|| "closed".to_owned());
            Err(io::Error::new(io::ErrorKind::ConnectionAborted, cause))
        }
    };
    let cause = match end {
        Ok(()) => io::Error::new(io::ErrorKind::ConnectionAborted, "closed"),
        Err(cause) => cause,
    };
    let waiting = std::mem::take(&mut *pending.lock().unwrap_or_else(PoisonError::into_inner));
    for waiting in waiting {
        // A caller that has gone does not need the bad news.
        let _ = waiting.reply.send(Err(io::Error::new(cause.kind(), cause.to_string())));
    }
}

async fn write_all(
    mut writer: WriteHalf<Box<dyn Stream>>,
    mut requests: mpsc::Receiver<Outgoing>,
    pending: &Pending,
) -> io::Result<()> {
    while let Some(first) = requests.recv().await {
        let mut frame = Segments::default();
        {
            // Before the bytes go out: the answer may be back before this task runs again.
            let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
            let mut next = Some(first);
            while let Some(out) = next {
                pending.push_back(out.waiting);
                frame.append(out.frame);
                next = requests.try_recv().ok();
            }
        }
        writer.write_all_buf(&mut frame).await?;
        writer.flush().await?;
    }
    Ok(())
}

type Reader = BufReader<ReadHalf<Box<dyn Stream>>>;

async fn read_all(mut reader: Reader, pending: &Pending, limit: usize) -> io::Result<()> {
    loop {
        let (size, correlation) = read_prefix(&mut reader, limit).await?;
        let next = pending.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(Waiting { correlation: expected, reply, room }) = next else {
            return Err(bad(format!("an answer to request {correlation}, which nobody asked")));
        };
        if expected != correlation {
            let text = format!("an answer to request {correlation} where {expected} was next");
            let _ = reply.send(Err(bad(text.clone())));
            return Err(bad(text));
        }
        if reply.is_closed() {
            // Nobody waits any more: a large answer would take room for nothing.
            skip(&mut reader, size - 4).await?;
            continue;
        }
        let read = match room.as_ref().and_then(Room::take) {
            Some(room) => read_lent(&mut reader, Buffer::new(room, size), size, correlation).await,
            None => read_plain(&mut reader, size, correlation).await,
        };
        match read {
            Ok(frame) => {
                let _ = reply.send(Ok(frame));
            }
            Err(cause) => {
                let _ = reply.send(Err(io::Error::new(cause.kind(), cause.to_string())));
                return Err(cause);
            }
        }
    }
}

/// Length of the rest, correlation id included, and that id.
async fn read_prefix(reader: &mut Reader, limit: usize) -> io::Result<(usize, i32)> {
    let mut prefix = [0; PREFIX];
    let mut have = 0;
    let mut size = None;
    while have < PREFIX {
        let read = reader.read(&mut prefix[have..]).await?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, "closed by the broker"));
        }
        have += read;
        if have >= 4 && size.is_none() {
            let length = i32::from_be_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]);
            size = Some(usize::try_from(length).ok().filter(|n| (4..=limit).contains(n)).ok_or_else(|| {
                let allowed = format!("(4 to {limit} are allowed); is this a Kafka listener without TLS?");
                bad(format!("a frame of {length} bytes {allowed}"))
            })?);
        }
    }
    Ok((size.unwrap_or(4), i32::from_be_bytes([prefix[4], prefix[5], prefix[6], prefix[7]])))
}

async fn read_lent(reader: &mut Reader, mut buffer: Buffer, size: usize, correlation: i32) -> io::Result<Bytes> {
    buffer.bytes.put_i32(correlation);
    fill(reader, &mut buffer.bytes, size - 4).await?;
    Ok(buffer.freeze())
}

async fn read_plain(reader: &mut Reader, size: usize, correlation: i32) -> io::Result<Bytes> {
    let mut frame = BytesMut::with_capacity(size);
    frame.put_i32(correlation);
    fill(reader, &mut frame, size - 4).await?;
    Ok(frame.freeze())
}

async fn fill(reader: &mut Reader, to: &mut impl BufMut, mut left: usize) -> io::Result<()> {
    while left > 0 {
        let mut body = (&mut *reader).take(left as u64);
        let read = body.read_buf(to).await?;
        if read == 0 {
            return Err(cut_off());
        }
        left -= read;
    }
    Ok(())
}

async fn skip(reader: &mut Reader, mut left: usize) -> io::Result<()> {
    while left > 0 {
        let there = reader.fill_buf().await?.len().min(left);
        if there == 0 {
            return Err(cut_off());
        }
        reader.consume(there);
        left -= there;
    }
    Ok(())
}

fn bad(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "closed by the broker within a response")
}

/// Frames in pieces, written with one system call where the stream allows it, so that payloads are never copied together.
#[derive(Debug, Default)]
pub(super) struct Segments {
    /// None of them empty.
    pieces: VecDeque<Bytes>,
    left: usize,
}

impl Segments {
    pub(super) fn new(pieces: Vec<Bytes>) -> Self {
        let mut pieces = VecDeque::from(pieces);
        pieces.retain(|piece| !piece.is_empty());
        let left = pieces.iter().map(Bytes::len).sum();
        Self { pieces, left }
    }

    fn append(&mut self, mut other: Self) {
        self.pieces.append(&mut other.pieces);
        self.left += other.left;
    }
}

impl Buf for Segments {
    fn remaining(&self) -> usize {
        self.left
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece.as_ref())
    }

    fn advance(&mut self, mut count: usize) {
        self.left = self.left.saturating_sub(count);
        while let Some(front) = self.pieces.front_mut() {
            if count < front.len() {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.pieces.pop_front();
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.pieces.iter().zip(slices.iter_mut()).map(|(piece, slot)| *slot = IoSlice::new(piece)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(of: &[&'static [u8]]) -> Segments {
        Segments::new(of.iter().map(|piece| Bytes::from_static(piece)).collect())
    }

    #[test]
    fn segments_are_one_run_of_bytes() {
        let mut all = pieces(&[b"ab", b"", b"cde"]);
        all.append(pieces(&[b"", b"f"]));
        assert_eq!((all.remaining(), all.chunk()), (6, b"ab".as_slice()));
        let mut slices = [IoSlice::new(b""); 2];
        assert_eq!(all.chunks_vectored(&mut slices), 2);
        assert_eq!((&*slices[0], &*slices[1]), (b"ab".as_slice(), b"cde".as_slice()));
        for (step, left, chunk) in
            [(0, 6, &b"ab"[..]), (1, 5, b"b"), (2, 3, b"de"), (2, 1, b"f"), (1, 0, b""), (0, 0, b"")]
        {
            all.advance(step);
            assert_eq!((all.remaining(), all.chunk()), (left, chunk));
        }
    }

    #[test]
    fn hundreds_of_segments_go_out_at_once() {
        let all = Segments::new((0..300).map(|_| Bytes::from_static(b"x")).collect());
        let mut slices = [IoSlice::new(b""); 256];
        assert_eq!(all.chunks_vectored(&mut slices), 256);
    }
}
