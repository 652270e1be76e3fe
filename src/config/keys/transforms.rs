//! Connect's transformations and predicates, and the keys of each, given without `transforms.<alias>.` or
//! `predicates.<alias>.` before them.

use crate::config::key::{
    Default::{Required, Value},
    Importance::{High, Medium},
    Key,
    Kind::{Boolean, Class, List, String},
    Valid,
};

/// What `transforms.<alias>.type` may name.
pub const TRANSFORMATIONS: &[&str] = &[
    "org.apache.kafka.connect.transforms.DropHeaders",
    "org.apache.kafka.connect.transforms.Filter",
    "org.apache.kafka.connect.transforms.InsertHeader",
    "org.apache.kafka.connect.transforms.RegexRouter",
    "org.apache.kafka.connect.transforms.TimestampRouter",
];

/// What `predicates.<alias>.type` may name.
pub const PREDICATES: &[&str] = &[
    "org.apache.kafka.connect.transforms.predicates.HasHeaderKey",
    "org.apache.kafka.connect.transforms.predicates.RecordIsTombstone",
    "org.apache.kafka.connect.transforms.predicates.TopicNameMatches",
];

/// Keys of every transformation.
pub const TRANSFORMATION_KEYS: &[Key] = &[
    Key::new("type", Class, Required, "Class of the transformation.")
        .importance(High)
        .valid(Valid::Classes(TRANSFORMATIONS)),
    Key::new("predicate", String, Value(""), "Alias of the predicate of the records it is applied to.")
        .importance(Medium),
    Key::new("negate", Boolean, Value("false"), "Whether it is applied to all other records instead.")
        .importance(Medium),
];

/// Keys of every predicate.
pub const PREDICATE_KEYS: &[Key] =
    &[Key::new("type", Class, Required, "Class of the predicate.").importance(High).valid(Valid::Classes(PREDICATES))];

/// Further keys of a transformation or predicate, by its class name without package.
#[must_use]
pub fn keys_of_class(simple_name: &str) -> &'static [Key] {
    match simple_name {
        "DropHeaders" => DROP_HEADERS,
        "InsertHeader" => INSERT_HEADER,
        "RegexRouter" => REGEX_ROUTER,
        "TimestampRouter" => TIMESTAMP_ROUTER,
        "HasHeaderKey" => HAS_HEADER_KEY,
        "TopicNameMatches" => TOPIC_NAME_MATCHES,
        _ => &[],
    }
}

const DROP_HEADERS: &[Key] =
    &[Key::new("headers", List, Required, "Names of the headers to be removed.").importance(High)];

const INSERT_HEADER: &[Key] = &[
    Key::new("header", String, Required, "Name of the header.").importance(High),
    Key::new("value.literal", String, Required, "Value of the header, written as SimpleHeaderConverter writes it.")
        .importance(High),
];

const REGEX_ROUTER: &[Key] = &[
    Key::new("regex", String, Required, "Java regular expression for whole topic names.").importance(High),
    Key::new("replacement", String, Required, "What the expression's first match becomes; $1 is its first group.")
        .importance(High),
];

const TIMESTAMP_ROUTER: &[Key] = &[
    Key::new("topic.format", String, Value("${topic}-${timestamp}"), "The topic's new name.").importance(High),
    Key::new("timestamp.format", String, Value("yyyyMMdd"), "SimpleDateFormat of the record's time, which is in UTC.")
        .importance(High),
];

const HAS_HEADER_KEY: &[Key] =
    &[Key::new("name", String, Required, "Name of the header.").importance(Medium).valid(Valid::NonEmpty)];

const TOPIC_NAME_MATCHES: &[Key] =
    &[Key::new("pattern", String, Required, "Java regular expression for whole topic names.")
        .importance(Medium)
        .valid(Valid::NonEmpty)];
