//! `/connectors/{connector}/kmirror/events`: what happened to copies. Connect has no such path.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{Json, extract::State};
use serde::{Serialize, Serializer};

use super::{Answer, AppState, Path, Query, error::ApiError};
use crate::{
    config::rfc3339,
    flow::{Action, Event, EventCount, EventKind, OffsetsOf},
    worker::ConnectorEvents,
};

pub(super) async fn events(State(worker): AppState, Path(connector): Path<String>, query: Query) -> Answer<EventsBody> {
    let herder = worker.herder()?;
    let told = herder.events(&connector)?;
    let wanted = Wanted::of(&query).map_err(ApiError::bad_request)?;
    Ok(Json(body(told, &wanted)))
}

/// Which events are asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    /// Of these kinds; of all if empty.
    kinds: Vec<EventKind>,
    /// Those behind this one.
    after: u64,
}

impl Wanted {
    /// The error is for the client. Parameters of other names are not looked at, as everywhere.
    fn of(query: &Query) -> Result<Self, String> {
        let mut wanted = Self::default();
        for (key, value) in &query.0 {
            match key.as_str() {
                "kind" => wanted.kinds.push(kind(value)?),
                "after" => {
                    wanted.after = value.parse().map_err(|_| {
                        format!("Value of \"after\" is {value:?}; expected is the id of an event, a whole number")
                    })?;
                }
                _ => {}
            }
        }
        Ok(wanted)
    }

    fn has(&self, event: &Event) -> bool {
        event.id > self.after && (self.kinds.is_empty() || self.kinds.contains(&event.what.kind))
    }
}

fn kind(name: &str) -> Result<EventKind, String> {
    EventKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
        let all = EventKind::ALL.map(EventKind::name).join(", ");
        format!("Value of \"kind\" is {name:?}; allowed are {all}")
    })
}

#[derive(Serialize)]
pub(super) struct EventsBody {
    events: Vec<EventBody>,
    #[serde(serialize_with = "by_kind")]
    counts: BTreeMap<EventKind, EventCount>,
}

#[derive(Serialize)]
struct EventBody {
    id: u64,
    time: String,
    last_time: String,
    kind: &'static str,
    source: PartitionBody,
    target: PartitionBody,
    offsets: RangeBody,
    records: Option<u64>,
    action: &'static str,
    continued_at: Option<i64>,
    message: String,
}

#[derive(Serialize)]
struct PartitionBody {
    cluster: String,
    topic: String,
    partition: i32,
}

/// `from` up to, and without, `to`.
#[derive(Serialize)]
struct RangeBody {
    of: &'static str,
    from: Option<i64>,
    to: Option<i64>,
}

#[derive(Serialize)]
struct CountBody {
    events: u64,
    records: u64,
}

fn body(ConnectorEvents { source_alias, target_alias, events }: ConnectorEvents, wanted: &Wanted) -> EventsBody {
    let shown = |event: Event| {
        let Event { id, at, last_at, what } = event;
        let (action, continued_at) = match what.action {
            Action::Stopped => ("stopped", None),
            Action::WentOn(at) => ("continued", at),
            Action::Reported => ("reported", None),
        };
        let known = |offset: i64| (offset >= 0).then_some(offset);
        let of = match what.offsets_of {
            OffsetsOf::Source => "source",
            OffsetsOf::Target => "target",
        };
        EventBody {
            id,
            time: time(at),
            last_time: time(last_at),
            kind: what.kind.name(),
            source: PartitionBody {
                cluster: source_alias.clone(),
                topic: what.source.topic,
                partition: what.source.partition,
            },
            target: PartitionBody {
                cluster: target_alias.clone(),
                topic: what.target.topic,
                partition: what.target.partition,
            },
            offsets: RangeBody { of, from: known(what.from), to: known(what.to) },
            records: what.records,
            action,
            continued_at,
            message: what.message,
        }
    };
    // The counts first: an event that comes between is rather shown than counted, and counted the next time.
    let counts = events.counts();
    EventsBody { events: events.kept().into_iter().filter(|event| wanted.has(event)).map(shown).collect(), counts }
}

fn time(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    rfc3339(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// All kinds, also those that have not been.
fn by_kind<S: Serializer>(counts: &BTreeMap<EventKind, EventCount>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(EventKind::ALL.into_iter().map(|kind| {
        let EventCount { events, records } = counts.get(&kind).copied().unwrap_or_default();
        (kind.name(), CountBody { events, records })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(pairs: &[(&str, &str)]) -> Result<Wanted, String> {
        Wanted::of(&Query(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()))
    }

    #[test]
    fn queries_choose_kinds_and_what_is_new() {
        assert_eq!(wanted(&[]), Ok(Wanted::default()));
        let kinds = vec![EventKind::DataLoss, EventKind::ForeignWrites];
        let pairs = [("kind", "DATA_LOSS"), ("after", "17"), ("x", "y"), ("kind", "FOREIGN_WRITES")];
        assert_eq!(wanted(&pairs), Ok(Wanted { kinds, after: 17 }));
        for kind in EventKind::ALL {
            assert_eq!(wanted(&[("kind", kind.name())]), Ok(Wanted { kinds: vec![kind], after: 0 }));
        }
    }

    #[test]
    fn other_values_are_refused_with_what_is_allowed() {
        let allowed = "allowed are DATA_LOSS, TOPIC_RECREATED, SOURCE_DIVERGED, POSITION_BEYOND_SOURCE, \
                       TARGET_RECREATED, TARGET_REGRESSED, ANCHOR_LOST, FOREIGN_WRITES, RECORDS_DOUBLED";
        for name in ["", "data_loss", "DATA_LOSS,ANCHOR_LOST", "GAP"] {
            assert_eq!(wanted(&[("kind", name)]), Err(format!("Value of \"kind\" is {name:?}; {allowed}")));
        }
        for after in ["", "-1", "x", "1.5", "18446744073709551616"] {
            let expected = format!("Value of \"after\" is {after:?}; expected is the id of an event, a whole number");
            assert_eq!(wanted(&[("after", after)]), Err(expected));
        }
    }
}
