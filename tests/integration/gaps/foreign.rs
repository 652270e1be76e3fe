//! Others that write to the target's topics: reported, counted, and no reason to stop.

use ::testkit::{
    OpenTransaction,
    anyhow::{Result, ensure},
    create_topic, read_all,
};
use kmirror::records::offset_map::MapRecord;
use serde_json::json;

use super::{FIRST, Scene, records};
use crate::{
    kmirror::{DEADLINE, Kmirror, list},
    shared::pair,
};

impl Scene {
    /// Waits until so many records of others have been reported of partition 0, and none of partition 1.
    async fn strangers(&self, records: u64) -> Result<()> {
        self.worker
            .until(&format!("{records} records of others"), DEADLINE, async || {
                let told = self.told().await?;
                let count = &told["counts"]["FOREIGN_WRITES"]["records"];
                ensure!(*count == records, "{told}");
                let sum: u64 = list(&told["events"]).iter().filter_map(|event| event["records"].as_u64()).sum();
                ensure!(sum == records, "{told}");
                Ok(())
            })
            .await?;
        let told = self.told().await?;
        for event in list(&told["events"]) {
            ensure!(event["kind"] == "FOREIGN_WRITES" && event["action"] == "reported", "{event}");
            ensure!(event["source"]["partition"] == 0 && event["offsets"]["of"] == "target", "{event}");
        }
        self.worker.wait_running(&self.name, 1).await.map(|_| ())
    }

    /// Waits until partition 0's anchor stands there. Who takes over counts again what others wrote behind it.
    async fn anchored(&self, source_offset: i64) -> Result<()> {
        self.worker
            .until(&format!("an anchor at {source_offset}"), DEADLINE, async || {
                let mut last = None;
                for record in read_all(&self.target, &self.map()).await?.iter().flatten() {
                    let record = MapRecord::decode(record.key.as_deref(), record.value.as_deref())?;
                    if let MapRecord::Anchor(link, value) = record
                        && (&link.source_topic, link.source_partition) == (&self.topic, 0)
                    {
                        last = value.map(|value| value.source_offset);
                    }
                }
                ensure!(last == Some(source_offset), "{last:?}");
                Ok(())
            })
            .await
    }
}

async fn beside_others(more: &[(&str, &str)]) -> Result<()> {
    let mut scene = Scene::copied(100, more).await?;
    scene.produce_to_target(0, "x", 0, 30).await?;
    scene.produce(0, FIRST, 100, 120).await?;
    scene.holds(0, &["0..100", "x0..30", "100..120"]).await?;
    let told = scene.tells("FOREIGN_WRITES", 0, json!({"records": 30, "action": "reported"})).await?;
    ensure!(told["offsets"] == json!({"of": "target", "from": 100, "to": 130}), "{told}");
    scene.strangers(30).await?;
    scene.produce_to_target(0, "x", 30, 35).await?;
    scene.produce(0, FIRST, 120, 130).await?;
    scene.strangers(35).await?;
    // One event, which has grown.
    let told = scene.tells("FOREIGN_WRITES", 0, json!({"records": 35})).await?;
    ensure!(told["offsets"] == json!({"of": "target", "from": 100, "to": 155}), "{told}");
    scene.kinds(&[("FOREIGN_WRITES", 1)]).await?;
    let both = ["0..100", "x0..30", "100..120", "x30..35", "120..130"];
    scene.holds(0, &both).await?;
    scene.other_goes_on(100).await?;
    scene.anchored(130).await?;

    // While nobody looks, in a worker that was killed and in one that was stopped.
    scene.worker.kill9()?;
    scene.produce_to_target(0, "y", 0, 7).await?;
    scene.produce(0, FIRST, 130, 140).await?;
    scene.worker.restart().await?;
    let both = [&both[..], &["y0..7", "130..140"]].concat().join(" ");
    scene.holds(0, &both.split(' ').collect::<Vec<_>>()).await?;
    scene.strangers(7).await?;
    scene.stop().await?;
    scene.produce_to_target(0, "z", 0, 3).await?;
    scene.resume().await?;
    scene.strangers(10).await?;
    scene.produce(0, FIRST, 140, 150).await?;
    scene.holds(0, &format!("{both} z0..3 140..150").split(' ').collect::<Vec<_>>()).await?;
    scene.strangers(10).await?;
    scene.end().await
}

#[tokio::test]
async fn what_others_write_is_counted() -> Result<()> {
    beside_others(&[]).await
}

/// Producers that move to the target one by one.
#[tokio::test]
async fn what_others_write_is_counted_under_the_same_name() -> Result<()> {
    beside_others(&[("replication.policy.class", "org.apache.kafka.connect.mirror.IdentityReplicationPolicy")]).await
}

/// What stands in the target's log before the copy begins is nobody's business.
#[tokio::test]
async fn what_was_there_before_the_copy_is_not_reported() -> Result<()> {
    let pair = pair().await?;
    let scene = Scene::prepared(&pair.source, &pair.target, Kmirror::on(&pair.target), &[]).await?;
    create_topic(&scene.source, &scene.topic, 2, 1, &[]).await?;
    create_topic(&scene.target, &scene.remote(), 2, 1, &[]).await?;
    scene.produce_to_target(0, "x", 0, 30).await?;
    scene.produce(0, FIRST, 0, 10).await?;
    scene.put(&[]).await?;
    scene.holds(0, &["x0..30", "0..10"]).await?;
    scene.other_goes_on(0).await?;
    scene.kinds(&[]).await?;
    scene.end().await
}

/// A transaction of others stands between, with its marker.
#[tokio::test]
async fn a_transaction_of_others_is_waited_for_by_nobody() -> Result<()> {
    let scene = Scene::copied(50, &[]).await?;
    let open = OpenTransaction::begin(&scene.target, &scene.remote(), 0, &records("t", 0, 4), DEADLINE).await?;
    scene.produce(0, FIRST, 50, 60).await?;
    scene.holds(0, &["0..50", "t0..4", "50..60"]).await?;
    scene.strangers(4).await?;
    open.end(true).await?;
    scene.produce(0, FIRST, 60, 70).await?;
    scene.holds(0, &["0..50", "t0..4", "50..70"]).await?;
    // The marker counts.
    scene.strangers(5).await?;
    scene.end().await
}
