//! Ten million breaks, and what they cost; two hundred thousand real transactions.

mod transactions;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use ::testkit::{
    Cluster,
    anyhow::{Context, Result, ensure},
    set_topic_configs, wait_until,
};
use ::wire::TopicPartition;
use kmirror::offsets::{OffsetMaps, Translation};

use super::super::{anchor, client, link, store, topic_of, write_transactions};

const BREAKS: u64 = 10_000_000;
/// Between two anchors: a second of five thousand transactions.
const BREAKS_PER_ANCHOR: u64 = 5_000;
const BYTES_PER_BREAK: f64 = 8.0;
/// Of a broker: its cleaner looks often for what there is to compact.
const CLEANER_PAUSE: (&str, &str) = ("log.cleaner.backoff.ms", "200");
/// Of a topic that such a broker compacts soon.
const COMPACTED_OFTEN: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("segment.ms", "500"),
    ("min.cleanable.dirty.ratio", "0.001"),
    ("delete.retention.ms", "0"),
];
/// Of the index, bytes.
const MEMORY: u64 = 2 << 20;

/// Pseudo-random, the same in each run (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit.unsigned_abs()).cast_signed()
    }
}

/// Where the breaks of a topic are.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Markers behind 1 to 200 records.
    Transactions,
    /// Up to 1,000 offsets missing in the source behind 1 to 1,000 records, and up to 1,000 foreign records in the target.
    Ragged,
}

impl Kind {
    /// Gap in the source, gap in the target, records.
    fn next(self, dice: &mut Dice) -> (i64, i64, i64) {
        match self {
            Self::Transactions => (1, 0, 1 + dice.below(200)),
            Self::Ragged => (1 + dice.below(1_000), dice.below(1_000), 1 + dice.below(1_000)),
        }
    }
}

/// Bytes of files in a directory, by the end of their names.
fn bytes_in(dir: &Path, end: &str) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(end) {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

/// What this process has in memory, bytes.
fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes << 10)
}

fn show_times(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1e6;
    eprintln!("{what}: {} times, median {:.0} µs, 99 % within {:.0} µs", times.len(), at(50), at(99));
}

async fn many_breaks(kind: Kind) -> Result<()> {
    let cluster = Cluster::start().await?;
    let target = client(&cluster.bootstrap());
    let maps = OffsetMaps::open(&target, "a", 1).await?;
    let mut writer = maps.writer(&link(0));
    writer.copies_again_from(0);
    let mut dice = Dice(7);
    let (mut source, mut at_target) = (0, 0);
    let mut samples = Vec::new();
    let begin = Instant::now();
    for n in 1..=BREAKS {
        let (source_gap, target_gap, records) = kind.next(&mut dice);
        writer.written(source, at_target, u32::try_from(records)?);
        if n % 10_007 == 0 {
            samples.push((source, at_target, source_gap, target_gap, records));
        }
        source += records + source_gap;
        at_target += records + target_gap;
        if n % BREAKS_PER_ANCHOR == 0 {
            let update = writer.update(anchor(1, source, at_target));
            ensure!(maps.write(vec![(link(0), update)]).await?.is_empty());
        }
    }
    eprintln!("{kind:?}: {BREAKS} breaks written in {:.1} s", begin.elapsed().as_secs_f64());
    drop((maps, writer));

    let dir = cluster.partition_dir(1, &topic_of("a"), 0)?;
    let (log, all) = (bytes_in(&dir, ".log")?, bytes_in(&dir, "")?);
    let per_break = log as f64 / BREAKS as f64;
    eprintln!(
        "{kind:?}: {per_break:.2} bytes a break in the log, anchors of all {} seconds included, {all} in files",
        BREAKS / BREAKS_PER_ANCHOR
    );
    ensure!(per_break <= BYTES_PER_BREAK, "{per_break} bytes a break");

    // Once before, so that buffers and connections are there.
    drop(OffsetMaps::open(&target, "warm-up", 1).await?);
    let before = resident()?;
    let begin = Instant::now();
    let maps = OffsetMaps::open(&target, "a", 1).await?;
    let (opened, after) = (begin.elapsed(), resident()?);
    let grown = after.saturating_sub(before);
    eprintln!("{kind:?}: opened in {:.0} ms, {} kB more in memory", opened.as_secs_f64() * 1e3, grown >> 10);

    let look_up = async |name: &str, samples: &[(i64, i64, i64, i64, i64)]| -> Result<()> {
        let mut times = Vec::new();
        for (source, at_target, source_gap, target_gap, records) in samples {
            let begin = Instant::now();
            let found = maps.translate(&link(0), &[source + records - 1, source + records]).await?;
            times.push(begin.elapsed());
            let next = at_target + records + target_gap;
            let expected = [Translation::Exact(at_target + records - 1), Translation::NextMirrored(next)];
            ensure!(found == expected && *source_gap > 0, "{source}: {found:?}, not {expected:?}");
        }
        show_times(&format!("{kind:?}: {name} look-up of two offsets"), times);
        Ok(())
    };
    look_up("cold", &samples).await?;
    look_up("warm", &samples[samples.len() - 100..]).await?;
    ensure!(grown <= MEMORY, "the index of {BREAKS} breaks takes {grown} bytes");
    Ok(())
}

#[tokio::test]
async fn ten_million_transactions_take_little() -> Result<()> {
    many_breaks(Kind::Transactions).await
}

#[tokio::test]
async fn ten_million_gaps_take_little() -> Result<()> {
    many_breaks(Kind::Ragged).await
}

/// The broker's cleaner takes blocks away while one reader goes by its index of before, and another reads anew.
#[tokio::test]
async fn a_map_survives_compaction() -> Result<()> {
    let cluster = Cluster::builder().property(CLEANER_PAUSE.0, CLEANER_PAUSE.1).start().await?;
    let target = client(&cluster.bootstrap());
    let maps = OffsetMaps::open(&target, "a", 1).await?;
    let topic = topic_of("a");
    set_topic_configs(&cluster.bootstrap(), &topic, &COMPACTED_OFTEN).await?;
    let mut writer = maps.writer(&link(0));
    writer.copies_again_from(0);
    // Copied, stored with an anchor each time, and from the middle on copied again.
    for n in (0..40_000).step_by(100) {
        write_transactions(&mut writer, n, n + 100);
        ensure!(store(&maps, &mut writer, 1, n + 100).await?.is_empty());
    }
    let reader = OffsetMaps::open(&target, "a", 1).await?;
    let at = TopicPartition::new(topic.as_str(), 0);
    let (before, end) = target.read_records(&at, 0).await?;
    writer.copies_again_from(100_000);
    for n in (0..20_000).step_by(100) {
        (n..n + 100).for_each(|n| writer.written(100_000 + n * 5, 160_000 + n * 4, 4));
        let update = writer.update(anchor(1, 100_000 + (n + 100) * 5, 160_000 + (n + 100) * 4));
        ensure!(maps.write(vec![(link(0), update)]).await?.is_empty());
    }
    wait_until("the cleaner to have been there", Duration::from_secs(120), || async {
        // Segments roll when something is appended.
        let update = maps.writer(&link(0)).update(anchor(1, 200_000, 240_000));
        ensure!(maps.write(vec![(link(0), update)]).await?.is_empty());
        let (after, _) = target.read_records(&at, 0).await?;
        let left = after.iter().filter(|record| record.offset < end).count();
        // The blocks of what was not copied again, and perhaps one more.
        ensure!(left <= 41, "of {} records {left} are left", before.len());
        Ok(())
    })
    .await?;
    for maps in [maps, reader, OffsetMaps::open(&target, "a", 1).await?] {
        maps.read_on().await?;
        for n in (0..20_000).step_by(7) {
            let found = maps.translate(&link(0), &[n * 5 + 1, 100_000 + n * 5 + 1]).await?;
            ensure!(
                found == [Translation::Exact(n * 4 + 1), Translation::Exact(160_000 + n * 4 + 1)],
                "{n}: {found:?}"
            );
        }
    }
    Ok(())
}
