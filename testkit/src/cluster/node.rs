//! One broker: its ports, its files, its process.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail, ensure};

use super::Cluster;
use crate::java::{Java, Jvm};
use crate::ports::{Port, is_free};
use crate::process::{Process, log_tail};
use crate::proxy::Route;

/// How an attempt to start a cluster ended, where it makes sense to try again.
pub(super) enum Start {
    Ready(Box<Cluster>),
    PortTaken(String),
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: u32,
    pub(super) controller: Port,
    pub(super) direct: Port,
    /// Per proxy slot: the port that the broker listens on, and the one that it advertises.
    pub(super) proxied: Vec<(Port, Port)>,
    dir: PathBuf,
    jvm: Jvm,
    process: Mutex<Option<Process>>,
}

impl Node {
    pub(super) fn new(id: u32, root: &Path, slots: usize, jvm: Jvm) -> Result<Self> {
        let dir = root.join(format!("broker-{id}"));
        std::fs::create_dir_all(&dir)?;
        Ok(Self {
            id,
            controller: Port::reserve()?,
            direct: Port::reserve()?,
            proxied: (0..slots).map(|_| Ok((Port::reserve()?, Port::reserve()?))).collect::<Result<_>>()?,
            dir,
            jvm,
            process: Mutex::new(None),
        })
    }

    pub(super) fn address(&self) -> String {
        self.direct.address()
    }

    pub(super) fn route(&self, slot: usize) -> Route {
        let (listens, advertised) = &self.proxied[slot];
        Route { broker: self.id, listen: advertised.number(), upstream: listens.number() }
    }

    pub(super) fn config(&self) -> PathBuf {
        self.dir.join("server.properties")
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("broker.log")
    }

    pub(super) fn spawn(&self, java: &Java) -> Result<()> {
        let mut process = self.process();
        ensure!(process.is_none(), "broker {} runs already", self.id);
        let config = self.config().display().to_string();
        let name = format!("broker {}", self.id);
        *process = Some(java.spawn(&name, &self.log(), self.jvm, "kafka.Kafka", &[&config])?);
        Ok(())
    }

    pub(super) fn take(&self) -> Option<Process> {
        self.process().take()
    }

    pub(super) fn is_started(&self) -> bool {
        self.process().is_some()
    }

    pub(super) fn with_process<T>(&self, act: impl FnOnce(&Process) -> Result<T>) -> Result<T> {
        act(self.process().as_ref().with_context(|| format!("broker {} does not run", self.id))?)
    }

    pub(super) fn check_running(&self) -> Result<()> {
        self.with_process(|p| match p.exited()? {
            Some(status) => bail!("broker {} ended by itself with {status}", self.id),
            None => Ok(()),
        })
    }

    /// Whether it ended because a port of its was taken.
    pub(super) fn lost_its_port(&self) -> bool {
        let ports = [&self.controller, &self.direct].into_iter().chain(self.proxied.iter().map(|(listens, _)| listens));
        self.check_running().is_err()
            && log_tail(&self.log(), 200).contains("Address already in use")
            && ports.into_iter().any(|p| !is_free(p.number()))
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
