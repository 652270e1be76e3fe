//! What is to become of records that can't be written.

use super::{ConfigError, Properties, values::Values};

/// What happens to a record that the target can't take (`kmirror.poison.policy`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoisonPolicy {
    /// It stops its partition.
    Fail,
    /// It goes to a topic of such records on the target.
    Park {
        /// Name of that topic.
        topic: String,
    },
    /// It is left out.
    Skip,
}

/// Kafka's limit, in characters (`Topic.MAX_NAME_LENGTH`).
const LONGEST_TOPIC: usize = 249;

/// The policy. `errors.tolerance=all` means [`PoisonPolicy::Skip`], as Connect skips over what it can't handle, unless the
/// policy is set.
///
/// # Errors
/// `kmirror.poison.topic`, or its default where one is needed, can't be the name of a topic.
pub(super) fn poison_policy(raw: &Properties, values: &Values) -> Result<PoisonPolicy, ConfigError> {
    let topic = match values.text("kmirror.poison.topic") {
        Some(topic) if !is_legal_topic(topic) => return Err(illegal(topic, "")),
        written => written.map(str::to_owned),
    };
    let policy = match values.text("kmirror.poison.policy") {
        Some("fail")
            if !raw.contains_key("kmirror.poison.policy") && values.text("errors.tolerance") == Some("all") =>
        {
            "skip"
        }
        policy => policy.unwrap_or_default(),
    };
    Ok(match policy {
        "skip" => PoisonPolicy::Skip,
        "park" => {
            let default = || format!("kmirror.poison.{}", values.text("source.cluster.alias").unwrap_or_default());
            let is_default = topic.is_none();
            let topic = topic.unwrap_or_else(default);
            if is_default && !is_legal_topic(&topic) {
                return Err(illegal(&topic, ", set it to one: this is its default, made of source.cluster.alias"));
            }
            PoisonPolicy::Park { topic }
        }
        _ => PoisonPolicy::Fail,
    })
}

fn illegal(topic: &str, more: &str) -> ConfigError {
    let reason = format!(
        "not the name of a topic, which has 1 to {LONGEST_TOPIC} of the characters a-z, A-Z, 0-9, '.', '_' and '-', and \
         is neither '.' nor '..'{more}"
    );
    ConfigError::invalid("kmirror.poison.topic", topic, reason)
}

/// `Topic.validate`
fn is_legal_topic(name: &str) -> bool {
    (1..=LONGEST_TOPIC).contains(&name.len())
        && !matches!(name, "." | "..")
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{keys::mirror_source_keys, read_properties};

    fn read(lines: &str) -> Result<PoisonPolicy, String> {
        let raw = read_properties(&format!("source.cluster.alias=A\n{lines}")).unwrap();
        poison_policy(&raw, &Values::read(mirror_source_keys(), &raw)).map_err(|error| error.message)
    }

    #[test]
    fn policies_by_their_keys() {
        let park = |topic: &str| PoisonPolicy::Park { topic: topic.to_owned() };
        let longest = format!("kmirror.poison.topic={}\nkmirror.poison.policy=park", "x".repeat(249));
        let table = [
            ("", PoisonPolicy::Fail),
            ("errors.tolerance=none", PoisonPolicy::Fail),
            ("errors.tolerance=all", PoisonPolicy::Skip),
            ("errors.tolerance=all\nkmirror.poison.policy=fail", PoisonPolicy::Fail),
            ("errors.tolerance=all\nkmirror.poison.policy=park", park("kmirror.poison.A")),
            ("kmirror.poison.policy= skip ", PoisonPolicy::Skip),
            ("kmirror.poison.policy=park\nkmirror.poison.topic=dead_letters-1", park("dead_letters-1")),
            ("source.cluster.alias=a b", PoisonPolicy::Fail),
            (&longest, park(&"x".repeat(249))),
        ];
        for (lines, expected) in table {
            assert_eq!(read(lines), Ok(expected), "{lines}");
        }
    }

    #[test]
    fn topics_that_cannot_be_are_named() {
        let long = "x".repeat(250);
        for topic in ["", ".", "..", "a b", "a/b", "ä", &long] {
            let message = read(&format!("kmirror.poison.topic={topic}")).unwrap_err();
            let start =
                format!("Invalid value {topic} for configuration kmirror.poison.topic: not the name of a topic");
            assert!(message.starts_with(&start), "{message}");
        }
        let message = read("source.cluster.alias=a b\nkmirror.poison.policy=park").unwrap_err();
        assert!(message.starts_with("Invalid value kmirror.poison.a b for"), "{message}");
        assert!(message.ends_with("made of source.cluster.alias"), "{message}");
    }
}
