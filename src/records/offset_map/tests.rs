use proptest::prelude::*;

use super::*;

fn link() -> MapLink {
    MapLink {
        connector: "mm2-msc".into(),
        source_topic: "orders".into(),
        source_partition: 3,
        target_topic: "A.orders".into(),
        target_partition: 3,
    }
}

/// Runs from gaps and lengths, as pushed one after the other.
fn runs(begin: i64, pieces: &[(i64, i64, i64)]) -> Runs {
    let mut runs = Runs::new(begin);
    for (source_gap, target_gap, records) in pieces {
        let end = runs.end();
        assert!(runs.push(Run { source: end.0 + source_gap, target: end.1 + target_gap, records: *records }));
    }
    runs
}

fn pieces(most: usize) -> impl Strategy<Value = Vec<(i64, i64, i64)>> {
    let gap = prop_oneof![Just(0), Just(1), 0..5_i64, 0..1_i64 << 40];
    let records = prop_oneof![1..40_i64, 1..1_i64 << 40];
    prop::collection::vec((gap.clone(), gap, records), 0..most)
}

prop_compose! {
    fn anchors()(
        generation: u64, owner: u64, source_id: u128, target_id: u128, source_epoch: i32, target_epoch: i32, producer_id: i64,
        (producer_epoch, count, source_offset, target_offset) in any::<(i16, u64, i64, i64)>(),
        left_out: Vec<i64>,
        eras in prop::collection::vec(any::<(i64, i64, i64, u32, u32)>(), 0..4),
        open in prop::option::of((0..1_i64 << 40, pieces(20))),
        is_uncompared: bool,
    ) -> AnchorValue {
        let era = |(from, end, target_from, first_block, next_block)| Era { from, end, target_from, first_block, next_block };
        AnchorValue {
            generation, owner, source_id, target_id, source_epoch, target_epoch, producer_id, producer_epoch, count, source_offset,
            target_offset, left_out,
            eras: eras.into_iter().map(era).collect(),
            open: open.map(|(begin, pieces)| runs(begin, &pieces)),
            is_uncompared,
        }
    }
}

fn block(runs: Runs) -> BlockValue {
    BlockValue { source_id: 7, target_id: u128::MAX, source_epoch: -1, target_epoch: 12, runs }
}

#[test]
fn a_transaction_takes_a_byte_or_two() {
    // Nine records and a marker; the first run begins the block.
    let mut pieces = vec![(0, 0, 9)];
    pieces.extend([(1, 0, 9); 511]);
    let key = MapKey::Block(link(), BlockId { number: 4_000, generation: 9 }).encode();
    let value = block(runs(1 << 33, &pieces)).encode(&key);
    assert!(key.len() < 40 && value.len() < 512 + 60, "{} and {} bytes", key.len(), value.len());
    pieces.iter_mut().for_each(|piece| piece.2 = 4_000);
    assert!(block(runs(1 << 33, &pieces)).encode(&key).len() < 2 * 512 + 60);
}

#[test]
fn what_is_adjacent_is_one_run_and_what_is_not_ascending_is_none() {
    let mut runs = Runs::new(10);
    let run = |source, target, records| Run { source, target, records };
    assert!(!runs.push(run(9, 0, 1)) && !runs.push(run(10, 0, 0)) && !runs.push(run(i64::MAX, 0, 1)));
    assert!(runs.push(run(10, 100, 5)) && runs.push(run(15, 105, 5)));
    assert_eq!((runs.len(), runs.end()), (1, (20, 110)));
    assert!(!runs.push(run(19, 110, 1)) && !runs.push(run(20, 109, 1)));
    assert!(runs.push(run(21, 110, 2)) && runs.push(run(23, 120, 2)));
    let all: Vec<_> = runs.iter().collect();
    assert_eq!(all, [run(10, 100, 10), run(21, 110, 2), run(23, 120, 2)]);
    assert_eq!([9, 10, 19].map(|at| runs.place(at)), [Place::Before(all[0]), Place::Inside(100), Place::Inside(109)]);
    assert_eq!(
        [20, 22, 24, 25].map(|at| runs.place(at)),
        [Place::Before(all[1]), Place::Inside(111), Place::Inside(121), Place::Behind]
    );
    assert_eq!(runs.before(22).iter().collect::<Vec<_>>(), [all[0], run(21, 110, 1)]);
    assert_eq!((runs.before(21).len(), runs.before(10).len()), (1, 0));
}

#[test]
fn unknown_records_are_named() {
    let key = MapKey::Anchor(link()).encode();
    let text = |key: &[u8], value: Option<&[u8]>| MapRecord::decode(Some(key), value).unwrap_err().to_string();
    let named = "anchor of mm2-msc: orders-3 → A.orders-3";
    assert_eq!(text(&key, Some(&[2, 0, 0])), format!("value of {named} has version 2, 1 is known here"));
    assert_eq!(text(&key, Some(&[])), format!("value of {named} is damaged: it is empty"));
    assert_eq!(text(&key, Some(&[1, 0, 0])), format!("value of {named} is damaged: it is too short"));
    assert_eq!(text(b"zzz", None), r#"unknown key "zzz""#);
    assert!(text(&[b"c", &key[1..]].concat(), None).starts_with("unknown key"));
    assert_eq!(MapRecord::decode(None, None), Err(BadRecord::NoKey));
    assert_eq!(MapRecord::decode(Some(&key), None), Ok(MapRecord::Anchor(link(), None)));
    // A value belongs to its key.
    let id = |number| MapKey::Block(link(), BlockId { number, generation: 1 }).encode();
    let value = block(runs(0, &[(0, 0, 1)])).encode(&id(7));
    assert!(MapRecord::decode(Some(&id(7)), Some(&value)).is_ok());
    assert!(text(&id(8), Some(&value)).ends_with("is damaged: its CRC is not that of its bytes"));
}

proptest! {
    #[test]
    fn keys_are_read_as_written(connector in "\\PC{0,20}", topics in any::<(String, i32, String, i32)>(), number: u32, generation: u64) {
        let (source_topic, source_partition, target_topic, target_partition) = topics;
        let link = MapLink { connector, source_topic, source_partition, target_topic, target_partition };
        for key in [MapKey::Anchor(link.clone()), MapKey::Block(link, BlockId { number, generation })] {
            prop_assert_eq!(MapKey::decode(&key.encode()), Ok(key));
        }
    }

    #[test]
    fn anchors_are_read_as_written(anchor in anchors()) {
        let key = MapKey::Anchor(link()).encode();
        let read = MapRecord::decode(Some(&key), Some(&anchor.encode(&key)));
        prop_assert_eq!(read, Ok(MapRecord::Anchor(link(), Some(Box::new(anchor)))));
    }

    #[test]
    fn runs_are_read_as_written(begin in 0..1_i64 << 50, pieces in pieces(300), number: u32, generation: u64) {
        let mut plain: Vec<Run> = Vec::new();
        let mut end = (begin, 0);
        for (source_gap, target_gap, records) in &pieces {
            let run = Run { source: end.0 + source_gap, target: end.1 + target_gap, records: *records };
            match plain.last_mut() {
                Some(last) if last.end() == (run.source, run.target) => last.records += run.records,
                _ => plain.push(run),
            }
            end = run.end();
        }
        let runs = runs(begin, &pieces);
        prop_assert_eq!(runs.iter().collect::<Vec<_>>(), plain);
        prop_assume!(!runs.is_empty());
        let id = BlockId { number, generation };
        let key = MapKey::Block(link(), id).encode();
        let block = block(runs);
        let read = MapRecord::decode(Some(&key), Some(&block.encode(&key)));
        prop_assert_eq!(read, Ok(MapRecord::Block(link(), id, Some(block))));
    }

    /// One byte or several: the record is refused, whatever they are.
    #[test]
    fn what_is_changed_is_refused(anchor in anchors(), at: Vec<(prop::sample::Index, u8)>, cut: Option<prop::sample::Index>) {
        let key = MapKey::Anchor(link()).encode();
        let value = anchor.encode(&key);
        let mut changed = value.to_vec();
        for (at, byte) in at {
            let at = at.index(changed.len());
            changed[at] ^= byte;
        }
        if let Some(cut) = cut {
            changed.truncate(cut.index(changed.len()));
        }
        let read = MapRecord::decode(Some(&key), Some(&changed));
        prop_assert_eq!(read.is_ok(), changed == value);
    }

    /// With a right sum: whatever is believed of the bytes, it is bounded by them.
    #[test]
    fn garbage_never_panics_nor_takes_much(kind in prop_oneof![Just(ANCHOR), Just(BLOCK)], garbage in prop::collection::vec(any::<u8>(), 0..200)) {
        let key = match kind {
            ANCHOR => MapKey::Anchor(link()),
            _ => MapKey::Block(link(), BlockId { number: 0, generation: 0 }),
        }
        .encode();
        let value = sealed(&key, |to| to.extend(&garbage));
        match MapRecord::decode(Some(&key), Some(&value)) {
            Ok(MapRecord::Anchor(_, Some(anchor))) => {
                prop_assert!(anchor.left_out.len() + anchor.eras.len() <= garbage.len());
                prop_assert_eq!(MapRecord::decode(Some(&key), Some(&anchor.encode(&key))), Ok(MapRecord::Anchor(link(), Some(anchor))));
            }
            Ok(MapRecord::Block(_, _, Some(block))) => prop_assert!(block.runs.iter().count() <= garbage.len()),
            Ok(other) => prop_assert!(false, "{other:?}"),
            Err(_) => {}
        }
        let _ = MapKey::decode(&garbage);
    }
}

proptest! {
    #[test]
    fn made_topics_are_read_as_they_were_written(names in any::<[String; 4]>(), target_id: u128, byte: usize, bit in 0..8_u32) {
        let [connector, source, target, source_cluster] = names;
        let (made, ids) = (MadeTopic { connector, source, target }, MadeIds { source_cluster, target_id });
        let key = MapKey::Made(made.clone()).encode();
        let value = ids.encode(&key);
        prop_assert_eq!(MapRecord::decode(Some(&key), Some(&value)), Ok(MapRecord::Made(made.clone(), Some(ids))));
        prop_assert_eq!(MapRecord::decode(Some(&key), None), Ok(MapRecord::Made(made, None)));
        let mut damaged = value.to_vec();
        let at = byte % damaged.len();
        damaged[at] ^= 1 << bit;
        prop_assert!(MapRecord::decode(Some(&key), Some(&damaged)).is_err());
    }

    #[test]
    fn rules_are_read_as_they_were_written(names in any::<[String; 5]>(), codes: [i8; 4], of: [i8; 4], byte: usize, bit in 0..8_u32) {
        let [connector, resource, principal, host, source_cluster] = names;
        let rule = Rule { codes, resource, principal, host };
        let origin = RuleOrigin { source_cluster, rule: Rule { codes: of, ..rule.clone() } };
        let added = AddedRule { connector, rule };
        let key = MapKey::Rule(added.clone()).encode();
        let value = origin.encode(&key);
        prop_assert_eq!(MapKey::decode(&key), Ok(MapKey::Rule(added.clone())));
        prop_assert_eq!(MapRecord::decode(Some(&key), Some(&value)), Ok(MapRecord::Rule(added.clone(), Some(origin))));
        prop_assert_eq!(MapRecord::decode(Some(&key), None), Ok(MapRecord::Rule(added, None)));
        let mut damaged = value.to_vec();
        let at = byte % damaged.len();
        damaged[at] ^= 1 << bit;
        prop_assert!(MapRecord::decode(Some(&key), Some(&damaged)).is_err());
    }
}
