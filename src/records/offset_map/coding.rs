//! Numbers and texts as bytes.

/// Most bytes of a 64-bit number.
const MOST: usize = 10;

pub(super) fn put_u64(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

pub(super) fn put_i64(to: &mut Vec<u8>, value: i64) {
    put_u64(to, (value << 1 ^ value >> 63).cast_unsigned());
}

pub(super) fn put_text(to: &mut Vec<u8>, text: &str) {
    put_u64(to, text.len() as u64);
    to.extend(text.as_bytes());
}

/// Takes numbers from the front of bytes. Errors say what is wrong, in words that go on after "value … is damaged: ".
pub(super) struct Reader<'b> {
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn byte(&mut self) -> Result<u8, &'static str> {
        self.bytes().map(|[byte]| byte)
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or("it ends too early")?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u64(&mut self) -> Result<u64, &'static str> {
        let mut value = 0_u64;
        for at in 0..MOST {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if at == MOST - 1 && bits > 1 {
                break;
            }
            value |= bits << (7 * at);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number has more than 64 bits")
    }

    pub(super) fn i64(&mut self) -> Result<i64, &'static str> {
        let raw = self.u64()?;
        Ok((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()))
    }

    /// A number of a smaller type.
    pub(super) fn number<T: Narrow>(&mut self) -> Result<T, &'static str> {
        T::narrow(self)
    }

    /// How many elements follow, one byte each at least: no more than there are bytes.
    pub(super) fn count(&mut self) -> Result<usize, &'static str> {
        let count = self.u64()?;
        usize::try_from(count).ok().filter(|count| *count <= self.rest.len()).ok_or("more elements than bytes")
    }

    pub(super) fn text(&mut self) -> Result<String, &'static str> {
        let length = self.count()?;
        let (text, rest) = self.rest.split_at(length);
        self.rest = rest;
        String::from_utf8(text.to_vec()).map_err(|_| "a name is not UTF-8")
    }

    pub(super) fn end(&self) -> Result<(), &'static str> {
        if self.rest.is_empty() { Ok(()) } else { Err("it goes on behind its end") }
    }
}

/// Types that are coded as 64-bit numbers: signed ones zig-zag.
pub(super) trait Narrow: Sized {
    fn narrow(reader: &mut Reader<'_>) -> Result<Self, &'static str>;
}

const TOO_LARGE: &str = "a number is too large for its field";

impl Narrow for i32 {
    fn narrow(reader: &mut Reader<'_>) -> Result<Self, &'static str> {
        Self::try_from(reader.i64()?).map_err(|_| TOO_LARGE)
    }
}

impl Narrow for i16 {
    fn narrow(reader: &mut Reader<'_>) -> Result<Self, &'static str> {
        Self::try_from(reader.i64()?).map_err(|_| TOO_LARGE)
    }
}

impl Narrow for u32 {
    fn narrow(reader: &mut Reader<'_>) -> Result<Self, &'static str> {
        Self::try_from(reader.u64()?).map_err(|_| TOO_LARGE)
    }
}
