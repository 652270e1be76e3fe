//! What it costs to open a batch and to write its records anew, beside what its codec alone takes for the same bytes there and back.
//! Bytes per second are uncompressed ones.
//!
//! `cargo bench -p wire --bench records`

use std::{
    hint::black_box,
    io::{Read as _, Write as _},
};

use bytes::{Buf as _, Bytes};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use wire::{Batch, BatchBuilder, Codec, Levels, RawRecord, RecordReader};

const RECORDS: i64 = 512;
const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
const LIMIT: usize = 16 * 1024 * 1024;

/// A record's body: no key, about 500 bytes of JSON, no headers.
fn body(n: i64) -> Vec<u8> {
    let words = ["order", "paid", "shipped", "returned", "customer", "warehouse", "Lisbon", "Oslo"];
    let mut random = n.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut json = format!("{{\"id\":{n}");
    while json.len() < 480 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let word = words[(random >> 60) as usize % words.len()];
        json += &format!(",\"{word}\":{}", random >> 40);
    }
    json.push('}');
    let length = json.len() << 1;
    [&[1, (length & 0x7f | 0x80) as u8, (length >> 7) as u8][..], json.as_bytes(), &[0]].concat()
}

fn batch(codec: Codec) -> Batch {
    let mut builder = BatchBuilder::new(codec, Levels::default(), LIMIT);
    for offset in 0..RECORDS {
        let body = body(offset);
        let record = RawRecord { offset, timestamp: 1_700_000_000_000 + offset, attributes: 0, body: &body };
        assert!(builder.push(&record).is_ok_and(|closed| closed.is_none()));
    }
    match builder.close() {
        Ok(Some(built)) => built.batch,
        other => unreachable!("{other:?}"),
    }
}

fn anew(batch: &Batch) -> Option<Batch> {
    let mut builder = BatchBuilder::new(batch.header().codec().ok()?, Levels::default(), LIMIT);
    let mut reader = RecordReader::new(batch, LIMIT).ok()?;
    while let Some(record) = reader.next_record().ok()? {
        builder.push(&record).ok()?;
    }
    Some(builder.close().ok()??.batch)
}

/// There and back without a look at the records.
fn codec_alone(codec: Codec, payload: &Bytes) -> std::io::Result<usize> {
    let mut plain = Vec::new();
    match codec {
        Codec::Gzip => {
            flate2::bufread::GzDecoder::new(payload.clone().reader()).read_to_end(&mut plain)?;
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
            encoder.write_all(&plain)?;
            Ok(encoder.finish()?.len())
        }
        Codec::Lz4 => {
            FrameDecoder::new(payload.clone().reader()).read_to_end(&mut plain)?;
            let info = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
            let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
            encoder.write_all(&plain)?;
            Ok(encoder.finish().map_err(std::io::Error::from)?.len())
        }
        Codec::Zstd => {
            zstd::stream::read::Decoder::with_buffer(payload.clone().reader())?.read_to_end(&mut plain)?;
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3)?;
            encoder.write_all(&plain)?;
            Ok(encoder.finish()?.len())
        }
        Codec::None | Codec::Snappy => Ok(payload.len()),
    }
}

fn records(criterion: &mut Criterion) {
    let plain = batch(Codec::None).payload().len() as u64;
    let mut group = criterion.benchmark_group("records");
    group.throughput(Throughput::Bytes(plain));
    for codec in CODECS {
        let batch = batch(codec);
        // A bench of a refusal would be fast.
        assert_eq!(anew(&batch).map(|anew| anew.header().record_count), Some(RECORDS as i32));
        group.bench_function(BenchmarkId::new("opened and written anew", codec.name()), |b| {
            b.iter(|| anew(black_box(&batch)))
        });
        if matches!(codec, Codec::Gzip | Codec::Lz4 | Codec::Zstd) {
            let payload = batch.payload();
            assert!(codec_alone(codec, &payload).is_ok_and(|length| length > 0));
            group.bench_function(BenchmarkId::new("codec alone", codec.name()), |b| {
                b.iter(|| codec_alone(codec, black_box(&payload)))
            });
        }
    }
    group.finish();
}

criterion_group!(benches, records);
criterion_main!(benches);
