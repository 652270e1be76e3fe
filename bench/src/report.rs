//! Tables, ratios, and whether what is asked was met.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::{
    contestants::Contestant,
    copying::{Data, Taken},
    latency::Latencies,
    workloads::{Copy, Steady},
};

/// More than this many cores used by others spoils the times.
const NOISE: f64 = 0.15;
/// The kernel counts CPU time in hundredths of a second.
const TICK: f64 = 0.01;

/// What one workload gave.
#[derive(Debug, Default)]
pub(crate) struct Section {
    /// Markdown.
    pub(crate) table: String,
    /// A line of the table over all workloads.
    pub(crate) overview: Option<String>,
    /// A line per goal.
    pub(crate) verdicts: Vec<String>,
    pub(crate) json: Value,
}

/// A copy's section; `rounds` has every contestant's rounds, but none of one that failed.
pub(crate) fn copy(copy: &Copy, data: &Data, rounds: &[(Contestant, Vec<Taken>)]) -> Section {
    let medians: Vec<_> = rounds.iter().map(|(who, rounds)| (*who, Taken::medians(rounds))).collect();
    let gigabytes = data.bytes as f64 / 1e9;
    let wire = data.stored.bytes as f64 / 1e9;
    let mut table = format!(
        "### {}: {}\n\n{} records, {gigabytes:.2} GB of keys and values, {wire:.2} GB in batches of {:.1} kB on average, \
         {} partitions; medians of {} rounds\n\n",
        copy.name,
        copy.title,
        data.records,
        data.stored.batch_bytes() / 1e3,
        copy.topics as i32 * copy.partitions,
        rounds.iter().map(|(_, rounds)| rounds.len()).max().unwrap_or_default(),
    );
    table += "| | records/s | records per CPU-s | MB/s | CPU-s per GB | CPU-s per wire GB | peak RSS, MB | exec to REST, s | exec to first \
              record, s | connector to first record, s | to all topics made, s | target's bytes / source's |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n";
    for (who, taken) in &medians {
        let _ = writeln!(
            table,
            "| {} | {:.0} | {:.0} | {:.0} | {:.2} | {:.2} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
            who.title(),
            data.records as f64 / taken.copying,
            data.records as f64 / taken.cpu.max(TICK),
            data.bytes as f64 / 1e6 / taken.copying,
            taken.cpu / gigabytes,
            taken.cpu / wire,
            taken.peak_rss / 1e6,
            taken.to_rest,
            taken.to_first,
            taken.first,
            taken.created,
            taken.target_bytes / data.stored.bytes as f64,
        );
    }
    let ours = medians.iter().find(|(who, _)| *who == Contestant::Kmirror).map(|(_, taken)| *taken);
    let theirs: Vec<_> = medians.iter().filter(|(who, _)| *who != Contestant::Kmirror).collect();
    let mut ratios = Map::new();
    if let Some(ours) = ours {
        for (who, theirs) in &theirs {
            let _ = writeln!(
                table,
                "| kmirror against {} | {:.1}× | {:.1}× | | 1/{:.0} | | 1/{:.0} | 1/{:.0} | 1/{:.0} | 1/{:.0} | 1/{:.1} | |",
                who.title(),
                speed(&ours, theirs),
                cpu(&ours, theirs),
                cpu(&ours, theirs),
                theirs.peak_rss / ours.peak_rss,
                theirs.to_rest / ours.to_rest,
                theirs.to_first / ours.to_first,
                theirs.first / ours.first,
                theirs.created / ours.created,
            );
            ratios.insert(
                who.word().to_owned(),
                json!({"speed": speed(&ours, theirs), "cpu": cpu(&ours, theirs), "rss": theirs.peak_rss / ours.peak_rss}),
            );
        }
    }
    for (who, taken) in &medians {
        if let (Some(rss), Some(core)) = (taken.idle_rss, taken.idle_core) {
            let _ = writeln!(table, "\n{} idle: {:.0} MB, {:.2} % of a core", who.title(), rss / 1e6, core * 100.0);
        }
    }
    for (who, taken) in medians.iter().filter(|(_, taken)| taken.others > NOISE) {
        let _ = writeln!(
            table,
            "\nOther processes used {:.1} cores beside {}: take its times for nothing.",
            taken.others,
            who.title()
        );
    }
    let by_name = |value: &dyn Fn(&[Taken]) -> Value| {
        rounds.iter().map(|(who, rounds)| (who.word().to_owned(), value(rounds))).collect::<Map<_, _>>()
    };
    let json = json!({
        "records": data.records,
        "source_records": data.stored.records,
        "batches_with_gaps": data.stored.gapped,
        "bytes": data.bytes,
        "wire_bytes": data.stored.bytes,
        "batches": data.stored.batches,
        "medians": by_name(&|rounds| Taken::medians(rounds).json()),
        "rounds": by_name(&|rounds| rounds.iter().map(Taken::json).collect()),
        "kmirror_against": ratios,
    });
    let tuned = theirs.iter().find(|(who, _)| *who == Contestant::Tuned).map(|(_, taken)| *taken);
    let verdicts = ours.map(|ours| copy_verdicts(copy, data, &ours, tuned.as_ref())).unwrap_or_default();
    Section { table, overview: Some(overview(copy, data, &medians)), verdicts, json }
}

/// What [`Section::overview`] has columns for.
pub(crate) const OVERVIEW: &str = "\
| workload | records/s: kmirror | MirrorMaker 2 | tuned | kmirror against tuned | CPU-s per GB: kmirror | MirrorMaker 2 \
| tuned | tuned / kmirror | peak RSS, MB: kmirror | MirrorMaker 2 | tuned |
|---|---|---|---|---|---|---|---|---|---|---|---|
";

fn overview(copy: &Copy, data: &Data, medians: &[(Contestant, Taken)]) -> String {
    let of = |who: Contestant| medians.iter().find(|(other, _)| *other == who).map(|(_, taken)| taken);
    let cells = |figure: &dyn Fn(&Taken) -> String| {
        [Contestant::Kmirror, Contestant::Default, Contestant::Tuned]
            .map(|who| of(who).map_or_else(|| "–".to_owned(), figure))
            .join(" | ")
    };
    let both = of(Contestant::Kmirror).zip(of(Contestant::Tuned));
    format!(
        "| {} | {} | {} | {} | {} | {} |\n",
        copy.title,
        cells(&|taken| format!("{:.0}", data.records as f64 / taken.copying)),
        both.map_or_else(|| "–".to_owned(), |(ours, theirs)| format!("{:.1}×", speed(ours, theirs))),
        cells(&|taken| format!("{:.2}", taken.cpu / (data.bytes as f64 / 1e9))),
        both.map_or_else(|| "–".to_owned(), |(ours, theirs)| format!("{:.0}", cpu(ours, theirs))),
        cells(&|taken| format!("{:.0}", taken.peak_rss / 1e6)),
    )
}

fn speed(ours: &Taken, theirs: &Taken) -> f64 {
    theirs.copying / ours.copying
}

fn cpu(ours: &Taken, theirs: &Taken) -> f64 {
    theirs.cpu / ours.cpu.max(TICK)
}

fn copy_verdicts(copy: &Copy, data: &Data, ours: &Taken, tuned: Option<&Taken>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut judge = |what: &str, met: bool, found: String, wanted: String| {
        lines.push(verdict(copy.name, what, met, &found, &wanted));
    };
    if let (Some(wanted), Some(tuned)) = (copy.goals.speed, tuned) {
        let found = speed(ours, tuned);
        judge("records/s against tuned MirrorMaker 2", found >= wanted, format!("{found:.1}×"), format!("≥ {wanted}×"));
    }
    if let (Some(wanted), Some(tuned)) = (copy.goals.cpu, tuned) {
        let found = cpu(ours, tuned);
        judge("CPU-s per GB against it", found >= wanted, format!("1/{found:.0}"), format!("≤ 1/{wanted}"));
    }
    if let (Some(wanted), Some(tuned)) = (copy.goals.per_cpu, tuned) {
        let found = cpu(ours, tuned);
        judge(
            "records per CPU-s against tuned MirrorMaker 2",
            found >= wanted,
            format!("{found:.1}×"),
            format!("≥ {wanted}×"),
        );
    }
    if let Some(wanted) = copy.goals.cpu_per_gb {
        let found = ours.cpu / (data.bytes as f64 / 1e9);
        judge("CPU-s per GB", found <= wanted, format!("{found:.2}"), format!("≤ {wanted:.1}"));
    }
    if let Some(wanted) = copy.goals.rss_mb {
        let found = ours.peak_rss / 1e6;
        judge("peak RSS", found <= wanted, format!("{found:.0} MB"), format!("≤ {wanted} MB"));
    }
    if copy.goals.same_bytes {
        let found = ours.target_bytes / data.stored.bytes as f64;
        let same = (found - 1.0).abs() < 0.000_5;
        judge("target's bytes / source's", same, format!("{found:.3}"), "1.000".to_owned());
    }
    if let (Some(rss), Some(core)) = (ours.idle_rss, ours.idle_core) {
        judge("idle RSS", rss < 30e6, format!("{:.0} MB", rss / 1e6), "< 30 MB".to_owned());
        judge("idle, % of a core", core < 0.005, format!("{:.2}", core * 100.0), "< 0.5".to_owned());
    }
    lines
}

/// A line that says whether a goal was met.
pub(crate) fn verdict(workload: &str, what: &str, met: bool, found: &str, wanted: &str) -> String {
    let met = if met { "met    " } else { "NOT MET" };
    format!("{met} {workload}: {what} {found} (wanted {wanted})")
}

/// A steady stream's section.
pub(crate) fn steady(steady: &Steady, rounds: &[(Contestant, Vec<Latencies>)]) -> Section {
    let mut table = format!(
        "### {}: {}\n\n500 B JSON in LZ4, linger 5 ms, {} s; milliseconds; medians of {} rounds\n\n| | direct p50 | p99 | \
         max | mirrored p50 | p99 | max | added p50 | p99 | max | % of a core |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
        steady.name,
        steady.title,
        steady.measured.as_secs(),
        rounds.iter().map(|(_, rounds)| rounds.len()).max().unwrap_or_default(),
    );
    let mut verdicts = Vec::new();
    for (who, rounds) in rounds {
        let medians = Latencies::medians(rounds);
        let _ = write!(table, "| {} |", who.title());
        for spread in [medians.direct, medians.mirrored, medians.added] {
            let _ = write!(table, " {:.1} | {:.1} | {:.1} |", spread.p50, spread.p99, spread.max);
        }
        let _ = writeln!(table, " {:.1} |", medians.core * 100.0);
        if *who == Contestant::Kmirror {
            let wanted = steady.added_p99.as_secs_f64() * 1e3;
            let found = medians.added.p99;
            let (found, met) = (format!("{found:.1} ms"), found <= wanted);
            verdicts.push(verdict(steady.name, "added p99", met, &found, &format!("≤ {wanted} ms")));
        }
    }
    let by_name = |value: &dyn Fn(&[Latencies]) -> Value| {
        rounds.iter().map(|(who, rounds)| (who.word().to_owned(), value(rounds))).collect::<Map<_, _>>()
    };
    let json = json!({
        "rate": steady.rate,
        "medians": by_name(&|rounds| Latencies::medians(rounds).json()),
        "rounds": by_name(&|rounds| rounds.iter().map(Latencies::json).collect()),
    });
    Section { table, verdicts, json, overview: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{progress::Stored, workloads};

    fn nothing() -> Data {
        let (topics, ends, contents) = (Vec::new(), Vec::new(), Vec::new());
        Data { topics, records: 1, bytes: 1, stored: Stored::default(), ends, contents }
    }

    fn taken(copying: f64, cpu: f64) -> Taken {
        Taken { copying, cpu, peak_rss: 50e6, target_bytes: 1e9, ..Taken::default() }
    }

    #[test]
    fn ratios_and_verdicts_are_of_medians() {
        let copy_of = workloads::copies().remove(0);
        let data = Data {
            topics: copy_of.topic_names(),
            bytes: 1_500_000_000,
            records: copy_of.records,
            stored: Stored { bytes: 1_000_000_000, batches: 10_000, gapped: 0, records: copy_of.records },
            ends: Vec::new(),
            contents: Vec::new(),
        };
        let rounds = [
            (Contestant::Kmirror, vec![taken(100.0, 0.6), taken(2.0, 0.6), taken(1.0, 0.6)]),
            (Contestant::Tuned, vec![taken(20.0, 18.0), taken(0.1, 18.0), taken(10.0, 18.0)]),
        ];
        let section = copy(&copy_of, &data, &rounds);
        assert!(
            section.table.contains("| kmirror against MirrorMaker 2, tuned | 5.0× | 30.0× | | 1/30 |"),
            "{}",
            section.table
        );
        assert_eq!(section.json["kmirror_against"]["tuned"]["speed"], 5.0);
        let met: Vec<_> = section.verdicts.iter().map(|line| !line.starts_with("NOT MET")).collect();
        assert_eq!(met, [false, true, true, true, true], "{:#?}", section.verdicts);
    }

    #[test]
    fn what_is_opened_is_judged_by_cpu_and_memory() {
        let opened = workloads::opened();
        let rounds = |ours| [(Contestant::Kmirror, vec![taken(9.0, ours)]), (Contestant::Tuned, vec![taken(1.0, 9.0)])];
        for (ours, met) in [(3.0, "met    "), (3.1, "NOT MET")] {
            let section = copy(&opened[0], &nothing(), &rounds(ours));
            assert!(section.verdicts[0].starts_with(met) && section.verdicts.len() == 2, "{:#?}", section.verdicts);
        }
        let zstd = opened.iter().find(|copy| copy.name == "compacted-zstd").unwrap();
        assert_eq!(copy(zstd, &nothing(), &rounds(9.0)).verdicts.len(), 1);
    }

    #[test]
    fn nothing_is_judged_beside_nobody() {
        let copy_of = workloads::copies().remove(0);
        let data = nothing();
        let section = copy(&copy_of, &data, &[(Contestant::Tuned, vec![taken(1.0, 1.0)])]);
        assert!(section.verdicts.is_empty() && !section.table.contains("against"), "{}", section.table);
    }
}
