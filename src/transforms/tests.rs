use proptest::prelude::*;

use super::*;
use crate::config::{read_properties, transform_stages};

type Nullable = Option<&'static str>;
/// Lines of a configuration.
type Stage = &'static [&'static str];
/// Topic and body.
type Out = Option<(&'static str, Vec<u8>)>;

const PREDICATES: &str = "predicates=orders,traced,dead\npredicates.orders.type=TopicNameMatches\n\
     predicates.orders.pattern=.*orders\npredicates.traced.type=HasHeaderKey\npredicates.traced.name=trace\n\
     predicates.dead.type=RecordIsTombstone\n";

// Stages, without `transforms.<alias>.`.
const STRIP: Stage = &["type=RegexRouter", "regex=A\\\\.(.*)", "replacement=$1"];
const RENAME_ORDERS: Stage = &["type=RegexRouter", "regex=(.*)orders", "replacement=$1bills", "predicate=orders"];
const ROUTE_DEAD: Stage = &["type=RegexRouter", "regex=.*", "replacement=dead.$0", "predicate=dead"];
const RENAME_UNTRACED: Stage =
    &["type=RegexRouter", "regex=(.*)bills", "replacement=$1orders", "predicate=traced", "negate=true"];
const BY_DAY: Stage = &["type=TimestampRouter"];
const BY_HOUR_UNLESS_ORDERS: Stage =
    &["type=TimestampRouter", "timestamp.format=HH", "predicate=orders", "negate=true"];
const DROP_DEAD: Stage = &["type=Filter", "predicate=dead"];
const DROP_ORDERS: Stage = &["type=Filter", "predicate=orders"];
const DROP_UNTRACED: Stage = &["type=Filter", "predicate=traced", "negate=true"];
const INSERT: Stage = &["type=InsertHeader", "header=trace", "value.literal=1.0"];
const INSERT_IN_ORDERS: Stage = &["type=InsertHeader", "header=from", "value.literal=null", "predicate=orders"];
const INSERT_UNLESS_DEAD: Stage =
    &["type=InsertHeader", "header=late", "value.literal=x", "predicate=dead", "negate=true"];
const REMOVE: Stage = &["type=DropHeaders", "headers=trace,other"];
const REMOVE_IF_TRACED: Stage = &["type=DropHeaders", "headers=from", "predicate=traced"];
const ALL: [Stage; 14] = [
    STRIP,
    RENAME_ORDERS,
    ROUTE_DEAD,
    RENAME_UNTRACED,
    BY_DAY,
    BY_HOUR_UNLESS_ORDERS,
    DROP_DEAD,
    DROP_ORDERS,
    DROP_UNTRACED,
    INSERT,
    INSERT_IN_ORDERS,
    INSERT_UNLESS_DEAD,
    REMOVE,
    REMOVE_IF_TRACED,
];

fn chain(chosen: &[Stage]) -> Transforms {
    let aliases: Vec<String> = (0..chosen.len()).map(|at| format!("t{at}")).collect();
    let mut lines = format!("{PREDICATES}transforms={}\n", aliases.join(","));
    for (alias, stage) in aliases.iter().zip(chosen) {
        for line in *stage {
            lines.push_str(&format!("transforms.{alias}.{line}\n"));
        }
    }
    Transforms::new(transform_stages(&read_properties(&lines).unwrap()).unwrap())
}

fn body(value: Nullable, headers: &[(&str, Nullable)]) -> Vec<u8> {
    let mut start = vec![2, b'k'];
    match value {
        None => start.push(1),
        Some(text) => {
            start.push(2 * u8::try_from(text.len()).unwrap());
            start.extend(text.bytes());
        }
    }
    start.push(0);
    let headers: Vec<Header<'_>> =
        headers.iter().map(|(key, value)| Header { key: key.as_bytes(), value: value.map(str::as_bytes) }).collect();
    let mut body = Vec::new();
    RecordBody::parse(&start).unwrap().write_with(&headers, &mut body).unwrap();
    body
}

/// 23 August 2019, 14:34.
const TIME: i64 = 1_566_570_894_346;

fn record(body: &[u8]) -> RawRecord<'_> {
    RawRecord { offset: 7, timestamp: TIME, attributes: 0, body }
}

/// Topic and body that come out; none for a dropped record.
fn applied(transforms: &Transforms, topic: &str, body: &[u8]) -> Option<(String, Vec<u8>)> {
    match transforms.for_topic(topic) {
        TopicTransforms::Route(topic) => Some((topic, body.to_vec())),
        TopicTransforms::Drop => None,
        TopicTransforms::Records(records) => {
            let mut scratch = b"what was there".to_vec();
            let kept = records.apply(record(body), &mut scratch).unwrap()?;
            assert_eq!((kept.record.offset, kept.record.timestamp), (7, TIME));
            if let Some(fixed) = records.fixed_topic() {
                assert_eq!(fixed, kept.topic);
            }
            Some((kept.topic.into_owned(), kept.record.body.to_vec()))
        }
    }
}

#[test]
fn none_changes_nothing() {
    let none = Transforms::default();
    assert!(matches!(none.for_topic("A.t"), TopicTransforms::Route(topic) if topic == "A.t"));
}

#[test]
fn what_is_decided_by_the_name() {
    let routed = |transforms: &Transforms, topic: &str| match transforms.for_topic(topic) {
        TopicTransforms::Route(topic) => topic,
        TopicTransforms::Drop => "(drop)".to_owned(),
        TopicTransforms::Records(records) => format!("({})", records.fixed_topic().unwrap_or("by record")),
    };
    let table: &[(&[Stage], &str, &str)] = &[
        (&[STRIP], "A.orders", "orders"),
        (&[STRIP], "B.orders", "B.orders"),
        // A predicate sees the name that the stages before have made.
        (&[STRIP, RENAME_ORDERS], "A.orders", "bills"),
        (&[RENAME_ORDERS, DROP_ORDERS], "A.orders", "A.bills"),
        (&[DROP_ORDERS, RENAME_ORDERS], "A.orders", "(drop)"),
        (&[DROP_ORDERS, RENAME_ORDERS], "A.t", "A.t"),
        (&[DROP_DEAD, DROP_ORDERS], "A.orders", "(drop)"),
        (&[STRIP, DROP_DEAD], "A.t", "(t)"),
        (&[STRIP, INSERT_IN_ORDERS], "A.t", "t"),
        (&[STRIP, INSERT_IN_ORDERS], "A.orders", "(orders)"),
        (&[INSERT, STRIP], "A.t", "(t)"),
        (&[BY_DAY], "A.t", "(by record)"),
        (&[BY_HOUR_UNLESS_ORDERS], "A.t", "(by record)"),
        (&[BY_HOUR_UNLESS_ORDERS], "A.orders", "A.orders"),
        (&[STRIP, ROUTE_DEAD], "A.t", "(by record)"),
        // Not known any more where it is asked for.
        (&[ROUTE_DEAD, DROP_ORDERS], "A.t", "(by record)"),
    ];
    for (chosen, topic, expected) in table {
        let transforms = chain(chosen);
        assert_eq!(routed(&transforms, topic), *expected, "{chosen:?} {topic}");
    }
}

#[test]
fn records_are_changed_and_dropped() {
    let live: &[(&str, Nullable)] = &[("trace", Some("a")), ("other", None), ("trace", Some("b")), ("ü", Some("c"))];
    let plain = || body(Some("v"), live);
    let with = |headers: &[(&str, Nullable)]| body(Some("v"), headers);
    let table: &[(&[Stage], &str, Vec<u8>, Out)] = &[
        (&[DROP_DEAD], "A.t", plain(), Some(("A.t", plain()))),
        (&[DROP_DEAD], "A.t", body(None, live), None),
        (&[DROP_DEAD], "A.t", body(Some(""), live), Some(("A.t", body(Some(""), live)))),
        (&[ROUTE_DEAD], "A.t", body(None, &[]), Some(("dead.A.t", body(None, &[])))),
        (&[ROUTE_DEAD, DROP_DEAD], "A.t", body(None, &[]), None),
        (&[DROP_UNTRACED], "A.t", with(&[("other", None)]), None),
        (&[RENAME_UNTRACED], "A.bills", with(&[("other", None)]), Some(("A.orders", with(&[("other", None)])))),
        (&[RENAME_UNTRACED], "A.bills", plain(), Some(("A.bills", plain()))),
        (&[BY_DAY], "A.t", plain(), Some(("A.t-20190823", plain()))),
        (&[STRIP, BY_DAY], "A.t", plain(), Some(("t-20190823", plain()))),
        (&[BY_DAY, STRIP], "A.t", plain(), Some(("t-20190823", plain()))),
        (&[REMOVE], "A.t", plain(), Some(("A.t", with(&[("ü", Some("c"))])))),
        (&[REMOVE, DROP_UNTRACED], "A.t", plain(), None),
        (&[DROP_UNTRACED, REMOVE], "A.t", plain(), Some(("A.t", with(&[("ü", Some("c"))])))),
        (&[INSERT], "A.t", plain(), Some(("A.t", with(&[live, &[("trace", Some("1"))]].concat())))),
        (&[INSERT, DROP_UNTRACED], "A.t", with(&[]), Some(("A.t", with(&[("trace", Some("1"))])))),
        (&[INSERT_IN_ORDERS], "A.orders", with(&[]), Some(("A.orders", with(&[("from", None)])))),
        (&[INSERT, REMOVE], "A.t", plain(), Some(("A.t", with(&[("ü", Some("c"))])))),
        (&[REMOVE, INSERT], "A.t", plain(), Some(("A.t", with(&[("ü", Some("c")), ("trace", Some("1"))])))),
        (&[INSERT_UNLESS_DEAD], "A.t", body(None, live), Some(("A.t", body(None, live)))),
    ];
    for (chosen, topic, before, expected) in table {
        let expected = expected.as_ref().map(|(topic, body)| ((*topic).to_owned(), body.clone()));
        assert_eq!(applied(&chain(chosen), topic, before), expected, "{chosen:?} {topic}");
    }
}

#[test]
fn a_record_that_can_not_be_read_is_an_error_where_it_is_read() {
    let apply = |chosen: &[Stage], body: &[u8]| match chain(chosen).for_topic("A.t") {
        TopicTransforms::Records(records) => records.apply(record(body), &mut Vec::new()).map(|kept| kept.is_some()),
        other => panic!("{other:?}"),
    };
    let whole = body(Some("v"), &[]);
    let no_headers = &whole[..4];
    assert!(apply(&[INSERT], no_headers).is_err());
    assert_eq!(apply(&[DROP_DEAD], no_headers), Ok(true), "headers are not asked for");
    assert!(apply(&[DROP_DEAD], &[2]).is_err());
    assert_eq!(apply(&[STRIP, BY_DAY], &[2]), Ok(true), "nor is the body");
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof![Just("trace".to_owned()), Just("from".to_owned()), Just("other".to_owned()), ".{0,5}"]
}

proptest! {
    /// What is decided once for a topic is what each record would have found.
    #[test]
    fn deciding_early_changes_no_outcome(
        chosen in prop::collection::vec(prop::sample::select(&ALL[..]), 0..6),
        topic in prop::sample::select(&["A.orders", "A.bills", "B.t", "orders"][..]),
        value in prop::sample::select(&[None, Some(""), Some("v")][..]),
        headers in prop::collection::vec((names(), prop::sample::select(&[None, Some("h")][..])), 0..4),
    ) {
        let headers: Vec<(&str, Nullable)> = headers.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        let body = body(value, &headers);
        let transforms = chain(&chosen);
        let one_by_one = RecordTransforms { topic: topic.to_owned(), stages: transforms.stages.to_vec() };
        let mut scratch = Vec::new();
        let kept = one_by_one.apply(record(&body), &mut scratch).unwrap();
        let kept = kept.map(|kept| (kept.topic.into_owned(), kept.record.body.to_vec()));
        prop_assert_eq!(applied(&transforms, topic, &body), kept);
    }

    /// A body is not even read if nothing asks for it, and is the very same if nothing changes in it.
    #[test]
    fn what_is_not_changed_is_not_touched(bytes: Vec<u8>, headers in prop::collection::vec(names(), 0..4)) {
        let kept_as_they_are = |chosen: &[Stage], bytes: &[u8]| {
            let transforms = chain(chosen);
            let TopicTransforms::Records(records) = transforms.for_topic("A.t") else { panic!("{chosen:?}") };
            let mut scratch = Vec::new();
            let kept = records.apply(record(bytes), &mut scratch).unwrap().unwrap();
            std::ptr::eq(kept.record.body, bytes)
        };
        prop_assert!(kept_as_they_are(&[BY_DAY], &bytes));
        let others: Vec<(&str, Nullable)> =
            headers.iter().filter(|key| !["trace", "other"].contains(&key.as_str())).map(|key| (key.as_str(), None)).collect();
        prop_assert!(kept_as_they_are(&[REMOVE, DROP_DEAD], &body(Some("v"), &others)));
    }
}
