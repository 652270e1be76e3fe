//! Groups of a cluster: which there are, who is in them, and what they have committed.
//!
//! Requests about many groups go to their coordinators, some groups at a time and one request under way at each broker, over the connection
//! that metadata comes by: thousands of groups take a while rather than hold up what waits beside them.

mod coordinators;
mod offsets;

pub use offsets::{CommittedOffset, GroupOffsets, is_active_group};

use std::{collections::HashMap, fmt};

use futures_util::future::join_all;
use kafka_protocol::{
    messages::{
        ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribeGroupsRequest, DescribeGroupsResponse,
        GroupId, ListGroupsRequest, ListGroupsResponse,
    },
    protocol::StrBytes,
};

use self::coordinators::Told;
use crate::{
    call::Call,
    cluster::{Cluster, Lane},
    error::{Error, Result},
};

/// Groups described by one request: an answer has each member's subscription and assignment, which may be kilobytes.
const DESCRIBED_PER_REQUEST: usize = 50;
const GROUP_ID_NOT_FOUND: i16 = 69;
/// UNSUPPORTED_VERSION: the broker knows the request, but not this protocol of groups (yet).
const UNSUPPORTED_VERSION: i16 = 35;
const DEAD: &str = "Dead";

/// The protocol by which a group is coordinated.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GroupType {
    /// JoinGroup and SyncGroup: consumers of old, Connect workers; also groups that only ever got offsets. All there is before Kafka 3.7.
    Classic,
    /// Consumers by KIP-848 (Kafka 4.0).
    Consumer,
    /// Share groups (KIP-932): they have no committed offsets.
    Share,
    /// Kafka Streams by KIP-1071.
    Streams,
    /// A later addition, in the broker's words.
    Other(String),
}

impl GroupType {
    fn named(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "" | "classic" => Self::Classic,
            "consumer" => Self::Consumer,
            "share" => Self::Share,
            "streams" => Self::Streams,
            _ => Self::Other(name.to_owned()),
        }
    }

    /// Whether `Admin.listConsumerGroups` counts a group of this type and protocol type as one of consumers: of either protocol, or one that
    /// only ever got offsets.
    #[must_use]
    pub fn is_of_consumers(&self, protocol_type: &str) -> bool {
        match self {
            Self::Classic => matches!(protocol_type, "consumer" | ""),
            Self::Consumer => true,
            Self::Share | Self::Streams | Self::Other(_) => false,
        }
    }
}

impl fmt::Display for GroupType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
            Self::Share => "share",
            Self::Streams => "streams",
            Self::Other(name) => name,
        })
    }
}

/// Which groups are to be listed. The default is all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupFilter {
    /// In one of these states (`Empty`, `Stable`, …); empty for all. Brokers before 2.6 (KIP-518) tell no states and list all.
    pub states: Vec<String>,
    /// Of one of these types; empty for all.
    pub types: Vec<GroupType>,
}

/// A group as a list names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedGroup {
    /// Group id.
    pub group: String,
    /// `consumer`, `connect`, … of a classic group; empty where it only ever got offsets.
    pub protocol_type: String,
    /// Kafka's state name; absent where the broker tells none (before 2.6).
    pub state: Option<String>,
    /// Its type; classic where the broker tells none (before 3.8).
    pub kind: GroupType,
}

impl ListedGroup {
    /// As [`GroupType::is_of_consumers`].
    #[must_use]
    pub fn is_of_consumers(&self) -> bool {
        self.kind.is_of_consumers(&self.protocol_type)
    }
}

/// The groups of a cluster, as far as brokers told them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupListing {
    /// Groups by name.
    pub groups: Vec<ListedGroup>,
    /// Why brokers did not tell theirs: a group that is not listed then may exist all the same.
    pub failures: Vec<Error>,
}

/// Members of a group, and what they do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// Kafka's state name: `Empty`, `Stable`, `Dead`, …
    pub state: String,
    /// Its type. A group that does not exist is classic, and so is one of a type that neither request describes (share, streams): those are
    /// `Dead` here and told apart by [`Cluster::list_groups`].
    pub kind: GroupType,
    /// `consumer`, `connect`, … empty when the group is unknown.
    pub protocol_type: String,
    /// `client id @ host` of each live member.
    pub members: Vec<String>,
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

impl Cluster {
    /// The groups of all brokers (each coordinates some). A broker that can't be asked within the request timeout is told among the failures.
    /// Without the right to describe the cluster only those groups are told that may be described.
    ///
    /// # Errors
    /// When the brokers can't be learnt.
    pub async fn list_groups(&self, filter: &GroupFilter) -> Result<GroupListing> {
        let request = ListGroupsRequest::default()
            .with_states_filter(filter.states.iter().map(|state| text(state)).collect())
            .with_types_filter(filter.types.iter().map(|kind| text(&kind.to_string())).collect());
        let brokers = self.persist(|| self.brokers()).await?;
        let asked = brokers.into_iter().map(async |broker| {
            self.persist(|| async {
                let answer = self.ask(broker, Lane::Control, &request).await?;
                let resource = || format!("broker {broker}");
                self.check(ListGroupsRequest::API, resource, answer.error_code, None)?;
                Ok(listed(answer, filter))
            })
            .await
        });
        let mut listing = GroupListing::default();
        for answer in join_all(asked).await {
            match answer {
                Ok(groups) => listing.groups.extend(groups),
                Err(failure) => listing.failures.push(failure),
            }
        }
        listing.groups.sort_by(|a, b| a.group.cmp(&b.group));
        // A coordinator that moved meanwhile has told its groups twice.
        listing.groups.dedup_by(|a, b| a.group == b.group);
        Ok(listing)
    }

    /// A group's state and members. A group that does not exist is `Dead` without members.
    ///
    /// # Errors
    /// When its coordinator can't be found or asked within the request timeout, or the right to describe it is missing.
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription> {
        let mut told = self.describe_groups(&[group.to_owned()]).await?;
        told.pop().map_or_else(|| Err(self.unanswered(DescribeGroupsRequest::API, group)), |(_, outcome)| outcome)
    }

    /// States and members of groups, classic ones and those of KIP-848; the outcome of each is told beside its name, in the order given. A
    /// group that does not exist is `Dead` without members.
    ///
    /// # Errors
    /// When no broker can be asked who coordinates them.
    pub async fn describe_groups(&self, groups: &[String]) -> Result<Vec<(String, Result<GroupDescription>)>> {
        let names: &[&str] = &groups.iter().map(String::as_str).collect::<Vec<_>>();
        let mut outcomes = self
            .coordinated(DescribeGroupsRequest::API, names, (DESCRIBED_PER_REQUEST, 1), |broker, items| async move {
                let ids = items.iter().map(|item| GroupId(text(names[*item]))).collect();
                let request = DescribeGroupsRequest::default().with_groups(ids);
                Ok(self.classic(self.ask(broker, Lane::Control, &request).await?))
            })
            .await?;
        // To that request a group of KIP-848 is dead.
        let is_dead = |item: &usize| matches!(&outcomes[*item], Ok(group) if group.state == DEAD);
        let dead: Vec<usize> = (0..names.len()).filter(is_dead).collect();
        let names: &[&str] = &dead.iter().map(|item| names[*item]).collect::<Vec<_>>();
        let api = ConsumerGroupDescribeRequest::API;
        let again = self
            .coordinated(api, names, (DESCRIBED_PER_REQUEST, 1), |broker, items| async move {
                let ids = items.iter().map(|item| GroupId(text(names[*item]))).collect();
                let request = ConsumerGroupDescribeRequest::default().with_group_ids(ids);
                match self.ask(broker, Lane::Control, &request).await {
                    Ok(answer) => Ok(self.of_consumers(answer)),
                    // Before 3.7.
                    Err(Error::Unsupported { .. }) => {
                        Ok(items.iter().map(|item| (names[*item].to_owned(), Ok(None))).collect())
                    }
                    Err(failure) => Err(failure),
                }
            })
            .await?;
        for (item, outcome) in dead.into_iter().zip(again) {
            match outcome {
                Ok(Some(described)) => outcomes[item] = Ok(described),
                Ok(None) => {}
                Err(failure) => outcomes[item] = Err(failure),
            }
        }
        Ok(groups.iter().cloned().zip(outcomes).collect())
    }

    fn classic(&self, answer: DescribeGroupsResponse) -> Told<GroupDescription> {
        let described = |told: kafka_protocol::messages::describe_groups_response::DescribedGroup| {
            let group = told.group_id.to_string();
            let code = if told.error_code == GROUP_ID_NOT_FOUND { 0 } else { told.error_code };
            let message = told.error_message.map(|m| m.to_string());
            let checked = self.check(DescribeGroupsRequest::API, || format!("group {group}"), code, message);
            let state = if told.error_code == GROUP_ID_NOT_FOUND { DEAD } else { &*told.group_state };
            let description = checked.map(|()| GroupDescription {
                state: state.to_owned(),
                kind: GroupType::Classic,
                protocol_type: told.protocol_type.to_string(),
                members: told.members.iter().map(|m| format!("{} @ {}", &*m.client_id, &*m.client_host)).collect(),
            });
            (group, description)
        };
        answer.groups.into_iter().map(described).collect()
    }

    /// None for a group that is not of this type.
    fn of_consumers(&self, answer: ConsumerGroupDescribeResponse) -> Told<Option<GroupDescription>> {
        let described = |told: kafka_protocol::messages::consumer_group_describe_response::DescribedGroup| {
            let group = told.group_id.to_string();
            if matches!(told.error_code, GROUP_ID_NOT_FOUND | UNSUPPORTED_VERSION) {
                return (group, Ok(None));
            }
            let message = told.error_message.map(|m| m.to_string());
            let resource = || format!("group {group}");
            let checked = self.check(ConsumerGroupDescribeRequest::API, resource, told.error_code, message);
            let description = checked.map(|()| {
                Some(GroupDescription {
                    state: told.group_state.to_string(),
                    kind: GroupType::Consumer,
                    protocol_type: "consumer".to_owned(),
                    members: told.members.iter().map(|m| format!("{} @ {}", &*m.client_id, &*m.client_host)).collect(),
                })
            });
            (group, description)
        };
        answer.groups.into_iter().map(described).collect::<HashMap<_, _>>()
    }
}

/// The groups of an answer that the filter takes: an older broker filters less.
fn listed(answer: ListGroupsResponse, filter: &GroupFilter) -> Vec<ListedGroup> {
    let group = |told: kafka_protocol::messages::list_groups_response::ListedGroup| ListedGroup {
        group: told.group_id.to_string(),
        protocol_type: told.protocol_type.to_string(),
        state: Some(told.group_state.to_string()).filter(|state| !state.is_empty()),
        kind: GroupType::named(&told.group_type),
    };
    let is_wanted = |group: &ListedGroup| {
        let state = group.state.as_deref();
        let in_state = filter.states.is_empty()
            || state.is_none_or(|state| filter.states.iter().any(|wanted| wanted.eq_ignore_ascii_case(state)));
        in_state && (filter.types.is_empty() || filter.types.contains(&group.kind))
    };
    answer.groups.into_iter().map(group).filter(is_wanted).collect()
}

#[cfg(test)]
mod tests;
