//! Texts and numbers as Kafka's `Struct` has them: numbers big-endian, a STRING as its length in bytes (16 bits) and UTF-8.

use bytes::Bytes;

/// A text that no STRING has room for. Kafka's own limits are far below: nothing that a broker has taken is so long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} has {bytes} bytes, {} is the most that the record has room for", i16::MAX)]
pub struct TooLong {
    /// Name of the field.
    pub field: &'static str,
    /// Its length, bytes.
    pub bytes: usize,
}

#[derive(Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn text(mut self, field: &'static str, text: &str) -> Result<Self, TooLong> {
        let length = i16::try_from(text.len()).map_err(|_| TooLong { field, bytes: text.len() })?;
        self.bytes.extend(length.to_be_bytes());
        self.bytes.extend(text.as_bytes());
        Ok(self)
    }

    pub(super) fn i16(mut self, value: i16) -> Self {
        self.bytes.extend(value.to_be_bytes());
        self
    }

    pub(super) fn i32(mut self, value: i32) -> Self {
        self.bytes.extend(value.to_be_bytes());
        self
    }

    pub(super) fn i64(mut self, value: i64) -> Self {
        self.bytes.extend(value.to_be_bytes());
        self
    }

    pub(super) fn end(self) -> Bytes {
        Bytes::from(self.bytes)
    }
}

/// Takes fields from the front of bytes. Errors say what is wrong, in words that go on after "… is damaged: ".
pub(super) struct Reader<'b> {
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes }
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or("it ends too early")?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn i16(&mut self) -> Result<i16, &'static str> {
        self.bytes().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, &'static str> {
        self.bytes().map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, &'static str> {
        self.bytes().map(i64::from_be_bytes)
    }

    /// An offset that a log can have.
    pub(super) fn offset(&mut self) -> Result<i64, &'static str> {
        self.i64().and_then(|offset| if offset < 0 { Err("an offset is negative") } else { Ok(offset) })
    }

    pub(super) fn partition(&mut self) -> Result<i32, &'static str> {
        self.i32().and_then(|partition| if partition < 0 { Err("a partition is negative") } else { Ok(partition) })
    }

    pub(super) fn text(&mut self) -> Result<String, &'static str> {
        let length = usize::try_from(self.i16()?).map_err(|_| "a text has a negative length")?;
        let (text, rest) = self.rest.split_at_checked(length).ok_or("it ends too early")?;
        self.rest = rest;
        String::from_utf8(text.to_vec()).map_err(|_| "a text is not UTF-8")
    }

    pub(super) fn end(&self) -> Result<(), &'static str> {
        if self.rest.is_empty() { Ok(()) } else { Err("it goes on behind its end") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_room_for_32767_bytes() {
        let longest = "x".repeat(32_767);
        let bytes = Writer::default().text("group", &longest).unwrap_or_else(|error| panic!("{error}")).end();
        assert_eq!(Reader::new(&bytes).text(), Ok(longest.clone()));
        let error = Writer::default().text("group", &(longest + "x")).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("group has 32768 bytes, 32767 is the most that the record has room for"));
    }
}
