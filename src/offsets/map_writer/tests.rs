//! Writer and index against a model that knows each record.

use std::{cell::RefCell, collections::BTreeMap};

use proptest::prelude::*;

use super::*;
use crate::{
    offsets::{
        Translation,
        anchor::tests::{anchor, link},
        index::Index,
    },
    records::offset_map::MapRecord,
};

const BLOCK: u32 = 4;

/// What was copied in one go: all records, from one source offset to another.
#[derive(Debug, Clone)]
struct Pass {
    from: i64,
    end: i64,
    /// Where the target ended when it began.
    target_from: i64,
    records: BTreeMap<i64, i64>,
}

impl Pass {
    fn new(from: i64, target_from: i64) -> Self {
        Self { from, end: from, target_from, records: BTreeMap::new() }
    }

    fn covers(&self, at: i64) -> bool {
        self.from <= at && at < self.end
    }
}

/// The topic, the index, a writer; and beside them the passes.
struct World {
    writer: MapWriter,
    index: Index,
    /// Blocks by key, as the topic has them.
    blocks: RefCell<BTreeMap<BlockId, Runs>>,
    next: i64,
    generation: u64,
    passes: Vec<Pass>,
    position: i64,
    target_end: i64,
    /// Blocks were taken away: the map may know less than the model.
    knows_less: bool,
}

impl World {
    fn new() -> Self {
        Self {
            writer: MapWriter { block_runs: BLOCK, ..MapWriter::default() },
            index: Index::default(),
            blocks: RefCell::default(),
            next: 0,
            generation: 1,
            passes: vec![Pass::new(20, 0)],
            position: 20,
            target_end: 7,
            knows_less: false,
        }
    }

    fn pass(&mut self) -> &mut Pass {
        self.passes.last_mut().unwrap()
    }

    fn write(&mut self, dropped: i64, foreign: i64, records: u32) {
        self.position += dropped;
        self.target_end += foreign;
        self.writer.written(self.position, self.target_end, records);
        let (position, target) = (self.position, self.target_end);
        self.pass().records.extend((0..i64::from(records)).map(|n| (position + n, target + n)));
        self.position += i64::from(records);
        self.target_end += i64::from(records);
        self.pass().end = self.position;
    }

    fn set_position(&mut self, source: i64) {
        self.store();
        self.writer.copies_again_from(source);
        if source == self.position {
            return;
        }
        self.passes.retain(|pass| pass.end > pass.from);
        self.drop_what_leads_astray(source);
        self.position = source;
        self.passes.push(Pass::new(source, self.target_end));
    }

    /// Passes that do not lead on to all that is mirrored behind them, record by record, when the copy goes on from `source`.
    fn drop_what_leads_astray(&mut self, source: i64) {
        for at in (0..self.passes.len()).rev() {
            let covered = |passes: &[Pass], offset| passes.iter().any(|pass: &Pass| pass.covers(offset));
            let (older, newer) = (&self.passes[..at], &self.passes[at + 1..]);
            if (self.passes[at].end..source).any(|offset| covered(older, offset) && !covered(newer, offset)) {
                self.passes.remove(at);
            }
        }
    }

    /// Somebody else's copy before source offset 20 and target offset 7: what lies before each piece, its records, and whether it is the
    /// first that is known to be alike again.
    fn compare(&mut self, pieces: &[(i64, u32, bool)]) {
        self.store();
        if self.writer.uncompared() != Some(20) {
            return;
        }
        let mut older = MapWriter { block_runs: 2, ..MapWriter::default() };
        let (mut source, mut target, mut passes) = (0, 0, Vec::<Pass>::new());
        for (gap, records, is_first) in pieces {
            source += gap;
            let behind = i64::from(*records);
            if source + behind > 20 || target + behind > 7 {
                break;
            }
            if *is_first || passes.is_empty() {
                older.stretch_begins(source, target);
                passes.push(Pass::new(source, target));
            }
            older.written(source, target, *records);
            let pass = passes.last_mut().unwrap();
            pass.records.extend((0..behind).map(|n| (source + n, target + n)));
            (source, target) = (source + behind, target + behind);
            pass.end = source;
        }
        older.stretch_reaches(20);
        if let Some(last) = passes.last_mut() {
            last.end = 20;
        }
        self.writer.compared(20, (1, 2), older);
        self.passes.splice(..0, passes);
        self.drop_what_leads_astray(self.position);
    }

    /// Nothing holds any more from a place in the newest pass on.
    fn cut(&mut self, back: i64) {
        self.store();
        let Some(pass) = self.passes.last().filter(|pass| !pass.records.is_empty()) else { return };
        let mut source = (pass.end - back).max(pass.from);
        if pass.records.range(..source).next().is_none() {
            source = pass.from;
        }
        let target = pass.records.range(source..).next().map_or(self.target_end, |(_, target)| *target);
        self.writer.holds_until(source, target);
        self.passes.retain(|pass| pass.target_from < target);
        for pass in &mut self.passes {
            pass.end = pass.end.min(source);
            pass.records.retain(|offset, _| *offset < source);
        }
        self.passes.retain(|pass| pass.end > pass.from);
        self.target_end = target;
        self.position = source;
        self.writer.copies_again_from(source);
        self.passes.push(Pass::new(source, self.target_end));
    }

    fn apply(&mut self, key: &Bytes, value: Option<&Bytes>) {
        let record = MapRecord::decode(Some(key), value.map(|value| &value[..])).unwrap();
        match &record {
            MapRecord::Block(_, id, Some(block)) => drop(self.blocks.get_mut().insert(*id, block.runs.clone())),
            MapRecord::Block(_, id, None) => drop(self.blocks.get_mut().remove(id)),
            MapRecord::Anchor(..) | MapRecord::Made(..) | MapRecord::Rule(..) => {}
        }
        self.index.apply(self.next, record);
        self.next += 1;
    }

    fn store(&mut self) {
        let update = self.writer.update(anchor(self.generation, self.position, self.target_end));
        self.pass().end = self.position;
        for (key, value) in update.records(&(&link()).into(), 9) {
            self.apply(&key, Some(&value));
        }
        update.is_stored();
    }

    /// An update that is never stored.
    fn lose_update(&mut self) {
        drop(self.writer.update(anchor(self.generation, self.position, self.target_end)));
        self.pass().end = self.position;
    }

    fn take_over(&mut self) {
        self.store();
        self.generation = self.index.link(&link()).unwrap().anchor().unwrap().generation + 1;
        let stored = self.index.link(&link()).and_then(|map| map.stored());
        self.writer = MapWriter { block_runs: BLOCK, ..MapWriter::restore(stored) };
    }

    /// As a process that starts anew reads what is in the topic, void blocks first where they are still there.
    fn reopen(&mut self) {
        let map = self.index.link(&link()).unwrap();
        let anchor = map.stored().unwrap().clone();
        let void: Vec<_> = map.void(self.generation).collect();
        self.index = Index::default();
        for (id, runs) in self.blocks.get_mut().clone() {
            let value = BlockValue { source_id: 1, target_id: 2, source_epoch: 3, target_epoch: 4, runs };
            self.index.apply(self.next, MapRecord::Block((&link()).into(), id, Some(value)));
            self.next += 1;
        }
        self.index.apply(self.next, MapRecord::Anchor((&link()).into(), Some(Box::new(anchor))));
        self.next += 1;
        self.index.settle();
        assert_eq!(self.index.link(&link()).unwrap().void(self.generation).collect::<Vec<_>>(), void);
    }

    fn delete_void(&mut self) {
        let void: Vec<_> = self.index.link(&link()).unwrap().void(self.generation).collect();
        for id in void {
            self.apply(&MapKey::Block((&link()).into(), id).encode(), None);
        }
    }

    fn prune(&mut self, log_start: i64) {
        let below: Vec<_> = self.index.link(&link()).unwrap().below(log_start).collect();
        self.knows_less |= !below.is_empty();
        for id in below {
            self.apply(&MapKey::Block((&link()).into(), id).encode(), None);
        }
    }

    fn lose_block(&mut self, which: prop::sample::Index) {
        let all: Vec<_> = self.index.link(&link()).unwrap().all().collect();
        if !all.is_empty() {
            self.knows_less = true;
            let id = *which.get(&all);
            self.apply(&MapKey::Block((&link()).into(), id).encode(), None);
        }
    }

    fn translate(&self, committed: i64) -> Translation {
        let block = |id| self.blocks.borrow().get(&id).cloned().map(Arc::new);
        let map = self.index.link(&link()).unwrap();
        map.translate(committed, block).unwrap_or_else(|entry| panic!("{entry:?} is not in the topic"))
    }

    /// By stepping from record to record, the newest pass that covers an offset telling of it.
    fn expected(&self, committed: i64) -> Translation {
        let last = self.passes.iter().map(|pass| pass.end).max().unwrap();
        let mut unknown = false;
        for at in committed..last {
            let Some(pass) = self.passes.iter().rfind(|pass| pass.covers(at)) else {
                unknown = true;
                continue;
            };
            match pass.records.get(&at) {
                None => {}
                Some(target) if unknown => {
                    return Translation::BeforeMirror { first_source: at, first_target: *target };
                }
                Some(target) if at == committed => return Translation::Exact(*target),
                Some(target) => return Translation::NextMirrored(*target),
            }
        }
        // An empty pass that lies ahead has nothing, and between here and there nobody has been.
        let is_ahead = self.passes.iter().any(|pass| pass.from > committed.max(last));
        if unknown || is_ahead { Translation::Unmapped } else { Translation::MirroredEnd(self.target_end) }
    }

    fn check(&self) {
        let end = self.passes.iter().map(|pass| pass.end.max(pass.from)).max().unwrap() + 3;
        for committed in 0..end {
            let (found, expected) = (self.translate(committed), self.expected(committed));
            if self.knows_less && found != expected {
                let is_known =
                    |source, target| self.passes.iter().any(|pass| pass.records.get(&source) == Some(&target));
                match found {
                    Translation::Unmapped => {}
                    Translation::BeforeMirror { first_source, first_target } => {
                        assert!(first_source >= committed && is_known(first_source, first_target), "{found:?}");
                    }
                    _ => panic!("{committed}: {found:?}, not {expected:?}"),
                }
            } else {
                assert_eq!(found, expected, "{committed}: {:?}\n{:?}", self.passes, self.writer.eras);
            }
            self.check_skips_nothing(committed, found);
        }
    }

    /// Who reads on from there meets all that was mirrored behind the committed offset, or will when the copy gets there again.
    fn check_skips_nothing(&self, committed: i64, found: Translation) {
        let (Translation::Exact(from) | Translation::NextMirrored(from) | Translation::MirroredEnd(from)) = found
        else {
            return;
        };
        let met = |source: i64| {
            let copies = self.passes.iter().filter_map(|pass| pass.records.get(&source));
            copies.max().is_some_and(|target| *target >= from)
        };
        for source in self.passes.iter().flat_map(|pass| pass.records.range(committed..)).map(|(source, _)| *source) {
            // What a newer copy has left out (compacted since, filtered) is left out.
            let newest = self.passes.iter().rfind(|pass| pass.covers(source)).unwrap();
            let is_left_out = !newest.records.contains_key(&source);
            assert!(
                source >= self.position || is_left_out || met(source),
                "{committed} is {found:?}, which passes over {source}"
            );
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Write { dropped: i64, foreign: i64, records: u32 },
    PassOver(i64),
    Store,
    LoseUpdate,
    SetPosition(prop::sample::Index),
    Cut(i64),
    TakeOver,
    Compare(Vec<(i64, u32, bool)>),
    Reopen,
    DeleteVoid,
    Prune(prop::sample::Index),
    LoseBlock(prop::sample::Index),
}

fn steps(with_loss: bool) -> impl Strategy<Value = Vec<Step>> {
    let gap = || prop_oneof![3 => Just(0), 3 => Just(1_i64), 1 => 0..4_i64];
    let write = (gap(), prop_oneof![6 => Just(0), 1 => 0..3_i64], 1..4_u32);
    let write = write.prop_map(|(dropped, foreign, records)| Step::Write { dropped, foreign, records });
    let step = prop_oneof![
        40 => write,
        3 => (1..4_i64).prop_map(Step::PassOver),
        5 => Just(Step::Store),
        2 => Just(Step::LoseUpdate),
        2 => any::<prop::sample::Index>().prop_map(Step::SetPosition),
        1 => (0..20_i64).prop_map(Step::Cut),
        2 => Just(Step::TakeOver),
        2 => prop::collection::vec((0..4_i64, 1..3_u32, any::<bool>()), 0..6).prop_map(Step::Compare),
        2 => Just(Step::Reopen),
        2 => Just(Step::DeleteVoid),
        2 => any::<prop::sample::Index>().prop_map(move |at| if with_loss { Step::Prune(at) } else { Step::Store }),
        2 => any::<prop::sample::Index>().prop_map(move |at| if with_loss { Step::LoseBlock(at) } else { Step::Store }),
    ];
    prop::collection::vec(step, 1..120)
}

fn run(steps: Vec<Step>) {
    let mut world = World::new();
    world.writer.copies_again_from(20);
    world.writer.begins_behind_another_s();
    world.store();
    for step in steps {
        match step {
            Step::Write { dropped, foreign, records } => {
                world.write(dropped, foreign, records);
                continue;
            }
            Step::PassOver(offsets) => {
                world.position += offsets;
                continue;
            }
            Step::Store => world.store(),
            Step::LoseUpdate => {
                world.lose_update();
                continue;
            }
            Step::SetPosition(to) => {
                let to = i64::try_from(to.index(usize::try_from(world.position).unwrap() + 20)).unwrap();
                world.set_position(to);
            }
            Step::Cut(back) => world.cut(back),
            Step::TakeOver => world.take_over(),
            Step::Compare(pieces) => world.compare(&pieces),
            Step::Reopen => world.reopen(),
            Step::DeleteVoid => world.delete_void(),
            Step::Prune(to) => {
                world.prune(i64::try_from(to.index(usize::try_from(world.position).unwrap() + 1)).unwrap())
            }
            Step::LoseBlock(which) => world.lose_block(which),
        }
        world.store();
        world.check();
    }
    world.store();
    world.check();
    world.reopen();
    world.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_map_tells_what_a_model_of_each_record_tells(steps in steps(false)) {
        run(steps);
    }

    #[test]
    fn what_is_pruned_or_lost_is_never_guessed(steps in steps(true)) {
        run(steps);
    }
}

#[test]
fn a_plain_topic_is_one_run_for_ever() {
    let mut world = World::new();
    world.writer.copies_again_from(20);
    (0..10_000).for_each(|_| world.write(0, 0, 1_000));
    world.store();
    assert_eq!((world.next, world.writer.open.as_ref().unwrap().len()), (1, 1));
    assert_eq!(world.translate(5_000_020), Translation::Exact(5_000_007));
    assert_eq!(world.translate(19), Translation::BeforeMirror { first_source: 20, first_target: 7 });
    assert_eq!(world.translate(10_000_020), Translation::MirroredEnd(10_000_007));
}

#[test]
fn blocks_are_given_again_until_they_are_stored() {
    let mut world = World::new();
    (0..BLOCK * 3 + 1).for_each(|_| world.write(1, 0, 2));
    let update = |world: &mut World| world.writer.update(anchor(1, world.position, world.target_end));
    let (first, second) = (update(&mut world), update(&mut world));
    let link = MapLink::from(&link());
    assert_eq!((first.records(&link, 9).len(), second.records(&link, 9).len()), (4, 4));
    second.is_stored();
    assert_eq!(update(&mut world).records(&link, 9).len(), 1);
}

/// Copied to 100, set back to 50, copied to 70, set forward to 100: who goes on in the copy of 50 to 70 would never read 70 to 100.
#[test]
fn a_position_set_back_and_forward_again_leads_nobody_astray() {
    let mut world = World::new();
    world.writer.copies_again_from(20);
    world.write(0, 0, 80);
    world.set_position(50);
    world.write(0, 0, 20);
    world.store();
    assert_eq!(world.translate(60), Translation::Exact(97));
    world.set_position(100);
    world.write(0, 0, 10);
    world.store();
    world.check();
    assert_eq!(world.translate(60), Translation::Exact(47));
    assert_eq!(world.translate(105), Translation::Exact(112));
}

/// The target has lost all that was copied again, and some of what was copied before.
#[test]
fn what_the_target_has_lost_is_forgotten_in_all_eras() {
    let mut world = World::new();
    world.writer.copies_again_from(20);
    world.write(0, 0, 80);
    world.set_position(50);
    world.write(0, 0, 20);
    world.store();
    assert_eq!(world.translate(60), Translation::Exact(97));
    world.writer.holds_until(65, 52);
    world.writer.copies_again_from(65);
    for (key, value) in world.writer.update(anchor(1, 65, 52)).records(&(&link()).into(), 9) {
        world.apply(&key, Some(&value));
    }
    let end = Translation::MirroredEnd(52);
    assert_eq!(
        [60, 64, 65, 90].map(|at| world.translate(at)),
        [Translation::Exact(47), Translation::Exact(51), end, end]
    );
}

/// Nobody said so, but a target offset that comes once more tells.
#[test]
fn what_does_not_ascend_in_the_target_begins_anew() {
    let mut world = World::new();
    (0..i64::from(BLOCK)).for_each(|n| world.writer.written(n * 3, 100 + n * 2, 2));
    world.writer.written(50, 102, 2);
    let eras: Vec<_> = world.writer.eras.iter().map(|(_, era)| (era.from, era.end)).collect();
    assert_eq!(eras, [(0, i64::from(BLOCK) * 3 - 1), (50, 50)]);
}

#[test]
fn topics_made_again_void_what_was_mapped() {
    let mut world = World::new();
    world.writer.copies_again_from(20);
    (0..40).for_each(|_| world.write(1, 0, 2));
    world.store();
    assert!(matches!(world.translate(30), Translation::Exact(_)));
    for source_id in [7, 8] {
        // With a new copy announced, and without.
        if source_id == 7 {
            world.writer.copies_again_from(0);
            world.writer.written(0, 500, 5);
        }
        let update = world.writer.update(Anchor { source_id, ..anchor(2, 5, 505) });
        for (key, value) in update.records(&(&link()).into(), 9) {
            world.apply(&key, Some(&value));
        }
        let copied = if source_id == 7 { Translation::Exact(503) } else { Translation::Unmapped };
        assert_eq!(
            [3, 5, 30].map(|at| world.translate(at)),
            [copied, Translation::MirroredEnd(505), Translation::MirroredEnd(505)]
        );
    }
    let void = world.index.link(&link()).unwrap().void(2).count();
    assert_eq!(void, world.blocks.borrow().len());
}

#[test]
fn positions_set_without_end_keep_the_list_of_eras_short() {
    let mut world = World::new();
    for round in 0..300 {
        world.writer.copies_again_from(1_000_000 - round * 1_000);
        world.writer.written(1_000_000 - round * 1_000, round * 10, 10);
    }
    assert!(world.writer.eras.len() <= MOST_ERAS);
}

#[test]
fn what_was_compared_is_of_the_topics_and_the_beginning_that_it_was_compared_for() {
    let mut older = MapWriter::default();
    older.stretch_begins(5, 2);
    older.written(5, 2, 3);
    for (until, topics, expected) in
        [(20, (1, 2), 1), (20, (0, 2), 1), (19, (1, 2), 0), (20, (1, 3), 0), (20, (3, 2), 0)]
    {
        let mut writer = MapWriter::default();
        writer.copies_again_from(20);
        writer.begins_behind_another_s();
        drop(writer.update(anchor(1, 20, 7)));
        assert_eq!(writer.uncompared(), Some(20));
        let copy = MapWriter { eras: older.eras.clone(), open: older.open.clone(), ..MapWriter::default() };
        writer.compared(until, topics, copy);
        assert_eq!((writer.uncompared(), writer.eras.len()), (None, 1 + expected), "{until} {topics:?}");
    }
}
