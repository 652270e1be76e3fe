//! A connector's configuration judged key by key, as Connect's REST API tells it (`AbstractHerder.validateConnectorConfig`).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    CheckpointConnectorConfig, ConfigError, ConfigErrors, ConnectorClass, HeartbeatConnectorConfig, Properties,
    SourceConnectorConfig, WorkerConfig,
    key::{Default, Key, Kind, Valid, Width, full_class_name, parse_list},
    keys::{
        PREDICATE_KEYS, PREDICATES, SECURITY_KEYS, SOURCE_CONNECTOR_KEYS, TRANSFORMATION_KEYS, TRANSFORMATIONS,
        connector_keys, keys_of_class,
    },
};

/// Connect's `ConfigInfos`: what there is to say of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigInfos {
    /// `connector.class`, as written.
    pub name: String,
    /// How many errors all keys have together.
    pub error_count: usize,
    /// Groups of keys.
    pub groups: Vec<String>,
    /// Keys that are not in the registry and have errors; then those of the registry, set or not; then overrides of client
    /// settings.
    pub configs: Vec<ConfigInfo>,
}

/// A key, and what is written for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigInfo {
    /// Name of the key.
    pub name: String,
    /// What the key is; absent where it is not in the registry.
    pub definition: Option<Definition>,
    /// What is set or the default, as it was read; none after an error of its type. A secret is `[hidden]`.
    pub value: Option<String>,
    /// Values that a form may offer.
    pub recommended: &'static [&'static str],
    /// What is wrong with it.
    pub errors: Vec<String>,
}

/// What a key is, and where a form shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Its entry in the registry; under another name where that is a part of the key's name only.
    pub key: &'static Key,
    /// Default, as it would be read; none where it has none.
    pub default: Option<String>,
    /// Group it is shown in.
    pub group: Option<String>,
    /// Place within its group; −1 without one.
    pub order: i32,
    /// How wide a form's field is.
    pub width: Width,
    /// Name in forms.
    pub display_name: String,
}

impl Definition {
    /// Whether the key has to be set.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.key.default == Default::Required
    }
}

/// Connect's text in a secret's place.
const HIDDEN: &str = "[hidden]";
const OVERRIDES: [&str; 3] = ["producer.override.", "consumer.override.", "admin.override."];

/// Judges a configuration given to `PUT /connector-plugins/{plugin}/config/validate`; null values are errors. Connectors that
/// can't be made yet are judged too.
///
/// # Errors
/// The request's, for a 400: `connector.class` is missing, names no connector, or another than `plugin`.
pub fn validate(
    plugin: &str,
    given: &BTreeMap<String, Option<String>>,
    worker: &WorkerConfig,
) -> Result<ConfigInfos, String> {
    let Some(name) = given.get("connector.class").and_then(Option::as_ref) else {
        return Err(format!("Connector config {} contains no connector type", shown(given)));
    };
    let class = ConnectorClass::named(name);
    let same = matches!((&class, ConnectorClass::named(plugin)), (Ok(one), Ok(other)) if *one == other);
    if !same && !without_suffix(name.trim()).ends_with(without_suffix(plugin)) {
        return Err(format!("Included connector type {name} does not match request type {plugin}"));
    }
    let class = class.map_err(|error| error.message)?;
    let raw: Properties = given.iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?))).collect();
    let errors = errors(class, given, &raw, worker);

    let rows = rows(class, &raw);
    let mut groups: Vec<String> = Vec::new();
    for group in rows.iter().filter_map(|row| row.definition.group.clone()) {
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    let of = |key: &str| errors.iter().filter(|error| error.key == key).map(|error| error.message.clone()).collect();
    let defined: Vec<ConfigInfo> = rows.into_iter().map(|row| row.info(&raw, of)).collect();
    let overrides: Vec<ConfigInfo> =
        raw.keys().filter(|key| is_override(key)).map(|key| other(key, &raw, of)).collect();
    let known: BTreeSet<&str> = defined.iter().chain(&overrides).map(|info| info.name.as_str()).collect();
    let unknown: BTreeSet<&str> =
        errors.iter().map(|error| error.key.as_str()).filter(|key| !known.contains(key)).collect();
    let mut configs: Vec<ConfigInfo> = unknown.into_iter().map(|key| other(key, &raw, of)).collect();
    configs.extend(defined);
    configs.extend(overrides);
    Ok(ConfigInfos { name: name.clone(), error_count: errors.len(), groups, configs })
}

/// All that is wrong. A null is wrong whatever the key, and nothing more is said of it.
fn errors(
    class: ConnectorClass,
    given: &BTreeMap<String, Option<String>>,
    raw: &Properties,
    worker: &WorkerConfig,
) -> Vec<ConfigError> {
    let found = match class {
        ConnectorClass::MirrorSource => SourceConnectorConfig::parse(raw, worker).err(),
        ConnectorClass::MirrorCheckpoint => CheckpointConnectorConfig::parse(raw, worker).err(),
        ConnectorClass::MirrorHeartbeat => HeartbeatConnectorConfig::parse(raw, worker).err(),
    };
    let nulls = given.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| ConfigError {
        key: key.clone(),
        message: "Null value can not be supplied as the configuration value.".to_owned(),
    });
    let is_null = |error: &ConfigError| given.get(&error.key).is_some_and(Option::is_none);
    found
        .map_or_else(Vec::new, |ConfigErrors(found)| found)
        .into_iter()
        .filter(|error| !is_null(error))
        .chain(nulls)
        .collect()
}

/// `ConnectorPluginsResource.normalizedPluginName`
fn without_suffix(class: &str) -> &str {
    class.strip_suffix("Connector").filter(|rest| !rest.is_empty()).unwrap_or(class)
}

fn is_override(key: &str) -> bool {
    OVERRIDES.iter().any(|prefix| key.starts_with(prefix))
}

/// Whether a key's value must not be shown, whatever stands before the client setting.
fn is_secret(key: &str) -> bool {
    SECURITY_KEYS.iter().any(|known| known.kind == Kind::Password && key.ends_with(known.name))
}

/// A configuration as Java prints a map, without its secrets.
fn shown(given: &BTreeMap<String, Option<String>>) -> String {
    let entry = |(key, value): (&String, &Option<String>)| match value {
        Some(_) if is_secret(key) => format!("{key}={HIDDEN}"),
        value => format!("{key}={}", value.as_deref().unwrap_or("null")),
    };
    format!("{{{}}}", given.iter().map(entry).collect::<Vec<_>>().join(", "))
}

/// A key that is not in the registry.
fn other(key: &str, raw: &Properties, errors: impl Fn(&str) -> Vec<String>) -> ConfigInfo {
    let value = raw.get(key).map(|value| if is_secret(key) { HIDDEN.to_owned() } else { value.clone() });
    ConfigInfo { name: key.to_owned(), definition: None, value, recommended: &[], errors: errors(key) }
}

/// A key of the registry, by its name in this configuration.
struct Row {
    name: String,
    definition: Definition,
    recommended: &'static [&'static str],
}

impl Row {
    fn of(key: &'static Key) -> Self {
        let definition = Definition {
            key,
            default: key.default_text().and_then(|text| convert(key, text)),
            group: key.group.map(str::to_owned),
            order: key.order,
            width: key.width,
            display_name: key.display_name.to_owned(),
        };
        Self { name: key.name.to_owned(), definition, recommended: &[] }
    }

    fn info(self, raw: &Properties, errors: impl Fn(&str) -> Vec<String>) -> ConfigInfo {
        let Self { name, definition, recommended } = self;
        let key = definition.key;
        let alias = || key.alias.and_then(|alias| raw.get(alias));
        let value = match raw.get(&name).or_else(alias) {
            Some(text) => convert(key, text),
            None => definition.default.clone(),
        };
        ConfigInfo { errors: errors(&name), name, definition: Some(definition), value, recommended }
    }
}

/// `ConfigDef.convertToString` of what a text is read as.
fn convert(key: &Key, text: &str) -> Option<String> {
    let value = key.parse_type(key.name, text).ok()?.to_string();
    Some(match (key.kind, key.valid) {
        (Kind::Password, _) => HIDDEN.to_owned(),
        (Kind::Class, Valid::Classes(known)) => full_class_name(known, &value).map_or(value, str::to_owned),
        _ => value,
    })
}

/// The framework's keys, those of the transformations and predicates there are (`ConnectorConfig.enrich`), the connector's.
fn rows(class: ConnectorClass, raw: &Properties) -> Vec<Row> {
    let framework = SOURCE_CONNECTOR_KEYS.len();
    let mut rows: Vec<Row> = connector_keys(class).map(Row::of).collect();
    let own = rows.split_off(framework);
    if class == ConnectorClass::MirrorSource {
        rows.extend(plugins(raw, "transforms", "Transforms", "Transformation", TRANSFORMATIONS, TRANSFORMATION_KEYS));
        rows.extend(plugins(raw, "predicates", "Predicates", "Predicate", PREDICATES, PREDICATE_KEYS));
    }
    rows.extend(own);
    rows
}

/// The keys of each alias in a list: its type, the keys of its class, and what all such have.
fn plugins(
    raw: &Properties,
    list: &str,
    group: &str,
    what: &str,
    classes: &'static [&'static str],
    common: &'static [Key],
) -> Vec<Row> {
    let mut rows = Vec::new();
    let aliases = raw.get(list).map(|text| parse_list(text)).unwrap_or_default();
    for (at, alias) in aliases.iter().enumerate() {
        // A doubled alias is an error of the list.
        if aliases[..at].contains(alias) {
            continue;
        }
        let written = raw.get(&format!("{list}.{alias}.type")).map_or("", |class| class.trim());
        let class = full_class_name(classes, written).and_then(|class| class.rsplit_once('.'));
        let own = class.map_or(&[][..], |(_, simple)| keys_of_class(simple));
        let (class_key, common) = common.split_at(1);
        for (order, key) in (0..).zip(class_key.iter().chain(own).chain(common)) {
            let mut row = Row::of(key);
            row.name = format!("{list}.{alias}.{}", key.name);
            row.definition.group = Some(format!("{group}: {alias}"));
            row.definition.order = order;
            if order == 0 {
                row.definition.width = Width::Long;
                row.definition.display_name = format!("{what} type for {alias}");
                row.recommended = classes;
            }
            rows.push(row);
        }
    }
    rows
}

#[cfg(test)]
mod tests;
