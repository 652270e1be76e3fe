//! Offsets of groups in the target: read, compared with the checkpoints, and set.

use std::collections::BTreeMap;

use wire::{CommittedOffset, GroupDescription, GroupOffsets, TopicPartition, is_active_group};

use super::{CheckpointTask, GroupReport, Known, Synced};
use crate::mirror::{CheckpointOutcome, NotWritten, PartitionSync, TargetGroup};

impl CheckpointTask {
    /// Sets the offsets of groups without members in the target to what their checkpoints say, where they are lower or absent.
    pub(super) async fn sync_offsets(&mut self, known: &mut Known) -> Synced {
        let what = "setting offsets of groups";
        let target = self.clusters.target.clone();
        let told = tokio::try_join!(target.describe_groups(&self.groups), target.fetch_group_offsets(&self.groups));
        let (states, there) = match told {
            Ok(told) => told,
            Err(error) => {
                self.troubles.failed(&target, what, &error.to_string());
                return self.groups.iter().map(|group| (group.clone(), Err(error.to_string()))).collect();
            }
        };
        let mut synced: Synced = states
            .into_iter()
            .zip(there)
            .map(|((group, state), (_, offsets))| {
                let told = state.and_then(|state| Ok((state, offsets?))).map_err(|error| error.to_string());
                let decided = told.map(|(state, offsets)| self.decide(&group, &state, offsets, known));
                (group, decided)
            })
            .collect();
        let wanted: Vec<_> = synced
            .iter()
            .filter_map(|(group, decided)| Some((group.clone(), writes(decided.as_ref().ok()?))))
            .filter(|(_, writes)| !writes.is_empty())
            .collect();
        let outcomes = target.commit_group_offsets(&wanted).await.unwrap_or_else(|error| {
            let refused = |(group, offsets): &(String, Vec<(TopicPartition, _)>)| {
                let all = offsets.iter().map(|(partition, _)| (partition.clone(), Err(error.clone()))).collect();
                (group.clone(), all)
            };
            wanted.iter().map(refused).collect()
        });
        for (group, outcomes) in outcomes {
            for (partition, outcome) in outcomes {
                match outcome {
                    Ok(()) => {
                        if let Some((_, checkpoint)) = known.checkpoints.of(&group).find(|(of, _)| **of == partition) {
                            known.sync.written(&group, &partition, checkpoint);
                        }
                    }
                    Err(error) => {
                        if let Some(Ok(decided)) = synced.get_mut(&group) {
                            decided.insert(partition, PartitionSync::Leave(refused(&error)));
                        }
                    }
                }
            }
        }
        match failure(&synced) {
            Some(failure) => _ = self.troubles.failed(&target, what, &failure),
            None => self.troubles.worked(&target, what),
        }
        synced
    }

    fn decide(
        &self,
        group: &str,
        state: &GroupDescription,
        offsets: GroupOffsets,
        known: &Known,
    ) -> BTreeMap<TopicPartition, PartitionSync> {
        let state = TargetGroup::of(&state.kind, &state.protocol_type, &state.state);
        let mut unstable = BTreeMap::new();
        let mut there = BTreeMap::new();
        for (partition, told) in offsets {
            match told {
                Ok(committed) => _ = there.insert(partition, Some(committed.offset)),
                // A transaction is about to change it, or it may not be read.
                Err(error) => _ = unstable.insert(partition, PartitionSync::Leave(refused(&error))),
            }
        }
        let outcomes = self.reports.get(group).map(|GroupReport { outcomes, .. }| outcomes.iter().flatten());
        let without = |outcome: &CheckpointOutcome| Some((outcome.target.clone(), *outcome.checkpoint.as_ref().err()?));
        let untranslated: Vec<_> = outcomes.into_iter().flatten().filter_map(without).collect();
        let mut decided = known.sync.decide(group, &state, &there, known.checkpoints.of(group), &untranslated);
        decided.extend(unstable);
        decided
    }
}

fn writes(decided: &BTreeMap<TopicPartition, PartitionSync>) -> Vec<(TopicPartition, CommittedOffset)> {
    let write = |(partition, sync): (&TopicPartition, &PartitionSync)| match sync {
        PartitionSync::Write { offset, metadata, .. } => {
            let committed = CommittedOffset { offset: *offset, leader_epoch: None, metadata: metadata.clone() };
            Some((partition.clone(), committed))
        }
        PartitionSync::Leave(_) => None,
    };
    decided.iter().filter_map(write).collect()
}

fn refused(error: &wire::Error) -> NotWritten {
    match error.response() {
        // Somebody has joined it meanwhile.
        _ if is_active_group(error) => NotWritten::Active { state: error.to_string() },
        Some(response) => NotWritten::refused(response),
        None => NotWritten::Failed { error: error.to_string() },
    }
}

/// Something that ought to work and did not.
fn failure(synced: &Synced) -> Option<String> {
    synced.iter().find_map(|(group, decided)| match decided {
        Err(error) => Some(format!("group {group}: {error}")),
        Ok(decided) => decided.iter().find_map(|(partition, sync)| match sync {
            PartitionSync::Leave(why @ (NotWritten::Denied { .. } | NotWritten::Failed { .. })) => {
                Some(format!("group {group}, {partition}: {why}"))
            }
            _ => None,
        }),
    })
}
