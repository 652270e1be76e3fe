use super::*;
use crate::config::{Compressor, GapPolicy, read_properties};

fn worker(more: &str) -> WorkerConfig {
    let text = format!(
        "group.id=g\nkey.converter=c\nvalue.converter=c\nconfig.storage.topic=c\noffset.storage.topic=o\n\
         status.storage.topic=s\nbootstrap.servers=w:9092\n{more}"
    );
    WorkerConfig::parse(&read_properties(&text).unwrap()).unwrap()
}

/// A working configuration with lines more, or other ones.
fn parse(more: &str) -> Result<SourceConnectorConfig, ConfigErrors> {
    let text = format!(
        "name=mm2-msc\nconnector.class=MirrorSource\nsource.cluster.alias=A\n\
         source.cluster.bootstrap.servers=a:9092\n{more}"
    );
    SourceConnectorConfig::parse(&read_properties(&text).unwrap(), &worker(""))
}

#[test]
fn defaults_are_mirrormakers() {
    let config = parse("").unwrap();
    assert_eq!((config.mirror.name.as_str(), config.mirror.tasks_max, config.mirror.enabled), ("mm2-msc", 1, true));
    assert_eq!((config.mirror.source_alias.as_str(), config.mirror.target_alias.as_str()), ("A", "target"));
    assert_eq!(config.source_bootstrap, ["a:9092"]);
    assert_eq!(config.mirror.target_bootstrap, None);
    assert!(config.topics.matches("anything"));
    for topic in ["mm2-offset-syncs.b.internal", "a.replica", "__consumer_offsets"] {
        assert!(config.topics_exclude.matches(topic), "{topic}");
    }
    assert!(!config.topics_exclude.matches("my.internal"), "the default of Kafka 4.0");
    for setting in ["min.insync.replicas", "unclean.leader.election.enable", "message.timestamp.type"] {
        assert!(config.config_properties_exclude.matches(setting), "{setting}");
    }
    assert!(!config.config_properties_exclude.matches("retention.ms"));
    assert!(!config.use_defaults_from_source);
    let often = Some(Duration::from_secs(600));
    assert_eq!((config.refresh_topics, config.sync_topic_configs, config.sync_topic_acls), (often, often, often));
    let syncs = OffsetSyncs {
        location: Side::Source,
        replication_factor: 3,
        lag_max: 100,
        bootstrap: Some(vec!["a:9092".to_owned()]),
        commit_interval: Duration::from_secs(60),
    };
    assert_eq!((config.offset_syncs, config.alter_configs), (Some(syncs), AlterConfigs::Requested));
    let acls = &config.acls;
    assert!(!(acls.prefixed || acls.write || acls.groups || acls.transactional_ids || acls.remove));
    assert_eq!(acls.principals.name("CN=anna").as_deref(), Some("CN=anna"));
    assert_eq!(config.topic_deletion, None);
    assert_eq!(config.replication_factor, 2);
    assert!(config.heartbeats_replication);
    assert_eq!(config.mirror.admin_timeout, Duration::from_secs(60));
    assert_eq!(config.auto_offset_reset, AutoOffsetReset::Earliest);
    assert_eq!(config.mirror.policy.class, "org.apache.kafka.connect.mirror.DefaultReplicationPolicy");
    assert_eq!(config.mirror.policy.separator, None);
    assert!(config.mirror.policy.internal_topic_separator_enabled);
    assert_eq!(config.max_bytes_per_second, None);
    assert_eq!((config.compression, config.poison), (Compression::Keep, PoisonPolicy::Fail));
    assert_eq!(config.gaps, GapPolicies::default());
    assert!(config.transforms.is_empty());
    assert_eq!(config.hints, []);
}

#[test]
fn what_is_set_is_read() {
    let config = parse(
        "tasks.max= 4 \nenabled=False\ntarget.cluster.alias=B\ntarget.cluster.bootstrap.servers=b:1, c:2\ntopics=x,y\n\
         topics.blacklist=y\nconfig.properties.exclude=\nuse.defaults.from=source\nrefresh.topics.enabled=false\n\
         replication.factor=-1\nheartbeats.replication.enabled=false\nadmin.timeout.ms=5\n\
         consumer.auto.offset.reset=latest\nconsumer.isolation.level=read_uncommitted\n\
         replication.policy.class=CustomMM2ReplicationPolicy\n\
         replication.policy.separator=\\ \nreplication.policy.internal.topic.separator.enabled=false\n\
         kmirror.max.bytes.per.second= 500000 \nkmirror.compression=configured\n\
         producer.override.compression.type=zstd\nkmirror.poison.policy=park\n\
         kmirror.target.regressed.policy=recopy\ntransforms=a,b\ntransforms.a.type=Filter\ntransforms.b.type=DropHeaders\n\
         transforms.b.headers=x\ntransforms.b.heders=y\n",
    )
    .unwrap();
    assert_eq!((config.mirror.tasks_max, config.mirror.enabled), (4, false));
    assert_eq!(config.mirror.target_bootstrap, Some(vec!["b:1".to_owned(), "c:2".to_owned()]));
    assert!(config.topics.matches("y") && config.topics_exclude.matches("y") && !config.topics_exclude.matches("x"));
    assert!(!config.config_properties_exclude.matches("min.insync.replicas"));
    assert!(config.use_defaults_from_source && !config.heartbeats_replication);
    assert_eq!((config.refresh_topics, config.replication_factor), (None, -1));
    assert_eq!(config.mirror.admin_timeout, Duration::from_millis(5));
    assert_eq!(config.auto_offset_reset, AutoOffsetReset::Latest);
    assert_eq!(config.isolation_level, IsolationLevel::ReadUncommitted);
    assert_eq!(config.mirror.policy.class, "com.amazonaws.kafka.samples.CustomMM2ReplicationPolicy");
    assert_eq!(config.mirror.policy.separator.as_deref(), Some(" "), "not trimmed");
    assert!(!config.mirror.policy.internal_topic_separator_enabled);
    assert_eq!(config.max_bytes_per_second, Some(500_000));
    assert_eq!(config.compression, Compression::Configured(Compressor::Zstd { level: 3 }));
    assert_eq!(config.transforms.len(), 2);
    let unread = "no effect, no transformation or predicate of that alias reads them: transforms.b.heders";
    assert!(config.hints.contains(&Hint::Warn(unread.to_owned())), "{:?}", config.hints);
    assert_eq!(config.poison, PoisonPolicy::Park { topic: "kmirror.poison.A".to_owned() });
    let gaps = GapPolicies { target_regressed: GapPolicy::Recopy, ..GapPolicies::default() };
    assert_eq!(config.gaps, gaps);
    let config = parse(
        "emit.offset-syncs.enabled=false\nsync.topic.configs.interval.seconds=5\nsync.topic.acls.enabled=false\n\
         use.incremental.alter.configs=never\nkmirror.topic.deletion= 60000 \nkmirror.acls.prefixed=true\n\
         kmirror.acls.write=true\nkmirror.acls.groups=true\nkmirror.acls.transactional.ids=true\n\
         kmirror.acls.remove=true\nkmirror.acls.principal.mapping.rules=RULE:^CN=(.*)$/$1/L",
    )
    .unwrap();
    assert_eq!((config.offset_syncs, config.alter_configs), (None, AlterConfigs::Never));
    assert_eq!((config.sync_topic_configs, config.sync_topic_acls), (Some(Duration::from_secs(5)), None));
    assert_eq!(config.topic_deletion, Some(Duration::from_secs(60)));
    let acls = &config.acls;
    assert!(acls.prefixed && acls.write && acls.groups && acls.transactional_ids && acls.remove);
    assert_eq!((acls.principals.name("CN=Anna").as_deref(), acls.principals.name("anna")), (Some("anna"), None));
    assert_eq!(parse("use.incremental.alter.configs=required").unwrap().alter_configs, AlterConfigs::Required);
    assert_eq!(parse("kmirror.topic.deletion=0").unwrap().topic_deletion, Some(Duration::ZERO));
    assert_eq!(parse("kmirror.max.bytes.per.second=0").unwrap().max_bytes_per_second, None);
}

#[test]
fn one_error_a_key() {
    // (line, key, part of the message)
    let table = [
        ("name=", "name", "String may not be empty"),
        ("tasks.max=abc", "tasks.max", "Invalid value abc for configuration tasks.max: Not a number of type INT"),
        ("tasks.max=0", "tasks.max", "Invalid value 0 for configuration tasks.max: Value must be at least 1"),
        ("enabled=maybe", "enabled", "Expected value to be either true or false"),
        ("source.cluster.alias= ", "source.cluster.alias", "String must be non-empty"),
        ("source.cluster.bootstrap.servers=a", "source.cluster.bootstrap.servers", "a is not of the form host:port"),
        ("source.consumer.bootstrap.servers=", "source.consumer.bootstrap.servers", "at least one address"),
        ("target.cluster.bootstrap.servers=b:x", "target.cluster.bootstrap.servers", "b:x is not of the form"),
        ("topics=a,(", "topics", "Invalid value ( for configuration topics: "),
        ("topics.blacklist=(", "topics.blacklist", "Invalid value ( for configuration topics.blacklist: "),
        ("use.defaults.from=me", "use.defaults.from", "String must be one of: source, target"),
        // MirrorSourceConfigTest.testOffsetSyncsTopic
        ("offset-syncs.topic.location=x", "offset-syncs.topic.location", "String must be one of: source, target"),
        ("refresh.topics.interval.seconds=0", "refresh.topics.interval.seconds", "at least 1"),
        ("replication.factor=0", "replication.factor", "must be -1"),
        ("replication.policy.class=x.Y", "replication.policy.class", "Class x.Y could not be found. There are: "),
        ("replication.policy.separator=", "replication.policy.separator", "joined with nothing"),
        ("topic.filter.class=x.Y", "topic.filter.class", "Class x.Y could not be found"),
        ("forwarding.admin.class=x.Y", "forwarding.admin.class", "Class x.Y could not be found"),
        // MirrorConnectorConfigTest.testInvalidSecurityProtocol
        ("security.protocol=tls", "security.protocol", "(case insensitive)"),
        (
            "source.cluster.security.protocol=SASL_SSL",
            "source.cluster.security.protocol",
            "not built yet: PLAINTEXT only",
        ),
        ("target.cluster.security.protocol=ssl", "target.cluster.security.protocol", "not built yet: PLAINTEXT only"),
        ("source.admin.security.protocol=SSL", "source.admin.security.protocol", "not built yet: PLAINTEXT only"),
        (
            "producer.override.security.protocol=SSL",
            "producer.override.security.protocol",
            "not built yet: PLAINTEXT only",
        ),
        ("producer.override.bootstrap.servers=x:1", "producer.override.bootstrap.servers", "the worker's own cluster"),
        (
            "kmirror.max.bytes.per.second=-5",
            "kmirror.max.bytes.per.second",
            "Invalid value -5 for configuration kmirror.max.bytes.per.second: Value must be at least 0",
        ),
        ("kmirror.max.bytes.per.second=1.5", "kmirror.max.bytes.per.second", "Not a number of type LONG"),
        ("kmirror.compression=gzip", "kmirror.compression", "String must be one of: keep, configured"),
        (
            "producer.override.compression.type=GZIP",
            "producer.override.compression.type",
            "String must be one of: none, gzip, snappy, lz4, zstd",
        ),
        ("kmirror.poison.policy=drop", "kmirror.poison.policy", "String must be one of: fail, park, skip"),
        ("kmirror.data.loss.policy=recopy", "kmirror.data.loss.policy", "String must be one of: fail, continue"),
        (
            "kmirror.target.recreated.policy=stop",
            "kmirror.target.recreated.policy",
            "String must be one of: fail, continue, recopy",
        ),
        ("kmirror.poison.topic=a b", "kmirror.poison.topic", "not the name of a topic"),
        ("transforms=a", "transforms.a.type", "Missing required configuration \"transforms.a.type\""),
        ("predicates=a\npredicates.a.type=X", "predicates.a.type", "Class X could not be found. There are: "),
        ("exactly.once.support=required", "exactly.once.support", "not built yet"),
        (
            "exactly.once.support=Required\nconsumer.isolation.level=read_uncommitted",
            "exactly.once.support",
            "isolation.level of the source's consumer has to be read_committed",
        ),
        (
            "kmirror.topic.deletion=5\nkmirror.offset.map.enabled=false",
            "kmirror.topic.deletion",
            "is noted in the offset map, and kmirror.offset.map.enabled is false",
        ),
        ("kmirror.topic.deletion=1 h", "kmirror.topic.deletion", "Value must be never, or a number of at least 0"),
        ("kmirror.acls.remove=x", "kmirror.acls.remove", "either true or false"),
        (
            "kmirror.acls.principal.mapping.rules=RULE:a/b",
            "kmirror.acls.principal.mapping.rules",
            "neither DEFAULT nor RULE:pattern/replacement/ with L or U behind it: RULE:a/b",
        ),
        ("sync.topic.configs.interval.seconds=0", "sync.topic.configs.interval.seconds", "at least 1"),
        ("ssl.keystore.password=x\nsasl.login.connect.timeout.ms=x", "sasl.login.connect.timeout.ms", "Not a number"),
        (
            "offset-syncs.topic.location=target\ntarget.producer.security.protocol=SSL",
            "target.producer.security.protocol",
            "not built yet: PLAINTEXT only",
        ),
        ("offsets.storage.topic=mine", "offsets.storage.topic", "not built yet"),
        ("errors.tolerance=some", "errors.tolerance", "String must be one of: none, all"),
        ("consumer.auto.offset.reset=by_duration:P1D", "consumer.auto.offset.reset", "by_duration is not built yet"),
        ("consumer.isolation.level=none", "consumer.isolation.level", "String must be one of: read_committed"),
        (
            "emit.offset-syncs.enabled=false\noffset-syncs.topic.location=target",
            "emit.offset-syncs.enabled",
            "offset-syncs.topic.location",
        ),
    ];
    for (lines, key, part) in table {
        let errors = parse(lines).expect_err(lines);
        assert_eq!(errors.0.len(), 1, "{lines}: {errors}");
        assert_eq!(errors.0[0].key, key, "{lines}");
        assert!(errors.0[0].message.contains(part), "{lines}: {errors}");
    }
}

#[test]
fn exactly_once_needs_committed_records_of_the_consumer_that_counts() {
    // MirrorSourceConnectorTest.testExactlyOnceSupport, testExactlyOnceSupportValidation
    let messages = |lines: &str| {
        let errors = parse(&format!("exactly.once.support=required\ntasks.max=0\n{lines}")).unwrap_err();
        let keys: Vec<String> = errors.0.iter().map(|error| error.key.clone()).collect();
        assert_eq!(keys, ["tasks.max", "exactly.once.support"], "one a key, whatever is wrong beside it");
        errors.0[1].message.clone()
    };
    let (plain, source) = ("consumer.isolation.level=", "source.consumer.isolation.level=");
    for (lines, is_named) in [
        (String::new(), false),
        (format!("{plain}read_committed"), false),
        (format!("{plain}read_uncommitted"), true),
        (format!("{plain}read_committed\n{source}read_uncommitted"), true),
        (format!("{plain}read_uncommitted\n{source}read_committed"), false),
    ] {
        assert_eq!(messages(&lines).contains("isolation.level"), is_named, "{lines}");
    }
}

#[test]
fn topics_are_matched_as_by_the_default_filter() {
    // MirrorSourceConfigTest.testTopicMatching, testNoTopics, testAllTopics, testListOfTopics
    let selected = |lines: &str, topic: &str| {
        let config = parse(lines).unwrap();
        config.topics.matches(topic) && !config.topics_exclude.matches(topic)
    };
    for (lines, topic, expected) in [
        ("topics=topic1", "topic1", true),
        ("topics=topic1", "topic2", false),
        ("topics=", "topic1", false),
        ("topics=.*", "topic1", true),
        ("", "topic1", true),
        ("", "mm2-offset-syncs.b.internal", false),
        ("", "__consumer_offsets", false),
        ("", "a.replica", false),
        ("topics=topic1,topic2", "topic2", true),
        ("topics=topic1,topic2", "topic3", false),
        ("topics=prefix.*", "prefix-a", true),
        ("topics=topic.*\ntopics.exclude=topic2", "topic1", true),
        ("topics=topic.*\ntopics.exclude=topic2", "topic2", false),
        ("topics=topic.*\ntopics.blacklist=topic2,topic3", "topic3", false),
        ("topics=topic.*\ntopics.exclude=", "topic2", true),
    ] {
        assert_eq!(selected(lines, topic), expected, "{lines}: {topic}");
    }
}

#[test]
fn topic_settings_are_matched_as_by_the_default_filter() {
    // MirrorSourceConfigTest.testConfigPropertyMatching
    let copied = |lines: &str, setting: &str| !parse(lines).unwrap().config_properties_exclude.matches(setting);
    for (lines, setting, expected) in [
        ("", "cleanup.policy", true),
        ("", "min.insync.replicas", false),
        ("", "follower.replication.throttled.replicas", false),
        ("config.properties.exclude=prop2", "min.insync.replicas", true),
        ("config.properties.exclude=prop2", "prop1", true),
        ("config.properties.exclude=prop2", "prop2", false),
        ("config.properties.blacklist=a, delete\\\\.retention\\\\..*", "delete.retention.ms", false),
    ] {
        assert_eq!(copied(lines, setting), expected, "{lines}: {setting}");
    }
}

#[test]
fn offset_syncs_go_where_their_location_says() {
    // MirrorSourceConfigTest.testOffsetSyncsTopic, testProducerConfigsForOffsetSyncsTopic, testAdminConfigsForOffsetSyncsTopic
    let lines = "target.cluster.alias=B\ntarget.cluster.bootstrap.servers=b:1\nproducer.acks=1\n\
                 source.producer.linger.ms=1\ntarget.producer.linger.ms=2\nadmin.retries=3\ntarget.admin.retries=4\n";
    for (location, alias, address, linger, retries) in
        [("source", "B", "a:9092", "1", "3"), ("target", "A", "b:1", "2", "4")]
    {
        let text = format!(
            "name=n\nconnector.class=MirrorSource\nsource.cluster.alias=A\nsource.cluster.bootstrap.servers=a:9092\n\
             {lines}offset-syncs.topic.location={location}\n"
        );
        let raw = read_properties(&text).unwrap();
        let config = SourceConnectorConfig::parse(&raw, &worker("")).unwrap();
        let syncs = config.offset_syncs.unwrap();
        assert_eq!(syncs.bootstrap.as_deref(), Some(&[address.to_owned()][..]));
        let side = syncs.location;
        assert_eq!(config.mirror.offset_syncs_alias(side), alias, "mm2-offset-syncs.{alias}.internal");
        let producer = effective_client(&raw, side, ClientRole::Producer);
        let admin = effective_client(&raw, side, ClientRole::Admin);
        assert_eq!(producer["bootstrap.servers"].value, address);
        assert_eq!((producer["linger.ms"].value.as_str(), producer["acks"].value.as_str()), (linger, "1"));
        assert_eq!(
            (&admin["bootstrap.servers"].value, admin["retries"].value.as_str()),
            (&address.to_owned(), retries)
        );
    }
}

#[test]
fn what_is_accepted_and_changes_nothing() {
    for line in [
        "errors.tolerance=all\nerrors.log.enable=true",
        "exactly.once.support=requested",
        "emit.offset-syncs.enabled=false",
        "connector.plugin.version=4.1.0",
        "ssl.keystore.location=x\nssl.keystore.password=x",
        // MirrorConnectorConfigTest.testCaseInsensitiveSecurityProtocol
        "security.protocol=sasl_ssl",
        "producer.override.bootstrap.servers=w:9092",
        "transforms=",
        "refresh.topics.interval.seconds=-1",
        "some.unknown.key=1",
        "use.incremental.alter.configs=never",
    ] {
        parse(line).unwrap_or_else(|errors| panic!("{line}: {errors}"));
    }
}

#[test]
fn all_errors_at_once() {
    let raw = read_properties(
        "connector.class=MirrorSource\ntasks.max=x\ntopics=(\nconsumer.auto.offset.reset=y\nreplication.policy.class=z",
    )
    .unwrap();
    let errors = SourceConnectorConfig::parse(&raw, &worker("")).unwrap_err();
    let keys: Vec<&str> = errors.0.iter().map(|error| error.key.as_str()).collect();
    for key in [
        "name",
        "tasks.max",
        "source.cluster.alias",
        "source.cluster.bootstrap.servers",
        "topics",
        "consumer.auto.offset.reset",
        "replication.policy.class",
    ] {
        assert_eq!(keys.iter().filter(|found| **found == key).count(), 1, "{key}: {errors}");
    }
    assert_eq!(keys.len(), 7, "{errors}");
    assert!(errors.connect_message().contains("the following 7 error(s):"));
}

#[test]
fn an_unknown_class_is_the_only_error() {
    let raw = Properties::from([("connector.class".to_owned(), "org.x.Y".to_owned())]);
    let errors = SourceConnectorConfig::parse(&raw, &worker("")).unwrap_err();
    assert_eq!(errors.0.len(), 1, "{errors}");
    assert_eq!(errors.0[0].key, "connector.class");
}

#[test]
fn the_workers_override_policy_holds() {
    let raw = read_properties(
        "name=n\nconnector.class=MirrorSource\nsource.cluster.alias=A\nsource.cluster.bootstrap.servers=a:1\n\
         producer.override.compression.type=gzip\nproducer.override.sasl.mechanism=PLAIN\n",
    )
    .unwrap();
    let refused = |policy: &str| match SourceConnectorConfig::parse(
        &raw,
        &worker(&format!("connector.client.config.override.policy={policy}")),
    ) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.0.into_iter().map(|error| error.message).collect(),
    };
    assert_eq!(refused("All"), Vec::<String>::new());
    assert_eq!(
        refused("Principal"),
        ["The 'Principal' policy does not allow 'compression.type' to be overridden in the connector configuration."]
    );
    assert_eq!(refused("None").len(), 2);
}

#[test]
fn the_aws_samples_connector_is_taken_as_it_is() {
    let raw = |more: &str| {
        let mut text = String::from(
            "name=mm2-msc\nconnector.class=org.apache.kafka.connect.mirror.MirrorSourceConnector\n\
             replication.policy.class=com.amazonaws.kafka.samples.CustomMM2ReplicationPolicy\n\
             clusters=msksource,mskdest\nsource.cluster.alias=msksource\ntarget.cluster.alias=mskdest\n\
             target.cluster.bootstrap.servers=t:9092\nsource.cluster.bootstrap.servers=s:9092\n\
             topics=^ExampleTopic[\\\\w]*\ntasks.max=4\n\
             key.converter=\\ org.apache.kafka.connect.converters.ByteArrayConverter\n\
             value.converter=org.apache.kafka.connect.converters.ByteArrayConverter\nreplication.factor=3\n\
             offset-syncs.topic.replication.factor=3\nsync.topic.acls.interval.seconds=600\n\
             sync.topic.configs.interval.seconds=600\nrefresh.topics.interval.seconds=300\n\
             refresh.groups.interval.seconds=20\nproducer.enable.idempotence=true\nconsumer.group.id=mm2-msc\n",
        );
        for prefix in ["source.cluster.", "target.cluster.", "producer.override."] {
            for (setting, value) in [
                ("max.poll.records", "20000"),
                ("receive.buffer.bytes", "33554432"),
                ("send.buffer.bytes", "33554432"),
                ("max.partition.fetch.bytes", "33554432"),
                ("message.max.bytes", "37755000"),
                ("compression.type", "gzip"),
                ("max.request.size", "26214400"),
                ("buffer.memory", "524288000"),
                ("batch.size", "52428"),
            ] {
                text.push_str(&format!("{prefix}{setting}={value}\n"));
            }
        }
        text.push_str(more);
        read_properties(&text).unwrap()
    };
    let plain = raw("");
    assert!(plain["key.converter"].starts_with(' '));
    let config = SourceConnectorConfig::parse(&plain, &worker("")).unwrap();
    assert!(config.topics.matches("ExampleTopic1") && !config.topics.matches("Other"));
    assert_eq!((config.mirror.tasks_max, config.replication_factor), (4, 3));
    // What tunes the producer, and what nobody reads.
    let warned = |hint: &Hint| matches!(hint, Hint::Warn(_));
    assert_eq!(config.hints.iter().map(warned).collect::<Vec<_>>(), [true, false], "{:#?}", config.hints);

    let secured = raw("source.cluster.security.protocol=SASL_SSL\nsource.cluster.sasl.mechanism=SCRAM-SHA-512\n\
         source.cluster.sasl.jaas.config= x required username=\"u\" password=\"secret\" ; \n\
         target.cluster.security.protocol=SSL\ntarget.cluster.ssl.keystore.password=secret\n");
    let errors = SourceConnectorConfig::parse(&secured, &worker("")).unwrap_err();
    let keys: Vec<&str> = errors.0.iter().map(|error| error.key.as_str()).collect();
    assert_eq!(keys, ["source.cluster.security.protocol", "target.cluster.security.protocol"]);
    assert!(!errors.to_string().contains("secret"), "{errors}");
}
