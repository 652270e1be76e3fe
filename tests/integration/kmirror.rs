//! The real `kmirror` program, as a process that tests start, ask, freeze, kill and stop.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use ::testkit::{
    Scratch,
    anyhow::{Context, Result, bail, ensure},
    http::{self, Response},
    ports::Port,
    process::{self, Process, Program, Usage},
    unique,
};
use serde_json::Value;

/// Generous: two cores may run several clusters at a time.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);
/// Lines of the log that errors show.
const TAIL: usize = 60;

/// A `kmirror worker`. It is gone after drop.
#[derive(Debug)]
pub(crate) struct Kmirror {
    port: Port,
    arguments: Vec<String>,
    log: PathBuf,
    process: Option<Process>,
    // Last, so that the process is gone before its files.
    _scratch: Scratch,
}

/// What a worker is to be like. Made by [`Kmirror::on`].
#[derive(Debug, Clone)]
pub(crate) struct Builder {
    properties: BTreeMap<String, String>,
    arguments: Vec<String>,
}

impl Builder {
    /// Sets a worker property; wins over the harness' own.
    pub(crate) fn property(mut self, key: &str, value: &str) -> Self {
        self.properties.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets all properties of a file's text; comments are left out.
    pub(crate) fn file(mut self, text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.filter_map(|line| line.split_once('='));
        self.properties.extend(pairs.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())));
        self
    }

    /// Adds arguments to the command line.
    pub(crate) fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// Starts the program and waits until it is healthy.
    pub(crate) async fn start(self) -> Result<Kmirror> {
        let worker = self.launch()?;
        worker.wait_healthy().await?;
        Ok(worker)
    }

    /// Starts the program and waits for nothing.
    pub(crate) fn launch(self) -> Result<Kmirror> {
        let scratch = Scratch::new("worker")?;
        let port = Port::reserve()?;
        let mut properties = self.properties;
        properties.entry("listeners".to_owned()).or_insert_with(|| format!("http://{}", port.address()));
        let file = scratch.path().join("worker.properties");
        let lines = properties.iter().map(|(key, value)| format!("{key}={value}\n"));
        fs::write(&file, lines.collect::<String>())?;
        let mut arguments = vec!["worker".to_owned(), file.display().to_string()];
        arguments.extend(self.arguments);
        let log = scratch.path().join("kmirror.log");
        let mut worker = Kmirror { port, arguments, log, process: None, _scratch: scratch };
        worker.launch()?;
        Ok(worker)
    }
}

impl Kmirror {
    /// A worker attached to the cluster at `bootstrap`, with a group and storage topics of its own, one replica each,
    /// that stores positions every second.
    pub(crate) fn on(bootstrap: &str) -> Builder {
        let group = unique("kmirror");
        let mut properties: BTreeMap<String, String> = [
            ("bootstrap.servers", bootstrap),
            ("key.converter", "org.apache.kafka.connect.converters.ByteArrayConverter"),
            ("value.converter", "org.apache.kafka.connect.converters.ByteArrayConverter"),
            ("offset.storage.partitions", "3"),
            ("status.storage.partitions", "1"),
            ("offset.flush.interval.ms", "1000"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        for kind in ["config", "offset", "status"] {
            properties.insert(format!("{kind}.storage.topic"), format!("{group}-{kind}"));
            properties.insert(format!("{kind}.storage.replication.factor"), "1".to_owned());
        }
        properties.insert("group.id".to_owned(), group);
        Builder { properties, arguments: Vec::new() }
    }

    /// Starts the program again with the same file and port, waiting for nothing.
    pub(crate) fn launch(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "kmirror runs already");
        let command = [env!("CARGO_BIN_EXE_kmirror").to_owned()].into_iter().chain(self.arguments.iter().cloned());
        let mut program = Program::new("kmirror", &self.log, command);
        // What the runner's environment says is for the tests' own process.
        program.env = ["RUST_LOG", "KMIRROR_LOG_FORMAT"].map(|key| (key.to_owned(), String::new())).into();
        self.process = Some(Process::spawn(&program)?);
        Ok(())
    }

    /// Starts the program again and waits until it is healthy.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.launch()?;
        self.wait_healthy().await
    }

    /// Stops it with SIGTERM: it must drain and end with 0.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        let process = self.process.take().context("kmirror does not run")?;
        let status = process.stop(Duration::from_secs(30)).await?;
        ensure!(status.code() == Some(0), "ended with {status} after SIGTERM; {}", self.log_tail());
        Ok(())
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill9(&mut self) -> Result<()> {
        self.process.take().context("kmirror does not run")?.kill9()
    }

    /// Sends a signal by name (`STOP`, `CONT` …).
    pub(crate) fn signal(&self, signal: &str) -> Result<()> {
        self.process()?.signal(signal)
    }

    /// What the running process has used so far.
    pub(crate) fn usage(&self) -> Result<Usage> {
        process::usage(self.process()?.pid())
    }

    /// The running process.
    pub(crate) fn process(&self) -> Result<&Process> {
        self.process.as_ref().context("kmirror does not run")
    }

    /// `host:port` of its REST API.
    pub(crate) fn address(&self) -> String {
        self.port.address()
    }

    /// All it has logged, over all its lives.
    pub(crate) fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        format!("end of its log:\n{}", process::log_tail(&self.log, TAIL))
    }

    /// GETs a path of the REST API.
    pub(crate) async fn get(&self, path: &str) -> Result<Response> {
        self.request("GET", path, None).await
    }

    /// Sends any request to the REST API.
    pub(crate) async fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Response> {
        http::request(method, &format!("http://{}{path}", self.address()), body).await
    }

    /// Creates or changes a connector: `PUT /connectors/<name>/config`.
    pub(crate) async fn put_connector(&self, name: &str, config: &Value) -> Result<Value> {
        let answer = self.request("PUT", &format!("/connectors/{name}/config"), Some(config)).await?;
        answer.ok().with_context(|| format!("connector {name}"))
    }

    /// A connector's status.
    pub(crate) async fn status(&self, name: &str) -> Result<Value> {
        self.get(&format!("/connectors/{name}/status")).await?.ok()
    }

    /// Waits until a connector's status is as `wanted`, which says what is missing; gives the status.
    pub(crate) async fn wait_status(
        &self,
        what: &str,
        name: &str,
        deadline: Duration,
        wanted: impl Fn(&Value) -> Result<()>,
    ) -> Result<Value> {
        self.until(what, deadline, async || {
            let status = self.status(name).await?;
            wanted(&status).with_context(|| status.to_string())?;
            Ok(status)
        })
        .await
    }

    /// Waits until a connector and exactly `tasks` tasks of it are RUNNING; gives its status.
    pub(crate) async fn wait_running(&self, name: &str, tasks: usize) -> Result<Value> {
        self.wait_status(&format!("connector {name} to run"), name, DEADLINE, |status| {
            let all = list(&status["tasks"]);
            let running = |part: &Value| part["state"] == "RUNNING";
            ensure!(running(&status["connector"]) && all.len() == tasks && all.iter().all(running), "not yet");
            Ok(())
        })
        .await
    }

    /// Waits until a connector is FAILED with all of `words` in its trace; gives the trace.
    pub(crate) async fn wait_failed(&self, name: &str, deadline: Duration, words: &[&str]) -> Result<String> {
        let what = format!("connector {name} to be FAILED");
        let status = self.wait_status(&what, name, deadline, |status| failed_with(&status["connector"], words)).await?;
        Ok(status["connector"]["trace"].as_str().unwrap_or_default().to_owned())
    }

    /// Waits until task `task` is FAILED with all of `words` in its trace; gives the trace.
    pub(crate) async fn wait_task_failed(&self, name: &str, task: usize, words: &[&str]) -> Result<String> {
        let what = format!("task {name}-{task} to be FAILED");
        let failed = |status: &Value| failed_with(&status["tasks"][task], words);
        let status = self.wait_status(&what, name, DEADLINE, failed).await?;
        Ok(status["tasks"][task]["trace"].as_str().unwrap_or_default().to_owned())
    }

    /// Waits until `/health` answers 200.
    pub(crate) async fn wait_healthy(&self) -> Result<()> {
        self.wait_health(200, &["healthy"]).await
    }

    /// Waits until `/health` answers with this status code and a body that contains all of `words`.
    pub(crate) async fn wait_health(&self, code: u16, words: &[&str]) -> Result<()> {
        self.until(&format!("/health to answer {code}"), DEADLINE, async || {
            let health = self.get("/health").await?;
            ensure!(health.status == code && words.iter().all(|word| health.body.contains(word)), "{health:?}");
            Ok(())
        })
        .await
    }

    /// The partitions of each of a connector's tasks, as its task configurations name them.
    pub(crate) async fn assigned(&self, name: &str) -> Result<Vec<Vec<String>>> {
        let tasks = self.get(&format!("/connectors/{name}/tasks")).await?.ok()?;
        let partitions = |task: &Value| {
            let assigned = task["config"]["task.assigned.partitions"].as_str().unwrap_or_default();
            assigned.split(',').map(str::to_owned).collect()
        };
        Ok(list(&tasks).iter().map(partitions).collect())
    }

    /// As [`wait_until`], over as soon as the program has ended; errors show the end of its log.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        deadline: Duration,
        mut probe: impl AsyncFnMut() -> Result<T>,
    ) -> Result<T> {
        let process = self.process()?;
        let start = std::time::Instant::now();
        let mut last_seen = String::from("no answer");
        loop {
            let left = deadline.saturating_sub(start.elapsed());
            let pause = Duration::from_millis(50).min(left);
            let seen = tokio::time::timeout(left.max(pause), probe()).await;
            match seen {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => last_seen = format!("{error:#}"),
                // The time is up.
                Err(_) => {}
            }
            if let Some(status) = process.exited()? {
                bail!("kmirror ended with {status} while waiting for {what}; {}", self.log_tail());
            }
            if start.elapsed() >= deadline {
                bail!("waited {deadline:?} for {what}; last seen: {last_seen}; {}", self.log_tail());
            }
            tokio::time::sleep(pause).await;
        }
    }
}

impl Drop for Kmirror {
    fn drop(&mut self) {
        // Test runners show it only where the test failed.
        eprintln!("--- kmirror {}, {}", self.address(), self.log_tail());
    }
}

/// An array's members; none if it is something else.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn failed_with(part: &Value, words: &[&str]) -> Result<()> {
    let trace = part["trace"].as_str().unwrap_or_default();
    ensure!(part["state"] == "FAILED", "not FAILED");
    for word in words {
        ensure!(trace.contains(word), "{word:?} is not in its trace");
    }
    Ok(())
}

/// A run of the program to its end.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the program with these arguments to its end.
pub(crate) async fn run(arguments: &[&str], env: &[(&str, &str)]) -> Result<Run> {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_kmirror"));
    command.args(arguments).env_remove("RUST_LOG").env_remove("KMIRROR_LOG_FORMAT").envs(env.iter().copied());
    command.stdin(std::process::Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(DEADLINE, command.output()).await.context("it does not end")??;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) })
}

/// Sends a request by the real `curl`, with `arguments` before the address; gives status code and body.
pub(crate) async fn curl(worker: &Kmirror, path: &str, arguments: &[&str]) -> Result<(u16, String)> {
    let mut command = tokio::process::Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "90", "--write-out", "\n%{http_code}"]).args(arguments);
    command.arg(format!("http://{}{path}", worker.address())).stdin(std::process::Stdio::null()).kill_on_drop(true);
    let output = command.output().await.context("running curl")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "curl: {}{text}", String::from_utf8_lossy(&output.stderr));
    let (body, status) = text.rsplit_once('\n').context("no status")?;
    Ok((status.parse()?, body.to_owned()))
}

/// A file in a scratch directory.
pub(crate) fn write(dir: &Path, name: &str, text: &str) -> Result<String> {
    let path = dir.join(name);
    fs::write(&path, text)?;
    Ok(path.display().to_string())
}
