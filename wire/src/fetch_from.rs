//! One partition read by itself, from any offset: what stands behind an offset is looked at before anything is sent again.

use std::time::Duration;

use kafka_protocol::messages::FetchRequest;

use crate::{
    call::Call,
    cluster::Cluster,
    error::Result,
    fetch::{FetchLane, FetchLimits, FetchPartition, FetchedPartition},
    memory::{Budget, Reservation},
    types::TopicPartition,
};

impl Cluster {
    /// Whole batches of a partition from an offset on, up to `max_bytes` of them (the first one whole in any case), as they are there now: an
    /// answer without records means that nothing can be read there yet. Asked of the leader. Their bytes count as used by `budget`.
    ///
    /// # Errors
    /// When no leader answers within the request timeout, or refuses: OFFSET_OUT_OF_RANGE where the log does not hold the offset.
    pub async fn fetch_from(
        &self,
        partition: &TopicPartition,
        offset: i64,
        max_bytes: i32,
        read_committed: bool,
        budget: &Budget,
    ) -> Result<FetchedPartition> {
        let limits = FetchLimits { max_wait: Duration::ZERO, min_bytes: 0, max_bytes, read_committed };
        self.persist(|| {
            let room = budget.take(usize::try_from(max_bytes).unwrap_or(0));
            self.fetch_of_leader(FetchLane::CatchUp, partition, offset, &limits, Some(room))
        })
        .await
    }

    /// One Fetch of one partition, of whoever leads it now; outside any budget where there is no `room`.
    pub(crate) async fn fetch_of_leader(
        &self,
        lane: FetchLane,
        partition: &TopicPartition,
        offset: i64,
        limits: &FetchLimits,
        room: Option<Reservation>,
    ) -> Result<FetchedPartition> {
        self.topics(Some(std::slice::from_ref(&partition.topic))).await?;
        let leader = self.leader_or_error(partition, FetchRequest::API)?;
        let wanted = FetchPartition {
            partition: partition.clone(),
            topic_id: leader.topic_id,
            offset,
            leader_epoch: leader.epoch,
            last_epoch: -1,
            max_bytes: limits.max_bytes,
            tag: 0,
        };
        let answer = self.fetch_plain(leader.broker, lane, &[wanted], limits, room).await?;
        let Some(part) = answer.into_iter().next() else {
            return Err(self.refused(FetchRequest::API, partition.to_string(), -1, None));
        };
        self.check(FetchRequest::API, || partition.to_string(), part.error, None)?;
        Ok(part)
    }
}
