//! The kit itself does what it says.

mod clusters;
mod java;
mod proxy;

use std::time::Duration;

/// Generous: two cores may run several clusters at a time.
const DEADLINE: Duration = Duration::from_secs(60);
