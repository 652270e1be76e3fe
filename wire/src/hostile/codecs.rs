//! Compressed payloads.

use std::io::{Read as _, Write as _};

use bytes::Bytes;

use super::{CODECS, input::Input};
use crate::{
    batch::Codec,
    records::{Compressing, Levels, decompressing},
};

/// What is read of a payload at most, bytes.
const MOST_READ: u64 = 8 << 20;

/// Any bytes decompressed; any bytes compressed, in any pieces and with damage, and decompressed again.
pub fn codecs(data: &[u8]) {
    let mut input = Input(data);
    let (flags, codec) = (input.byte(), input.one_of(&CODECS));
    if flags & 1 == 0 {
        let _ = all(codec, Bytes::copy_from_slice(input.0));
        return;
    }
    let levels = Levels { gzip: u32::from(flags >> 4) % 10, zstd: i32::from(flags >> 4) % 12 };
    let damage = (flags & 2 != 0).then(|| (input.short(), input.byte()));
    let repeat = if flags & 4 != 0 { 1 + usize::from(input.short()) % 300 } else { 1 };
    let mut out = Compressing::new(codec, levels, vec![1, 2, 3]).unwrap();
    let mut plain = Vec::new();
    while !input.is_empty() && plain.len() < 1 << 20 {
        let count = usize::from(input.byte());
        let piece = input.bytes(1 + count).repeat(repeat);
        out.write_all(&piece).unwrap();
        plain.extend(&piece);
        if count % 7 == 0 {
            out.flush().unwrap();
            // What is out must suffice for what came.
            assert!(codec != Codec::None || out.written() == 3 + plain.len());
        }
    }
    let mut bytes = out.finish().unwrap();
    assert_eq!(bytes[..3], [1, 2, 3]);
    let mut bytes = bytes.split_off(3);
    let read = all(codec, Bytes::copy_from_slice(&bytes)).unwrap();
    assert!(read == plain, "{} bytes are other ones", plain.len());
    if let Some((at, with)) = damage
        && !bytes.is_empty()
    {
        let at = usize::from(at) % bytes.len();
        bytes[at] ^= with;
        let _ = all(codec, Bytes::copy_from_slice(&bytes));
        bytes.truncate(at);
        let _ = all(codec, bytes.into());
    }
}

fn all(codec: Codec, payload: Bytes) -> std::io::Result<Vec<u8>> {
    let mut read = Vec::new();
    decompressing(codec, payload)?.take(MOST_READ).read_to_end(&mut read)?;
    Ok(read)
}
