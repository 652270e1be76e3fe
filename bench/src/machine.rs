//! Whether something else ran on the machine: figures of a busy one mean little.

use std::{fs, time::Instant};

use testkit::{
    anyhow::{Context, Result},
    process::usage,
};

use crate::contestants::Ends;

/// What the machine and those who take part had used at a moment.
pub(crate) struct Moment {
    at: Instant,
    machine: f64,
    ours: f64,
}

impl Moment {
    /// Now: with the worker, the brokers and this process.
    pub(crate) fn now(worker: u32, ends: Ends<'_>) -> Result<Self> {
        let mut ours = usage(worker)?.cpu_seconds + usage(std::process::id())?.cpu_seconds;
        for cluster in [ends.source, ends.target] {
            for broker in cluster.broker_ids() {
                ours += usage(cluster.pid(broker)?)?.cpu_seconds;
            }
        }
        Ok(Self { at: Instant::now(), machine: busy(&fs::read_to_string("/proc/stat")?)?, ours })
    }

    /// How many cores all others have used since then, on average.
    pub(crate) fn others_until(&self, then: &Self) -> f64 {
        let others = (then.machine - self.machine) - (then.ours - self.ours);
        (others / then.at.duration_since(self.at).as_secs_f64()).max(0.0)
    }
}

/// Seconds that cores were busy, of the first line of `/proc/stat`: idle and iowait are fields 4 and 5 (proc_stat(5)),
/// guests (9 and 10) are counted in the first two.
fn busy(stat: &str) -> Result<f64> {
    const USER_HZ: f64 = 100.0;
    let line = stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).context("/proc/stat")?;
    let ticks = line.split_whitespace().map(str::parse::<f64>).collect::<Result<Vec<_>, _>>()?;
    let busy = ticks.iter().enumerate().filter(|(field, _)| !matches!(field, 3 | 4 | 8 | 9)).map(|(_, ticks)| ticks);
    Ok(busy.sum::<f64>() / USER_HZ)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_guests_are_not_busy() {
        let stat = "cpu  100 200 300 9000 8000 400 500 600 77 88\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(busy(stat).unwrap(), 21.0);
        assert!(busy("intr 1").is_err());
    }
}
