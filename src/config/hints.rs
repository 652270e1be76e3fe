//! Sentences about keys that are tolerated and do nothing: probably misspelt, or ignored by MirrorMaker too.

use super::{
    Properties,
    client::{is_connection_setting, roles_of},
    keys::{CLIENT_KEYS, ClientRole, OTHER_CONNECTORS_KEYS, TASK_KEYS, WORKER_KEYS, mirror_source_keys},
};

/// Prefixes under which a connector's client settings come. Those of the data's producer are apart.
const CLIENT_PREFIXES: [&str; 7] = [
    "consumer.",
    "admin.",
    "source.consumer.",
    "source.admin.",
    "source.producer.",
    "target.consumer.",
    "target.admin.",
];

/// Prefixes whose keys belong to somebody else: converters, transformations, the user's own classes.
const FOREIGN_PREFIXES: [&str; 12] = [
    "key.converter.",
    "value.converter.",
    "header.converter.",
    "transforms.",
    "predicates.",
    "topic.creation.",
    "config.providers.",
    "errors.deadletterqueue.",
    "consumer.override.",
    "admin.override.",
    "listeners.https.",
    "kmirror.",
];

/// Hints on a MirrorSourceConnector's configuration, one a key at most.
pub(super) fn connector_hints(raw: &Properties) -> Vec<String> {
    let mut hints: Vec<String> = raw.keys().filter_map(|key| connector_hint(raw, key)).collect();
    let overrides: Vec<&str> = raw
        .keys()
        .filter(|key| key.strip_prefix("producer.override.").is_some_and(|setting| !is_connection_setting(setting)))
        .map(String::as_str)
        .collect();
    if !overrides.is_empty() {
        hints.push(format!(
            "{}: no effect, batches reach the target as the source holds them, with their compression",
            overrides.join(", ")
        ));
    }
    hints
}

/// Hints on a worker's configuration.
pub(super) fn worker_hints(raw: &Properties) -> Vec<String> {
    let known: Vec<&str> = WORKER_KEYS.iter().map(|key| key.name).collect();
    let mut hints = Vec::new();
    for (key, value) in raw {
        let set = !value.trim().is_empty();
        if matches!(
            key.as_str(),
            "admin.listeners"
                | "rest.extension.classes"
                | "access.control.allow.origin"
                | "access.control.allow.methods"
                | "response.http.headers.config"
        ) && set
        {
            hints.push(format!("{key} has no effect: it is not built yet"));
            continue;
        }
        if matches!(
            key.as_str(),
            "config.storage.cleanup.policy" | "offset.storage.cleanup.policy" | "status.storage.cleanup.policy"
        ) && value.trim() != "compact"
        {
            hints.push(format!("{key} has no effect: the topic is always made with cleanup.policy=compact"));
            continue;
        }
        let prefixed = ["producer.", "consumer.", "admin."]
            .iter()
            .chain(&FOREIGN_PREFIXES)
            .chain(&["ssl.", "sasl.", "config.storage.", "offset.storage.", "status.storage."])
            .any(|prefix| key.starts_with(prefix));
        if !known.contains(&key.as_str()) && !prefixed {
            hints.extend(misspelt(key, known.iter().map(|name| (*name).to_owned())));
        }
    }
    hints
}

fn connector_hint(raw: &Properties, key: &str) -> Option<String> {
    if let Some(registered) = mirror_source_keys().find(|known| known.name == key) {
        return converter_hint(registered.name, raw.get(key)?);
    }
    if let Some(known) = mirror_source_keys().find(|known| known.alias == Some(key)) {
        return Some(if raw.contains_key(known.name) {
            format!("{key} is ignored: {} is set, which took its place", known.name)
        } else {
            format!("{key} is the former name of {}", known.name)
        });
    }
    if OTHER_CONNECTORS_KEYS.contains(&key) || TASK_KEYS.contains(&key) || key.starts_with("producer.override.") {
        return None;
    }
    for side in ["source", "target"] {
        if let Some(setting) = key.strip_prefix(side).and_then(|rest| rest.strip_prefix(".cluster.")) {
            if is_connection_setting(setting) {
                return None;
            }
            let slip = if roles_of(setting).is_none() { misspelt(key, connector_key_names()) } else { None };
            return slip.or_else(|| Some(ignored_under_cluster(key, side, setting)));
        }
    }
    for prefix in ["producer.", "target.producer."] {
        if let Some(setting) = key.strip_prefix(prefix) {
            return Some(format!(
                "{key} does not reach the producer of the data; MirrorMaker's key for that is producer.override.{setting}"
            ));
        }
    }
    if FOREIGN_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
        return None;
    }
    if is_connection_setting(key) {
        return Some(format!("{key} is ignored, as by MirrorMaker; its key for the source is source.cluster.{key}"));
    }
    if let Some(setting) = CLIENT_PREFIXES.iter().find_map(|prefix| key.strip_prefix(prefix))
        && (roles_of(setting).is_some() || is_connection_setting(setting))
    {
        return None;
    }
    misspelt(key, connector_key_names())
}

fn converter_hint(key: &str, value: &str) -> Option<String> {
    let is_converter = matches!(key, "key.converter" | "value.converter" | "header.converter");
    let class = value.trim();
    let keeps_bytes = class == "ByteArrayConverter" || class.ends_with(".ByteArrayConverter") || class.is_empty();
    (is_converter && !keeps_bytes)
        .then(|| format!("{key}={class} has no effect: keys, values and headers are always copied byte for byte"))
}

/// Of what stands under `source.cluster.` and `target.cluster.` only the connection settings are read.
fn ignored_under_cluster(key: &str, side: &str, setting: &str) -> String {
    let working = match roles_of(setting) {
        Some(roles) if side == "source" && roles.contains(&ClientRole::Consumer) => {
            Some(format!("source.consumer.{setting}"))
        }
        Some(roles) if roles.contains(&ClientRole::Producer) => Some(format!("producer.override.{setting}")),
        _ => None,
    };
    let working = working.map_or_else(String::new, |working| format!("; its key for this is {working}"));
    format!("{key} is ignored, as by MirrorMaker{working}")
}

/// Every name a connector's key can have.
fn connector_key_names() -> impl Iterator<Item = String> {
    let own = mirror_source_keys().map(|key| key.name).chain(OTHER_CONNECTORS_KEYS.iter().copied()).map(str::to_owned);
    let clusters = ["source.cluster.", "target.cluster."]
        .into_iter()
        .flat_map(|prefix| ["bootstrap.servers", "security.protocol"].map(|setting| format!("{prefix}{setting}")));
    let clients = CLIENT_PREFIXES
        .into_iter()
        .chain(["producer.override."])
        .flat_map(|prefix| CLIENT_KEYS.iter().map(move |key| format!("{prefix}{}", key.name)));
    own.chain(clusters).chain(clients)
}

/// A hint where the key is nearly a known one. A longer key may have more slips, two at most.
fn misspelt(key: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let allowed = (key.chars().count() / 4).min(2);
    known
        .map(|name| (distance(key, &name), name))
        .filter(|(distance, _)| (1..=allowed).contains(distance))
        .min()
        .map(|(_, name)| format!("{key} is not a known key; is {name} meant?"))
}

/// Edits that lead from one text to the other: a character more, less, another, or two exchanged.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(pairs: &[(&str, &str)]) -> Vec<String> {
        connector_hints(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn keys_of_a_connector() {
        // (key, value, what the one hint says; none at all)
        let table = [
            ("topics", "a", None),
            ("topic", "a", Some("is topics meant?")),
            ("tpoics", "a", Some("is topics meant?")),
            ("task.max", "4", Some("is tasks.max meant?")),
            ("source.cluster.bootstrap.server", "a:1", Some("is source.cluster.bootstrap.servers meant?")),
            ("sorce.cluster.bootstrap.servers", "a:1", Some("is source.cluster.bootstrap.servers meant?")),
            ("source.consumer.auto.ofset.reset", "latest", Some("is source.consumer.auto.offset.reset meant?")),
            ("refresh.topic.interval.seconds", "1", Some("is refresh.topics.interval.seconds meant?")),
            ("my.own.note", "x", None),
            ("clusters", "a,b", None),
            ("refresh.groups.interval.seconds", "1", None),
            ("checkpoints.topic.replication.factor", "1", None),
            ("task.index", "0", None),
            ("consumer.group.id", "g", None),
            ("source.consumer.max.poll.records", "1", None),
            ("source.cluster.ssl.truststore.location", "x", None),
            (
                "source.cluster.max.poll.records",
                "1",
                Some("ignored, as by MirrorMaker; its key for this is source.consumer.max.poll.records"),
            ),
            ("source.cluster.receive.buffer.bytes", "1", Some("source.consumer.receive.buffer.bytes")),
            ("source.cluster.compression.type", "gzip", Some("its key for this is producer.override.compression.type")),
            ("target.cluster.compression.type", "gzip", Some("its key for this is producer.override.compression.type")),
            (
                "target.cluster.max.poll.records",
                "1",
                Some("target.cluster.max.poll.records is ignored, as by MirrorMaker"),
            ),
            (
                "source.cluster.message.max.bytes",
                "1",
                Some("source.cluster.message.max.bytes is ignored, as by MirrorMaker"),
            ),
            ("target.producer.linger.ms", "5", Some("producer.override.linger.ms")),
            ("producer.enable.idempotence", "true", Some("producer.override.enable.idempotence")),
            ("producer.override.batch.size", "1", Some("producer.override.batch.size: no effect")),
            ("producer.override.sasl.mechanism", "x", None),
            ("bootstrap.servers", "a:1", Some("source.cluster.bootstrap.servers")),
            ("ssl.keystore.location", "x", Some("source.cluster.ssl.keystore.location")),
            ("key.converter", " org.apache.kafka.connect.converters.ByteArrayConverter", None),
            ("value.converter", "org.apache.kafka.connect.json.JsonConverter", Some("copied byte for byte")),
            ("value.converter.schemas.enable", "false", None),
            ("topics.blacklist", "x", Some("the former name of topics.exclude")),
        ];
        for (key, value, expected) in table {
            let hints = hints(&[(key, value)]);
            match expected {
                None => assert_eq!(hints, Vec::<String>::new(), "{key}"),
                Some(part) => {
                    assert_eq!(hints.len(), 1, "{key}: {hints:?}");
                    assert!(hints[0].contains(part) && hints[0].contains(key), "{key}: {hints:?}");
                }
            }
        }
        assert!(hints(&[("topics.blacklist", "x"), ("topics.exclude", "y")])[0].contains("is ignored"));
        assert_eq!(hints(&[("producer.override.acks", "1"), ("producer.override.linger.ms", "1")]).len(), 1);
    }

    #[test]
    fn keys_of_a_worker() {
        let hints = |key: &str, value: &str| worker_hints(&Properties::from([(key.to_owned(), value.to_owned())]));
        assert_eq!(hints("gruop.id", "x"), ["gruop.id is not a known key; is group.id meant?"]);
        assert!(hints("offset.storage.cleanup.policy", "delete")[0].contains("compact"));
        assert!(hints("admin.listeners", "http://:1")[0].contains("not built yet"));
        for key in [
            "group.id",
            "rest.port",
            "offset.storage.segment.bytes",
            "producer.acks",
            "sasl.mechanism",
            "listeners.https.ssl.x",
        ] {
            assert_eq!(hints(key, "1"), Vec::<String>::new(), "{key}");
        }
    }

    #[test]
    fn edits_are_counted() {
        for (a, b, edits) in
            [("", "", 0), ("ab", "ba", 1), ("abc", "abc", 0), ("abc", "abd", 1), ("abc", "ac", 1), ("abcd", "badc", 2)]
        {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
    }
}
