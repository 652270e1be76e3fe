//! Pause, stop and resume, and positions that are altered from outside.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::worker::GivenOffset;

fn given(topic: &str, partition: i32, offset: Option<i64>) -> GivenOffset {
    let map = |value: Value| value.as_object().cloned();
    GivenOffset {
        partition: map(json!({"topic": topic, "partition": partition, "cluster": "A"})),
        offset: offset.and_then(|offset| map(json!({ "offset": offset }))),
    }
}

/// What is stored, such as `t-0: 5`.
async fn stored(herder: &Herder) -> Vec<String> {
    let offsets = herder.offsets("c").await.unwrap().into_iter();
    let text = |(p, offset): (Value, Value)| format!("{}-{}: {}", p["topic"], p["partition"], offset["offset"]);
    offsets.map(|pair| text(pair).replace('"', "")).collect()
}

/// A connector that runs one task for `t-0`, whose target has acknowledged up to `offset`.
async fn running(clusters: &Arc<Clusters>, offset: i64) -> Arc<Herder> {
    let herder = clusters.herder().await;
    create(&herder, &[]).await;
    until_states(&herder, "RUNNING [RUNNING]").await;
    clusters.acknowledge(&tp("t", 0), offset);
    herder
}

#[tokio::test]
async fn pause_stop_and_resume_as_often_as_one_likes() {
    let clusters = Clusters::new(&[tp("t", 0)]);
    let herder = running(&clusters, 5).await;
    for _ in 0..2 {
        herder.set_target("c", TargetState::Paused).await.unwrap();
        until_states(&herder, "PAUSED [PAUSED]").await;
    }
    assert_eq!((clusters.running().len(), herder.tasks("c").unwrap().len()), (0, 1));
    assert_eq!(clusters.records("offsets"), [offset_record("t", 0, 5)]);
    herder.set_target("c", TargetState::Started).await.unwrap();
    until_states(&herder, "RUNNING [RUNNING]").await;
    assert_eq!(clusters.task(&[tp("t", 0)]).unwrap().from, [(tp("t", 0), 5)].into());
    clusters.acknowledge(&tp("t", 0), 7);
    for _ in 0..2 {
        herder.set_target("c", TargetState::Stopped).await.unwrap();
        until_states(&herder, "STOPPED []").await;
    }
    assert_eq!((clusters.running().len(), herder.tasks("c").unwrap().len()), (0, 0));
    assert_eq!(clusters.records("offsets").last(), Some(&offset_record("t", 0, 7)));
    let last = clusters.records("configs").split_off(clusters.records("configs").len() - 2);
    let stopped = Some(r#"{"state":"PAUSED","state.v2":"STOPPED"}"#.to_owned());
    let none = Some(r#"{"tasks":0}"#.to_owned());
    assert_eq!(last, [("target-state-c".to_owned(), stopped), ("commit-c".to_owned(), none)]);
    herder.set_target("c", TargetState::Paused).await.unwrap();
    until_states(&herder, "PAUSED []").await;
    herder.set_target("c", TargetState::Stopped).await.unwrap();
    until_states(&herder, "STOPPED []").await;
    herder.set_target("c", TargetState::Started).await.unwrap();
    until_states(&herder, "RUNNING [RUNNING]").await;
    assert_eq!(clusters.task(&[tp("t", 0)]).unwrap().from, [(tp("t", 0), 7)].into());
    let unknown = herder.set_target("d", TargetState::Paused).await.unwrap_err();
    assert_eq!(unknown.to_string(), "Unknown connector d");
}

#[tokio::test]
async fn positions_are_altered_only_where_all_has_stopped() {
    let clusters = Clusters::new(&[tp("t", 0), tp("u", 0)]);
    let herder = running(&clusters, 5).await;
    let refused = Error::NotStopped { connector: "c".into() };
    let unknown = Error::ConnectorNotFound { connector: "d".into() };
    for target in [TargetState::Started, TargetState::Paused] {
        herder.set_target("c", target).await.unwrap();
        assert_eq!(herder.alter_offsets("c", vec![given("t", 0, Some(1))]).await, Err(refused.clone()));
        assert_eq!(herder.reset_offsets("c").await, Err(refused.clone()));
    }
    assert_eq!(herder.alter_offsets("d", vec![given("t", 0, Some(1))]).await, Err(unknown.clone()));
    assert_eq!(herder.reset_offsets("d").await, Err(unknown.clone()));
    assert_eq!(herder.offsets("d").await, Err(unknown));
    assert_eq!(stored(&herder).await, ["t-0: 5"]);

    herder.set_target("c", TargetState::Stopped).await.unwrap();
    let bad = vec![given("t", 0, Some(1)), given("t", 0, Some(-1))];
    let text = herder.alter_offsets("c", bad).await.unwrap_err().to_string();
    assert!(
        text.starts_with("Source offset {offset=-1} for source partition {cluster=A, partition=0, topic=t}"),
        "{text}"
    );
    assert_eq!(stored(&herder).await, ["t-0: 5"], "all or nothing");
    herder.alter_offsets("c", vec![given("t", 0, Some(1)), given("u", 0, Some(3))]).await.unwrap();
    assert_eq!(stored(&herder).await, ["t-0: 1", "u-0: 3"]);
    herder.alter_offsets("c", vec![given("u", 0, None)]).await.unwrap();
    assert_eq!(stored(&herder).await, ["t-0: 1"]);
    // What another worker wrote counts as well.
    clusters.write("offsets", &offset_record("u", 0, 0).0, r#"{"offset":8}"#);
    assert_eq!(stored(&herder).await, ["t-0: 1", "u-0: 8"]);
    herder.set_target("c", TargetState::Started).await.unwrap();
    until_states(&herder, "RUNNING [RUNNING]").await;
    let both = [tp("t", 0), tp("u", 0)];
    assert_eq!(clusters.task(&both).unwrap().from, [(tp("t", 0), 1), (tp("u", 0), 8)].into());

    herder.set_target("c", TargetState::Stopped).await.unwrap();
    clusters.write("offsets", r#"["c",{"not":"ours"}]"#, r#"{"position":8}"#);
    herder.reset_offsets("c").await.unwrap();
    assert_eq!(stored(&herder).await, [""; 0]);
    herder.reset_offsets("c").await.unwrap();
    herder.set_target("c", TargetState::Started).await.unwrap();
    until_states(&herder, "RUNNING [RUNNING]").await;
    assert_eq!(clusters.task(&both).unwrap().from, [].into());
}

/// Who stops and alters in one breath is the last to have a word on the position.
#[tokio::test]
async fn a_task_that_drains_slowly_does_not_overwrite_what_was_set() {
    let clusters = Clusters::new(&[tp("t", 0)]);
    let herder = running(&clusters, 5).await;
    clusters.may_drain.send_replace(false);
    herder.set_target("c", TargetState::Stopped).await.unwrap();
    clusters.acknowledge(&tp("t", 0), 9);
    let mut altering = std::pin::pin!(herder.alter_offsets("c", vec![given("t", 0, Some(1))]));
    let held = tokio::time::timeout(Duration::from_millis(100), &mut altering).await;
    assert_eq!((held.is_err(), states(&herder).as_str()), (true, "RUNNING [RUNNING]"));
    clusters.may_drain.send_replace(true);
    altering.await.unwrap();
    until_states(&herder, "STOPPED []").await;
    herder.set_target("c", TargetState::Started).await.unwrap();
    until_states(&herder, "RUNNING [RUNNING]").await;
    assert_eq!(clusters.task(&[tp("t", 0)]).unwrap().from, [(tp("t", 0), 1)].into());
    herder.drain().await;
    let last = clusters.records("offsets").split_off(clusters.records("offsets").len() - 2);
    assert_eq!(last, [offset_record("t", 0, 9), offset_record("t", 0, 1)]);
    assert_eq!(
        clusters.storage.anchors("offsets").split_off(clusters.records("offsets").len() - 2),
        [Some("1".into()), None]
    );
}

#[tokio::test]
async fn nothing_is_called_stopped_before_its_positions_are_stored() {
    let clusters = Clusters::new(&[tp("t", 0)]);
    let herder = running(&clusters, 5).await;
    until_true("the first position is stored", || clusters.records("offsets").len() == 1).await;
    clusters.set_full(Some("offsets"));
    clusters.acknowledge(&tp("t", 0), 9);
    herder.set_target("c", TargetState::Stopped).await.unwrap();
    until_states(&herder, "FAILED [RUNNING]").await;
    let trace = herder.status("c").unwrap().connector.trace.unwrap();
    assert!(trace.starts_with("kmirror.StopNotStored: positions not stored: offset topic offsets: "), "{trace}");
    let refused = herder.alter_offsets("c", vec![given("t", 0, Some(1))]).await.unwrap_err();
    assert!(matches!(refused, Error::StopUnfinished { .. }), "{refused}");
    assert_eq!((clusters.running().len(), herder.tasks("c").unwrap().len()), (0, 1));
    clusters.set_full(None);
    until_states(&herder, "STOPPED []").await;
    assert_eq!(clusters.records("offsets").last(), Some(&offset_record("t", 0, 9)));
    herder.alter_offsets("c", vec![given("t", 0, Some(1))]).await.unwrap();

    // One that is told to go on meanwhile does, from what is not stored.
    herder.set_target("c", TargetState::Started).await.unwrap();
    until_states(&herder, "RUNNING [RUNNING]").await;
    clusters.acknowledge(&tp("t", 0), 12);
    clusters.set_full(Some("offsets"));
    herder.set_target("c", TargetState::Stopped).await.unwrap();
    until_states(&herder, "FAILED [RUNNING]").await;
    herder.set_target("c", TargetState::Started).await.unwrap();
    until_states(&herder, "RUNNING [RUNNING]").await;
    assert_eq!(clusters.task(&[tp("t", 0)]).unwrap().from, [(tp("t", 0), 12)].into());
    clusters.set_full(None);
    until_true("the position is stored", || clusters.records("offsets").last() == Some(&offset_record("t", 0, 12)))
        .await;
}

#[tokio::test]
async fn while_the_cluster_is_away_all_stays_as_it_is() {
    let clusters = Clusters::new(&[tp("t", 0)]);
    let herder = running(&clusters, 5).await;
    let away = |error: Error| {
        let text = error.to_string();
        assert!(text.contains(" topic ") && text.contains("no broker reachable"), "{text}");
    };
    clusters.set_storage_down(true);
    for target in [TargetState::Paused, TargetState::Stopped] {
        away(herder.set_target("c", target).await.unwrap_err());
    }
    away(herder.offsets("c").await.unwrap_err());
    clusters.set_storage_down(false);
    assert_eq!(states(&herder), "RUNNING [RUNNING]");
    herder.set_target("c", TargetState::Stopped).await.unwrap();
    until_states(&herder, "STOPPED []").await;
    clusters.set_storage_down(true);
    away(herder.alter_offsets("c", vec![given("t", 0, Some(1))]).await.unwrap_err());
    away(herder.reset_offsets("c").await.unwrap_err());
    away(herder.set_target("c", TargetState::Started).await.unwrap_err());
    clusters.set_storage_down(false);
    assert_eq!(stored(&herder).await, ["t-0: 5"]);
    assert_eq!(states(&herder), "STOPPED []");
}
