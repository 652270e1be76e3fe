//! Offsets that a client wants to set, checked as Connect and MirrorMaker do. Pure; the texts are theirs.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    config::ConnectorClass,
    records::{OffsetPartition, java_text, java_value},
};

/// One entry of a request to alter offsets, as given.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenOffset {
    /// Connect's source partition.
    pub partition: Option<Map<String, Value>>,
    /// Its offset; absent where what is stored is to be deleted.
    pub offset: Option<Map<String, Value>>,
}

/// What is to be stored, or deleted, for each partition. Of several entries for one the last counts.
///
/// The rules are those of `OffsetUtils.validateFormat` and the connectors' `alterOffsets`: what is to be deleted may be anything, so that garbage
/// can be. The error is for the client.
pub(super) fn alterations(
    class: ConnectorClass,
    given: &[GivenOffset],
) -> Result<BTreeMap<OffsetPartition, Option<i64>>, String> {
    for map in given.iter().flat_map(|entry| [&entry.partition, &entry.offset]).flatten() {
        check_format(map)?;
    }
    let mut alterations = BTreeMap::new();
    for GivenOffset { partition, offset } in given {
        let offset = match (partition, offset) {
            (_, None) => None,
            (None, Some(_)) => return Err("Source partitions may not be null".to_owned()),
            (Some(partition), Some(offset)) => Some(check(class, partition, offset)?),
        };
        // Nothing can be stored for no partition, so nothing is there to be deleted.
        if let Some(partition) = partition {
            alterations.insert(OffsetPartition::of(partition), offset);
        }
    }
    Ok(alterations)
}

fn check_format(map: &Map<String, Value>) -> Result<(), String> {
    for (key, value) in map {
        let kind = match value {
            Value::Array(_) => "ARRAY",
            Value::Object(_) => "MAP",
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => continue,
        };
        return Err(format!("Offsets may only contain primitive types as values, but field {key} contains {kind}"));
    }
    Ok(())
}

/// Gives the source offset of the last record that counts as replicated; connectors that copy none store 0.
fn check(class: ConnectorClass, partition: &Map<String, Value>, offset: &Map<String, Value>) -> Result<i64, String> {
    let (texts, has_number) = match class {
        ConnectorClass::MirrorSource => (["cluster", "topic"], true),
        ConnectorClass::MirrorCheckpoint => (["group", "topic"], true),
        ConnectorClass::MirrorHeartbeat => (["sourceClusterAlias", "targetClusterAlias"], false),
    };
    let whose = format!("Source partition {}", java_text(partition));
    for key in texts {
        let value = member(partition, key, &whose)?;
        if !value.is_string() {
            return Err(invalid(&whose, key, value, ", which must be a string"));
        }
    }
    if has_number {
        let number = member(partition, "partition", &whose)?;
        not_negative(number, i64::from(i32::MAX)).map_err(|reason| invalid(&whose, "partition", number, reason))?;
    }
    let whose = format!("Source offset {} for source partition {}", java_text(offset), java_text(partition));
    let number = member(offset, "offset", &whose)?;
    if class == ConnectorClass::MirrorSource {
        return not_negative(number, i64::MAX).map_err(|reason| invalid(&whose, "offset", number, reason));
    }
    match number.as_i64() {
        Some(0) => Ok(0),
        Some(_) => Err(invalid(&whose, "offset", number, "; the only accepted value is 0")),
        None => Err(invalid(&whose, "offset", number, NO_INTEGER)),
    }
}

const NO_INTEGER: &str = ", which must be an integer";

fn member<'a>(map: &'a Map<String, Value>, key: &str, whose: &str) -> Result<&'a Value, String> {
    map.get(key).ok_or_else(|| format!("{whose} is missing the '{key}' key, which is required"))
}

fn not_negative(value: &Value, most: i64) -> Result<i64, &'static str> {
    match value.as_i64().filter(|number| *number <= most) {
        None => Err(NO_INTEGER),
        Some(..0) => Err(", which cannot be negative"),
        Some(number) => Ok(number),
    }
}

fn invalid(whose: &str, key: &str, value: &Value, reason: &str) -> String {
    format!("{whose} has an invalid value {} for the '{key}' key{reason}", java_value(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn given(partition: Value, offset: Value) -> GivenOffset {
        let map = |value: Value| value.as_object().cloned();
        GivenOffset { partition: map(partition), offset: map(offset) }
    }

    fn altered(partition: Value, offset: Value) -> Result<Vec<(String, Option<i64>)>, String> {
        let alterations = alterations(ConnectorClass::MirrorSource, &[given(partition, offset)])?;
        Ok(alterations.into_iter().map(|(partition, offset)| (partition.to_json().to_string(), offset)).collect())
    }

    #[test]
    fn offsets_that_mirrormaker_takes() {
        // MirrorSourceConnectorTest.testSuccessfulAlterOffsets, testAlterOffsetsOffsetValues
        for offset in [0, 10, i64::from(i32::MAX) + 1, i64::MAX] {
            let seen = altered(json!({"topic": "t", "partition": 3, "cluster": "A"}), json!({"offset": offset}));
            let partition = r#"{"cluster":"A","partition":3,"topic":"t"}"#.to_owned();
            assert_eq!(seen, Ok(vec![(partition, Some(offset))]));
        }
        assert_eq!(alterations(ConnectorClass::MirrorSource, &[]), Ok(BTreeMap::new()));
        // Members beyond those that are asked for make it another partition.
        let more = json!({"topic": "t", "partition": 3, "cluster": "A", "more": true});
        assert!(matches!(altered(more, json!({"offset": 1, "more": 2})).as_deref(), Ok([(_, Some(1))])));
    }

    // MirrorCheckpointConnectorTest.testAlterOffsetsMissingPartitionKey, testAlterOffsetsOffsetValues, testSuccessfulAlterOffsets,
    // testAlterOffsetsTombstones, MirrorHeartBeatConnectorTest.testAlterOffsetsMissingPartitionKey, testAlterOffsetsOffsetValues,
    // testSuccessfulAlterOffsets, testAlterOffsetsTombstones
    #[test]
    fn offsets_of_connectors_that_copy_nothing() {
        use ConnectorClass::{MirrorCheckpoint, MirrorHeartbeat};
        let told = |class, partition: Value, offset: Value| {
            alterations(class, &[given(partition, offset)]).map(|altered| altered.into_values().collect::<Vec<_>>())
        };
        let checkpoint = json!({"group": "g", "partition": 3, "topic": "t"});
        let heartbeat = json!({"sourceClusterAlias": "A", "targetClusterAlias": "B"});
        for (class, partition) in [(MirrorCheckpoint, &checkpoint), (MirrorHeartbeat, &heartbeat)] {
            assert_eq!(told(class, partition.clone(), json!({"offset": 0})), Ok(vec![Some(0)]));
            assert_eq!(told(class, partition.clone(), Value::Null), Ok(vec![None]));
            for (offset, reason) in
                [(json!(1), "; the only accepted value is 0"), (json!("0"), ", which must be an integer")]
            {
                let error = told(class, partition.clone(), json!({"offset": offset})).unwrap_err();
                assert!(error.ends_with(&format!("for the 'offset' key{reason}")), "{error}");
            }
        }
        for (class, partition, key) in [
            (MirrorCheckpoint, json!({"topic": "t", "partition": 3}), "group"),
            (MirrorCheckpoint, json!({"group": "g", "partition": 3}), "topic"),
            (MirrorCheckpoint, json!({"group": "g", "topic": "t"}), "partition"),
            (MirrorHeartbeat, json!({"sourceClusterAlias": "A"}), "targetClusterAlias"),
            (MirrorHeartbeat, json!({"targetClusterAlias": "A"}), "sourceClusterAlias"),
        ] {
            let error = told(class, partition, json!({"offset": 0})).unwrap_err();
            assert!(error.ends_with(&format!("is missing the '{key}' key, which is required")), "{error}");
        }
    }

    #[test]
    fn offsets_that_mirrormaker_refuses() {
        let good = || json!({"cluster": "A", "partition": 3, "topic": "t"});
        let with = |key: &str, value: Value| {
            let mut partition = good();
            partition[key] = value;
            partition
        };
        let without = |key: &str| {
            let mut partition = good();
            partition.as_object_mut().unwrap().shift_remove(key);
            partition
        };
        let partition = "Source partition {";
        let of = "for source partition {cluster=A, partition=3, topic=t}";
        for (partition, offset, expected) in [
            // MirrorSourceConnectorTest.testAlterOffsetsIncorrectPartitionKey, testAlterOffsetsMissingPartitionKey
            (Value::Null, json!({"offset": 10}), "Source partitions may not be null".to_owned()),
            (
                json!({"unused": "x"}),
                json!({"offset": 10}),
                format!("{partition}unused=x}} is missing the 'cluster' key, which is required"),
            ),
            (
                json!({}),
                json!({"offset": 10}),
                format!("{partition}}} is missing the 'cluster' key, which is required"),
            ),
            (
                without("cluster"),
                json!({"offset": 10}),
                format!("{partition}partition=3, topic=t}} is missing the 'cluster' key, which is required"),
            ),
            (
                without("topic"),
                json!({"offset": 10}),
                format!("{partition}cluster=A, partition=3}} is missing the 'topic' key, which is required"),
            ),
            (
                without("partition"),
                json!({"offset": 10}),
                format!("{partition}cluster=A, topic=t}} is missing the 'partition' key, which is required"),
            ),
            (
                with("topic", json!(7)),
                json!({"offset": 10}),
                format!(
                    "{partition}cluster=A, partition=3, topic=7}} has an invalid value 7 for the 'topic' key, which must be a string"
                ),
            ),
            (
                with("cluster", Value::Null),
                json!({"offset": 10}),
                format!(
                    "{partition}cluster=null, partition=3, topic=t}} has an invalid value null for the 'cluster' key, which must be a string"
                ),
            ),
            // MirrorSourceConnectorTest.testAlterOffsetsInvalidPartitionPartition
            (
                with("partition", json!("a string")),
                json!({"offset": 10}),
                format!(
                    "{partition}cluster=A, partition=a string, topic=t}} has an invalid value a string for the 'partition' key, which must be an integer"
                ),
            ),
            (
                with("partition", json!(2_147_483_648_i64)),
                json!({"offset": 10}),
                format!(
                    "{partition}cluster=A, partition=2147483648, topic=t}} has an invalid value 2147483648 for the 'partition' key, which must be an integer"
                ),
            ),
            (
                with("partition", json!(-1)),
                json!({"offset": 10}),
                format!(
                    "{partition}cluster=A, partition=-1, topic=t}} has an invalid value -1 for the 'partition' key, which cannot be negative"
                ),
            ),
            // MirrorSourceConnectorTest.testAlterOffsetsIncorrectOffsetKey, testAlterOffsetsOffsetValues
            (
                good(),
                json!({"unused": 0}),
                format!("Source offset {{unused=0}} {of} is missing the 'offset' key, which is required"),
            ),
        ] {
            assert_eq!(altered(partition, offset), Err(expected));
        }
        for (value, reason) in [
            (json!("nan"), "must be an integer"),
            (Value::Null, "must be an integer"),
            (json!(3.5), "must be an integer"),
            (json!("10"), "must be an integer"),
            (json!(true), "must be an integer"),
            (json!(u64::MAX), "must be an integer"),
            (json!(-420), "cannot be negative"),
        ] {
            let text = java_value(&value);
            let expected = format!(
                "Source offset {{offset={text}}} {of} has an invalid value {text} for the 'offset' key, which {reason}"
            );
            assert_eq!(altered(good(), json!({"offset": value})), Err(expected));
        }
    }

    #[test]
    fn anything_may_be_deleted() {
        // MirrorSourceConnectorTest.testAlterOffsetsTombstones
        for partition in [json!({"a": 1, "b": null}), json!({}), json!({"cluster": 1, "partition": -3, "topic": "t"})] {
            assert_eq!(altered(partition.clone(), Value::Null), Ok(vec![(partition.to_string(), None)]));
        }
        assert_eq!(altered(Value::Null, Value::Null), Ok(Vec::new()));
    }

    #[test]
    fn only_flat_maps_are_taken() {
        let text = |field: &str, kind: &str| {
            Err(format!("Offsets may only contain primitive types as values, but field {field} contains {kind}"))
        };
        assert_eq!(altered(json!({"a": [1]}), Value::Null), text("a", "ARRAY"));
        assert_eq!(altered(json!({"a": 1}), json!({"offset": {}})), text("offset", "MAP"));
    }

    #[test]
    fn the_last_word_on_a_partition_counts() {
        let partition = || json!({"cluster": "A", "partition": 3, "topic": "t"});
        let swapped = json!({"topic": "t", "partition": 3, "cluster": "A"});
        let entries = [given(partition(), json!({"offset": 1})), given(swapped, json!({"offset": 2}))];
        assert_eq!(
            alterations(ConnectorClass::MirrorSource, &entries).unwrap().into_values().collect::<Vec<_>>(),
            [Some(2)]
        );
        let entries = [given(partition(), json!({"offset": 1})), given(partition(), Value::Null)];
        assert_eq!(
            alterations(ConnectorClass::MirrorSource, &entries).unwrap().into_values().collect::<Vec<_>>(),
            [None]
        );
    }
}
