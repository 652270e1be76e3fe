//! The kit itself does what it says.

mod clusters;
mod java;
mod proxy;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Generous: two cores may run several clusters at a time.
const DEADLINE: Duration = Duration::from_secs(60);

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(0))
}
