//! Transformations beside Connect's own: the same configurations and records, the same outcome.

use ::testkit::anyhow::{Context as _, Result, ensure};
use ::testkit::{Java, kafka_version};
use kmirror::config::transform_stages;
use kmirror::transforms::{TopicTransforms, Transforms};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use wire::{Header, RawRecord, RecordBody};

/// Read by Java's launcher for single source files.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/integration/transforms/Transforms.java");

/// What is asked of both, and what kmirror makes of it.
#[derive(Debug, Clone)]
struct Case {
    config: Vec<(String, String)>,
    records: Vec<Record>,
}

#[derive(Debug, Clone)]
struct Record {
    topic: String,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(texts).prop_map(str::to_owned)
}

fn keys(class: &str, more: Vec<(&str, String)>) -> Vec<(String, String)> {
    let package = "org.apache.kafka.connect.transforms";
    let mut keys = vec![("type".to_owned(), format!("{package}.{class}"))];
    keys.extend(more.into_iter().map(|(key, value)| (key.to_owned(), value)));
    keys
}

const HEADERS: &[&str] = &["trace", "from", "ü", "", "x y", "Trace"];
const PATTERNS: &[&str] =
    &[".*orders", r"A\..*", "a|ab", ".*-[0-9]+", r"(?!A).*", "(?i).*ORDERS", r"\w+", r"\QA.\E.*", "[^.]*", "(.*)"];

fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[-+]?[0-9]{1,3}(\\.[0-9]{0,2})?",
        1 => "[-+]?[0-9]{10,25}",
        1 => "[0-9]{1,2}(\\.[0-9])?[eE][-+]?[0-9]{1,2}",
        1 => "(19[789]|20[0-9])[0-9]-(0[1-9]|1[0-2])-[0-3][0-9]",
        1 => "(19[789]|20[0-9])[0-9]-(0[1-9]|1[0-2])-[0-2][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\\.[0-9]{3}Z",
        1 => "[0-2][0-9]\\\\?:[0-5][0-9]\\\\?:[0-5][0-9]\\.[0-9]{3}Z[,x]?",
        3 => "[-+0-9a-z:,.\\\\{}\"\\[\\] T]{0,12}",
        2 => one_of(&["null", "true", "false", "\"q\"", "eu-west-1", "10.0.0.1:9092", "1,2", "ünï", "null,", "true}"]),
    ]
}

fn transformation() -> impl Strategy<Value = Vec<(String, String)>> {
    let replacement = one_of(&["x", "$0", "pre.$0", r"\$0$0", "$0-1", ""]);
    prop_oneof![
        (one_of(PATTERNS), replacement)
            .prop_map(|(regex, to)| keys("RegexRouter", vec![("regex", regex), ("replacement", to)])),
        one_of(&["$1", "$2.$1", "${last}", "$10", "$22"]).prop_map(|to| {
            keys("RegexRouter", vec![("regex", r"(.*?)\.(?<last>.*)".to_owned()), ("replacement", to)])
        }),
        (
            one_of(&["${topic}-${timestamp}", "${timestamp}", "x.${topic}.${topic}", "${topics}"]),
            one_of(&["yyyyMMdd", "yy-M-d'T'HH:mm", "DDD u F", "k K h hh s SSS S", "''yyyyy'x''y'X Z", "L"]),
        )
            .prop_map(|(topic, time)| {
                keys("TimestampRouter", vec![("topic.format", topic), ("timestamp.format", time)])
            }),
        Just(keys("Filter", vec![])),
        (one_of(HEADERS), literal())
            .prop_map(|(header, literal)| keys("InsertHeader", vec![("header", header), ("value.literal", literal)])),
        prop::collection::vec(one_of(&["trace", "from", "ü", "none"]), 1..3)
            .prop_map(|names| keys("DropHeaders", vec![("headers", names.join(","))])),
    ]
}

fn predicate() -> impl Strategy<Value = Vec<(String, String)>> {
    prop_oneof![
        one_of(PATTERNS).prop_map(|pattern| keys("predicates.TopicNameMatches", vec![("pattern", pattern)])),
        one_of(&["trace", "from", "ü", "x y"]).prop_map(|name| keys("predicates.HasHeaderKey", vec![("name", name)])),
        Just(keys("predicates.RecordIsTombstone", vec![])),
    ]
}

fn config() -> impl Strategy<Value = Vec<(String, String)>> {
    let condition = prop::option::weighted(0.6, (predicate(), prop::option::of(any::<bool>())));
    prop::collection::vec((transformation(), condition), 1..5).prop_map(|stages| {
        let mut config = Vec::new();
        let (mut transforms, mut predicates) = (Vec::new(), Vec::new());
        for (at, (stage, condition)) in stages.into_iter().enumerate() {
            transforms.push(format!("t{at}"));
            config.extend(stage.into_iter().map(|(key, value)| (format!("transforms.t{at}.{key}"), value)));
            // Without a condition the rest would see nothing more.
            let is_filter = config
                .iter()
                .any(|(key, value)| key == &format!("transforms.t{at}.type") && value.ends_with(".Filter"));
            let condition =
                condition.or_else(|| is_filter.then(|| (keys("predicates.RecordIsTombstone", vec![]), None)));
            let Some((predicate, negate)) = condition else { continue };
            predicates.push(format!("p{at}"));
            config.extend(predicate.into_iter().map(|(key, value)| (format!("predicates.p{at}.{key}"), value)));
            config.push((format!("transforms.t{at}.predicate"), format!("p{at}")));
            config.extend(negate.map(|negate| (format!("transforms.t{at}.negate"), negate.to_string())));
        }
        config.push(("transforms".to_owned(), transforms.join(", ")));
        config.push(("predicates".to_owned(), predicates.join(",")));
        config
    })
}

fn record() -> impl Strategy<Value = Record> {
    let bytes = || prop::option::weighted(0.7, prop::collection::vec(any::<u8>(), 0..60));
    (
        one_of(&["A.orders", "A.b.c", "orders", "ab", "heartbeats", "B.orders-12", "x"]),
        prop_oneof![Just(-1), Just(0), 0..4_102_444_800_000_i64],
        bytes(),
        bytes(),
        prop::collection::vec((one_of(HEADERS), bytes()), 0..4),
    )
        .prop_map(|(topic, timestamp, key, value, headers)| Record { topic, timestamp, key, value, headers })
}

fn field(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "-".to_owned(),
        Some(bytes) => bytes.iter().fold("x".to_owned(), |hex, byte| format!("{hex}{byte:02x}")),
    }
}

impl Case {
    fn transforms(&self) -> Result<Transforms, String> {
        let raw = self.config.iter().cloned().collect();
        transform_stages(&raw).map(Transforms::new).map_err(|errors| errors.to_string())
    }

    /// What the program is to read.
    fn lines(&self) -> String {
        let fields: Vec<String> =
            self.config.iter().flat_map(|(key, value)| [key, value]).map(|text| field(Some(text.as_bytes()))).collect();
        let mut lines = format!("c {}\n", fields.join(" "));
        for record in &self.records {
            let topic = field(Some(record.topic.as_bytes()));
            let (key, value) = (field(record.key.as_deref()), field(record.value.as_deref()));
            lines.push_str(&format!("r {topic} {} {key} {value}{}\n", record.timestamp, headers(&record.headers)));
        }
        lines
    }
}

fn headers(headers: &[(String, Option<Vec<u8>>)]) -> String {
    headers.iter().map(|(key, value)| format!(" {} {}", field(Some(key.as_bytes())), field(value.as_deref()))).collect()
}

/// As the program answers.
fn answer(transforms: &Transforms, record: &Record) -> Result<String> {
    let mut start = Vec::new();
    for part in [&record.key, &record.value] {
        // Zig-zag; one byte reaches to 63.
        start.push(part.as_ref().map_or(1, |bytes| 2 * bytes.len() as u8));
        start.extend(part.as_deref().unwrap_or_default());
    }
    start.push(0);
    let given: Vec<Header<'_>> =
        record.headers.iter().map(|(key, value)| Header { key: key.as_bytes(), value: value.as_deref() }).collect();
    let mut body = Vec::new();
    RecordBody::parse(&start)?.write_with(&given, &mut body)?;
    let raw = RawRecord { offset: 0, timestamp: record.timestamp, attributes: 0, body: &body };
    let mut scratch = Vec::new();
    let (topic, body) = match transforms.for_topic(&record.topic) {
        TopicTransforms::Drop => return Ok("drop".to_owned()),
        TopicTransforms::Route(topic) => (topic, body),
        TopicTransforms::Records(ref records) => match records.apply(raw, &mut scratch)? {
            None => return Ok("drop".to_owned()),
            Some(kept) => (kept.topic.into_owned(), kept.record.body.to_vec()),
        },
    };
    let body = RecordBody::parse(&body)?;
    let mut fields = vec![field(Some(topic.as_bytes())), field(body.key), field(body.value)];
    for Header { key, value } in body.headers()? {
        fields.extend([field(Some(key)), field(value)]);
    }
    Ok(fields.join(" "))
}

#[tokio::test]
async fn connects_own_do_the_same() -> Result<()> {
    let mut runner = TestRunner::default();
    let strategy =
        (config(), prop::collection::vec(record(), 8)).prop_map(|(config, records)| Case { config, records });
    let (mut cases, mut refused) = (Vec::new(), Vec::new());
    for _ in 0..600 {
        let case = strategy.new_tree(&mut runner).map_err(|reason| ::testkit::anyhow::anyhow!("{reason}"))?.current();
        match case.transforms() {
            Ok(transforms) => cases.push((case, transforms)),
            Err(errors) => refused.push(errors),
        }
    }
    // Only literals that are told apart in the documentation.
    for errors in &refused {
        ensure!(errors.lines().all(|error| error.contains(".value.literal: ")), "{errors}");
    }
    ensure!(cases.len() > 400, "{} of 600 were refused", refused.len());

    let lines: String = cases.iter().map(|(case, _)| case.lines()).collect();
    let java = Java::new(&kafka_version()).await?;
    let printed = java.tool(PROGRAM, &[], &lines).await?.stdout;
    let mut answers = printed.lines();
    let (mut dropped, mut changed) = (0, 0);
    for (case, transforms) in &cases {
        for record in &case.records {
            let expected = answers.next().context("fewer answers than records")?;
            let found = answer(transforms, record)?;
            dropped += usize::from(expected == "drop");
            changed += usize::from(expected != "drop" && found != answer(&Transforms::default(), record)?);
            ensure!(found == expected, "{:#?}\n{record:?}\nConnect: {expected}\nkmirror: {found}", case.config);
        }
    }
    ensure!(answers.next().is_none(), "more answers than records");
    ensure!(dropped > 100 && changed > 1_000, "hardly anything was tried: {dropped} dropped, {changed} changed");
    Ok(())
}
