//! A connector's life, seen from the herder, over clusters in memory.

mod offsets;

use std::sync::{Arc, atomic::Ordering};

use super::{
    Error, GivenConfig, Herder, Put,
    testing::{Clusters, tp, until},
};
use crate::{
    config::WORKER_KEYS,
    flow::{Action, DEFAULT_BUDGET_BYTES, EventKind, Happened, OffsetsOf},
    records::{State, TargetState},
};

fn config(entries: &[(&str, &str)]) -> GivenConfig {
    let base = [("connector.class", "MirrorSourceConnector"), ("source.cluster.alias", "A")];
    base.iter().chain(entries).map(|(k, v)| ((*k).to_owned(), Some((*v).to_owned()))).collect()
}

async fn create(herder: &Arc<Herder>, entries: &[(&str, &str)]) {
    herder.put_connector("c", config(entries), None, Put::Create).await.unwrap();
}

/// States of connector and tasks, such as `RUNNING [RUNNING, FAILED]`.
fn states(herder: &Herder) -> String {
    match herder.status("c") {
        Ok(status) => {
            let tasks: Vec<_> = status.tasks.iter().map(|(_, task)| task.state.as_str()).collect();
            format!("{} [{}]", status.connector.state, tasks.join(", "))
        }
        Err(error) => error.to_string(),
    }
}

async fn until_states(herder: &Herder, expected: &str) {
    until(&format!("states become {expected}"), || {
        let seen = states(herder);
        if seen == expected { Ok(()) } else { Err(seen) }
    })
    .await;
}

async fn until_trace(herder: &Herder, expected: &str) {
    until(&format!("the connector's trace becomes {expected}"), || {
        let seen = herder.status("c").map_err(|error| error.to_string())?.connector.trace.unwrap_or_default();
        if seen == expected { Ok(()) } else { Err(seen) }
    })
    .await;
}

async fn until_true(what: &str, mut check: impl FnMut() -> bool) {
    until(what, || if check() { Ok(()) } else { Err("not yet".to_owned()) }).await;
}

fn offset_record(topic: &str, partition: i32, offset: i64) -> (String, Option<String>) {
    let key = format!(r#"["c",{{"cluster":"A","partition":{partition},"topic":"{topic}"}}]"#);
    (key, Some(format!(r#"{{"offset":{offset}}}"#)))
}

#[tokio::test]
async fn a_created_connector_runs_its_tasks_and_is_stored_as_connect_does() {
    let clusters = Clusters::new(&[tp("t", 0), tp("t", 1), tp("t", 2)]);
    let herder = clusters.herder().await;
    create(&herder, &[("tasks.max", "2")]).await;
    until_states(&herder, "RUNNING [RUNNING, RUNNING]").await;
    assert_eq!(clusters.running(), [vec![tp("t", 0), tp("t", 2)], vec![tp("t", 1)]]);
    let keys: Vec<_> = clusters.records("configs").into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["connector-c", "task-c-0", "task-c-1", "commit-c"]);
    let tasks = herder.tasks("c").unwrap();
    assert_eq!(tasks[0].1["task.assigned.partitions"], "t-0,t-2");
    assert_eq!(herder.connector("c").unwrap().tasks.len(), 2);
    assert_eq!(herder.status("c").unwrap().connector.worker_id, "me:8083");
}

#[tokio::test]
async fn stored_connectors_go_on_from_their_positions_after_a_restart() {
    let clusters = Clusters::new(&[tp("t", 0)]);
    let herder = clusters.herder().await;
    create(&herder, &[]).await;
    until_states(&herder, "RUNNING [RUNNING]").await;
    clusters.task(&[tp("t", 0)]).unwrap().acknowledged.lock().unwrap().insert(tp("t", 0), 41);
    until_true("position is stored", || clusters.records("offsets") == [offset_record("t", 0, 41)]).await;
    clusters.task(&[tp("t", 0)]).unwrap().acknowledged.lock().unwrap().insert(tp("t", 0), 77);
    herder.drain().await;
    assert_eq!(clusters.records("offsets").last().unwrap(), &offset_record("t", 0, 77));
    assert_eq!(states(&herder), "UNASSIGNED [UNASSIGNED]");
    assert_eq!(herder.delete_connector("c").await, Err(Error::ShuttingDown));

    let before = clusters.records("configs").len();
    let herder = clusters.herder().await;
    until_states(&herder, "RUNNING [RUNNING]").await;
    assert_eq!(clusters.task(&[tp("t", 0)]).unwrap().from, [(tp("t", 0), 77)].into());
    assert_eq!(clusters.records("configs").len(), before, "unchanged tasks are not written again");
}

#[tokio::test]
async fn an_absent_source_is_shown_with_its_cause_and_waited_for() {
    let clusters = Clusters::new(&[]);
    clusters.set_source(Err("cluster A: no broker reachable at 127.0.0.1:9: refused".into()));
    let herder = clusters.herder().await;
    create(&herder, &[]).await;
    until_states(&herder, "FAILED []").await;
    let trace = herder.status("c").unwrap().connector.trace.unwrap();
    assert_eq!(trace, "kmirror.ConnectorStartFailed: cluster A: no broker reachable at 127.0.0.1:9: refused");
    clusters.set_source(Ok(vec![tp("t", 0)]));
    until_states(&herder, "RUNNING [RUNNING]").await;
    assert_eq!(herder.status("c").unwrap().connector.trace, None);
}

#[tokio::test]
async fn a_source_lost_while_running_is_shown_and_the_tasks_go_on() {
    let clusters = Clusters::new(&[tp("t", 0)]);
    let herder = clusters.herder().await;
    create(&herder, &[]).await;
    until_states(&herder, "RUNNING [RUNNING]").await;
    clusters.set_source(Err("refused".into()));
    until_trace(&herder, "kmirror.SourceUnreachable: refused").await;
    assert_eq!(states(&herder), "FAILED [RUNNING]");
    assert_eq!(clusters.running().len(), 1);
    clusters.set_source(Ok(vec![tp("t", 0)]));
    until_states(&herder, "RUNNING [RUNNING]").await;
    assert_eq!(clusters.drained.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn topics_that_are_not_mirrored_fail_the_connector_by_name_and_its_tasks_go_on() {
    let clusters = Clusters::new(&[tp("t", 0)]);
    clusters.set_failures(&[("u", "creating topic A.u failed: denied")]);
    let herder = clusters.herder().await;
    create(&herder, &[]).await;
    let denied = "kmirror.TopicsNotMirrored: 1 of 2 topics is not mirrored\n\tu: creating topic A.u failed: denied";
    until_trace(&herder, denied).await;
    until_states(&herder, "FAILED [RUNNING]").await;
    clusters.set_failures(&[]);
    until_states(&herder, "RUNNING [RUNNING]").await;

    clusters.set_failures(&[("u", "no"), ("v", "no")]);
    until_trace(&herder, "kmirror.TopicsNotMirrored: 2 of 3 topics are not mirrored\n\tu: no\n\tv: no").await;
    // A source that is gone is the worse, and what it hid is told again after it.
    clusters.set_source(Err("refused".into()));
    until_trace(&herder, "kmirror.SourceUnreachable: refused").await;
    clusters.set_source(Ok(vec![tp("t", 0)]));
    until_trace(&herder, "kmirror.TopicsNotMirrored: 2 of 3 topics are not mirrored\n\tu: no\n\tv: no").await;
    clusters.set_failures(&[]);
    until_states(&herder, "RUNNING [RUNNING]").await;
    assert_eq!(clusters.drained.lock().unwrap().len(), 0);
    assert_eq!(clusters.connects.load(Ordering::Acquire), 1);
}

#[tokio::test]
async fn refreshes_that_fail_one_after_the_other_are_shown() {
    let clusters = Clusters::new(&[tp("t", 0)]);
    let herder = clusters.herder().await;
    create(&herder, &[]).await;
    until_states(&herder, "RUNNING [RUNNING]").await;
    *clusters.refresh_error.lock().unwrap() = Some("listing the target's topics failed: denied".into());
    until_trace(&herder, "kmirror.RefreshFailed: listing the target's topics failed: denied").await;
    assert_eq!(states(&herder), "FAILED [RUNNING]");
    *clusters.refresh_error.lock().unwrap() = None;
    until_states(&herder, "RUNNING [RUNNING]").await;
    assert_eq!(clusters.drained.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn another_cluster_at_the_sources_address_is_shown() {
    let clusters = Clusters::new(&[tp("t", 0)]);
    let herder = clusters.herder().await;
    create(&herder, &[]).await;
    until_states(&herder, "RUNNING [RUNNING]").await;
    clusters.changed.store(true, Ordering::Release);
    *clusters.refresh_error.lock().unwrap() = Some("cluster A was x and is y now".into());
    until_trace(&herder, "kmirror.SourceChanged: cluster A was x and is y now").await;
    clusters.changed.store(false, Ordering::Release);
    *clusters.refresh_error.lock().unwrap() = None;
    until_states(&herder, "RUNNING [RUNNING]").await;
}

#[tokio::test]
async fn new_partitions_end_and_start_only_the_tasks_that_change() {
    let clusters = Clusters::new(&[tp("t", 0), tp("t", 1)]);
    let herder = clusters.herder().await;
    create(&herder, &[("tasks.max", "2")]).await;
    until_states(&herder, "RUNNING [RUNNING, RUNNING]").await;
    clusters.task(&[tp("t", 0)]).unwrap().acknowledged.lock().unwrap().insert(tp("t", 0), 9);
    clusters.set_source(Ok(vec![tp("t", 0), tp("t", 1), tp("t", 2)]));
    until_true("the first task has the new partition", || clusters.task(&[tp("t", 0), tp("t", 2)]).is_some()).await;
    assert_eq!(clusters.task(&[tp("t", 0), tp("t", 2)]).unwrap().from, [(tp("t", 0), 9)].into());
    assert_eq!(*clusters.drained.lock().unwrap(), [vec![tp("t", 0)]]);
    until_true("tasks are stored", || herder.tasks("c").unwrap()[0].1["task.assigned.partitions"] == "t-0,t-2").await;
}

#[tokio::test]
async fn an_equal_configuration_restarts_the_connector_but_no_task() {
    let clusters = Clusters::new(&[tp("t", 0)]);
    let herder = clusters.herder().await;
    create(&herder, &[]).await;
    until_states(&herder, "RUNNING [RUNNING]").await;
    assert_eq!(clusters.connects.load(Ordering::Acquire), 1);
    let (created, _) = herder.put_connector("c", config(&[]), None, Put::Upsert).await.unwrap();
    assert!(!created);
    until_true("it connects again", || clusters.connects.load(Ordering::Acquire) == 2).await;
    until_states(&herder, "RUNNING [RUNNING]").await;
    assert_eq!(clusters.drained.lock().unwrap().len(), 0);

    herder.put_connector("c", config(&[("replication.factor", "1")]), None, Put::Upsert).await.unwrap();
    until_true("its task starts anew", || clusters.drained.lock().unwrap().len() == 1).await;
    until_states(&herder, "RUNNING [RUNNING]").await;
    assert_eq!(herder.tasks("c").unwrap()[0].1["replication.factor"], "1");
}

#[tokio::test]
async fn a_cap_of_a_connector_is_shared_by_its_tasks_and_changed_while_they_run() {
    let clusters = Clusters::new(&[tp("t", 0), tp("t", 1)]);
    let herder = clusters.herder().await;
    let cap = |value| [("tasks.max", "2"), ("kmirror.max.bytes.per.second", value)];
    create(&herder, &cap("500")).await;
    until_states(&herder, "RUNNING [RUNNING, RUNNING]").await;
    let rates = || [0, 1].map(|p| clusters.task(&[tp("t", p)]).and_then(|task| task.rate.get()));
    assert_eq!(rates(), [Some(500); 2]);
    let first = clusters.task(&[tp("t", 0)]).unwrap();
    first.rate.set(Some(501));
    assert_eq!(rates(), [Some(501); 2], "one cap for both");

    // A configuration that is refused changes nothing.
    herder.put_connector("c", config(&[("tasks.max", "x")]), None, Put::Upsert).await.unwrap_err();
    assert_eq!(rates(), [Some(501); 2]);
    // While the source is away too.
    clusters.set_source(Err("refused".into()));
    herder.put_connector("c", config(&cap("700")), None, Put::Upsert).await.unwrap();
    until_true("the new cap holds", || rates() == [Some(700); 2]).await;
    until_states(&herder, "FAILED [RUNNING, RUNNING]").await;
    clusters.set_source(Ok(vec![tp("t", 0), tp("t", 1)]));
    until_states(&herder, "RUNNING [RUNNING, RUNNING]").await;
    until_true("its tasks are stored", || {
        herder.tasks("c").unwrap().iter().all(|(_, task)| task["kmirror.max.bytes.per.second"] == "700")
    })
    .await;
    herder.put_connector("c", config(&[("tasks.max", "2")]), None, Put::Upsert).await.unwrap();
    until_true("no cap holds", || rates() == [None; 2]).await;
    until_states(&herder, "RUNNING [RUNNING, RUNNING]").await;
    assert_eq!(clusters.drained.lock().unwrap().len(), 0);

    // Tasks that start anew are bound by what is stored.
    herder.put_connector("c", config(&cap("900")), None, Put::Upsert).await.unwrap();
    until_true("the last cap holds", || rates() == [Some(900); 2]).await;
    herder.drain().await;
    let herder = clusters.herder().await;
    until_states(&herder, "RUNNING [RUNNING, RUNNING]").await;
    assert_eq!(rates(), [Some(900); 2]);
}

#[tokio::test]
async fn events_outlive_tasks_and_changes_but_not_the_connector() {
    let clusters = Clusters::new(&[tp("t", 0), tp("t", 1)]);
    let herder = clusters.herder().await;
    assert_eq!(herder.events("c").err(), Some(Error::ConnectorNotFound { connector: "c".into() }));
    create(&herder, &[("tasks.max", "2"), ("target.cluster.alias", " B ")]).await;
    until_states(&herder, "RUNNING [RUNNING, RUNNING]").await;
    let lost = |partition| Happened {
        kind: EventKind::DataLoss,
        source: tp("t", partition),
        target: tp("A.t", partition),
        offsets_of: OffsetsOf::Source,
        from: 0,
        to: 3,
        records: Some(3),
        action: Action::Stopped,
        message: "gone".into(),
    };
    let tell = |partition| clusters.task(&[tp("t", partition)]).unwrap().events.tell(lost(partition));
    let told = || {
        let kept = herder.events("c").unwrap().events.kept();
        kept.into_iter().map(|event| (event.id, event.what.source.partition)).collect::<Vec<_>>()
    };
    tell(0);
    tell(1);
    assert_eq!(told(), [(1, 0), (2, 1)], "one list for all tasks");
    let known = herder.events("c").unwrap();
    assert_eq!((known.source_alias.as_str(), known.target_alias.as_str()), ("A", "B"));

    let again = async |drained| {
        until_true("its tasks start anew", || {
            clusters.drained.lock().unwrap().len() == drained && clusters.running().len() == 2
        })
        .await;
    };
    herder.restart_connector("c", true, false).unwrap();
    again(2).await;
    let changed = config(&[("tasks.max", "2"), ("replication.factor", "1")]);
    herder.put_connector("c", changed, None, Put::Upsert).await.unwrap();
    again(4).await;
    tell(1);
    herder.set_target("c", TargetState::Stopped).await.unwrap();
    until_states(&herder, "STOPPED []").await;
    assert_eq!(told(), [(1, 0), (2, 1), (3, 1)]);
    herder.delete_connector("c").await.unwrap();
    assert_eq!(herder.events("c").err(), Some(Error::ConnectorNotFound { connector: "c".into() }));
    create(&herder, &[]).await;
    until_states(&herder, "RUNNING [RUNNING]").await;
    assert_eq!(told(), []);
    herder.drain().await;
    assert_eq!(herder.events("c").err(), Some(Error::ShuttingDown));
}

#[test]
fn the_budget_is_by_default_what_flows_are_made_for() {
    let key = WORKER_KEYS.iter().find(|key| key.name == "kmirror.memory.bytes").unwrap();
    assert_eq!(key.default_text(), Some(DEFAULT_BUDGET_BYTES.to_string().as_str()));
}

#[tokio::test]
async fn a_stopped_partition_fails_its_task_which_a_restart_starts_anew() {
    let clusters = Clusters::new(&[tp("t", 0), tp("t", 1)]);
    let herder = clusters.herder().await;
    create(&herder, &[]).await;
    until_states(&herder, "RUNNING [RUNNING]").await;
    let both = [tp("t", 0), tp("t", 1)];
    let task = clusters.task(&both).unwrap();
    task.acknowledged.lock().unwrap().insert(tp("t", 1), 5);
    task.status.send_modify(|status| {
        status.stopped.insert(tp("t", 0), "DATA_LOSS".into());
    });
    until_states(&herder, "RUNNING [FAILED]").await;
    let trace = herder.task_status("c", 0).unwrap().trace.unwrap();
    assert_eq!(trace, "kmirror.PartitionsStopped: 1 of 2 partitions stopped\n\tt-0: DATA_LOSS");

    let answer = herder.restart_connector("c", true, true).unwrap().unwrap();
    assert_eq!((answer.connector.state, answer.tasks[0].1.state), (State::Running, State::Restarting));
    assert_eq!(answer.tasks[0].1.trace, None);
    until_states(&herder, "RUNNING [RUNNING]").await;
    assert_eq!(clusters.task(&both).unwrap().from, [(tp("t", 1), 5)].into());
    herder.restart_task("c", 0).unwrap();
    until_true("it started a third time", || clusters.drained.lock().unwrap().len() == 2).await;
    assert_eq!(herder.restart_task("c", 1), Err(Error::UnknownTask { connector: "c".into(), task: 1 }));
    assert_eq!(herder.restart_task("d", 0), Err(Error::UnknownConnector { connector: "d".into() }));
}

#[tokio::test]
async fn a_deleted_connector_leaves_its_positions_to_the_next_of_its_name() {
    let clusters = Clusters::new(&[tp("t", 0)]);
    let herder = clusters.herder().await;
    create(&herder, &[]).await;
    until_states(&herder, "RUNNING [RUNNING]").await;
    clusters.task(&[tp("t", 0)]).unwrap().acknowledged.lock().unwrap().insert(tp("t", 0), 30);
    herder.delete_connector("c").await.unwrap();
    assert_eq!(herder.connectors(), Vec::<String>::new());
    assert_eq!(herder.delete_connector("c").await, Err(Error::ConnectorNotFound { connector: "c".into() }));
    until_states(&herder, "No status found for connector c").await;
    assert_eq!(clusters.running(), Vec::<Vec<_>>::new());
    create(&herder, &[]).await;
    until_states(&herder, "RUNNING [RUNNING]").await;
    assert_eq!(clusters.task(&[tp("t", 0)]).unwrap().from, [(tp("t", 0), 30)].into());
}

#[tokio::test]
async fn deleted_and_created_at_once_is_never_copied_twice() {
    let clusters = Clusters::new(&[tp("t", 0)]);
    let herder = clusters.herder().await;
    // A partition that two tasks hold at once fails the fake, and with it the connector's loop.
    for _ in 0..20 {
        create(&herder, &[]).await;
        until_true("it runs", || clusters.running().len() == 1).await;
        herder.delete_connector("c").await.unwrap();
    }
    create(&herder, &[]).await;
    until_states(&herder, "RUNNING [RUNNING]").await;
}

#[tokio::test]
async fn target_states_are_honoured() {
    let clusters = Clusters::new(&[tp("t", 0)]);
    let herder = clusters.herder().await;
    herder.put_connector("c", config(&[]), Some(TargetState::Stopped), Put::Create).await.unwrap();
    until_states(&herder, "STOPPED []").await;
    assert_eq!(clusters.connects.load(Ordering::Acquire), 0);
    let keys: Vec<_> = clusters.records("configs").into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["target-state-c", "connector-c"]);

    // As another worker's pause and resume calls would write it.
    let write = async |state: &str| {
        clusters.write("configs", "target-state-c", &format!(r#"{{"state":"{state}","state.v2":"{state}"}}"#));
        herder.read_on().await;
    };
    write("STARTED").await;
    until_states(&herder, "RUNNING [RUNNING]").await;
    clusters.task(&[tp("t", 0)]).unwrap().acknowledged.lock().unwrap().insert(tp("t", 0), 3);
    write("PAUSED").await;
    until_states(&herder, "PAUSED [PAUSED]").await;
    assert_eq!((clusters.running().len(), clusters.records("offsets").len()), (0, 1));
    herder.put_connector("c", config(&[]), None, Put::Upsert).await.unwrap();
    until_states(&herder, "PAUSED [PAUSED]").await;
    herder.restart_connector("c", true, false).unwrap();
    until_states(&herder, "PAUSED [PAUSED]").await;
    assert_eq!(clusters.running().len(), 0);
    write("STARTED").await;
    until_states(&herder, "RUNNING [RUNNING]").await;
    write("STOPPED").await;
    until_states(&herder, "STOPPED []").await;
    assert_eq!(herder.tasks("c").unwrap(), []);
}

#[tokio::test]
async fn nothing_changes_while_the_config_topic_does_not_answer() {
    let clusters = Clusters::new(&[tp("t", 0)]);
    let herder = clusters.herder().await;
    create(&herder, &[]).await;
    until_states(&herder, "RUNNING [RUNNING]").await;
    clusters.set_storage_down(true);
    let error = herder.delete_connector("c").await.unwrap_err().to_string();
    assert!(error.contains("topic configs") && error.contains("no broker reachable"), "{error}");
    assert_eq!(herder.connectors(), ["c"]);
    assert_eq!(states(&herder), "RUNNING [RUNNING]");
    clusters.set_storage_down(false);
    herder.delete_connector("c").await.unwrap();
}

#[tokio::test]
async fn a_connector_that_is_not_enabled_runs_without_tasks() {
    let clusters = Clusters::new(&[tp("t", 0)]);
    let herder = clusters.herder().await;
    create(&herder, &[("enabled", "false")]).await;
    until_states(&herder, "RUNNING []").await;
    assert_eq!(clusters.connects.load(Ordering::Acquire), 0);
}

#[tokio::test]
async fn configurations_are_checked_before_anything_is_written() {
    let clusters = Clusters::new(&[]);
    let herder = clusters.herder().await;
    let put =
        async |given: GivenConfig| herder.put_connector("c", given, None, Put::Upsert).await.unwrap_err().to_string();
    let mut given = config(&[("tasks.max", "x")]);
    given.remove("source.cluster.alias");
    let text = "Connector configuration is invalid and contains the following 2 error(s):\n\
        Invalid value x for configuration tasks.max: Not a number of type INT\n\
        Missing required configuration \"source.cluster.alias\" which has no default value.\n\
        You can also find the above list of errors at the endpoint `/connector-plugins/{connectorType}/config/validate`";
    assert_eq!(put(given.clone()).await, text);
    given.insert("tasks.max".into(), None);
    assert!(
        put(given)
            .await
            .contains("for configuration tasks.max: Null value can not be supplied as the configuration value.")
    );
    assert!(put(GivenConfig::new()).await.starts_with("Failed to find any class that implements Connector"));
    assert_eq!(
        put(config(&[("name", "d")])).await,
        "Connector name configuration (d) doesn't match connector name in the URL (c)"
    );
    assert_eq!(clusters.records("configs"), []);
    create(&herder, &[]).await;
    let again = herder.put_connector("c", config(&[]), None, Put::Create).await;
    assert_eq!(again, Err(Error::AlreadyExists { connector: "c".into() }));
}

#[tokio::test]
async fn a_partition_that_may_not_start_fails_its_task() {
    let clusters = Clusters::new(&[tp("t", 0)]);
    let herder = clusters.herder().await;
    create(&herder, &[("consumer.auto.offset.reset", "none")]).await;
    until_states(&herder, "RUNNING [FAILED]").await;
    let trace = herder.task_status("c", 0).unwrap().trace.unwrap();
    assert_eq!(trace, "kmirror.PartitionsStopped: 1 of 1 partitions stopped\n\tt-0: no position");
}
