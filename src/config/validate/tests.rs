use super::*;
use crate::config::read_properties;

/// What Connect tells of these keys, by its own classes.
const CONNECT: &str = include_str!("connect-4.1.1.tsv");

fn worker(more: &str) -> WorkerConfig {
    let text = format!(
        "group.id=g\nkey.converter=c\nvalue.converter=c\nconfig.storage.topic=c\noffset.storage.topic=o\n\
         status.storage.topic=s\nbootstrap.servers=w:9092\n{more}"
    );
    WorkerConfig::parse(&read_properties(&text).unwrap()).unwrap()
}

/// Configurations are written as properties; a value `null` is none.
fn given(lines: &str) -> BTreeMap<String, Option<String>> {
    let raw = read_properties(lines).unwrap();
    raw.into_iter().map(|(key, value)| (key, (value != "null").then_some(value))).collect()
}

/// A working configuration of a class with lines more, or other ones.
fn infos(class: &str, more: &str) -> ConfigInfos {
    let text = format!(
        "name=c\nconnector.class={class}\nsource.cluster.alias=A\nsource.cluster.bootstrap.servers=a:9092\n{more}"
    );
    validate(class, &given(&text), &worker("")).unwrap_or_else(|message| panic!("{class}: {message}"))
}

/// The one entry of a key.
fn info<'a>(infos: &'a ConfigInfos, key: &str) -> &'a ConfigInfo {
    let found: Vec<&ConfigInfo> = infos.configs.iter().filter(|info| info.name == key).collect();
    assert_eq!(found.len(), 1, "{key}");
    found[0]
}

#[test]
fn keys_are_those_of_connect_in_its_order() {
    for class in ["MirrorSource", "MirrorCheckpoint", "MirrorHeartbeat"] {
        let of_class = |line: &&str| ["*", class].contains(&line.split('\t').next().unwrap_or_default());
        let connects: Vec<&str> = CONNECT.lines().filter(of_class).collect();
        let names: BTreeSet<&str> = connects.iter().filter_map(|line| line.split('\t').nth(1)).collect();
        assert!(names.len() > 90 && names.len() == connects.len(), "{class}: {}", names.len());
        let infos = infos(class, "");
        let ours: Vec<String> = infos
            .configs
            .iter()
            .filter(|info| names.contains(info.name.as_str()))
            .map(|info| {
                let Some(definition) = &info.definition else { panic!("{} has no definition", info.name) };
                let first = if connects.iter().any(|line| line.starts_with(&format!("*\t{}\t", info.name))) {
                    "*"
                } else {
                    class
                };
                let default = if definition.is_required() { "!" } else { definition.default.as_deref().unwrap_or("-") };
                [
                    first,
                    &info.name,
                    definition.key.kind.name(),
                    default,
                    definition.key.importance.name(),
                    definition.group.as_deref().unwrap_or("-"),
                    &definition.order.to_string(),
                    definition.width.name(),
                    &definition.display_name,
                ]
                .join("\t")
            })
            .collect();
        assert_eq!(ours, connects, "{class}");
        let groups = [
            "Common",
            "Transforms",
            "Predicates",
            "Error Handling",
            "Topic Creation",
            "Exactly Once Support",
            "offsets.topic",
        ];
        assert_eq!(
            (infos.name.as_str(), infos.error_count, infos.groups.as_slice()),
            (class, 0, &groups.map(str::to_owned)[..])
        );
        assert!(infos.configs.iter().all(|info| info.errors.is_empty() && info.recommended.is_empty()));
    }
}

#[test]
fn a_class_goes_by_all_its_names() {
    let full = "org.apache.kafka.connect.mirror.MirrorCheckpointConnector";
    for name in [full, "MirrorCheckpointConnector", "MirrorCheckpoint"] {
        for plugin in [full, "MirrorCheckpointConnector", "MirrorCheckpoint", "Checkpoint"] {
            let infos = validate(plugin, &given(&format!("connector.class={name}")), &worker("")).unwrap();
            assert_eq!((infos.name.as_str(), info(&infos, "groups").value.as_deref()), (name, Some(".*")), "{plugin}");
        }
    }
}

#[test]
fn requests_that_are_wrong_are_told_as_by_connect() {
    let refused = |plugin: &str, lines: &str| validate(plugin, &given(lines), &worker("")).unwrap_err();
    assert_eq!(
        refused("MirrorSource", "name=c\nsource.cluster.sasl.jaas.config=secret\ntopics=null"),
        "Connector config {name=c, source.cluster.sasl.jaas.config=[hidden], topics=null} contains no connector type"
    );
    assert_eq!(
        refused("MirrorSource", "connector.class=null"),
        "Connector config {connector.class=null} contains no connector type"
    );
    assert_eq!(
        refused("MirrorSource", "connector.class=MirrorCheckpoint"),
        "Included connector type MirrorCheckpoint does not match request type MirrorSource"
    );
    assert_eq!(
        refused("Foo", "connector.class=MirrorSource"),
        "Included connector type MirrorSource does not match request type Foo"
    );
    assert_eq!(
        refused("Foo", "connector.class=org.x.FooConnector"),
        "Failed to find any class that implements Connector and which name matches org.x.FooConnector, available \
         connectors are: org.apache.kafka.connect.mirror.MirrorCheckpointConnector, \
         org.apache.kafka.connect.mirror.MirrorHeartbeatConnector, \
         org.apache.kafka.connect.mirror.MirrorSourceConnector"
    );
}

#[test]
fn values_are_shown_as_they_were_read() {
    let infos = infos(
        "MirrorSource",
        "tasks.max= 4 \ntopics= a , b\nenabled=FALSE\nreplication.policy.class=IdentityReplicationPolicy\n\
         sasl.jaas.config=secret\nreplication.factor=x\noffset.lag.max=-1\ntopics.blacklist=z",
    );
    for (key, value) in [
        ("name", Some("c")),
        ("tasks.max", Some("4")),
        ("topics", Some("a,b")),
        ("topics.exclude", Some("z")),
        ("enabled", Some("false")),
        ("replication.policy.class", Some("org.apache.kafka.connect.mirror.IdentityReplicationPolicy")),
        ("sasl.jaas.config", Some("[hidden]")),
        ("replication.factor", None),
        ("offset.lag.max", Some("-1")),
        ("groups", None),
        ("refresh.topics.interval.seconds", Some("600")),
        ("transforms", Some("")),
        ("key.converter", None),
    ] {
        if key == "groups" {
            assert!(infos.configs.iter().all(|info| info.name != key), "not this connector's");
        } else {
            assert_eq!(info(&infos, key).value.as_deref(), value, "{key}");
        }
    }
    let message = "Invalid value x for configuration replication.factor: Not a number of type INT";
    assert_eq!(info(&infos, "replication.factor").errors, [message]);
    let message = "Invalid value -1 for configuration offset.lag.max: Value must be at least 0";
    assert_eq!(info(&infos, "offset.lag.max").errors, [message]);
    assert_eq!(infos.error_count, 2);
}

#[test]
fn errors_stand_with_their_keys() {
    let text = "connector.class=MirrorSource\ntopics=a,(,[\nsource.consumer.isolation.level=x\nname=null\nx.y=null";
    let infos = validate("MirrorSource", &given(text), &worker("")).unwrap();
    // Those that nothing defines come first.
    let first: Vec<&str> = infos.configs.iter().take(4).map(|info| info.name.as_str()).collect();
    assert_eq!(first, ["source.cluster.bootstrap.servers", "source.consumer.isolation.level", "x.y", "name"]);
    assert!(infos.configs[..3].iter().all(|info| info.definition.is_none() && info.errors.len() == 1));
    let null = "Null value can not be supplied as the configuration value.";
    assert_eq!(
        (info(&infos, "name").errors.as_slice(), info(&infos, "x.y").errors.as_slice()),
        (&[null.to_owned()][..], &[null.to_owned()][..])
    );
    let missing = "Missing required configuration \"source.cluster.alias\" which has no default value.";
    assert_eq!(info(&infos, "source.cluster.alias").errors, [missing]);
    assert_eq!(info(&infos, "topics").errors.len(), 2);
    assert_eq!(infos.error_count, 7);
    let counted: usize = infos.configs.iter().map(|info| info.errors.len()).sum();
    assert_eq!(counted, infos.error_count);
}

#[test]
fn other_connectors_are_judged_by_their_own_rules() {
    let checkpoint = infos("MirrorCheckpoint", "emit.checkpoints.enabled=false\nemit.offset-syncs.enabled=false");
    assert_eq!(checkpoint.error_count, 2);
    assert_eq!(info(&checkpoint, "emit.checkpoints.enabled").errors.len(), 1);
    assert_eq!(info(&checkpoint, "emit.offset-syncs.enabled").errors.len(), 1);
    let heartbeat = infos("MirrorHeartbeat", "emit.heartbeats.interval.seconds=0");
    assert_eq!((heartbeat.error_count, info(&heartbeat, "emit.heartbeats.interval.seconds").errors.len()), (1, 1));
}

#[test]
fn transformations_and_predicates_add_their_keys() {
    let infos = infos(
        "MirrorSource",
        "transforms=r,f,r\ntransforms.r.type=RegexRouter\ntransforms.r.regex=a\ntransforms.r.predicate=p\n\
         predicates=p\npredicates.p.type=org.x.Y",
    );
    let of = |key: &str| {
        let found = info(&infos, key);
        let definition = found.definition.as_ref().unwrap();
        (definition.group.clone().unwrap(), definition.order, found.value.clone(), found.errors.len())
    };
    let (r, f, p) = ("Transforms: r".to_owned(), "Transforms: f".to_owned(), "Predicates: p".to_owned());
    let router = "org.apache.kafka.connect.transforms.RegexRouter".to_owned();
    assert_eq!(of("transforms.r.type"), (r.clone(), 0, Some(router), 0));
    assert_eq!(of("transforms.r.regex"), (r.clone(), 1, Some("a".to_owned()), 0));
    assert_eq!(of("transforms.r.replacement"), (r.clone(), 2, None, 1));
    assert_eq!(of("transforms.r.predicate"), (r, 3, Some("p".to_owned()), 0));
    assert_eq!(of("transforms.f.type"), (f.clone(), 0, None, 1));
    assert_eq!(of("transforms.f.negate"), (f, 2, Some("false".to_owned()), 0));
    assert_eq!(of("predicates.p.type"), (p, 0, Some("org.x.Y".to_owned()), 1));
    assert_eq!(info(&infos, "transforms").errors.len(), 1, "an alias is there twice");
    assert_eq!(info(&infos, "transforms.r.type").recommended, TRANSFORMATIONS);
    assert_eq!(info(&infos, "predicates.p.type").recommended, PREDICATES);
    let definition = info(&infos, "transforms.r.type").definition.as_ref().unwrap();
    assert_eq!((definition.display_name.as_str(), definition.width), ("Transformation type for r", Width::Long));
    assert_eq!(infos.groups[7..], ["Transforms: r", "Transforms: f", "Predicates: p"]);
    // Behind the framework's keys, before the connector's.
    let at = |key: &str| infos.configs.iter().position(|info| info.name == key).unwrap();
    assert!(at("offsets.storage.topic") < at("transforms.r.type") && at("predicates.p.type") < at("enabled"));
}

#[test]
fn overrides_are_judged_by_the_workers_policy() {
    let text = "name=c\nconnector.class=MirrorSource\nsource.cluster.alias=A\nsource.cluster.bootstrap.servers=a:1\n\
                producer.override.linger.ms=1\nproducer.override.sasl.jaas.config=secret";
    let worker = worker("connector.client.config.override.policy=Principal");
    let infos = validate("MirrorSource", &given(text), &worker).unwrap();
    let last: Vec<&ConfigInfo> = infos.configs.iter().rev().take(2).rev().collect();
    assert_eq!((last[0].name.as_str(), last[0].errors.len()), ("producer.override.linger.ms", 1));
    assert_eq!((last[1].value.as_deref(), last[1].errors.len()), (Some("[hidden]"), 0));
    assert_eq!((infos.error_count, last[1].definition.is_none()), (1, true));
}
