//! Waiting for conditions, never for time.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

const PAUSE: Duration = Duration::from_millis(20);
const MAX_PAUSE: Duration = Duration::from_millis(250);

/// Calls `probe` until it gives `Ok`, and returns that value.
///
/// An `Err` of the probe means "not yet" and tells what was seen instead. Once `deadline` (from now) has passed, the
/// error names `what` was waited for and the probe's last error.
pub async fn wait_until<T, F, Fut>(what: &str, deadline: Duration, mut probe: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let start = Instant::now();
    let mut last_seen = String::from("nothing, the first probe did not return");
    let mut pause = PAUSE;
    loop {
        match tokio::time::timeout(deadline.saturating_sub(start.elapsed()), probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(seen)) => last_seen = format!("{seen:#}"),
            Err(_) => bail!("waited {deadline:?} for {what}; last seen: {last_seen}"),
        }
        if start.elapsed() >= deadline {
            bail!("waited {deadline:?} for {what}; last seen: {last_seen}");
        }
        tokio::time::sleep(pause.min(deadline.saturating_sub(start.elapsed()))).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

/// Calls `probe` until it gives `expected`; as [`wait_until`] where the value itself is what was seen.
pub async fn wait_until_eq<T, F, Fut>(what: &str, deadline: Duration, expected: T, mut probe: F) -> Result<()>
where
    T: PartialEq + Debug,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let expected = &expected;
    wait_until(what, deadline, || {
        let seen = probe();
        async move {
            let seen = seen.await?;
            ensure!(seen == *expected, "{seen:?}, wanted {expected:?}");
            Ok(())
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn failure_tells_what_was_waited_for_and_what_was_seen() {
        let mut n = 0;
        let error = wait_until_eq("the count", Duration::from_millis(100), 1_000_000, || {
            n += 1;
            std::future::ready(Ok(n))
        })
        .await
        .unwrap_err()
        .to_string();
        assert!(error.contains("the count") && error.contains("wanted 1000000"), "{error}");
    }

    #[tokio::test]
    async fn a_probe_that_hangs_ends_at_the_deadline() {
        let error = wait_until("an answer", Duration::from_millis(50), std::future::pending::<Result<()>>)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("an answer"), "{error}");
    }

    #[tokio::test]
    async fn the_first_success_is_returned() {
        let mut n = 0;
        let probe = || {
            n += 1;
            let seen = n;
            async move {
                ensure!(seen >= 3, "{seen}");
                Ok(seen)
            }
        };
        assert_eq!(wait_until("three", Duration::from_secs(5), probe).await.unwrap(), 3);
    }
}
