//! Child processes that never outlive the test process, and what the kernel says about any process.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::wait::wait_until;

/// `setpriv` asks the kernel for a SIGKILL at the death of the parent; the shell then checks that the parent did not
/// die before that took effect, and becomes the program.
const GUARD: &str = r#"test "$PPID" = "$0" || exit 127; exec "$@""#;

/// A running child. Dropping it kills it and waits until it is gone.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: u32,
    child: Mutex<Child>,
    log: PathBuf,
}

/// A program to run: what [`Process::spawn`] needs to know.
#[derive(Debug, Clone)]
pub struct Program {
    /// What errors call it.
    pub name: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Variables added to the environment.
    pub env: Vec<(String, String)>,
    /// File that standard output and standard error are appended to.
    pub log: PathBuf,
}

impl Program {
    /// A program called `name` that writes to `log`.
    pub fn new(name: &str, log: &Path, command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            name: name.to_owned(),
            command: command.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            log: log.to_owned(),
        }
    }
}

impl Process {
    /// Starts a program in the background. It gets no input, and a process group of its own, so that Ctrl-C on the
    /// terminal reaches the tests first.
    pub fn spawn(program: &Program) -> Result<Self> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&program.log)
            .with_context(|| format!("opening {}", program.log.display()))?;
        let mut command = guarded(&program.command);
        command
            .envs(program.env.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        let child = spawn_from_lasting_thread(command).with_context(|| format!("starting {}", program.name))?;
        Ok(Self { name: program.name.clone(), pid: child.id(), child: Mutex::new(child), log: program.log.clone() })
    }

    /// The process id; it is not given to another process before this value is dropped or was seen to have exited.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What errors call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file its output goes to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended, or None while it runs.
    pub fn exited(&self) -> Result<Option<ExitStatus>> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(child.try_wait()?)
    }

    /// Sends a signal by name (`TERM`, `STOP`, `CONT` …). An error if the process is gone.
    pub fn signal(&self, signal: &str) -> Result<()> {
        // Holding the child keeps the pid from being reaped, and so from being reused, meanwhile.
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(status) = child.try_wait()? {
            bail!("can't send {signal} to {} (pid {}): it has ended with {status}", self.name, self.pid);
        }
        signal_pid(self.pid, signal)
    }

    /// Sends SIGKILL and waits until the process is gone. Works on stopped processes; no error if it has ended before.
    pub fn kill9(&self) -> Result<()> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Waits until it ends of itself.
    pub async fn wait_exited(&self, deadline: Duration) -> Result<ExitStatus> {
        let what = format!("{} (pid {}) to end", self.name, self.pid);
        wait_until(&what, deadline, async || self.exited()?.context("it still runs")).await
    }

    /// Sends SIGTERM and waits until the process is gone.
    pub async fn stop(&self, deadline: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.exited()? {
            return Ok(status);
        }
        self.signal("TERM")?;
        self.wait_exited(deadline).await
    }

    /// The last `lines` lines it wrote.
    pub fn log_tail(&self, lines: usize) -> String {
        log_tail(&self.log, lines)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill9();
    }
}

/// The last `lines` lines of a file, or why it can't be read.
pub fn log_tail(path: &Path, lines: usize) -> String {
    match fs::read(path) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let all: Vec<_> = text.lines().collect();
            all[all.len().saturating_sub(lines)..].join("\n")
        }
        Err(error) => format!("({}: {error})", path.display()),
    }
}

/// Sends a signal by name to a process that is not a [`Process`] of ours.
pub fn signal_pid(pid: u32, signal: &str) -> Result<()> {
    // The shell's own `kill`: the program of that name is missing from small images.
    let output = Command::new("sh").args(["-c", r#"kill -"$1" "$0""#, &pid.to_string(), signal]).output()?;
    if !output.status.success() {
        bail!("kill -{signal} {pid}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Whether a process with this id runs (one that has ended but was not waited for does not).
pub fn is_alive(pid: u32) -> bool {
    stat_fields(pid).is_ok_and(|fields| !matches!(fields.first().map(String::as_str), None | Some("Z" | "X")))
}

/// The processes whose parent is the process `pid` now.
pub fn live_children(pid: u32) -> Result<Vec<u32>> {
    let all = fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // Field 4 is the parent; stat_fields begins with field 3. A process that ends meanwhile is none.
    let parent = |child: u32| stat_fields(child).ok()?.get(1)?.parse::<u32>().ok();
    Ok(all.filter(|&child| is_alive(child) && parent(child) == Some(pid)).collect())
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Highest resident memory, in bytes (`VmHWM`).
    pub max_rss_bytes: u64,
    /// Resident memory now, in bytes (`VmRSS`).
    pub rss_bytes: u64,
    /// Processor time in user and kernel mode of all threads, in seconds.
    pub cpu_seconds: f64,
}

/// Reads what any process of this machine has used, from `/proc`.
pub fn usage(pid: u32) -> Result<Usage> {
    /// Ticks per second in `/proc/<pid>/stat`: fixed to 100 in Linux's interface to user space on all platforms we build for.
    const USER_HZ: f64 = 100.0;

    let status = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("no process {pid}"))?;
    let kibibytes = |key: &str| -> Result<u64> {
        let line = status.lines().find_map(|l| l.strip_prefix(key)).with_context(|| format!("{key} of {pid}"))?;
        Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
    };
    let fields = stat_fields(pid)?;
    // utime and stime are fields 14 and 15; stat_fields begins with field 3.
    let ticks = |field: usize| -> Result<f64> { Ok(fields.get(field - 3).context("short stat")?.parse()?) };
    Ok(Usage {
        max_rss_bytes: kibibytes("VmHWM:")?,
        rss_bytes: kibibytes("VmRSS:")?,
        cpu_seconds: (ticks(14)? + ticks(15)?) / USER_HZ,
    })
}

/// The fields of `/proc/<pid>/stat` behind the program's name, which may itself contain blanks and parentheses.
fn stat_fields(pid: u32) -> Result<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("no process {pid}"))?;
    let (_, fields) = stat.rsplit_once(')').with_context(|| format!("unreadable stat of {pid}"))?;
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}

/// The command that runs `command` so that it dies with this process.
pub(crate) fn guarded(command: &[String]) -> Command {
    let mut guarded = Command::new("setpriv");
    guarded.args(["--pdeathsig", "KILL", "sh", "-c", GUARD, &std::process::id().to_string()]).args(command);
    guarded
}

type Order = (Command, mpsc::Sender<std::io::Result<Child>>);

/// Spawns from one thread that lives as long as the process: the kernel ties the death signal to the parent *thread*,
/// and test threads end with their test.
#[expect(
    clippy::disallowed_methods,
    reason = "each caller waits for its answer, and a tokio channel would need a runtime"
)]
pub(crate) fn spawn_from_lasting_thread(command: Command) -> Result<Child> {
    static ORDERS: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        // A failed start shows as a closed channel below.
        let _ = std::thread::Builder::new().name("testkit-spawner".to_owned()).spawn(move || {
            for (mut command, answer) in inbox {
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, child) = mpsc::channel();
    orders.send((command, answer)).map_err(|_| anyhow!("the spawning thread is gone"))?;
    child
        .recv()
        .context("the spawning thread is gone")?
        .context("running setpriv (of the Debian package util-linux), which children are started through")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn sleeper(dir: &Scratch) -> Process {
        Process::spawn(&Program::new("sleeper", &dir.path().join("log"), ["sleep", "1000"])).unwrap()
    }

    #[test]
    fn drop_kills_even_a_stopped_child_whose_spawner_thread_ended() {
        let dir = Scratch::new("process").unwrap();
        let process = std::thread::scope(|s| s.spawn(|| sleeper(&dir)).join().unwrap());
        let pid = process.pid();
        assert!(is_alive(pid));
        process.signal("STOP").unwrap();
        drop(process);
        assert!(!is_alive(pid));
    }

    #[tokio::test]
    async fn stop_gives_the_status_and_signals_then_fail() {
        let dir = Scratch::new("process").unwrap();
        let process = sleeper(&dir);
        let status = process.stop(Duration::from_secs(10)).await.unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
        assert!(process.signal("TERM").unwrap_err().to_string().contains("has ended"));
    }

    #[tokio::test]
    async fn output_and_environment_arrive() {
        let dir = Scratch::new("process").unwrap();
        let mut program =
            Program::new("echo", &dir.path().join("log"), ["sh", "-c", "echo out $A; echo err >&2; exit 3"]);
        program.env.push(("A".to_owned(), "b".to_owned()));
        let process = Process::spawn(&program).unwrap();
        assert_eq!(process.wait_exited(Duration::from_secs(10)).await.unwrap().code(), Some(3));
        assert_eq!(process.log_tail(5), "out b\nerr");
    }

    #[test]
    fn usage_of_this_process_is_plausible() {
        // On a busy machine it takes a while until this process has had a tick of the processor.
        let start = std::time::Instant::now();
        let mut usage = super::usage(std::process::id()).unwrap();
        while usage.cpu_seconds == 0.0 && start.elapsed() < Duration::from_secs(60) {
            usage = super::usage(std::process::id()).unwrap();
        }
        assert!(usage.max_rss_bytes >= usage.rss_bytes && usage.rss_bytes > 100_000, "{usage:?}");
        assert!(usage.cpu_seconds > 0.0 && usage.cpu_seconds < 10_000.0, "{usage:?}");
    }
}
