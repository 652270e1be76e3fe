//! Which task copies which partition.

use wire::TopicPartition;

/// Deals the partitions, in the order given, round-robin over `min(tasks_max, partitions)` tasks, as
/// `MirrorSourceConnector.taskConfigs` does: hot topics spread over all tasks. No partitions make no tasks.
#[must_use]
pub fn split(partitions: &[TopicPartition], tasks_max: usize) -> Vec<Vec<TopicPartition>> {
    let tasks = tasks_max.max(1).min(partitions.len());
    let mut assigned = vec![Vec::new(); tasks];
    for (i, partition) in partitions.iter().enumerate() {
        assigned[i % tasks].push(partition.clone());
    }
    assigned
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn partitions(topics: &[(&str, i32)]) -> Vec<TopicPartition> {
        topics.iter().flat_map(|(topic, count)| (0..*count).map(|p| TopicPartition::new(*topic, p))).collect()
    }

    #[test]
    fn twelve_partitions_over_three_tasks() {
        // MirrorSourceConnectorTest.testMirrorSourceConnectorTaskConfig
        let split = split(&partitions(&[("t0", 8), ("t1", 2), ("t2", 2)]), 3);
        let names: Vec<String> =
            split.iter().map(|task| task.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")).collect();
        assert_eq!(names, ["t0-0,t0-3,t0-6,t1-1", "t0-1,t0-4,t0-7,t2-0", "t0-2,t0-5,t1-0,t2-1"]);
    }

    #[test]
    fn no_task_is_empty() {
        assert!(split(&[], 4).is_empty());
        assert_eq!(split(&partitions(&[("t", 2)]), 4).len(), 2);
        assert_eq!(split(&partitions(&[("t", 2)]), 0).len(), 1);
    }

    proptest! {
        #[test]
        fn all_are_dealt_once_and_evenly(count in 0_i32..200, tasks_max in 1_usize..20) {
            let all = partitions(&[("t", count)]);
            let split = split(&all, tasks_max);
            let mut dealt: Vec<_> = split.concat();
            dealt.sort();
            prop_assert_eq!(dealt, all);
            let sizes: Vec<usize> = split.iter().map(Vec::len).collect();
            if let (Some(most), Some(least)) = (sizes.iter().max(), sizes.iter().min()) {
                prop_assert!(most - least <= 1 && *least > 0);
            }
        }
    }
}
