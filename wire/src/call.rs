//! The requests this client sends: their Kafka names, the versions spoken and where the answer says "slow down".

mod fit;

use std::borrow::Cow;

use kafka_protocol::{
    messages::{
        AlterConfigsRequest, ApiVersionsRequest, ConsumerGroupDescribeRequest, CreateAclsRequest,
        CreatePartitionsRequest, CreateTopicsRequest, DeleteAclsRequest, DeleteTopicsRequest, DescribeAclsRequest,
        DescribeConfigsRequest, DescribeGroupsRequest, DescribeProducersRequest, FetchRequest, FindCoordinatorRequest,
        IncrementalAlterConfigsRequest, InitProducerIdRequest, ListGroupsRequest, ListOffsetsRequest, MetadataRequest,
        OffsetCommitRequest, OffsetFetchRequest, OffsetForLeaderEpochRequest,
    },
    protocol::Request,
};

/// A request with what the connection must know about it.
pub(crate) trait Call: Request + Clone {
    /// Kafka's name, for errors.
    const API: &'static str;
    /// Lowest and highest version spoken. The lowest is what brokers of 2.1 offer at most: older ones are refused (KIP-896's floor).
    const SPOKEN: (i16, i16);
    /// `throttle_time_ms` of the response, 0 where it has none.
    fn throttle_ms(response: &Self::Response) -> i32;
    /// The request as a version can hold it, where versions differ in more than fields with defaults: requests are made as the newest holds them.
    fn fit(&self, _version: i16) -> Cow<'_, Self> {
        Cow::Borrowed(self)
    }
}

macro_rules! calls {
    ($($request:ident $api:literal $low:literal..=$high:literal $(as $fit:path)?),+ $(,)?) => {$(
        impl Call for $request {
            const API: &'static str = $api;
            const SPOKEN: (i16, i16) = ($low, $high);
            fn throttle_ms(response: &Self::Response) -> i32 { response.throttle_time_ms }
            $(fn fit(&self, version: i16) -> Cow<'_, Self> { $fit(self, version) })?
        }
    )+};
}

calls! {
    ApiVersionsRequest "ApiVersions" 0..=3,
    MetadataRequest "Metadata" 7..=12,
    FetchRequest "Fetch" 10..=17,
    ListOffsetsRequest "ListOffsets" 4..=9,
    OffsetForLeaderEpochRequest "OffsetForLeaderEpoch" 2..=4,
    InitProducerIdRequest "InitProducerId" 1..=5,
    DescribeProducersRequest "DescribeProducers" 0..=0,
    CreateTopicsRequest "CreateTopics" 3..=7,
    CreatePartitionsRequest "CreatePartitions" 1..=3,
    DescribeConfigsRequest "DescribeConfigs" 2..=4,
    DescribeGroupsRequest "DescribeGroups" 2..=5,
    FindCoordinatorRequest "FindCoordinator" 2..=4 as fit::find_coordinator,
    ListGroupsRequest "ListGroups" 2..=5 as fit::list_groups,
    ConsumerGroupDescribeRequest "ConsumerGroupDescribe" 0..=1,
    OffsetFetchRequest "OffsetFetch" 5..=9 as fit::offset_fetch,
    OffsetCommitRequest "OffsetCommit" 6..=9,
    IncrementalAlterConfigsRequest "IncrementalAlterConfigs" 0..=1,
    AlterConfigsRequest "AlterConfigs" 1..=2,
    DeleteTopicsRequest "DeleteTopics" 3..=6 as fit::delete_topics,
    DescribeAclsRequest "DescribeAcls" 1..=3,
    CreateAclsRequest "CreateAcls" 1..=3,
    DeleteAclsRequest "DeleteAcls" 1..=3,
}

/// Produce is framed by hand (large payloads are not copied), so it stands beside the table: zstd needs 7, topic ids 13.
pub(crate) const PRODUCE: (&str, i16, (i16, i16)) = ("Produce", 0, (7, 12));
