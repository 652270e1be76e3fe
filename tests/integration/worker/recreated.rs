//! Topics that are deleted and made again while nobody looks.

use ::testkit::{
    Codec,
    anyhow::{Result, ensure},
    create_topic, delete_topic, produce, read_all, unique, wait_until,
};

use super::{Copy, connector, records, remote};
use crate::{
    kmirror::{DEADLINE, Kmirror},
    shared::pair,
};

/// Longer than before, it would go on in the middle as if nothing had happened.
#[tokio::test]
async fn a_topic_made_again_while_the_worker_was_away_is_not_taken_for_the_old_one() -> Result<()> {
    let pair = pair().await?;
    let topic = unique("again");
    create_topic(&pair.source, &topic, 1, 1, &[]).await?;
    produce(&pair.source, &topic, 0, &records(0, 100), Codec::None).await?;
    let mut worker = Kmirror::on(&pair.target).start().await?;
    worker.put_connector("mirror", &connector(&pair.source, &pair.target, &topic, &[])).await?;
    let remote = remote(&topic);
    let copy = Copy { source: &pair.source, topic: &topic, target: &pair.target, remote: &remote };
    copy.wait_equal(&worker).await?;
    worker.stop().await?;

    delete_topic(&pair.source, &topic).await?;
    wait_until("the topic to be made again", DEADLINE, async || create_topic(&pair.source, &topic, 1, 1, &[]).await)
        .await?;
    produce(&pair.source, &topic, 0, &records(1_000, 300), Codec::None).await?;
    worker.restart().await?;
    worker.wait_task_failed("mirror", 0, &["was deleted and made again"]).await?;
    ensure!(copy.arrived().await == 100, "something was copied");

    // Whoever knows better says where to go on.
    for (method, path) in [("PUT", "stop"), ("DELETE", "offsets"), ("PUT", "resume")] {
        let answer = worker.request(method, &format!("/connectors/mirror/{path}"), None).await?;
        ensure!((200..300).contains(&answer.status), "{path}: {answer:?}");
    }
    copy.wait_more_than(&worker, 399).await?;
    let (new, target) = (read_all(&pair.source, &topic).await?, read_all(&pair.target, &remote).await?);
    let values =
        |records: &[::testkit::RecordView]| records.iter().map(|record| record.value.clone()).collect::<Vec<_>>();
    ensure!(values(&target[0][100..]) == values(&new[0]), "the new records are not those of the source");
    worker.wait_running("mirror", 1).await?;
    worker.stop().await
}
