//! Whether the source of a connector is there, and with that how the connector is.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Lifecycle, Phase};
use crate::worker::{
    decide::{Reach, connector_state},
    plugin::{Probe, SourceTrouble},
};

/// Refreshes that failed in a row before that is shown: one may be chance, and is tried again soon.
const FAILED_REFRESHES: u32 = 2;

/// What there is of the source as long as the connector is to run.
pub(super) struct Source {
    pub(super) alias: String,
    /// Alias and addresses.
    pub(super) name: String,
    pub(super) refresh: Option<Duration>,
    /// Absent until it has been reached.
    pub(super) probe: Option<Arc<dyn Probe>>,
    pub(super) reach: Reach,
    /// What is wrong with it, as shown.
    pub(super) trouble: Option<SourceTrouble>,
}

impl Source {
    /// One that has not been asked yet.
    pub(super) fn new(alias: String, name: String, refresh: Option<Duration>, now: Instant) -> Self {
        Self { alias, name, refresh, probe: None, reach: Reach::new(now), trouble: None }
    }
}

impl Lifecycle {
    pub(super) fn probe(&mut self) {
        let Some(source) = &self.source else { return };
        let Some(probe) = source.probe.clone() else { return };
        // Between two attempts there is nothing to find out.
        let pausing = matches!(self.phase, Phase::Starting { .. }) && self.work.is_empty();
        if !self.probes.is_empty() || pausing {
            return;
        }
        let (name, limit) = (source.name.clone(), self.context.timings.source_lost);
        self.probes.spawn(async move {
            let answer = tokio::time::timeout(limit, probe.probe()).await;
            let silent = || format!("{name} did not answer within {} s", limit.as_secs_f32());
            answer.unwrap_or_else(|_| Err(SourceTrouble::Silent(silent())))
        });
    }

    pub(super) fn probed(&mut self, answer: Result<(), SourceTrouble>) {
        let Some(source) = &mut self.source else { return };
        match answer {
            Ok(()) => {
                if source.reach.failure().is_some() {
                    // Refreshes that failed meanwhile tell nothing of now.
                    self.refresh_failures.0 = 0;
                }
                source.reach.answered(Instant::now());
                source.trouble = None;
                if self.phase == Phase::Running {
                    self.show_connector();
                }
            }
            Err(SourceTrouble::Silent(cause)) => {
                source.reach.failed(cause);
                self.judge_source(Instant::now());
            }
            Err(changed @ SourceTrouble::Changed(_)) => {
                source.trouble = Some(changed);
                self.show_connector();
            }
        }
    }

    /// Shows a source that is gone. The tasks go on trying by themselves.
    pub(super) fn judge_source(&mut self, now: Instant) {
        let Some(source) = &mut self.source else { return };
        let patience = match self.phase {
            Phase::Starting { .. } => self.context.timings.attempt,
            Phase::Running => self.context.timings.source_lost,
            Phase::Resting | Phase::Stopping { .. } => return,
        };
        if let Some(cause) = source.reach.lost(now, patience) {
            source.trouble = Some(SourceTrouble::Silent(cause.to_owned()));
            self.show_connector();
        }
    }

    /// Shows how the connector is, as far as it has begun.
    pub(super) fn show_connector(&self) {
        let trouble = self.source.as_ref().and_then(|source| source.trouble.as_ref());
        // While the source is silent, it is that which refreshes fail of.
        let answers = self.source.as_ref().is_none_or(|source| source.reach.failure().is_none());
        let (failures, error) = &self.refresh_failures;
        let refresh = (answers && *failures >= FAILED_REFRESHES).then_some(error.as_str());
        let (state, trace) = connector_state(trouble, refresh, &self.found);
        self.show(state, trace);
    }
}
