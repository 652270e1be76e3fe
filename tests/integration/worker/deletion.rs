//! `kmirror.topic.deletion`: what was made for a topic goes with it, and nothing else does.

use ::testkit::{Codec, anyhow::Result, anyhow::ensure, create_topic, delete_topic, produce, unique};

use super::{Copy, connector, holds_for, records, remote};
use crate::{
    kmirror::{DEADLINE, Kmirror},
    shared::pair,
};

#[tokio::test]
async fn topics_that_were_made_go_with_their_sources_and_no_others() -> Result<()> {
    let pair = pair().await?;
    let prefix = unique("deleted");
    let name = |what: &str| format!("{prefix}-{what}");
    let (made, before, stays) = (name("made"), name("before"), name("stays"));
    for topic in [&made, &before, &stays] {
        create_topic(&pair.source, topic, 2, 1, &[]).await?;
        produce(&pair.source, topic, 1, &records(0, 100), Codec::Lz4).await?;
    }
    // Somebody else made that one.
    create_topic(&pair.target, &remote(&before), 2, 1, &[]).await?;
    let mut worker = Kmirror::on(&pair.target).start().await?;
    let more = [("kmirror.topic.deletion", "500"), ("refresh.topics.interval.seconds", "1")];
    let topics = format!("{prefix}.*");
    worker.put_connector("deleting", &connector(&pair.source, &pair.target, &topics, &more)).await?;
    let equal = async |topic: &str, worker: &Kmirror| {
        Copy { source: &pair.source, topic, target: &pair.target, remote: &remote(topic) }.wait_equal(worker).await
    };
    for topic in [&made, &before, &stays] {
        equal(topic, &worker).await?;
    }
    // What was made in an earlier life is known.
    worker.stop().await?;
    worker.restart().await?;
    worker.wait_running("deleting", 1).await?;
    for topic in [&made, &before] {
        delete_topic(&pair.source, topic).await?;
    }
    let positions = async |topic: &str, worker: &Kmirror| {
        let told = worker.get("/connectors/deleting/offsets").await?.ok()?;
        Ok::<_, ::testkit::anyhow::Error>(told.to_string().contains(&format!("\"{topic}\"")))
    };
    let is_there = async |topic: &str| ::testkit::watermarks(&pair.target, &remote(topic)).await.is_ok();
    worker
        .until("the topic and its positions to be gone", DEADLINE, async || {
            ensure!(!is_there(&made).await, "it is there");
            ensure!(!positions(&made, &worker).await?, "its positions are there");
            Ok(())
        })
        .await?;
    ensure!(worker.log_text().contains(&format!("deleted {}: {made} has been gone", remote(&made))), "not told");
    holds_for(std::time::Duration::from_secs(3), async || {
        ensure!(is_there(&before).await && is_there(&stays).await, "another topic was deleted");
        Ok(())
    })
    .await?;
    equal(&stays, &worker).await?;

    // One of the same name is copied from its start.
    create_topic(&pair.source, &made, 2, 1, &[]).await?;
    produce(&pair.source, &made, 0, &records(500, 50), Codec::Lz4).await?;
    equal(&made, &worker).await
}
