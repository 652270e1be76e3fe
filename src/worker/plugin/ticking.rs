//! Tasks that do something now and then, and have no positions.

use std::{collections::BTreeMap, future::Future, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{sync::watch, task::JoinHandle};
use wire::TopicPartition;

use super::Task;
use crate::flow::{FlowStatus, StoredPosition};

/// Runs until it is dropped. Nothing is lost by that: what it writes is written anew.
pub(super) struct Ticking {
    work: JoinHandle<()>,
    status: watch::Sender<FlowStatus>,
}

impl Ticking {
    pub(super) fn start(work: impl Future<Output = ()> + Send + 'static) -> Box<dyn Task> {
        Box::new(Self { work: tokio::spawn(work), status: watch::Sender::default() })
    }
}

impl Task for Ticking {
    fn positions(&self) -> BTreeMap<TopicPartition, StoredPosition> {
        BTreeMap::new()
    }

    fn status(&self) -> watch::Receiver<FlowStatus> {
        self.status.subscribe()
    }

    fn drain(self: Box<Self>, _timeout: Duration) -> BoxFuture<'static, BTreeMap<TopicPartition, StoredPosition>> {
        Box::pin(async { BTreeMap::new() })
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.work.abort();
    }
}
