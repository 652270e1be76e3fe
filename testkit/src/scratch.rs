//! Temporary directories that are removed on drop, and by a later run where this one was killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::environment::random;

const PREFIX: &str = "kmirror-testkit-";
const LOCK: &str = "in-use";

/// A temporary directory of its own, removed on drop.
///
/// A killed process can't remove its directories. They are recognised by a lock file nobody holds, and removed by
/// the next process that makes one.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Makes an empty directory whose name contains `name`.
    pub fn new(name: &str) -> Result<Self> {
        static SWEEP: Once = Once::new();
        SWEEP.call_once(|| sweep(&std::env::temp_dir()));

        let path = std::env::temp_dir().join(format!("{PREFIX}{name}-{:016x}", random()));
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        let lock = File::create(path.join(LOCK))?;
        lock.lock()?;
        Ok(Self { path, _lock: lock })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // With KMIRROR_KEEP set a failed test's data and logs can be looked at.
        if std::env::var_os("KMIRROR_KEEP").is_some() {
            eprintln!("kept {}", self.path.display());
            return;
        }
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes directories of processes that are gone. Fresh ones are left alone: their owner may be about to lock.
fn sweep(temp: &Path) {
    for entry in fs::read_dir(temp).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
        let old = lock
            .metadata()
            .and_then(|m| m.modified())
            .is_ok_and(|made| made.elapsed().is_ok_and(|age| age > Duration::from_secs(60)));
        if old && lock.try_lock().is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_unlocked_directories_are_swept() {
        let temp = Scratch::new("sweep").unwrap();
        let make = |name: &str, age: u64| {
            let dir = temp.path().join(format!("{PREFIX}{name}"));
            fs::create_dir(&dir).unwrap();
            let lock = File::create(dir.join(LOCK)).unwrap();
            lock.set_modified(std::time::SystemTime::now() - Duration::from_secs(age)).unwrap();
            (dir, lock)
        };
        let (abandoned, _) = make("abandoned", 100);
        let (fresh, _) = make("fresh", 1);
        let (held, lock) = make("held", 100);
        lock.lock().unwrap();
        sweep(temp.path());
        assert_eq!((abandoned.exists(), fresh.exists(), held.exists()), (false, true, true));
    }
}
