//! A connector's positions, told and changed from outside.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::oneshot;

use super::Herder;
use crate::{
    config::{ConnectorClass, connector_class},
    records::TargetState,
    worker::{
        Error,
        lifecycle::Command,
        offset_store::OffsetStore,
        offsets::{GivenOffset, alterations},
    },
};

impl Herder {
    /// What is stored of a connector's positions, after reading the offset topic to its end: source partition and offset
    /// of each.
    ///
    /// # Errors
    /// There is none of that name, or the offset topic can't be read.
    pub async fn offsets(&self, name: &str) -> Result<Vec<(Value, Value)>, Error> {
        if !self.context.stores.config.contains(name) {
            return Err(Error::ConnectorNotFound { connector: name.to_owned() });
        }
        let store = &self.context.stores.offset;
        store.catch_up().await?;
        Ok(store.offsets(name))
    }

    /// Sets positions of a stopped connector, and deletes those without an offset.
    ///
    /// # Errors
    /// There is none of that name, it is not stopped, it does not take such offsets, or the offset topic does not.
    pub async fn alter_offsets(self: &Arc<Self>, name: &str, offsets: Vec<GivenOffset>) -> Result<(), Error> {
        let (name, herder) = (name.to_owned(), Arc::clone(self));
        self.change(async move {
            let store = herder.offsets_of_stopped(&name).await?;
            let class = connector_class(&herder.connector(&name)?.config);
            // Who was stored by Connect and is none of these has no offsets that anybody uses.
            let class = class.unwrap_or(ConnectorClass::MirrorSource);
            let alterations = alterations(class, &offsets).map_err(Error::OffsetsRefused)?;
            store.catch_up().await?;
            let count = alterations.len();
            store.alter(&name, alterations).await?;
            tracing::info!(connector = name, "offsets of {count} partitions altered");
            Ok(())
        })
        .await
    }

    /// Deletes all positions of a stopped connector.
    ///
    /// # Errors
    /// There is none of that name, it is not stopped, or the offset topic does not take it.
    pub async fn reset_offsets(self: &Arc<Self>, name: &str) -> Result<(), Error> {
        let (name, herder) = (name.to_owned(), Arc::clone(self));
        self.change(async move {
            let store = herder.offsets_of_stopped(&name).await?;
            store.catch_up().await?;
            store.reset(&name).await?;
            tracing::info!(connector = name, "offsets reset");
            Ok(())
        })
        .await
    }

    /// The positions, once nothing that still runs could write any of this connector. Part of a change, so that it stays
    /// so until that is made.
    async fn offsets_of_stopped(&self, name: &str) -> Result<&OffsetStore, Error> {
        let connector = || name.to_owned();
        let stored = self.context.stores.config.get(name);
        let stored = stored.ok_or_else(|| Error::ConnectorNotFound { connector: connector() })?;
        if stored.target != TargetState::Stopped {
            return Err(Error::NotStopped { connector: connector() });
        }
        let (answer, outcome) = oneshot::channel();
        self.tell(name, Command::AwaitStopped(answer));
        match outcome.await {
            Ok(Ok(())) => Ok(&self.context.stores.offset),
            Ok(Err(cause)) => Err(Error::StopUnfinished { connector: connector(), cause }),
            Err(_) => Err(Error::Internal(format!("connector {name} ended when it was to stop"))),
        }
    }
}
