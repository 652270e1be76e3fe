//! One connection through the proxy.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use super::rules::{Action, Direction, Frame, Rules};

/// Kafka's default `socket.request.max.bytes` is 100 MiB, and responses are not limited by it; more than this is no frame.
const MAX_FRAME: usize = 1 << 30;

/// All connections of a proxy.
#[derive(Debug)]
pub(super) struct Connections {
    refusing: AtomicBool,
    open: Arc<AtomicUsize>,
    /// Counts the calls of `cut_all`; each ends the connections made before it.
    cuts: watch::Sender<u64>,
}

impl Default for Connections {
    fn default() -> Self {
        Self { refusing: AtomicBool::new(false), open: Arc::default(), cuts: watch::Sender::new(0) }
    }
}

impl Connections {
    /// Registers a new connection; None if none are accepted.
    pub(super) fn register(&self) -> Option<Cut> {
        if self.refusing.load(SeqCst) {
            return None;
        }
        self.open.fetch_add(1, SeqCst);
        Some(Cut { cuts: self.cuts.subscribe(), open: self.open.clone() })
    }

    pub(super) fn accept(&self, accept: bool) {
        self.refusing.store(!accept, SeqCst);
    }

    pub(super) fn cut_all(&self) {
        self.cuts.send_modify(|n| *n += 1);
    }

    pub(super) fn open(&self) -> usize {
        self.open.load(SeqCst)
    }
}

/// Tells a connection when it is cut, and the proxy when it has ended.
pub(super) struct Cut {
    cuts: watch::Receiver<u64>,
    open: Arc<AtomicUsize>,
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.open.fetch_sub(1, SeqCst);
    }
}

/// A request whose response has not come yet.
#[derive(Debug, Clone, Copy)]
struct Pending {
    api_key: i16,
    api_version: i16,
    /// Whether this is a repetition, whose response the client must not see.
    repetition: bool,
}

#[derive(Default)]
struct PendingRequests(Mutex<HashMap<i32, VecDeque<Pending>>>);

impl PendingRequests {
    fn push(&self, correlation_id: i32, pending: Pending) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(correlation_id).or_default().push_back(pending);
    }

    fn pop(&self, correlation_id: i32) -> Option<Pending> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = all.get_mut(&correlation_id)?;
        let pending = queue.pop_front();
        if queue.is_empty() {
            all.remove(&correlation_id);
        }
        pending
    }
}

enum End {
    /// This direction is done; the other may go on.
    Closed,
    /// A rule wants the connection closed.
    Cut,
}

/// Moves frames both ways until both sides are done or the connection is cut.
pub(super) async fn run(client: TcpStream, broker: TcpStream, broker_id: u32, rules: Arc<Rules>, mut cut: Cut) {
    let (from_client, to_client) = client.into_split();
    let (from_broker, to_broker) = broker.into_split();
    let pending = PendingRequests::default();
    let requests = requests(from_client, to_broker, broker_id, &rules, &pending);
    let responses = responses(from_broker, to_client, broker_id, &rules, &pending);
    let both = async {
        tokio::pin!(requests, responses);
        tokio::select! {
            end = &mut requests => if matches!(end, Ok(End::Closed)) {
                // The broker answers what it has got, sees the end, and closes.
                let _ = responses.await;
            },
            // The broker is gone: nothing can be delivered any more.
            _ = &mut responses => {}
        }
    };
    tokio::select! {
        () = both => {}
        // The error of a proxy that is gone is a cut as well.
        _ = cut.cuts.changed() => {}
    }
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    broker: u32,
    rules: &Rules,
    pending: &PendingRequests,
) -> io::Result<End> {
    // A client that resets its connection has ended it like any other: what it sent is delivered first.
    while let Ok(Some(mut bytes)) = read_frame(&mut from).await {
        let header = bytes.first_chunk::<8>().copied().ok_or_else(|| invalid("a request without a header"))?;
        let [a, b, c, d, e, f, g, h] = header;
        let (api_key, api_version) = (i16::from_be_bytes([a, b]), i16::from_be_bytes([c, d]));
        let correlation_id = i32::from_be_bytes([e, f, g, h]);
        let direction = Direction::Request;
        let frame = Frame { api_key, api_version, correlation_id, direction, broker, bytes: &bytes };
        let rule = rules.judge(&frame);
        let mut copies = 1;
        match rule.as_ref().map(|r| (r, r.action())) {
            None | Some((_, Action::Count)) => {}
            Some((rule, Action::Hold)) => rule.pass_gate().await,
            Some((_, Action::Delay(by))) => tokio::time::sleep(*by).await,
            Some((_, Action::Mutate(change))) => change(&mut bytes),
            Some((_, Action::Repeat)) => copies = 2,
            Some((_, Action::Drop)) => continue,
            Some((_, Action::Cut)) => return Ok(End::Cut),
        }
        for copy in 0..copies {
            pending.push(correlation_id, Pending { api_key, api_version, repetition: copy > 0 });
            write_frame(&mut to, &bytes).await?;
        }
    }
    to.shutdown().await?;
    Ok(End::Closed)
}

async fn responses(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    broker: u32,
    rules: &Rules,
    pending: &PendingRequests,
) -> io::Result<()> {
    // A client that is gone must not end this: a request of its may be held, and is still to reach the broker.
    let mut client_is_there = true;
    while let Some(mut bytes) = read_frame(&mut from).await? {
        let correlation_id = bytes.first_chunk::<4>().map(|b| i32::from_be_bytes(*b));
        let correlation_id = correlation_id.ok_or_else(|| invalid("a response without a header"))?;
        let request = pending.pop(correlation_id).ok_or_else(|| invalid("a response nobody asked for"))?;
        let Pending { api_key, api_version, repetition } = request;
        if repetition {
            continue;
        }
        let direction = Direction::Response;
        let frame = Frame { api_key, api_version, correlation_id, direction, broker, bytes: &bytes };
        let rule = rules.judge(&frame);
        let mut copies = 1;
        match rule.as_ref().map(|r| (r, r.action())) {
            None | Some((_, Action::Count)) => {}
            Some((rule, Action::Hold)) => rule.pass_gate().await,
            Some((_, Action::Delay(by))) => tokio::time::sleep(*by).await,
            Some((_, Action::Mutate(change))) => change(&mut bytes),
            Some((_, Action::Repeat)) => copies = 2,
            Some((_, Action::Drop)) => continue,
            Some((_, Action::Cut)) => return Ok(()),
        }
        for _ in 0..copies {
            client_is_there = client_is_there && write_frame(&mut to, &bytes).await.is_ok();
        }
    }
    Ok(())
}

/// Reads one frame without its length; None at the end of the stream.
async fn read_frame(from: &mut OwnedReadHalf) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = usize::try_from(i32::from_be_bytes(length)).ok().filter(|&n| n <= MAX_FRAME);
    let length = length.ok_or_else(|| invalid("not a frame of Kafka's protocol (TLS can't be proxied)"))?;
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).await?;
    Ok(Some(bytes))
}

async fn write_frame(to: &mut OwnedWriteHalf, bytes: &[u8]) -> io::Result<()> {
    let length = i32::try_from(bytes.len()).map_err(|_| invalid("a frame over 2 GiB"))?;
    // One write for small frames: two would be two packets, as Nagle's algorithm is off.
    if bytes.len() < 64 * 1024 {
        let mut whole = Vec::with_capacity(bytes.len() + 4);
        whole.extend_from_slice(&length.to_be_bytes());
        whole.extend_from_slice(bytes);
        return to.write_all(&whole).await;
    }
    to.write_all(&length.to_be_bytes()).await?;
    to.write_all(bytes).await
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
