//! All keys of a table read at once.

use std::{collections::BTreeMap, time::Duration};

use super::{
    ConfigError, Properties,
    key::{Default, Key, Value},
};

/// The values of a table's keys, and what is wrong with them.
///
/// A key with an error holds its default, so that reading goes on and finds the other errors; whoever asks for values
/// must ask for the errors too.
pub(super) struct Values {
    values: BTreeMap<&'static str, Option<Value>>,
    pub(super) errors: Vec<ConfigError>,
}

impl Values {
    pub(super) fn read(keys: impl Iterator<Item = &'static Key>, raw: &Properties) -> Self {
        let mut values = BTreeMap::new();
        let mut errors = Vec::new();
        for key in keys {
            let by_name = |name: &'static str| raw.get(name).map(|text| (name, text));
            let written = by_name(key.name).or_else(|| key.alias.and_then(by_name));
            let parsed = written.and_then(|(name, text)| match key.parse(name, text) {
                Ok(value) => Some(value),
                Err(error) => {
                    errors.push(error);
                    None
                }
            });
            if written.is_none() && key.default == Default::Required {
                errors.push(ConfigError::missing(key.name));
            }
            let default = || key.default_text().and_then(|text| key.parse(key.name, text).ok());
            values.insert(key.name, parsed.or_else(default));
        }
        Self { values, errors }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        debug_assert!(self.values.contains_key(name), "{name} is not in the registry");
        self.values.get(name).and_then(Option::as_ref)
    }

    pub(super) fn boolean(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Value::Boolean(true)))
    }

    /// The number, where it fits the type asked for; the registry's valid values see to that.
    pub(super) fn number<T: TryFrom<i64>>(&self, name: &str) -> Option<T> {
        match self.get(name) {
            Some(Value::Number(number)) => T::try_from(*number).ok(),
            _ => None,
        }
    }

    /// A time the key gives in ms.
    pub(super) fn millis(&self, name: &str) -> Duration {
        Duration::from_millis(self.number(name).unwrap_or_default())
    }

    /// A cap on what is not negative: 0 means none.
    pub(super) fn cap(&self, name: &str) -> Option<u64> {
        self.number(name).filter(|cap| *cap > 0)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// As [`text`](Self::text), empty where there is none.
    pub(super) fn owned_text(&self, name: &str) -> String {
        self.text(name).unwrap_or_default().to_owned()
    }

    pub(super) fn list(&self, name: &str) -> &[String] {
        match self.get(name) {
            Some(Value::List(items)) => items,
            _ => &[],
        }
    }
}
