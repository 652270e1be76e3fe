//! CRC-32C of what is known already, without reading it again.
//!
//! A CRC is linear: for two beginnings of one length before the same rest, the sums differ by the difference of the beginnings' sums,
//! multiplied by x^(8 × length of the rest) modulo the polynomial. Polynomials over GF(2) are bit-reversed here, as in the sum itself: the
//! highest bit is the coefficient of x^0.

/// Castagnoli's polynomial.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// x^0.
const ONE: u32 = 1 << 31;
/// x^(2^k) modulo the polynomial, for lengths of up to 2^36 bits.
const POWERS: [u32; 36] = {
    let mut powers = [ONE >> 1; 36];
    let mut k = 1;
    while k < powers.len() {
        powers[k] = multiply(powers[k - 1], powers[k - 1]);
        k += 1;
    }
    powers
};

/// The sum of `new` and some rest, where `sum` is that of `old` and the same rest. `new` and `old` have the same length, `rest` is in bytes.
pub(super) fn with_other_beginning(sum: u32, old: &[u8], new: &[u8], rest: u32) -> u32 {
    sum ^ shift(crc32c::crc32c(old) ^ crc32c::crc32c(new), rest)
}

/// What becomes of a difference when so many bytes follow.
fn shift(difference: u32, bytes: u32) -> u32 {
    let bits = u64::from(bytes) * 8;
    let powers = POWERS.iter().enumerate().filter(|(k, _)| bits >> k & 1 == 1);
    powers.fold(difference, |product, (_, power)| multiply(*power, product))
}

/// a × b modulo the polynomial.
const fn multiply(a: u32, mut b: u32) -> u32 {
    let (mut left, mut product) = (a, 0);
    while left != 0 {
        // Without branches: the bits of a sum are random.
        product ^= b & (0_u32.wrapping_sub(left >> 31));
        left <<= 1;
        b = (b >> 1) ^ (POLYNOMIAL & 0_u32.wrapping_sub(b & 1));
    }
    product
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_summing_again_gives(
            (old, new) in (0_usize..80).prop_flat_map(|n| {
                let bytes = || prop::collection::vec(any::<u8>(), n);
                (bytes(), bytes())
            }),
            rest in prop::collection::vec(any::<u8>(), 0..5_000),
        ) {
            let sum = |beginning: &[u8]| crc32c::crc32c(&[beginning, &rest].concat());
            let length = u32::try_from(rest.len()).unwrap();
            prop_assert_eq!(with_other_beginning(sum(&old), &old, &new, length), sum(&new));
        }
    }

    #[test]
    fn a_long_rest_is_no_exception() {
        let rest = vec![0xa5; 100 << 20];
        let sum = |beginning: &[u8]| crc32c::crc32c_append(crc32c::crc32c(beginning), &rest);
        let length = u32::try_from(rest.len()).unwrap();
        assert_eq!(with_other_beginning(sum(b"ab"), b"ab", b"cd", length), sum(b"cd"));
        // 2^32 − 1 zeros after a difference are as many after what half of them leave.
        let half = shift(0xdead_beef, u32::MAX / 2);
        assert_eq!(shift(0xdead_beef, u32::MAX), shift(half, u32::MAX / 2 + 1));
    }
}
