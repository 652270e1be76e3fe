//! docs/configuration.md, written from the registry.

use std::fmt::Write;

use super::{
    CLIENT_KEYS, ClientRole, ConnectorClass, Default, KMIRROR_CHECKPOINT_KEYS, KMIRROR_SOURCE_KEYS, Key, Kind,
    MIRROR_CHECKPOINT_KEYS, MIRROR_HEARTBEAT_KEYS, MIRROR_KEYS, MIRROR_SOURCE_KEYS, PREDICATE_KEYS, PREDICATES,
    SECURITY_KEYS, SOURCE_CONNECTOR_KEYS, TRANSFORMATION_KEYS, TRANSFORMATIONS, WORKER_KEYS,
    hints::NOT_BUILT_OF_WORKER, keys_of_class, plugins,
};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
/// Set, the file is written.
const WRITE: &str = "KMIRROR_WRITE_DOCS";

const HEAD: &str = "\
# Configuration

All keys that kmirror knows, with their defaults, which are those of Kafka 4.1. This file is written from the registry in
`src/config/keys`; a test compares the two. Keys that are not known are tolerated, as Connect tolerates them; the log tells of
those that look misspelt, of those that MirrorMaker ignores too, and of those without effect in this version. What is wrong is
told all at once, by `PUT /connector-plugins/{class}/config/validate` without making a connector.

Types are those of Kafka: LIST is split at commas, blanks around items are dropped; all other values are trimmed.
Lists of regular expressions match whole names, in Java's syntax. Names that begin with `kmirror.` are kmirror's own.
A negative `….interval.seconds` means never, as `….enabled=false` does.
";

const CLIENTS: &str = "
## Settings of clients

A connector's clients are made up of layers, of which the later win:

| client | layers |
|---|---|
| consumer of the source | `source.cluster.*` → `consumer.*` → `source.consumer.*` |
| admin client of the source | `source.cluster.*` → `admin.*` → `source.admin.*` |
| admin client of the target | `target.cluster.*` → `admin.*` → `target.admin.*` |
| consumer of the target | `target.cluster.*` → `consumer.*` → `target.consumer.*` |
| producer of offset syncs, at `offset-syncs.topic.location` | `X.cluster.*` → `producer.*` → `X.producer.*`, X being source or target |
| producer of the data | the worker's addresses → `producer.*` of the worker → `producer.override.*` of the connector |

Of `source.cluster.*` and `target.cluster.*` only `bootstrap.servers`, `security.protocol`, `ssl.*` and `sasl.*` are read; what
else stands there has no effect, as in MirrorMaker. The data goes to the worker's own cluster; `target.cluster.bootstrap.servers`
is only compared with it. The consumer of the source has `auto.offset.reset=earliest` and `isolation.level=read_committed` unless
they are set, and commits nothing.
";

/// The whole file.
fn reference() -> String {
    let mut text = HEAD.to_owned();
    text.push_str("\n## The worker's file\n\nBeside these: settings of clients under `producer.`, `consumer.` and `admin.`, and settings of the worker's topics under\n`config.storage.`, `offset.storage.` and `status.storage.`.\n");
    table(&mut text, WORKER_KEYS);
    text.push_str("\n## All connectors\n\nConnect's keys:\n");
    table(&mut text, SOURCE_CONNECTOR_KEYS);
    text.push_str("\nMirrorMaker's keys:\n");
    table(&mut text, MIRROR_KEYS);
    text.push_str("\nTLS and SASL settings without a prefix are checked and reach no client: write them behind one of the prefixes [below](#settings-of-clients).\n");
    table(&mut text, SECURITY_KEYS);
    for class in ConnectorClass::ALL {
        let name = class.name().rsplit_once('.').map_or(class.name(), |(_, simple)| simple);
        let _ = write!(text, "\n## {name}\n\n`connector.class={}`", class.name());
        text.push('\n');
        let (own, kmirror): (&[Key], &[Key]) = match class {
            ConnectorClass::MirrorSource => (MIRROR_SOURCE_KEYS, KMIRROR_SOURCE_KEYS),
            ConnectorClass::MirrorCheckpoint => (MIRROR_CHECKPOINT_KEYS, KMIRROR_CHECKPOINT_KEYS),
            ConnectorClass::MirrorHeartbeat => (MIRROR_HEARTBEAT_KEYS, &[]),
        };
        table(&mut text, own);
        if !kmirror.is_empty() {
            text.push_str("\nkmirror's own:\n");
            table(&mut text, kmirror);
        }
    }
    text.push_str("\n## Transformations and predicates\n\nOf a MirrorSourceConnector. Keys of every transformation, behind `transforms.<alias>.`:\n");
    table(&mut text, TRANSFORMATION_KEYS);
    classes(&mut text, TRANSFORMATIONS);
    text.push_str("\nKeys of every predicate, behind `predicates.<alias>.`:\n");
    table(&mut text, PREDICATE_KEYS);
    classes(&mut text, PREDICATES);
    text.push_str(CLIENTS);
    for role in [ClientRole::Consumer, ClientRole::Producer, ClientRole::Admin] {
        let names = CLIENT_KEYS.iter().filter(|key| key.roles.contains(&role)).map(|key| format!("`{}`", key.name));
        let names = names.collect::<Vec<_>>().join(", ");
        let _ =
            write!(text, "\nSettings of Kafka's {} client that are known: {names}, `ssl.*`, `sasl.*`.\n", role.name());
    }
    text
}

/// The keys of each class that has some.
fn classes(text: &mut String, classes: &[&str]) {
    for class in classes {
        let keys = keys_of_class(class.rsplit_once('.').map_or(*class, |(_, simple)| simple));
        let _ = write!(text, "\n`{class}`{}\n", if keys.is_empty() { " has no keys of its own." } else { ":" });
        if !keys.is_empty() {
            table(text, keys);
        }
    }
}

fn table(text: &mut String, keys: &[Key]) {
    let not_built = |name: &str| keys == WORKER_KEYS && NOT_BUILT_OF_WORKER.contains(&name);
    text.push_str("\n| key | type | default | allowed | meaning |\n|---|---|---|---|---|\n");
    for key in keys {
        let default = match key.default {
            Default::Required => "**required**".to_owned(),
            Default::Null => "none".to_owned(),
            Default::Value("") => "empty".to_owned(),
            Default::Value(value) => format!("`{}`", cell(value)),
        };
        let alias = key.alias.map_or_else(String::new, |alias| format!(" Former name: `{alias}`."));
        let effect = if not_built(key.name) { " **Without effect in this version.**" } else { "" };
        let kind = if key.kind == Kind::Password { "PASSWORD, never shown" } else { key.kind.name() };
        let (allowed, doc) = (cell(&key.valid.to_string()), cell(key.doc));
        let _ = writeln!(text, "| `{}` | {kind} | {default} | {allowed} | {doc}{alias}{effect} |", key.name);
    }
}

/// Text in a table of Markdown.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[test]
fn the_file_is_what_the_registry_says() {
    let written = reference();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(FILE, &written).unwrap();
    }
    let file = std::fs::read_to_string(FILE).unwrap_or_default();
    let differs = file.lines().zip(written.lines()).position(|(file, written)| file != written);
    let line = differs.unwrap_or_else(|| file.lines().count().min(written.lines().count())) + 1;
    assert!(
        file == written,
        "docs/configuration.md differs from the registry in line {line}. To write it: {WRITE}=1 cargo test --lib config::reference"
    );
}

#[test]
fn every_key_has_its_line() {
    let written = reference();
    for key in WORKER_KEYS.iter().chain(ConnectorClass::ALL.into_iter().flat_map(super::connector_keys)) {
        assert!(written.contains(&format!("| `{}` | ", key.name)), "{}", key.name);
    }
    assert!(plugins().iter().all(|plugin| written.contains(plugin.class)));
}
