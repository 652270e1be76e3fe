//! Variable-length integers as records use them: zig-zag, seven bits a byte, the lowest first (`ByteUtils.readVarint`).

/// Most bytes of a 32-bit number.
pub(super) const MOST: usize = 5;
/// Most bytes of a 64-bit number.
const MOST_LONG: usize = 10;

/// A number and the bytes it took.
pub(super) type Read<T> = Option<(T, usize)>;

/// A 32-bit number at the start of `bytes`. None if it does not end within them, or within five.
pub(super) fn read(bytes: &[u8]) -> Read<i32> {
    let (raw, length) = raw(bytes, MOST)?;
    // Bits beyond the 32nd are dropped, as in Java.
    let raw = raw as u32;
    Some(((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()), length))
}

/// A 64-bit number at the start of `bytes`. None if it does not end within them, or within ten.
pub(super) fn read_long(bytes: &[u8]) -> Read<i64> {
    let (raw, length) = raw(bytes, MOST_LONG)?;
    Some(((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()), length))
}

fn raw(bytes: &[u8], most: usize) -> Read<u64> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(most).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

/// Appends a 32-bit number.
pub(super) fn write(to: &mut Vec<u8>, value: i32) {
    write_raw(to, u64::from((value << 1 ^ value >> 31).cast_unsigned()));
}

/// Appends a 64-bit number.
pub(super) fn write_long(to: &mut Vec<u8>, value: i64) {
    write_raw(to, (value << 1 ^ value >> 63).cast_unsigned());
}

fn write_raw(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn edges_are_written_as_java_writes_them() {
        for (value, bytes) in [
            (0, &[0x00][..]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (i32::MAX, &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i32::MIN, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let mut written = Vec::new();
            write(&mut written, value);
            assert_eq!((written.as_slice(), read(bytes)), (bytes, Some((value, bytes.len()))), "{value}");
        }
        let mut least = Vec::new();
        write_long(&mut least, i64::MIN);
        assert_eq!(least, [[0xff; 9].as_slice(), &[0x01]].concat());
    }

    #[test]
    fn what_does_not_end_is_no_number() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[0x80]), None);
        assert_eq!(read(&[0x80; 6]), None);
        assert_eq!(read_long(&[0x80; 11]), None);
        // Longer than needed, and Java reads it.
        assert_eq!(read(&[0x82, 0x80, 0x00]), Some((1, 3)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value: i64, rest: Vec<u8>) {
            let (mut long, mut short) = (Vec::new(), Vec::new());
            write_long(&mut long, value);
            write(&mut short, value as i32);
            let (long_length, short_length) = (long.len(), short.len());
            long.extend(&rest);
            short.extend(&rest);
            prop_assert_eq!(read_long(&long), Some((value, long_length)));
            prop_assert_eq!(read(&short), Some((value as i32, short_length)));
        }
    }
}
