//! The separator between alias and topic, and the names that are built with it.

/// `replication.policy.separator` when it is not set.
pub const DEFAULT_SEPARATOR: &str = ".";

/// The separators a policy joins and splits names with; never empty.
///
/// Kafka's three policies differ in what they call a remote topic, and agree in this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Separators {
    separator: String,
    internal: String,
}

impl Default for Separators {
    fn default() -> Self {
        Self { separator: DEFAULT_SEPARATOR.to_owned(), internal: DEFAULT_SEPARATOR.to_owned() }
    }
}

impl Separators {
    /// `separator` is `replication.policy.separator`, taken as it is written, blanks included.
    /// `internal_topic_separator_enabled` (default true) says whether the names of internal topics have it too; if
    /// not, they have dots.
    ///
    /// `None` for an empty separator: names joined with nothing cannot be taken apart.
    #[must_use]
    pub fn new(separator: &str, internal_topic_separator_enabled: bool) -> Option<Self> {
        if separator.is_empty() {
            return None;
        }
        let internal = if internal_topic_separator_enabled { separator } else { DEFAULT_SEPARATOR };
        Some(Self { separator: separator.to_owned(), internal: internal.to_owned() })
    }

    pub(crate) fn join(&self, source_cluster_alias: &str, topic: &str) -> String {
        format!("{source_cluster_alias}{}{topic}", self.separator)
    }

    /// Source and upstream name of a joined name.
    ///
    /// Kafka asks Java's `String.split` for at least two parts, and that drops empty parts from the end: a name with
    /// nothing but separators behind its first part is at home. An empty first part counts.
    pub(crate) fn split<'a>(&self, topic: &'a str) -> Option<(&'a str, &'a str)> {
        let (source, upstream) = topic.split_once(self.separator.as_str())?;
        let has_second_part = upstream.split(self.separator.as_str()).any(|part| !part.is_empty());
        has_second_part.then_some((source, upstream))
    }

    pub(crate) fn offset_syncs_topic(&self, cluster_alias: &str) -> String {
        format!("mm2-offset-syncs{0}{cluster_alias}{0}internal", self.internal)
    }

    pub(crate) fn checkpoints_topic(&self, cluster_alias: &str) -> String {
        format!("{cluster_alias}{0}checkpoints{0}internal", self.internal)
    }

    pub(crate) fn is_checkpoints_topic(&self, topic: &str) -> bool {
        topic.ends_with(&self.checkpoints_topic(""))
    }

    pub(crate) fn is_mm2_internal_topic(&self, topic: &str) -> bool {
        let ends_as_internal = topic.strip_suffix("internal").is_some_and(|head| head.ends_with(&self.internal));
        (topic.starts_with("mm2") && ends_as_internal) || self.is_checkpoints_topic(topic)
    }
}

/// The methods in which Kafka's three policies agree; `self.separators` must exist.
macro_rules! internal_topics_by_separators {
    () => {
        fn offset_syncs_topic(&self, cluster_alias: &str) -> String {
            self.separators.offset_syncs_topic(cluster_alias)
        }

        fn checkpoints_topic(&self, cluster_alias: &str) -> String {
            self.separators.checkpoints_topic(cluster_alias)
        }

        fn is_checkpoints_topic(&self, topic: &str) -> bool {
            self.separators.is_checkpoints_topic(topic)
        }

        fn is_mm2_internal_topic(&self, topic: &str) -> bool {
            self.separators.is_mm2_internal_topic(topic)
        }
    };
}
pub(crate) use internal_topics_by_separators;
