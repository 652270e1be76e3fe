//! The end of a stop: nothing is called STOPPED before what it leaves behind is stored.

use std::time::Instant;

use super::{Lifecycle, Phase};
use crate::{
    records::{State, TargetState},
    worker::decide::backoff,
};

impl Lifecycle {
    /// Stores what a stop leaves behind, and only then says STOPPED: from then on positions may be altered from outside,
    /// and nothing here must write older ones over them.
    pub(super) async fn finish_stop(&mut self, failures: u32) -> Result<(), String> {
        let stored = self.store_stop().await;
        if let Err(cause) = &stored {
            let failures = failures.saturating_add(1);
            let (least, most) = self.context.timings.retry;
            self.phase = Phase::Stopping { failures };
            self.next_sync = Some(Instant::now() + backoff(failures, least, most, rand::random()));
            self.show(State::Failed, Some(format!("kmirror.StopNotStored: {cause}")));
        } else {
            self.phase = Phase::Resting;
            self.next_sync = None;
            self.context.stores.status.forget_tasks(&self.name, 0);
            self.show(State::Stopped, None);
        }
        stored
    }

    async fn store_stop(&mut self) -> Result<(), String> {
        self.flush().await?;
        if !self.stored.tasks.is_empty() {
            let removed = self.context.stores.config.put_tasks(&self.name, &[]).await;
            removed.map_err(|error| format!("its tasks can't be removed: {error}"))?;
            self.stored.tasks.clear();
        }
        Ok(())
    }

    /// Whether all has stopped; tries at once what could not be stored yet.
    pub(super) async fn stopped(&mut self) -> Result<(), String> {
        match self.phase {
            Phase::Stopping { failures } => self.finish_stop(failures).await,
            Phase::Resting if self.stored.target == TargetState::Stopped => Ok(()),
            Phase::Resting | Phase::Starting { .. } | Phase::Running => Err("it was not told to".to_owned()),
        }
    }
}
