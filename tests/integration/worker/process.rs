//! The program itself: its arguments, its exit codes, what it writes where.

use ::testkit::{
    Codec, Scratch,
    anyhow::{Context, Result, ensure},
    create_topic,
    ports::Port,
    produce, unique,
};
use serde_json::Value;

use super::{Copy, connector, records, remote};
use crate::{
    kmirror::{self, Kmirror, run},
    shared::pair,
};

#[tokio::test]
async fn bad_configurations_end_with_64_and_all_errors_before_any_port_is_bound() -> Result<()> {
    // Whoever tried to bind this one would complain of that instead.
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let dir = Scratch::new("bad")?;
    let text = format!(
        "listeners=http://{}\nbootstrap.servers=nohost\nconfig.storage.topic=c\noffset.storage.topic=o\n\
         offset.storage.partitions=none\nkey.converter=c\noffset.flush.interval.ms=-1\n",
        taken.local_addr()?
    );
    let file = kmirror::write(dir.path(), "bad.properties", &text)?;
    let ended = run(&["worker", &file], &[]).await?;
    ensure!(ended.code == Some(64) && ended.stdout.is_empty(), "{:?} {}", ended.code, ended.stderr);
    let lines: Vec<_> = ended.stderr.lines().collect();
    ensure!(lines.iter().all(|line| line.starts_with("kmirror: ") && line.contains(&file)), "{}", ended.stderr);
    let keys = [
        "bootstrap.servers",
        "offset.storage.partitions",
        "offset.flush.interval.ms",
        "group.id",
        "status.storage.topic",
        "value.converter",
    ];
    for key in keys {
        ensure!(lines.iter().any(|line| line.contains(key)), "{key}: {}", ended.stderr);
    }
    ensure!(lines.len() == keys.len(), "{}", ended.stderr);

    let absent = format!("{file}.absent");
    let ended = run(&["worker", &absent], &[]).await?;
    ensure!(ended.code == Some(64) && ended.stderr.contains(&absent), "{:?} {}", ended.code, ended.stderr);
    for (arguments, named) in
        [(&["worker"][..], "FILE"), (&["work", &file], "work"), (&["worker", &file, "--log-format", "xml"], "xml")]
    {
        let ended = run(arguments, &[]).await?;
        ensure!(ended.code == Some(64) && ended.stderr.contains(named), "{arguments:?}: {}", ended.stderr);
    }
    let ended = run(&["worker", &file], &[("KMIRROR_LOG_FORMAT", "xml")]).await?;
    ensure!(ended.code == Some(64) && ended.stderr.contains("KMIRROR_LOG_FORMAT"), "{}", ended.stderr);
    Ok(())
}

#[tokio::test]
async fn help_and_version_are_no_failures() -> Result<()> {
    for arguments in [&["--help"][..], &["worker", "--help"], &["help", "worker"]] {
        let ended = run(arguments, &[]).await?;
        ensure!(ended.code == Some(0) && ended.stderr.is_empty(), "{arguments:?}: {}", ended.stderr);
        ensure!(ended.stdout.contains("Usage: kmirror"), "{}", ended.stdout);
    }
    let help = run(&["--help"], &[]).await?.stdout;
    for said in ["worker", "--log-format", "KMIRROR_LOG_FORMAT", "SIGTERM", "64"] {
        ensure!(help.contains(said), "{said}: {help}");
    }
    let version = run(&["--version"], &[]).await?;
    ensure!(version.code == Some(0) && version.stdout == format!("kmirror {}\n", env!("CARGO_PKG_VERSION")));
    Ok(())
}

#[tokio::test]
async fn a_port_that_is_taken_ends_the_worker_with_its_name() -> Result<()> {
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let nobody = Port::reserve()?;
    let worker = Kmirror::on(&nobody.address()).property("listeners", &format!("http://{address}")).launch()?;
    let status = worker.process()?.wait_exited(kmirror::DEADLINE).await?;
    let log = worker.log_text();
    ensure!(status.code() == Some(1) && log.contains(&address) && log.contains("listeners"), "{status} {log}");
    Ok(())
}

#[tokio::test]
async fn every_line_of_a_json_log_is_an_object() -> Result<()> {
    let pair = pair().await?;
    let topic = unique("logged");
    create_topic(&pair.source, &topic, 1, 1, &[]).await?;
    let arguments = ["--log-format", "json", "--log-filter", "info,kmirror=debug"];
    let mut worker = Kmirror::on(&pair.target).arguments(&arguments).start().await?;
    let nobody = Port::reserve()?;
    worker.put_connector("absent", &connector(&nobody.address(), &pair.target, &topic, &[])).await?;
    worker.put_connector("mirror", &connector(&pair.source, &pair.target, &topic, &[])).await?;
    worker.wait_running("mirror", 1).await?;
    worker.wait_failed("absent", kmirror::DEADLINE, &[&nobody.address()]).await?;
    produce(&pair.source, &topic, 0, &records(0, 10), Codec::None).await?;
    let remote = remote(&topic);
    Copy { source: &pair.source, topic: &topic, target: &pair.target, remote: &remote }.wait_equal(&worker).await?;
    worker.stop().await?;

    let log = worker.log_text();
    let mut levels = std::collections::BTreeSet::new();
    for line in log.lines() {
        let parsed: Value = serde_json::from_str(line).with_context(|| format!("{line:?} of {log}"))?;
        let level = parsed["level"].as_str().with_context(|| line.to_owned())?;
        ensure!(parsed["timestamp"].is_string() && parsed["target"].is_string(), "{line}");
        levels.insert(level.to_owned());
    }
    // A trace of several lines is among them, still on one.
    ensure!(["ERROR", "INFO"].iter().all(|level| levels.contains(*level)), "{levels:?}");
    Ok(())
}
