//! One connection through the proxy.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::rules::{Action, Direction, Frame, Rules};
use super::watch::Unanswered;

/// Kafka's default `socket.request.max.bytes` is 100 MiB, and responses are not limited by it; more than this is no frame.
const MAX_FRAME: usize = 1 << 30;

/// Frames that may be on a long line at a time, each way; the sender of more waits.
const FRAMES: usize = 1_024;

/// All connections of a proxy.
#[derive(Debug)]
pub(super) struct Connections {
    refusing: AtomicBool,
    open: Arc<AtomicUsize>,
    /// How many there were so far.
    made: AtomicU64,
    /// Counts the calls of `cut_all`; each ends the connections made before it.
    cuts: watch::Sender<u64>,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            refusing: AtomicBool::new(false),
            open: Arc::default(),
            made: AtomicU64::new(0),
            cuts: watch::Sender::new(0),
        }
    }
}

impl Connections {
    /// Registers a new connection; None if none are accepted.
    pub(super) fn register(&self) -> Option<Cut> {
        if self.refusing.load(SeqCst) {
            return None;
        }
        self.open.fetch_add(1, SeqCst);
        let number = self.made.fetch_add(1, SeqCst);
        Some(Cut { number, cuts: self.cuts.subscribe(), open: self.open.clone() })
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
    /// Which connection this is.
    number: u64,
    cuts: watch::Receiver<u64>,
    open: Arc<AtomicUsize>,
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.open.fetch_sub(1, SeqCst);
    }
}

/// A request whose response has not come yet.
#[derive(Debug)]
struct Pending {
    api_key: i16,
    api_version: i16,
    /// Whether this is a repetition, whose response the client must not see.
    repetition: bool,
    /// Who counts it until its response has been passed on, or the connection has ended.
    watched: Vec<Unanswered>,
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
    let line = Line { broker: broker_id, connection: cut.number, rules: &rules };
    let (from_client, to_client) = client.into_split();
    let (from_broker, to_broker) = broker.into_split();
    let pending = PendingRequests::default();
    let requests = requests(from_client, to_broker, line, &pending);
    let responses = responses(from_broker, to_client, line, &pending);
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
    line: Line<'_>,
    pending: &PendingRequests,
) -> io::Result<End> {
    let (queue, mut queued) = mpsc::channel(FRAMES);
    let reading = async move {
        // A client that resets its connection has ended it like any other: what it sent is delivered first.
        while let Ok(Some(mut bytes)) = read_frame(&mut from).await {
            let header = bytes.first_chunk::<8>().copied().ok_or_else(|| invalid("a request without a header"))?;
            let [a, b, c, d, e, f, g, h] = header;
            let (api_key, api_version) = (i16::from_be_bytes([a, b]), i16::from_be_bytes([c, d]));
            let correlation_id = i32::from_be_bytes([e, f, g, h]);
            let direction = Direction::Request;
            let mut watched = line.watched(api_key, api_version, correlation_id, &bytes);
            let (copies, due) = match line.treat(api_key, api_version, correlation_id, direction, &mut bytes).await {
                Treated::Send { copies, due } => (copies, due),
                Treated::Cut => return Ok(End::Cut),
            };
            for copy in 0..copies {
                let watched = std::mem::take(&mut watched);
                pending.push(correlation_id, Pending { api_key, api_version, repetition: copy > 0, watched });
                // Nobody takes it where the broker is gone, which ends this connection anyway.
                let _ = queue.send((due, bytes.clone())).await;
            }
        }
        Ok(End::Closed)
    };
    let writing = async {
        while let Some((due, bytes)) = queued.recv().await {
            sleep_until(due).await;
            write_frame(&mut to, &bytes).await?;
        }
        to.shutdown().await
    };
    tokio::pin!(reading, writing);
    tokio::select! {
        end = &mut reading => {
            if matches!(end, Ok(End::Closed)) {
                writing.await?;
            }
            end
        }
        // It ends before the reading only where the broker takes no more.
        written = &mut writing => written.map(|()| End::Closed),
    }
}

async fn responses(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    line: Line<'_>,
    pending: &PendingRequests,
) -> io::Result<()> {
    let (queue, mut queued) = mpsc::channel(FRAMES);
    let reading = async move {
        let mut unanswered = Vec::new();
        while let Some(mut bytes) = read_frame(&mut from).await? {
            let correlation_id = bytes.first_chunk::<4>().map(|b| i32::from_be_bytes(*b));
            let correlation_id = correlation_id.ok_or_else(|| invalid("a response without a header"))?;
            let request = pending.pop(correlation_id).ok_or_else(|| invalid("a response nobody asked for"))?;
            let Pending { api_key, api_version, repetition, mut watched } = request;
            if repetition {
                continue;
            }
            let direction = Direction::Response;
            let (copies, due) = match line.treat(api_key, api_version, correlation_id, direction, &mut bytes).await {
                Treated::Send { copies, due } => (copies, due),
                Treated::Cut => return Ok(End::Cut),
            };
            for _ in 0..copies {
                let _ = queue.send((due, bytes.clone(), std::mem::take(&mut watched))).await;
            }
            // A response that is swallowed leaves its request unanswered for as long as the client waits for it.
            unanswered.extend(watched);
        }
        Ok::<_, io::Error>(End::Closed)
    };
    let writing = async {
        // A client that is gone must not end this: a request of its may be held, and is still to reach the broker.
        let mut client_is_there = true;
        while let Some((due, bytes, watched)) = queued.recv().await {
            sleep_until(due).await;
            client_is_there = client_is_there && write_frame(&mut to, &bytes).await.is_ok();
            drop(watched);
        }
    };
    tokio::pin!(reading, writing);
    tokio::select! {
        end = &mut reading => {
            // What came before the end is delivered, even if the broker reset its connection.
            if !matches!(end, Ok(End::Cut)) {
                writing.await;
            }
            end.map(|_| ())
        }
        () = &mut writing => Ok(()),
    }
}

/// One connection as the rules see it.
#[derive(Clone, Copy)]
struct Line<'a> {
    broker: u32,
    connection: u64,
    rules: &'a Rules,
}

/// What becomes of a frame.
enum Treated {
    /// It goes on as often as this, not before `due`.
    Send { copies: usize, due: Instant },
    /// The connection is to be closed.
    Cut,
}

impl Line<'_> {
    /// Lets those who watch for such a request count it.
    fn watched(self, api_key: i16, api_version: i16, correlation_id: i32, bytes: &[u8]) -> Vec<Unanswered> {
        let Self { broker, connection, rules } = self;
        let direction = Direction::Request;
        rules.watched(&Frame { api_key, api_version, correlation_id, direction, broker, connection, bytes })
    }

    /// Does to a frame what the rules say.
    async fn treat(
        self,
        api_key: i16,
        api_version: i16,
        correlation_id: i32,
        direction: Direction,
        bytes: &mut Vec<u8>,
    ) -> Treated {
        let Self { broker, connection, rules } = self;
        let rule = rules.judge(&Frame { api_key, api_version, correlation_id, direction, broker, connection, bytes });
        let (mut copies, mut after) = (1, Duration::ZERO);
        match rule.as_ref().map(|r| (r, r.action())) {
            None | Some((_, Action::Count)) => {}
            Some((rule, Action::Hold)) => rule.pass_gate().await,
            Some((_, Action::Delay(by))) => sleep(*by).await,
            Some((_, Action::Latency(by))) => after = *by,
            Some((_, Action::Mutate(change))) => change(bytes),
            Some((_, Action::Repeat)) => copies = 2,
            Some((_, Action::Drop)) => copies = 0,
            Some((_, Action::Cut)) => return Treated::Cut,
        }
        Treated::Send { copies, due: Instant::now() + after }
    }
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
