//! The ZooKeeper of a cluster of Kafka 2.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::java::{Java, Jvm};
use crate::ports::{Port, is_free};
use crate::process::Process;

/// A running ZooKeeper of its own. It is gone after drop.
#[derive(Debug)]
pub(super) struct ZooKeeper {
    port: Port,
    process: Process,
}

impl ZooKeeper {
    /// Starts it, with its files below `root`. Brokers wait until it answers.
    pub(super) fn start(java: &Java, root: &Path) -> Result<Self> {
        let port = Port::reserve()?;
        let dir: PathBuf = root.join("zookeeper");
        std::fs::create_dir_all(&dir)?;
        let settings = [
            ("dataDir", dir.join("data").display().to_string()),
            ("clientPortAddress", "127.0.0.1".to_owned()),
            ("clientPort", port.number().to_string()),
            ("admin.enableServer", "false".to_owned()),
            ("maxClientCnxns", "0".to_owned()),
            // What it holds need not outlive the machine.
            ("forceSync", "no".to_owned()),
        ];
        let config = dir.join("zookeeper.properties");
        std::fs::write(&config, settings.map(|(key, value)| format!("{key}={value}\n")).concat())?;
        let (config, log) = (config.display().to_string(), dir.join("zookeeper.log"));
        let main = "org.apache.zookeeper.server.ZooKeeperServerMain";
        let process = java.spawn("ZooKeeper", &log, Jvm::quick(64), main, &[&config])?;
        Ok(Self { port, process })
    }

    /// What brokers call `zookeeper.connect`.
    pub(super) fn address(&self) -> String {
        self.port.address()
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(super) fn check_running(&self) -> Result<()> {
        match self.process.exited()? {
            Some(status) => bail!("ZooKeeper ended by itself with {status}"),
            None => Ok(()),
        }
    }

    /// Whether it ended because its port was taken.
    pub(super) fn lost_its_port(&self) -> bool {
        self.check_running().is_err()
            && self.log_tail(200).contains("Address already in use")
            && !is_free(self.port.number())
    }

    pub(super) fn log_tail(&self, lines: usize) -> String {
        self.process.log_tail(lines)
    }
}
