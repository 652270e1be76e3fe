//! A connector's transformations and their predicates (`transforms`, `predicates`), by the rules of Connect's
//! `ConnectorConfig` and of each class.

mod literal;
mod regex_router;
mod timestamp_router;

use std::collections::BTreeSet;

use super::{
    ConfigError, ConfigErrors, Properties, RegexList,
    key::{Default, Key, Value, full_class_name},
    keys::{PREDICATE_KEYS, PREDICATES, TRANSFORMATION_KEYS, TRANSFORMATIONS, keys_of_class, mirror_source_keys},
    values::Values,
};

pub use regex_router::RegexRouter;
pub use timestamp_router::TimestampRouter;

/// A transformation, and which records it is applied to.
#[derive(Debug, Clone)]
pub struct TransformStage {
    /// What it does.
    pub transformation: Transformation,
    /// To which records; to all where absent.
    pub condition: Option<Condition>,
}

/// A predicate that has to hold, or must not.
#[derive(Debug, Clone)]
pub struct Condition {
    /// The predicate.
    pub predicate: Predicate,
    /// Whether it must not hold.
    pub negate: bool,
}

/// What is done to a record.
#[derive(Debug, Clone)]
pub enum Transformation {
    /// Removes all headers of these names.
    DropHeaders(Vec<String>),
    /// Drops the record.
    Filter,
    /// Adds a header behind the others, whatever their names.
    InsertHeader {
        /// Its name.
        name: String,
        /// Its value.
        value: Option<Vec<u8>>,
    },
    /// Changes the topic by its name.
    RegexRouter(RegexRouter),
    /// Changes the topic by its name and the record's time.
    TimestampRouter(TimestampRouter),
}

/// What may be asked of a record, as the transformations before have left it.
#[derive(Debug, Clone)]
pub enum Predicate {
    /// It has a header of this name.
    HasHeaderKey(String),
    /// It has no value.
    RecordIsTombstone,
    /// Its topic's whole name matches.
    TopicNameMatches(RegexList),
}

/// The transformations of a connector's configuration, in their order; nothing else in it is looked at.
///
/// # Errors
/// All that is wrong with them.
pub fn transform_stages(raw: &Properties) -> Result<Vec<TransformStage>, ConfigErrors> {
    let mut errors = Vec::new();
    let (stages, _) = transforms(raw, &Values::read(mirror_source_keys(), raw), &mut errors);
    ConfigErrors::or(errors, stages)
}

/// The transformations in their order, and the keys under `transforms.` and `predicates.` that nobody reads.
///
/// What is wrong is added to `errors`; a transformation it concerns is not in the list.
pub(super) fn transforms<'a>(
    raw: &'a Properties,
    values: &Values,
    errors: &mut Vec<ConfigError>,
) -> (Vec<TransformStage>, Vec<&'a str>) {
    let mut reader = Reader { raw, read: BTreeSet::new(), errors };
    let predicates: Vec<(&str, Option<Predicate>)> = reader
        .aliases("predicates", values)
        .into_iter()
        .map(|alias| (alias, reader.predicate(&format!("predicates.{alias}."))))
        .collect();
    let stages = reader
        .aliases("transforms", values)
        .into_iter()
        .filter_map(|alias| reader.stage(&format!("transforms.{alias}."), &predicates))
        .collect();
    let unread = raw
        .keys()
        .filter(|key| ["transforms.", "predicates."].iter().any(|prefix| key.starts_with(prefix)))
        .filter(|key| !reader.read.contains(*key))
        .map(String::as_str)
        .collect();
    (stages, unread)
}

struct Reader<'a> {
    raw: &'a Properties,
    /// Keys that somebody reads, set or not.
    read: BTreeSet<String>,
    errors: &'a mut Vec<ConfigError>,
}

impl Reader<'_> {
    /// The aliases of a list, each once.
    fn aliases<'v>(&mut self, key: &str, values: &'v Values) -> Vec<&'v str> {
        let mut unique: Vec<&str> = Vec::new();
        let aliases = values.list(key);
        for alias in aliases {
            if !unique.contains(&alias.as_str()) {
                unique.push(alias);
            }
        }
        if unique.len() < aliases.len() {
            self.invalid(key, &format!("[{}]", aliases.join(", ")), "Duplicate alias provided.");
        }
        unique
    }

    fn stage(&mut self, prefix: &str, predicates: &[(&str, Option<Predicate>)]) -> Option<TransformStage> {
        let [class, predicate, negate] = TRANSFORMATION_KEYS else { return None };
        let transformation = self.class(prefix, class, TRANSFORMATIONS).and_then(|class| match class {
            "DropHeaders" => self.drop_headers(prefix),
            "Filter" => Some(Transformation::Filter),
            "InsertHeader" => self.insert_header(prefix),
            "RegexRouter" => self.regex_router(prefix),
            "TimestampRouter" => self.timestamp_router(prefix),
            _ => None,
        });
        let (predicate_key, negate_key) = (format!("{prefix}predicate"), format!("{prefix}negate"));
        let negate = self.read(prefix, negate).is_some_and(|negate| negate == Value::Boolean(true));
        let wanted = self.text(prefix, predicate)?;
        let condition = if self.raw.contains_key(&predicate_key) {
            let Some((_, predicate)) = predicates.iter().find(|(known, _)| *known == wanted) else {
                let known: Vec<&str> = predicates.iter().map(|(known, _)| *known).collect();
                let there_are = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                self.invalid(&predicate_key, &wanted, &format!("no alias in predicates. There are: {there_are}"));
                return None;
            };
            Some(Condition { predicate: predicate.clone()?, negate })
        } else {
            if self.raw.contains_key(&negate_key) {
                let message = format!(
                    "Config '{negate_key}' was provided but there is no config '{predicate_key}' defining a predicate \
                     to be negated."
                );
                self.errors.push(ConfigError { key: negate_key, message });
            }
            None
        };
        Some(TransformStage { transformation: transformation?, condition })
    }

    fn predicate(&mut self, prefix: &str) -> Option<Predicate> {
        let [class] = PREDICATE_KEYS else { return None };
        match self.class(prefix, class, PREDICATES)? {
            "HasHeaderKey" => {
                let [name] = keys_of_class("HasHeaderKey") else { return None };
                Some(Predicate::HasHeaderKey(self.text(prefix, name)?))
            }
            "RecordIsTombstone" => Some(Predicate::RecordIsTombstone),
            "TopicNameMatches" => {
                let [pattern] = keys_of_class("TopicNameMatches") else { return None };
                let (key, pattern) = (format!("{prefix}pattern"), self.text(prefix, pattern)?);
                RegexList::of_one(&pattern)
                    .map_err(|reason| self.invalid(&key, &pattern, &format!("Invalid regex: {reason}")))
                    .ok()
                    .map(Predicate::TopicNameMatches)
            }
            _ => None,
        }
    }

    fn drop_headers(&mut self, prefix: &str) -> Option<Transformation> {
        let [headers] = keys_of_class("DropHeaders") else { return None };
        match self.read(prefix, headers)? {
            Value::List(names) if names.is_empty() => {
                self.invalid(&format!("{prefix}headers"), "[]", "Empty list");
                None
            }
            Value::List(names) => Some(Transformation::DropHeaders(names)),
            _ => None,
        }
    }

    fn insert_header(&mut self, prefix: &str) -> Option<Transformation> {
        let [header, literal] = keys_of_class("InsertHeader") else { return None };
        let (name, literal) = (self.text(prefix, header), self.text(prefix, literal));
        let value = literal.and_then(|literal| {
            literal::header_value(&literal)
                .map_err(|reason| self.invalid(&format!("{prefix}value.literal"), &literal, &reason))
                .ok()
        });
        Some(Transformation::InsertHeader { name: name?, value: value? })
    }

    fn regex_router(&mut self, prefix: &str) -> Option<Transformation> {
        let [regex, replacement] = keys_of_class("RegexRouter") else { return None };
        let (regex, replacement) = (self.text(prefix, regex), self.text(prefix, replacement));
        let (regex, replacement) = (regex?, replacement?);
        RegexRouter::new(&regex, &replacement)
            .map_err(|wrong| {
                let (key, value) = match wrong.key {
                    "regex" => ("regex", &regex),
                    _ => ("replacement", &replacement),
                };
                self.invalid(&format!("{prefix}{key}"), value, &wrong.reason);
            })
            .ok()
            .map(Transformation::RegexRouter)
    }

    fn timestamp_router(&mut self, prefix: &str) -> Option<Transformation> {
        let [topic, timestamp] = keys_of_class("TimestampRouter") else { return None };
        let (topic, timestamp) = (self.text(prefix, topic), self.text(prefix, timestamp)?);
        let router = TimestampRouter::new(&topic?, &timestamp);
        router
            .map_err(|reason| self.invalid(&format!("{prefix}timestamp.format"), &timestamp, &reason))
            .ok()
            .map(Transformation::TimestampRouter)
    }

    /// The class named, without its package; its keys count as read.
    fn class(&mut self, prefix: &str, key: &Key, known: &[&'static str]) -> Option<&'static str> {
        let full = full_class_name(known, &self.text(prefix, key)?)?;
        let simple = full.rsplit_once('.').map_or(full, |(_, simple)| simple);
        self.read.extend(keys_of_class(simple).iter().map(|key| format!("{prefix}{}", key.name)));
        Some(simple)
    }

    fn text(&mut self, prefix: &str, key: &Key) -> Option<String> {
        match self.read(prefix, key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A key's value, or its default; none after an error.
    fn read(&mut self, prefix: &str, key: &Key) -> Option<Value> {
        let name = format!("{prefix}{}", key.name);
        let result = match (self.raw.get(&name), key.default) {
            (Some(text), _) => key.parse(&name, text),
            (None, Default::Value(text)) => key.parse(&name, text),
            (None, _) => Err(ConfigError::missing(&name)),
        };
        self.read.insert(name);
        result.map_err(|error| self.errors.push(error)).ok()
    }

    fn invalid(&mut self, key: &str, value: &str, reason: &str) {
        self.errors.push(ConfigError::invalid(key, value, reason));
    }
}

#[cfg(test)]
mod tests;
