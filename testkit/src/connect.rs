//! Real Kafka Connect workers, and MirrorMaker 2 on them: what kmirror is compared with.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::environment::unique;
use crate::http::{self, Response};
use crate::java::{Java, Jvm};
use crate::ports::Port;
use crate::process::{Process, Usage, usage};
use crate::scratch::Scratch;
use crate::wait::wait_until;

const START_DEADLINE: Duration = Duration::from_secs(120);
const STOP_DEADLINE: Duration = Duration::from_secs(60);

/// A distributed Connect worker. It is gone after drop.
#[derive(Debug)]
pub struct Connect {
    java: Java,
    jvm: Jvm,
    port: Port,
    process: Option<Process>,
    config: PathBuf,
    log: PathBuf,
    _scratch: Scratch,
}

impl Connect {
    /// Starts a worker and waits until its REST API answers. `properties` win over the kit's own, which are a group and
    /// internal topics with unique names, byte array converters, and offsets committed each second. Workers that are
    /// to form one group need the same `group.id` and `*.storage.topic`.
    pub async fn start(java: &Java, bootstrap: &str, jvm: Jvm, properties: &[(&str, &str)]) -> Result<Self> {
        let scratch = Scratch::new("connect")?;
        let port = Port::reserve()?;
        let group = unique("connect");
        let listener = format!("http://{}", port.address());
        let topic = |kind: &str| format!("{group}-{kind}");
        let mut all: BTreeMap<&str, String> = [
            ("bootstrap.servers", bootstrap.to_owned()),
            ("group.id", group.clone()),
            ("listeners", listener),
            ("key.converter", "org.apache.kafka.connect.converters.ByteArrayConverter".to_owned()),
            ("value.converter", "org.apache.kafka.connect.converters.ByteArrayConverter".to_owned()),
            ("config.storage.topic", topic("configs")),
            ("offset.storage.topic", topic("offsets")),
            ("status.storage.topic", topic("status")),
            // As many as the brokers' default says.
            ("config.storage.replication.factor", "-1".to_owned()),
            ("offset.storage.replication.factor", "-1".to_owned()),
            ("status.storage.replication.factor", "-1".to_owned()),
            ("offset.storage.partitions", "1".to_owned()),
            ("status.storage.partitions", "1".to_owned()),
            ("offset.flush.interval.ms", "1000".to_owned()),
            // Looking through all classes of the class path would take seconds.
            ("plugin.discovery", "service_load".to_owned()),
        ]
        .into();
        all.extend(properties.iter().map(|(key, value)| (*key, (*value).to_owned())));
        let config = scratch.path().join("connect.properties");
        fs::write(&config, all.iter().map(|(key, value)| format!("{key}={value}\n")).collect::<String>())?;
        let log = scratch.path().join("connect.log");
        let mut connect = Self { java: java.clone(), jvm, port, process: None, config, log, _scratch: scratch };
        connect.restart().await?;
        Ok(connect)
    }

    /// Starts the worker again with the same configuration and port, stopping it first if it runs.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        let main = "org.apache.kafka.connect.cli.ConnectDistributed";
        let config = self.config.display().to_string();
        let process = self.java.spawn("Connect worker", &self.log, self.jvm, main, &[&config])?;
        let ready = wait_until("the REST API of Connect", START_DEADLINE, async || {
            if let Some(status) = process.exited()? {
                return Ok(Err(anyhow::anyhow!("the Connect worker ended by itself with {status}")));
            }
            // The root answers before the worker has read its configuration topic; the list of connectors does not.
            self.get("/").await?.ok()?;
            self.get("/connectors").await?.ok()?;
            Ok(Ok(()))
        });
        ready.await.and_then(|r| r).with_context(|| format!("end of its log:\n{}", process.log_tail(40)))?;
        self.process = Some(process);
        Ok(())
    }

    /// Stops the worker with SIGTERM; no error if it does not run.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(process) = self.process.take() {
            process.stop(STOP_DEADLINE).await?;
        }
        Ok(())
    }

    /// Kills the worker with SIGKILL.
    pub fn kill9(&mut self) -> Result<()> {
        self.process.take().context("the Connect worker does not run")?.kill9()
    }

    /// The running worker.
    pub fn process(&self) -> Result<&Process> {
        self.process.as_ref().context("the Connect worker does not run")
    }

    /// What the running worker has used so far.
    pub fn usage(&self) -> Result<Usage> {
        usage(self.process()?.pid())
    }

    /// The file it logs to.
    pub fn log(&self) -> &std::path::Path {
        &self.log
    }

    /// Address of the REST API, `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// GETs a path of the REST API.
    pub async fn get(&self, path: &str) -> Result<Response> {
        self.request("GET", path, None).await
    }

    /// Sends any request to the REST API.
    pub async fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Response> {
        http::request(method, &format!("{}{path}", self.url()), body).await
    }

    /// Creates or changes a connector: `PUT /connectors/<name>/config`.
    pub async fn put_connector(&self, name: &str, config: &Value) -> Result<Value> {
        let path = format!("/connectors/{name}/config");
        wait_until(&format!("connector {name} to be taken"), START_DEADLINE, async || {
            let response = self.request("PUT", &path, Some(config)).await?;
            // 409 while the group rebalances: try again. All else is the answer.
            ensure!(response.status != 409, "{response:?}");
            Ok(response)
        })
        .await?
        .ok()
        .with_context(|| format!("connector {name}"))
    }

    /// Waits until a connector and at least `tasks` tasks of it, and no others, are RUNNING; gives its status.
    pub async fn wait_running(&self, name: &str, tasks: usize, deadline: Duration) -> Result<Value> {
        wait_until(&format!("connector {name} to run"), deadline, async || {
            let status = self.get(&format!("/connectors/{name}/status")).await?.ok()?;
            let all = status["tasks"].as_array().map(Vec::as_slice).unwrap_or_default();
            let running = |part: &Value| part["state"] == "RUNNING";
            ensure!(running(&status["connector"]) && all.len() >= tasks && all.iter().all(running), "{status}");
            Ok(status)
        })
        .await
    }
}

/// MirrorMaker 2 in dedicated mode (`connect-mirror-maker`). It is gone after drop.
#[derive(Debug)]
pub struct MirrorMaker {
    process: Process,
    _scratch: Scratch,
}

impl MirrorMaker {
    /// Starts it with the text of an `mm2.properties`. It has no address to ask whether it is ready: wait for what it
    /// is to do.
    pub fn start(java: &Java, jvm: Jvm, mm2_properties: &str) -> Result<Self> {
        let scratch = Scratch::new("mirror-maker")?;
        let config = scratch.path().join("mm2.properties");
        fs::write(&config, mm2_properties)?;
        let log = scratch.path().join("mirror-maker.log");
        let main = "org.apache.kafka.connect.mirror.MirrorMaker";
        let process = java.spawn("MirrorMaker", &log, jvm, main, &[&config.display().to_string()])?;
        Ok(Self { process, _scratch: scratch })
    }

    /// The running process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Stops it with SIGTERM.
    pub async fn stop(&self) -> Result<()> {
        self.process.stop(STOP_DEADLINE).await?;
        Ok(())
    }
}
