//! The jars of Apache Kafka, fetched once per version by Maven and kept in the cache.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::environment::{cache_dir, random};

const POM: &str = include_str!("../kafka/pom.xml");
const POM_COPY: &str = "pom.xml";

/// The directory with the jars of a Kafka version, fetched first if it is not in the cache.
///
/// The directory appears whole or not at all, and parallel processes fetch once. Blocks.
pub fn fetch(version: &str) -> Result<PathBuf> {
    fetch_into(&cache_dir()?, version, maven)
}

fn fetch_into(cache: &Path, version: &str, get: impl FnOnce(&str, &Path) -> Result<()>) -> Result<PathBuf> {
    let valid = !version.is_empty() && version.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c));
    ensure!(valid, "Kafka version {version:?}: want something like 4.1.1");
    fs::create_dir_all(cache).with_context(|| format!("making {}", cache.display()))?;
    let jars = cache.join(format!("kafka-{version}"));
    // The copy of the pom tells whether the jars are those that this build asks for.
    let complete = || fs::read_to_string(jars.join(POM_COPY)).is_ok_and(|pom| pom == POM);
    if complete() {
        return Ok(jars);
    }
    let _lock = lock(cache, version)?;
    if complete() {
        return Ok(jars);
    }
    let partial = cache.join(format!("kafka-{version}.partial-{:016x}", random()));
    fs::create_dir(&partial)?;
    let fetched = fs::write(partial.join(POM_COPY), POM).map_err(Into::into).and_then(|()| get(version, &partial));
    if let Err(error) = fetched {
        let _ = fs::remove_dir_all(&partial);
        return Err(error);
    }
    if jars.exists() {
        fs::remove_dir_all(&jars)?;
    }
    fs::rename(&partial, &jars)?;
    Ok(jars)
}

/// Held by whoever changes what the cache has of a version, until drop.
pub(crate) fn lock(cache: &Path, version: &str) -> Result<File> {
    let lock = File::create(cache.join(format!("kafka-{version}.lock")))?;
    lock.lock()?;
    Ok(lock)
}

/// What Java is told to take classes from.
pub(crate) fn class_path(jars: &Path) -> String {
    format!("{}/*", jars.display())
}

fn maven(version: &str, into: &Path) -> Result<()> {
    let profile = if logs_by_log4j_1(version) { "kafka3" } else { "kafka4" };
    let output = Command::new("mvn")
        .args(["--batch-mode", "--quiet", "--activate-profiles", profile, "--file"])
        .arg(into.join(POM_COPY))
        .arg("dependency:copy-dependencies")
        .arg(format!("-Dkafka.version={version}"))
        // Kafka 2 brings Log4j 1 along, whose place reload4j takes.
        .arg("-DexcludeArtifactIds=log4j,slf4j-log4j12")
        .arg(format!("-DoutputDirectory={}", into.display()))
        .output();
    let output = match output {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!(
                "no `mvn` on the path: the tests need Maven and Java 17 or later (Debian: maven, openjdk-17-jdk-headless)"
            )
        }
        other => other.context("running mvn")?,
    };
    ensure!(
        output.status.success(),
        "Maven could not fetch Kafka {version}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Whether a version's brokers need ZooKeeper, and its tools have Kafka 2's class names.
pub(crate) fn is_kafka_2(version: &str) -> bool {
    version.starts_with("2.")
}

/// Whether a version's tools have Kafka 3's class names.
pub(crate) fn is_kafka_3(version: &str) -> bool {
    version.starts_with("3.")
}

/// Whether a version logs through Log4j 1, or what took its place.
pub(crate) fn logs_by_log4j_1(version: &str) -> bool {
    is_kafka_2(version) || is_kafka_3(version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn parallel_fetches_get_once_and_a_failed_one_leaves_nothing() {
        let cache = Scratch::new("jars").unwrap();
        let error = fetch_into(cache.path(), "9.9.9", |_, into| {
            fs::write(into.join("half.jar"), "x")?;
            bail!("lost the connection")
        });
        assert!(error.unwrap_err().to_string().contains("lost the connection"));
        let left: Vec<_> = fs::read_dir(cache.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| name.to_string_lossy() == "kafka-9.9.9.lock" || name == "in-use"), "{left:?}");

        let gets = AtomicUsize::new(0);
        std::thread::scope(|s| {
            for _ in 0..8 {
                s.spawn(|| {
                    let jars = fetch_into(cache.path(), "9.9.9", |_, into| {
                        gets.fetch_add(1, Ordering::SeqCst);
                        Ok(fs::write(into.join("kafka.jar"), "x")?)
                    });
                    assert!(jars.unwrap().join("kafka.jar").exists());
                });
            }
        });
        assert_eq!(gets.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_version_is_no_path() {
        assert!(fetch_into(Path::new("/nonexistent"), "../4", |_, _| Ok(())).is_err());
    }
}
