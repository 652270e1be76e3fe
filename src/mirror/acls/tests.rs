use AclOperation::{All, AlterConfigs, Create, Delete, Describe, Read, Write};
use PatternType::{Literal, Prefixed};
use PermissionType::{Allow, Deny};
use proptest::prelude::*;

use super::*;
use crate::mirror::selection::tests::config;

const IDENTITY: &str = "replication.policy.class=IdentityReplicationPolicy";

fn selection(lines: &str) -> Selection {
    Selection::new(&config(lines)).unwrap()
}

fn acl(pattern: PatternType, topic: &str, permission: PermissionType, operation: AclOperation) -> AclBinding {
    AclBinding {
        resource_type: ResourceType::Topic,
        pattern_type: pattern,
        resource_name: topic.to_owned(),
        principal: "User:dummy".to_owned(),
        host: "*".to_owned(),
        operation,
        permission,
    }
}

fn of(resource_type: ResourceType, name: &str, operation: AclOperation) -> AclBinding {
    AclBinding { resource_type, ..acl(Literal, name, Allow, operation) }
}

fn mirrored(selection: &Selection, names: &[&str]) -> Vec<MirroredTopic> {
    let topic = |name: &&str| MirroredTopic {
        source: (*name).to_owned(),
        remote: selection.destination(name).unwrap().topic,
        partitions: 1,
    };
    names.iter().map(topic).collect()
}

/// What is added to a target without rules, and why what is not.
fn planned(source: &[AclBinding], lines: &str, topics: &[&str], rules: &AclRules) -> (Vec<String>, Vec<String>) {
    let selection = selection(lines);
    let topics = mirrored(&selection, topics);
    let plan = plan(source, &[], &Added::new(), &topics, &selection, rules);
    let added: BTreeSet<_> = plan.added.keys().collect();
    assert_eq!((plan.remove.len(), added), (0, plan.add.iter().collect()));
    assert!(plan.added.values().all(|origin| source.contains(origin)));
    let short = |b: &AclBinding| {
        format!("{} {} {} {} {}", b.permission, b.operation, b.pattern_type, b.resource_name, b.principal)
    };
    let left = |(binding, reason): &(AclBinding, LeftOut)| format!("{reason:?} {}", short(binding));
    (plan.add.iter().map(short).collect(), plan.left_out.iter().map(left).collect())
}

#[test]
fn the_right_to_write_is_filtered_and_all_is_not() {
    // MirrorSourceConnectorTest.testAclFiltering
    let source = [acl(Literal, "topic", Allow, Write), acl(Literal, "topic", Allow, All)];
    let (add, left) = planned(&source, "", &["topic"], &AclRules::default());
    assert_eq!(add, ["ALLOW READ LITERAL source.topic User:dummy"]);
    assert_eq!(left, ["Write ALLOW WRITE LITERAL topic User:dummy"]);
}

#[test]
fn all_becomes_read_and_what_forbids_stays() {
    // MirrorSourceConnectorTest.testAclTransformation; everything else as it is, DENY WRITE too.
    let source = [
        acl(Literal, "topic", Allow, All),
        acl(Literal, "topic", Deny, All),
        acl(Literal, "topic", Deny, Write),
        acl(Literal, "topic", Allow, Describe),
        acl(Literal, "topic", Allow, AlterConfigs),
        acl(Literal, "topic", Allow, Create),
        acl(Literal, "topic", Allow, Delete),
    ];
    let (add, left) = planned(&source, "", &["topic"], &AclRules::default());
    let mut operations: Vec<&str> = add.iter().map(|line| line.split(" LITERAL").next().unwrap()).collect();
    // What forbids is added first.
    assert!(operations[..2].iter().all(|line| line.starts_with("DENY")), "{operations:?}");
    operations.sort_unstable();
    let expected = [
        "ALLOW ALTER_CONFIGS",
        "ALLOW CREATE",
        "ALLOW DELETE",
        "ALLOW DESCRIBE",
        "ALLOW READ",
        "DENY ALL",
        "DENY WRITE",
    ];
    assert_eq!((operations, left.len()), (expected.to_vec(), 0));
}

#[test]
fn only_literal_rules_about_mirrored_topics_are_carried() {
    let source = [
        acl(Literal, "orders", Allow, Read),
        acl(Literal, "other", Allow, Read),
        acl(Literal, "__consumer_offsets", Allow, Read),
        acl(Literal, "target.orders", Allow, Read),
        acl(Prefixed, "ord", Allow, Read),
        acl(PatternType::Other(9), "ord", Allow, Read),
        of(ResourceType::Group, "g", Read),
        of(ResourceType::TransactionalId, "t", Write),
        of(ResourceType::Cluster, "kafka-cluster", Describe),
    ];
    let (add, left) = planned(&source, "topics=ord.*", &["orders"], &AclRules::default());
    assert_eq!(add, ["ALLOW READ LITERAL source.orders User:dummy"]);
    let mut reasons: Vec<&str> = left.iter().map(|line| line.split(' ').next().unwrap()).collect();
    reasons.sort_unstable();
    let expected = [vec!["NotMirrored"; 3], vec!["Pattern", "Prefixed"], vec!["Resource"; 3]].concat();
    assert_eq!(reasons, expected);

    let all = [acl(Literal, "*", Allow, Describe)];
    let first = |lines: &str| planned(&all, lines, &["t"], &AclRules::default()).0;
    assert_eq!(first(""), ["ALLOW DESCRIBE LITERAL source.* User:dummy"]);
    assert_eq!(first(IDENTITY), ["ALLOW DESCRIBE LITERAL * User:dummy"]);
    assert_eq!(first("topics=ord.*"), [""; 0]);
}

#[test]
fn prefixed_rules_follow_the_names_of_topics() {
    let rules = AclRules { prefixed: true, ..AclRules::default() };
    let source = |prefix: &str| [acl(Prefixed, prefix, Allow, Read)];
    let on = |prefix: &str, lines: &str, topics: &[&str]| {
        let (mut add, mut left) = planned(&source(prefix), lines, topics, &rules);
        add.pop().or_else(|| left.pop()).unwrap().replace(" User:dummy", "")
    };
    assert_eq!(on("ord", "", &["orders", "t"]), "ALLOW READ PREFIXED source.ord");
    assert_eq!(on("ord", IDENTITY, &["orders"]), "ALLOW READ PREFIXED ord");
    assert_eq!(on("ord", "replication.policy.separator=_", &["orders"]), "ALLOW READ PREFIXED source_ord");
    assert_eq!(on("x", "", &["orders"]), "NotMirrored ALLOW READ PREFIXED x");
    assert_eq!(on("orders", "", &["orders"]), "ALLOW READ PREFIXED source.orders");
    // Routers: one that keeps the beginning of names, one that gives them another, one that does so for those that are there.
    let router = |regex: &str, replacement: &str| {
        format!(
            "transforms=r\ntransforms.r.type=org.apache.kafka.connect.transforms.RegexRouter\n\
             transforms.r.regex={regex}\ntransforms.r.replacement={replacement}"
        )
    };
    assert_eq!(on("ord", &router("source(.*)", "dc$1"), &["orders"]), "ALLOW READ PREFIXED dc.ord");
    assert_eq!(on("ord", &router(".*", "all"), &["orders"]), "Unnamed ALLOW READ PREFIXED ord");
    assert_eq!(on("ord", &router(".*orders(.*)", "x"), &["orders"]), "Unnamed ALLOW READ PREFIXED ord");
    // All topics: those that are mirrored.
    let all = [acl(Literal, "*", Allow, Read)];
    assert_eq!(planned(&all, "", &["t"], &rules).0, ["ALLOW READ PREFIXED source. User:dummy"]);
    assert_eq!(planned(&all, IDENTITY, &["t"], &rules).0, ["ALLOW READ LITERAL * User:dummy"]);
    assert_eq!(planned(&all, &router(".*", "all"), &["t"], &rules).1, ["Unnamed ALLOW READ LITERAL * User:dummy"]);
}

#[test]
fn a_rule_follows_its_topic_through_a_router() {
    let router = "transforms=r\ntransforms.r.type=org.apache.kafka.connect.transforms.RegexRouter\n\
                  transforms.r.regex=source.(.*)\ntransforms.r.replacement=$1-copy";
    let (add, _) = planned(&[acl(Literal, "t", Allow, Read)], router, &["t"], &AclRules::default());
    assert_eq!(add, ["ALLOW READ LITERAL t-copy User:dummy"]);
}

#[test]
fn more_is_carried_where_it_is_asked_for() {
    let source = [
        acl(Literal, "t", Allow, Write),
        acl(Literal, "t", Allow, All),
        of(ResourceType::Group, "g", Read),
        AclBinding { pattern_type: Prefixed, ..of(ResourceType::Group, "app-", All) },
        of(ResourceType::TransactionalId, "tx", Write),
        of(ResourceType::Cluster, "kafka-cluster", All),
    ];
    let rules = |write, groups, transactional_ids, prefixed| AclRules {
        write,
        groups,
        transactional_ids,
        prefixed,
        ..AclRules::default()
    };
    let add = |rules: &AclRules| planned(&source, "", &["t"], rules).0.join("\n").replace(" User:dummy", "");
    assert_eq!(add(&rules(true, false, false, false)), "ALLOW ALL LITERAL source.t\nALLOW WRITE LITERAL source.t");
    assert_eq!(add(&rules(false, true, false, false)), "ALLOW READ LITERAL source.t\nALLOW READ LITERAL g");
    assert_eq!(
        add(&rules(false, true, true, true)),
        "ALLOW READ LITERAL source.t\nALLOW READ LITERAL g\nALLOW ALL PREFIXED app-\nALLOW WRITE LITERAL tx"
    );
}

#[test]
fn principals_are_mapped_by_name() {
    let principals = PrincipalRules::parse("k", "RULE:^CN=(.*?),.*$/$1/L,RULE:^([a-z]+)$/$1/").unwrap();
    let rules = AclRules { principals, ..AclRules::default() };
    let whose = |principal: &str| AclBinding { principal: principal.to_owned(), ..acl(Literal, "t", Allow, Read) };
    let source = ["User:CN=Alice,OU=x", "User:bob", "User:*", "User:42", "Group:ops"].map(whose);
    let (add, left) = planned(&source, "", &["t"], &rules);
    let mut whom: Vec<&str> = add.iter().map(|line| line.rsplit(' ').next().unwrap()).collect();
    whom.sort_unstable();
    assert_eq!(whom, ["Group:ops", "User:*", "User:alice", "User:bob"]);
    assert_eq!(left, ["Principal ALLOW READ LITERAL t User:42"]);
}

#[test]
fn only_what_was_added_is_removed_and_only_what_is_missing_is_added() {
    let selection = selection("");
    let topics = mirrored(&selection, &["t", "u"]);
    let on = |topic: &str, permission, operation| acl(Literal, topic, permission, operation);
    let source = [on("t", Allow, Read), on("u", Allow, Read), on("u", Deny, Describe)];
    let target = [
        on("source.t", Allow, Read),
        on("source.t", Allow, Describe),
        on("source.t", Deny, Write),
        on("source.t", Allow, Write),
    ];
    let added = [
        (on("source.t", Allow, Read), on("t", Allow, All)),
        (on("source.t", Deny, Write), on("t", Deny, Write)),
        (on("source.t", Allow, Describe), on("t", Allow, Describe)),
        // Somebody has removed it, and nobody wants it.
        (on("source.gone", Allow, Read), on("gone", Allow, Read)),
    ];
    let added = Added::from(added);
    let plan = plan(&source, &target, &added, &topics, &selection, &AclRules::default());
    assert_eq!(plan.add, [on("source.u", Deny, Describe), on("source.u", Allow, Read)]);
    assert_eq!(plan.remove, [on("source.t", Allow, Describe), on("source.t", Deny, Write)]);
    let kept = [
        (on("source.t", Allow, Read), on("t", Allow, Read)),
        (on("source.u", Deny, Describe), on("u", Deny, Describe)),
        (on("source.u", Allow, Read), on("u", Allow, Read)),
    ];
    assert_eq!(plan.added, Added::from(kept));
    assert_eq!(
        AclDifference::from(plan).to_string(),
        "+ DENY DESCRIBE on TOPIC LITERAL source.u for User:dummy from *\n\
         + ALLOW READ on TOPIC LITERAL source.u for User:dummy from *\n\
         - ALLOW DESCRIBE on TOPIC LITERAL source.t for User:dummy from *\n\
         - DENY WRITE on TOPIC LITERAL source.t for User:dummy from *\n"
    );
    let left = AclPlan { left_out: vec![(on("x", Allow, Write), LeftOut::Write)], ..AclPlan::default() };
    let line =
        "  ALLOW WRITE on TOPIC LITERAL x for User:dummy from *: the right to write into a copy is not carried\n";
    assert_eq!(AclDifference::from(left).to_string(), line);
}

#[test]
fn what_is_no_longer_carried_stays_as_long_as_the_source_has_it() {
    let selection = selection("");
    let on = |topic: &str, operation| acl(Literal, topic, Allow, operation);
    let added = Added::from([(on("source.t", Write), on("t", Write)), (on("source.x", Read), on("x", Read))]);
    let target: Vec<_> = added.keys().cloned().collect();
    let source = [on("t", Write), on("x", Read)];
    for (source, removed) in [(&source[..], 0), (&source[1..], 1), (&[], 2)] {
        let plan = plan(source, &target, &added, &[], &selection, &AclRules::default());
        assert_eq!((plan.remove.len(), plan.added.len()), (removed, 2 - removed));
    }
}

fn bindings() -> impl Strategy<Value = Vec<AclBinding>> {
    let name = prop::sample::select(&["t", "u", "source.t", "source.u", "*", "__x"][..]);
    let pattern = prop::sample::select(&[Literal, Prefixed][..]);
    let operation = prop::sample::select(&[All, Read, Write, Describe][..]);
    let permission = prop::sample::select(&[Allow, Deny][..]);
    let one = (pattern, name, permission, operation).prop_map(|(p, n, permission, o)| acl(p, n, permission, o));
    prop::collection::vec(one, 0..12)
}

proptest! {
    #[test]
    fn once_carried_out_nothing_is_left_and_what_is_others_stays(
        source in bindings(), target in bindings(), added in bindings(), prefixed: bool, write: bool, identity: bool,
    ) {
        let selection = selection(if identity { IDENTITY } else { "" });
        let topics = mirrored(&selection, &["t", "u"]);
        let rules = AclRules { prefixed, write, ..AclRules::default() };
        let added: Added = added.iter().cloned().zip(added.iter().rev().cloned()).collect();
        let first = plan(&source, &target, &added, &topics, &selection, &rules);
        prop_assert!(first.remove.iter().all(|binding| added.contains_key(binding)));
        prop_assert!(first.add.iter().all(|binding| !target.contains(binding)));
        prop_assert!(write || first.add.iter().all(|b| b.permission == Deny || !matches!(b.operation, All | Write)));
        let mut after: Vec<AclBinding> = target.clone();
        after.retain(|binding| !first.remove.contains(binding));
        after.extend(first.add.iter().cloned());
        let again = plan(&source, &after, &first.added, &topics, &selection, &rules);
        prop_assert_eq!((again.add, again.remove), (vec![], vec![]));
        prop_assert_eq!(again.added, first.added);
        for binding in target.iter().filter(|binding| !added.contains_key(binding)) {
            prop_assert!(after.contains(binding));
        }
    }
}
