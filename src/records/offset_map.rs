//! Records of the offset map's topic, `mm2-offset-map.<source alias>.internal`: where the records of a source partition stand in the target.
//!
//! Four kinds, told apart by the first byte of the key. An *anchor* (`a`), one per link, says how far a copy is, which stretches of the source
//! the map covers, and has the newest runs in it. A *block* (`b`) has runs that are finished. Their keys bind connector, both topics and
//! partitions, and for a block its number and the generation of its owner. A *made* topic (`t`) says that the target's topic was made for the
//! source's, and which ones they were; its key binds connector and both topics. An added *rule* (`r`) says that the connector gave the target an
//! access rule, and which one of the source it stands for; its key binds connector and rule.
//!
//! Numbers are LEB128, seven bits a byte; those that may be negative are zig-zag. A value is
//! `version | fields | CRC-32C of key and all before it (4 bytes, little-endian)`.

mod coding;
mod runs;

use std::fmt;

use bytes::Bytes;

use self::coding::{Reader, put_i64, put_text, put_u64};
pub use self::runs::{Place, Run, Runs};
use super::{BadRecord, lossy};

/// The version of values that is written, and the only one that is read.
const VERSION: u8 = 1;
const ANCHOR: u8 = b'a';
const BLOCK: u8 = b'b';
const MADE: u8 = b't';
const RULE: u8 = b'r';
const CRC_LEN: usize = 4;

/// Whose map it is: one partition as one connector copies it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MapLink {
    /// Connector name.
    pub connector: String,
    /// Topic in the source cluster.
    pub source_topic: String,
    /// Its partition.
    pub source_partition: i32,
    /// Topic in the target cluster.
    pub target_topic: String,
    /// Its partition.
    pub target_partition: i32,
}

impl fmt::Display for MapLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connector, source_topic, source_partition, target_topic, target_partition } = self;
        write!(f, "{connector}: {source_topic}-{source_partition} → {target_topic}-{target_partition}")
    }
}

/// Which block of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId {
    /// Counted over the link's whole life, all owners: a new owner goes on where the anchor that it found ends.
    pub number: u32,
    /// Generation of the owner that stored it. An owner that was superseded unawares may store the same number once more: as another record.
    pub generation: u64,
}

/// A topic of the target that a connector made for one of its source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MadeTopic {
    /// Connector name.
    pub connector: String,
    /// Topic in the source cluster.
    pub source: String,
    /// Topic in the target cluster.
    pub target: String,
}

/// Which ones they were: another topic of that name, or another cluster under that alias, is none of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MadeIds {
    /// Cluster id of the source.
    pub source_cluster: String,
    /// Topic id in the target cluster.
    pub target_id: u128,
}

/// An access rule, by Kafka's codes (KIP-11, KIP-290).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rule {
    /// Codes of the resource's type, the pattern's type, the operation and the permission.
    pub codes: [i8; 4],
    /// The resource's name.
    pub resource: String,
    /// Whom it is about.
    pub principal: String,
    /// Where it holds from.
    pub host: String,
}

/// An access rule of the target that a connector added.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddedRule {
    /// Connector name.
    pub connector: String,
    /// As it is in the target.
    pub rule: Rule,
}

/// What a rule was added for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleOrigin {
    /// Cluster id of the source.
    pub source_cluster: String,
    /// As it is there.
    pub rule: Rule,
}

/// A record's key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MapKey {
    /// The link's anchor.
    Anchor(MapLink),
    /// One of its blocks.
    Block(MapLink, BlockId),
    /// A topic that was made.
    Made(MadeTopic),
    /// An access rule that was added.
    Rule(AddedRule),
}

impl fmt::Display for MapKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anchor(link) => write!(f, "anchor of {link}"),
            Self::Block(link, id) => write!(f, "block {} (generation {}) of {link}", id.number, id.generation),
            Self::Made(MadeTopic { connector, source, target }) => {
                write!(f, "making of {target} for {source} by {connector}")
            }
            Self::Rule(AddedRule { connector, rule }) => {
                write!(f, "rule for {} on {} by {connector}", rule.principal, rule.resource)
            }
        }
    }
}

impl MapKey {
    /// Key bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let (kind, link, id) = match self {
            Self::Anchor(link) => (ANCHOR, link, None),
            Self::Block(link, id) => (BLOCK, link, Some(id)),
            Self::Made(MadeTopic { connector, source, target }) => {
                let mut bytes = vec![MADE];
                [connector, source, target].into_iter().for_each(|name| put_text(&mut bytes, name));
                return Bytes::from(bytes);
            }
            Self::Rule(AddedRule { connector, rule }) => {
                let mut bytes = vec![RULE];
                put_text(&mut bytes, connector);
                rule.put(&mut bytes);
                return Bytes::from(bytes);
            }
        };
        let mut bytes = vec![kind];
        put_text(&mut bytes, &link.connector);
        for (topic, partition) in
            [(&link.source_topic, link.source_partition), (&link.target_topic, link.target_partition)]
        {
            put_text(&mut bytes, topic);
            put_i64(&mut bytes, i64::from(partition));
        }
        if let Some(id) = id {
            put_u64(&mut bytes, u64::from(id.number));
            put_u64(&mut bytes, id.generation);
        }
        Bytes::from(bytes)
    }

    /// Reads key bytes.
    ///
    /// # Errors
    /// [`BadRecord::UnknownKey`] for whatever [`MapKey::encode`] does not write.
    pub fn decode(key: &[u8]) -> Result<Self, BadRecord> {
        Self::read(key).ok_or_else(|| BadRecord::UnknownKey { key: lossy(key) })
    }

    fn read(key: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(key);
        let kind = reader.byte().ok()?;
        if kind == MADE {
            let mut name = || reader.text().ok();
            let made = MadeTopic { connector: name()?, source: name()?, target: name()? };
            return reader.end().ok().map(|()| Self::Made(made));
        }
        if kind == RULE {
            let connector = reader.text().ok()?;
            let added = AddedRule { connector, rule: Rule::read(&mut reader).ok()? };
            return reader.end().ok().map(|()| Self::Rule(added));
        }
        let link = MapLink {
            connector: reader.text().ok()?,
            source_topic: reader.text().ok()?,
            source_partition: reader.number().ok()?,
            target_topic: reader.text().ok()?,
            target_partition: reader.number().ok()?,
        };
        let key = match kind {
            ANCHOR => Self::Anchor(link),
            BLOCK => {
                let number = u32::try_from(reader.u64().ok()?).ok()?;
                Self::Block(link, BlockId { number, generation: reader.u64().ok()? })
            }
            _ => return None,
        };
        reader.end().ok().map(|()| key)
    }
}

/// A stretch of the source that was copied in one go, ascending at both ends. Where two overlap, the newer one tells where records stand now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Era {
    /// First source offset that it speaks of.
    pub from: i64,
    /// One past the last.
    pub end: i64,
    /// Where the target ended when it began; all it copied stands there or behind.
    pub target_from: i64,
    /// Number of its first block.
    pub first_block: u32,
    /// One past the number of its last stored block.
    pub next_block: u32,
}

/// The value of an anchor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnchorValue {
    /// Of the owner: one more at each take-over.
    pub generation: u64,
    /// Drawn by each owner: tells two of the same generation apart. The higher one counts.
    pub owner: u64,
    /// Topic id in the source cluster, zero where it tells none.
    pub source_id: u128,
    /// Topic id in the target cluster, zero where it tells none.
    pub target_id: u128,
    /// Leader epoch last seen in the source, −1 unknown.
    pub source_epoch: i32,
    /// Leader epoch last seen in the target, −1 unknown.
    pub target_epoch: i32,
    /// Producer id that writes to the target.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// Records written since that producer began.
    pub count: u64,
    /// Next source offset to copy.
    pub source_offset: i64,
    /// One past the last record in the target that the copy wrote.
    pub target_offset: i64,
    /// Source offsets that were left out, at `source_offset` or behind.
    pub left_out: Vec<i64>,
    /// What the map covers, oldest first. Blocks outside of them are void.
    pub eras: Vec<Era>,
    /// The newest runs of the last era, not in any block. None: no copy extends the last era.
    pub open: Option<Runs>,
    /// What stands before the first era was copied by somebody else, and is still to be compared.
    pub is_uncompared: bool,
}

/// The value of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockValue {
    /// Topic id in the source cluster, zero where it tells none.
    pub source_id: u128,
    /// Topic id in the target cluster, zero where it tells none.
    pub target_id: u128,
    /// Leader epoch of the source when it was stored, −1 unknown.
    pub source_epoch: i32,
    /// Leader epoch of the target when it was stored, −1 unknown.
    pub target_epoch: i32,
    /// The runs, one at least.
    pub runs: Runs,
}

impl AnchorValue {
    /// Value bytes of the record with this key.
    #[must_use]
    pub fn encode(&self, key: &[u8]) -> Bytes {
        sealed(key, |to| {
            put_u64(to, self.generation);
            to.extend(self.owner.to_le_bytes());
            put_sides(to, [self.source_id, self.target_id], [self.source_epoch, self.target_epoch]);
            put_i64(to, self.producer_id);
            put_i64(to, i64::from(self.producer_epoch));
            put_u64(to, self.count);
            put_i64(to, self.source_offset);
            put_i64(to, self.target_offset);
            put_u64(to, self.left_out.len() as u64);
            let mut before = self.source_offset;
            for offset in &self.left_out {
                put_i64(to, offset.wrapping_sub(before));
                before = *offset;
            }
            put_u64(to, self.eras.len() as u64);
            for era in &self.eras {
                put_i64(to, era.from);
                put_i64(to, era.end.wrapping_sub(era.from));
                put_i64(to, era.target_from);
                put_u64(to, u64::from(era.first_block));
                put_u64(to, u64::from(era.next_block));
            }
            to.push(u8::from(self.open.is_some()) | u8::from(self.is_uncompared) << 1);
            if let Some(open) = &self.open {
                open.encode(to);
            }
        })
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, &'static str> {
        let generation = reader.u64()?;
        let owner = u64::from_le_bytes(reader.bytes()?);
        let ([source_id, target_id], [source_epoch, target_epoch]) = sides(reader)?;
        let (producer_id, producer_epoch) = (reader.i64()?, reader.number()?);
        let count = reader.u64()?;
        let (source_offset, target_offset) = (reader.i64()?, reader.i64()?);
        let mut left_out = Vec::new();
        let mut before = source_offset;
        for _ in 0..reader.count()? {
            before = reader.i64()?.wrapping_add(before);
            left_out.push(before);
        }
        let mut eras = Vec::new();
        for _ in 0..reader.count()? {
            let from = reader.i64()?;
            eras.push(Era {
                from,
                end: reader.i64()?.wrapping_add(from),
                target_from: reader.i64()?,
                first_block: reader.number()?,
                next_block: reader.number()?,
            });
        }
        let flags = reader.byte()?;
        let open = match flags & 1 {
            _ if flags > 3 => return Err("neither with nor without an open block"),
            0 => None,
            _ => Some(Runs::read(reader)?),
        };
        Ok(Self {
            generation,
            owner,
            source_id,
            target_id,
            source_epoch,
            target_epoch,
            producer_id,
            producer_epoch,
            count,
            source_offset,
            target_offset,
            left_out,
            eras,
            open,
            is_uncompared: flags & 2 != 0,
        })
    }
}

impl BlockValue {
    /// Value bytes of the record with this key.
    #[must_use]
    pub fn encode(&self, key: &[u8]) -> Bytes {
        sealed(key, |to| {
            put_sides(to, [self.source_id, self.target_id], [self.source_epoch, self.target_epoch]);
            self.runs.encode(to);
        })
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, &'static str> {
        let ([source_id, target_id], [source_epoch, target_epoch]) = sides(reader)?;
        let runs = Runs::read(reader)?;
        if runs.is_empty() {
            return Err("a block without runs");
        }
        Ok(Self { source_id, target_id, source_epoch, target_epoch, runs })
    }
}

/// One record of the topic; absent values are tombstones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MapRecord {
    /// How far a copy is.
    Anchor(MapLink, Option<Box<AnchorValue>>),
    /// Runs that are finished.
    Block(MapLink, BlockId, Option<BlockValue>),
    /// A topic that was made.
    Made(MadeTopic, Option<MadeIds>),
    /// An access rule that was added.
    Rule(AddedRule, Option<RuleOrigin>),
}

impl MadeIds {
    /// Value bytes of the record with this key.
    #[must_use]
    pub fn encode(&self, key: &[u8]) -> Bytes {
        sealed(key, |to| {
            put_text(to, &self.source_cluster);
            to.extend(self.target_id.to_be_bytes());
        })
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, &'static str> {
        Ok(Self { source_cluster: reader.text()?, target_id: u128::from_be_bytes(reader.bytes()?) })
    }
}

impl Rule {
    fn put(&self, to: &mut Vec<u8>) {
        to.extend(self.codes.map(|code| code.cast_unsigned()));
        [&self.resource, &self.principal, &self.host].into_iter().for_each(|text| put_text(to, text));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, &'static str> {
        let codes = reader.bytes::<4>()?.map(u8::cast_signed);
        Ok(Self { codes, resource: reader.text()?, principal: reader.text()?, host: reader.text()? })
    }
}

impl RuleOrigin {
    /// Value bytes of the record with this key.
    #[must_use]
    pub fn encode(&self, key: &[u8]) -> Bytes {
        sealed(key, |to| {
            put_text(to, &self.source_cluster);
            self.rule.put(to);
        })
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, &'static str> {
        Ok(Self { source_cluster: reader.text()?, rule: Rule::read(reader)? })
    }
}

impl MapRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// Keys of another kind, values of another version, and whatever is not as it was written.
    pub fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Self, BadRecord> {
        let key_bytes = key.ok_or(BadRecord::NoKey)?;
        let key = MapKey::decode(key_bytes)?;
        let body = value.map(|value| opened(&key, key_bytes, value)).transpose()?;
        let damaged = |what| BadRecord::Damaged { key: key.to_string(), what };
        match &key {
            MapKey::Anchor(link) => {
                let value = body.map(|body| whole(body, AnchorValue::read)).transpose().map_err(damaged)?;
                Ok(Self::Anchor(link.clone(), value.map(Box::new)))
            }
            MapKey::Block(link, id) => {
                let value = body.map(|body| whole(body, BlockValue::read)).transpose().map_err(damaged)?;
                Ok(Self::Block(link.clone(), *id, value))
            }
            MapKey::Made(made) => {
                let value = body.map(|body| whole(body, MadeIds::read)).transpose().map_err(damaged)?;
                Ok(Self::Made(made.clone(), value))
            }
            MapKey::Rule(rule) => {
                let value = body.map(|body| whole(body, RuleOrigin::read)).transpose().map_err(damaged)?;
                Ok(Self::Rule(rule.clone(), value))
            }
        }
    }
}

/// Version, fields, and the sum over key and both.
fn sealed(key: &[u8], fields: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut bytes = vec![VERSION];
    fields(&mut bytes);
    let crc = sum(key, &bytes);
    bytes.extend(crc.to_le_bytes());
    Bytes::from(bytes)
}

/// The fields of a value whose version is known and whose sum is right.
fn opened<'v>(key: &MapKey, key_bytes: &[u8], value: &'v [u8]) -> Result<&'v [u8], BadRecord> {
    let damaged = |what| BadRecord::Damaged { key: key.to_string(), what };
    match value.first() {
        None => return Err(damaged("it is empty")),
        Some(&VERSION) => {}
        Some(&found) => return Err(BadRecord::Version { key: key.to_string(), found, known: VERSION }),
    }
    let Some((summed, crc)) = value.split_last_chunk::<CRC_LEN>().filter(|(summed, _)| !summed.is_empty()) else {
        return Err(damaged("it is too short"));
    };
    if sum(key_bytes, summed) != u32::from_le_bytes(*crc) {
        return Err(damaged("its CRC is not that of its bytes"));
    }
    Ok(&summed[1..])
}

fn sum(key: &[u8], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), value)
}

/// Reads all bytes, not fewer.
fn whole<T>(body: &[u8], read: impl FnOnce(&mut Reader<'_>) -> Result<T, &'static str>) -> Result<T, &'static str> {
    let mut reader = Reader::new(body);
    let value = read(&mut reader)?;
    reader.end()?;
    Ok(value)
}

fn put_sides(to: &mut Vec<u8>, ids: [u128; 2], epochs: [i32; 2]) {
    for id in ids {
        to.extend(id.to_be_bytes());
    }
    for epoch in epochs {
        put_i64(to, i64::from(epoch));
    }
}

fn sides(reader: &mut Reader<'_>) -> Result<([u128; 2], [i32; 2]), &'static str> {
    let ids = [u128::from_be_bytes(reader.bytes()?), u128::from_be_bytes(reader.bytes()?)];
    Ok((ids, [reader.number()?, reader.number()?]))
}

#[cfg(test)]
mod tests;
