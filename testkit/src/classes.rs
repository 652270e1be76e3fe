//! An archive of Kafka's classes (Java's class data sharing): a run of tests starts Kafka's programs hundreds of times, and most of what
//! that costs is reading and checking the same classes.

use std::collections::HashSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::clients::{Codec, Isolation, Record, create_topic, produce};
use crate::cluster::Cluster;
use crate::connect::Connect;
use crate::environment::{cache_dir, random};
use crate::jars;
use crate::java::{Jvm, QUICK_START};
use crate::scratch::Scratch;

const ARCHIVE: &str = "classes.jsa";

/// What makes a Java machine use the archive beside these jars; nothing where there is none. Another Java than the one that made it does
/// without, and says nothing.
pub(crate) fn options(jars: &Path) -> Vec<String> {
    let archive = jars.join(ARCHIVE);
    match archive.exists() {
        true => vec![use_of(&archive), "-Xlog:disable".to_owned(), "-Xlog:all=error:stderr".to_owned()],
        false => Vec::new(),
    }
}

/// Makes the archive of a Kafka version unless there is one that this Java can use; gives its path.
///
/// `exercise` are the arguments with which this program does [`exercise`]. Blocks.
pub fn archive(version: &str, exercise: &[&str]) -> Result<PathBuf> {
    let jars = jars::fetch(version)?;
    let _lock = jars::lock(&cache_dir()?, version)?;
    let archive = jars.join(ARCHIVE);
    let is_usable = |archive: &Path| java(&jars, &["-Xshare:on", &use_of(archive), "-version"]);
    if archive.exists() && is_usable(&archive).is_ok() {
        return Ok(archive);
    }
    // Nobody is to start with a bad one meanwhile.
    let _ = fs::remove_file(&archive);
    let scratch = Scratch::new("classes")?;
    let lists = scratch.path().join("lists");
    fs::create_dir(&lists)?;
    // Each machine that starts below writes down what it loads.
    let option = format!("-XX:DumpLoadedClassList={}/%p.lst", lists.display());
    run(Command::new(env::current_exe()?).args(exercise).env("JDK_JAVA_OPTIONS", option))?;
    let mut texts = Vec::new();
    for list in fs::read_dir(&lists)? {
        texts.push(fs::read_to_string(list?.path())?);
    }
    let classes = scratch.path().join("classes.lst");
    fs::write(&classes, merged(&texts))?;
    let made = jars.join(format!("{ARCHIVE}-{:016x}", random()));
    let list = format!("-XX:SharedClassListFile={}", classes.display());
    java(&jars, &["-Xshare:dump", &list, &use_of(&made), "-Xlog:disable", "-Xlog:all=error:stderr"])?;
    is_usable(&made)?;
    fs::rename(&made, &archive)?;
    Ok(archive)
}

/// Starts once what tests start again and again: brokers, tools, clients, Connect.
pub async fn exercise(version: &str) -> Result<()> {
    let cluster = Cluster::builder().version(version).start().await?;
    let bootstrap = cluster.bootstrap();
    create_topic(&bootstrap, "topic", 1, 1, &[]).await?;
    produce(&bootstrap, "topic", 0, &[Record::value("v")], Codec::Lz4).await?;
    cluster.tools().java_read_all(&["topic"], Isolation::ReadCommitted).await?;
    let mut connect = Connect::start(cluster.java(), &bootstrap, Jvm::quick(256), &[]).await?;
    connect.stop().await?;
    for broker in cluster.broker_ids() {
        cluster.stop(broker).await?;
    }
    Ok(())
}

/// The classes of several lists. They number their classes, each for itself; those that a class loader of a program's own has read can't
/// be archived.
fn merged(lists: &[String]) -> String {
    let mut seen = HashSet::new();
    let lines = lists.iter().flat_map(|list| list.lines());
    let classes = lines.filter(|line| !line.starts_with('#') && !line.contains(" source: "));
    let named = classes.map(|line| line.split(" id: ").next().unwrap_or(line));
    named.filter(|class| seen.insert(*class)).flat_map(|class| [class, "\n"]).collect()
}

fn use_of(archive: &Path) -> String {
    format!("-XX:SharedArchiveFile={}", archive.display())
}

fn java(jars: &Path, args: &[&str]) -> Result<()> {
    run(Command::new("java").args(QUICK_START).args(["-cp", &jars::class_path(jars)]).args(args))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_merged_without_their_numbers_and_what_cannot_be_archived() {
        let lists = [
            "# text\na/B id: 0\na/C id: 1 super: 0 source: /x.jar\n@lambda-proxy a/B run ()V\n",
            "a/D id: 0\na/B id: 1\n",
        ];
        assert_eq!(merged(&lists.map(str::to_owned)), "a/B\n@lambda-proxy a/B run ()V\na/D\n");
    }
}
