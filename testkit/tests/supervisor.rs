//! The supervisor runs commands with a pair of clusters, and leaves nothing behind.

use std::future::ready;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::process::{is_alive, live_children, signal_pid};
use testkit::{Scratch, wait_until};

const DEADLINE: Duration = Duration::from_secs(60);

fn supervisor(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_testkit-supervisor"));
    command.args(args);
    command
}

async fn run(args: &[&str]) -> Result<Output> {
    let mut command = supervisor(args);
    Ok(tokio::task::spawn_blocking(move || command.output()).await??)
}

#[tokio::test]
async fn the_command_gets_both_clusters_and_its_exit_code_is_forwarded() -> Result<()> {
    let script =
        r#"echo "$KMIRROR_TEST_SOURCE $KMIRROR_TEST_TARGET"; test -d "$KMIRROR_TEST_SOURCE_DIR"; exit $((7 + $?))"#;
    let output = run(&["--", "sh", "-c", script]).await?;
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    let stdout = String::from_utf8(output.stdout)?;
    let ports: Vec<_> =
        stdout.split_whitespace().map(|a| a.strip_prefix("127.0.0.1:").unwrap().parse::<u16>()).collect();
    assert_eq!(ports.len(), 2);
    for port in ports {
        assert!(testkit::ports::is_free(port?), "a broker still listens: {stdout}");
    }
    Ok(())
}

#[tokio::test]
async fn wrong_usage_is_64() -> Result<()> {
    let output = run(&["cargo"]).await?;
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8(output.stderr)?.contains("usage:"));
    Ok(())
}

/// Starts the supervisor with a command that waits, ends it by `signal`, and gives its exit code once all of its
/// children, and theirs, are gone.
async fn end_by(signal: &str) -> Result<Option<i32>> {
    let scratch = Scratch::new("supervisor")?;
    let started = scratch.path().join("started");
    let script = format!("echo > {}; exec sleep 1000", started.display());
    let mut child = supervisor(&["--", "sh", "-c", &script]).stdin(Stdio::null()).spawn()?;
    wait_until("the command to run", DEADLINE, async || {
        ensure!(started.exists(), "it does not");
        Ok(())
    })
    .await?;
    let children = live_children(child.id())?;
    ensure!(children.len() == 3, "want two brokers and the command: {children:?}");
    signal_pid(child.id(), signal)?;
    let status = wait_until("the supervisor to end", DEADLINE, || {
        ready(child.try_wait().map_err(Into::into).and_then(|status| status.context("it runs")))
    })
    .await?;
    wait_until("its children to be gone", Duration::from_secs(20), async || {
        let alive: Vec<_> = children.iter().filter(|&&pid| is_alive(pid)).collect();
        ensure!(alive.is_empty(), "{alive:?} live on");
        Ok(())
    })
    .await?;
    Ok(status.code())
}

#[tokio::test]
async fn brokers_and_command_die_with_a_killed_supervisor() -> Result<()> {
    assert_eq!(end_by("KILL").await?, None);
    Ok(())
}

#[tokio::test]
async fn a_terminated_supervisor_stops_all_and_says_so() -> Result<()> {
    assert_eq!(end_by("TERM").await?, Some(128 + 15));
    Ok(())
}
