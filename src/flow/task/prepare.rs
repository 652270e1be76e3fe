//! What a partition needs before it can be copied: an offset to begin at, a producer id, and what is known of the target's limits.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use wire::{Budget, Cluster, ConfigEntry, OffsetSpec, ProducerId, ResponseError, TopicPartition};

use crate::{
    flow::{
        Anchoring, Gap, Place, Start, StoredPosition,
        error::Stopped,
        gap::Onward,
        partition::{Before, Begun, Behind, Met, Track, Unprepared},
        tail::{Blind, LookFor, check_before, end_of_ours},
        takeover::{Beginning, Copied, NotTaken, Piece, Resumed, beginning, take_over},
    },
    offsets::{Anchor, Link, Translation},
    transforms::RecordTransforms,
};

/// Partitions that are looked into, or get a producer id, at the same time.
const AT_ONCE: usize = 16;
/// What limits a batch, bytes: beyond the first a broker refuses it as MESSAGE_TOO_LARGE, beyond the second as RECORD_LIST_TOO_LARGE.
const BATCH_LIMITS: [&str; 2] = ["max.message.bytes", "segment.bytes"];

/// The two clusters, and what is stored of copies.
#[derive(Debug, Clone)]
pub(super) struct Clusters {
    pub(super) source: Cluster,
    pub(super) target: Cluster,
    pub(super) anchoring: Option<Anchoring>,
    pub(super) read_committed: bool,
    pub(super) budget: Budget,
}

/// A partition that is to be copied.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) index: usize,
    pub(super) source: TopicPartition,
    pub(super) target: TopicPartition,
    pub(super) start: Start,
    pub(super) anchored: Option<u64>,
    /// It begins behind a gap.
    pub(super) behind: Option<Behind>,
    pub(super) transforms: Option<Arc<RecordTransforms>>,
}

fn place(cluster: &Cluster, partition: &TopicPartition) -> Place {
    Place { cluster: cluster.alias().to_owned(), partition: partition.clone() }
}

/// What it needs.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) begun: Begun,
    /// The target's, where it tells.
    pub(super) max_batch_bytes: Option<usize>,
}

/// One offset of one partition.
pub(super) async fn one_offset(cluster: &Cluster, partition: &TopicPartition, spec: OffsetSpec) -> wire::Result<i64> {
    let mut told = cluster.list_offsets(&[(partition.clone(), spec)]).await?;
    told.pop().map_or(Ok(0), |(_, offset)| offset)
}

/// The largest batch that each of these topics takes, bytes. Who may not ask finds out by what is refused.
pub(super) async fn batch_limits(cluster: &Cluster, topics: &[String]) -> BTreeMap<String, usize> {
    let told = cluster.describe_topic_configs(topics, Some(&BATCH_LIMITS)).await.unwrap_or_else(|error| {
        tracing::debug!(%error, "the target's limits are not known");
        Vec::new()
    });
    let smallest = |settings: Vec<ConfigEntry>| {
        settings
            .iter()
            .filter(|setting| BATCH_LIMITS.contains(&setting.name.as_str()))
            .filter_map(|setting| setting.value.as_ref()?.parse().ok())
            .min()
    };
    told.into_iter().filter_map(|(topic, settings)| Some((topic, smallest(settings.ok()?)?))).collect()
}

/// Where logs of the target end; none where they may not be read, which is asked for, since their end is told to whoever may write.
async fn log_ends(
    target: &Cluster,
    topics: &[String],
    targets: &[TopicPartition],
) -> BTreeMap<TopicPartition, wire::Result<Option<i64>>> {
    let (told, rights) = tokio::join!(target.log_ends(targets), target.topic_rights(topics));
    let (told, rights) = match told.and_then(|told| Ok((told, rights?))) {
        Ok(answers) => answers,
        Err(error) => return targets.iter().map(|partition| (partition.clone(), Err(error.clone()))).collect(),
    };
    let is_denied = |topic: &str| rights.get(topic).is_some_and(|rights| !rights.read);
    let denied: Vec<_> = topics.iter().filter(|topic| is_denied(topic)).collect();
    if let Some(first) = denied.first() {
        let (cluster, topics) = (target.alias(), denied.len());
        tracing::warn!(cluster, topics, "{first} may not be read: what a crash leaves behind is copied again");
    }
    let readable = |partition: &TopicPartition, end: wire::Result<i64>| match end {
        _ if is_denied(&partition.topic) => Ok(None),
        Err(error) if error.response() == Some(ResponseError::TopicAuthorizationFailed) => Ok(None),
        told => told.map(Some),
    };
    told.into_iter().map(|(partition, end)| (partition.clone(), readable(&partition, end))).collect()
}

/// Start offsets, producer ids and limits of new partitions; where each was left off, if it was copied before.
pub(super) async fn prepare(clusters: &Clusters, wanted: Vec<Wanted>) -> Vec<(usize, Result<Prepared, Unprepared>)> {
    let sources: BTreeSet<String> = wanted.iter().map(|wanted| wanted.source.topic.clone()).collect();
    let sources: Vec<String> = sources.into_iter().collect();
    let anchors = async {
        match &clusters.anchoring {
            Some(Anchoring { maps, .. }) => maps.read_on().await,
            None => Ok(()),
        }
    };
    // Which topics they are is compared with what the anchors say.
    let (anchors, met) = tokio::join!(anchors, clusters.source.topics(Some(&sources)));
    if let Err(cause) = anchors {
        let not_yet = |wanted: &Wanted| (wanted.index, Err(Unprepared::NotYet(cause.to_string())));
        return wanted.iter().map(not_yet).collect();
    }
    if let Err(cause) = met {
        return wanted.iter().map(|wanted| (wanted.index, Err(cause.clone().into()))).collect();
    }
    let asked: Vec<(TopicPartition, OffsetSpec)> = wanted
        .iter()
        .filter_map(|wanted| match wanted.start {
            Start::At(_) => None,
            Start::Earliest => Some((wanted.source.clone(), OffsetSpec::Earliest)),
            Start::Latest => Some((wanted.source.clone(), OffsetSpec::Latest)),
        })
        .collect();
    let topics: BTreeSet<String> = wanted.iter().map(|wanted| wanted.target.topic.clone()).collect();
    let topics: Vec<String> = topics.into_iter().collect();
    // Where records choose their topics none is known yet.
    let targets: Vec<TopicPartition> =
        wanted.iter().filter(|wanted| !wanted.is_routed()).map(|wanted| wanted.target.clone()).collect();
    let (told, limits, ends, mut producers) = tokio::join!(
        clusters.source.list_offsets(&asked),
        batch_limits(&clusters.target, &topics),
        log_ends(&clusters.target, &topics, &targets),
        clusters.new_producers(&wanted),
    );
    let told: BTreeMap<TopicPartition, wire::Result<i64>> = match told {
        Ok(told) => told.into_iter().collect(),
        Err(e) => asked.into_iter().map(|(partition, _)| (partition, Err(e.clone()))).collect(),
    };
    let found: Vec<(Wanted, Result<Found, Unprepared>)> = stream::iter(wanted)
        .map(|wanted| {
            let told = told.get(&wanted.source).cloned();
            let end = ends.get(&wanted.target).cloned().unwrap_or(Ok(None));
            let producer = clusters.anchor_of(&wanted).map_or_else(|| producers.pop(), |_| None);
            async move {
                let found = clusters.find(&wanted, told, end, producer).await;
                (wanted, found)
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let begun = clusters.anchor(found).await;
    begun
        .into_iter()
        .map(|(wanted, begun)| {
            let max_batch_bytes = limits.get(&wanted.target.topic).copied();
            (wanted.index, begun.map(|begun| Prepared { begun, max_batch_bytes }))
        })
        .collect()
}

/// Where a copy goes on.
struct Found {
    position: i64,
    producer: ProducerId,
    count: u64,
    target_end: Option<i64>,
    before: Before,
    source_epoch: i32,
    met: Vec<Met>,
    /// Generation of the anchor that was there.
    generation: u64,
    /// What of the map was not stored with it; absent where the copy begins anew.
    pieces: Option<Vec<Piece>>,
}

impl Wanted {
    fn is_routed(&self) -> bool {
        self.transforms.as_ref().is_some_and(|transforms| transforms.fixed_topic().is_none())
    }

    /// It goes on behind what was copied without a map, and as it was in the source.
    fn may_be_another_s(&self) -> bool {
        matches!(self.start, Start::At(_)) && self.behind.is_none() && self.transforms.is_none()
    }

    fn link(&self, connector: &str) -> Link {
        Link { connector: connector.to_owned(), source: self.source.clone(), target: self.target.clone() }
    }
}

impl Clusters {
    fn anchor_of(&self, wanted: &Wanted) -> Option<Anchor> {
        let Anchoring { connector, maps, .. } = self.anchoring.as_ref()?;
        maps.anchor(&wanted.link(connector))
    }

    /// Ids for those that have none yet, asked for ahead since brokers give them one by one; none where one was refused.
    async fn new_producers(&self, wanted: &[Wanted]) -> Vec<ProducerId> {
        let missing = wanted.iter().filter(|wanted| self.anchor_of(wanted).is_none()).count();
        let asked = stream::iter(0..missing).map(|_| self.target.init_producer_id()).buffer_unordered(AT_ONCE);
        // Whoever gets none asks again, and finds out why.
        asked.try_collect().await.unwrap_or_default()
    }

    /// Where the copy of a partition goes on: `told` is where it begins if that had to be asked, `end` is the end of the target's log, and
    /// `producer` is an id that nobody has.
    async fn find(
        &self,
        wanted: &Wanted,
        told: Option<wire::Result<i64>>,
        end: wire::Result<Option<i64>>,
        producer: Option<ProducerId>,
    ) -> Result<Found, Unprepared> {
        let target_end = end?;
        // Of what is not looked at in the target, or goes to topics by record, nothing is found again.
        let anchoring = self.anchoring.as_ref().filter(|_| target_end.is_some());
        let anchor = anchoring.and_then(|_| self.anchor_of(wanted));
        let position = match wanted.start {
            Start::At(offset) => offset,
            Start::Earliest | Start::Latest => told.unwrap_or(Ok(0))?,
        };
        if let Some((end, _)) = target_end.zip(anchoring) {
            match beginning(anchor.as_ref(), wanted.anchored) {
                Beginning::Resumed(anchor) => return self.resume(wanted, anchor, end).await,
                Beginning::Lost(cause) => return Err(self.lost(wanted, cause, position)),
                Beginning::Anew => {}
            }
        }
        let position = match wanted.behind {
            Some(Behind { onward: Onward::CopyOf(offset), .. }) => {
                self.copy_of(wanted, offset, position, anchor.as_ref()).await?
            }
            _ => position,
        };
        let after = anchor.as_ref().map(|anchor| anchor.producer);
        let producer = match (after, producer) {
            // So that what is still on its way from before is refused.
            (Some(ProducerId { id, epoch }), _) if epoch < i16::MAX => ProducerId { id, epoch: epoch + 1 },
            (_, Some(new)) => new,
            (_, None) => self.target.init_producer_id().await?,
        };
        let generation = anchor.map_or(0, |anchor| anchor.generation);
        Ok(Found {
            position,
            producer,
            count: 0,
            target_end,
            before: Before::Anything,
            source_epoch: -1,
            met: Vec::new(),
            generation,
            pieces: None,
        })
    }

    async fn resume(&self, wanted: &Wanted, anchor: &Anchor, end: i64) -> Result<Found, Unprepared> {
        let next = anchor.source_offset;
        let another = |cluster: &Cluster, partition: &TopicPartition, was: u128| {
            let is = cluster.known_topic(&partition.topic).map_or(0, |topic| topic.id);
            (was != 0 && is != 0 && was != is).then_some(is)
        };
        if let Some(is) = another(&self.source, &wanted.source, anchor.source_id) {
            let (at, was) = (place(&self.source, &wanted.source), anchor.source_id);
            return Err(Unprepared::Gap { gap: Box::new(Gap::TopicRecreated { at, was, is }), next });
        }
        if let Some(is) = another(&self.target, &wanted.target, anchor.target_id) {
            let (at, was) = (place(&self.target, &wanted.target), anchor.target_id);
            return Err(Unprepared::Gap { gap: Box::new(Gap::TargetRecreated { at, was, is }), next });
        }
        let resumed = match self.found_again(wanted, anchor, end).await {
            Ok(resumed) => resumed,
            Err(NotTaken::Blind(Blind::Regressed { from, end })) => {
                // Others may have written in the place of what was lost before that.
                let (producer, unknown) = (anchor.producer, Some(anchor.sequence()));
                let ours = end_of_ours(&self.target, &wanted.target, producer, end, unknown, &self.budget).await;
                let cause = ours.map_or_else(|blind| blind, |end| Blind::Regressed { from, end });
                return Err(self.not_taken(wanted, cause.into(), next));
            }
            Err(cause) => return Err(self.not_taken(wanted, cause, next)),
        };
        let Resumed { position, count, target_end, pieces, foreign, doubled } = resumed;
        if count > anchor.count || foreign > 0 || doubled > 0 {
            let (from, records) = (&wanted.source, count - anchor.count);
            tracing::info!(%from, position, records, foreign, doubled, "found again behind its anchor");
        }
        let (from, to) = (anchor.target_offset, target_end);
        let mut met = Vec::new();
        if foreign > 0 {
            met.push(Met::Foreign { from, to, records: foreign });
        }
        if doubled > 0 {
            met.push(Met::Doubled { from, to, records: doubled });
        }
        Ok(Found {
            position,
            producer: anchor.producer,
            count,
            target_end: Some(target_end),
            before: Before::Readable,
            // What was walked through is not of that epoch for certain, but it was compared.
            source_epoch: if position == anchor.source_offset { anchor.source_epoch } else { -1 },
            met,
            generation: anchor.generation,
            pieces: Some(pieces),
        })
    }

    /// Where a copy stands of which this anchor tells how far it was, in a log that ends at `end`.
    async fn found_again(&self, wanted: &Wanted, anchor: &Anchor, end: i64) -> Result<Resumed, NotTaken> {
        let others = end - anchor.target_offset;
        if others > 0 && self.is_last_of_ours(&wanted.target, anchor, end).await {
            return Ok(Resumed { target_end: end, foreign: others.unsigned_abs(), ..Resumed::of(anchor) });
        }
        if let Some(last) = self.last_of_copy(wanted, anchor).filter(|last| last.from <= end) {
            check_before(&self.target, &wanted.target, last, &self.budget).await?;
        }
        if others == 0 {
            return Ok(Resumed::of(anchor));
        }
        let copied = Copied {
            from: &wanted.source,
            to: &wanted.target,
            read_committed: self.read_committed,
            transforms: wanted.transforms.as_deref(),
            compacted: self.is_compacted(&wanted.source.topic).await?,
        };
        take_over(&self.source, &self.target, copied, anchor, &self.budget).await
    }

    /// Behind which batch of ours the copy goes on; none where nothing tells.
    fn last_of_copy(&self, wanted: &Wanted, anchor: &Anchor) -> Option<LookFor> {
        let Anchoring { connector, maps, .. } = self.anchoring.as_ref().filter(|_| anchor.count > 0)?;
        let from = maps.writer(&wanted.link(connector)).end_of_copy()?;
        Some(LookFor { from, producer: anchor.producer, sequence: anchor.sequence(), is_behind_ours: true })
    }

    /// Whether the leader knows that nothing of ours came after an anchor, and all that others wrote since is readable: then it need not be
    /// read through, as after a clean stop. A leader that has forgotten our producer, or knows of more, does not tell.
    async fn is_last_of_ours(&self, target: &TopicPartition, anchor: &Anchor, end: i64) -> bool {
        let last = wire::sequence_after(anchor.sequence(), -1);
        let known = self.target.describe_producers(target).await.unwrap_or_default();
        let is_last = known.iter().any(|ours| ours.producer == anchor.producer && ours.last_sequence == last);
        let readable = one_offset(&self.target, target, OffsetSpec::Latest).await;
        anchor.count > 0 && is_last && readable.is_ok_and(|readable| readable >= end)
    }

    async fn is_compacted(&self, topic: &str) -> wire::Result<bool> {
        let told = self.source.describe_topic_configs(&[topic.to_owned()], Some(&["cleanup.policy"])).await?;
        // Who may not ask takes it as not compacted: what is missing then is found out.
        let settings = told.into_iter().filter_map(|(_, settings)| settings.ok()).flatten();
        Ok(settings.filter_map(|setting| setting.value).any(|policy| policy.contains("compact")))
    }

    fn lost(&self, wanted: &Wanted, cause: String, next: i64) -> Unprepared {
        let at = place(&self.source, &wanted.source);
        Unprepared::Gap { gap: Box::new(Gap::AnchorLost { at, cause }), next }
    }

    /// Where the record stands in the source whose copy stood at this offset in the target: between `first`, where the source's log begins, and
    /// where the last anchor was stored.
    async fn copy_of(
        &self,
        wanted: &Wanted,
        offset: i64,
        first: i64,
        anchor: Option<&Anchor>,
    ) -> Result<i64, Unprepared> {
        let next = anchor.map_or(first, |anchor| anchor.source_offset);
        let Some(Anchoring { connector, maps, .. }) = &self.anchoring else {
            return Err(self.lost(wanted, "there is no offset map".to_owned(), next));
        };
        let link = wanted.link(connector);
        let stands_at = async |source: i64| {
            let told = maps.translate(&link, &[source]).await.map_err(|cause| Unprepared::NotYet(cause.to_string()))?;
            Ok::<_, Unprepared>(told.into_iter().next().unwrap_or(Translation::Unmapped))
        };
        // The first that does not stand before it: what is not in the map was there before all that is.
        let (mut low, mut high) = (first, next);
        while low < high {
            let middle = low + (high - low) / 2;
            match stands_at(middle).await? {
                Translation::Exact(at) | Translation::NextMirrored(at) | Translation::MirroredEnd(at)
                    if at >= offset =>
                {
                    high = middle;
                }
                _ => low = middle + 1,
            }
        }
        let told = stands_at(low).await?;
        // Behind records of others it stands later: then what stands before it is known to be the copy's, too.
        let follows = low > first
            && !matches!(stands_at(low - 1).await?, Translation::BeforeMirror { .. } | Translation::Unmapped);
        match told {
            Translation::Exact(at) | Translation::NextMirrored(at) | Translation::MirroredEnd(at)
                if at == offset || (at > offset && follows) =>
            {
                Ok(low)
            }
            told => {
                let cause =
                    format!("the offset map does not tell what stood at offset {offset} of the target ({told:?})");
                Err(self.lost(wanted, cause, next))
            }
        }
    }

    fn not_taken(&self, wanted: &Wanted, cause: NotTaken, next: i64) -> Unprepared {
        let lost = |cause: String| self.lost(wanted, cause, next);
        match cause {
            NotTaken::Blind(Blind::Failed(cause)) | NotTaken::Source(cause) => match cause.response() {
                Some(ResponseError::OffsetOutOfRange) => lost(cause.to_string()),
                _ => Unprepared::Failed(cause),
            },
            NotTaken::Blind(Blind::Regressed { from: acknowledged, end }) => {
                let at = place(&self.target, &wanted.target);
                Unprepared::Gap { gap: Box::new(Gap::TargetRegressed { at, acknowledged, end }), next }
            }
            NotTaken::Blind(blind @ (Blind::Unseen { .. } | Blind::Unreadable { .. })) => {
                Unprepared::NotYet(format!("log of {} in cluster {}: {blind}", wanted.target, self.target.alias()))
            }
            NotTaken::Lost(cause) => lost(cause.to_string()),
        }
    }

    /// Stores anchors of what was found, and where positions were set from outside, that this was heeded: both before anything is sent.
    async fn anchor(
        &self,
        found: Vec<(Wanted, Result<Found, Unprepared>)>,
    ) -> Vec<(Wanted, Result<Begun, Unprepared>)> {
        let Some(Anchoring { connector, maps, positions, noted }) = &self.anchoring else {
            return found.into_iter().map(|(wanted, found)| (wanted, found.map(Found::begun))).collect();
        };
        let (mut updates, mut heeded) = (Vec::new(), BTreeMap::new());
        let mut begun: Vec<(Wanted, Result<Begun, Unprepared>)> = Vec::new();
        for (wanted, found) in found {
            let mut found = match found {
                Ok(found) => found,
                Err(cause) => {
                    begun.push((wanted, Err(cause)));
                    continue;
                }
            };
            if let Some(target_offset) = found.target_end {
                let link = wanted.link(connector);
                let mut map = maps.writer(&link);
                let is_new = found.pieces.is_none();
                match found.pieces.take() {
                    Some(pieces) => {
                        pieces.into_iter().for_each(|piece| map.written(piece.source, piece.target, piece.records));
                    }
                    None => {
                        if let Some(Behind { map_holds_until: (source, target), .. }) = wanted.behind {
                            map.holds_until(source, target);
                        }
                        map.copies_again_from(found.position);
                        if noted.is_some() && found.generation == 0 && wanted.may_be_another_s() {
                            map.begins_behind_another_s();
                        }
                    }
                }
                let leader = |cluster: &Cluster, at| cluster.leader(at).map_or(-1, |leader: wire::Leader| leader.epoch);
                let id = |cluster: &Cluster, name| cluster.known_topic(name).map_or(0, |topic| topic.id);
                let anchor = Anchor {
                    generation: found.generation + 1,
                    source_id: id(&self.source, &wanted.source.topic),
                    target_id: id(&self.target, &wanted.target.topic),
                    source_epoch: found.source_epoch,
                    target_epoch: leader(&self.target, &wanted.target),
                    producer: found.producer,
                    count: found.count,
                    source_offset: found.position,
                    target_offset,
                    left_out: Vec::new(),
                };
                updates.push((link, map.update(anchor.clone())));
                if is_new {
                    // MirrorMaker takes -1 for none.
                    let offset = if wanted.start == Start::Earliest { -1 } else { found.position - 1 };
                    let position = StoredPosition { offset, anchored: Some(anchor.generation) };
                    heeded.insert(wanted.source.clone(), position);
                }
                let track = Some(Track::new(&anchor, map));
                begun.push((wanted, Ok(Begun { sequence: anchor.sequence(), track, ..found.begun() })));
            } else {
                begun.push((wanted, Ok(found.begun())));
            }
        }
        let stored = async {
            let superseded = maps.write(updates).await.map_err(|cause| cause.to_string())?;
            if !heeded.is_empty() {
                positions.store(heeded).await?;
            }
            Ok::<_, String>(superseded)
        };
        match stored.await {
            Ok(superseded) => {
                for (wanted, outcome) in &mut begun {
                    if superseded.contains(&wanted.link(connector)) && outcome.is_ok() {
                        let partition = wanted.source.clone();
                        let reason = Stopped::Superseded { partition, generation: None };
                        *outcome = Err(Unprepared::Stopped(Box::new(reason)));
                    }
                }
            }
            Err(cause) => {
                for (_, outcome) in begun.iter_mut().filter(|(_, outcome)| outcome.is_ok()) {
                    *outcome = Err(Unprepared::NotYet(cause.clone()));
                }
            }
        }
        begun
    }
}

impl Found {
    /// Without an anchor: under a new producer id.
    fn begun(self) -> Begun {
        let Self { position, producer, target_end, before, source_epoch, met, .. } = self;
        Begun { position, producer, sequence: 0, target_end, before, source_epoch, met, track: None }
    }
}
