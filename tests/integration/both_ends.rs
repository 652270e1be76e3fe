//! What the two ends of a copy hold, as two kinds of consumers see it: librdkafka and Kafka's in Java.

use ::testkit::{
    Codec, Isolation, RecordView, TimestampKind, Tools,
    anyhow::{Result, bail, ensure},
    read_all, read_all_with, wait_until, watermarks,
};
use futures_util::future::try_join_all;
use kmirror::flow::Flow;

use crate::flow::DEADLINE;

/// Records of a topic by partition.
pub(crate) type Held = Vec<Vec<RecordView>>;

/// Where topics are read, and how.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) bootstrap: String,
    /// Whose Java consumer reads.
    pub(crate) tools: Tools,
    pub(crate) isolation: Isolation,
    /// Whether librdkafka can read it: formats 0 and 1 it can't.
    pub(crate) by_librdkafka: bool,
}

impl End {
    pub(crate) fn new(bootstrap: &str, tools: Tools) -> Self {
        let isolation = Isolation::ReadCommitted;
        Self { bootstrap: bootstrap.to_owned(), tools, isolation, by_librdkafka: true }
    }

    /// What topics hold; an error where the consumers disagree.
    pub(crate) async fn held(&self, topics: &[&str]) -> Result<Vec<Held>> {
        let by_java = self.tools.java_read_all(topics, self.isolation).await?;
        for (topic, by_java) in topics.iter().zip(&by_java).filter(|_| self.by_librdkafka) {
            let by_librdkafka = read_all_with(&self.bootstrap, topic, self.isolation).await?;
            require_equal(&format!("{topic} by Java and by librdkafka"), by_java, &by_librdkafka)?;
        }
        Ok(by_java)
    }
}

/// How records are copied: offsets are each cluster's own, and what a target's topic calls its times is its own as well.
pub(crate) fn content(held: &Held) -> Held {
    let kind = |timestamp| if timestamp == -1 { TimestampKind::None } else { TimestampKind::CreateTime };
    let of = |r: &RecordView| RecordView { offset: 0, timestamp_kind: kind(r.timestamp), ..r.clone() };
    held.iter().map(|records| records.iter().map(of).collect()).collect()
}

/// Does something for each codec and a partition of its own, at the same time: a producer needs a while to begin.
pub(crate) async fn each(codecs: &[Codec], act: impl AsyncFn(Codec, i32) -> Result<()>) -> Result<()> {
    try_join_all(codecs.iter().zip(0..).map(|(&codec, partition)| act(codec, partition))).await.map(|_| ())
}

/// Waits until each pair's second topic holds as many records as are `expected` of the first, requires them to be the same,
/// and both kinds of consumers to see them.
pub(crate) async fn arrive(expected: &[Held], topics: &[(String, String)], target: &End, flows: &[Flow]) -> Result<()> {
    let counts = |held: &Held| held.iter().map(|records| records.len() as i64).collect::<Vec<_>>();
    for ((from, to), expected) in topics.iter().zip(expected) {
        wait_until(&format!("the records of {from} in {to}"), DEADLINE, async || {
            let ends: Vec<_> = watermarks(&target.bootstrap, to).await?.iter().map(|end| end.high).collect();
            let status = || flows.iter().map(|flow| flow.status().borrow().clone()).collect::<Vec<_>>();
            ensure!(ends == counts(expected), "ends {ends:?} of {:?}; {:?}", counts(expected), status());
            Ok(())
        })
        .await?;
        let found = content(&read_all(&target.bootstrap, to).await?);
        require_equal(&format!("{from} and {to}"), &content(expected), &found)?;
    }
    let remote: Vec<_> = topics.iter().map(|(_, to)| to.as_str()).collect();
    target.held(&remote).await.map(|_| ())
}

/// Names the first record that differs.
pub(crate) fn require_equal(what: &str, a: &Held, b: &Held) -> Result<()> {
    ensure!(a.len() == b.len(), "{what}: {} and {} partitions", a.len(), b.len());
    for (partition, (a, b)) in a.iter().zip(b).enumerate() {
        if let Some((at, (a, b))) = a.iter().zip(b).enumerate().find(|(_, (a, b))| a != b) {
            bail!("{what}: record {at} of partition {partition}: {} and {}", brief(a), brief(b));
        }
        ensure!(a.len() == b.len(), "{what}: {} and {} records in partition {partition}", a.len(), b.len());
    }
    Ok(())
}

/// A record in an error: enough to tell it from others.
fn brief(record: &RecordView) -> String {
    let text = |bytes: &Option<Vec<u8>>| match bytes {
        None => "null".to_owned(),
        Some(bytes) => format!("{:?} ({} bytes)", String::from_utf8_lossy(&bytes[..bytes.len().min(40)]), bytes.len()),
    };
    let RecordView { offset, key, value, headers, timestamp, timestamp_kind } = record;
    let (first, all) = (&headers[..headers.len().min(4)], headers.len());
    let (key, value) = (text(key), text(value));
    format!("offset {offset}, {timestamp_kind:?} {timestamp}, key {key}, value {value}, {all} headers {first:?}")
}
