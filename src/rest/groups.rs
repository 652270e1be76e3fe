//! `/connectors/{connector}/kmirror/groups` and `…/sync-groups`: what groups find in the target. Connect has no such paths.

use axum::{Json, extract::State};
use serde::Serialize;

use super::{Answer, AppState, Path, error::ApiError};
use crate::{
    config::rfc3339,
    mirror::{CheckpointOutcome, Exactness, GroupReport, PartitionSync, WriteReason},
};

#[derive(Serialize)]
pub(super) struct GroupsBody<T> {
    groups: Vec<GroupBody<T>>,
}

#[derive(Serialize)]
struct GroupBody<T> {
    group: String,
    /// When that was found; absent for what is found now.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    partitions: Vec<T>,
    /// Why nothing is known of its partitions.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct PartitionBody {
    topic: String,
    partition: i32,
}

#[derive(Serialize)]
pub(super) struct TranslatedBody {
    source: PartitionBody,
    source_offset: Option<i64>,
    target: PartitionBody,
    target_offset: Option<i64>,
    /// `EXACT`, `MIRRORED_END`, `INEXACT`, or why there is no target offset.
    outcome: &'static str,
    /// The most records that the group consumes again there, where that is known.
    again: Option<u64>,
    message: Option<String>,
}

#[derive(Serialize)]
pub(super) struct SyncedBody {
    target: PartitionBody,
    /// `WRITTEN`, or why not.
    outcome: &'static str,
    /// What was written.
    target_offset: Option<i64>,
    message: String,
}

pub(super) async fn groups(
    State(worker): AppState,
    Path(connector): Path<String>,
) -> Answer<GroupsBody<TranslatedBody>> {
    let desk = worker.herder()?.groups(&connector)?;
    let reports = desk.groups().await.map_err(ApiError::internal)?;
    let shown = |(group, GroupReport { time, outcomes }): (String, GroupReport)| {
        let (partitions, error) = parts(outcomes);
        let partitions = partitions.into_iter().map(translated).collect();
        GroupBody { group, time: Some(rfc3339(time)), partitions, error }
    };
    Ok(Json(GroupsBody { groups: reports.into_iter().map(shown).collect() }))
}

pub(super) async fn sync(State(worker): AppState, Path(connector): Path<String>) -> Answer<GroupsBody<SyncedBody>> {
    let desk = worker.herder()?.groups(&connector)?;
    let synced = desk.sync_now().await.map_err(ApiError::internal)?;
    let groups = synced.into_iter().map(|(group, outcomes)| {
        let (partitions, error) = parts(outcomes);
        let partitions = partitions.into_iter().map(|(target, sync)| {
            let target = PartitionBody { topic: target.topic, partition: target.partition };
            written(target, &sync)
        });
        let partitions = partitions.collect();
        GroupBody { group, time: None, partitions, error }
    });
    Ok(Json(GroupsBody { groups: groups.collect() }))
}

fn parts<T: Default>(outcomes: Result<T, String>) -> (T, Option<String>) {
    match outcomes {
        Ok(outcomes) => (outcomes, None),
        Err(error) => (T::default(), Some(error)),
    }
}

fn translated(CheckpointOutcome { source, target, committed, checkpoint }: CheckpointOutcome) -> TranslatedBody {
    let (target_offset, outcome, again, message) = match checkpoint {
        Ok(found) => {
            let again = match found.exactness {
                Exactness::Exact => Some(0),
                Exactness::MirroredEnd => None,
                Exactness::Sync { again } => Some(again),
            };
            (Some(found.value.downstream_offset), found.exactness.code(), again, None)
        }
        Err(reason) => (None, reason.code(), None, Some(reason.to_string())),
    };
    let source = PartitionBody { topic: source.topic, partition: source.partition };
    let target = PartitionBody { topic: target.topic, partition: target.partition };
    TranslatedBody { source, source_offset: committed, target, target_offset, outcome, again, message }
}

fn written(target: PartitionBody, sync: &PartitionSync) -> SyncedBody {
    match sync {
        PartitionSync::Write { offset, why, .. } => {
            let message = match why {
                WriteReason::Absent => "the target had none",
                WriteReason::Behind => "the target had a lower one",
                WriteReason::Rewound => "the group went back at the source",
            };
            SyncedBody { target, outcome: "WRITTEN", target_offset: Some(*offset), message: message.to_owned() }
        }
        PartitionSync::Leave(why) => {
            SyncedBody { target, outcome: why.code(), target_offset: None, message: why.to_string() }
        }
    }
}
