//! Compression of a batch's records, as streams.

mod snappy;

use std::io::{self, Read, Write};

use bytes::{Buf as _, Bytes};
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use crate::batch::Codec;

/// Blocks of Java's LZ4 producer, bytes: independent ones of this size, which every Kafka client reads.
const LZ4_BLOCK: BlockSize = BlockSize::Max64KB;

/// How hard the codecs that have levels try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// `compression.gzip.level`, 1 to 9.
    pub gzip: u32,
    /// `compression.zstd.level`.
    pub zstd: i32,
}

impl Default for Levels {
    /// Those of Kafka's producer (`CompressionType`): gzip −1, which is 6 in zlib, and zstd 3.
    fn default() -> Self {
        Self { gzip: 6, zstd: 3 }
    }
}

/// The records within a payload. Nothing is read before it is asked for, so that what a small payload claims to hold costs nothing.
pub(crate) fn decompressing(codec: Codec, payload: Bytes) -> io::Result<Box<dyn Read + Send>> {
    Ok(match codec {
        Codec::None => Box::new(payload.reader()),
        Codec::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(payload.reader())),
        Codec::Snappy => Box::new(snappy::Decompressing::new(payload)?),
        Codec::Lz4 => Box::new(FrameDecoder::new(payload.reader())),
        Codec::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(payload.reader())?),
    })
}

/// Compresses what is written to it, behind what `out` holds already.
pub(crate) enum Compressing {
    None(Vec<u8>),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Snappy(Box<snappy::Compressing>),
    Lz4(Box<FrameEncoder<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Compressing {
    pub(crate) fn new(codec: Codec, levels: Levels, out: Vec<u8>) -> io::Result<Self> {
        Ok(match codec {
            Codec::None => Self::None(out),
            Codec::Gzip => Self::Gzip(flate2::write::GzEncoder::new(out, flate2::Compression::new(levels.gzip))),
            Codec::Snappy => Self::Snappy(Box::new(snappy::Compressing::new(out))),
            Codec::Lz4 => {
                let info = FrameInfo::new().block_size(LZ4_BLOCK).block_mode(BlockMode::Independent);
                Self::Lz4(Box::new(FrameEncoder::with_frame_info(info, out)))
            }
            Codec::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(out, levels.zstd)?),
        })
    }

    /// Bytes that are out: what was written last may still be held back.
    pub(crate) fn written(&self) -> usize {
        match self {
            Self::None(out) => out.len(),
            Self::Gzip(gzip) => gzip.get_ref().len(),
            Self::Snappy(snappy) => snappy.written(),
            Self::Lz4(lz4) => lz4.get_ref().len(),
            Self::Zstd(zstd) => zstd.get_ref().len(),
        }
    }

    /// All of it.
    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::None(out) => Ok(out),
            Self::Gzip(gzip) => gzip.finish(),
            Self::Snappy(snappy) => snappy.finish(),
            Self::Lz4(lz4) => lz4.finish().map_err(io::Error::from),
            Self::Zstd(zstd) => zstd.finish(),
        }
    }
}

impl Write for Compressing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(out) => out.write(bytes),
            Self::Gzip(gzip) => gzip.write(bytes),
            Self::Snappy(snappy) => snappy.write(bytes),
            Self::Lz4(lz4) => lz4.write(bytes),
            Self::Zstd(zstd) => zstd.write(bytes),
        }
    }

    /// Whatever is held back is out then, at the price of a few bytes.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::None(_) => Ok(()),
            Self::Gzip(gzip) => gzip.flush(),
            Self::Snappy(snappy) => snappy.flush(),
            Self::Lz4(lz4) => lz4.flush(),
            Self::Zstd(zstd) => zstd.flush(),
        }
    }
}
