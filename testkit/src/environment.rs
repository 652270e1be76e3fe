//! What tests learn from environment variables, and the names they make.

use std::collections::hash_map::RandomState;
use std::env;
use std::hash::{BuildHasher, Hasher};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

/// The Kafka version that is run unless a test names one: `KMIRROR_KAFKA_VERSION`, else 4.1.1.
pub fn kafka_version() -> String {
    env::var("KMIRROR_KAFKA_VERSION").ok().filter(|v| !v.is_empty()).unwrap_or_else(|| "4.1.1".to_owned())
}

/// A name no other test uses, valid for topics, groups and transactional ids: `prefix-<random>-<count>`.
pub fn unique(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}-{:08x}-{}", random() as u32, COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Says whether a test can run. Where it can't (`condition` is false), prints `SKIPPED` and `why`, and gives false;
/// under `CI=true` that is an error, so that no pipeline passes by not running.
pub fn require(condition: bool, why: &str) -> Result<bool> {
    let runs = require_in(env::var("CI").is_ok_and(|ci| ci == "true" || ci == "1"), condition, why)?;
    if !runs {
        // test.sh counts these as skipped.
        eprintln!("SKIPPED: {why}");
    }
    Ok(runs)
}

fn require_in(ci: bool, condition: bool, why: &str) -> Result<bool> {
    match condition {
        true => Ok(true),
        false if ci => bail!("this test must run under CI but can't: {why}"),
        false => Ok(false),
    }
}

/// Where downloads live, outside the clone: `KMIRROR_CACHE`, else `$XDG_CACHE_HOME/kmirror`, else `~/.cache/kmirror`.
pub fn cache_dir() -> Result<PathBuf> {
    let set = |key: &str| env::var_os(key).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("KMIRROR_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("kmirror")))
        .or_else(|| Some(set("HOME")?.join(".cache").join("kmirror")))
        .context("none of KMIRROR_CACHE, XDG_CACHE_HOME and HOME is set: set KMIRROR_CACHE to a writable directory")
}

/// A random number of the process's hasher keys: good enough for names and ports.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ() {
        assert_ne!(unique("orders"), unique("orders"));
        assert!(unique("orders").starts_with("orders-"));
    }

    #[test]
    fn skipping_is_an_error_under_ci_only() {
        assert!(require_in(true, true, "no java").unwrap());
        assert!(!require_in(false, false, "no java").unwrap());
        assert!(require_in(true, false, "no java").unwrap_err().to_string().contains("no java"));
    }
}
