//! Running Java main classes of Kafka's jars: as tools that end, or in the background.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::classes;
use crate::environment::unique;
use crate::jars;
use crate::process::{Process, Program, guarded, spawn_from_lasting_thread};

/// Quick starts matter more than peak speed: brokers of tests live for seconds.
pub(crate) const QUICK_START: [&str; 4] =
    ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-XX:-UsePerfData"];

const LOG4J_2: &str = "\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.target = SYSTEM_ERR
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1} %m%n
rootLogger.level = ${sys:testkit.log.level}
rootLogger.appenderRef.out.ref = out
";
const RELOAD4J: &str = "\
log4j.rootLogger=${testkit.log.level}, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.target=System.err
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %p %c{1} %m%n
";

/// How a Java virtual machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jvm {
    /// Most heap, in megabytes.
    pub heap_mb: u32,
    /// Whether to use the quick compiler and the serial collector (starts sooner, uses less), or Java's defaults (runs
    /// faster after minutes: for measurements).
    pub quick_start: bool,
}

impl Jvm {
    /// A quickly starting machine.
    pub fn quick(heap_mb: u32) -> Self {
        Self { heap_mb, quick_start: true }
    }

    /// A machine with Java's defaults.
    pub fn full(heap_mb: u32) -> Self {
        Self { heap_mb, quick_start: false }
    }
}

/// Kafka's jars of one version and the Java that runs them.
#[derive(Debug, Clone)]
pub struct Java {
    version: String,
    jars: PathBuf,
    log_config: PathBuf,
}

/// What a tool wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolOutput {
    /// Standard output.
    pub stdout: String,
    /// Standard error, where Kafka's tools log to.
    pub stderr: String,
}

impl Java {
    /// Fetches the jars of a version if they are not in the cache.
    pub async fn new(version: &str) -> Result<Self> {
        let wanted = version.to_owned();
        let jars = tokio::task::spawn_blocking(move || jars::fetch(&wanted)).await??;
        let (file, text) = match jars::logs_by_log4j_1(version) {
            true => ("log4j.properties", RELOAD4J),
            false => ("log4j2.properties", LOG4J_2),
        };
        let log_config = keep(&jars, file, text)?;
        Ok(Self { version: version.to_owned(), jars, log_config })
    }

    /// The Kafka version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether this is Kafka 2, whose brokers need ZooKeeper and whose tools have class names of their own.
    pub fn is_kafka_2(&self) -> bool {
        jars::is_kafka_2(&self.version)
    }

    /// Whether this is Kafka 3, some of whose tools have other class names than Kafka 4's.
    pub fn is_kafka_3(&self) -> bool {
        jars::is_kafka_3(&self.version)
    }

    /// Starts a main class in the background, logging at INFO to `log`.
    pub fn spawn(&self, name: &str, log: &Path, jvm: Jvm, main: &str, args: &[&str]) -> Result<Process> {
        java_exists()?;
        let mut command = self.command(jvm, "INFO", main, args);
        if let Some(dir) = log.parent() {
            // Native libraries are unpacked there, and only who is not killed removes them.
            command.insert(1, format!("-Djava.io.tmpdir={}", dir.display()));
        }
        Process::spawn(&Program::new(name, log, command))
    }

    /// Runs a main class to its end with `input` as standard input. An exit code other than 0 is an error that holds
    /// all output.
    pub async fn tool(&self, main: &str, args: &[&str], input: &str) -> Result<ToolOutput> {
        self.run(Jvm::quick(256), main, args, input).await
    }

    /// As [`Java::tool`] for a program in a single source file of this name, compiled as it starts.
    pub(crate) async fn source(
        &self,
        file: &str,
        text: &str,
        heap_mb: u32,
        args: &[&str],
        input: &str,
    ) -> Result<ToolOutput> {
        let file = keep(&self.jars, file, text)?.display().to_string();
        self.run(Jvm::quick(heap_mb), &file, args, input).await
    }

    async fn run(&self, jvm: Jvm, main: &str, args: &[&str], input: &str) -> Result<ToolOutput> {
        let command = self.command(jvm, "WARN", main, args);
        let (shown, input) = (format!("{main} {}", args.join(" ")), input.to_owned());
        let output = tokio::task::spawn_blocking(move || run(&command, &input)).await?.context(shown.clone())?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{shown}: {}\n{stdout}{stderr}", output.status);
        Ok(ToolOutput { stdout, stderr })
    }

    fn command(&self, jvm: Jvm, level: &str, main: &str, args: &[&str]) -> Vec<String> {
        let log_option = match jars::logs_by_log4j_1(&self.version) {
            true => "log4j.configuration",
            false => "log4j2.configurationFile",
        };
        let mut command = vec!["java".to_owned(), format!("-Xmx{}m", jvm.heap_mb)];
        if jvm.quick_start {
            command.extend(QUICK_START.map(str::to_owned));
            command.extend(classes::options(&self.jars));
        }
        command.push(format!("-D{log_option}=file:{}", self.log_config.display()));
        command.push(format!("-Dtestkit.log.level={level}"));
        command.extend(["-cp".to_owned(), jars::class_path(&self.jars), main.to_owned()]);
        command.extend(args.iter().map(|&arg| arg.to_owned()));
        command
    }
}

/// Puts a file with this text into a directory unless it is there; gives its path.
fn keep(dir: &Path, file: &str, text: &str) -> Result<PathBuf> {
    let path = dir.join(file);
    if fs::read_to_string(&path).ok().as_deref() != Some(text) {
        // Renamed into place: another process may be about to read it.
        let written = dir.join(unique(file));
        fs::write(&written, text)?;
        fs::rename(&written, &path)?;
    }
    Ok(path)
}

fn run(command: &[String], input: &str) -> Result<Output> {
    java_exists()?;
    let mut guarded = guarded(command);
    guarded.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn_from_lasting_thread(guarded)?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    std::thread::scope(|scope| {
        // From a thread of its own: the tool may write more than a pipe holds before it reads. A tool that ends
        // without reading all is judged by its exit code.
        scope.spawn(move || stdin.write_all(input.as_bytes()));
        Ok(child.wait_with_output()?)
    })
}

/// One clear message, where `setpriv` would only report that something is missing.
fn java_exists() -> Result<()> {
    static FOUND: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let tried =
            std::process::Command::new("java").arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        !tried.is_err_and(|error| error.kind() == ErrorKind::NotFound)
    });
    match found {
        true => Ok(()),
        false => bail!("no `java` on the path: the tests need Java 17 or later (Debian: openjdk-17-jdk-headless)"),
    }
}
