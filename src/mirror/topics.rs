//! Topics on the target: made when they are missing, given more partitions when the source has more.

use std::collections::{BTreeMap, BTreeSet};

use tracing::{info, warn};
use wire::{Cluster, ConfigEntry, ConfigSource, NewTopic, ResponseError, TopicMetadata};

use super::{Error, MirroredTopic};
use crate::config::RegexList;

/// Topics named in one request: a controller that is asked for thousands at once answers too late.
const TOPICS_PER_REQUEST: usize = 200;

/// How topics are made.
#[derive(Debug, Clone)]
pub(super) struct TopicRules {
    /// −1 for the broker's default.
    pub(super) replication_factor: i16,
    /// Settings that are not copied.
    pub(super) config_exclude: RegexList,
    /// Whether settings that are defaults on the source are copied.
    pub(super) use_defaults_from_source: bool,
}

/// What was found and done on the target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Partitions of each remote topic that exists now, by remote name.
    pub(super) partitions: BTreeMap<String, i32>,
    /// Source topics that have no (complete) remote topic, with the reason.
    pub(super) failures: BTreeMap<String, String>,
    /// Topics that were made: source and remote, and the remote's id (0 from brokers before 2.8).
    pub(super) made: BTreeMap<(String, String), u128>,
}

/// What the target lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Lacking {
    topics: Vec<MirroredTopic>,
    /// Topics with too few partitions; `partitions` is the count to raise to.
    partitions: Vec<MirroredTopic>,
}

/// Compares what should be mirrored with the partition counts of the target's topics. Counts are only ever raised: a
/// target topic with more partitions than its source is left alone.
fn lacking(wanted: &[MirroredTopic], target: &BTreeMap<String, i32>) -> Lacking {
    let mut lacking = Lacking::default();
    for topic in largest(wanted) {
        match target.get(&topic.remote) {
            None => lacking.topics.push(topic.clone()),
            Some(count) if *count < topic.partitions => lacking.partitions.push(topic.clone()),
            Some(_) => {}
        }
    }
    lacking
}

/// Of the topics that a router leads to one, that with the most partitions: it has room for all.
pub(super) fn largest(wanted: &[MirroredTopic]) -> impl Iterator<Item = &MirroredTopic> {
    let mut by_remote: BTreeMap<&str, &MirroredTopic> = BTreeMap::new();
    for topic in wanted {
        let largest = by_remote.entry(&topic.remote).or_insert(topic);
        if largest.partitions < topic.partitions {
            *largest = topic;
        }
    }
    by_remote.into_values()
}

/// The settings of a source topic that its remote topic is made with (`MirrorSourceConnector.targetConfig`): what is
/// set on the topic or dynamically on brokers, unless excluded. What stands in a broker's file stays the broker's.
pub(super) fn copied_configs(entries: &[ConfigEntry], rules: &TopicRules) -> Vec<(String, String)> {
    entries
        .iter()
        .filter(|entry| !entry.read_only && !entry.sensitive)
        .filter(|entry| match entry.source {
            ConfigSource::Default => rules.use_defaults_from_source,
            ConfigSource::StaticBroker => false,
            ConfigSource::Topic | ConfigSource::DynamicBroker | ConfigSource::Other => true,
        })
        .filter(|entry| !rules.config_exclude.matches(&entry.name))
        .filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?)))
        .chain(time_limits(entries).filter(|(name, _)| !rules.config_exclude.matches(name)))
        // What is said twice is said with one value; of the first of them nothing is lost.
        .collect::<BTreeMap<_, _>>()
        .into_iter()
        .collect()
}

/// How far times of records may lie from the broker's clock (KIP-937).
pub(super) const TIME_LIMITS: [&str; 2] = ["message.timestamp.before.max.ms", "message.timestamp.after.max.ms"];

/// The limits that hold on the source, wherever they come from. Brokers differ in their defaults: since 4.0 a time of more than an hour ahead
/// is refused (KIP-1030), and what the source has taken the target should take. Before 4.0 `message.timestamp.difference.max.ms` holds where
/// the newer ones don't limit (`LogConfig`), and is all there is before 3.6.
fn time_limits(entries: &[ConfigEntry]) -> impl Iterator<Item = (String, String)> {
    let unlimited = i64::MAX.to_string();
    let value = |name: &str| entries.iter().find(|entry| entry.name == name).and_then(|entry| entry.value.clone());
    let older = value("message.timestamp.difference.max.ms");
    let limit = move |name: &'static str| {
        let limit = value(name).filter(|limit| *limit != unlimited || older.is_none()).or_else(|| older.clone());
        limit.map(|limit| (name.to_owned(), limit))
    };
    TIME_LIMITS.into_iter().filter_map(limit)
}

/// The setting a broker's refusal is about. Brokers name it in a sentence: `Invalid value 0 for configuration
/// retention.bytes: …`, `Unknown topic config name: x`.
pub(super) fn refused_setting(message: &str, configs: &[(String, String)]) -> Option<String> {
    let words: Vec<&str> = message
        .split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| !word.is_empty())
        .collect();
    let is_ours = |word: &str| configs.iter().any(|(name, _)| name == word);
    let introduced = words
        .windows(2)
        .find(|pair| matches!(pair[0], "configuration" | "config" | "name") && is_ours(pair[1]))
        .map(|pair| pair[1]);
    // Without such a word before it a name counts only if it is the only one: a value or an explanation may name another.
    let mut mentioned: Vec<&str> = words.into_iter().filter(|word| is_ours(word)).collect();
    mentioned.sort_unstable();
    mentioned.dedup();
    let only = match mentioned.as_slice() {
        [only] => Some(*only),
        _ => None,
    };
    introduced.or(only).map(str::to_owned)
}

/// A topic to make again after the target refused a setting: without that one, or without any where it cannot be told
/// which. Also says what was left out. `None` when nothing is left to leave out.
fn without_refused(topic: &NewTopic, message: &str) -> Option<(NewTopic, Vec<(String, String)>)> {
    if topic.configs.is_empty() {
        return None;
    }
    let refused = refused_setting(message, &topic.configs);
    let (dropped, configs) =
        topic.configs.iter().cloned().partition(|(name, _)| refused.as_ref().is_none_or(|refused| refused == name));
    Some((NewTopic { configs, ..topic.clone() }, dropped))
}

/// Partition counts by name, of the topics the cluster described without an error.
fn counts(metadata: &[TopicMetadata]) -> BTreeMap<String, i32> {
    metadata
        .iter()
        .filter(|topic| topic.error == 0)
        .map(|topic| (topic.name.clone(), i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)))
        .collect()
}

/// Brings the target's topics up to `wanted`. One topic's failure does not keep the others.
///
/// # Errors
/// The target's topics could not be listed, or a request as a whole failed.
pub(super) async fn sync(
    source: &Cluster,
    target: &Cluster,
    wanted: &[MirroredTopic],
    rules: &TopicRules,
) -> Result<Outcome, Error> {
    let listed = target.topics(None).await.map_err(Error::during("listing the target's topics"))?;
    let remote_names: BTreeSet<&str> = wanted.iter().map(|topic| topic.remote.as_str()).collect();
    let mut outcome = Outcome { partitions: counts(&listed), ..Outcome::default() };
    outcome.partitions.retain(|name, _| remote_names.contains(name.as_str()));
    let lacking = lacking(wanted, &outcome.partitions);

    for topics in lacking.topics.chunks(TOPICS_PER_REQUEST) {
        create(source, target, topics, rules, &mut outcome).await?;
    }
    for topics in lacking.partitions.chunks(TOPICS_PER_REQUEST) {
        raise(target, topics, &mut outcome).await?;
    }
    // What keeps one from a topic keeps all that lead to it.
    let failed = |topic: &MirroredTopic| Some((topic.remote.clone(), outcome.failures.get(&topic.source)?.clone()));
    let failed: BTreeMap<String, String> = wanted.iter().filter_map(failed).collect();
    for topic in wanted {
        if let Some(reason) = failed.get(&topic.remote) {
            outcome.failures.entry(topic.source.clone()).or_insert_with(|| reason.clone());
        }
    }
    for (topic, reason) in &outcome.failures {
        warn!(topic, source = source.alias(), target = target.alias(), "topic is not fully mirrored: {reason}");
    }
    Ok(outcome)
}

async fn create(
    source: &Cluster,
    target: &Cluster,
    topics: &[MirroredTopic],
    rules: &TopicRules,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let by_remote: BTreeMap<&str, &MirroredTopic> = topics.iter().map(|topic| (topic.remote.as_str(), topic)).collect();
    let mut open = described(source, topics, rules, outcome).await?;
    while !open.is_empty() {
        let results = target.create_topics(&open).await.map_err(Error::during("creating topics on the target"))?;
        let mut again = Vec::new();
        for (name, result) in results {
            let (Some(topic), Some(asked)) =
                (by_remote.get(name.as_str()), open.iter().find(|topic| topic.name == name))
            else {
                continue;
            };
            match result {
                Ok(id) => {
                    info!(topic = topic.source, remote = name, partitions = topic.partitions, "created topic");
                    outcome.made.insert((topic.source.clone(), name.clone()), id);
                    outcome.partitions.insert(name, topic.partitions);
                }
                // Somebody was faster; the next refresh raises its partitions if need be.
                Err(error) if error.response() == Some(ResponseError::TopicAlreadyExists) => {
                    let count = existing_count(target, &name).await.unwrap_or(topic.partitions);
                    outcome.partitions.insert(name, count);
                }
                Err(error) => match retry_after_refusal(asked, &error) {
                    Some((next, dropped)) => {
                        // Nobody has set these, and a target that does not know them does not limit.
                        let unknown = error.to_string().contains("Unknown topic config");
                        let is_told = |name: &str| !(unknown && TIME_LIMITS.contains(&name));
                        let told = dropped.iter().filter(|(name, _)| is_told(name));
                        let told: Vec<String> = told.map(|(name, value)| format!("{name}={value}")).collect();
                        if !told.is_empty() {
                            warn!(
                                topic = topic.source,
                                remote = name,
                                "the target refuses topic settings, trying without {}: {error}",
                                told.join(", ")
                            );
                        }
                        again.push(next);
                    }
                    None => {
                        outcome.failures.insert(topic.source.clone(), format!("creating topic {name} failed: {error}"));
                    }
                },
            }
        }
        // Each round has fewer settings than the one before.
        open = again;
    }
    Ok(())
}

fn retry_after_refusal(asked: &NewTopic, error: &wire::Error) -> Option<(NewTopic, Vec<(String, String)>)> {
    match error {
        wire::Error::Broker { message, .. } if error.response() == Some(ResponseError::InvalidConfig) => {
            without_refused(asked, message.as_deref().unwrap_or_default())
        }
        _ => None,
    }
}

/// The topics to make, with the settings of their sources. A topic whose settings cannot be read is not made: with the
/// target's defaults a compacted topic would lose its past.
async fn described(
    source: &Cluster,
    topics: &[MirroredTopic],
    rules: &TopicRules,
    outcome: &mut Outcome,
) -> Result<Vec<NewTopic>, Error> {
    let names: Vec<String> = topics.iter().map(|topic| topic.source.clone()).collect();
    let configs = source
        .describe_topic_configs(&names, None)
        .await
        .map_err(Error::during("reading topic settings of the source"))?;
    let mut configs: BTreeMap<String, wire::Result<Vec<ConfigEntry>>> = configs.into_iter().collect();
    let alias = source.alias();
    let mut new_topics = Vec::new();
    for topic in topics {
        match configs.remove(&topic.source) {
            Some(Ok(entries)) => new_topics.push(NewTopic {
                name: topic.remote.clone(),
                partitions: topic.partitions,
                replication_factor: rules.replication_factor,
                configs: copied_configs(&entries, rules),
            }),
            Some(Err(error)) => {
                let reason =
                    format!("reading the settings of topic {} of cluster {alias} failed: {error}", topic.source);
                outcome.failures.insert(topic.source.clone(), reason);
            }
            None => {
                let reason = format!("cluster {alias} did not tell the settings of topic {}", topic.source);
                outcome.failures.insert(topic.source.clone(), reason);
            }
        }
    }
    Ok(new_topics)
}

async fn raise(target: &Cluster, topics: &[MirroredTopic], outcome: &mut Outcome) -> Result<(), Error> {
    let by_remote: BTreeMap<&str, &MirroredTopic> = topics.iter().map(|topic| (topic.remote.as_str(), topic)).collect();
    let totals: Vec<(String, i32)> = topics.iter().map(|topic| (topic.remote.clone(), topic.partitions)).collect();
    let results = target.create_partitions(&totals).await.map_err(Error::during("adding partitions on the target"))?;
    for (name, result) in results {
        let Some(topic) = by_remote.get(name.as_str()) else {
            continue;
        };
        match result {
            Ok(()) => {
                info!(topic = topic.source, remote = name, partitions = topic.partitions, "added partitions");
                outcome.partitions.insert(name, topic.partitions);
            }
            // Somebody was faster: the topic has as many already, or more.
            Err(error) if error.response() == Some(ResponseError::InvalidPartitions) => {
                if let Some(count) = existing_count(target, &name).await {
                    outcome.partitions.insert(name, count);
                }
            }
            Err(error) => {
                let reason = format!("adding partitions to topic {name} failed: {error}");
                outcome.failures.insert(topic.source.clone(), reason);
            }
        }
    }
    Ok(())
}

/// Partitions of one topic of the target; `None` where the cluster does not tell (yet).
async fn existing_count(target: &Cluster, name: &str) -> Option<i32> {
    let metadata = target.topics(Some(&[name.to_owned()])).await.ok()?;
    counts(&metadata).remove(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::selection::tests::{config, topic};

    fn mirrored(source: &str, partitions: i32) -> MirroredTopic {
        MirroredTopic { source: source.to_owned(), remote: format!("source.{source}"), partitions }
    }

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

    fn names(configs: &[(String, String)]) -> Vec<&str> {
        configs.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn only_what_is_missing_is_made_and_counts_only_rise() {
        // MirrorSourceConnectorTest.testRefreshTopicPartitions, testRefreshTopicPartitionsTopicOnTargetFirst
        let wanted = [mirrored("new", 3), mirrored("equal", 4), mirrored("short", 5), mirrored("long", 2)];
        let target = counts(&[
            topic("source.equal", 4, 0),
            topic("source.short", 2, 0),
            topic("source.long", 9, 0),
            topic("new", 1, 0),
            topic("other", 1, 0),
        ]);
        let lacking = lacking(&wanted, &target);
        assert_eq!(lacking.topics, [mirrored("new", 3)]);
        assert_eq!(lacking.partitions, [mirrored("short", 5)]);

        // Routed to one.
        let routed = |source, partitions| MirroredTopic { remote: "all".to_owned(), ..mirrored(source, partitions) };
        let wanted = [routed("a", 1), routed("b", 3), routed("c", 2)];
        assert_eq!(super::lacking(&wanted, &BTreeMap::new()).topics, [routed("b", 3)]);
        assert_eq!(super::lacking(&wanted, &BTreeMap::from([("all".to_owned(), 3)])), Lacking::default());
    }

    #[test]
    fn settings_are_copied_as_mirrormaker_does() {
        // MirrorSourceConnectorTest.testConfigPropertyFilteringWithAlterConfigs,
        // testConfigPropertyFilteringWithAlterConfigsAndSourceDefault, testNewTopicConfigs
        let read_only = ConfigEntry { read_only: true, ..entry("read.only", "1", ConfigSource::Topic) };
        let sensitive = ConfigEntry { sensitive: true, value: None, ..entry("secret", "", ConfigSource::Topic) };
        let entries = [
            entry("cleanup.policy", "compact", ConfigSource::Topic),
            entry("retention.ms", "5", ConfigSource::DynamicBroker),
            entry("segment.bytes", "7", ConfigSource::StaticBroker),
            entry("max.message.bytes", "9", ConfigSource::Default),
            entry("min.insync.replicas", "2", ConfigSource::Topic),
            entry("leader.replication.throttled.replicas", "0:1", ConfigSource::Topic),
            read_only,
            sensitive,
        ];
        let copied = copied_configs(&entries, &rules(""));
        assert_eq!(names(&copied), ["cleanup.policy", "retention.ms"]);
        assert_eq!(copied[0].1, "compact");
        let with_defaults = copied_configs(&entries, &rules("use.defaults.from=source"));
        assert_eq!(names(&with_defaults), ["cleanup.policy", "max.message.bytes", "retention.ms"]);
        let own_exclude = copied_configs(&entries, &rules("config.properties.exclude=retention\\\\..*"));
        assert_eq!(
            names(&own_exclude),
            ["cleanup.policy", "leader.replication.throttled.replicas", "min.insync.replicas"]
        );
    }

    #[test]
    fn the_source_s_limits_of_time_hold_on_the_target() {
        const MAX: &str = "9223372036854775807";
        let [before, after] = TIME_LIMITS;
        let difference = "message.timestamp.difference.max.ms";
        for (entries, expected) in [
            // 4.x, by default and set.
            (vec![(before, MAX), (after, "3600000")], vec![MAX, "3600000"]),
            (vec![(before, "5"), (after, MAX)], vec!["5", MAX]),
            // 3.6 to 3.9: the older one holds where the newer do not limit.
            (vec![(difference, MAX), (before, MAX), (after, MAX)], vec![MAX, MAX]),
            (vec![(difference, "7"), (before, MAX), (after, "9")], vec!["7", "9"]),
            // Before.
            (vec![(difference, "7")], vec!["7", "7"]),
            (vec![], vec![]),
        ] {
            let entries: Vec<ConfigEntry> =
                entries.into_iter().map(|(name, value)| entry(name, value, ConfigSource::Default)).collect();
            let copied = copied_configs(&entries, &rules(""));
            let mut limits: Vec<&str> = Vec::new();
            limits.extend(
                TIME_LIMITS.iter().filter_map(|name| copied.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())),
            );
            assert_eq!((limits, copied.len()), (expected.clone(), expected.len()), "{entries:?}");
        }
        let excluded = rules("config.properties.exclude=message.*");
        assert!(copied_configs(&[entry(after, "1", ConfigSource::Topic)], &excluded).is_empty());
    }

    #[test]
    fn the_refused_setting_is_found_in_the_brokers_words() {
        let configs: Vec<(String, String)> =
            ["retention.ms", "segment.ms", "max.message.bytes", "remote.storage.enable", "local.retention.ms"]
                .map(|name| (name.to_owned(), "1".to_owned()))
                .to_vec();
        let table = [
            ("Unknown topic config name: segment.ms", Some("segment.ms")),
            ("Invalid value -5 for configuration retention.ms: Value must be at least -1", Some("retention.ms")),
            (
                "Invalid value 9 for configuration local.retention.ms: Value must not be more than retention.ms property value 1",
                Some("local.retention.ms"),
            ),
            ("It is invalid to set remote.storage.enable here.", Some("remote.storage.enable")),
            ("Tiered storage (remote.storage.enable) needs local.retention.ms", None),
            ("Unknown topic config name: other.retention.ms", None),
            ("", None),
        ];
        for (message, expected) in table {
            assert_eq!(refused_setting(message, &configs).as_deref(), expected, "{message}");
        }
    }

    #[test]
    fn a_refused_setting_is_left_out_and_in_doubt_all() {
        let new_topic = NewTopic {
            name: "t".to_owned(),
            partitions: 1,
            replication_factor: 1,
            configs: vec![("a.b".to_owned(), "1".to_owned()), ("c.d".to_owned(), "2".to_owned())],
        };
        let (next, dropped) = without_refused(&new_topic, "Unknown topic config name: a.b").unwrap();
        assert_eq!((names(&next.configs), names(&dropped)), (vec!["c.d"], vec!["a.b"]));
        let (next, dropped) = without_refused(&new_topic, "no").unwrap();
        assert_eq!((next.configs.len(), names(&dropped)), (0, vec!["a.b", "c.d"]));
        assert_eq!(without_refused(&next, "no"), None);

        let refusal = |code: i16| wire::Error::Broker {
            cluster: "target".to_owned(),
            api: "CreateTopics",
            resource: "topic t".to_owned(),
            code,
            message: Some("Unknown topic config name: a.b".to_owned()),
        };
        assert!(retry_after_refusal(&new_topic, &refusal(40)).is_some(), "INVALID_CONFIG");
        assert!(retry_after_refusal(&new_topic, &refusal(38)).is_none(), "INVALID_REPLICATION_FACTOR");
    }
}
