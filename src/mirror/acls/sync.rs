//! Access rules carried to the target.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use wire::{AclBinding, AclOperation, Cluster, PatternType, PermissionType, ResourceType, ResponseError};

use super::{AclPlan, AclRules, Added, plan};
use crate::{
    config::AclConfig,
    mirror::{Error, MirroredTopic, Selection, reach::within, trouble::Troubles},
    offsets::OffsetMaps,
    records::offset_map::{AddedRule, Rule, RuleOrigin},
};

const READING_SOURCE: &str = "reading the source's ACLs";
const READING_TARGET: &str = "reading the target's ACLs";
const CREATING: &str = "creating ACLs";
const REMOVING: &str = "removing ACLs";
const NOTING: &str = "noting ACLs that were added";

/// What a connector would do about the target's ACLs now. It prints as lines: `+` to add, `-` to remove, and rules of the source that are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclDifference {
    /// To add to the target, in this order.
    pub add: Vec<AclBinding>,
    /// To remove from it, each of them added by kmirror.
    pub remove: Vec<AclBinding>,
    /// Rules of the source that are not carried, and why.
    pub left_out: Vec<(AclBinding, String)>,
}

impl fmt::Display for AclDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.add.iter().try_for_each(|binding| writeln!(f, "+ {binding}"))?;
        self.remove.iter().try_for_each(|binding| writeln!(f, "- {binding}"))?;
        self.left_out.iter().try_for_each(|(binding, reason)| writeln!(f, "  {binding}: {reason}"))
    }
}

impl From<AclPlan> for AclDifference {
    fn from(AclPlan { add, remove, left_out, .. }: AclPlan) -> Self {
        let left_out = left_out.into_iter().map(|(binding, reason)| (binding, reason.to_string())).collect();
        Self { add, remove, left_out }
    }
}

/// Whose rules are carried where, and by which rules. Clones are the same.
#[derive(Debug, Clone)]
pub(in crate::mirror) struct Acls {
    source: Cluster,
    target: Cluster,
    selection: Arc<Selection>,
    rules: Arc<AclRules>,
    removes: bool,
    /// For one step: `admin.timeout.ms`.
    limit: Duration,
    /// What was added, as far as it may be removed.
    added: Arc<Mutex<Added>>,
}

impl Acls {
    pub(in crate::mirror) fn new(
        [source, target]: [&Cluster; 2],
        selection: &Arc<Selection>,
        config: &AclConfig,
        limit: Duration,
    ) -> Self {
        // Taken apart, so that a key that is not obeyed is noticed.
        let AclConfig { prefixed, write, groups, transactional_ids, remove, principals } = config.clone();
        Self {
            source: source.clone(),
            target: target.clone(),
            selection: Arc::clone(selection),
            rules: Arc::new(AclRules { prefixed, write, groups, transactional_ids, principals }),
            removes: remove,
            limit,
            added: Arc::default(),
        }
    }

    /// Compares both ends.
    ///
    /// # Errors
    /// ACLs can't be read at one of them.
    pub(in crate::mirror) async fn plan(&self, topics: &[MirroredTopic]) -> Result<AclPlan, Error> {
        let only_topics = !(self.rules.groups || self.rules.transactional_ids);
        let kind = only_topics.then_some(ResourceType::Topic);
        let read = async |operation, cluster: &Cluster| {
            let reading = async { cluster.describe_acls(kind).await.map_err(Error::during(operation)) };
            within(self.limit, operation, cluster, reading).await
        };
        let source = read(READING_SOURCE, &self.source).await?;
        let target = read(READING_TARGET, &self.target).await?;
        let added = self.added().clone();
        Ok(plan(&source, &target, &added, topics, &self.selection, &self.rules))
    }

    /// Rules that were added have to be known, since they may be removed.
    pub(in crate::mirror) fn removes(&self) -> bool {
        self.removes
    }

    fn added(&self) -> MutexGuard<'_, Added> {
        self.added.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries access rules, again and again.
#[derive(Debug)]
pub(in crate::mirror) struct AclSync {
    connector: String,
    acls: Acls,
    troubles: Troubles,
    /// It was told that there are no rules, for want of an authorizer.
    is_without: bool,
    /// Where it stands what was added; absent where that is kept nowhere.
    notes: Option<Notes>,
}

/// What was added, in the target's offset map, for the next life.
#[derive(Debug)]
struct Notes {
    maps: OffsetMaps,
    /// Cluster id. What was added for another cluster under this alias is none of its.
    source: String,
    /// What stands there.
    stored: Added,
}

impl AclSync {
    pub(in crate::mirror) fn new(connector: &str, acls: Acls) -> Self {
        let troubles = Troubles::new(connector);
        Self { connector: connector.to_owned(), acls, troubles, is_without: false, notes: None }
    }

    /// Goes on with what earlier lives have added for this source, by its cluster id. Before the first step.
    pub(in crate::mirror) fn remember(&mut self, maps: OffsetMaps, source: String) {
        let own = maps.rules(&self.connector).into_iter().filter(|(_, origin)| origin.source_cluster == source);
        let stored: Added = own.map(|(added, origin)| (binding(added.rule), binding(origin.rule))).collect();
        self.acls.added().clone_from(&stored);
        self.notes = Some(Notes { maps, source, stored });
    }

    /// Keeps what was added, and what may have been.
    async fn note(&mut self, added: Added) {
        if !self.acls.removes {
            return;
        }
        self.acls.added().clone_from(&added);
        let Some(Notes { maps, source, stored }) = &mut self.notes else { return };
        let key = |binding: &AclBinding| AddedRule { connector: self.connector.clone(), rule: rule(binding) };
        let origin = |of: &AclBinding| RuleOrigin { source_cluster: source.clone(), rule: rule(of) };
        let new = added.iter().filter(|(binding, of)| stored.get(binding) != Some(of));
        let new = new.map(|(binding, of)| (key(binding), Some(origin(of))));
        let gone = stored.keys().filter(|binding| !added.contains_key(binding)).map(|binding| (key(binding), None));
        let changes: Vec<_> = new.chain(gone).collect();
        if changes.is_empty() {
            return;
        }
        let target = &self.acls.target;
        let noting = async { maps.note_rules(&changes).await.map_err(Error::of_map(NOTING)) };
        match within(self.acls.limit, NOTING, target, noting).await {
            Ok(()) => {
                *stored = added;
                self.troubles.worked(target, NOTING);
            }
            // With the next step again: until then it is known to this life.
            Err(error) => drop(self.troubles.failed(target, NOTING, &error.to_string())),
        }
    }

    /// Once. What can't be done is told in the log and tried again with the next step.
    pub(in crate::mirror) async fn step(&mut self, topics: &[MirroredTopic]) {
        let (source, target) = (self.acls.source.clone(), self.acls.target.clone());
        match self.acls.plan(topics).await {
            Ok(plan) => {
                self.is_without = false;
                self.troubles.worked(&source, READING_SOURCE);
                self.troubles.worked(&target, READING_TARGET);
                self.carry_out(plan).await;
            }
            Err(error) if response(&error) == Some(ResponseError::SecurityDisabled) => {
                if !std::mem::replace(&mut self.is_without, true) {
                    let connector = &self.connector;
                    tracing::info!(
                        connector,
                        "no ACLs are copied, since a cluster has no authorizer (sync.topic.acls.enabled=false saves \
                         asking): {error}"
                    );
                }
            }
            Err(error) => {
                let (cluster, what) = match &error {
                    Error::Cluster { operation: READING_TARGET, .. }
                    | Error::Timeout { operation: READING_TARGET, .. } => {
                        self.troubles.worked(&source, READING_SOURCE);
                        (&target, READING_TARGET)
                    }
                    _ => (&source, READING_SOURCE),
                };
                let cause = with_right(&error.to_string(), response(&error), "Describe");
                self.troubles.failed(cluster, what, &cause);
            }
        }
    }

    /// Adds, then removes: who was to lose one rule and to get another is never without both. What could not be added keeps the rest from
    /// being removed.
    async fn carry_out(&mut self, plan: AclPlan) {
        let AclPlan { add, remove, left_out, mut added } = plan;
        tracing::debug!(connector = self.connector, left_out = left_out.len(), "ACLs compared");
        // What is being removed, and what has no answer, stays known.
        let removed_for: Added = {
            let known = self.acls.added();
            remove.iter().filter_map(|binding| Some((binding.clone(), known.get(binding)?.clone()))).collect()
        };
        added.extend(removed_for);
        self.note(added.clone()).await;
        let (target, limit) = (self.acls.target.clone(), self.acls.limit);
        let creating = async { target.create_acls(&add).await.map_err(Error::during(CREATING)) };
        let created = if add.is_empty() { Ok(Vec::new()) } else { within(limit, CREATING, &target, creating).await };
        let created = self.outcome(CREATING, "ACLs added", created);
        let Some((_, refused)) = created else { return };
        added.retain(|binding, _| !refused.contains(binding));
        if refused.is_empty() && !remove.is_empty() {
            let removing = async { target.delete_acls(&remove).await.map_err(Error::during(REMOVING)) };
            let removed = within(limit, REMOVING, &target, removing).await;
            if let Some((removed, _)) = self.outcome(REMOVING, "ACLs removed", removed) {
                added.retain(|binding, _| !removed.contains(binding));
            }
        } else if remove.is_empty() {
            self.troubles.worked(&target, REMOVING);
        }
        self.note(added).await;
    }

    /// Tells of outcomes; returns those that were done and those that were refused. None where nothing is known.
    fn outcome(
        &mut self,
        what: &'static str,
        done: &'static str,
        outcomes: Result<Vec<(AclBinding, wire::Result<()>)>, Error>,
    ) -> Option<(BTreeSet<AclBinding>, BTreeSet<AclBinding>)> {
        let target = &self.acls.target;
        let outcomes = match outcomes {
            Ok(outcomes) => outcomes,
            Err(error) => {
                self.troubles.failed(target, what, &with_right(&error.to_string(), response(&error), "Alter"));
                return None;
            }
        };
        let (mut worked, mut refused, mut first) = (BTreeSet::new(), BTreeSet::new(), None);
        for (binding, outcome) in outcomes {
            match outcome {
                Ok(()) => drop(worked.insert(binding)),
                Err(cause) => {
                    first.get_or_insert_with(|| with_right(&cause.to_string(), cause.response(), "Alter"));
                    refused.insert(binding);
                }
            }
        }
        for binding in &worked {
            tracing::info!(connector = self.connector, cluster = target.alias(), %binding, "{done}");
        }
        match first {
            Some(first) => {
                let cause = format!("{} of them were refused, the first: {first}", refused.len());
                self.troubles.failed(target, what, &cause);
            }
            None => self.troubles.worked(target, what),
        }
        Some((worked, refused))
    }
}

fn rule(binding: &AclBinding) -> Rule {
    let AclBinding { resource_type, pattern_type, resource_name, principal, host, operation, permission } = binding;
    Rule {
        codes: [resource_type.code(), pattern_type.code(), operation.code(), permission.code()],
        resource: resource_name.clone(),
        principal: principal.clone(),
        host: host.clone(),
    }
}

fn binding(rule: Rule) -> AclBinding {
    let Rule { codes: [resource_type, pattern_type, operation, permission], resource, principal, host } = rule;
    AclBinding {
        resource_type: ResourceType::of_code(resource_type),
        pattern_type: PatternType::of_code(pattern_type),
        resource_name: resource,
        principal,
        host,
        operation: AclOperation::of_code(operation),
        permission: PermissionType::of_code(permission),
    }
}

fn response(error: &Error) -> Option<ResponseError> {
    match error {
        Error::Cluster { cause, .. } => cause.response(),
        _ => None,
    }
}

/// A refusal with the right that would help.
fn with_right(cause: &str, response: Option<ResponseError>, right: &str) -> String {
    match response {
        Some(ResponseError::ClusterAuthorizationFailed) => format!("{cause}: needed is {right} of the cluster"),
        _ => cause.to_owned(),
    }
}
