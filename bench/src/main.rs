//! Mirrors the same topics with kmirror and with real MirrorMaker 2, on the same brokers one after the other, and prints what each took.
//! Absolute times differ from machine to machine; the ratios are what counts.
#![expect(clippy::print_stdout, reason = "the tables are the program's result")]

mod brokers;
mod contents;
mod contestants;
mod copying;
mod delay;
mod latency;
mod machine;
mod place;
mod progress;
mod report;
mod scale;
mod shaped;
mod stats;
mod trouble;
mod warm_up;
mod worker;
mod workloads;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use clap::Parser;
use serde_json::{Map, Value, json};
use testkit::{
    anyhow::{Context, Result, bail, ensure},
    delete_topics,
};
use tokio::signal::unix::{SignalKind, signal};

use brokers::Brokers;
use contestants::{Contestant, Ends};
use place::Place;
use report::Section;
use workloads::{Copy, Steady};

/// Heap of each broker.
const HEAP_MB: u32 = 1_024;
/// The group of copies whose batches can't all pass as they are. Only where named, or one of them.
const OPENED: &str = "opened";
/// The series over numbers of partitions. Not a workload of its own accord: it takes minutes and has no other contestant.
const SCALE: &str = "scale";
/// What trouble costs: likewise.
const TROUBLE: &str = "trouble";

/// kmirror beside MirrorMaker 2 on the same brokers, one after the other.
#[derive(Debug, Parser)]
struct Arguments {
    /// Which workloads or groups of them (--list names them); unless named, all that no group has
    workloads: Vec<String>,
    /// Lists the workloads
    #[arg(long)]
    list: bool,
    /// How often each contestant copies each workload; medians are shown. The order changes from round to round
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Who takes part
    #[arg(long, value_delimiter = ',', default_value = "kmirror,default,tuned")]
    contestants: Vec<Contestant>,
    /// One round with an eighth of the records: shows that all works, the figures mean little
    #[arg(long)]
    quick: bool,
    /// Takes this many records instead of each copy's own number
    #[arg(long)]
    records: Option<u64>,
    /// Tasks of the connector
    #[arg(long, default_value_t = 4)]
    tasks: u32,
    /// A key of the connector of tuned MirrorMaker 2, as key=value; it wins over the bench's own
    #[arg(long = "tune", value_parser = key_value)]
    tuning: Vec<(String, String)>,
    /// Directory for the brokers' data; in memory (/dev/shm) if there is room, else among temporary files unless set
    #[arg(long)]
    data: Option<PathBuf>,
    /// Directory for report.md and report.json
    #[arg(long)]
    results: PathBuf,
    /// The kmirror program
    #[arg(long)]
    kmirror: PathBuf,
}

fn key_value(text: &str) -> std::result::Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("want key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// What holds for all workloads.
struct Choices {
    contestants: Vec<Contestant>,
    rounds: u32,
    tasks: u32,
    tuning: Vec<(String, String)>,
    kmirror: PathBuf,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    // Nothing is started for a list.
    let place = if arguments.list { None } else { Some(Place::enter(arguments.data.as_deref())?) };
    let runtime = tokio::runtime::Runtime::new()?;
    let done = runtime.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        // What was left of an interrupted run would take memory until the next one.
        tokio::select! {
            done = run(arguments, place.as_ref()) => done.map(|()| ExitCode::SUCCESS),
            _ = interrupt.recv() => Ok(ExitCode::from(130)),
            _ = terminate.recv() => Ok(ExitCode::from(143)),
        }
    });
    // Producing may still be under way, to brokers that are gone.
    runtime.shutdown_background();
    done
}

async fn run(arguments: Arguments, place: Option<&Place>) -> Result<()> {
    let (mut copies, mut opened) = (workloads::copies(), workloads::opened());
    let mut streams = workloads::steady_streams().to_vec();
    if arguments.list {
        copies.iter().for_each(|copy| println!("{:18} {}", copy.name, copy.title));
        streams.iter().for_each(|steady| println!("{:18} {}", steady.name, steady.title));
        println!("{OPENED:18} copies whose batches can't all pass as they are (only where named):");
        opened.iter().for_each(|copy| println!("  {:16} {}", copy.name, copy.title));
        println!("{SCALE:18} kmirror at 10 to 10,000 partitions: speed and memory (only where named)");
        println!("{TROUBLE:18} what trouble costs kmirror (only where named)");
        return Ok(());
    }
    let known: Vec<_> = copies.iter().chain(&opened).map(|copy| copy.name).collect();
    let known: Vec<_> =
        known.into_iter().chain(streams.iter().map(|s| s.name)).chain([OPENED, SCALE, TROUBLE]).collect();
    let unknown: Vec<_> = arguments.workloads.iter().filter(|name| !known.contains(&name.as_str())).collect();
    ensure!(unknown.is_empty(), "no workloads are called {unknown:?}; there are {known:?}");
    let named = |name: &str| arguments.workloads.iter().any(|w| w == name);
    let chosen = |name: &str| arguments.workloads.is_empty() || named(name);
    copies.retain(|copy| chosen(copy.name));
    streams.retain(|steady| chosen(steady.name));
    opened.retain(|copy| named(OPENED) || named(copy.name));
    if arguments.quick {
        [&mut copies, &mut opened].into_iter().flatten().for_each(Copy::quicken);
    }
    if let Some(records) = arguments.records {
        copies.iter_mut().chain(&mut opened).for_each(|copy| copy.records = records);
    }
    let choices = Choices {
        rounds: if arguments.quick { 1 } else { arguments.rounds.max(1) },
        contestants: arguments.contestants,
        tasks: arguments.tasks,
        tuning: arguments.tuning,
        kmirror: arguments.kmirror,
    };
    if choices.contestants.is_empty() {
        bail!("no contestants");
    }
    let place = place.context("no place for data")?;
    eprintln!("brokers' data in {} ({})", place.directory.display(), place.file_system);
    let began = Instant::now();
    let mut sections = match copies.is_empty() && streams.is_empty() {
        true => Vec::new(),
        false => sections(&copies, &streams, &[], &choices).await?,
    };
    if !opened.is_empty() {
        sections.extend(self::sections(&opened, &[], &shaped::CLEANING, &choices).await?);
    }
    if arguments.workloads.iter().any(|name| name == SCALE) {
        sections.push((SCALE, scale::run(&choices, arguments.quick).await?));
    }
    if arguments.workloads.iter().any(|name| name == TROUBLE) {
        sections.push((TROUBLE, trouble::run(&choices, arguments.quick).await?));
    }
    publish(&sections, place, &arguments.results, began)
}

async fn sections(
    copies: &[Copy],
    streams: &[Steady],
    properties: &[(&str, &str)],
    choices: &Choices,
) -> Result<Vec<(&'static str, Section)>> {
    let brokers = Brokers::start(HEAP_MB, properties, choices).await?;
    let ends = brokers.ends();
    let mut sections = Vec::new();
    for copy in copies {
        sections.push((copy.name, one_copy(copy, ends, choices).await.with_context(|| copy.name)?));
    }
    for steady in streams {
        sections.push((steady.name, one_stream(steady, ends, choices).await.with_context(|| steady.name)?));
    }
    Ok(sections)
}

async fn one_copy(copy: &Copy, ends: Ends<'_>, choices: &Choices) -> Result<Section> {
    let data = copying::produce(copy, ends).await?;
    let contestants: Vec<_> = choices.contestants.iter().copied().filter(|who| who.takes_part(copy)).collect();
    let mut rounds: Vec<_> = contestants.iter().map(|who| (*who, Vec::new())).collect();
    let mut failed = None;
    for round in 1..=choices.rounds {
        for turn in turns(contestants.len(), round) {
            let (who, taken) = &mut rounds[turn];
            if *who == Contestant::Kmirror && failed.is_some() {
                continue;
            }
            let what = || format!("{} in round {round}", who.title());
            match copying::run(*who, round, copy, &data, ends, choices).await.with_context(what) {
                Ok(figures) => taken.push(figures),
                // What kmirror refuses or gets wrong is a result as well, and the others' figures are there all the same.
                Err(error) if *who == Contestant::Kmirror && !data.contents.is_empty() => {
                    eprintln!("{}: {error:#}", copy.name);
                    failed = Some(error.root_cause().to_string());
                    copying::remove(&data, &ends.target.bootstrap()).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }
    delete_topics(&ends.source.bootstrap(), &data.topics).await?;
    if failed.is_some() {
        rounds.retain(|(who, _)| *who != Contestant::Kmirror);
    }
    let mut section = report::copy(copy, &data, &rounds);
    if let Some(error) = failed {
        let beginning: String = error.replace('\n', " ").chars().take(300).collect();
        section.verdicts.push(report::verdict(copy.name, "kmirror's copy", false, &beginning, "all records, as meant"));
    }
    Ok(section)
}

async fn one_stream(steady: &Steady, ends: Ends<'_>, choices: &Choices) -> Result<Section> {
    // What tunes for throughput waits for large batches: as installed is faster here.
    let contestants: Vec<_> = choices.contestants.iter().copied().filter(|who| *who != Contestant::Tuned).collect();
    let mut rounds: Vec<_> = contestants.iter().map(|who| (*who, Vec::new())).collect();
    for round in 1..=choices.rounds {
        for turn in turns(contestants.len(), round) {
            let (who, taken) = &mut rounds[turn];
            let what = || format!("{} in round {round}", who.title());
            taken.push(latency::run(*who, round, steady, ends, choices).await.with_context(what)?);
        }
    }
    Ok(report::steady(steady, &rounds))
}

/// Whose turn it is in a round: another one begins each time.
fn turns(contestants: usize, round: u32) -> impl Iterator<Item = usize> {
    (0..contestants).map(move |turn| (turn + round as usize - 1) % contestants)
}

/// Writes report.md and report.json, and prints the tables and, last, the verdicts.
fn publish(sections: &[(&str, Section)], place: &Place, results: &Path, began: Instant) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut text = format!(
        "Kafka {}, {cores} cores, brokers' data in {} ({})\n\n",
        testkit::kafka_version(),
        place.directory.display(),
        place.file_system
    );
    text.extend(sections.iter().map(|(_, section)| format!("{}\n", section.table)));
    let overview: String = sections.iter().filter_map(|(_, section)| section.overview.clone()).collect();
    if !overview.is_empty() {
        text += &format!("### all copies\n\n{}{overview}\n", report::OVERVIEW);
    }
    text.push_str("```\n");
    for verdict in sections.iter().flat_map(|(_, section)| &section.verdicts) {
        text.push_str(verdict);
        text.push('\n');
    }
    text.push_str("```\n");
    let workloads: Map<String, Value> =
        sections.iter().map(|(name, section)| ((*name).to_owned(), section.json.clone())).collect();
    let verdicts: Vec<_> = sections.iter().flat_map(|(_, section)| section.verdicts.clone()).collect();
    let json = json!({
        "kafka": testkit::kafka_version(),
        "cores": cores,
        "data": {"directory": place.directory, "file_system": place.file_system},
        "seconds": began.elapsed().as_secs(),
        "workloads": workloads,
        "verdicts": verdicts,
    });
    fs::create_dir_all(results)?;
    fs::write(results.join("report.md"), &text)?;
    fs::write(results.join("report.json"), format!("{json:#}\n"))?;
    println!("{text}");
    eprintln!("{} s; also in {}/report.md and report.json", began.elapsed().as_secs(), results.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_begins_with_another_contestant() {
        let orders: Vec<Vec<_>> = (1..=3).map(|round| turns(3, round).collect()).collect();
        assert_eq!(orders, [[0, 1, 2], [1, 2, 0], [2, 0, 1]]);
    }

    #[test]
    fn workloads_have_names_of_their_own() {
        let mut names: Vec<_> = workloads::copies().iter().chain(&workloads::opened()).map(|copy| copy.name).collect();
        names.extend(workloads::steady_streams().iter().map(|steady| steady.name));
        names.extend([OPENED, SCALE, TROUBLE]);
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
