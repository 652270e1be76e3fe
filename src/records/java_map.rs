//! A Java `HashMap` with string keys, as far as it shows outside: in which order it lists its members, and as which text.

use serde_json::{Map, Value};

/// Members in the order in which a `HashMap` filled with them lists them: by bucket. Members of one bucket come by name,
/// where Java has them in the order in which they were put in.
pub(super) fn in_hash_order(members: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut buckets = 16_usize;
    // The default load factor: a table is doubled when more than three quarters of it are taken.
    while members.len() > buckets / 4 * 3 {
        buckets *= 2;
    }
    let bucket = |key: &str| {
        let hash = key.encode_utf16().fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)));
        (hash ^ (hash >> 16)) as usize & (buckets - 1)
    };
    let mut ordered: Vec<_> = members.iter().collect();
    ordered.sort_by_key(|(key, _)| (bucket(key), *key));
    ordered
}

/// A map in the words of `AbstractMap.toString`: `{cluster=A, partition=0}`.
pub fn java_text(members: &Map<String, Value>) -> String {
    let members = in_hash_order(members);
    let texts: Vec<_> = members.into_iter().map(|(key, value)| format!("{key}={}", java_value(value))).collect();
    format!("{{{}}}", texts.join(", "))
}

/// A value in the words of its `toString`.
pub fn java_value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_come_in_javas_order() {
        // What Java 17 prints of such maps.
        for expected in [
            vec!["cluster", "partition", "topic"],
            vec!["partition", "topic", "group"],
            vec!["sourceClusterAlias", "targetClusterAlias"],
        ] {
            let mut sorted = expected.clone();
            for _ in 0..expected.len() {
                sorted.rotate_left(1);
                let map = sorted.iter().map(|key| ((*key).to_owned(), Value::Null)).collect();
                let seen: Vec<_> = in_hash_order(&map).into_iter().map(|(key, _)| key.as_str()).collect();
                assert_eq!(seen, expected);
            }
        }
    }

    #[test]
    fn maps_are_told_as_java_tells_them() {
        let map = json!({"topic": "t", "partition": 3, "cluster": null});
        assert_eq!(java_text(map.as_object().unwrap()), "{cluster=null, partition=3, topic=t}");
        assert_eq!(java_text(&Map::new()), "{}");
    }
}
