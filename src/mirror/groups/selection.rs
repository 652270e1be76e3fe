//! Which groups are mirrored, and by which task.

use crate::config::RegexList;

/// The rules by which groups are chosen.
#[derive(Debug, Clone)]
pub struct GroupSelection {
    /// `groups`.
    pub groups: RegexList,
    /// `groups.exclude`.
    pub groups_exclude: RegexList,
    /// `topics`.
    pub topics: RegexList,
    /// `topics.exclude`.
    pub topics_exclude: RegexList,
}

impl GroupSelection {
    /// Whether the group filter takes it (`DefaultGroupFilter`).
    #[must_use]
    pub fn takes_group(&self, group: &str) -> bool {
        self.groups.matches(group) && !self.groups_exclude.matches(group)
    }

    /// Whether there are checkpoints of a topic: the topic filter takes it (`DefaultTopicFilter`).
    #[must_use]
    pub fn takes_topic(&self, topic: &str) -> bool {
        self.topics.matches(topic) && !self.topics_exclude.matches(topic)
    }

    /// Whether a group is mirrored (`MirrorCheckpointConnector.findConsumerGroups`): the filter takes it, and it has an offset on a topic that
    /// the topic filter takes.
    pub fn is_mirrored<'t>(&self, group: &str, topics_with_offsets: impl IntoIterator<Item = &'t str>) -> bool {
        self.takes_group(group) && topics_with_offsets.into_iter().any(|topic| self.takes_topic(topic))
    }
}

/// Deals groups in contiguous chunks over `min(tasks_max, groups)` tasks, the first ones larger, as `ConnectorUtils.groupPartitions` does. No
/// groups make no tasks.
#[must_use]
pub fn deal_groups(groups: &[String], tasks_max: usize) -> Vec<Vec<String>> {
    let tasks = tasks_max.max(1).min(groups.len());
    let mut rest = groups.iter().cloned();
    let size = |task| groups.len() / tasks + usize::from(task < groups.len() % tasks);
    (0..tasks).map(|task| rest.by_ref().take(size(task)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(key: &str, text: &str) -> RegexList {
        let items: Vec<String> =
            text.split(',').filter(|item| !item.is_empty()).map(|item| item.trim().to_owned()).collect();
        RegexList::parse(key, &items).unwrap()
    }

    fn selection(groups: &str, topics: &str) -> GroupSelection {
        GroupSelection {
            groups: list("groups", groups),
            groups_exclude: list("groups.exclude", "console-consumer-.*, connect-.*, __.*"),
            topics: list("topics", topics),
            topics_exclude: list("topics.exclude", r"mm2.*\.internal, .*\.replica, __.*"),
        }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn groups_are_chosen_by_the_filter() {
        // MirrorCheckpointConfigTest.testGroupMatching
        for (groups, taken, left) in [
            (".*", vec!["g", "my-connect-x"], vec!["console-consumer-1", "connect-sink", "__g"]),
            ("group1", vec!["group1"], vec!["group2", "group11"]),
            ("a, b.*", vec!["a", "b", "bc"], vec!["ab"]),
            ("", vec![], vec!["g"]),
        ] {
            let selection = selection(groups, ".*");
            assert!(taken.iter().all(|group| selection.takes_group(group)), "{groups}");
            assert!(!left.iter().any(|group| selection.takes_group(group)), "{groups}");
        }
    }

    #[test]
    fn a_group_needs_an_offset_on_a_topic_that_is_taken() {
        // MirrorCheckpointConnectorTest.testFindConsumerGroups, testFindConsumerGroupsInCommonScenarios
        let selection = selection("g.*", "orders.*");
        for (group, topics, is_mirrored) in [
            ("g1", vec!["orders"], true),
            ("g2", vec!["other", "orders2"], true),
            ("g3", vec!["other", "__consumer_offsets"], false),
            ("g4", vec![], false),
            ("h1", vec!["orders"], false),
        ] {
            assert_eq!(selection.is_mirrored(group, topics), is_mirrored, "{group}");
        }
    }

    #[test]
    fn first_chunks_are_larger() {
        // MirrorCheckpointConnectorTest.testNoConsumerGroup
        let groups = names(&["a", "b", "c", "d", "e", "f", "g"]);
        let expected = [names(&["a", "b", "c"]), names(&["d", "e"]), names(&["f", "g"])];
        assert_eq!(deal_groups(&groups, 3), expected);
        assert_eq!(deal_groups(&groups[..2], 4), [names(&["a"]), names(&["b"])]);
        assert_eq!(deal_groups(&groups, 0).len(), 1);
        assert!(deal_groups(&[], 4).is_empty());
    }

    proptest! {
        #[test]
        fn all_are_dealt_once_in_order(count in 0_usize..100, tasks_max in 1_usize..20) {
            let groups: Vec<String> = (0..count).map(|group| format!("g{group}")).collect();
            let dealt = deal_groups(&groups, tasks_max);
            prop_assert_eq!(dealt.len(), tasks_max.min(count));
            prop_assert!(dealt.windows(2).all(|pair| pair[0].len() == pair[1].len() || pair[0].len() == pair[1].len() + 1));
            prop_assert!(dealt.iter().all(|chunk| !chunk.is_empty()));
            prop_assert!(dealt.first().is_none_or(|first| first.len() - dealt[dealt.len() - 1].len() <= 1));
            prop_assert_eq!(dealt.concat(), groups);
        }
    }
}
