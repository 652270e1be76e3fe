//! Keys the framework reads from every source connector (`ConnectorConfig`, `SourceConnectorConfig`).

use crate::config::key::{
    Default::{Null, Required, Value},
    Importance::{High, Medium},
    Key,
    Kind::{Boolean, Class, Int, List, Long, String},
    Valid,
};

const COMMON: &str = "Common";
const TRANSFORMS: &str = "Transforms";
const PREDICATES: &str = "Predicates";
const ERRORS: &str = "Error Handling";
const EXACTLY_ONCE: &str = "Exactly Once Support";

/// Keys of every source connector.
pub const SOURCE_CONNECTOR_KEYS: &[Key] = &[
    Key::new("name", String, Required, "Name of the connector, unique within the group.")
        .importance(High)
        .valid(Valid::Name)
        .shown(COMMON, "Connector name"),
    Key::new(
        "connector.class",
        String,
        Required,
        "Class of the connector: full name, simple name, or that without Connector.",
    )
    .importance(High)
    .shown(COMMON, "Connector class"),
    Key::new("tasks.max", Int, Value("1"), "The most tasks to make.")
        .importance(High)
        .valid(Valid::AtLeast(1))
        .shown(COMMON, "Tasks max"),
    Key::new("tasks.max.enforce", Boolean, Value("true"), "Whether more tasks than that are an error.")
        .shown(COMMON, "Tasks max enforce"),
    Key::new("key.converter", Class, Null, "Converter of keys. Mirrored bytes are never converted.")
        .shown(COMMON, "Key converter class"),
    Key::new("value.converter", Class, Null, "Converter of values. Mirrored bytes are never converted.")
        .shown(COMMON, "Value converter class"),
    Key::new("header.converter", Class, Null, "Converter of headers. Mirrored bytes are never converted.")
        .shown(COMMON, "Header converter class"),
    Key::new("transforms", List, Value(""), "Aliases of transformations of records.").shown(TRANSFORMS, "Transforms"),
    Key::new("predicates", List, Value(""), "Aliases of predicates of transformations.")
        .shown(PREDICATES, "Predicates"),
    Key::new(
        "config.action.reload",
        String,
        Value("restart"),
        "What to do when an external configuration value changes.",
    )
    .valid(Valid::OneOfIgnoringCase(&["none", "restart"]))
    .shown(COMMON, "Reload Action"),
    Key::new(
        "errors.retry.timeout",
        Long,
        Value("0"),
        "Time for which a failed operation on a record is tried again, ms; -1 for ever.",
    )
    .importance(Medium)
    .shown(ERRORS, "Retry Timeout for Errors"),
    Key::new("errors.retry.delay.max.ms", Long, Value("60000"), "The longest time between two of these tries, ms.")
        .importance(Medium)
        .shown(ERRORS, "Maximum Delay Between Retries for Errors"),
    Key::new("errors.tolerance", String, Value("none"), "Whether a record that cannot be written stops its partition.")
        .importance(Medium)
        .valid(Valid::OneOf(&["none", "all"]))
        .shown(ERRORS, "Error Tolerance"),
    Key::new("errors.log.enable", Boolean, Value("false"), "Whether tolerated errors are logged.")
        .importance(Medium)
        .shown(ERRORS, "Log Errors"),
    Key::new("errors.log.include.messages", Boolean, Value("false"), "Whether the record is logged with them.")
        .importance(Medium)
        .shown(ERRORS, "Log Error Details"),
    Key::new(
        "topic.creation.groups",
        List,
        Value(""),
        "Groups of settings for topics the framework makes; MirrorMaker's connectors make their own.",
    )
    .shown("Topic Creation", "Topic Creation Groups"),
    Key::new("exactly.once.support", String, Value("requested"), "Whether the connector must run with exactly-once.")
        .importance(Medium)
        .valid(Valid::OneOfIgnoringCase(&["requested", "required"]))
        .shown(EXACTLY_ONCE, "Exactly once support"),
    Key::new("transaction.boundary", String, Value("poll"), "What a transaction spans.")
        .importance(Medium)
        .valid(Valid::OneOfIgnoringCase(&["poll", "interval", "connector"]))
        .shown(EXACTLY_ONCE, "Transaction Boundary"),
    Key::new(
        "transaction.boundary.interval.ms",
        Long,
        Null,
        "Time a transaction spans, ms, where the boundary is interval.",
    )
    .valid(Valid::AtLeast(0))
    .shown(EXACTLY_ONCE, "Transaction boundary interval"),
    Key::new("offsets.storage.topic", String, Null, "Topic of this connector's own for its positions.")
        .valid(Valid::NonEmpty)
        .shown("Offsets Topic", "Offsets topic"),
];
