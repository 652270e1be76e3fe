//! A connector's transformations applied to records that are bytes, as Connect 4.1.1 applies them to what
//! MirrorSourceTask emits: the topic is the remote one, and partition, key, value and time are the source's.
//!
//! Much is decided by the topic's name alone. [`Transforms::for_topic`] does that once for a topic, so that a batch is opened
//! only where something is left to be asked of its records or done to them.
//!
//! Headers that come from the source keep their bytes. Those that are inserted hold what SimpleHeaderConverter, Connect's
//! default, makes of the literal: with MirrorMaker's own choice, ByteArrayConverter, InsertHeader fails on each record.

use std::{borrow::Cow, sync::Arc};

use wire::{Header, MalformedRecord, RawRecord, RecordBody};

use crate::config::{Condition, Predicate, TransformStage, Transformation};

/// A connector's transformations. None by default.
#[derive(Debug, Clone, Default)]
pub struct Transforms {
    stages: Arc<[TransformStage]>,
}

/// What the transformations make of the records of one topic.
#[derive(Debug, Clone)]
pub enum TopicTransforms {
    /// All go to the topic of this name, as they are.
    Route(String),
    /// None is copied.
    Drop,
    /// Each has to be looked at.
    Records(RecordTransforms),
}

/// Transformations of one topic's records.
#[derive(Debug, Clone)]
pub struct RecordTransforms {
    topic: String,
    stages: Vec<TransformStage>,
}

/// A record as it is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transformed<'a> {
    /// To this topic. Routers may make what is no legal name of one.
    pub topic: Cow<'a, str>,
    /// With another body than before only if its headers have changed.
    pub record: RawRecord<'a>,
}

impl Transforms {
    /// Transformations in this order.
    #[must_use]
    pub fn new(stages: Vec<TransformStage>) -> Self {
        Self { stages: stages.into() }
    }

    /// What they make of the records of a topic, which is named as on the target before any of them.
    #[must_use]
    pub fn for_topic(&self, topic: &str) -> TopicTransforms {
        let mut topic = topic.to_owned();
        // Until a record may have changed it.
        let mut topic_is_known = true;
        let mut stages = Vec::new();
        for stage in self.stages.iter() {
            let applies = match &stage.condition {
                None => Some(true),
                Some(Condition { predicate: Predicate::TopicNameMatches(pattern), negate }) if topic_is_known => {
                    Some(pattern.matches(&topic) != *negate)
                }
                Some(_) => None,
            };
            match (applies, &stage.transformation) {
                (Some(false), _) => {}
                (Some(true), Transformation::Filter) => return TopicTransforms::Drop,
                (Some(true), Transformation::RegexRouter(router)) if topic_is_known => {
                    topic = router.route(&topic).into_owned();
                }
                (_, transformation) => {
                    topic_is_known &= !changes_topic(transformation);
                    let condition = if applies.is_none() { stage.condition.clone() } else { None };
                    stages.push(TransformStage { condition, ..stage.clone() });
                }
            }
        }
        if stages.is_empty() {
            TopicTransforms::Route(topic)
        } else {
            TopicTransforms::Records(RecordTransforms { topic, stages })
        }
    }
}

fn changes_topic(transformation: &Transformation) -> bool {
    matches!(transformation, Transformation::RegexRouter(_) | Transformation::TimestampRouter(_))
}

impl RecordTransforms {
    /// The topic of all records that are kept; absent if that depends on the record.
    #[must_use]
    pub fn fixed_topic(&self) -> Option<&str> {
        let is_fixed = !self.stages.iter().any(|stage| changes_topic(&stage.transformation));
        is_fixed.then_some(&*self.topic)
    }

    /// What becomes of a record; none if it is dropped. A body that changes is written to `scratch`, in the place of what
    /// is there; another one is not touched.
    ///
    /// # Errors
    /// The record's body can't be read, where that is needed, or its headers become too many.
    pub fn apply<'a>(
        &'a self,
        record: RawRecord<'a>,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Option<Transformed<'a>>, MalformedRecord> {
        let mut topic = Cow::Borrowed(&*self.topic);
        let mut content = Content { bytes: record.body, body: None, headers: None };
        let mut is_changed = false;
        for TransformStage { transformation, condition, .. } in &self.stages {
            if let Some(Condition { predicate, negate }) = condition {
                let holds = match predicate {
                    Predicate::HasHeaderKey(name) => {
                        content.headers()?.iter().any(|header| header.key == name.as_bytes())
                    }
                    Predicate::RecordIsTombstone => content.body()?.value.is_none(),
                    Predicate::TopicNameMatches(pattern) => pattern.matches(&topic),
                };
                if holds == *negate {
                    continue;
                }
            }
            match transformation {
                Transformation::Filter => return Ok(None),
                Transformation::RegexRouter(router) => topic = Cow::Owned(router.route(&topic).into_owned()),
                Transformation::TimestampRouter(router) => topic = Cow::Owned(router.route(&topic, record.timestamp)),
                Transformation::DropHeaders(names) => {
                    let headers = content.headers()?;
                    let before = headers.len();
                    headers.retain(|header| !names.iter().any(|name| name.as_bytes() == header.key));
                    is_changed |= headers.len() < before;
                }
                Transformation::InsertHeader { name, value } => {
                    content.headers()?.push(Header { key: name.as_bytes(), value: value.as_deref() });
                    is_changed = true;
                }
            }
        }
        let mut record = record;
        if is_changed {
            scratch.clear();
            let body = *content.body()?;
            body.write_with(content.headers()?, scratch)?;
            record.body = scratch;
        }
        Ok(Some(Transformed { topic, record }))
    }
}

/// What a record carries, read when it is asked for.
struct Content<'a> {
    bytes: &'a [u8],
    body: Option<RecordBody<'a>>,
    headers: Option<Vec<Header<'a>>>,
}

impl<'a> Content<'a> {
    fn body(&mut self) -> Result<&RecordBody<'a>, MalformedRecord> {
        Ok(match &mut self.body {
            Some(body) => body,
            none => none.insert(RecordBody::parse(self.bytes)?),
        })
    }

    fn headers(&mut self) -> Result<&mut Vec<Header<'a>>, MalformedRecord> {
        let body = *self.body()?;
        Ok(match &mut self.headers {
            Some(headers) => headers,
            none => none.insert(body.headers()?),
        })
    }
}

#[cfg(test)]
mod tests;
