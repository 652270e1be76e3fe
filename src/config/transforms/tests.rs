use super::*;
use crate::config::{keys::mirror_source_keys, read_properties};

type Read = (Vec<TransformStage>, Vec<String>, Vec<(String, String)>);

/// Stages, keys that nothing reads, and errors with their keys.
fn read(lines: &str) -> Read {
    let raw = read_properties(lines).unwrap();
    let mut errors = Vec::new();
    let (stages, unread) = transforms(&raw, &Values::read(mirror_source_keys(), &raw), &mut errors);
    let unread = unread.into_iter().map(str::to_owned).collect();
    (stages, unread, errors.into_iter().map(|error| (error.key, error.message)).collect())
}

#[test]
fn every_class_is_read_by_either_name() {
    const PACKAGE: &str = "org.apache.kafka.connect.transforms.";
    for (transforms, predicates) in [("", ""), (PACKAGE, &*format!("{PACKAGE}predicates."))] {
        let (stages, unread, errors) = read(&format!(
            "transforms=drop, filter,insert,regex , time\n\
             transforms.drop.type= {transforms}DropHeaders \ntransforms.drop.headers=a, b\n\
             transforms.filter.type={transforms}Filter\ntransforms.filter.predicate=dead\n\
             transforms.insert.type={transforms}InsertHeader\ntransforms.insert.header=h\n\
             transforms.insert.value.literal=1.0\ntransforms.insert.predicate=has\ntransforms.insert.negate=True\n\
             transforms.regex.type={transforms}RegexRouter\ntransforms.regex.regex=(.*)\n\
             transforms.regex.replacement=x.$1\ntransforms.regex.predicate=named\ntransforms.regex.negate=false\n\
             transforms.time.type={transforms}TimestampRouter\n\
             predicates=has,dead,named\npredicates.has.type={predicates}HasHeaderKey\npredicates.has.name=h\n\
             predicates.dead.type={predicates}RecordIsTombstone\npredicates.named.type={predicates}TopicNameMatches\n\
             predicates.named.pattern=A\\\\..*\n"
        ));
        assert_eq!((unread, errors), (Vec::new(), Vec::new()));
        let [drop, filter, insert, regex, time] = stages.as_slice() else { panic!("{stages:?}") };
        assert!(matches!(&drop.transformation, Transformation::DropHeaders(names) if names == &["a", "b"]));
        assert!(drop.condition.is_none() && time.condition.is_none());
        assert!(matches!(filter.transformation, Transformation::Filter));
        assert!(matches!(filter.condition, Some(Condition { predicate: Predicate::RecordIsTombstone, negate: false })));
        assert!(matches!(
            &insert.transformation,
            Transformation::InsertHeader { name, value: Some(value) } if name == "h" && value == b"1"
        ));
        assert!(matches!(
            &insert.condition,
            Some(Condition { predicate: Predicate::HasHeaderKey(name), negate: true }) if name == "h"
        ));
        let Transformation::RegexRouter(router) = &regex.transformation else { panic!("{regex:?}") };
        assert_eq!(router.route("A.t"), "x.A.t");
        let Some(Condition { predicate: Predicate::TopicNameMatches(pattern), negate: false }) = &regex.condition
        else {
            panic!("{regex:?}")
        };
        assert!(pattern.matches("A.t") && !pattern.matches("xA.t"));
        let Transformation::TimestampRouter(router) = &time.transformation else { panic!("{time:?}") };
        assert_eq!(router.route("A.t", 0), "A.t-19700101");
    }
}

#[test]
fn one_error_a_key_in_connects_words() {
    let there_are = TRANSFORMATIONS.join(", ");
    let predicates_are = PREDICATES.join(", ");
    let invalid = |key: &str, value: &str, reason: &str| {
        (key.to_owned(), format!("Invalid value {value} for configuration {key}: {reason}"))
    };
    let missing =
        |key: &str| (key.to_owned(), format!("Missing required configuration \"{key}\" which has no default value."));
    let a = "transforms=a\ntransforms.a.";
    let regex = "transforms=a\ntransforms.a.type=RegexRouter\ntransforms.a.replacement=x\ntransforms.a.";
    let p = "predicates=p\npredicates.p.";
    let unknown = |class: &str, known: &str| format!("Class {class} could not be found. There are: {known}");
    let negated = "Config 'transforms.a.negate' was provided but there is no config 'transforms.a.predicate' defining a predicate to be negated.";
    let table = [
        ("transforms=a".to_owned(), missing("transforms.a.type")),
        (
            "transforms=f,f\ntransforms.f.type=Filter".to_owned(),
            invalid("transforms", "[f, f]", "Duplicate alias provided."),
        ),
        ("transforms=f,\ntransforms.f.type=Filter".to_owned(), missing("transforms..type")),
        (format!("{a}type="), invalid("transforms.a.type", "", &unknown("", &there_are))),
        (format!("{a}type=org.x.Y"), invalid("transforms.a.type", "org.x.Y", &unknown("org.x.Y", &there_are))),
        (format!("{a}type=Cast$Key"), invalid("transforms.a.type", "Cast$Key", &unknown("Cast$Key", &there_are))),
        (
            format!("{a}type=RecordIsTombstone"),
            invalid("transforms.a.type", "RecordIsTombstone", &unknown("RecordIsTombstone", &there_are)),
        ),
        (format!("{a}type=RegexRouter\ntransforms.a.regex=x"), missing("transforms.a.replacement")),
        (format!("{a}type=RegexRouter\ntransforms.a.replacement=x"), missing("transforms.a.regex")),
        (
            format!("{a}type=RegexRouter\ntransforms.a.regex=x\ntransforms.a.replacement=$1"),
            invalid("transforms.a.replacement", "$1", "No group 1"),
        ),
        (format!("{a}type=InsertHeader\ntransforms.a.header=x"), missing("transforms.a.value.literal")),
        (format!("{a}type=InsertHeader\ntransforms.a.value.literal=x"), missing("transforms.a.header")),
        (
            format!("{a}type=InsertHeader\ntransforms.a.header=x\ntransforms.a.value.literal=[1]"),
            invalid(
                "transforms.a.value.literal",
                "[1]",
                "lists and maps, which Connect writes in a form of its own, are not supported",
            ),
        ),
        (format!("{a}type=DropHeaders"), missing("transforms.a.headers")),
        (format!("{a}type=DropHeaders\ntransforms.a.headers= "), invalid("transforms.a.headers", "[]", "Empty list")),
        (
            format!("{a}type=TimestampRouter\ntransforms.a.timestamp.format=yyyy'"),
            invalid("transforms.a.timestamp.format", "yyyy'", "Unterminated quote"),
        ),
        (format!("{regex}regex=x\ntransforms.a.negate=true"), ("transforms.a.negate".to_owned(), negated.to_owned())),
        (
            format!("{regex}regex=x\ntransforms.a.predicate=q"),
            invalid("transforms.a.predicate", "q", "no alias in predicates. There are: none"),
        ),
        (
            format!(
                "{regex}regex=x\ntransforms.a.predicate=\npredicates=p,r\npredicates.p.type=RecordIsTombstone\npredicates.r.type=RecordIsTombstone"
            ),
            invalid("transforms.a.predicate", "", "no alias in predicates. There are: p, r"),
        ),
        (
            format!(
                "{regex}regex=x\ntransforms.a.predicate=p\ntransforms.a.negate=maybe\npredicates=p\npredicates.p.type=RecordIsTombstone"
            ),
            invalid("transforms.a.negate", "maybe", "Expected value to be either true or false"),
        ),
        ("predicates=p".to_owned(), missing("predicates.p.type")),
        (
            "predicates=p,p\npredicates.p.type=RecordIsTombstone".to_owned(),
            invalid("predicates", "[p, p]", "Duplicate alias provided."),
        ),
        (format!("{p}type=org.x.Y"), invalid("predicates.p.type", "org.x.Y", &unknown("org.x.Y", &predicates_are))),
        (format!("{p}type=Filter"), invalid("predicates.p.type", "Filter", &unknown("Filter", &predicates_are))),
        (format!("{p}type=TopicNameMatches"), missing("predicates.p.pattern")),
        (
            format!("{p}type=TopicNameMatches\npredicates.p.pattern="),
            invalid("predicates.p.pattern", "", "String must be non-empty"),
        ),
        (format!("{p}type=HasHeaderKey"), missing("predicates.p.name")),
        (
            format!("{p}type=HasHeaderKey\npredicates.p.name= "),
            invalid("predicates.p.name", "", "String must be non-empty"),
        ),
        // A predicate that is there and wrong is one error, not two.
        (format!("{regex}regex=x\ntransforms.a.predicate=p\npredicates=p"), missing("predicates.p.type")),
    ];
    for (lines, expected) in table {
        assert_eq!(read(&lines).2, [expected], "{lines}");
    }
    for (lines, key) in [
        (format!("{regex}regex=("), "transforms.a.regex"),
        (format!("{p}type=TopicNameMatches\npredicates.p.pattern=("), "predicates.p.pattern"),
    ] {
        let errors = read(&lines).2;
        assert_eq!(errors.len(), 1, "{errors:?}");
        let start = format!("Invalid value ( for configuration {key}: Invalid regex: ");
        assert!(errors[0].0 == key && errors[0].1.starts_with(&start), "{errors:?}");
    }
}

#[test]
fn all_errors_at_once() {
    let (stages, _, errors) = read(
        "transforms=a,b,c,c\ntransforms.a.type=X\ntransforms.a.predicate=none\ntransforms.b.type=RegexRouter\n\
         transforms.c.type=Filter\ntransforms.c.predicate=p\npredicates=p,q\npredicates.p.type=Y\npredicates.q.type=HasHeaderKey",
    );
    let keys: Vec<&str> = errors.iter().map(|(key, _)| key.as_str()).collect();
    let expected = [
        "predicates.p.type",
        "predicates.q.name",
        "transforms",
        "transforms.a.type",
        "transforms.a.predicate",
        "transforms.b.regex",
        "transforms.b.replacement",
    ];
    assert_eq!(keys, expected);
    assert!(stages.is_empty());
}

#[test]
fn keys_that_nothing_reads_are_found() {
    let (_, unread, errors) = read(
        "transforms=a\ntransforms.a.type=TimestampRouter\ntransforms.a.predicat=p\ntransforms.a.topic.format=x\n\
         transforms.b.type=Filter\npredicates.p.type=RecordIsTombstone\ntransforms.a.regex=x",
    );
    assert_eq!(errors, []);
    assert_eq!(unread, ["predicates.p.type", "transforms.a.predicat", "transforms.a.regex", "transforms.b.type"]);
}
