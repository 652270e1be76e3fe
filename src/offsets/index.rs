//! What is in memory of the maps: each link's anchor with its open block, and where the topic has the others. Pure.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use super::{
    anchor::{Anchor, Link, same_topics},
    translation::Translation,
};
use crate::records::offset_map::{
    AddedRule, AnchorValue, BlockId, BlockValue, Era, MadeIds, MadeTopic, MapRecord, Place, RuleOrigin, Runs,
};

/// Where the topic has a block, and what it covers. Forty bytes, for each block that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: BlockId,
    /// Source offsets: it has all runs of these.
    pub(super) begin: i64,
    pub(super) end: i64,
    /// The record's offset in the map's topic.
    pub(super) offset: i64,
    /// Place in [`LinkMap::topics`].
    topics: u32,
}

/// All links.
#[derive(Debug, Default)]
pub(super) struct Index {
    links: HashMap<Link, LinkMap>,
    /// Topics that were made.
    made: HashMap<MadeTopic, MadeIds>,
    /// Access rules that were added.
    rules: HashMap<AddedRule, RuleOrigin>,
    /// Numbers links, for the cache.
    met: u64,
}

/// One link's map.
#[derive(Debug, Default)]
pub(super) struct LinkMap {
    /// Tells links apart in the cache.
    pub(super) serial: u64,
    anchor: Option<AnchorValue>,
    /// By number; of those with the same one, that of the highest generation.
    blocks: VecDeque<Entry>,
    /// Topic ids that blocks bear, source and target.
    topics: Vec<(u128, u128)>,
    /// Blocks in the topic that no longer count, to be deleted by the owner.
    void: BTreeSet<BlockId>,
    /// Highest generation met, of anchors that do not count and of blocks too.
    generation: u64,
}

impl Index {
    pub(super) fn link(&self, link: &Link) -> Option<&LinkMap> {
        self.links.get(link)
    }

    /// All copies it knows of.
    pub(super) fn all(&self) -> impl Iterator<Item = &Link> {
        self.links.keys()
    }

    /// How many copies it knows of.
    pub(super) fn links(&self) -> usize {
        self.links.len()
    }

    pub(super) fn link_mut(&mut self, link: &Link) -> Option<&mut LinkMap> {
        self.links.get_mut(link)
    }

    /// Topics that were made.
    pub(super) fn made(&self) -> &HashMap<MadeTopic, MadeIds> {
        &self.made
    }

    /// Access rules that were added.
    pub(super) fn rules(&self) -> &HashMap<AddedRule, RuleOrigin> {
        &self.rules
    }

    /// Takes a record in; records come in the topic's order.
    pub(super) fn apply(&mut self, offset: i64, record: MapRecord) {
        let link = match &record {
            MapRecord::Anchor(link, _) | MapRecord::Block(link, ..) => Link::from(link.clone()),
            MapRecord::Made(made, Some(ids)) => {
                self.made.insert(made.clone(), ids.clone());
                return;
            }
            MapRecord::Made(made, None) => {
                self.made.remove(made);
                return;
            }
            MapRecord::Rule(rule, Some(origin)) => {
                self.rules.insert(rule.clone(), origin.clone());
                return;
            }
            MapRecord::Rule(rule, None) => {
                self.rules.remove(rule);
                return;
            }
        };
        let met = &mut self.met;
        let map = self.links.entry(link.clone()).or_insert_with(|| {
            *met += 1;
            LinkMap { serial: *met, ..LinkMap::default() }
        });
        match record {
            MapRecord::Anchor(_, Some(value)) => map.take_anchor(*value),
            MapRecord::Anchor(_, None) => map.anchor = None,
            MapRecord::Block(_, id, Some(value)) => map.insert(id, offset, &value),
            MapRecord::Block(_, id, None) => map.remove(id),
            MapRecord::Made(..) | MapRecord::Rule(..) => {}
        }
        if map.anchor.is_none() && map.blocks.is_empty() && map.void.is_empty() {
            self.links.remove(&link);
        }
    }

    /// After the topic has been read to its end for the first time: blocks may have come before the anchor that makes them void.
    pub(super) fn settle(&mut self) {
        for map in self.links.values_mut() {
            map.settle();
            map.blocks.shrink_to_fit();
        }
    }
}

impl LinkMap {
    /// The anchor that counts, with the highest generation met.
    pub(super) fn anchor(&self) -> Option<Anchor> {
        self.anchor.as_ref().map(|value| Anchor { generation: self.generation, ..Anchor::of(value) })
    }

    pub(super) fn stored(&self) -> Option<&AnchorValue> {
        self.anchor.as_ref()
    }

    /// Whether another owner's anchor counts, and not one of this generation and owner.
    pub(super) fn is_superseded(&self, generation: u64, owner: u64) -> bool {
        self.anchor.as_ref().is_some_and(|value| (value.generation, value.owner) > (generation, owner))
    }

    /// Blocks that an owner of this generation may delete.
    pub(super) fn void(&self, generation: u64) -> impl Iterator<Item = BlockId> {
        self.void.iter().copied().filter(move |id| id.generation <= generation)
    }

    /// Blocks that speak of nothing from this source offset on.
    pub(super) fn below(&self, source: i64) -> impl Iterator<Item = BlockId> {
        self.blocks.iter().filter(move |entry| entry.end <= source).map(|entry| entry.id)
    }

    /// All blocks that the topic has.
    pub(super) fn all(&self) -> impl Iterator<Item = BlockId> {
        self.blocks.iter().map(|entry| entry.id).chain(self.void.iter().copied())
    }

    /// A block that is not where it should be, and nowhere else. What it covered becomes a hole.
    pub(super) fn lose(&mut self, lost: &Entry) -> bool {
        let before = self.blocks.len();
        self.blocks.retain(|entry| (entry.id, entry.offset) != (lost.id, lost.offset));
        self.blocks.len() < before
    }

    fn take_anchor(&mut self, value: AnchorValue) {
        self.generation = self.generation.max(value.generation);
        if self.is_superseded(value.generation, value.owner) {
            return;
        }
        let is_settled = self.anchor.as_ref().is_some_and(|before| is_same_but_grown(before, &value));
        self.anchor = Some(value);
        if !is_settled {
            self.settle();
        }
    }

    fn insert(&mut self, id: BlockId, offset: i64, value: &BlockValue) {
        self.generation = self.generation.max(id.generation);
        let topics = (value.source_id, value.target_id);
        let at = self.topics.iter().position(|known| *known == topics).unwrap_or_else(|| {
            self.topics.push(topics);
            self.topics.len() - 1
        });
        let topics = u32::try_from(at).unwrap_or(u32::MAX);
        let entry = Entry { id, begin: value.runs.begin(), end: value.runs.end().0, offset, topics };
        match self.blocks.binary_search_by_key(&id.number, |entry| entry.id.number) {
            Err(at) => self.blocks.insert(at, entry),
            Ok(at) if self.blocks[at].id.generation > id.generation => {
                self.void.insert(id);
                return;
            }
            Ok(at) => {
                let before = std::mem::replace(&mut self.blocks[at], entry);
                self.void.insert(before.id);
            }
        }
        self.void.remove(&id);
    }

    fn remove(&mut self, id: BlockId) {
        self.void.remove(&id);
        if let Ok(at) = self.blocks.binary_search_by_key(&id.number, |entry| entry.id.number)
            && self.blocks[at].id == id
        {
            self.blocks.remove(at);
        }
    }

    /// Makes void what the anchor leaves out. What is newer than the anchor is left: its own anchor may be on the way.
    fn settle(&mut self) {
        let Some(anchor) = &self.anchor else { return };
        let (topics, void) = (&self.topics, &mut self.void);
        let next = anchor.eras.iter().map(|era| era.next_block).max().unwrap_or(0);
        self.blocks.retain(|entry| {
            let of = topics.get(entry.topics as usize).copied().unwrap_or_default();
            let is_of_topics = same_topics(of, (anchor.source_id, anchor.target_id));
            let is_in =
                |era: &Era| (era.first_block..era.next_block).contains(&entry.id.number) && entry.begin < era.end;
            let counts = is_of_topics && (entry.id.number >= next || anchor.eras.iter().any(is_in));
            if counts || entry.id.generation > anchor.generation {
                return true;
            }
            void.insert(entry.id);
            false
        });
    }

    /// What a committed source offset is in the target. Blocks that have to be looked into are asked of `block`.
    ///
    /// # Errors
    /// The block that `block` does not have: to be fetched, and asked again.
    pub(super) fn translate(
        &self,
        committed: i64,
        block: impl Fn(BlockId) -> Option<Arc<Runs>>,
    ) -> Result<Translation, Entry> {
        let Some(anchor) = &self.anchor else { return Ok(Translation::Unmapped) };
        let mut at = committed;
        // Between the committed offset and `at`, something may have been mirrored that the map does not tell, or left to be mirrored.
        let mut unknown = false;
        loop {
            let Some(place) = anchor.eras.iter().rposition(|era| era.from <= at && at < era.end) else {
                match anchor.eras.iter().map(|era| era.from).filter(|from| *from > at).min() {
                    Some(from) => (at, unknown) = (from, true),
                    None if unknown => return Ok(Translation::Unmapped),
                    None => return Ok(Translation::MirroredEnd(anchor.target_offset)),
                }
                continue;
            };
            let newer = anchor.eras[place + 1..].iter().map(|era| era.from).filter(|from| *from > at);
            let stop = newer.chain([anchor.eras[place].end]).min().unwrap_or(at + 1);
            let open = anchor.open.as_ref().filter(|_| place + 1 == anchor.eras.len());
            let found = match self.known(&anchor.eras[place], open, at) {
                Known::Block(entry) => block(entry.id).ok_or(entry)?.place(at),
                Known::Open(runs) => runs.place(at),
                Known::Nothing => Place::Behind,
                Known::Hole(until) => {
                    (at, unknown) = (until.min(stop), true);
                    continue;
                }
            };
            let (source, target) = match found {
                Place::Inside(target) => (at, target),
                Place::Before(run) if run.source < stop => (run.source, run.target),
                Place::Before(_) | Place::Behind => {
                    at = stop;
                    continue;
                }
            };
            return Ok(if unknown {
                Translation::BeforeMirror { first_source: source, first_target: target }
            } else if source == committed {
                Translation::Exact(target)
            } else {
                Translation::NextMirrored(target)
            });
        }
    }

    /// Who tells, within an era, of a source offset.
    fn known<'m>(&self, era: &Era, open: Option<&'m Runs>, at: i64) -> Known<'m> {
        if let Some(open) = open.filter(|open| open.begin() <= at) {
            return Known::Open(open);
        }
        let first = self.blocks.partition_point(|entry| entry.id.number < era.first_block);
        let end = self.blocks.partition_point(|entry| entry.id.number < era.next_block);
        let blocks = || self.blocks.range(first..end);
        // By number they are in the source's order.
        let (mut low, mut high) = (first, end);
        while low < high {
            let middle = low.midpoint(high);
            if self.blocks[middle].begin <= at { low = middle + 1 } else { high = middle }
        }
        if low > first && at < self.blocks[low - 1].end {
            return Known::Block(self.blocks[low - 1]);
        }
        let next = if low < end { Some(self.blocks[low].begin) } else { open.map(Runs::begin) };
        match next {
            Some(begin) => Known::Hole(begin),
            None if era.first_block == era.next_block => Known::Nothing,
            None if blocks().next_back().is_some_and(|last| last.id.number + 1 == era.next_block) => Known::Nothing,
            None => Known::Hole(era.end),
        }
    }
}

enum Known<'m> {
    Block(Entry),
    Open(&'m Runs),
    /// It is known that there is no run up to the era's end.
    Nothing,
    /// It is not known what there is before this source offset.
    Hole(i64),
}

/// Whether only the last era has grown: then no block that counted has become void.
fn is_same_but_grown(before: &AnchorValue, after: &AnchorValue) -> bool {
    let grown = |before: &Era, after: &Era| {
        (before.from, before.first_block) == (after.from, after.first_block)
            && before.end <= after.end
            && before.next_block <= after.next_block
    };
    let topics = |value: &AnchorValue| (value.source_id, value.target_id);
    let Some(((last_before, before_eras), (last_after, after_eras))) =
        before.eras.split_last().zip(after.eras.split_last())
    else {
        return false;
    };
    topics(before) == topics(after) && before_eras == after_eras && grown(last_before, last_after)
}
