//! Snappy as Kafka frames it: the blocks of snappy-java's `SnappyOutputStream`, each with its length, behind a header of 16 bytes. A payload
//! without that header is one raw block (`SnappyInputStream` reads it as such, and some clients write it).

use std::io::{self, Read, Write};

use bytes::{Buf as _, Bytes};
use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

/// Then come two version numbers, both 1.
const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const HEADER: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
/// What snappy-java compresses at a time, bytes.
const BLOCK: usize = 32 * 1024;
/// The format can't do better than 64 bytes for 3: a block that claims more lies, and gets no memory.
const MOST_RATIO: usize = 22;

pub(super) struct Decompressing {
    rest: Bytes,
    framed: bool,
    decoder: Decoder,
    block: Vec<u8>,
    at: usize,
}

impl Decompressing {
    pub(super) fn new(mut payload: Bytes) -> io::Result<Self> {
        let framed = payload.starts_with(&MAGIC);
        if framed {
            if payload.len() < HEADER.len() {
                return Err(bad("the header is cut off"));
            }
            payload.advance(HEADER.len());
        }
        Ok(Self { rest: payload, framed, decoder: Decoder::new(), block: Vec::new(), at: 0 })
    }

    /// Decompresses the next block, if there is one.
    fn next(&mut self) -> io::Result<bool> {
        if self.rest.is_empty() {
            return Ok(false);
        }
        // Streams put one behind the other have a header each.
        if self.framed && self.rest.starts_with(&MAGIC) && self.rest.len() >= HEADER.len() {
            self.rest.advance(HEADER.len());
            return Ok(true);
        }
        let compressed = if self.framed {
            let length = self.rest.try_get_i32().map_err(|_| bad("a block's length is cut off"))?;
            let length = usize::try_from(length).ok().filter(|length| *length <= self.rest.len());
            self.rest.split_to(length.ok_or_else(|| bad("a block is cut off"))?)
        } else {
            self.rest.split_to(self.rest.len())
        };
        let length = decompress_len(&compressed).map_err(io::Error::from)?;
        if length > compressed.len().saturating_mul(MOST_RATIO) {
            return Err(bad("a block claims to hold more than it can"));
        }
        self.block.resize(length, 0);
        self.at = 0;
        let written = self.decoder.decompress(&compressed, &mut self.block).map_err(io::Error::from)?;
        self.block.truncate(written);
        Ok(true)
    }
}

impl Read for Decompressing {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() {
            if !self.next()? {
                return Ok(0);
            }
        }
        let read = (&self.block[self.at..]).read(to)?;
        self.at += read;
        Ok(read)
    }
}

pub(crate) struct Compressing {
    out: Vec<u8>,
    encoder: Encoder,
    block: Vec<u8>,
}

impl Compressing {
    pub(super) fn new(mut out: Vec<u8>) -> Self {
        out.extend(HEADER);
        Self { out, encoder: Encoder::new(), block: Vec::with_capacity(BLOCK) }
    }

    pub(super) fn written(&self) -> usize {
        self.out.len()
    }

    pub(super) fn finish(mut self) -> io::Result<Vec<u8>> {
        self.compress()?;
        Ok(self.out)
    }

    fn compress(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let start = self.out.len() + 4;
        self.out.resize(start + max_compress_len(self.block.len()), 0);
        let length = self.encoder.compress(&self.block, &mut self.out[start..]).map_err(io::Error::from)?;
        self.out.truncate(start + length);
        let length = i32::try_from(length).map_err(|_| bad("a block is too long"))?;
        self.out[start - 4..start].copy_from_slice(&length.to_be_bytes());
        self.block.clear();
        Ok(())
    }
}

impl Write for Compressing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..taken]);
        if self.block.len() == BLOCK {
            self.compress()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.compress()
    }
}

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
