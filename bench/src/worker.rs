//! The program under test, whichever it is.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;
use testkit::{
    Connect, Java, Jvm, Scratch,
    anyhow::{Context, Result, bail},
    http,
    ports::Port,
    process::{Process, Program, Usage, usage},
    unique, wait_until,
};

use crate::contestants::{Contestant, worker_properties};

/// Longest wait for a start.
const START: Duration = Duration::from_secs(120);
/// Heap of MirrorMaker 2's machine, as `connect-distributed.sh` sets it.
const HEAP_MB: u32 = 2_048;

/// A running worker.
pub(crate) struct Worker {
    url: String,
    /// The process id.
    pub(crate) pid: u32,
    /// When it was started.
    pub(crate) began: Instant,
    /// From then until its REST API answered.
    pub(crate) to_rest: Duration,
    program: Running,
}

enum Running {
    Kmirror { process: Process, _scratch: Scratch, _port: Port },
    Connect(Connect),
}

impl Worker {
    /// Starts a contestant's worker on the cluster with these brokers, with a group and topics of its own, and waits for its REST API.
    pub(crate) async fn start(contestant: Contestant, kmirror: &Path, target: &str) -> Result<Self> {
        match contestant {
            Contestant::Kmirror | Contestant::Bare => Self::start_kmirror(kmirror, target).await,
            Contestant::Default | Contestant::Tuned => Self::start_connect(contestant, target).await,
        }
    }

    async fn start_kmirror(program: &Path, target: &str) -> Result<Self> {
        let scratch = Scratch::new("bench-kmirror")?;
        let port = Port::reserve()?;
        let url = format!("http://{}", port.address());
        let group = unique("bench");
        let mut text = format!("bootstrap.servers={}\ngroup.id={group}\nlisteners={url}\n", target);
        for side in ["key", "value"] {
            text += &format!("{side}.converter=org.apache.kafka.connect.converters.ByteArrayConverter\n");
        }
        for (kind, topic) in [("config", "configs"), ("offset", "offsets"), ("status", "status")] {
            text += &format!("{kind}.storage.topic={group}-{topic}\n{kind}.storage.replication.factor=-1\n");
        }
        for (key, value) in worker_properties(Contestant::Kmirror) {
            text += &format!("{key}={value}\n");
        }
        let file = scratch.path().join("worker.properties");
        std::fs::write(&file, text)?;
        let command = [program.display().to_string(), "worker".to_owned(), file.display().to_string()];
        let began = Instant::now();
        let process = Process::spawn(&Program::new("kmirror", &scratch.path().join("kmirror.log"), command))?;
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        loop {
            ticks.tick().await;
            if http::request("GET", &format!("{url}/connectors"), None).await.and_then(|r| r.ok()).is_ok() {
                break;
            }
            if process.exited()?.is_some() || began.elapsed() > START {
                bail!("kmirror did not start; end of its log:\n{}", process.log_tail(20));
            }
        }
        let (pid, to_rest) = (process.pid(), began.elapsed());
        let program = Running::Kmirror { process, _scratch: scratch, _port: port };
        Ok(Self { url, pid, began, to_rest, program })
    }

    async fn start_connect(contestant: Contestant, target: &str) -> Result<Self> {
        let java = Java::new(&testkit::kafka_version()).await?;
        let began = Instant::now();
        let properties = worker_properties(contestant);
        let connect = Connect::start(&java, target, Jvm::full(HEAP_MB), &properties).await?;
        let to_rest = began.elapsed();
        Ok(Self {
            url: connect.url(),
            pid: connect.process()?.pid(),
            began,
            to_rest,
            program: Running::Connect(connect),
        })
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> Result<Usage> {
        usage(self.pid)
    }

    /// Hands in the connector `bench`.
    pub(crate) async fn put_connector(&self, config: &Value) -> Result<()> {
        let path = format!("{}/connectors/bench/config", self.url);
        // A name within that differs from the path's is refused.
        let mut config = config.clone();
        config["name"] = "bench".into();
        wait_until("the connector to be taken", START, async || {
            let answer = http::request("PUT", &path, Some(&config)).await?;
            // 409 while the group rebalances. All else is the answer.
            if answer.status == 409 { bail!("{answer:?}") } else { Ok(answer) }
        })
        .await?
        .ok()?;
        Ok(())
    }

    /// An error if the worker has ended, or its connector or one of the tasks has failed.
    pub(crate) async fn check(&self) -> Result<()> {
        self.usage()?;
        let path = format!("{}/connectors/bench/status", self.url);
        let Ok(status) = http::request("GET", &path, None).await?.ok() else { return Ok(()) };
        let status = status.to_string();
        if status.contains("\"FAILED\"") {
            // Thousands of partitions may be named in it.
            let beginning: String = status.chars().take(1_000).collect();
            let log = self.log_tail();
            let end = log.lines().rev().take(3).collect::<Vec<_>>();
            bail!("failed: {beginning}…\nthe last lines of the log:\n{}", end.join("\n"));
        }
        Ok(())
    }

    /// The end of what it wrote.
    pub(crate) fn log_tail(&self) -> String {
        match &self.program {
            Running::Kmirror { process, .. } => process.log_tail(20),
            Running::Connect(connect) => {
                connect.process().map_or_else(|error| error.to_string(), |process| process.log_tail(40))
            }
        }
    }

    /// Stops it with SIGTERM.
    pub(crate) async fn stop(self) -> Result<()> {
        match self.program {
            Running::Kmirror { process, .. } => process.stop(START).await.map(|_| ()),
            Running::Connect(mut connect) => connect.stop().await,
        }
        .context("stopping the worker")
    }
}
