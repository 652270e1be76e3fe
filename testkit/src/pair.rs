//! The two clusters that tests share.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::sync::OnceCell;

use crate::cluster::Cluster;
use crate::environment::kafka_version;
use crate::java::Java;
use crate::proxy::{Proxy, Slot};
use crate::tools::Tools;
use crate::wait::wait_until;

/// How many proxies can stand before one shared cluster at a time.
const SLOTS: usize = 3;
/// A test that waits for another one's proxy waits this long.
const LEASE_DEADLINE: Duration = Duration::from_secs(180);

/// A shared source and a shared target. Tests leave the brokers alone and use names of their own.
#[derive(Debug)]
pub struct Pair {
    /// Where tests copy from.
    pub source: Shared,
    /// Where tests copy to.
    pub target: Shared,
    _own: Option<(Cluster, Cluster)>,
}

/// One cluster of the pair.
#[derive(Debug, Clone)]
pub struct Shared {
    /// `bootstrap.servers`.
    pub bootstrap: String,
    dir: Option<PathBuf>,
    slots: Vec<Slot>,
}

/// The pair of this run: the one whose addresses are in `KMIRROR_TEST_SOURCE` and `KMIRROR_TEST_TARGET` (where
/// `testkit-supervisor` puts them, or anyone with clusters at hand), else one of this process's own, a broker each.
pub async fn pair() -> Result<&'static Pair> {
    static PAIR: OnceCell<Pair> = OnceCell::const_new();
    PAIR.get_or_try_init(async || {
        match (Shared::from_env("KMIRROR_TEST_SOURCE")?, Shared::from_env("KMIRROR_TEST_TARGET")?) {
            (Some(source), Some(target)) => Ok(Pair { source, target, _own: None }),
            (None, None) => Pair::start(1).await,
            _ => bail!("set both KMIRROR_TEST_SOURCE and KMIRROR_TEST_TARGET, or neither"),
        }
    })
    .await
}

impl Pair {
    /// Starts a pair with this many brokers each.
    pub async fn start(brokers: u32) -> Result<Self> {
        let cluster = |name| Cluster::builder().name(name).brokers(brokers).proxy_slots(SLOTS).start();
        let (source, target) = tokio::try_join!(cluster("source"), cluster("target"))?;
        Ok(Self { source: Shared::of(&source), target: Shared::of(&target), _own: Some((source, target)) })
    }

    /// The environment variables that [`pair`] of another process reads.
    pub fn env(&self) -> Vec<(String, String)> {
        let mut env = self.source.env("KMIRROR_TEST_SOURCE");
        env.extend(self.target.env("KMIRROR_TEST_TARGET"));
        env
    }
}

impl Shared {
    fn of(cluster: &Cluster) -> Self {
        Self { bootstrap: cluster.bootstrap(), dir: Some(cluster.dir().to_owned()), slots: cluster.slots() }
    }

    fn from_env(key: &str) -> Result<Option<Self>> {
        let read = |key: &str| env::var(key).ok().filter(|value| !value.is_empty());
        let Some(bootstrap) = read(key) else { return Ok(None) };
        let slots = read(&format!("{key}_SLOTS")).unwrap_or_default();
        let slots = slots.split(';').filter(|slot| !slot.is_empty()).map(str::parse).collect::<Result<_>>()?;
        Ok(Some(Self { bootstrap, dir: read(&format!("{key}_DIR")).map(PathBuf::from), slots }))
    }

    fn env(&self, key: &str) -> Vec<(String, String)> {
        let slots = self.slots.iter().map(Slot::to_string).collect::<Vec<_>>().join(";");
        let dir = self.dir.as_ref().map(|dir| dir.display().to_string()).unwrap_or_default();
        vec![(key.to_owned(), self.bootstrap.clone()), (format!("{key}_SLOTS"), slots), (format!("{key}_DIR"), dir)]
    }

    /// A proxy of the caller's own before this cluster, until drop. Waits while other tests have all of them.
    pub async fn proxy(&self) -> Result<Proxy> {
        ensure!(
            !self.slots.is_empty(),
            "{} has no listeners for proxies: start it by testkit-supervisor",
            self.bootstrap
        );
        wait_until("a free proxy slot", LEASE_DEADLINE, async || {
            let mut seen = Vec::new();
            for slot in &self.slots {
                match Proxy::open(slot).await {
                    Ok(proxy) => return Ok(proxy),
                    Err(error) => seen.push(format!("{error:#}")),
                }
            }
            bail!("{}", seen.join("; "))
        })
        .await
    }

    /// The directory with a broker's segments of a partition. An error if the cluster was not started by the kit.
    pub fn partition_dir(&self, broker: u32, topic: &str, partition: i32) -> Result<PathBuf> {
        let dir = self.dir.as_ref().with_context(|| format!("the data of {} is out of reach", self.bootstrap))?;
        Ok(dir.join(format!("broker-{broker}")).join("data").join(format!("{topic}-{partition}")))
    }

    /// Kafka's tools (of [`kafka_version`]) on this cluster.
    pub async fn tools(&self) -> Result<Tools> {
        Ok(Tools::new(Java::new(&kafka_version()).await?, &self.bootstrap))
    }
}
