use super::*;
use crate::config::read_properties;

/// A working configuration with lines more, or other ones.
fn parse(more: &str) -> Result<HeartbeatConnectorConfig, ConfigErrors> {
    let worker = "group.id=g\nkey.converter=c\nvalue.converter=c\nconfig.storage.topic=c\noffset.storage.topic=o\n\
                  status.storage.topic=s\nbootstrap.servers=w:9092\n";
    let worker = WorkerConfig::parse(&read_properties(worker).unwrap()).unwrap();
    let text = format!("name=mm2-hbc\nconnector.class=MirrorHeartbeat\nsource.cluster.alias=A\n{more}");
    HeartbeatConnectorConfig::parse(&read_properties(&text).unwrap(), &worker)
}

#[test]
fn defaults_are_mirrormakers() {
    let config = parse("").unwrap();
    assert_eq!((config.mirror.name.as_str(), config.mirror.enabled), ("mm2-hbc", true));
    assert_eq!((config.mirror.source_alias.as_str(), config.mirror.target_alias.as_str()), ("A", "target"));
    assert_eq!((config.emit_heartbeats, config.heartbeats_replication_factor), (Some(Duration::from_secs(1)), 3));
    assert_eq!((config.hints.as_slice(), config.tasks()), (&[][..], 1));
}

#[test]
fn one_task_unless_nothing_is_written() {
    // MirrorHeartBeatConnectorTest.testMirrorHeartbeatConnectorDisabled, testReplicationDisabled
    let tasks = |lines: &str| parse(lines).unwrap().tasks();
    assert_eq!(tasks("tasks.max=4"), 1);
    assert_eq!(tasks("enabled=false"), 1);
    assert_eq!(tasks("emit.heartbeats.enabled=false"), 0);
    assert_eq!(tasks("emit.heartbeats.interval.seconds=-1"), 0);
}

#[test]
fn what_is_set_is_read() {
    let config = parse(
        "emit.heartbeats.interval.seconds=20\nheartbeats.topic.replication.factor=-1\ntarget.cluster.alias=B\n\
         target.cluster.bootstrap.servers=b:1\nreplication.policy.separator=_\n",
    )
    .unwrap();
    assert_eq!((config.emit_heartbeats, config.heartbeats_replication_factor), (Some(Duration::from_secs(20)), -1));
    assert_eq!(config.mirror.target_bootstrap, Some(vec!["b:1".to_owned()]));
    assert_eq!(config.mirror.policy.separator.as_deref(), Some("_"));
}

#[test]
fn one_error_a_key() {
    // (lines, key, part of the message)
    let table = [
        ("source.cluster.alias=", "source.cluster.alias", "String must be non-empty"),
        ("emit.heartbeats.interval.seconds=0", "emit.heartbeats.interval.seconds", "at least 1"),
        ("heartbeats.topic.replication.factor=0", "heartbeats.topic.replication.factor", "must be -1"),
        ("target.cluster.bootstrap.servers=b", "target.cluster.bootstrap.servers", "not of the form host:port"),
        ("target.cluster.security.protocol=SSL", "target.cluster.security.protocol", "PLAINTEXT only"),
        ("security.protocol=tls", "security.protocol", "(case insensitive)"),
        ("transforms=a", "transforms", "not built yet: records of a MirrorHeartbeatConnector"),
    ];
    for (lines, key, part) in table {
        let errors = parse(lines).expect_err(lines);
        assert_eq!(errors.0.len(), 1, "{lines}: {errors}");
        assert_eq!(errors.0[0].key, key, "{lines}");
        assert!(errors.0[0].message.contains(part), "{lines}: {errors}");
    }
    // Whatever concerns the source only is nothing to it.
    parse("source.cluster.security.protocol=SSL\nsource.cluster.bootstrap.servers=a").unwrap();
}

#[test]
fn hints_name_the_key_that_works() {
    let text = "ignored, as by MirrorMaker: replication.factor (keys that work: heartbeats.topic.replication.factor)";
    assert_eq!(parse("replication.factor=3").unwrap().hints, [Hint::Info(text.to_owned())]);
    assert_eq!(parse("groups=a\ntopics=b\nsync.group.offsets.enabled=true").unwrap().hints, []);
}
