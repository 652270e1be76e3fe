//! Requests about many things, each with an outcome of its own.

use tokio::time::{Instant, sleep};

use crate::{
    backoff::Backoff,
    cluster::Cluster,
    error::{Error, Recovery, Result},
};

/// Whether a thing may turn out otherwise when it is asked for again: a broker that is busy, or asks for patience (KIP-599). What the metadata
/// would have to tell first (a topic that is not there) is for the caller to judge.
fn is_passing(outcome: &Result<()>) -> bool {
    matches!(outcome, Err(failure @ Error::Broker { .. }) if failure.recovery() == Recovery::Retry)
}

impl Cluster {
    /// Sends items, some at a time, and those again whose failure is a passing one, for as long as a request may take. `send` tells the
    /// outcomes of what it is given in that order; what it is asked to do twice must end the same. Outcomes are told beside `name`s, in the order of
    /// the items.
    ///
    /// # Errors
    /// `send`'s.
    pub(crate) async fn settle<'i, I, N, Sent: Future<Output = Result<Vec<Result<()>>>>>(
        &self,
        items: &'i [I],
        per_request: usize,
        name: impl Fn(&'i I) -> N,
        send: impl Fn(Vec<&'i I>) -> Sent,
    ) -> Result<Vec<(N, Result<()>)>> {
        let mut outcomes = Vec::with_capacity(items.len());
        for some in items.chunks(per_request) {
            let give_up = Instant::now() + self.request_timeout();
            let mut backoff = Backoff::for_requests();
            let mut told: Vec<Result<()>> = send(some.iter().collect()).await?;
            loop {
                let open: Vec<usize> = (0..some.len()).filter(|at| told.get(*at).is_some_and(is_passing)).collect();
                let wait = backoff.next_wait();
                if open.is_empty() || Instant::now() + wait >= give_up {
                    break;
                }
                sleep(wait).await;
                let again = send(open.iter().map(|at| &some[*at]).collect()).await?;
                for (at, outcome) in open.into_iter().zip(again) {
                    told[at] = outcome;
                }
            }
            outcomes.extend(some.iter().map(&name).zip(told));
        }
        Ok(outcomes)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Mutex, time::Duration};

    use super::*;
    use crate::ClusterConfig;

    const REQUEST_TIMED_OUT: i16 = 7;
    const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
    const POLICY_VIOLATION: i16 = 44;

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_sent_again_and_the_rest_stays() {
        let mut config = ClusterConfig::new("A", &[]);
        config.request_timeout = Duration::from_secs(5);
        let cluster = &Cluster::new(config);
        let sent: &Mutex<Vec<Vec<i32>>> = &Mutex::default();
        let outcomes = cluster
            .settle(
                &[1, 2, 3, 4, 5],
                4,
                |item| *item,
                |items: Vec<&i32>| async move {
                    let items: Vec<i32> = items.iter().map(|item| **item).collect();
                    sent.lock().unwrap().push(items.clone());
                    let first = sent.lock().unwrap().len() == 1;
                    let refused = |code| Err(cluster.refused("X", "it".to_owned(), code, None));
                    Ok(items
                        .into_iter()
                        .map(|item| match item {
                            1 => Ok(()),
                            2 if first => refused(REQUEST_TIMED_OUT),
                            3 => refused(UNKNOWN_TOPIC_OR_PARTITION),
                            4 => refused(POLICY_VIOLATION),
                            5 => refused(REQUEST_TIMED_OUT),
                            _ => Ok(()),
                        })
                        .collect())
                },
            )
            .await
            .unwrap();
        let codes: Vec<_> = outcomes
            .iter()
            .map(|(item, outcome)| match outcome {
                Err(Error::Broker { code, .. }) => (*item, *code),
                _ => (*item, 0),
            })
            .collect();
        assert_eq!(codes, [(1, 0), (2, 0), (3, 3), (4, 44), (5, 7)]);
        let sent = sent.lock().unwrap();
        assert_eq!(sent[..3], [vec![1, 2, 3, 4], vec![2], vec![5]]);
        assert!((4..60).contains(&sent.len()) && sent[3..].iter().all(|items| items == &[5]), "{sent:?}");
    }
}
