use ConfigSource::{Default as Unset, DynamicBroker, StaticBroker, Topic};
use proptest::prelude::*;

use super::*;
use crate::mirror::selection::tests::config;

const MAX: &str = "9223372036854775807";

fn rules(lines: &str) -> TopicRules {
    let config = config(lines);
    TopicRules {
        replication_factor: config.replication_factor,
        config_exclude: config.config_properties_exclude,
        use_defaults_from_source: config.use_defaults_from_source,
    }
}

fn entry(name: &str, value: &str, source: ConfigSource) -> ConfigEntry {
    ConfigEntry { name: name.to_owned(), value: Some(value.to_owned()), read_only: false, sensitive: false, source }
}

fn set(name: &str, value: &str) -> ConfigChange {
    ConfigChange::Set { name: name.to_owned(), value: value.to_owned() }
}

fn delete(name: &str) -> ConfigChange {
    ConfigChange::Delete { name: name.to_owned() }
}

/// The target's settings after changes, by AlterConfigs' rules in either form.
fn applied(target: &[ConfigEntry], own: &[(String, String)]) -> Vec<ConfigEntry> {
    let mut after = target.to_vec();
    for entry in &mut after {
        if entry.source == Topic {
            *entry = super::tests::entry(&entry.name, "default", Unset);
        }
    }
    for (name, value) in own {
        after.retain(|entry| entry.name != *name);
        after.push(entry(name, value, Topic));
    }
    after
}

#[test]
fn a_change_on_the_target_is_overwritten_and_an_excluded_one_stays() {
    // MirrorConnectorsIntegrationBaseTest.testSyncTopicConfigs
    let rules = rules("config.properties.exclude=delete\\\\.retention\\\\..*");
    let source = [entry("delete.retention.ms", "1000", Topic), entry("retention.bytes", "1000", Topic)];
    let target = [entry("delete.retention.ms", "2000", Topic), entry("retention.bytes", "2000", Topic)];
    assert_eq!(changes(&source, &target, &rules), [set("retention.bytes", "1000")]);
    // Excluded, and default at the source.
    let source = [entry("delete.retention.ms", "86400000", Unset), entry("retention.bytes", "2000", Topic)];
    assert_eq!(changes(&source, &target, &rules), []);
}

#[test]
fn defaults_of_the_source_are_set_where_they_are_to_be_used() {
    // MirrorConnectorsIntegrationBaseTest.testReplicateSourceDefault
    let rules = rules("use.defaults.from=source\nconfig.properties.exclude=delete\\\\.retention\\\\..*");
    let source = [entry("delete.retention.ms", "86400000", Unset), entry("retention.bytes", "-1", Unset)];
    let target = [entry("delete.retention.ms", "2000", Topic), entry("retention.bytes", "2000", Topic)];
    assert_eq!(changes(&source, &target, &rules), [set("retention.bytes", "-1")]);
    // Set on the topic then, as by MirrorMaker: the target's default may change.
    let target = [entry("retention.bytes", "-1", Unset)];
    assert_eq!(changes(&source, &target, &rules), [set("retention.bytes", "-1")]);
    assert_eq!(changes(&source, &[entry("retention.bytes", "-1", Topic)], &rules), []);
}

#[test]
fn what_is_no_longer_set_on_the_source_is_taken_away_on_the_target() {
    // MirrorConnectorsIntegrationBaseTest.testReplicateTargetDefault
    let source = [entry("retention.bytes", "-1", Unset)];
    assert_eq!(changes(&source, &[entry("retention.bytes", "1000", Topic)], &rules("")), [delete("retention.bytes")]);
    for not_own in [Unset, StaticBroker, DynamicBroker] {
        assert_eq!(changes(&source, &[entry("retention.bytes", "1000", not_own)], &rules("")), []);
    }
}

#[test]
fn settings_are_filtered_as_by_mirrormaker() {
    // MirrorSourceConnectorTest.testConfigPropertyFiltering, testConfigPropertyFilteringWithAlterConfigs,
    // testConfigPropertyFilteringWithAlterConfigsAndSourceDefault, testNewTopicConfigs: name-1 is set, name-2 default,
    // min.insync.replicas excluded.
    let source = [
        entry("name-1", "value-1", Topic),
        entry("name-2", "value-2", Unset),
        entry("min.insync.replicas", "2", Topic),
    ];
    let target = [entry("name-1", "other", Topic), entry("name-2", "other", Topic), entry("kept", "1", Topic)];
    let incremental = changes(&source, &target, &rules(""));
    assert_eq!(incremental, [set("name-1", "value-1"), delete("name-2")]);
    let row = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(replacement(&target, &incremental), [row("kept", "1"), row("name-1", "value-1")]);
    let with_defaults = changes(&source, &target, &rules("use.defaults.from=source"));
    assert_eq!(
        replacement(&target, &with_defaults),
        [row("kept", "1"), row("name-1", "value-1"), row("name-2", "value-2")]
    );
    let excluded = rules("config.properties.exclude=name-.*");
    assert_eq!(changes(&source, &target, &excluded), [set("min.insync.replicas", "2")]);
}

#[test]
fn what_is_a_brokers_or_a_secret_is_left_alone() {
    let read_only = ConfigEntry { read_only: true, ..entry("read.only", "1", Unset) };
    let secret = ConfigEntry { sensitive: true, value: None, ..entry("secret", "", Topic) };
    let source =
        [entry("segment.bytes", "7", StaticBroker), entry("retention.ms", "5", DynamicBroker), read_only, secret];
    let target = ["segment.bytes", "retention.ms", "read.only", "secret", "target.only"].map(|n| entry(n, "1", Topic));
    assert_eq!(changes(&source, &target, &rules("")), [set("retention.ms", "5")]);
    // Equal by the target's own default, but not of its own.
    let target = [entry("retention.ms", "5", Unset)];
    assert_eq!(changes(&source, &target, &rules("")), [set("retention.ms", "5")]);
}

#[test]
fn limits_of_time_hold_and_are_never_taken_away() {
    let [before, after] = TIME_LIMITS;
    let difference = "message.timestamp.difference.max.ms";
    let changed = |source: &[ConfigEntry], target: &[ConfigEntry]| changes(source, target, &rules(""));
    // The target has them as they are made with a new topic.
    let source = [entry(before, MAX, Unset), entry(after, MAX, Unset), entry(difference, "7", Topic)];
    let made: Vec<ConfigEntry> = [before, after].map(|name| entry(name, "7", Topic)).into();
    assert_eq!(changed(&source, &made), []);
    // Or is made by others: only what does not hold is set.
    let target = [entry(before, "7", Unset), entry(after, "3600000", Unset)];
    assert_eq!(changed(&source, &target), [set(after, "7")]);
    // 4.x to 4.x, nothing set; and to a target that does not know them.
    let source = [entry(before, MAX, Unset), entry(after, "3600000", Unset)];
    assert_eq!(changed(&source, &source), []);
    assert_eq!(changed(&source, &[]), []);
    // Set on the source they are as any other.
    let source = [entry(before, "5", Topic), entry(after, "3600000", Unset)];
    let target = [entry(before, "5", Unset), entry(after, "3600000", Unset)];
    assert_eq!(changed(&source, &target), [set(before, "5")]);
    // Defaults too, where those of the source are to be used.
    let of_source = changes(&source, &target, &rules("use.defaults.from=source"));
    assert_eq!(of_source, [set(after, "3600000"), set(before, "5")]);
    let excluded = rules("config.properties.exclude=message.*");
    assert_eq!(changes(&source, &[entry(before, "1", Topic)], &excluded), []);
}

#[test]
fn topics_that_need_nothing_are_left_out() {
    let (source, other) = ([entry("retention.ms", "5", Topic)], [entry("retention.ms", "6", Topic)]);
    let described = |remote, target| Described { remote, source: &source, target };
    let topics = [described("a", &source[..]), described("b", &other), described("c", &other)];
    let mut refusals = Refusals::default();
    let changed = |refusals: &Refusals| -> Vec<String> {
        plan(topics, &rules(""), refusals).into_iter().map(|topic| topic.topic).collect()
    };
    assert_eq!(changed(&refusals), ["b", "c"]);

    // Refused there, until another value is wanted.
    assert!(refusals.note("b", set("retention.ms", "5"), "no"));
    assert!(!refusals.note("b", set("retention.ms", "5"), "no, again"), "no news");
    assert_eq!(changed(&refusals), ["c"]);
    assert_eq!(refusals.iter().collect::<Vec<_>>(), [("b", &set("retention.ms", "5"), "no, again")]);
    assert!(refusals.note("b", set("retention.ms", "9"), "nor that"));
    assert_eq!(changed(&refusals), ["b", "c"]);
    refusals.retain(|topic| topic != "b");
    assert_eq!(refusals, Refusals::default());
}

#[test]
fn one_refused_setting_does_not_keep_the_others() {
    let failure = |code: i16, message: &str| wire::Error::Broker {
        cluster: "target".to_owned(),
        api: "IncrementalAlterConfigs",
        resource: "topic t".to_owned(),
        code,
        message: Some(message.to_owned()),
    };
    let (a, b) = (set("retention.ms", "-5"), delete("segment.ms"));
    let both = [a.clone(), b.clone()];
    let without = |refused: &ConfigChange, rest: &[ConfigChange]| AfterRefusal::Without {
        refused: refused.clone(),
        rest: rest.to_vec(),
    };
    let named = failure(40, "Invalid value -5 for configuration retention.ms: Value must be at least -1");
    assert_eq!(refused(&both, &named), without(&a, std::slice::from_ref(&b)));
    let policy = failure(44, "The policy does not allow segment.ms");
    assert_eq!(refused(&both, &policy), without(&b, std::slice::from_ref(&a)));
    let unclear = failure(44, "not allowed for this tenant");
    assert_eq!(refused(&both, &unclear), AfterRefusal::OneByOne);
    assert_eq!(refused(std::slice::from_ref(&a), &unclear), without(&a, &[]));
    for other in [failure(29, "retention.ms"), failure(3, "retention.ms")] {
        assert_eq!(refused(&both, &other), AfterRefusal::NotASetting);
    }
    let lost = wire::Error::Disconnected {
        cluster: "target".to_owned(),
        broker: "b".to_owned(),
        api: "IncrementalAlterConfigs",
        cause: "retention.ms".to_owned(),
    };
    assert_eq!(refused(&both, &lost), AfterRefusal::NotASetting);
}

fn entries() -> impl Strategy<Value = Vec<ConfigEntry>> {
    let source = prop::sample::select(&[Topic, Unset, DynamicBroker, StaticBroker][..]);
    let one = (prop::sample::select(&["1", "2", "3"][..]), source, prop::bool::weighted(0.8));
    prop::collection::vec(one, 8).prop_map(|rows| {
        let names = ["a", "b", "c", "d", "x.a", "x.b", TIME_LIMITS[0], TIME_LIMITS[1]];
        let rows = names.into_iter().zip(rows).filter(|(_, (_, _, is_there))| *is_there);
        rows.map(|(name, (value, source, _))| entry(name, value, source)).collect()
    })
}

proptest! {
    #[test]
    fn once_changed_nothing_differs_and_what_is_left_alone_stays(
        source in entries(), target in entries(), from_source: bool,
    ) {
        let from = if from_source { "source" } else { "target" };
        let rules = rules(&format!("use.defaults.from={from}\nconfig.properties.exclude=x\\\\..*"));
        let changes = changes(&source, &target, &rules);
        let after = applied(&target, &replacement(&target, &changes));
        prop_assert_eq!(super::changes(&source, &after, &rules), vec![]);
        let own = |entries: &[ConfigEntry], name: &str| {
            entries.iter().find(|e| e.name == name && e.source == Topic).and_then(|e| e.value.clone())
        };
        for name in ["a", "b", "c", "d", "x.a", "x.b"] {
            let there = source.iter().find(|e| e.name == name).filter(|_| !name.starts_with('x'));
            let expected = match there.map(|e| e.source) {
                Some(Topic | DynamicBroker) => there.and_then(|e| e.value.clone()),
                Some(Unset) => there.filter(|_| from_source).and_then(|e| e.value.clone()),
                _ => own(&target, name),
            };
            prop_assert_eq!(own(&after, name), expected, "{}", name);
        }
    }
}
