//! The hash by which Kafka's producers spread keys over partitions (`Utils.murmur2` in Kafka's clients).

/// The partition that Java's producer picks for a key: 0 to `partitions` − 1 (`BuiltInPartitioner.partitionForKey`).
/// `partitions` is 1 or more; less is taken as 1.
#[must_use]
pub fn partition_for_key(key: &[u8], partitions: i32) -> i32 {
    // The sign is dropped, as `Utils.toPositive` does: not the same as the absolute value.
    (murmur2(key) & i32::MAX) % partitions.max(1)
}

/// MurmurHash2 with Kafka's seed. Kafka reads the four-byte words little-endian.
#[must_use]
pub(crate) fn murmur2(data: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;

    // Java's arrays have at most 2^31 − 1 bytes; the length goes into the hash as 32 bits.
    #[allow(clippy::cast_possible_truncation, reason = "the hash takes the length's low 32 bits")]
    let mut hash = SEED ^ data.len() as u32;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (i, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^= hash >> 15;
    hash.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that `Utils.murmur2` returns; Kafka's own `UtilsTest` holds them.
    const KNOWN: [(&[u8], i32); 6] = [
        (b"21", -973_932_308),
        (b"foobar", -790_332_482),
        (b"a-little-bit-long-string", -985_981_536),
        (b"a-little-bit-longer-string", -1_486_304_829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        (b"abc", 479_470_107),
    ];

    #[test]
    fn hashes_as_kafka_does() {
        for (key, hash) in KNOWN {
            assert_eq!(murmur2(key), hash, "{}", key.escape_ascii());
        }
    }

    #[test]
    fn a_partition_drops_the_hash_s_sign_bit() {
        for (key, hash) in KNOWN {
            for partitions in [1, 2, 7, 50, i32::MAX] {
                let positive = i64::from(hash) + if hash < 0 { 1 << 31 } else { 0 };
                assert_eq!(i64::from(partition_for_key(key, partitions)), positive % i64::from(partitions));
            }
        }
        assert_eq!(partition_for_key(b"21", 0), 0);
    }
}
