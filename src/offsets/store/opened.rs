//! Maps that several connectors have open.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::Mutex as AsyncMutex;
use wire::Cluster;

use super::{OffsetMaps, Shared};
use crate::offsets::{Error, topic::prepare};

/// Held while it is opened, so that nobody opens it beside.
type Slot = Arc<AsyncMutex<Weak<Shared>>>;

/// The maps that somebody has open in one target cluster: those of one topic are read and kept once, as long as anybody has them. Clones
/// share everything.
#[derive(Debug, Clone, Default)]
pub struct OpenMaps {
    /// By alias of target and source.
    slots: Arc<Mutex<HashMap<(String, String), Slot>>>,
}

impl OpenMaps {
    /// As [`OffsetMaps::open`], reading the topic only if nobody has it open. Who gets them is an owner of its own: of two that take the same
    /// generation of a link, one is told.
    ///
    /// # Errors
    /// As [`OffsetMaps::open`].
    pub async fn open(
        &self,
        target: &Cluster,
        source_alias: &str,
        replication_factor: i16,
    ) -> Result<OffsetMaps, Error> {
        let slot = self.slot(target.alias(), source_alias);
        let mut slot = slot.lock().await;
        if let Some(shared) = slot.upgrade() {
            // The topic may have been deleted since, or the rights to it.
            prepare(target, &shared.topic, replication_factor).await?;
            return Ok(OffsetMaps { owner: rand::random(), shared });
        }
        let maps = OffsetMaps::open(target, source_alias, replication_factor).await?;
        *slot = Arc::downgrade(&maps.shared);
        Ok(maps)
    }

    fn slot(&self, target: &str, source: &str) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry((target.to_owned(), source.to_owned())).or_default())
    }
}
