//! Keys the framework reads from every source connector (`ConnectorConfig`, `SourceConnectorConfig`).

use crate::config::key::{
    Default::{Null, Required, Value},
    Importance::{High, Medium},
    Key,
    Kind::{Boolean, Class, Int, List, Long, String},
    Valid,
    Width::{Long as Wide, Medium as Middle, Short},
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
        .shown(COMMON, 1, Middle, "Connector name"),
    Key::new(
        "connector.class",
        String,
        Required,
        "Class of the connector: full name, simple name, or that without Connector.",
    )
    .importance(High)
    .shown(COMMON, 2, Wide, "Connector class"),
    Key::new(
        "connector.plugin.version",
        String,
        Null,
        "Version of the connector, where there are several (KIP-891); here is one.",
    )
    .importance(Medium)
    .shown(COMMON, 3, Middle, "Connector version"),
    Key::new("tasks.max", Int, Value("1"), "The most tasks to make.").importance(High).valid(Valid::AtLeast(1)).shown(
        COMMON,
        4,
        Short,
        "Tasks max",
    ),
    Key::new("tasks.max.enforce", Boolean, Value("true"), "Whether more tasks than that are an error.").shown(
        COMMON,
        5,
        Short,
        "Enforce tasks max",
    ),
    Key::new("key.converter", Class, Null, "Converter of keys. Mirrored bytes are never converted.").shown(
        COMMON,
        6,
        Short,
        "Key converter class",
    ),
    Key::new("key.converter.plugin.version", String, Null, "Version of that converter.").shown(
        COMMON,
        7,
        Short,
        "Key converter version",
    ),
    Key::new("value.converter", Class, Null, "Converter of values. Mirrored bytes are never converted.").shown(
        COMMON,
        8,
        Short,
        "Value converter class",
    ),
    Key::new("value.converter.plugin.version", String, Null, "Version of that converter.").shown(
        COMMON,
        9,
        Short,
        "Value converter version",
    ),
    Key::new("header.converter", Class, Null, "Converter of headers. Mirrored bytes are never converted.").shown(
        COMMON,
        10,
        Short,
        "Header converter class",
    ),
    Key::new("header.converter.plugin.version", String, Null, "Version of that converter.").shown(
        COMMON,
        11,
        Short,
        "Header converter version",
    ),
    Key::new("transforms", List, Value(""), "Aliases of transformations of records.").shown(
        TRANSFORMS,
        12,
        Wide,
        "Transforms",
    ),
    Key::new("predicates", List, Value(""), "Aliases of predicates of transformations.").shown(
        PREDICATES,
        13,
        Wide,
        "Predicates",
    ),
    Key::new(
        "config.action.reload",
        String,
        Value("restart"),
        "What to do when an external configuration value changes.",
    )
    .valid(Valid::OneOfIgnoringCase(&["none", "restart"]))
    .shown(COMMON, 14, Middle, "Reload Action"),
    Key::new(
        "errors.retry.timeout",
        Long,
        Value("0"),
        "Time for which a failed operation on a record is tried again, ms; -1 for ever.",
    )
    .importance(Medium)
    .shown(ERRORS, 1, Middle, "Retry Timeout for Errors"),
    Key::new("errors.retry.delay.max.ms", Long, Value("60000"), "The longest time between two of these tries, ms.")
        .importance(Medium)
        .shown(ERRORS, 2, Middle, "Maximum Delay Between Retries for Errors"),
    Key::new("errors.tolerance", String, Value("none"), "Whether a record that cannot be written stops its partition.")
        .importance(Medium)
        .valid(Valid::OneOf(&["none", "all"]))
        .shown(ERRORS, 3, Short, "Error Tolerance"),
    Key::new("errors.log.enable", Boolean, Value("false"), "Whether tolerated errors are logged.")
        .importance(Medium)
        .shown(ERRORS, 4, Short, "Log Errors"),
    Key::new("errors.log.include.messages", Boolean, Value("false"), "Whether the record is logged with them.")
        .importance(Medium)
        .shown(ERRORS, 5, Short, "Log Error Details"),
    Key::new(
        "topic.creation.groups",
        List,
        Value(""),
        "Groups of settings for topics the framework makes; MirrorMaker's connectors make their own.",
    )
    .shown("Topic Creation", 1, Wide, "Topic Creation Groups"),
    Key::new("exactly.once.support", String, Value("requested"), "Whether the connector must run with exactly-once.")
        .importance(Medium)
        .valid(Valid::OneOfIgnoringCase(&["requested", "required"]))
        .shown(EXACTLY_ONCE, 2, Short, "Exactly once support"),
    Key::new("transaction.boundary", String, Value("poll"), "What a transaction spans.")
        .importance(Medium)
        .valid(Valid::OneOfIgnoringCase(&["poll", "interval", "connector"]))
        .shown(EXACTLY_ONCE, 3, Short, "Transaction Boundary"),
    Key::new(
        "transaction.boundary.interval.ms",
        Long,
        Null,
        "Time a transaction spans, ms, where the boundary is interval.",
    )
    .valid(Valid::AtLeast(0))
    .shown(EXACTLY_ONCE, 4, Short, "Transaction boundary interval"),
    Key::new("offsets.storage.topic", String, Null, "Topic of this connector's own for its positions.")
        .valid(Valid::NonEmpty)
        .shown("offsets.topic", 1, Wide, "Offsets topic"),
];
