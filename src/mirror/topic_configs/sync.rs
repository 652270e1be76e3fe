//! Settings of remote topics, brought to those of their sources.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use wire::{Cluster, ConfigChange, ConfigEntry, ResponseError, TopicConfigChanges};

use super::{AfterRefusal, Described, Refusals, plan, refused, replacement};
use crate::{
    config::AlterConfigs,
    mirror::{
        Error, MirroredTopic,
        reach::within,
        topics::{TopicRules, largest},
        trouble::Troubles,
    },
};

const READING: &str = "reading topic settings";
const CHANGING: &str = "changing topic settings";
/// Topics named where many are concerned.
const MOST_NAMED: usize = 5;

type Settings = BTreeMap<String, Vec<ConfigEntry>>;

/// Keeps settings of remote topics as their sources'.
#[derive(Debug)]
pub(in crate::mirror) struct TopicConfigSync {
    source: Cluster,
    target: Cluster,
    rules: TopicRules,
    alter: AlterConfigs,
    /// For one step: `admin.timeout.ms`.
    limit: Duration,
    connector: String,
    /// The target's brokers can't change settings one by one.
    replaces: bool,
    refusals: Refusals,
    troubles: Troubles,
}

/// What is tried on one topic.
#[derive(Debug)]
struct Attempt {
    topic: String,
    /// Changes that were made.
    made: Vec<ConfigChange>,
    /// Those asked for now.
    asked: Vec<ConfigChange>,
    /// To be asked for afterwards, one by one.
    later: Vec<ConfigChange>,
}

impl TopicConfigSync {
    pub(in crate::mirror) fn new(
        connector: &str,
        [source, target]: [&Cluster; 2],
        rules: TopicRules,
        alter: AlterConfigs,
        limit: Duration,
    ) -> Self {
        Self {
            source: source.clone(),
            target: target.clone(),
            rules,
            alter,
            limit,
            connector: connector.to_owned(),
            replaces: alter == AlterConfigs::Never,
            refusals: Refusals::default(),
            troubles: Troubles::new(connector),
        }
    }

    /// Once for all topics mirrored now. What can't be done is told in the log and tried again with the next step.
    pub(in crate::mirror) async fn step(&mut self, topics: &[MirroredTopic]) {
        let topics: Vec<&MirroredTopic> = largest(topics).collect();
        let remotes: BTreeSet<&str> = topics.iter().map(|topic| topic.remote.as_str()).collect();
        self.refusals.retain(|topic| remotes.contains(topic));
        if topics.is_empty() {
            return;
        }
        let names = |name: fn(&MirroredTopic) -> &String| topics.iter().map(|topic| name(topic).clone()).collect();
        let Some(source) = self.described(&self.source.clone(), names(|topic| &topic.source)).await else { return };
        let Some(target) = self.described(&self.target.clone(), names(|topic| &topic.remote)).await else { return };
        let described = topics.iter().filter_map(|topic| {
            let (source, target) = (source.get(&topic.source)?, target.get(&topic.remote)?);
            Some(Described { remote: &topic.remote, source, target })
        });
        let planned = plan(described, &self.rules, &self.refusals);
        match self.change(planned, &target).await {
            Ok(failures) if failures.is_empty() => self.troubles.worked(&self.target, CHANGING),
            Ok(failures) => {
                let right = "AlterConfigs of these topics";
                self.troubles.failed(&self.target, CHANGING, &told(&failures, right));
            }
            Err(cause) => drop(self.troubles.failed(&self.target, CHANGING, &cause.to_string())),
        }
    }

    /// Settings of those topics that are told; none where nobody answers.
    async fn described(&mut self, cluster: &Cluster, topics: Vec<String>) -> Option<Settings> {
        let asking = async { cluster.describe_topic_configs(&topics, None).await.map_err(Error::during(READING)) };
        let outcomes = match within(self.limit, READING, cluster, asking).await {
            Ok(outcomes) => outcomes,
            Err(cause) => {
                self.troubles.failed(cluster, READING, &cause.to_string());
                return None;
            }
        };
        let (mut settings, mut failures) = (Settings::new(), Failures::new());
        for (topic, outcome) in outcomes {
            match outcome {
                Ok(entries) => drop(settings.insert(topic, entries)),
                Err(cause) => note(&mut failures, topic, &cause),
            }
        }
        if failures.is_empty() {
            self.troubles.worked(cluster, READING);
        } else {
            self.troubles.failed(cluster, READING, &told(&failures, "DescribeConfigs of these topics"));
        }
        Some(settings)
    }

    /// Makes changes, without those that the target refuses. Tells which topics could not be changed, by the reason.
    async fn change(&mut self, planned: Vec<TopicConfigChanges>, target: &Settings) -> Result<Failures, Error> {
        let mut failures = Failures::new();
        let begin = |TopicConfigChanges { topic, changes }| {
            let (made, later) = (Vec::new(), Vec::new());
            Attempt { topic, made, asked: changes, later }
        };
        let mut open: Vec<Attempt> = planned.into_iter().map(begin).collect();
        // Each round makes, leaves out or takes apart changes of every topic in it.
        while !open.is_empty() {
            let outcomes = self.send(&open, target).await?;
            let mut again = Vec::new();
            for (mut attempt, (_, outcome)) in std::mem::take(&mut open).into_iter().zip(outcomes) {
                match outcome {
                    Ok(()) => attempt.made.append(&mut attempt.asked),
                    Err(cause) => match refused(&attempt.asked, &cause) {
                        AfterRefusal::Without { refused, rest } => {
                            self.leave_out(&attempt.topic, refused, &cause);
                            attempt.asked = rest;
                        }
                        AfterRefusal::OneByOne => attempt.later = std::mem::take(&mut attempt.asked),
                        AfterRefusal::NotASetting => {
                            note(&mut failures, attempt.topic.clone(), &cause);
                            (attempt.asked, attempt.later) = (Vec::new(), Vec::new());
                        }
                    },
                }
                if attempt.asked.is_empty() {
                    attempt.asked.extend(attempt.later.pop());
                }
                if !attempt.asked.is_empty() {
                    again.push(attempt);
                } else if !attempt.made.is_empty() {
                    let changes: Vec<String> = attempt.made.iter().map(shown).collect();
                    let (connector, topic, changes) = (&self.connector, &attempt.topic, changes.join(", "));
                    tracing::info!(connector, cluster = self.target.alias(), topic, changes, "topic settings changed");
                }
            }
            open = again;
        }
        Ok(failures)
    }

    async fn send(
        &mut self,
        attempts: &[Attempt],
        target: &Settings,
    ) -> Result<Vec<(String, wire::Result<()>)>, Error> {
        if !self.replaces {
            let wanted: Vec<TopicConfigChanges> = attempts
                .iter()
                .map(|Attempt { topic, asked, .. }| TopicConfigChanges { topic: topic.clone(), changes: asked.clone() })
                .collect();
            let altering = async { self.target.alter_topic_configs(&wanted).await.map_err(Error::during(CHANGING)) };
            let outcome = within(self.limit, CHANGING, &self.target, altering).await;
            let is_unknown = matches!(&outcome, Err(Error::Cluster { cause, .. })
                if matches!(**cause, wire::Error::Unsupported { .. }));
            if !(is_unknown && self.alter == AlterConfigs::Requested) {
                return outcome;
            }
            let (connector, cluster) = (&self.connector, self.target.alias());
            tracing::info!(connector, cluster, "its brokers change topic settings as a whole only (before Kafka 2.3)");
            self.replaces = true;
        }
        let whole = |Attempt { topic, made, asked, .. }: &Attempt| {
            let there = target.get(topic).map_or(&[][..], Vec::as_slice);
            (topic.clone(), replacement(there, &[made.as_slice(), asked].concat()))
        };
        let wanted: Vec<_> = attempts.iter().map(whole).collect();
        let replacing = async { self.target.replace_topic_configs(&wanted).await.map_err(Error::during(CHANGING)) };
        within(self.limit, CHANGING, &self.target, replacing).await
    }

    fn leave_out(&mut self, topic: &str, refused: ConfigChange, cause: &wire::Error) {
        let (change, cause) = (shown(&refused), cause.to_string());
        if self.refusals.note(topic, refused, &cause) {
            let (connector, cluster) = (&self.connector, self.target.alias());
            tracing::warn!(
                connector,
                cluster,
                topic,
                change,
                cause,
                "topic setting refused; left out until it changes"
            );
        }
    }
}

/// Why → topics.
type Failures = BTreeMap<String, Vec<String>>;

/// A topic that is not there was deleted, or not made yet: the next refresh sees to it.
fn note(failures: &mut Failures, topic: String, cause: &wire::Error) {
    match (cause, cause.response()) {
        (_, Some(ResponseError::UnknownTopicOrPartition)) => {}
        (wire::Error::Broker { code, .. }, _) => failures.entry(wire::code_name(*code)).or_default().push(topic),
        _ => failures.entry(cause.to_string()).or_default().push(topic),
    }
}

/// In a sentence. `right`: what may be missing.
fn told(failures: &Failures, right: &str) -> String {
    let reason = |(reason, topics): (&String, &Vec<String>)| {
        let named = topics.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if topics.len() > MOST_NAMED { ", …" } else { "" };
        let needed =
            if reason.ends_with("AUTHORIZATION_FAILED") { format!(": needed is {right}") } else { String::new() };
        format!("{reason} for {} topics ({named}{more}){needed}", topics.len())
    };
    failures.iter().map(reason).collect::<Vec<_>>().join("; ")
}

fn shown(change: &ConfigChange) -> String {
    change.value().map_or_else(|| format!("-{}", change.name()), |value| format!("{}={value}", change.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_by_their_reason() {
        let broker = |code| wire::Error::Broker {
            cluster: "A".to_owned(),
            api: "DescribeConfigs",
            resource: "topic t".to_owned(),
            code,
            message: None,
        };
        let mut failures = Failures::new();
        for nth in 0..7 {
            note(&mut failures, format!("t{nth}"), &broker(ResponseError::TopicAuthorizationFailed.code()));
        }
        note(&mut failures, "gone".to_owned(), &broker(ResponseError::UnknownTopicOrPartition.code()));
        note(&mut failures, "odd".to_owned(), &broker(ResponseError::UnknownServerError.code()));
        assert_eq!(
            told(&failures, "DescribeConfigs of these topics"),
            "TOPIC_AUTHORIZATION_FAILED for 7 topics (t0, t1, t2, t3, t4, …): needed is DescribeConfigs of these \
             topics; UNKNOWN_SERVER_ERROR for 1 topics (odd)"
        );
    }

    #[test]
    fn changes_are_shown_as_they_are_made() {
        let (name, value) = ("retention.ms".to_owned(), "5".to_owned());
        assert_eq!(shown(&ConfigChange::Set { name: name.clone(), value }), "retention.ms=5");
        assert_eq!(shown(&ConfigChange::Delete { name }), "-retention.ms");
    }
}
