//! Where the brokers' data lie. What a disk can write is not what mirrors differ in: where its write-back stalls, whose copy falls into
//! that decides who is fast. In memory it never does.

use std::{
    env, fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use testkit::anyhow::{Context, Error, Result, ensure};

/// Where Linux keeps files in memory.
const MEMORY: &str = "/dev/shm";
/// Bytes that the largest copy takes twice, and its workers and brokers beside it.
const ROOM: u64 = 14_000_000_000;

/// A directory and what it lies on.
pub(crate) struct Place {
    pub(crate) directory: PathBuf,
    /// As the kernel calls it: `tmpfs`, `ext4` …
    pub(crate) file_system: String,
}

impl Place {
    /// Where `told` says; else in memory if there is room; else where temporary files go. All that the kit makes goes there: where that
    /// takes another environment, this process is replaced by one that has it.
    pub(crate) fn enter(told: Option<&Path>) -> Result<Self> {
        let directory = match told {
            Some(told) => told.canonicalize().with_context(|| format!("--data {}", told.display()))?,
            None if memory_has_room() => PathBuf::from(MEMORY),
            None => env::temp_dir(),
        };
        if directory != env::temp_dir() {
            let mut again = Command::new(env::current_exe()?);
            let failed = again.args(env::args_os().skip(1)).env("TMPDIR", &directory).exec();
            return Err(Error::new(failed).context("starting again with another TMPDIR"));
        }
        let (file_system, _) = file_system(&directory)?;
        Ok(Self { directory, file_system })
    }
}

fn memory_has_room() -> bool {
    let in_memory = file_system(Path::new(MEMORY)).is_ok_and(|(name, free)| name == "tmpfs" && free >= ROOM);
    let available = fs::read_to_string("/proc/meminfo").ok().and_then(|text| available(&text));
    in_memory && available.is_some_and(|bytes| bytes >= ROOM)
}

/// Bytes that programs can still have, of `/proc/meminfo`.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()? * 1_024)
}

/// What a directory lies on, and the free bytes there.
fn file_system(directory: &Path) -> Result<(String, u64)> {
    let output = Command::new("df").args(["-B1", "--output=fstype,avail"]).arg(directory).output().context("df")?;
    ensure!(output.status.success(), "df: {}", String::from_utf8_lossy(&output.stderr).trim());
    let text = String::from_utf8_lossy(&output.stdout);
    described(&text).with_context(|| format!("df says {text:?}"))
}

/// The second line of `df -B1 --output=fstype,avail`.
fn described(df: &str) -> Option<(String, u64)> {
    let (name, free) = df.lines().nth(1)?.split_once(' ')?;
    Some((name.to_owned(), free.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_and_df_say_is_read() {
        let meminfo = "MemTotal:       24681232 kB\nMemFree:          100 kB\nMemAvailable:   23000000 kB\n";
        assert_eq!(available(meminfo), Some(23_552_000_000));
        assert_eq!(available("MemTotal: 5 kB\n"), None);
        assert_eq!(described("Type        Avail\ntmpfs 25276506112\n"), Some(("tmpfs".to_owned(), 25_276_506_112)));
        assert_eq!(described("Type Avail\n"), None);
    }

    #[test]
    fn this_machines_temporary_directory_lies_on_something() {
        let (name, _) = file_system(&env::temp_dir()).unwrap();
        assert!(!name.is_empty());
        assert!(file_system(Path::new("/no such directory")).is_err());
    }
}
