//! The `kmirror` program: arguments → configuration → run → drain → exit code.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{Parser, Subcommand, ValueEnum};
use kmirror::{
    config::{ConfigErrors, Hint, WorkerConfig, load_properties},
    rest,
    worker::Worker,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{oneshot, watch},
};
use tracing_subscriber::EnvFilter;

/// Bad usage or configuration (`EX_USAGE` of sysexits.h).
const EXIT_USAGE: u8 = 64;
/// A failure while running.
const EXIT_FAILURE: u8 = 1;
/// Threads that run tasks: more do not help a program that mostly waits for the network.
const MOST_THREADS: usize = 4;
/// How long REST clients may keep a worker that has drained from ending.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Copies Kafka topics from one cluster to another, in MirrorMaker 2's place.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP, arg_required_else_help = true)]
struct Arguments {
    /// How log lines look on standard error [default: text] [environment: KMIRROR_LOG_FORMAT]
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// What is logged: a level, or levels by module, such as info,kmirror::flow=debug [default: info] [environment: RUST_LOG]
    #[arg(long, global = true, value_name = "FILTER")]
    log_filter: Option<String>,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Standard output stays empty; the log goes to standard error.

Signals:
  SIGTERM, SIGINT  drain: stop fetching, wait for the target's acknowledgements
                   (task.shutdown.graceful.timeout.ms), store positions, exit
  a second one     exit at once; what was not stored is copied again later

Exit codes:
  0   clean
  1   failure while running
  64  bad usage or configuration, found before any port was bound or broker contacted";

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a Kafka Connect worker with MirrorMaker's connectors, as connect-distributed does.
    ///
    /// Connectors are created, watched and deleted through the Kafka Connect REST API on the worker's listeners
    /// (http://:8083 by default), and kept in the worker's config, offset and status topics.
    Worker {
        /// Worker properties, as for connect-distributed: bootstrap.servers, group.id, config.storage.topic,
        /// offset.storage.topic, status.storage.topic and so on
        file: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no failures; they go to standard output.
            let code = if error.use_stderr() { EXIT_USAGE } else { 0 };
            return error.print().map_or(ExitCode::from(EXIT_FAILURE), |()| ExitCode::from(code));
        }
    };
    let logging = logging(&arguments, |key| std::env::var(key).ok()).and_then(|(format, filter)| {
        start_logging(format, &filter)?;
        Ok(())
    });
    if let Err(message) = logging {
        return usage(&[message]);
    }
    let Command::Worker { file } = arguments.command;
    match worker_config(&file) {
        Ok(config) => run(config),
        Err(errors) => usage(&messages(&file, &errors)),
    }
}

fn usage(messages: &[String]) -> ExitCode {
    for message in messages {
        eprintln!("kmirror: {message}");
    }
    ExitCode::from(EXIT_USAGE)
}

fn worker_config(file: &Path) -> Result<WorkerConfig, ConfigErrors> {
    WorkerConfig::parse(&load_properties(file, "the worker's properties file")?)
}

/// One line per error, each naming the file.
fn messages(file: &Path, errors: &ConfigErrors) -> Vec<String> {
    let name = file.display().to_string();
    let line = |message: &String| match message.contains(&name) {
        true => message.clone(),
        false => format!("{name}: {message}"),
    };
    errors.0.iter().map(|error| line(&error.message)).collect()
}

/// Format and filter of the log: argument, else environment, else default.
fn logging(arguments: &Arguments, env: impl Fn(&str) -> Option<String>) -> Result<(LogFormat, String), String> {
    let env = |key| env(key).filter(|value: &String| !value.is_empty());
    let format = match (arguments.log_format, env("KMIRROR_LOG_FORMAT")) {
        (Some(format), _) => format,
        (None, None) => LogFormat::Text,
        (None, Some(text)) => LogFormat::from_str(&text, true)
            .map_err(|_| format!("environment variable KMIRROR_LOG_FORMAT is {text:?}; allowed are text, json"))?,
    };
    let filter = arguments.log_filter.clone().or_else(|| env("RUST_LOG"));
    Ok((format, filter.unwrap_or_else(|| "info".to_owned())))
}

fn start_logging(format: LogFormat, filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("log filter {filter:?}: {error}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

fn run(config: WorkerConfig) -> ExitCode {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("can't start threads: {error}");
            return ExitCode::from(EXIT_FAILURE);
        }
    };
    let outcome = runtime.block_on(work(config));
    // Whatever still runs has had its time.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            tracing::error!("{message}");
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

async fn work(config: WorkerConfig) -> Result<(), String> {
    for hint in &config.hints {
        match hint {
            Hint::Info(text) => tracing::info!("{text}"),
            Hint::Warn(text) => tracing::warn!("{text}"),
        }
    }
    let (stop, mut stopped) = watch::channel(false);
    let stop = Arc::new(stop);
    let signals = signal(SignalKind::terminate()).and_then(|term| Ok((term, signal(SignalKind::interrupt())?)));
    let signals = signals.map_err(|error| format!("can't listen for signals: {error}"))?;
    tokio::spawn(heed(signals, Arc::clone(&stop)));

    let listeners = rest::bind(&config.listeners).await.map_err(|error| error.to_string())?;
    if rest::is_reachable_from_outside(&listeners) {
        tracing::warn!("REST is open to everybody who reaches its port, configurations and their secrets included");
    }
    let bound = listeners.first().and_then(|listener| listener.local_addr().ok());
    let worker_id = rest::worker_id(&config, bound, &machine_name());
    let worker = Arc::new(Worker::new(config, worker_id));
    let (end_rest, rest_ended) = oneshot::channel::<()>();
    let serving = rest::serve(listeners, Arc::clone(&worker), async move { drop(rest_ended.await) });
    let serving = tokio::spawn(async move {
        let served = serving.await;
        // Without REST nobody can tell how the worker is: it drains and ends.
        stop.send_replace(true);
        served
    });

    let outcome = worker.run(async move { drop(stopped.wait_for(|stopped| *stopped).await) }).await;
    drop(end_rest);
    let served = tokio::time::timeout(LAST_ANSWERS, serving).await;
    outcome.map_err(|error| error.to_string())?;
    match served {
        Ok(Ok(Err(error))) => Err(error.to_string()),
        Ok(Err(error)) => Err(format!("REST broke: {error}")),
        Ok(Ok(Ok(()))) | Err(_) => Ok(()),
    }
}

/// The first signal drains, the second ends: positions that are not stored yet are those of records that are merely
/// copied again.
async fn heed((mut term, mut int): (Signal, Signal), stop: Arc<watch::Sender<bool>>) {
    let received = next(&mut term, &mut int).await;
    tracing::info!("received {received}");
    stop.send_replace(true);
    let received = next(&mut term, &mut int).await;
    tracing::warn!("received {received} while draining, ending at once");
    #[expect(clippy::disallowed_methods, reason = "the second signal asks for no draining")]
    std::process::exit(i32::from(EXIT_FAILURE));
}

async fn next(term: &mut Signal, int: &mut Signal) -> &'static str {
    tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = int.recv() => "SIGINT",
    }
}

/// This machine's name in its network.
fn machine_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
    name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use kmirror::config::ConfigError;

    use super::*;

    #[test]
    fn arguments_hold_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn logging_is_taken_from_argument_then_environment() {
        let arguments = |words: &[&str]| {
            let words = ["kmirror", "worker", "f.properties"].iter().chain(words);
            Arguments::try_parse_from(words).unwrap()
        };
        let none = |_: &str| None;
        let env = |key: &str| Some(if key == "RUST_LOG" { "debug".to_owned() } else { "JSON".to_owned() });
        assert_eq!(logging(&arguments(&[]), none), Ok((LogFormat::Text, "info".to_owned())));
        assert_eq!(logging(&arguments(&[]), env), Ok((LogFormat::Json, "debug".to_owned())));
        let both = arguments(&["--log-format", "text", "--log-filter", "warn"]);
        assert_eq!(logging(&both, env), Ok((LogFormat::Text, "warn".to_owned())));
        let bad = logging(&arguments(&[]), |_| Some("xml".to_owned())).unwrap_err();
        assert_eq!(bad, "environment variable KMIRROR_LOG_FORMAT is \"xml\"; allowed are text, json");
    }

    #[test]
    fn every_configuration_error_names_its_file() {
        let error = |message: &str| ConfigError { key: "k".into(), message: message.into() };
        let errors = ConfigErrors(vec![error("Invalid value 1"), error("w.properties: no such file")]);
        assert_eq!(
            messages(Path::new("w.properties"), &errors),
            ["w.properties: Invalid value 1", "w.properties: no such file"]
        );
    }
}
