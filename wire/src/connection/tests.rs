//! Against the other end of a pipe in memory, so that each byte and each pause is the test's.

use kafka_protocol::messages::{
    FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse,
    api_versions_response::ApiVersion,
    fetch_response::{FetchableTopicResponse, PartitionData},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::*;
use crate::memory::Budget;

/// Plays the broker by hand.
struct Broker(DuplexStream);

/// API key, version and correlation id of a request.
type Asked = (i16, i16, i32);

impl Broker {
    async fn read(&mut self) -> Asked {
        let length = self.0.read_i32().await.expect("a request");
        let mut frame = vec![0; usize::try_from(length).expect("a length")];
        self.0.read_exact(&mut frame).await.expect("a whole request");
        let word = |at: usize| i16::from_be_bytes([frame[at], frame[at + 1]]);
        (word(0), word(2), i32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]))
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("the client reads");
    }

    async fn answer<R: Encodable + HeaderVersion>(&mut self, (_, version, correlation): Asked, response: &R) {
        let mut frame = BytesMut::new();
        ResponseHeader::default()
            .with_correlation_id(correlation)
            .encode(&mut frame, R::header_version(version))
            .expect("a header");
        response.encode(&mut frame, version).expect("a body");
        self.send(&i32::try_from(frame.len()).expect("a length").to_be_bytes()).await;
        self.send(&frame).await;
    }

    async fn offer(&mut self, ranges: &[(i16, i16, i16)]) {
        let asked = self.read().await;
        let key = |(key, low, high): &(i16, i16, i16)| {
            ApiVersion::default().with_api_key(*key).with_min_version(*low).with_max_version(*high)
        };
        let keys = ranges.iter().map(key).collect();
        self.answer(asked, &ApiVersionsResponse::default().with_api_keys(keys)).await;
    }
}

const METADATA: i16 = MetadataRequest::KEY;
const LIST_OFFSETS: i16 = ListOffsetsRequest::KEY;
const PATIENCE: Duration = Duration::from_secs(30);
const LIMIT: usize = 10_000;

fn opening() -> (Broker, impl Future<Output = Result<Connection>>) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let peer = Peer {
        cluster: "c".into(),
        broker: "b:9092".to_owned(),
        client_id: "test".to_owned(),
        request_timeout: PATIENCE,
        handshake_timeout: PATIENCE,
        max_response_bytes: LIMIT,
    };
    (Broker(theirs), Connection::open(Box::new(ours), peer))
}

async fn opened(ranges: &[(i16, i16, i16)]) -> (Broker, Connection) {
    let (mut broker, open) = opening();
    let (connection, ()) = tokio::join!(open, broker.offer(ranges));
    (broker, connection.expect("a connection"))
}

#[tokio::test]
async fn a_broker_that_lacks_the_version_asked_for_is_asked_in_version_0() {
    let (mut broker, open) = opening();
    let play = async {
        let asked = broker.read().await;
        assert_eq!((asked.0, asked.1), (18, 3));
        // Version 0 whatever was asked: correlation id, error code, an empty array.
        let mut answer = 10_i32.to_be_bytes().to_vec();
        answer.extend(asked.2.to_be_bytes());
        answer.extend(UNSUPPORTED_VERSION.to_be_bytes());
        answer.extend(0_i32.to_be_bytes());
        broker.send(&answer).await;
        broker.offer(&[(METADATA, 0, 9)]).await;
    };
    let (connection, ()) = tokio::join!(open, play);
    let connection = connection.expect("a connection");
    assert_eq!(connection.version("Metadata", METADATA, MetadataRequest::SPOKEN), Ok(9));
}

#[tokio::test]
async fn a_broker_below_the_floor_is_named() {
    // What Kafka 1.0 offers.
    let (_broker, connection) = opened(&[(FetchRequest::KEY, 0, 6), (METADATA, 0, 5)]).await;
    let error = connection.call(&MetadataRequest::default()).await.expect_err("too old");
    let text = error.to_string();
    for named in ["b:9092", "Metadata", "versions 0 to 5", "one of 7 to 12", "brokers from 2.1"] {
        assert!(text.contains(named), "{named}: {text}");
    }
    let missing = connection.call(&ListOffsetsRequest::default()).await.expect_err("not offered");
    assert!(missing.to_string().contains("not at all"), "{missing}");
    assert_eq!(missing.recovery(), crate::Recovery::Fatal);
}

#[tokio::test]
async fn requests_are_pipelined_and_answers_find_their_askers() {
    let (mut broker, connection) = opened(&[(METADATA, 0, 9), (LIST_OFFSETS, 0, 5)]).await;
    let ask = async {
        let (metadata, list) = (MetadataRequest::default(), ListOffsetsRequest::default());
        tokio::join!(connection.call(&metadata), connection.call(&list))
    };
    let play = async {
        // Both are there before either is answered.
        let (first, second) = (broker.read().await, broker.read().await);
        assert_eq!((first.0, first.1, second.0, second.1), (METADATA, 9, LIST_OFFSETS, 5));
        let id = StrBytes::from_static_str("the-cluster");
        broker.answer(first, &MetadataResponse::default().with_cluster_id(Some(id))).await;
        broker.answer(second, &ListOffsetsResponse::default()).await;
    };
    let ((metadata, list), ()) = tokio::join!(ask, play);
    assert_eq!(metadata.expect("an answer").cluster_id.as_deref(), Some("the-cluster"));
    assert!(list.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_closes_the_connection() {
    let (_broker, connection) = opened(&[(METADATA, 0, 9)]).await;
    let late = connection.call(&MetadataRequest::default()).await.expect_err("no answer");
    assert!(matches!(late, Error::Timeout { api: "Metadata", after: PATIENCE, .. }), "{late}");
    assert!(connection.is_closed());
    let after = connection.call(&MetadataRequest::default()).await.expect_err("closed");
    assert!(matches!(&after, Error::Disconnected { cause, .. } if cause.contains("not answered in time")), "{after}");
}

#[tokio::test(start_paused = true)]
async fn a_throttled_client_is_silent_for_as_long_as_asked() {
    let (mut broker, connection) = opened(&[(METADATA, 0, 9)]).await;
    let request = MetadataRequest::default();
    let slow_down = MetadataResponse::default().with_throttle_time_ms(1_500);
    let first = async {
        let asked = broker.read().await;
        broker.answer(asked, &slow_down).await;
    };
    let (answer, ()) = tokio::join!(connection.call(&request), first);
    assert!(answer.is_ok());
    let from = Instant::now();
    let second = async {
        let asked = broker.read().await;
        assert!(from.elapsed() >= Duration::from_millis(1_500), "{:?}", from.elapsed());
        broker.answer(asked, &MetadataResponse::default()).await;
    };
    let (answer, ()) = tokio::join!(connection.call(&request), second);
    assert!(answer.is_ok());
}

#[tokio::test]
async fn what_is_not_an_answer_is_refused() {
    let too_long = i32::try_from(LIMIT + 1).expect("fits").to_be_bytes().to_vec();
    let unasked = [8_i32.to_be_bytes(), 999_i32.to_be_bytes(), 0_i32.to_be_bytes()].concat();
    for (bytes, named) in [
        (b"HTTP/1.1 400 Bad Request".to_vec(), "1213486160 bytes"),
        (too_long, "10001 bytes"),
        ((-1_i32).to_be_bytes().to_vec(), "-1 bytes"),
        (unasked, "request 999"),
    ] {
        let (mut broker, connection) = opened(&[(METADATA, 0, 9)]).await;
        let play = async {
            broker.read().await;
            broker.send(&bytes).await;
        };
        let request = MetadataRequest::default();
        let (answer, ()) = tokio::join!(connection.call(&request), play);
        let error = answer.expect_err(named);
        assert!(matches!(error, Error::Malformed { .. }) && error.to_string().contains(named), "{error}");
    }
}

#[tokio::test]
async fn a_broker_that_hangs_up_fails_all_that_wait() {
    let (mut broker, connection) = opened(&[(METADATA, 0, 9)]).await;
    let request = MetadataRequest::default();
    let play = async move {
        broker.read().await;
        broker.read().await;
        drop(broker);
    };
    let both = async { tokio::join!(connection.call(&request), connection.call(&request)) };
    let ((first, second), ()) = tokio::join!(both, play);
    for answer in [first, second] {
        let error = answer.expect_err("hung up");
        assert!(
            matches!(&error, Error::Disconnected { cause, .. } if cause.contains("closed by the broker")),
            "{error}"
        );
        assert_eq!(error.recovery(), crate::Recovery::Refresh);
    }
}

const FETCH: (i16, i16, i16) = (FetchRequest::KEY, 4, 12);

fn fetched(records: Bytes) -> FetchResponse {
    let part = PartitionData::default().with_records(Some(records));
    FetchResponse::default().with_responses(vec![FetchableTopicResponse::default().with_partitions(vec![part])])
}

async fn fetch(connection: &Connection, room: Option<Reservation>) -> Result<Bytes> {
    let answer = connection.call_held(&FetchRequest::default(), 12, Duration::ZERO, room).await?;
    Ok(answer.responses[0].partitions[0].records.clone().expect("records"))
}

#[tokio::test]
async fn an_answer_takes_the_room_of_its_true_length_while_it_is_held() {
    let (mut broker, connection) = opened(&[FETCH]).await;
    let budget = Budget::new(1 << 20);
    for size in [0, 10, 5_000, 9_900] {
        let room = budget.reserve(1, 1 << 19);
        assert_eq!(budget.used(), 1 << 19);
        let sent: Bytes = (0..size).map(|i| i as u8).collect();
        let play = async {
            let asked = broker.read().await;
            broker.answer(asked, &fetched(sent.clone())).await;
        };
        let (records, ()) = tokio::join!(fetch(&connection, room), play);
        let records = records.expect("an answer");
        assert_eq!(records, sent);
        let used = budget.used();
        assert!(if size == 0 { used == 0 } else { (size..size + 200).contains(&used) }, "{used} for {size}");
        drop(records);
        assert_eq!(budget.used(), 0);
    }
}

#[tokio::test]
async fn who_stops_waiting_gets_the_room_back_and_harms_nobody() {
    let (mut broker, connection) = opened(&[FETCH]).await;
    let budget = Budget::new(1 << 20);
    let mut given_up = Box::pin(fetch(&connection, budget.reserve(1, 1 << 20)));
    let asked = tokio::select! {
        asked = broker.read() => asked,
        _ = &mut given_up => unreachable!("nobody has answered"),
    };
    assert_eq!(budget.used(), 1 << 20);
    drop(given_up);
    assert_eq!(budget.used(), 0);
    let play = async {
        let second = broker.read().await;
        broker.answer(asked, &fetched(Bytes::from_static(&[1; 9_900]))).await;
        broker.answer(second, &fetched(Bytes::from_static(b"second"))).await;
    };
    let (records, ()) = tokio::join!(fetch(&connection, None), play);
    assert_eq!(records.as_deref(), Ok(b"second".as_slice()));
    assert_eq!(budget.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_dies_gives_all_room_back() {
    let (broker, connection) = opened(&[FETCH]).await;
    let budget = Budget::new(1 << 20);
    let late = fetch(&connection, budget.reserve(1, 1000)).await.expect_err("no answer");
    assert!(matches!(late, Error::Timeout { .. }), "{late}");
    assert_eq!(budget.used(), 0);
    drop((broker, connection));

    let (mut broker, connection) = opened(&[FETCH]).await;
    let cut_off = async move {
        let (_, _, correlation) = broker.read().await;
        broker.send(&5_000_i32.to_be_bytes()).await;
        broker.send(&correlation.to_be_bytes()).await;
        broker.send(&[0; 1_000]).await;
    };
    let (cut, ()) = tokio::join!(fetch(&connection, budget.reserve(1, 1000)), cut_off);
    assert!(cut.expect_err("cut off").to_string().contains("within a response"));
    assert_eq!(budget.used(), 0);
}

#[tokio::test]
async fn an_answer_in_crumbs_is_whole() {
    let (mut broker, connection) = opened(&[(METADATA, 0, 9)]).await;
    let request = MetadataRequest::default();
    let play = async {
        for _ in 0..2 {
            let (_, version, correlation) = broker.read().await;
            let mut frame = BytesMut::new();
            let header = ResponseHeader::default().with_correlation_id(correlation);
            header.encode(&mut frame, MetadataResponse::header_version(version)).expect("a header");
            let id = Some(StrBytes::from_static_str("the-cluster"));
            MetadataResponse::default().with_cluster_id(id).encode(&mut frame, version).expect("a body");
            let length = i32::try_from(frame.len()).expect("a length").to_be_bytes();
            for byte in length.iter().chain(frame.iter()) {
                broker.send(&[*byte]).await;
                tokio::task::yield_now().await;
            }
        }
    };
    let ask = async { (connection.call(&request).await, connection.call(&request).await) };
    let ((first, second), ()) = tokio::join!(ask, play);
    for answer in [first, second] {
        assert_eq!(answer.expect("an answer").cluster_id.as_deref(), Some("the-cluster"));
    }
}
