//! What a copy holds of its source, in figures. Both ends are read by librdkafka, which shares no code with what copies.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    ops::AddAssign,
};

use ::testkit::{
    anyhow::{Context, Result, ensure},
    read_digests, watermarks,
};

use crate::{
    kmirror::{DEADLINE, Kmirror},
    worker::Copy,
};

/// How a copy differs from its source, in records over all partitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Figures {
    /// In the source.
    pub(super) records: u64,
    /// In the source, and not in the target.
    pub(super) missing: u64,
    /// In the target more often than in the source.
    pub(super) doubled: u64,
    /// In the target behind what stands behind them in the source.
    pub(super) reordered: u64,
    /// In the target, and never in the source.
    pub(super) foreign: u64,
}

impl Figures {
    /// Of one partition, whose records are known by what they hold.
    fn of(source: &[u64], target: &[u64]) -> Self {
        let mut places: HashMap<u64, VecDeque<usize>> = HashMap::new();
        for (place, record) in source.iter().enumerate() {
            places.entry(*record).or_default().push_back(place);
        }
        let mut figures = Self { records: source.len() as u64, missing: source.len() as u64, ..Self::default() };
        let mut furthest = 0;
        for record in target {
            match places.get_mut(record).map(VecDeque::pop_front) {
                None => figures.foreign += 1,
                Some(None) => figures.doubled += 1,
                Some(Some(place)) => {
                    figures.missing -= 1;
                    figures.reordered += u64::from(place < furthest);
                    furthest = furthest.max(place);
                }
            }
        }
        figures
    }

    /// Of a whole copy, as it is now.
    pub(super) async fn read(copy: &Copy<'_>) -> Result<Self> {
        let (source, target) =
            (read_digests(copy.source, copy.topic).await?, read_digests(copy.target, copy.remote).await?);
        ensure!(source.len() == target.len(), "{}: {} of {} partitions", copy.remote, target.len(), source.len());
        let mut sum = Self::default();
        for (partition, (source, target)) in source.iter().zip(&target).enumerate() {
            let figures = Self::of(source, target);
            // Before all is there, it is not the place that matters.
            if figures.missing == 0 && figures.doubled + figures.reordered + figures.foreign > 0 {
                eprintln!("{}-{partition}: {figures}; {}", copy.remote, difference(source, target));
            }
            sum += figures;
        }
        Ok(sum)
    }

    /// Requires that nothing is lost, doubled, reordered or altered.
    pub(super) fn exact(&self) -> Result<()> {
        ensure!(self.records > 0, "nothing was copied");
        ensure!(*self == Self { records: self.records, ..Self::default() }, "{self}");
        Ok(())
    }
}

/// Where two partitions begin to differ, for who looks into their logs: records are counted from the first one that is left.
fn difference(source: &[u64], target: &[u64]) -> String {
    let same = source.iter().zip(target).take_while(|(source, target)| source == target).count();
    let earlier = target.get(same).and_then(|record| target[..same].iter().position(|before| before == record));
    format!("they differ from record {same} on, which is record {earlier:?} of the target once more")
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        let Self { records, missing, doubled, reordered, foreign } = other;
        self.records += records;
        self.missing += missing;
        self.doubled += doubled;
        self.reordered += reordered;
        self.foreign += foreign;
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { records, missing, doubled, reordered, foreign } = *self;
        write!(f, "{records} records: missing {missing}, doubled {doubled}, reordered {reordered}")?;
        if foreign > 0 {
            write!(f, ", never in the source {foreign}")?;
        }
        Ok(())
    }
}

/// Waits until each partition of these copies holds at least as many records as its source, which nobody writes to any more. An error when
/// nothing more comes for as long as tests wait.
pub(super) async fn arrived(copies: &[Copy<'_>], worker: &Kmirror) -> Result<()> {
    for copy in copies {
        let wanted = watermarks(copy.source, copy.topic).await?;
        loop {
            let before = copy.arrived().await;
            let waited = worker
                .until(&format!("all of {} in {}", copy.topic, copy.remote), DEADLINE, async || {
                    let seen = watermarks(copy.target, copy.remote).await?;
                    let missing = wanted.iter().zip(&seen).any(|(wanted, seen)| seen.high < wanted.high);
                    ensure!(seen.len() == wanted.len() && !missing, "the ends {seen:?} of {wanted:?}");
                    Ok(())
                })
                .await;
            match waited {
                Ok(()) => break,
                Err(_) if copy.arrived().await > before => {}
                Err(error) => return Err(error).context("nothing more has come"),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_difference_is_told_from_the_others() {
        let figures =
            |missing, doubled, reordered, foreign| Figures { records: 5, missing, doubled, reordered, foreign };
        for (target, expected) in [
            (&[1, 2, 3, 4, 5][..], figures(0, 0, 0, 0)),
            (&[1, 2, 4, 5], figures(1, 0, 0, 0)),
            (&[1, 2, 3, 2, 3, 4, 5], figures(0, 2, 0, 0)),
            (&[1, 2, 3, 4, 5, 1, 2, 3, 4, 5], figures(0, 5, 0, 0)),
            (&[2, 3, 1, 4, 5], figures(0, 0, 1, 0)),
            (&[1, 2, 9, 4, 5], figures(1, 0, 0, 1)),
            (&[], figures(5, 0, 0, 0)),
        ] {
            assert_eq!(Figures::of(&[1, 2, 3, 4, 5], target), expected, "{target:?}");
        }
    }

    #[test]
    fn what_the_source_holds_twice_is_to_be_there_twice() {
        assert_eq!(Figures::of(&[1, 1, 2], &[1, 1, 2]), Figures { records: 3, ..Figures::default() });
        assert_eq!(Figures::of(&[1, 1, 2], &[1, 2]), Figures { records: 3, missing: 1, ..Figures::default() });
    }
}
