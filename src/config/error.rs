//! Configuration errors, in the words of Kafka's `ConfigDef` and of Connect.

use std::fmt;

/// How Connect begins to say that `connector.class` names nothing.
pub(super) const NO_SUCH_CONNECTOR: &str = "Failed to find any class that implements Connector";

/// One thing that is wrong, and the key it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The key as the user wrote it; empty for what concerns a whole file.
    pub key: String,
    /// The sentence to show, complete in itself:
    /// `Invalid value x for configuration tasks.max: Not a number of type INT`.
    pub message: String,
}

impl ConfigError {
    /// `ConfigException`'s sentence about a value that is not allowed.
    #[must_use]
    pub fn invalid(key: &str, value: &str, reason: impl fmt::Display) -> Self {
        Self { key: key.to_owned(), message: format!("Invalid value {value} for configuration {key}: {reason}") }
    }

    /// `ConfigDef`'s sentence about a key that is not there.
    #[must_use]
    pub fn missing(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            message: format!("Missing required configuration \"{key}\" which has no default value."),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with a configuration, never empty. Prints one error a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl ConfigErrors {
    /// The text of Connect's 400 to a create or update request
    /// (`AbstractHerder.maybeAddConfigErrors`). That there is no such connector is said alone, as Connect does.
    #[must_use]
    pub fn connect_message(&self) -> String {
        if let [error] = self.0.as_slice()
            && error.message.starts_with(NO_SUCH_CONNECTOR)
        {
            return error.message.clone();
        }
        let mut text =
            format!("Connector configuration is invalid and contains the following {} error(s):\n", self.0.len());
        for error in &self.0 {
            text.push_str(&error.message);
            text.push('\n');
        }
        text.push_str(
            "You can also find the above list of errors at the endpoint `/connector-plugins/{connectorType}/config/validate`",
        );
        text
    }

    /// `value` if nothing is wrong, else all errors, each said once.
    pub(crate) fn or<T>(errors: Vec<ConfigError>, value: T) -> Result<T, Self> {
        let mut unique: Vec<ConfigError> = Vec::with_capacity(errors.len());
        for error in errors {
            if !unique.contains(&error) {
                unique.push(error);
            }
        }
        if unique.is_empty() { Ok(value) } else { Err(Self(unique)) }
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&error.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_combined_text_is_connects() {
        let errors = ConfigErrors(vec![
            ConfigError::missing("name"),
            ConfigError::invalid("tasks.max", "abc", "Not a number of type INT"),
        ]);
        assert_eq!(
            errors.connect_message(),
            "Connector configuration is invalid and contains the following 2 error(s):\n\
             Missing required configuration \"name\" which has no default value.\n\
             Invalid value abc for configuration tasks.max: Not a number of type INT\n\
             You can also find the above list of errors at the endpoint \
             `/connector-plugins/{connectorType}/config/validate`"
        );
        assert_eq!(errors.to_string().lines().count(), 2);
    }

    #[test]
    fn a_missing_connector_is_said_alone() {
        let error = ConfigError {
            key: "connector.class".to_owned(),
            message: format!("{NO_SUCH_CONNECTOR} and which name matches X, available connectors are: Y"),
        };
        assert_eq!(ConfigErrors::from(error.clone()).connect_message(), error.message);
    }

    #[test]
    fn an_error_is_said_once() {
        let error = ConfigError::missing("a");
        assert_eq!(ConfigErrors::or(vec![error.clone(), error.clone()], ()), Err(ConfigErrors(vec![error])));
        assert_eq!(ConfigErrors::or(Vec::new(), 1), Ok(1));
    }
}
