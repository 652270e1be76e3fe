//! What is to become of partitions whose copy meets a gap.

use super::values::Values;

/// What happens to a partition that meets a gap of some kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GapPolicy {
    /// It stops.
    #[default]
    Fail,
    /// It goes on without what is lost.
    Continue,
    /// What the target lacks is copied again.
    Recopy,
}

/// The policy for each kind of gap, by the keys of those names: `kmirror.data.loss.policy` and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GapPolicies {
    /// The source has lost records that were not copied yet.
    pub data_loss: GapPolicy,
    /// The source's topic was deleted and made again.
    pub topic_recreated: GapPolicy,
    /// The source has lost records that were copied.
    pub source_diverged: GapPolicy,
    /// The position lies behind the end of the source's log.
    pub position_beyond_source: GapPolicy,
    /// The target's topic was deleted and made again.
    pub target_recreated: GapPolicy,
    /// The target has lost records that it had acknowledged.
    pub target_regressed: GapPolicy,
    /// Nobody knows what the target has.
    pub anchor_lost: GapPolicy,
}

/// The policies; whatever the registry has refused is [`GapPolicy::Fail`].
pub(super) fn gap_policies(values: &Values) -> GapPolicies {
    let of = |kind: &str| match values.text(&format!("kmirror.{kind}.policy")) {
        Some("continue") => GapPolicy::Continue,
        Some("recopy") => GapPolicy::Recopy,
        _ => GapPolicy::Fail,
    };
    GapPolicies {
        data_loss: of("data.loss"),
        topic_recreated: of("topic.recreated"),
        source_diverged: of("source.diverged"),
        position_beyond_source: of("position.beyond.source"),
        target_recreated: of("target.recreated"),
        target_regressed: of("target.regressed"),
        anchor_lost: of("anchor.lost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{keys::mirror_source_keys, read_properties};

    /// The policies, and the keys that are refused.
    fn read(lines: &str) -> (GapPolicies, Vec<String>) {
        let values = Values::read(mirror_source_keys(), &read_properties(lines).unwrap());
        let policies = gap_policies(&values);
        let refused = values.errors.into_iter().map(|error| error.key).filter(|key| key.starts_with("kmirror."));
        (policies, refused.collect())
    }

    #[test]
    fn each_kind_has_its_key() {
        use GapPolicy::{Continue, Recopy};
        let none = GapPolicies::default();
        let table = [
            ("", none),
            ("errors.tolerance=all\nconsumer.auto.offset.reset=latest", none),
            ("kmirror.data.loss.policy=fail", none),
            ("kmirror.data.loss.policy= continue ", GapPolicies { data_loss: Continue, ..none }),
            ("kmirror.topic.recreated.policy=continue", GapPolicies { topic_recreated: Continue, ..none }),
            ("kmirror.source.diverged.policy=continue", GapPolicies { source_diverged: Continue, ..none }),
            (
                "kmirror.position.beyond.source.policy=continue",
                GapPolicies { position_beyond_source: Continue, ..none },
            ),
            ("kmirror.position.beyond.source.policy=recopy", GapPolicies { position_beyond_source: Recopy, ..none }),
            ("kmirror.target.recreated.policy=continue", GapPolicies { target_recreated: Continue, ..none }),
            ("kmirror.target.recreated.policy=recopy", GapPolicies { target_recreated: Recopy, ..none }),
            ("kmirror.target.regressed.policy=continue", GapPolicies { target_regressed: Continue, ..none }),
            ("kmirror.target.regressed.policy=recopy", GapPolicies { target_regressed: Recopy, ..none }),
            ("kmirror.anchor.lost.policy=continue", GapPolicies { anchor_lost: Continue, ..none }),
        ];
        for (lines, expected) in table {
            assert_eq!(read(lines), (expected, Vec::new()), "{lines}");
        }
    }

    #[test]
    fn nothing_is_copied_again_that_the_source_has_lost() {
        for kind in ["data.loss", "topic.recreated", "source.diverged", "anchor.lost"] {
            let key = format!("kmirror.{kind}.policy");
            for value in ["recopy", "FAIL", "skip"] {
                assert_eq!(read(&format!("{key}={value}")), (GapPolicies::default(), vec![key.clone()]), "{value}");
            }
        }
        for kind in ["position.beyond.source", "target.recreated", "target.regressed"] {
            let key = format!("kmirror.{kind}.policy");
            assert_eq!(read(&format!("{key}=again")), (GapPolicies::default(), vec![key]));
        }
    }
}
