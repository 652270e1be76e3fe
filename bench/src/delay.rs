//! A network that takes its time: bytes go on unchanged, each a while after it came, and none waits for another.

use std::time::Duration;

use testkit::{anyhow::Result, proxy::Slot};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::Instant,
};

/// Pieces under way in one direction of a connection: more than what a fast one sends within the delay.
const UNDER_WAY: usize = 65_536;
const PIECE: usize = 64 * 1024;

/// The listeners before the brokers of a slot. They and their connections are gone after drop.
pub(crate) struct Delay {
    _tasks: JoinSet<()>,
}

impl Delay {
    /// Listens where the brokers of `slot` say they are. Each byte takes `by` in each direction.
    pub(crate) async fn open(slot: &Slot, by: Duration) -> Result<Self> {
        let mut tasks = JoinSet::new();
        for route in &slot.routes {
            let listener = TcpListener::bind(("127.0.0.1", route.listen)).await?;
            tasks.spawn(serve(listener, route.upstream, by));
        }
        Ok(Self { _tasks: tasks })
    }
}

/// `bootstrap.servers` of a slot.
pub(crate) fn bootstrap(slot: &Slot) -> String {
    let addresses: Vec<_> = slot.routes.iter().map(|route| format!("127.0.0.1:{}", route.listen)).collect();
    addresses.join(",")
}

async fn serve(listener: TcpListener, upstream: u16, by: Duration) {
    let mut pumps = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        // A client whose broker does not answer sees a closed connection.
        let Ok(broker) = TcpStream::connect(("127.0.0.1", upstream)).await else { continue };
        if client.set_nodelay(true).and_then(|()| broker.set_nodelay(true)).is_err() {
            continue;
        }
        let ((from_client, to_client), (from_broker, to_broker)) = (client.into_split(), broker.into_split());
        pumps.spawn(pump(from_client, to_broker, by));
        pumps.spawn(pump(from_broker, to_client, by));
    }
}

async fn pump(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, by: Duration) {
    let (pieces, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let read = async move {
        let mut buffer = vec![0; PIECE];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            if pieces.send((Instant::now() + by, buffer[..length].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((at, piece)) = due.recv().await {
            tokio::time::sleep_until(at).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        // The other side is to see the end too.
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}
