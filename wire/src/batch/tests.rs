use bytes::Bytes;
use kafka_protocol::records::RecordBatchDecoder;
use proptest::prelude::*;

use super::header::{CRC_AT, SUMMED_FROM};
use super::*;

mod golden;

const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
const LIMIT: usize = 64 << 20;

/// The bytes of a batch with this header and payload; its length and CRC are made to fit.
fn encode(header: &BatchHeader, payload: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(HEADER_LEN + payload.len());
    bytes.extend(header.base_offset.to_be_bytes());
    bytes.extend(i32::try_from(HEADER_LEN - 12 + payload.len()).unwrap().to_be_bytes());
    bytes.extend(header.partition_leader_epoch.to_be_bytes());
    bytes.push(2);
    bytes.extend([0; 4]);
    bytes.extend(header.attributes.to_be_bytes());
    bytes.extend(header.last_offset_delta.to_be_bytes());
    bytes.extend(header.base_timestamp.to_be_bytes());
    bytes.extend(header.max_timestamp.to_be_bytes());
    bytes.extend(header.producer_id.to_be_bytes());
    bytes.extend(header.producer_epoch.to_be_bytes());
    bytes.extend(header.base_sequence.to_be_bytes());
    bytes.extend(header.record_count.to_be_bytes());
    bytes.extend(payload);
    let crc = crc32c::crc32c(&bytes[SUMMED_FROM..]);
    bytes[CRC_AT..SUMMED_FROM].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

prop_compose! {
    fn headers()(
        base_offset in 0..=i64::MAX / 2,
        partition_leader_epoch: i32,
        attributes: i16,
        last_offset_delta in 0..=i32::MAX,
        (base_timestamp, max_timestamp) in any::<(i64, i64)>(),
        (producer_id, producer_epoch, base_sequence) in any::<(i64, i16, i32)>(),
        record_count in 0..=i32::MAX,
    ) -> BatchHeader {
        BatchHeader {
            base_offset, batch_length: 0, partition_leader_epoch, crc: 0, attributes, last_offset_delta, base_timestamp,
            max_timestamp, producer_id, producer_epoch, base_sequence, record_count,
        }
    }
}

fn payloads() -> impl Strategy<Value = Vec<u8>> {
    // Around the length from which on a sum is derived, too.
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..400),
        1 => prop::collection::vec(any::<u8>(), 4_090..4_100),
    ]
}

prop_compose! {
    /// A batch that may be passed on.
    fn plain()(header in headers(), payload in payloads()) -> Bytes {
        let attributes = header.attributes & !CONTROL;
        encode(&BatchHeader { attributes, ..header }, &payload)
    }
}

proptest! {
    #[test]
    fn a_header_is_read_as_written(header in headers(), payload in payloads()) {
        let bytes = encode(&header, &payload);
        let batch = Batch::parse(bytes.clone()).unwrap();
        let read = *batch.header();
        prop_assert_eq!(BatchHeader { batch_length: 0, crc: 0, ..read }, header);
        prop_assert_eq!(read.batch_length as usize + 12, bytes.len());
        prop_assert_eq!(batch.verify(), Ok(()));
        prop_assert_eq!(&batch.payload()[..], &payload[..]);
        prop_assert_eq!(read.next_offset() - read.base_offset, i64::from(header.last_offset_delta) + 1);
        prop_assert_eq!(read.codec().is_ok(), header.attributes & 7 <= 4);
    }

    #[test]
    fn a_rewritten_batch_is_sound_and_only_its_producer_is_another(
        bytes in plain(), producer_id: i64, producer_epoch: i16, base_sequence: i32,
    ) {
        let batch = Batch::parse(bytes.clone()).unwrap();
        let (header, payload) = rewrite_header(&batch, producer_id, producer_epoch, base_sequence).unwrap();
        prop_assert_eq!(payload.as_ptr(), bytes[HEADER_LEN..].as_ptr());
        prop_assert_eq!(&payload[..], &bytes[HEADER_LEN..]);
        let rewritten = Batch::parse([&header[..], &payload[..]].concat().into()).unwrap();
        prop_assert_eq!(rewritten.verify(), Ok(()));
        prop_assert_eq!(*rewritten.header(), BatchHeader {
            base_offset: 0, partition_leader_epoch: -1, producer_id, producer_epoch, base_sequence,
            attributes: batch.header().attributes & !TRANSACTIONAL, crc: rewritten.header().crc, ..*batch.header()
        });
    }

    #[test]
    fn no_flipped_bit_is_laundered(bytes in plain(), at: prop::sample::Index, bit in 0_u8..8) {
        let mut bytes = bytes.to_vec();
        let at = CRC_AT + at.index(bytes.len() - CRC_AT);
        bytes[at] ^= 1 << bit;
        // A flip may make a field impossible already; what is still a batch must not pass.
        if let Ok(batch) = Batch::parse(bytes.into()) {
            let refused = rewrite_header(&batch, 1, 0, 0);
            prop_assert!(matches!(refused, Err(CorruptBatch::Checksum { .. })), "byte {at} bit {bit}: {refused:?}");
        }
    }

    #[test]
    fn control_batches_are_refused(header in headers(), payload in payloads()) {
        let attributes = header.attributes | CONTROL;
        let batch = Batch::parse(encode(&BatchHeader { attributes, ..header }, &payload)).unwrap();
        let refused = CorruptBatch::NotPassable { base_offset: header.base_offset, what: "a control batch" };
        prop_assert_eq!(rewrite_header(&batch, 1, 0, 0), Err(refused));
    }

    #[test]
    fn batches_come_out_as_they_went_in(
        parts in prop::collection::vec(plain(), 0..6), cut: prop::sample::Index,
    ) {
        let all = Bytes::from(parts.concat());
        let end = cut.index(all.len() + 1);
        let mut batches = Batches::new(all.slice(..end), LIMIT);
        let mut from = 0;
        for part in parts.iter().take_while(|part| { from += part.len(); from <= end }) {
            let Some(Ok(Stored::Batch(batch))) = batches.next() else { panic!("a batch is missing") };
            prop_assert_eq!(batch.bytes(), part);
            prop_assert!(all.as_ptr_range().contains(&batch.bytes().as_ptr()), "copied");
        }
        prop_assert_eq!(batches.next(), None);
        prop_assert!(all[..end].ends_with(&all[end - batches.rest()..end]));
        let whole: usize = parts.iter().map(Bytes::len).scan(0, |sum, l| { *sum += l; Some(*sum) }).filter(|s| *s <= end).max().unwrap_or(0);
        prop_assert_eq!(batches.rest(), end - whole);
    }

    #[test]
    fn garbage_is_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), limit: usize) {
        read_all(bytes.into(), limit);
    }

    /// Garbage that gets past the first checks: a sound batch with some bytes overwritten, then cut.
    #[test]
    fn damage_is_refused_without_a_panic(
        parts in prop::collection::vec(plain(), 1..3),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut: prop::sample::Index,
    ) {
        let mut bytes = parts.concat();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        read_all(bytes.into(), LIMIT);
    }

    #[test]
    fn a_sequence_is_counted_modulo_2_to_the_31(sequence in 0..=i32::MAX, count in 0..=i32::MAX) {
        let exact = (i64::from(sequence) + i64::from(count)) % (1 << 31);
        prop_assert_eq!(i64::from(sequence_after(sequence, count)), exact);
    }
}

/// Uses every accessor on whatever can be read, and checks that nothing is handed out twice or lost.
fn read_all(bytes: Bytes, limit: usize) {
    let length = bytes.len();
    let mut batches = Batches::new(bytes.clone(), limit);
    let mut handed_out = 0;
    while let Some(next) = batches.next() {
        match next {
            Ok(Stored::Batch(batch)) => {
                handed_out += batch.bytes().len();
                let header = batch.header();
                assert!(header.next_offset() > header.last_offset() && header.last_offset() >= header.base_offset);
                let _ = (header.last_sequence(), header.codec(), header.timestamp_type(), header.delete_horizon());
                let _ = (header.is_contiguous(), batch.payload());
                assert_eq!(
                    batch.verify().is_err(),
                    matches!(rewrite_header(&batch, 1, 1, 1), Err(CorruptBatch::Checksum { .. }))
                );
            }
            Ok(Stored::Legacy(message)) => handed_out += message.bytes.len(),
            Err(_) => assert_eq!(batches.next(), None, "goes on after an error"),
        }
    }
    assert_eq!(handed_out + batches.rest(), length);
    let _ = BatchHeader::parse(&bytes).is_ok();
    let _ = Batch::parse(bytes).is_ok();
}

fn sound() -> BatchHeader {
    BatchHeader {
        base_offset: 41,
        batch_length: 0,
        partition_leader_epoch: 0,
        crc: 0,
        attributes: 0,
        last_offset_delta: 0,
        base_timestamp: 0,
        max_timestamp: 0,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        record_count: 1,
    }
}

fn with_length(length: i32) -> Bytes {
    let mut bytes = encode(&sound(), &[0; 100]).to_vec();
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes.into()
}

#[test]
fn an_impossible_length_is_named_with_the_offset() {
    for length in [i32::MIN, -1, 0, 13, 48, 1013, i32::MAX] {
        let mut batches = Batches::new(with_length(length), 1024);
        assert_eq!(batches.next(), Some(Err(CorruptBatch::Length { base_offset: 41, length, min: 49, max: 1012 })));
        assert_eq!((batches.next(), batches.rest()), (None, 161));
    }
    // As early as the length is there, and without a magic byte to tell the format by.
    for length in [-1, 13, 1013] {
        let found = Batches::new(with_length(length).slice(..12), 1024).next();
        assert_eq!(found, Some(Err(CorruptBatch::Length { base_offset: 41, length, min: 14, max: 1012 })));
    }
    // Possible, but more than is here: cut off.
    for length in [150, 1012] {
        let mut batches = Batches::new(with_length(length), 1024);
        assert_eq!((batches.next(), batches.rest()), (None, 161));
    }
}

#[test]
fn old_formats_are_known_by_their_magic_and_left_alone() {
    // A message of format 1: offset, length, CRC, magic, attributes, timestamp, null key, empty value.
    let mut message = Vec::new();
    message.extend(7_i64.to_be_bytes());
    message.extend(22_i32.to_be_bytes());
    message.extend([1, 2, 3, 4, 1, 0]);
    message.extend([0; 8]);
    message.extend((-1_i32).to_be_bytes());
    message.extend(0_i32.to_be_bytes());
    let mut format_0 = message.clone();
    format_0.drain(18..26);
    format_0[16] = 0;
    format_0[11] = 14;
    let batch = encode(&sound(), b"records");
    let all = Bytes::from([&format_0[..], &message, &batch, &message[..33]].concat());
    let mut batches = Batches::new(all, LIMIT);
    for (magic, bytes) in [(0, &format_0), (1, &message)] {
        let Some(Ok(Stored::Legacy(found))) = batches.next() else { panic!("no message") };
        assert_eq!((found.offset, found.magic, &found.bytes[..]), (7, magic, &bytes[..]));
    }
    assert!(matches!(batches.next(), Some(Ok(Stored::Batch(found))) if found.bytes() == &batch));
    assert_eq!((batches.next(), batches.rest()), (None, 33));
}

#[test]
fn an_unknown_format_is_refused() {
    let mut bytes = encode(&sound(), b"").to_vec();
    for magic in [3, 127, -1] {
        bytes[16] = i8::to_be_bytes(magic)[0];
        let refused = CorruptBatch::Magic { base_offset: 41, magic };
        assert_eq!(Batches::new(bytes.clone().into(), LIMIT).next(), Some(Err(refused.clone())));
        assert_eq!(Batch::parse(bytes.clone().into()), Err(refused));
    }
}

#[test]
fn fields_that_would_overflow_are_refused() {
    let cases = [
        (BatchHeader { last_offset_delta: -1, ..sound() }, "last offset delta", -1),
        (BatchHeader { record_count: -2, ..sound() }, "record count", -2),
        (BatchHeader { base_offset: -1, ..sound() }, "base offset", -1),
        (BatchHeader { base_offset: i64::MAX, ..sound() }, "base offset", i64::MAX),
        (BatchHeader { base_offset: i64::MAX - 9, last_offset_delta: 9, ..sound() }, "base offset", i64::MAX - 9),
    ];
    for (header, field, value) in cases {
        let refused = CorruptBatch::Field { base_offset: header.base_offset, field, value };
        assert_eq!(Batch::parse(encode(&header, b"")), Err(refused));
    }
    let last = BatchHeader { base_offset: i64::MAX - 10, last_offset_delta: 9, ..sound() };
    assert_eq!(Batch::parse(encode(&last, b"")).unwrap().header().next_offset(), i64::MAX);
}

#[test]
fn a_batch_is_exactly_its_bytes() {
    let bytes = encode(&sound(), b"records");
    let longer = Bytes::from([&bytes[..], &[0]].concat());
    for (given, actual) in [(bytes.slice(..67), 67), (longer, 69)] {
        assert_eq!(Batch::parse(given), Err(CorruptBatch::Size { base_offset: 41, actual, expected: 68 }));
    }
    assert_eq!(Batch::parse(bytes.slice(..60)), Err(CorruptBatch::Size { base_offset: 41, actual: 60, expected: 61 }));
    assert_eq!(Batch::parse(Bytes::new()), Err(CorruptBatch::Size { base_offset: -1, actual: 0, expected: 61 }));
}

#[test]
fn sequences_wrap_to_zero() {
    assert_eq!(sequence_after(0, 5), 5);
    assert_eq!(sequence_after(i32::MAX, 1), 0);
    assert_eq!(sequence_after(i32::MAX - 1, 1), i32::MAX);
    assert_eq!(sequence_after(i32::MAX - 1, 5), 3);
    let wrapped = BatchHeader { base_sequence: i32::MAX - 1, last_offset_delta: 2, ..sound() };
    assert_eq!((wrapped.last_sequence(), sound().last_sequence()), (0, -1));
}

#[test]
fn a_corrupt_batch_is_named_with_both_sums() {
    let mut bytes = encode(&sound(), b"records").to_vec();
    let stored = Batch::parse(bytes.clone().into()).unwrap().header().crc;
    *bytes.last_mut().unwrap() ^= 1;
    let computed = crc32c::crc32c(&bytes[21..]);
    let error = Batch::parse(bytes.into()).unwrap().verify().unwrap_err();
    assert_eq!(error, CorruptBatch::Checksum { base_offset: 41, stored, computed });
    assert_eq!(
        error.to_string(),
        format!("batch at offset 41 is corrupt: its CRC is {stored:#010x}, its bytes have {computed:#010x}")
    );
}
