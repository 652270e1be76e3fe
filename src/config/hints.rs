//! Sentences about keys that are tolerated and do nothing: probably misspelt, or ignored by MirrorMaker too.

use std::collections::BTreeMap;

use super::{
    Compression, Compressor, ConnectorClass, Properties, Side,
    client::{is_connection_setting, roles_of},
    compression,
    keys::{CLIENT_KEYS, ClientRole, DEDICATED_KEYS, TASK_KEYS, WORKER_KEYS, connector_keys},
};

/// Prefixes under which a connector's client settings come, and whose they are. Those of the data's producer are apart.
const CLIENT_PREFIXES: [(&str, ClientRole); 7] = [
    ("consumer.", ClientRole::Consumer),
    ("admin.", ClientRole::Admin),
    ("source.consumer.", ClientRole::Consumer),
    ("source.admin.", ClientRole::Admin),
    ("source.producer.", ClientRole::Producer),
    ("target.consumer.", ClientRole::Consumer),
    ("target.admin.", ClientRole::Admin),
];

/// Prefixes whose keys belong to somebody else: converters, transformations, the user's own classes.
const FOREIGN_PREFIXES: [&str; 11] = [
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
];

/// Settings of consumers that matter to none that has its partitions assigned and commits nothing, as MirrorMaker's.
const WITHOUT_MEANING: [&str; 13] = [
    "allow.auto.create.topics",
    "auto.commit.interval.ms",
    "enable.auto.commit",
    "exclude.internal.topics",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "heartbeat.interval.ms",
    "key.deserializer",
    "max.poll.interval.ms",
    "partition.assignment.strategy",
    "session.timeout.ms",
    "value.deserializer",
];

/// A sentence to log once about keys that are tolerated. None holds a secret: values of client settings are never told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// Nothing to do: MirrorMaker or Connect treats it the same, or everybody is told.
    Info(String),
    /// Something is probably misspelt, or does not do what it does in MirrorMaker.
    Warn(String),
}

/// What there is to say of one key.
enum Finding {
    /// Has no effect in MirrorMaker either.
    Ignored(Instead),
    /// `producer.override.`: tunes the data's producer in MirrorMaker.
    Override,
    /// Tunes a client beside the data's producer in MirrorMaker.
    Tuning,
    /// Not known, but nearly the other.
    Misspelt(String),
    /// Something of its own.
    Own(Hint),
}

/// What to write instead of a key that is ignored.
enum Instead {
    Nothing,
    /// This key.
    Key(String),
    /// The same setting under this prefix in MirrorMaker, which has no effect here.
    Prefix(&'static str),
}

const READS: &str = "source.consumer.";
const WRITES: &str = "producer.override.";
const COMPRESSION_TYPE: &str = "producer.override.compression.type";

/// What there is to say of the keys of a connector.
#[derive(Default)]
struct Findings<'a> {
    ignored: Ignored<'a>,
    overrides: Vec<&'a str>,
    tuning: Vec<&'a str>,
    misspelt: Vec<(&'a str, String)>,
    own: Vec<Hint>,
}

impl<'a> Findings<'a> {
    fn of(class: ConnectorClass, raw: &'a Properties) -> Self {
        let mut all = Self::default();
        for (key, value) in raw {
            match finding(class, raw, key, value) {
                None => {}
                Some(Finding::Ignored(instead)) => all.ignored.add(key, instead),
                Some(Finding::Override) => all.overrides.push(key),
                Some(Finding::Tuning) => all.tuning.push(key),
                Some(Finding::Misspelt(meant)) => all.misspelt.push((key, meant)),
                Some(Finding::Own(hint)) => all.own.push(hint),
            }
        }
        all
    }
}

/// Hints on a MirrorSourceConnector's configuration, one a subject. `unread` are keys under `transforms.` and
/// `predicates.` that nothing reads.
pub(super) fn source_connector_hints(raw: &Properties, compression: Compression, unread: &[&str]) -> Vec<Hint> {
    let Findings { ignored, overrides, tuning, misspelt, own: mut hints } =
        Findings::of(ConnectorClass::MirrorSource, raw);
    hints.extend(misspelt_hint(&misspelt));
    hints.extend(overrides_hint(overrides, compression));
    if compression == Compression::Configured(Compressor::None) && !raw.contains_key(COMPRESSION_TYPE) {
        hints.push(Hint::Warn(format!(
            "kmirror.compression=configured writes batches uncompressed, since {COMPRESSION_TYPE} is not set"
        )));
    }
    if !unread.is_empty() {
        hints.push(Hint::Warn(format!(
            "no effect, no transformation or predicate of that alias reads them: {}",
            unread.join(", ")
        )));
    }
    hints.extend(without_effect_hint(&tuning));
    hints.extend(ignored.hint());
    hints
}

/// Hints on the configuration of one of MirrorMaker's other connectors, one a subject.
pub(super) fn connector_hints(class: ConnectorClass, raw: &Properties) -> Vec<Hint> {
    let Findings { ignored, mut overrides, tuning, misspelt, own: mut hints } = Findings::of(class, raw);
    hints.extend(misspelt_hint(&misspelt));
    overrides.extend(tuning);
    hints.extend(without_effect_hint(&overrides));
    hints.extend(ignored.hint());
    hints
}

fn without_effect_hint(keys: &[&str]) -> Option<Hint> {
    let text = || Hint::Warn(format!("accepted, without effect in this version: {}", keys.join(", ")));
    (!keys.is_empty()).then(text)
}

/// Keys that MirrorMaker ignores too, by what to write instead.
#[derive(Default)]
struct Ignored<'a> {
    /// With the key that works.
    replaced: Vec<(&'a str, String)>,
    /// With MirrorMaker's prefix.
    elsewhere: BTreeMap<&'static str, Vec<&'a str>>,
    plain: Vec<&'a str>,
}

impl<'a> Ignored<'a> {
    fn add(&mut self, key: &'a str, instead: Instead) {
        match instead {
            Instead::Nothing => self.plain.push(key),
            Instead::Key(works) => self.replaced.push((key, works)),
            Instead::Prefix(prefix) => self.elsewhere.entry(prefix).or_default().push(key),
        }
    }

    fn hint(self) -> Option<Hint> {
        let mut groups = Vec::new();
        if !self.replaced.is_empty() {
            let (keys, mut works): (Vec<&str>, Vec<String>) = self.replaced.into_iter().unzip();
            works.dedup();
            groups.push(format!("{} (keys that work: {})", keys.join(", "), works.join(", ")));
        }
        for (prefix, keys) in self.elsewhere {
            groups.push(format!("{} (MirrorMaker's prefix is {prefix}, without effect here)", keys.join(", ")));
        }
        if !self.plain.is_empty() {
            groups.push(self.plain.join(", "));
        }
        (!groups.is_empty()).then(|| Hint::Info(format!("ignored, as by MirrorMaker: {}", groups.join("; "))))
    }
}

/// On settings that tune the data's producer in MirrorMaker.
fn overrides_hint(mut keys: Vec<&str>, compression: Compression) -> Option<Hint> {
    let follows = |key: &str| key.strip_prefix(WRITES).is_some_and(compression::has_effect);
    let text = match compression {
        Compression::Keep if keys.iter().any(|key| follows(key)) => {
            "no effect, batches reach the target as the source holds them, with their compression unless \
             kmirror.compression=configured"
        }
        Compression::Keep => "no effect, batches reach the target as the source holds them, with their compression",
        Compression::Configured(_) => {
            keys.retain(|key| !follows(key));
            "no effect, batches are those of the source"
        }
    };
    (!keys.is_empty()).then(|| Hint::Warn(format!("{text}: {}", keys.join(", "))))
}

fn misspelt_hint(misspelt: &[(&str, String)]) -> Option<Hint> {
    let texts: Vec<String> = misspelt.iter().map(|(key, meant)| format!("{key} (is {meant} meant?)")).collect();
    (!texts.is_empty()).then(|| Hint::Warn(format!("not known: {}", texts.join(", "))))
}

/// Keys of a worker that have no effect yet.
pub(super) const NOT_BUILT_OF_WORKER: [&str; 5] = [
    "admin.listeners",
    "rest.extension.classes",
    "access.control.allow.origin",
    "access.control.allow.methods",
    "response.http.headers.config",
];

/// Hints on a worker's configuration, one a subject.
pub(super) fn worker_hints(raw: &Properties) -> Vec<Hint> {
    let known: Vec<&str> = WORKER_KEYS.iter().map(|key| key.name).collect();
    let (mut not_built, mut policies, mut misspelt) = (Vec::new(), Vec::new(), Vec::new());
    for (key, value) in raw {
        match key.as_str() {
            key if NOT_BUILT_OF_WORKER.contains(&key) && !value.trim().is_empty() => not_built.push(key),
            "config.storage.cleanup.policy" | "offset.storage.cleanup.policy" | "status.storage.cleanup.policy"
                if value.trim() != "compact" =>
            {
                policies.push(key.as_str());
            }
            _ => {
                let prefixed = ["producer.", "consumer.", "admin."]
                    .iter()
                    .chain(&FOREIGN_PREFIXES)
                    .chain(&["ssl.", "sasl.", "config.storage.", "offset.storage.", "status.storage."])
                    .any(|prefix| key.starts_with(prefix));
                if !known.contains(&key.as_str()) && !prefixed {
                    let meant = nearest(key, known.iter().map(|name| (*name).to_owned()));
                    misspelt.extend(meant.map(|meant| (key.as_str(), meant)));
                }
            }
        }
    }
    let mut hints: Vec<Hint> = misspelt_hint(&misspelt).into_iter().collect();
    hints.extend(without_effect_hint(&not_built));
    if !policies.is_empty() {
        let text = "ignored, as by Connect, whose topics always have cleanup.policy=compact";
        hints.push(Hint::Info(format!("{text}: {}", policies.join(", "))));
    }
    hints
}

fn finding(class: ConnectorClass, raw: &Properties, key: &str, value: &str) -> Option<Finding> {
    if key.starts_with("ssl.") || key.starts_with("sasl.") {
        return Some(Finding::Ignored(Instead::Key(format!("source.cluster.{key}"))));
    }
    if connector_keys(class).any(|known| known.name == key) {
        return converter_hint(key, value).map(Finding::Own);
    }
    if let Some(known) = connector_keys(class).find(|known| known.alias == Some(key)) {
        return Some(Finding::Own(Hint::Info(if raw.contains_key(known.name) {
            format!("{key} is ignored, as by MirrorMaker: {} is set, which took its place", known.name)
        } else {
            format!("{key} is the former name of {}", known.name)
        })));
    }
    if let Some(works) =
        own_replication_factor(class).filter(|works| key == REPLICATION_FACTOR && !raw.contains_key(*works))
    {
        return Some(Finding::Ignored(Instead::Key(works.to_owned())));
    }
    if is_anothers(key) {
        return None;
    }
    let misspelt = || nearest(key, connector_key_names(class)).map(Finding::Misspelt);
    for side in [Side::Source, Side::Target] {
        if let Some(setting) = key.strip_prefix(side.name()).and_then(|rest| rest.strip_prefix(".cluster.")) {
            if is_connection_setting(setting) {
                return None;
            }
            let roles = roles_of(setting).unwrap_or_default();
            let slip = if roles.is_empty() { misspelt() } else { None };
            return slip.or_else(|| Some(Finding::Ignored(instead_of_cluster(class, side, setting, roles))));
        }
    }
    if let Some(setting) = key.strip_prefix(WRITES) {
        return match roles_of(setting) {
            _ if is_connection_setting(setting) => None,
            Some(roles) if !roles.contains(&ClientRole::Producer) => Some(Finding::Ignored(Instead::Nothing)),
            Some(_) => Some(Finding::Override),
            None => misspelt().or(Some(Finding::Override)),
        };
    }
    if ["producer.", "target.producer."].iter().any(|prefix| key.starts_with(prefix)) {
        // They reach the producer of offset syncs.
        return Some(Finding::Ignored(Instead::Prefix(WRITES)));
    }
    if FOREIGN_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
        return None;
    }
    if is_connection_setting(key) {
        return Some(Finding::Ignored(Instead::Key(format!("source.cluster.{key}"))));
    }
    let client = CLIENT_PREFIXES.iter().find_map(|(prefix, role)| Some((key.strip_prefix(prefix)?, *role)));
    match client.map(|(setting, role)| (setting, role, roles_of(setting))) {
        Some((setting, ..)) if is_connection_setting(setting) => None,
        Some((setting, role, Some(roles))) => of_client(class, setting, role, roles),
        Some((.., None)) | None => misspelt(),
    }
}

/// A setting of one of MirrorMaker's clients, given without its prefix.
fn of_client(class: ConnectorClass, setting: &str, role: ClientRole, roles: &[ClientRole]) -> Option<Finding> {
    if !roles.contains(&role) {
        return Some(Finding::Ignored(Instead::Nothing));
    }
    match role {
        ClientRole::Consumer if has_effect(class, setting) || WITHOUT_MEANING.contains(&setting) => None,
        // The producer is that of offset syncs, which has acks=all and nothing to tune.
        ClientRole::Consumer | ClientRole::Admin | ClientRole::Producer => Some(Finding::Tuning),
    }
}

/// Whether a connector's consumer heeds a setting: that of the data does; those of the connection apart.
fn has_effect(class: ConnectorClass, setting: &str) -> bool {
    class == ConnectorClass::MirrorSource
        && matches!(
            setting,
            "auto.offset.reset"
                | "isolation.level"
                | "client.rack"
                | "fetch.max.wait.ms"
                | "fetch.min.bytes"
                | "fetch.max.bytes"
                | "max.partition.fetch.bytes"
        )
}

const REPLICATION_FACTOR: &str = "replication.factor";

/// What the source connector's `replication.factor` is called here.
fn own_replication_factor(class: ConnectorClass) -> Option<&'static str> {
    match class {
        ConnectorClass::MirrorSource => None,
        ConnectorClass::MirrorCheckpoint => Some("checkpoints.topic.replication.factor"),
        ConnectorClass::MirrorHeartbeat => Some("heartbeats.topic.replication.factor"),
    }
}

/// Whether another of MirrorMaker's connectors, its dedicated mode or a task has such a key, so that it is not misspelt in a
/// configuration that they share.
fn is_anothers(key: &str) -> bool {
    let known = |class| connector_keys(class).any(|known| known.name == key || known.alias == Some(key));
    ConnectorClass::ALL.into_iter().any(known) || DEDICATED_KEYS.contains(&key) || TASK_KEYS.contains(&key)
}

/// Of what stands under `source.cluster.` and `target.cluster.` only the connection settings are read.
fn instead_of_cluster(class: ConnectorClass, side: Side, setting: &str, roles: &[ClientRole]) -> Instead {
    let reads = side == Side::Source && roles.contains(&ClientRole::Consumer);
    if reads && has_effect(class, setting) {
        Instead::Key(format!("{READS}{setting}"))
    } else if reads {
        Instead::Prefix(READS)
    } else if roles.contains(&ClientRole::Producer) {
        Instead::Prefix(WRITES)
    } else {
        Instead::Nothing
    }
}

fn converter_hint(key: &str, value: &str) -> Option<Hint> {
    let is_converter = matches!(key, "key.converter" | "value.converter" | "header.converter");
    let class = value.trim();
    let keeps_bytes = class == "ByteArrayConverter" || class.ends_with(".ByteArrayConverter") || class.is_empty();
    (is_converter && !keeps_bytes).then(|| {
        Hint::Warn(format!("{key}={class} has no effect: keys, values and headers are always copied byte for byte"))
    })
}

/// Every name a connector's key can have, and those of other connectors.
fn connector_key_names(class: ConnectorClass) -> impl Iterator<Item = String> {
    let others = ConnectorClass::ALL.into_iter().filter(move |other| *other != class).flat_map(connector_keys);
    let own = connector_keys(class).chain(others).map(|key| key.name).chain(DEDICATED_KEYS.iter().copied());
    let own = own.map(str::to_owned);
    let clusters = ["source.cluster.", "target.cluster."]
        .into_iter()
        .flat_map(|prefix| ["bootstrap.servers", "security.protocol"].map(|setting| format!("{prefix}{setting}")));
    let clients = CLIENT_PREFIXES
        .into_iter()
        .map(|(prefix, _)| prefix)
        .chain([WRITES])
        .flat_map(|prefix| CLIENT_KEYS.iter().map(move |key| format!("{prefix}{}", key.name)));
    own.chain(clusters).chain(clients)
}

/// The known key that a key nearly is. A longer key may have more slips, two at most.
fn nearest(key: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let allowed = (key.chars().count() / 4).min(2);
    known
        .map(|name| (distance(key, &name), name))
        .filter(|(distance, _)| (1..=allowed).contains(distance))
        .min()
        .map(|(_, name)| name)
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

    /// All hints by level and text.
    fn hints(pairs: &[(&str, &str)]) -> Vec<(char, String)> {
        let raw = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let hints = source_connector_hints(&raw, Compression::Keep, &[]).into_iter().map(|hint| match hint {
            Hint::Info(text) => ('I', text),
            Hint::Warn(text) => ('W', text),
        });
        hints.collect()
    }

    #[test]
    fn keys_of_a_connector() {
        const IGNORED: &str = "ignored, as by MirrorMaker: ";
        // (key, value, level of the one hint and what it says behind the key or before; none at all)
        let table = [
            ("topics", "a", None),
            ("topic", "a", Some(('W', "not known: topic (is topics meant?)"))),
            ("tpoics", "a", Some(('W', "tpoics (is topics meant?)"))),
            ("task.max", "4", Some(('W', "(is tasks.max meant?)"))),
            ("source.cluster.bootstrap.server", "a:1", Some(('W', "(is source.cluster.bootstrap.servers meant?)"))),
            ("sorce.cluster.bootstrap.servers", "a:1", Some(('W', "(is source.cluster.bootstrap.servers meant?)"))),
            (
                "source.consumer.auto.ofset.reset",
                "latest",
                Some(('W', "(is source.consumer.auto.offset.reset meant?)")),
            ),
            ("producer.override.batch.sise", "1", Some(('W', "(is producer.override.batch.size meant?)"))),
            ("refresh.topic.interval.seconds", "1", Some(('W', "(is refresh.topics.interval.seconds meant?)"))),
            ("my.own.note", "x", None),
            ("clusters", "a,b", None),
            ("refresh.groups.interval.seconds", "1", None),
            ("checkpoints.topic.replication.factor", "1", None),
            ("task.index", "0", None),
            ("consumer.group.id", "g", None),
            ("consumer.auto.offset.reset", "latest", None),
            ("source.consumer.isolation.level", "read_committed", None),
            ("source.consumer.my.interceptor.setting", "x", None),
            ("source.producer.linger.ms", "1", Some(('W', "accepted, without effect in this version: "))),
            ("source.producer.security.protocol", "PLAINTEXT", None),
            ("kmirror.topic.deletion", "never", None),
            ("source.cluster.ssl.truststore.location", "x", None),
            ("source.consumer.max.poll.records", "1", Some(('W', "accepted, without effect in this version: "))),
            ("consumer.check.crcs", "1", Some(('W', "accepted, without effect in this version: "))),
            ("consumer.client.id", "me", Some(('W', "accepted, without effect in this version: "))),
            ("admin.request.timeout.ms", "1", Some(('W', "accepted, without effect in this version: "))),
            ("admin.max.poll.records", "1", Some(('I', IGNORED))),
            (
                "source.cluster.max.poll.records",
                "1",
                Some(('I', "max.poll.records (MirrorMaker's prefix is source.consumer., without effect here)")),
            ),
            ("source.cluster.receive.buffer.bytes", "1", Some(('I', "prefix is source.consumer., without effect"))),
            ("source.cluster.compression.type", "gzip", Some(('I', "prefix is producer.override., without effect"))),
            ("target.cluster.compression.type", "gzip", Some(('I', "prefix is producer.override., without effect"))),
            (
                "source.cluster.auto.offset.reset",
                "x",
                Some(('I', "(keys that work: source.consumer.auto.offset.reset)")),
            ),
            ("target.cluster.max.poll.records", "1", Some(('I', IGNORED))),
            ("source.cluster.message.max.bytes", "1", Some(('I', IGNORED))),
            ("target.producer.linger.ms", "5", Some(('I', "prefix is producer.override., without effect"))),
            ("producer.enable.idempotence", "true", Some(('I', "prefix is producer.override., without effect"))),
            ("producer.override.batch.size", "1", Some(('W', "no effect, batches reach the target as the source"))),
            ("producer.override.max.poll.records", "1", Some(('I', IGNORED))),
            ("producer.override.sasl.mechanism", "x", None),
            ("bootstrap.servers", "a:1", Some(('I', "(keys that work: source.cluster.bootstrap.servers)"))),
            ("ssl.keystore.location", "x", Some(('I', "(keys that work: source.cluster.ssl.keystore.location)"))),
            ("key.converter", " org.apache.kafka.connect.converters.ByteArrayConverter", None),
            ("value.converter", "org.apache.kafka.connect.json.JsonConverter", Some(('W', "copied byte for byte"))),
            ("value.converter.schemas.enable", "false", None),
            ("topics.blacklist", "x", Some(('I', "the former name of topics.exclude"))),
        ];
        for (key, value, expected) in table {
            let hints = hints(&[(key, value)]);
            match expected {
                None => assert_eq!(hints, [], "{key}"),
                Some((level, part)) => {
                    assert_eq!(hints.len(), 1, "{key}: {hints:?}");
                    let (seen, text) = &hints[0];
                    assert!(*seen == level && text.contains(part) && text.contains(key), "{key}: {hints:?}");
                }
            }
        }
        assert!(hints(&[("topics.blacklist", "x"), ("topics.exclude", "y")])[0].1.contains("is ignored"));
    }

    #[test]
    fn one_hint_a_subject() {
        let pairs = [
            ("bootstrap.servers", "a:1"),
            ("source.cluster.isolation.level", "read_committed"),
            ("source.cluster.max.poll.records", "1"),
            ("target.cluster.batch.size", "1"),
            ("target.cluster.linger.ms", "1"),
            ("source.cluster.message.max.bytes", "1"),
            ("producer.override.acks", "1"),
            ("producer.override.linger.ms", "1"),
            ("consumer.check.crcs", "1"),
            ("admin.client.id", "x"),
            ("topic", "a"),
            ("task.max", "1"),
        ];
        let texts: Vec<String> = hints(&pairs).into_iter().map(|(_, text)| text).collect();
        assert_eq!(
            texts,
            [
                "not known: task.max (is tasks.max meant?), topic (is topics meant?)",
                "no effect, batches reach the target as the source holds them, with their compression: \
                 producer.override.acks, producer.override.linger.ms",
                "accepted, without effect in this version: admin.client.id, consumer.check.crcs",
                "ignored, as by MirrorMaker: bootstrap.servers, source.cluster.isolation.level \
                 (keys that work: source.cluster.bootstrap.servers, source.consumer.isolation.level); \
                 target.cluster.batch.size, target.cluster.linger.ms \
                 (MirrorMaker's prefix is producer.override., without effect here); \
                 source.cluster.max.poll.records (MirrorMaker's prefix is source.consumer., without effect here); \
                 source.cluster.message.max.bytes",
            ]
        );
    }

    #[test]
    fn what_a_producer_would_follow() {
        const ALL: [&str; 3] = [
            "producer.override.batch.size",
            "producer.override.compression.lz4.level",
            "producer.override.compression.type",
        ];
        let told = |keys: &[&'static str], compression| overrides_hint(keys.to_vec(), compression);
        let warn = |text: &str| Some(Hint::Warn(text.to_owned()));
        let keep = "no effect, batches reach the target as the source holds them, with their compression unless \
                    kmirror.compression=configured: producer.override.compression.type";
        assert_eq!(told(&ALL[2..], Compression::Keep), warn(keep));
        let configured = Compression::Configured(Compressor::Lz4);
        let rest = "no effect, batches are those of the source: producer.override.batch.size, \
                    producer.override.compression.lz4.level";
        assert_eq!(told(&ALL, configured), warn(rest));
        assert_eq!(told(&ALL[2..], configured), None);

        let uncompressed = |pairs: &[(&str, &str)]| {
            let raw = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let hints = source_connector_hints(&raw, Compression::Configured(Compressor::None), &[]);
            hints.iter().any(|hint| matches!(hint, Hint::Warn(text) if text.contains("writes batches uncompressed")))
        };
        assert!(uncompressed(&[]));
        assert!(!uncompressed(&[(COMPRESSION_TYPE, "none")]));
    }

    #[test]
    fn keys_of_a_worker() {
        let hints = |key: &str, value: &str| worker_hints(&Properties::from([(key.to_owned(), value.to_owned())]));
        assert_eq!(hints("gruop.id", "x"), [Hint::Warn("not known: gruop.id (is group.id meant?)".to_owned())]);
        let text =
            "ignored, as by Connect, whose topics always have cleanup.policy=compact: offset.storage.cleanup.policy";
        assert_eq!(hints("offset.storage.cleanup.policy", "delete"), [Hint::Info(text.to_owned())]);
        let text = "accepted, without effect in this version: admin.listeners";
        assert_eq!(hints("admin.listeners", "http://:1"), [Hint::Warn(text.to_owned())]);
        let text = "not known: kmirror.memory.byte (is kmirror.memory.bytes meant?)";
        assert_eq!(hints("kmirror.memory.byte", "1"), [Hint::Warn(text.to_owned())]);
        for key in [
            "group.id",
            "rest.port",
            "kmirror.max.bytes.per.second",
            "offset.storage.segment.bytes",
            "producer.acks",
            "sasl.mechanism",
            "listeners.https.ssl.x",
        ] {
            assert_eq!(hints(key, "1"), [], "{key}");
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
