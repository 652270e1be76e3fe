//! Requests whose older versions are laid out in another way.

use std::borrow::Cow;

use kafka_protocol::messages::{
    DeleteTopicsRequest, FindCoordinatorRequest, ListGroupsRequest, OffsetFetchRequest,
    offset_fetch_request::OffsetFetchRequestTopic,
};

/// Version 4 asks for many (KIP-699); before, the first is asked for.
pub(super) fn find_coordinator(request: &FindCoordinatorRequest, version: i16) -> Cow<'_, FindCoordinatorRequest> {
    if version >= 4 {
        return Cow::Borrowed(request);
    }
    let first = request.coordinator_keys.first().cloned().unwrap_or_default();
    Cow::Owned(FindCoordinatorRequest::default().with_key(first).with_key_type(request.key_type))
}

/// Version 4 filters by state (KIP-518), 5 by type (KIP-848); without a filter all groups are told.
pub(super) fn list_groups(request: &ListGroupsRequest, version: i16) -> Cow<'_, ListGroupsRequest> {
    let (states, types) = (version >= 4, version >= 5);
    if types {
        return Cow::Borrowed(request);
    }
    let states = if states { request.states_filter.clone() } else { Vec::new() };
    Cow::Owned(ListGroupsRequest::default().with_states_filter(states))
}

/// Version 8 asks for many groups (KIP-709); before, the first is asked for. Before 7 nobody says what of a group is pending in a
/// transaction (KIP-447), as Java's clients put up with too.
pub(super) fn offset_fetch(request: &OffsetFetchRequest, version: i16) -> Cow<'_, OffsetFetchRequest> {
    if version >= 8 {
        return Cow::Borrowed(request);
    }
    let first = request.groups.first().cloned().unwrap_or_default();
    let topics = first.topics.map(|topics| {
        let topic = |topic: kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopics| {
            OffsetFetchRequestTopic::default().with_name(topic.name).with_partition_indexes(topic.partition_indexes)
        };
        topics.into_iter().map(topic).collect()
    });
    Cow::Owned(
        OffsetFetchRequest::default()
            .with_group_id(first.group_id)
            .with_topics(topics)
            .with_require_stable(request.require_stable && version >= 7),
    )
}

/// Version 6 has room for topic ids (KIP-516); before, there are names only.
pub(super) fn delete_topics(request: &DeleteTopicsRequest, version: i16) -> Cow<'_, DeleteTopicsRequest> {
    if version >= 6 {
        return Cow::Borrowed(request);
    }
    let names = request.topics.iter().filter_map(|topic| topic.name.clone()).collect();
    Cow::Owned(DeleteTopicsRequest::default().with_topic_names(names).with_timeout_ms(request.timeout_ms))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::{
        messages::{
            GroupId, TopicName, delete_topics_request::DeleteTopicState, offset_fetch_request::OffsetFetchRequestGroup,
        },
        protocol::{Decodable, Encodable, StrBytes},
    };

    use super::*;
    use crate::call::Call;

    /// What a broker reads.
    fn read<R: Call + Encodable + Decodable>(request: &R, version: i16) -> R {
        let mut bytes = bytes::BytesMut::new();
        request.fit(version).encode(&mut bytes, version).unwrap_or_else(|e| panic!("{} {version}: {e}", R::API));
        let read = R::decode(&mut bytes, version).unwrap();
        assert!(bytes.is_empty());
        read
    }

    fn text(text: &'static str) -> StrBytes {
        StrBytes::from_static_str(text)
    }

    #[test]
    fn every_version_spoken_can_be_written() {
        let keys = FindCoordinatorRequest::default().with_coordinator_keys(vec![text("a"), text("b")]);
        assert_eq!([2, 3].map(|version| read(&keys, version).key), [text("a"), text("a")]);
        assert_eq!(read(&keys, 4), keys);

        let list = ListGroupsRequest::default()
            .with_states_filter(vec![text("Empty")])
            .with_types_filter(vec![text("classic")]);
        assert_eq!([2, 3].map(|version| read(&list, version)), [ListGroupsRequest::default(), Default::default()]);
        assert_eq!(read(&list, 4), list.clone().with_types_filter(Vec::new()));
        assert_eq!(read(&list, 5), list);

        let group = |name| OffsetFetchRequestGroup::default().with_group_id(GroupId(text(name))).with_topics(None);
        let offsets = OffsetFetchRequest::default().with_groups(vec![group("a"), group("b")]).with_require_stable(true);
        for version in 5..8 {
            let read = read(&offsets, version);
            assert_eq!((&*read.group_id.0, read.topics, read.require_stable), ("a", None, version == 7));
        }
        for version in 8..=9 {
            assert_eq!(read(&offsets, version), offsets);
        }

        let topic = |name| DeleteTopicState::default().with_name(Some(TopicName(text(name))));
        let topics = DeleteTopicsRequest::default().with_topics(vec![topic("a"), topic("b")]).with_timeout_ms(7);
        for version in 3..6 {
            let read = read(&topics, version);
            assert_eq!((read.topic_names, read.timeout_ms), (vec![TopicName(text("a")), TopicName(text("b"))], 7));
        }
        assert_eq!(read(&topics, 6), topics);
    }
}
