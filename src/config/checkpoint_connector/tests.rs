use super::*;
use crate::config::read_properties;

fn worker() -> WorkerConfig {
    let text = "group.id=g\nkey.converter=c\nvalue.converter=c\nconfig.storage.topic=c\noffset.storage.topic=o\n\
                status.storage.topic=s\nbootstrap.servers=w:9092\n";
    WorkerConfig::parse(&read_properties(text).unwrap()).unwrap()
}

/// A working configuration with lines more, or other ones.
fn parse(more: &str) -> Result<CheckpointConnectorConfig, ConfigErrors> {
    let text = format!(
        "name=mm2-cpc\nconnector.class=MirrorCheckpoint\nsource.cluster.alias=A\n\
         source.cluster.bootstrap.servers=a:9092\n{more}"
    );
    CheckpointConnectorConfig::parse(&read_properties(&text).unwrap(), &worker())
}

#[test]
fn defaults_are_mirrormakers() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let config = parse("").unwrap();
    assert_eq!((config.mirror.name.as_str(), config.mirror.tasks_max, config.mirror.enabled), ("mm2-cpc", 1, true));
    assert_eq!((config.mirror.source_alias.as_str(), config.mirror.target_alias.as_str()), ("A", "target"));
    assert_eq!((config.source_bootstrap, config.mirror.target_bootstrap), (vec!["a:9092".to_owned()], None));
    assert!(config.topics.matches("anything") && config.topics_exclude.matches("a.replica"));
    assert_eq!((config.refresh_groups, config.emit_checkpoints), (seconds(600), seconds(60)));
    assert_eq!((config.sync_group_offsets, config.group_sync_rewind), (None, false));
    assert_eq!((config.checkpoints_replication_factor, config.offset_syncs_location), (3, Side::Source));
    assert_eq!(config.poll_timeout, Duration::from_secs(1));
    assert_eq!(config.hints, []);
}

#[test]
fn groups_are_matched_as_by_the_default_filter() {
    // MirrorCheckpointConfigTest.testGroupMatching
    let config = parse("").unwrap();
    let selected = |config: &CheckpointConnectorConfig, group: &str| {
        config.groups.matches(group) && !config.groups_exclude.matches(group)
    };
    for group in ["payments", "my-connect", "console", "a_b"] {
        assert!(selected(&config, group), "{group}");
    }
    for group in ["console-consumer-123", "connect-sink", "__internal"] {
        assert!(!selected(&config, group), "{group}");
    }
    let config = parse("groups=a.*, b\ngroups.blacklist=ab").unwrap();
    assert_eq!(["a", "b", "ab", "c"].map(|group| selected(&config, group)), [true, true, false, false]);
    let config = parse("groups.blacklist=a\ngroups.exclude=b").unwrap();
    assert_eq!(["a", "b"].map(|group| selected(&config, group)), [true, false]);
    assert!(!selected(&parse("groups=").unwrap(), "a"), "an empty list matches nothing");
}

#[test]
fn what_is_set_is_read() {
    let config = parse(
        "tasks.max=3\nenabled=false\ntarget.cluster.alias=B\ntarget.cluster.bootstrap.servers=b:1\ntopics=x\n\
         topics.exclude=y\nrefresh.groups.enabled=false\nemit.checkpoints.interval.seconds=20\n\
         sync.group.offsets.enabled=true\nsync.group.offsets.interval.seconds=10\nkmirror.group.sync.rewind=true\n\
         checkpoints.topic.replication.factor=-1\noffset-syncs.topic.location=target\nconsumer.poll.timeout.ms=5\n\
         source.admin.bootstrap.servers=c:1\nreplication.policy.class=IdentityReplicationPolicy\nadmin.timeout.ms=7\n",
    )
    .unwrap();
    assert_eq!((config.mirror.tasks_max, config.mirror.enabled), (3, false));
    assert_eq!(config.mirror.target_bootstrap, Some(vec!["b:1".to_owned()]));
    assert_eq!(config.source_bootstrap, ["c:1"], "groups are listed by the admin client");
    assert!(config.topics.matches("x") && !config.topics.matches("z") && config.topics_exclude.matches("y"));
    assert_eq!((config.refresh_groups, config.emit_checkpoints), (None, Some(Duration::from_secs(20))));
    assert_eq!((config.sync_group_offsets, config.group_sync_rewind), (Some(Duration::from_secs(10)), true));
    assert_eq!((config.checkpoints_replication_factor, config.offset_syncs_location), (-1, Side::Target));
    assert_eq!(config.poll_timeout, Duration::from_millis(5));
    assert_eq!(config.mirror.policy.class, "org.apache.kafka.connect.mirror.IdentityReplicationPolicy");
    assert_eq!(config.mirror.admin_timeout, Duration::from_millis(7));
}

#[test]
fn one_error_a_key() {
    // (lines, key, part of the message)
    let table = [
        ("emit.checkpoints.enabled=false", "emit.checkpoints.enabled", "writes no checkpoints"),
        ("emit.offset-syncs.enabled=false", "emit.offset-syncs.enabled", "without offset syncs"),
        ("groups=a,(", "groups", "Invalid value ( for configuration groups: "),
        ("groups.blacklist=(", "groups.blacklist", "Invalid value ( for configuration groups.blacklist: "),
        ("group.filter.class=x.Y", "group.filter.class", "Class x.Y could not be found"),
        ("offset-syncs.topic.location=x", "offset-syncs.topic.location", "String must be one of: source, target"),
        ("checkpoints.topic.replication.factor=0", "checkpoints.topic.replication.factor", "must be -1"),
        ("refresh.groups.interval.seconds=0", "refresh.groups.interval.seconds", "at least 1"),
        ("sync.group.offsets.interval.seconds=x", "sync.group.offsets.interval.seconds", "Not a number of type LONG"),
        ("kmirror.group.sync.rewind=1", "kmirror.group.sync.rewind", "either true or false"),
        ("source.cluster.bootstrap.servers=a", "source.cluster.bootstrap.servers", "not of the form host:port"),
        ("security.protocol=tls", "security.protocol", "(case insensitive)"),
        ("sasl.login.refresh.buffer.seconds=soon", "sasl.login.refresh.buffer.seconds", "Not a number of type SHORT"),
        ("target.consumer.security.protocol=SSL", "target.consumer.security.protocol", "PLAINTEXT only"),
        ("transforms=a", "transforms", "not built yet: records of a MirrorCheckpointConnector"),
        ("offsets.storage.topic=mine", "offsets.storage.topic", "not built yet"),
    ];
    for (lines, key, part) in table {
        let errors = parse(lines).expect_err(lines);
        assert_eq!(errors.0.len(), 1, "{lines}: {errors}");
        assert_eq!(errors.0[0].key, key, "{lines}");
        assert!(errors.0[0].message.contains(part), "{lines}: {errors}");
    }
}

#[test]
fn what_is_off_is_judged_only_where_the_connector_is_on() {
    // MirrorCheckpointConfigTest.testSkipValidationIfConnectorDisabled, testValidateIfConnectorEnabled
    let off = "emit.checkpoints.enabled=false\nemit.offset-syncs.enabled=false\n";
    let errors = parse(off).unwrap_err();
    let keys: Vec<&str> = errors.0.iter().map(|error| error.key.as_str()).collect();
    assert_eq!(keys, ["emit.checkpoints.enabled", "emit.offset-syncs.enabled"]);
    let config = parse(&format!("{off}enabled=false")).unwrap();
    assert_eq!(config.emit_checkpoints, None);
}

#[test]
fn all_errors_at_once() {
    let raw = read_properties("groups=(\ntasks.max=x\nemit.checkpoints.enabled=false").unwrap();
    let errors = CheckpointConnectorConfig::parse(&raw, &worker()).unwrap_err();
    let mut keys: Vec<&str> = errors.0.iter().map(|error| error.key.as_str()).collect();
    keys.sort_unstable();
    let expected = [
        "connector.class",
        "emit.checkpoints.enabled",
        "groups",
        "name",
        "source.cluster.alias",
        "source.cluster.bootstrap.servers",
        "tasks.max",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn hints_name_the_key_that_works() {
    let hints = |lines: &str| parse(lines).unwrap().hints;
    let info = |text: &str| vec![Hint::Info(format!("ignored, as by MirrorMaker: {text}"))];
    assert_eq!(
        hints("replication.factor=3"),
        info("replication.factor (keys that work: checkpoints.topic.replication.factor)")
    );
    assert_eq!(hints("replication.factor=3\ncheckpoints.topic.replication.factor=3"), []);
    assert_eq!(
        hints("source.cluster.auto.offset.reset=latest"),
        info("source.cluster.auto.offset.reset (MirrorMaker's prefix is source.consumer., without effect here)")
    );
    assert_eq!(hints("sasl.mechanism=PLAIN"), info("sasl.mechanism (keys that work: source.cluster.sasl.mechanism)"));
    assert_eq!(hints("group=x"), [Hint::Warn("not known: group (is groups meant?)".to_owned())]);
    let unused = "accepted, without effect in this version: producer.override.linger.ms, consumer.fetch.min.bytes";
    assert_eq!(hints("producer.override.linger.ms=1\nconsumer.fetch.min.bytes=1"), [Hint::Warn(unused.to_owned())]);
    let others = "clusters=a,b\nrefresh.topics.interval.seconds=1\nemit.heartbeats.enabled=true\nkmirror.compression=keep\n\
                  offset.lag.max=1\ntask.index=0";
    assert_eq!(hints(others), []);
}
