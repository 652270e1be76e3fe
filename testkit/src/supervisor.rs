//! Runs a command with a pair of clusters.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

use crate::pair::Pair;
use crate::process::{guarded, signal_pid, spawn_from_lasting_thread};

/// How long a command may take to end after a signal, before it is killed.
const GRACE: Duration = Duration::from_secs(30);

/// What the supervisor is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Brokers of each cluster.
    pub brokers: u32,
    /// The command and its arguments.
    pub command: Vec<String>,
}

impl Order {
    /// How the command line is written.
    pub const USAGE: &str = "usage: testkit-supervisor [--brokers N] -- COMMAND [ARGUMENT…]\n\
        Starts a source and a target cluster, runs COMMAND with KMIRROR_TEST_SOURCE and KMIRROR_TEST_TARGET set,\n\
        stops the clusters and ends with COMMAND's exit code. N is 1 (unless given) to 3.";

    /// Reads the arguments behind the program's name.
    pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let mut brokers = 1;
        loop {
            match args.next().as_deref() {
                Some("--brokers") => {
                    let value = args.next().unwrap_or_default();
                    brokers = value
                        .parse()
                        .ok()
                        .filter(|n| (1..=3).contains(n))
                        .with_context(|| format!("--brokers {value:?}: want 1, 2 or 3"))?;
                }
                Some("--") => break,
                Some(other) => bail!("unknown argument {other:?}"),
                None => bail!("no -- and COMMAND"),
            }
        }
        let command: Vec<_> = args.collect();
        if command.is_empty() {
            bail!("no COMMAND behind --");
        }
        Ok(Self { brokers, command })
    }
}

/// Starts a pair, runs the command with its addresses in the environment, and stops everything. Gives the exit code:
/// the command's, or 128 and the number of the signal that ended it or this process.
pub async fn supervise(order: &Order) -> Result<u8> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminates = signal(SignalKind::terminate())?;
    let pair = tokio::select! {
        pair = Pair::start(order.brokers) => pair?,
        _ = interrupts.recv() => return Ok(128 + 2),
        _ = terminates.recv() => return Ok(128 + 15),
    };

    let mut command = guarded(&order.command);
    command.envs(pair.env());
    let mut child = spawn_from_lasting_thread(command).with_context(|| format!("running {:?}", order.command))?;
    let (name, code) = tokio::select! {
        status = ended(&mut child) => return Ok(exit_code(status?)),
        _ = interrupts.recv() => ("INT", 128 + 2),
        _ = terminates.recv() => ("TERM", 128 + 15),
    };
    // On Ctrl-C the command has got the signal from the terminal already, and a second one does no harm.
    let _ = signal_pid(child.id(), name);
    if tokio::time::timeout(GRACE, ended(&mut child)).await.is_err() {
        child.kill()?;
        child.wait()?;
    }
    Ok(code)
}

async fn ended(child: &mut Child) -> Result<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        // Short commands are answered quickly, long ones watched cheaply.
        tokio::time::sleep((start.elapsed() / 20).clamp(Duration::from_millis(5), Duration::from_millis(200))).await;
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Order> {
        Order::parse(args.iter().map(|&a| a.to_owned()))
    }

    #[test]
    fn command_lines() {
        let order = parse(&["--brokers", "3", "--", "cargo", "test", "--", "x"]).unwrap();
        assert_eq!(order, Order { brokers: 3, command: ["cargo", "test", "--", "x"].map(str::to_owned).into() });
        assert_eq!(parse(&["--", "true"]).unwrap().brokers, 1);
        for (args, message) in [
            (&["--brokers", "4", "--", "true"][..], "want 1, 2 or 3"),
            (&["true"], "unknown argument"),
            (&["--"], "no COMMAND"),
            (&[], "no --"),
        ] {
            assert!(parse(args).unwrap_err().to_string().contains(message), "{args:?}");
        }
    }
}
