//! Access rules of mirrored topics, carried to the target (`MirrorSourceConnector.syncTopicAcls`), decided.
//!
//! MirrorMaker's rule is the default: rules about single topics, for whom may read them; nobody is given the right to write
//! into a copy, and nothing is ever taken away. What goes beyond it is asked for by [`AclRules`]. Only what is missing is added.

mod sync;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

pub use wire::AclBinding;
use wire::{AclOperation, PatternType, PermissionType, ResourceType};

pub use self::sync::AclDifference;
pub(super) use self::sync::{AclSync, Acls};

use super::{MirroredTopic, Selection};
use crate::config::PrincipalRules;

/// What is carried beside that which MirrorMaker carries. The default is nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct AclRules {
    /// Rules about topics whose names begin with something, too. With them a rule about all topics (`*`) becomes one about all remote topics;
    /// MirrorMaker makes it one about a topic that is called so.
    pub(super) prefixed: bool,
    /// The right to write too, and all rights as all rights: for consumers and producers that move to the target together.
    pub(super) write: bool,
    /// Rules about groups, too. Groups have the same names on both sides.
    pub(super) groups: bool,
    /// Rules about transactional ids, too. They too keep their names.
    pub(super) transactional_ids: bool,
    /// What principals are called on the target.
    pub(super) principals: PrincipalRules,
}

/// Why a rule of the source is not carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LeftOut {
    /// It is about a resource of a type that is not carried.
    Resource,
    /// It is about names that begin with something, and those are not carried.
    Prefixed,
    /// A pattern of another kind, a later addition to Kafka.
    Pattern,
    /// It gives the right to write, which would let its owner write into the copy.
    Write,
    /// Its topic is not mirrored, or no mirrored topic begins so.
    NotMirrored,
    /// Remote topics do not begin with something of their own: transformations name them.
    Unnamed,
    /// No principal rule takes its principal.
    Principal,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resource => "rules about this type of resource are not carried",
            Self::Prefixed => "prefixed rules are not carried",
            Self::Pattern => "its pattern is of a type that is not known",
            Self::Write => "the right to write into a copy is not carried",
            Self::NotMirrored => "no such topic is mirrored",
            Self::Unnamed => "transformations give such topics names that have no common beginning",
            Self::Principal => "no principal mapping rule takes its principal",
        })
    }
}

/// What there is to be done on the target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AclPlan {
    /// To add, what forbids before what allows, so that nobody may for a moment what he must not. Before anything is removed.
    pub(super) add: Vec<AclBinding>,
    /// To remove, what allows before what forbids. Each was added by kmirror, for a rule that the source has no more.
    pub(super) remove: Vec<AclBinding>,
    /// Rules of the source, as they are there, that are not carried.
    pub(super) left_out: Vec<(AclBinding, LeftOut)>,
    /// What kmirror has added once all this is done, less what turns out otherwise: to be kept for the next plan.
    pub(super) added: Added,
}

/// What kmirror has added to the target, and for which rule of the source.
pub(super) type Added = BTreeMap<AclBinding, AclBinding>;

/// Compares the source's rules with the target's. `added` is what kmirror itself has added before and is allowed to remove; empty where nothing is
/// to be removed. `topics` are those mirrored now.
pub(super) fn plan(
    source: &[AclBinding],
    target: &[AclBinding],
    added: &Added,
    topics: &[MirroredTopic],
    selection: &Selection,
    rules: &AclRules,
) -> AclPlan {
    let mut wanted = Added::new();
    let mut plan = AclPlan::default();
    // Many rules are about the same few prefixes, and each looks at all topics.
    let mut prefixes = BTreeMap::new();
    for binding in source {
        let carried = carried(binding, rules, |pattern, name| match pattern {
            PatternType::Literal => literal(name, rules, selection),
            PatternType::Prefixed if rules.prefixed => {
                prefixes.entry(name.to_owned()).or_insert_with(|| prefix(name, topics, selection)).clone()
            }
            PatternType::Prefixed => Err(LeftOut::Prefixed),
            PatternType::Other(_) => Err(LeftOut::Pattern),
        });
        match carried {
            Ok(carried) => drop(wanted.insert(carried, binding.clone())),
            Err(reason) => plan.left_out.push((binding.clone(), reason)),
        }
    }
    let there: BTreeSet<&AclBinding> = target.iter().collect();
    let at_source: BTreeSet<&AclBinding> = source.iter().collect();
    for (binding, origin) in added.iter().filter(|(binding, _)| there.contains(binding)) {
        // What another configuration leaves out is not taken away from who has it.
        match wanted.get(binding).or_else(|| at_source.get(origin).copied()) {
            Some(origin) => drop(plan.added.insert(binding.clone(), origin.clone())),
            None => plan.remove.push(binding.clone()),
        }
    }
    let missing = wanted.into_iter().filter(|(binding, _)| !there.contains(binding));
    let missing: Added = missing.collect();
    plan.add = missing.keys().cloned().collect();
    plan.added.extend(missing);
    plan.add.sort_by_key(|binding| binding.permission != PermissionType::Deny);
    plan.remove.sort_by_key(|binding| binding.permission == PermissionType::Deny);
    plan.left_out.sort();
    plan
}

/// A rule as it is to be on the target. `topic` gives a topic's pattern there.
fn carried(
    binding: &AclBinding,
    rules: &AclRules,
    topic: impl FnOnce(PatternType, &str) -> Result<(PatternType, String), LeftOut>,
) -> Result<AclBinding, LeftOut> {
    let is_allowed = binding.permission == PermissionType::Allow;
    let (pattern_type, resource_name) = match binding.resource_type {
        ResourceType::Topic => topic(binding.pattern_type, &binding.resource_name)?,
        ResourceType::Group if rules.groups => same_name(binding, rules)?,
        ResourceType::TransactionalId if rules.transactional_ids => same_name(binding, rules)?,
        _ => return Err(LeftOut::Resource),
    };
    let operation = match (binding.resource_type, binding.operation) {
        (ResourceType::Topic, AclOperation::Write) if is_allowed && !rules.write => return Err(LeftOut::Write),
        (ResourceType::Topic, AclOperation::All) if is_allowed && !rules.write => AclOperation::Read,
        (_, operation) => operation,
    };
    let principal = principal(&binding.principal, &rules.principals).ok_or(LeftOut::Principal)?;
    Ok(AclBinding { pattern_type, resource_name, principal, operation, ..binding.clone() })
}

fn same_name(binding: &AclBinding, rules: &AclRules) -> Result<(PatternType, String), LeftOut> {
    match binding.pattern_type {
        PatternType::Prefixed if !rules.prefixed => Err(LeftOut::Prefixed),
        PatternType::Other(_) => Err(LeftOut::Pattern),
        pattern => Ok((pattern, binding.resource_name.clone())),
    }
}

/// All topics, in a rule.
const ALL: &str = "*";

fn literal(name: &str, rules: &AclRules, selection: &Selection) -> Result<(PatternType, String), LeftOut> {
    if !selection.should_replicate(name) {
        return Err(LeftOut::NotMirrored);
    }
    if name == ALL {
        return match selection.remote_name(name) {
            remote if remote == ALL || !rules.prefixed => Ok((PatternType::Literal, remote)),
            _ => remote_prefix("", selection).map(|prefix| (PatternType::Prefixed, prefix)).ok_or(LeftOut::Unnamed),
        };
    }
    let destination = selection.destination(name).ok_or(LeftOut::NotMirrored)?;
    Ok((PatternType::Literal, destination.topic))
}

/// What the remote names of all topics that begin so begin with.
fn prefix(prefix: &str, topics: &[MirroredTopic], selection: &Selection) -> Result<(PatternType, String), LeftOut> {
    let mut concerned = topics.iter().filter(|topic| topic.source.starts_with(prefix)).peekable();
    if concerned.peek().is_none() {
        return Err(LeftOut::NotMirrored);
    }
    let remote = remote_prefix(prefix, selection).ok_or(LeftOut::Unnamed)?;
    // A router may rename just those that there are.
    let covers_all = concerned.all(|topic| topic.remote.starts_with(&remote));
    if covers_all { Ok((PatternType::Prefixed, remote)) } else { Err(LeftOut::Unnamed) }
}

/// Found by trying: the policy knows whole names only. None where nothing is left before a topic's own name, which would mean all topics of the target.
fn remote_prefix(prefix: &str, selection: &Selection) -> Option<String> {
    let before = |rest: &str| {
        let remote = selection.destination(&format!("{prefix}{rest}"))?.topic;
        remote.strip_suffix(rest).map(str::to_owned)
    };
    let remote = before("a")?;
    (!remote.is_empty() && before("Z-0_9") == Some(remote.clone())).then_some(remote)
}

/// `User:*` is everybody, and no name.
fn principal(principal: &str, rules: &PrincipalRules) -> Option<String> {
    match principal.split_once(':') {
        Some((kind, name)) if name != "*" => Some(format!("{kind}:{}", rules.name(name)?)),
        _ => Some(principal.to_owned()),
    }
}

#[cfg(test)]
mod tests;
