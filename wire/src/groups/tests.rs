use std::sync::Mutex;

use kafka_protocol::messages::{consumer_group_describe_response, describe_groups_response, list_groups_response};

use super::*;
use crate::{ClusterConfig, Recovery};

fn cluster() -> Cluster {
    Cluster::new(ClusterConfig::new("A", &["127.0.0.1:1".to_owned()]))
}

#[test]
fn requests_can_be_awaited_on_any_thread() {
    fn is_send<T: Send>(_: T) {}
    let a = cluster();
    is_send(a.list_groups(&GroupFilter::default()));
    is_send(a.describe_groups(&[]));
    is_send(a.fetch_group_offsets(&[]));
    is_send(a.commit_group_offsets(&[]));
    is_send(a.alter_topic_configs(&[]));
    is_send(a.replace_topic_configs(&[]));
    is_send(a.delete_topics(&[]));
    is_send(a.create_acls(&[]));
    is_send(a.delete_acls(&[]));
    is_send(a.describe_acls(None));
}

#[tokio::test]
async fn without_a_broker_the_call_fails_and_nothing_asked_is_nothing_told() {
    let a = cluster();
    assert!(matches!(a.describe_groups(&["g".to_owned()]).await, Err(Error::Unreachable { .. })));
    assert_eq!(a.describe_groups(&[]).await, Ok(Vec::new()));
    assert_eq!(a.commit_group_offsets(&[("g".to_owned(), Vec::new())]).await, Ok(vec![("g".to_owned(), Vec::new())]));
}

#[test]
fn types_and_states_are_told_apart_whatever_the_broker_filters() {
    let group = |name: &str, protocol: &str, state: &str, kind: &str| {
        list_groups_response::ListedGroup::default()
            .with_group_id(GroupId(text(name)))
            .with_protocol_type(text(protocol))
            .with_group_state(text(state))
            .with_group_type(text(kind))
    };
    let new = ListGroupsResponse::default().with_groups(vec![
        group("a", "consumer", "Empty", "classic"),
        group("b", "consumer", "Stable", "consumer"),
        group("c", "share", "Stable", "share"),
        group("d", "connect", "Stable", "Classic"),
        group("e", "", "Empty", "classic"),
        group("f", "streams", "Empty", "streams"),
        group("g", "x", "Empty", "novel"),
    ]);
    let names = |answer: &ListGroupsResponse, filter: GroupFilter| -> String {
        listed(answer.clone(), &filter).into_iter().map(|g| g.group).collect()
    };
    let of = |states: &[&str], types: &[GroupType]| GroupFilter {
        states: states.iter().map(|s| (*s).to_owned()).collect(),
        types: types.to_vec(),
    };
    assert_eq!(names(&new, of(&[], &[])), "abcdefg");
    assert_eq!(names(&new, of(&["empty"], &[])), "aefg");
    assert_eq!(names(&new, of(&[], &[GroupType::Share, GroupType::Consumer])), "bc");
    assert_eq!(names(&new, of(&["Empty"], &[GroupType::Classic])), "ae");
    let of_consumers: String = listed(new, &GroupFilter::default())
        .into_iter()
        .filter(ListedGroup::is_of_consumers)
        .map(|g| g.group)
        .collect();
    assert_eq!(of_consumers, "abe");

    // A broker before 2.6 tells neither: no state rules a group out.
    let old = ListGroupsResponse::default().with_groups(vec![group("a", "consumer", "", "")]);
    assert_eq!(names(&old, of(&["Empty"], &[GroupType::Classic])), "a");
    assert_eq!(names(&old, of(&[], &[GroupType::Consumer])), "");
    let group = listed(old, &GroupFilter::default()).pop().unwrap();
    assert_eq!((group.state, group.kind), (None, GroupType::Classic));
    assert_eq!(GroupType::named("novel").to_string(), "novel");
}

#[test]
fn a_group_that_is_not_there_is_dead_and_one_of_the_other_protocol_is_none() {
    let a = cluster();
    let classic = |name: &str, code: i16, state: &str| {
        describe_groups_response::DescribedGroup::default()
            .with_group_id(GroupId(text(name)))
            .with_error_code(code)
            .with_group_state(text(state))
    };
    let answer = DescribeGroupsResponse::default().with_groups(vec![
        classic("gone", GROUP_ID_NOT_FOUND, ""),
        classic("here", 0, "Stable"),
        classic("denied", 30, ""),
    ]);
    let told = a.classic(answer);
    assert_eq!(told["gone"].as_ref().unwrap().state, DEAD);
    assert_eq!(told["here"].as_ref().unwrap().state, "Stable");
    let denied = told["denied"].as_ref().unwrap_err().to_string();
    assert!(denied.contains("group denied") && denied.contains("GROUP_AUTHORIZATION_FAILED"), "{denied}");

    let member = consumer_group_describe_response::Member::default()
        .with_client_id(text("client"))
        .with_client_host(text("/host"));
    let new = |name: &str, code: i16| {
        consumer_group_describe_response::DescribedGroup::default()
            .with_group_id(GroupId(text(name)))
            .with_error_code(code)
            .with_group_state(text("Reconciling"))
            .with_members(vec![member.clone()])
    };
    let answer = ConsumerGroupDescribeResponse::default().with_groups(vec![
        new("classic", GROUP_ID_NOT_FOUND),
        new("off", UNSUPPORTED_VERSION),
        new("here", 0),
    ]);
    let told = a.of_consumers(answer);
    assert_eq!((&told["classic"], &told["off"]), (&Ok(None), &Ok(None)));
    let here = told["here"].clone().unwrap().unwrap();
    assert_eq!((here.kind, here.members), (GroupType::Consumer, vec!["client @ /host".to_owned()]));
}

mod asking {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{super::coordinators::*, *};

    const NOT_COORDINATOR: i16 = 16;
    const GROUP_AUTHORIZATION_FAILED: i16 = 30;

    fn refused(group: &str, code: i16) -> Error {
        cluster().refused("X", format!("group {group}"), code, None)
    }

    fn lost(broker: i32) -> Error {
        let broker = format!("b{broker}");
        Error::Disconnected { cluster: "A".to_owned(), broker, api: "X", cause: "gone".to_owned() }
    }

    fn pace(per_request: usize, in_flight: usize) -> Pace {
        Pace { per_request, in_flight, patience: Duration::from_secs(30) }
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("g{n}")).collect()
    }

    /// Brokers by the groups' last digits.
    fn home(group: &str) -> i32 {
        i32::from(group.as_bytes()[group.len() - 1] % 3)
    }

    async fn at_home(groups: Vec<String>) -> Result<Told<i32>> {
        Ok(groups.into_iter().map(|g| (g.clone(), Ok(home(&g)))).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn each_group_is_asked_of_its_coordinator_a_few_at_a_time() {
        for in_flight in [1, 4] {
            let names = names(1_000);
            let groups: Vec<&str> = names.iter().map(String::as_str).collect();
            let (now, most, requests) = (Mutex::new([0; 3]), Mutex::new([0; 3]), Mutex::new(0));
            let begun = Instant::now();
            let outcomes = ask_coordinators(
                &groups,
                pace(50, in_flight),
                at_home,
                async |broker, items: Vec<usize>| {
                    let at = usize::try_from(broker).unwrap();
                    assert!((1..=50).contains(&items.len()));
                    assert!(items.iter().all(|item| home(groups[*item]) == broker));
                    {
                        let mut now = now.lock().unwrap();
                        now[at] += 1;
                        let mut most = most.lock().unwrap();
                        most[at] = now[at].max(most[at]);
                        *requests.lock().unwrap() += 1;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    now.lock().unwrap()[at] -= 1;
                    Ok(items.iter().map(|item| (groups[*item].to_owned(), Ok(*item))).collect())
                },
                |group| refused(group, -1),
            )
            .await
            .unwrap();
            assert!(outcomes.into_iter().enumerate().all(|(item, outcome)| outcome == Ok(item)));
            assert_eq!(*most.lock().unwrap(), [in_flight; 3]);
            // 300 to 400 groups at a broker, 50 a request, all brokers at once.
            assert_eq!(*requests.lock().unwrap(), 6 + 6 + 8);
            assert_eq!(begun.elapsed().as_millis(), if in_flight == 1 { 800 } else { 200 });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_broker_answers_for_the_first_alone() {
        let names = names(100);
        let groups: Vec<&str> = names.iter().map(String::as_str).collect();
        let begun = Instant::now();
        let first = async |_: i32, items: Vec<usize>| Ok(HashMap::from([(groups[items[0]].to_owned(), Ok(items[0]))]));
        let outcomes = ask_coordinators(&groups, pace(50, 1), at_home, first, |g| refused(g, -1)).await.unwrap();
        assert!(outcomes.into_iter().enumerate().all(|(item, outcome)| outcome == Ok(item)));
        assert_eq!(begun.elapsed(), Duration::ZERO, "nobody waits in between");
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_moved_is_looked_for_again_and_what_is_refused_is_not() {
        let groups = ["moved", "denied", "fine", "unknown"];
        let finds: Mutex<Vec<Vec<String>>> = Mutex::default();
        let asks: Mutex<Vec<(i32, Vec<usize>)>> = Mutex::default();
        let outcomes = ask_coordinators(
            &groups,
            pace(50, 1),
            async |mut wanted: Vec<String>| {
                wanted.sort();
                let round = {
                    let mut finds = finds.lock().unwrap();
                    finds.push(wanted.clone());
                    i32::try_from(finds.len()).unwrap()
                };
                let found = |group: String| match group.as_str() {
                    "unknown" => (group, Err(refused("unknown", GROUP_AUTHORIZATION_FAILED))),
                    _ => (group, Ok(round)),
                };
                Ok(wanted.into_iter().map(found).collect())
            },
            async |broker, items: Vec<usize>| {
                asks.lock().unwrap().push((broker, items.clone()));
                let tell = |item: &usize| match (groups[*item], broker) {
                    (group @ "moved", 1) => (group.to_owned(), Err(refused(group, NOT_COORDINATOR))),
                    (group @ "denied", _) => (group.to_owned(), Err(refused(group, GROUP_AUTHORIZATION_FAILED))),
                    (group, _) => (group.to_owned(), Ok(broker)),
                };
                Ok(items.iter().map(tell).collect())
            },
            |group| refused(group, -1),
        )
        .await
        .unwrap();
        assert_eq!(
            outcomes,
            [
                Ok(2),
                Err(refused("denied", GROUP_AUTHORIZATION_FAILED)),
                Ok(1),
                Err(refused("unknown", GROUP_AUTHORIZATION_FAILED))
            ]
        );
        assert_eq!(*finds.lock().unwrap(), [vec!["denied", "fine", "moved", "unknown"], vec!["moved"]]);
        assert_eq!(*asks.lock().unwrap(), [(1, vec![0, 1, 2]), (2, vec![0])]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_is_gone_costs_one_wait_and_the_others_nothing() {
        let names = names(300);
        let groups: Vec<&str> = names.iter().map(String::as_str).collect();
        let tries = Mutex::new(0);
        let begun = Instant::now();
        let outcomes = ask_coordinators(
            &groups,
            pace(10, 1),
            at_home,
            async |broker, items: Vec<usize>| {
                if broker == 0 {
                    *tries.lock().unwrap() += 1;
                    tokio::time::sleep(Duration::from_secs(10)).await;
                    return Err(lost(broker));
                }
                Ok(items.iter().map(|item| (groups[*item].to_owned(), Ok(()))).collect())
            },
            |group| refused(group, -1),
        )
        .await
        .unwrap();
        for (group, outcome) in groups.iter().zip(outcomes) {
            assert_eq!(outcome, if home(group) == 0 { Err(lost(0)) } else { Ok(()) }, "{group}");
        }
        assert!(*tries.lock().unwrap() <= 4, "{tries:?}");
        assert!(begun.elapsed() <= Duration::from_secs(45), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_about_others_is_an_error_and_no_loop() {
        let unanswered = |group: &str| refused(group, -1);
        assert_eq!(unanswered("g").recovery(), Recovery::Fatal);
        let other = async |_: i32, _: Vec<usize>| Ok(Told::from([("other".to_owned(), Ok(()))]));
        let outcomes = ask_coordinators(&["g0", "g0"], pace(50, 1), at_home, other, unanswered).await.unwrap();
        assert_eq!(outcomes, [Err(unanswered("g0")), Err(unanswered("g0"))]);
        // Named twice, answered once at a time.
        let one = async |_: i32, _: Vec<usize>| Ok(Told::from([("g0".to_owned(), Ok(()))]));
        assert_eq!(ask_coordinators(&["g0", "g0"], pace(50, 1), at_home, one, unanswered).await, Ok(vec![Ok(()); 2]));
        let nowhere = async |_: Vec<String>| Ok(Told::new());
        let outcomes = ask_coordinators(&["g0"], pace(50, 1), nowhere, one, unanswered).await.unwrap();
        assert_eq!(outcomes, [Err(unanswered("g0"))]);
    }
}
