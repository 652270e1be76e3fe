//! A partition's part of a Fetch answer.

use bytes::Bytes;

use super::records::{read_batch, read_legacy};
use crate::batch::{Batch, BatchHeader, Batches, CorruptBatch, Stored, rewrite_header};

/// A limit that some batches are above, bytes.
const LOW: usize = 100;

/// Any bytes, cut into batches: all that is done with a batch by its header, with its sum as it is and with a right one.
pub fn batches(data: &[u8]) {
    for most in [1 << 20, LOW] {
        let mut batches = Batches::new(Bytes::copy_from_slice(data), most);
        let mut at = 0;
        let mut failed = false;
        while let Some(found) = batches.next() {
            assert!(!failed, "something comes behind an error");
            match found {
                Ok(Stored::Batch(batch)) => {
                    assert!(batch.bytes() == &data[at..at + batch.bytes().len()]);
                    assert!(batch.bytes().len() <= most);
                    at += batch.bytes().len();
                    if most > LOW {
                        by_header(&batch);
                    }
                }
                Ok(Stored::Legacy(message)) => {
                    assert!(message.bytes == data[at..at + message.bytes.len()]);
                    assert!(message.bytes.len() <= most && (0..i64::MAX).contains(&message.offset));
                    at += message.bytes.len();
                    if most > LOW {
                        read_legacy(&message);
                    }
                }
                Err(_) => failed = true,
            }
            assert_eq!(at + batches.rest(), data.len());
        }
    }
    let parsed = BatchHeader::parse(data);
    assert_eq!(parsed.is_ok(), parsed.is_ok_and(|header| header.next_offset() > header.base_offset));
}

fn by_header(batch: &Batch) {
    let header = batch.header();
    assert!(header.last_offset() >= header.base_offset && header.last_sequence() >= -1);
    let _ = (header.codec(), header.timestamp_type(), header.delete_horizon(), header.is_contiguous());
    let sound = batch.verify().is_ok();
    let passed = rewrite_header(batch, 77, 3, 1_000);
    assert!(sound || matches!(passed, Err(CorruptBatch::Checksum { .. })), "what is corrupt was signed anew");
    let mut bytes = batch.bytes().to_vec();
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let batch = Batch::parse(bytes.into()).unwrap();
    match rewrite_header(&batch, 77, 3, 1_000) {
        Ok((new, payload)) => {
            assert!(!batch.header().is_control());
            let rewritten = Batch::parse([&new[..], &payload].concat().into()).unwrap();
            assert_eq!(rewritten.verify(), Ok(()));
            assert!(rewritten.payload() == batch.payload());
            let (new, old) = (rewritten.header(), batch.header());
            assert_eq!((new.base_offset, new.producer_id, new.producer_epoch, new.base_sequence), (0, 77, 3, 1_000));
            assert_eq!((new.last_offset_delta, new.record_count), (old.last_offset_delta, old.record_count));
            assert_eq!((new.base_timestamp, new.max_timestamp), (old.base_timestamp, old.max_timestamp));
            assert!(!new.is_transactional() && new.attributes | 0x10 == old.attributes | 0x10);
        }
        Err(cause) => assert!(batch.header().is_control(), "{cause}"),
    }
    read_batch(&batch);
}
