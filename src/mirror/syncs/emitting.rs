//! Offset syncs written while records are copied.

use std::{fmt::Debug, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout, timeout_at},
};
use wire::{Backoff, Cluster, NewRecord, ResponseError, TopicPartition};

use super::{OffsetSync, OffsetSyncWriter, inbox::Inbox};
use crate::{
    flow::Landings,
    mirror::{Error, internal_topics::make_compacted, trouble::Troubles},
};

/// How long what is acknowledged gathers before it is looked at: syncs cost by this, not by the batches copied.
const GATHER: Duration = Duration::from_millis(100);
/// Between two attempts to write.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// What is done, for the log.
const WRITING: &str = "writing offset syncs";

/// Where offset syncs go.
pub(super) trait SyncsLog: Debug + Send + Sync {
    /// Its cluster.
    fn cluster(&self) -> &Cluster;
    /// Makes the topic if it is missing.
    fn prepare(&self) -> BoxFuture<'_, Result<(), Error>>;
    /// Appends with acks=all.
    fn append<'a>(&'a self, records: &'a [NewRecord]) -> BoxFuture<'a, wire::Result<()>>;
}

/// The topic on brokers.
#[derive(Debug)]
pub(in crate::mirror) struct SyncsTopic {
    /// Cluster that holds it, by connections of the producer of offset syncs.
    pub(in crate::mirror) cluster: Cluster,
    /// Its name.
    pub(in crate::mirror) name: String,
    /// To make it with; −1 for the brokers' default.
    pub(in crate::mirror) replication_factor: i16,
}

impl SyncsLog for SyncsTopic {
    fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    fn prepare(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(make_compacted(&self.cluster, &self.name, self.replication_factor))
    }

    fn append<'a>(&'a self, records: &'a [NewRecord]) -> BoxFuture<'a, wire::Result<()>> {
        Box::pin(async move {
            let partition = TopicPartition::new(self.name.as_str(), 0);
            self.cluster.append_records(&partition, records).await.map(|_| ())
        })
    }
}

/// Who asks that all be written, and waits for it.
type Flush = oneshot::Sender<()>;

/// Writes offset syncs of all that a connector copies, until it and all its [`SyncsFlush`] are dropped. The copy never waits for it.
#[derive(Debug)]
pub(in crate::mirror) struct Emitting {
    inbox: Arc<Inbox>,
    flushes: mpsc::Sender<Flush>,
    /// Aborts it when dropped.
    _task: JoinSet<()>,
}

impl Emitting {
    /// Makes the topic and waits for what is acknowledged. `offset_lag_max` is `offset.lag.max`, `commits` is how often offsets are committed:
    /// `offset.flush.interval.ms`.
    pub(in crate::mirror) fn start(
        connector: &str,
        topic: SyncsTopic,
        offset_lag_max: u64,
        commits: Duration,
    ) -> Arc<Self> {
        Self::on(connector, Arc::new(topic), offset_lag_max, commits)
    }

    fn on(connector: &str, log: Arc<dyn SyncsLog>, offset_lag_max: u64, commits: Duration) -> Arc<Self> {
        let inbox = Arc::<Inbox>::default();
        let (flushes, asked) = mpsc::channel(16);
        let emitter = Emitter {
            log,
            inbox: Arc::clone(&inbox),
            writer: OffsetSyncWriter::new(offset_lag_max),
            asked,
            waiting: Vec::new(),
            is_there: false,
            troubles: Troubles::new(connector),
        };
        let mut task = JoinSet::new();
        task.spawn(emitter.run(commits));
        Arc::new(Self { inbox, flushes, _task: task })
    }

    /// Where it is told what was acknowledged.
    pub(in crate::mirror) fn landings(&self) -> Arc<dyn Landings> {
        Arc::clone(&self.inbox) as Arc<dyn Landings>
    }

    /// For writing all that was acknowledged so far, also what could wait for the next commit of offsets.
    pub(in crate::mirror) fn flush(self: &Arc<Self>) -> SyncsFlush {
        SyncsFlush(Arc::clone(self))
    }
}

/// Has offset syncs written, also when the connector has gone.
#[derive(Debug, Clone)]
pub struct SyncsFlush(Arc<Emitting>);

impl SyncsFlush {
    /// Done when all that was acknowledged has its syncs, when they can't be written at present, or after `within`.
    pub async fn flush(self, within: Duration) {
        let (flushed, done) = oneshot::channel();
        let asked = async {
            if self.0.flushes.send(flushed).await.is_ok() {
                // Dropped where they can't be written.
                let _ = done.await;
            }
        };
        // What is not written by then makes the next life send more.
        let _ = timeout(within, asked).await;
    }
}

#[derive(Debug)]
struct Emitter {
    log: Arc<dyn SyncsLog>,
    inbox: Arc<Inbox>,
    writer: OffsetSyncWriter,
    asked: mpsc::Receiver<Flush>,
    /// Told when all is written.
    waiting: Vec<Flush>,
    /// The topic has been looked for, or made.
    is_there: bool,
    troubles: Troubles,
}

impl Emitter {
    async fn run(mut self, every: Duration) {
        // As with MirrorMaker, the topic is there before the first record.
        self.write(&[]).await;
        let mut commits = interval_at(Instant::now() + every, every);
        commits.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next_look = Instant::now();
        loop {
            let inbox = Arc::clone(&self.inbox);
            let news = async {
                sleep_until(next_look).await;
                inbox.news.notified().await;
            };
            let commits = tokio::select! {
                () = news => false,
                _ = commits.tick() => true,
                flush = self.asked.recv() => match flush {
                    Some(flush) => {
                        self.waiting.push(flush);
                        true
                    }
                    None => return,
                },
            };
            self.take_in(commits).await;
            for flush in self.waiting.drain(..) {
                // Who asked may have lost patience.
                let _ = flush.send(());
            }
            next_look = Instant::now() + GATHER;
        }
    }

    async fn take_in(&mut self, commits: bool) {
        let mut due = Vec::new();
        for (partition, stretches) in self.inbox.take() {
            for stretch in stretches {
                due.extend(self.writer.acknowledged(&partition, stretch));
            }
        }
        if commits {
            due.extend(self.writer.committed());
        }
        while !due.is_empty() {
            self.write(&due).await;
            due = self.writer.answered(due.len());
        }
    }

    /// Writes syncs, however long that takes: what comes meanwhile is joined in the inbox.
    async fn write(&mut self, syncs: &[OffsetSync]) {
        // Brokers refuse names of topics that are too long for a sync long before.
        let encoded = syncs.iter().filter_map(|sync| sync.encode().ok());
        let records: Vec<NewRecord> =
            encoded.map(|(key, value)| NewRecord { key: Some(key), value: Some(value), headers: Vec::new() }).collect();
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        while let Err(cause) = self.attempt(&records).await {
            self.troubles.failed(self.log.cluster(), WRITING, &cause.to_string());
            let again = Instant::now() + backoff.next_wait();
            // Nobody is to wait for what can't be done.
            self.waiting.clear();
            while let Ok(Some(flush)) = timeout_at(again, self.asked.recv()).await {
                drop(flush);
            }
            sleep_until(again).await;
        }
        self.troubles.worked(self.log.cluster(), WRITING);
    }

    async fn attempt(&mut self, records: &[NewRecord]) -> Result<(), Error> {
        if !self.is_there {
            self.log.prepare().await?;
            self.is_there = true;
        }
        if records.is_empty() {
            return Ok(());
        }
        let appended = self.log.append(records).await;
        let missing = ResponseError::UnknownTopicOrPartition;
        if appended.as_ref().err().and_then(wire::Error::response) == Some(missing) {
            self.is_there = false;
        }
        appended.map_err(Error::during(WRITING))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::sleep;
    use wire::ClusterConfig;

    use super::*;
    use crate::{flow::Stretch, records::decode_offset_sync};

    /// A topic in memory that can be told to fail.
    #[derive(Debug)]
    struct Memory {
        cluster: Cluster,
        state: Mutex<State>,
    }

    #[derive(Debug, Default)]
    struct State {
        prepared: usize,
        appended: Vec<NewRecord>,
        failure: Option<i16>,
        attempts: usize,
    }

    impl Memory {
        fn new() -> Arc<Self> {
            let cluster = Cluster::new(ClusterConfig::new("source", &[]));
            Arc::new(Self { cluster, state: Mutex::default() })
        }

        fn appended(&self) -> Vec<(String, i64, i64)> {
            let state = self.state.lock().unwrap();
            let decoded = state.appended.iter().map(|record| {
                let (key, value) = decode_offset_sync(record.key.as_deref(), record.value.as_deref()).unwrap();
                let value = value.unwrap();
                (format!("{}-{}", key.topic, key.partition), value.upstream_offset, value.downstream_offset)
            });
            decoded.collect()
        }

        fn fail_with(&self, failure: Option<i16>) {
            self.state.lock().unwrap().failure = failure;
        }
    }

    impl SyncsLog for Memory {
        fn cluster(&self) -> &Cluster {
            &self.cluster
        }

        fn prepare(&self) -> BoxFuture<'_, Result<(), Error>> {
            self.state.lock().unwrap().prepared += 1;
            Box::pin(async { Ok(()) })
        }

        fn append<'a>(&'a self, records: &'a [NewRecord]) -> BoxFuture<'a, wire::Result<()>> {
            Box::pin(async move {
                let mut state = self.state.lock().unwrap();
                state.attempts += 1;
                if let Some(code) = state.failure {
                    let (cluster, api, resource) = ("source".to_owned(), "Produce", "syncs-0".to_owned());
                    return Err(wire::Error::Broker { cluster, api, resource, code, message: None });
                }
                state.appended.extend_from_slice(records);
                Ok(())
            })
        }
    }

    fn partition(number: i32) -> TopicPartition {
        TopicPartition::new("t", number)
    }

    fn at(number: i32, source: i64, target: i64) -> (String, i64, i64) {
        (format!("t-{number}"), source, target)
    }

    const COMMITS: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn what_is_due_goes_out_soon_and_the_rest_with_a_commit() {
        let log = Memory::new();
        let emitting = Emitting::on("c", Arc::clone(&log) as Arc<dyn SyncsLog>, 100, COMMITS);
        let landings = emitting.landings();
        landings.landed(&partition(0), &[Stretch { source: 10, target: 5, records: 1 }]);
        sleep(Duration::from_secs(1)).await;
        assert_eq!((log.appended(), log.state.lock().unwrap().prepared), (vec![at(0, 10, 5)], 1));
        landings.landed(&partition(0), &[Stretch { source: 11, target: 6, records: 7 }]);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(log.appended().len(), 1, "not due");
        sleep(COMMITS).await;
        assert_eq!(log.appended()[1..], [at(0, 17, 12)]);
        landings.landed(&partition(0), &[Stretch { source: 18, target: 13, records: 1 }]);
        emitting.flush().flush(Duration::from_secs(5)).await;
        assert_eq!(log.appended()[2..], [at(0, 18, 13)], "a task that stops has all written");
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_not_be_written_is_written_later_and_nobody_waits_for_it() {
        const NOT_ENOUGH_REPLICAS: i16 = 19;
        let log = Memory::new();
        let emitting = Emitting::on("c", Arc::clone(&log) as Arc<dyn SyncsLog>, 0, COMMITS);
        log.fail_with(Some(NOT_ENOUGH_REPLICAS));
        let landings = emitting.landings();
        for nth in 0..100 {
            landings.landed(&partition(0), &[Stretch { source: 2 * nth, target: nth, records: 1 }]);
        }
        sleep(Duration::from_secs(600)).await;
        let attempts = log.state.lock().unwrap().attempts;
        assert!((10..60).contains(&attempts), "{attempts}");
        let before = Instant::now();
        emitting.flush().flush(COMMITS).await;
        assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
        landings.landed(&partition(0), &[Stretch { source: 300, target: 100, records: 1 }]);
        log.fail_with(None);
        sleep(LONGEST_PAUSE * 2).await;
        let appended = log.appended();
        assert_eq!(appended.last(), Some(&at(0, 300, 100)));
        let ascending = appended.windows(2).all(|pair| pair[0].1 < pair[1].1);
        assert!(ascending && appended.len() < 20, "{appended:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_topic_that_is_gone_is_made_again() {
        let log = Memory::new();
        let emitting = Emitting::on("c", Arc::clone(&log) as Arc<dyn SyncsLog>, 0, COMMITS);
        log.fail_with(Some(ResponseError::UnknownTopicOrPartition.code()));
        emitting.landings().landed(&partition(3), &[Stretch { source: 1, target: 1, records: 1 }]);
        sleep(Duration::from_millis(500)).await;
        log.fail_with(None);
        sleep(Duration::from_secs(10)).await;
        assert_eq!((log.appended(), log.state.lock().unwrap().prepared), (vec![at(3, 1, 1)], 2));
    }
}
