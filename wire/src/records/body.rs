//! What a record carries: key, value and headers, behind each other in its body (`DefaultRecord`).

use super::varint;

/// A record's body, read. Nothing is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordBody<'a> {
    /// Absent for null, which is not the same as empty.
    pub key: Option<&'a [u8]>,
    /// Absent for null, which is not the same as empty.
    pub value: Option<&'a [u8]>,
    /// Key and value as they are stored, each behind its length.
    before_headers: &'a [u8],
    headers: &'a [u8],
}

/// A header. Names may be there several times, and their order counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its name: UTF-8, if the producer was sound.
    pub key: &'a [u8],
    /// Absent for null, which is not the same as empty.
    pub value: Option<&'a [u8]>,
}

/// A body that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record {what}")]
pub struct MalformedRecord {
    /// What is wrong with it.
    pub what: &'static str,
}

const CUT_OFF: MalformedRecord = MalformedRecord { what: "is cut off" };

impl<'a> RecordBody<'a> {
    /// Reads a body's key and value.
    ///
    /// # Errors
    /// They reach beyond its end.
    pub fn parse(body: &'a [u8]) -> Result<Self, MalformedRecord> {
        let mut rest = body;
        let (key, value) = (nullable(&mut rest)?, nullable(&mut rest)?);
        let (before_headers, headers) = body.split_at(body.len() - rest.len());
        Ok(Self { key, value, before_headers, headers })
    }

    /// Its headers, in their order.
    ///
    /// # Errors
    /// They are more or fewer than their count says, or don't end where the body does.
    pub fn headers(&self) -> Result<Vec<Header<'a>>, MalformedRecord> {
        let mut rest = self.headers;
        let count = length(&mut rest)?;
        if count < 0 {
            return Err(MalformedRecord { what: "has a negative number of headers" });
        }
        let mut headers = Vec::new();
        for _ in 0..count {
            let key = nullable(&mut rest)?.ok_or(MalformedRecord { what: "has a header without a name" })?;
            headers.push(Header { key, value: nullable(&mut rest)? });
        }
        if rest.is_empty() { Ok(headers) } else { Err(MalformedRecord { what: "is followed by more bytes" }) }
    }

    /// Appends a body with the same key and value, and these headers.
    ///
    /// # Errors
    /// A header's name or value is longer than 2 GiB, or there are as many headers.
    pub fn write_with(&self, headers: &[Header<'_>], to: &mut Vec<u8>) -> Result<(), MalformedRecord> {
        const TOO_LONG: MalformedRecord = MalformedRecord { what: "is too long" };
        let number = |length: usize| i32::try_from(length).map_err(|_| TOO_LONG);
        to.extend_from_slice(self.before_headers);
        varint::write(to, number(headers.len())?);
        for Header { key, value } in headers {
            varint::write(to, number(key.len())?);
            to.extend_from_slice(key);
            varint::write(to, value.map_or(Ok(-1), |value| number(value.len()))?);
            to.extend_from_slice(value.unwrap_or_default());
        }
        Ok(())
    }
}

fn length(rest: &mut &[u8]) -> Result<i32, MalformedRecord> {
    let (length, taken) = varint::read(rest).ok_or(CUT_OFF)?;
    *rest = &rest[taken..];
    Ok(length)
}

/// Bytes behind their length. Each negative length is null, as to Kafka's clients.
fn nullable<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, MalformedRecord> {
    let Ok(length) = usize::try_from(length(rest)?) else { return Ok(None) };
    let (bytes, behind) = rest.split_at_checked(length).ok_or(CUT_OFF)?;
    *rest = behind;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Nullable = Option<Vec<u8>>;

    fn write(key: &Nullable, value: &Nullable, headers: &[(Vec<u8>, Nullable)]) -> Vec<u8> {
        let mut body = Vec::new();
        let mut part = |bytes: Option<&[u8]>| {
            varint::write(&mut body, bytes.map_or(-1, |bytes| bytes.len() as i32));
            body.extend(bytes.unwrap_or_default());
        };
        part(key.as_deref());
        part(value.as_deref());
        varint::write(&mut body, headers.len() as i32);
        for (key, value) in headers {
            varint::write(&mut body, key.len() as i32);
            body.extend(key);
            varint::write(&mut body, value.as_ref().map_or(-1, |value| value.len() as i32));
            body.extend(value.as_deref().unwrap_or_default());
        }
        body
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_written_again(
            key: Nullable, value: Nullable, headers: Vec<(Vec<u8>, Nullable)>,
        ) {
            let bytes = write(&key, &value, &headers);
            let body = RecordBody::parse(&bytes).unwrap();
            prop_assert_eq!((body.key, body.value), (key.as_deref(), value.as_deref()));
            let expected: Vec<Header<'_>> =
                headers.iter().map(|(key, value)| Header { key, value: value.as_deref() }).collect();
            prop_assert_eq!(&body.headers().unwrap(), &expected);
            let mut again = vec![7];
            body.write_with(&expected, &mut again).unwrap();
            prop_assert_eq!(&again[1..], &bytes);
        }

        #[test]
        fn no_part_of_a_body_is_one(key: Nullable, value: Nullable, headers: Vec<(Vec<u8>, Nullable)>, more: u8) {
            let mut bytes = write(&key, &value, &headers);
            let read = |bytes: &[u8]| RecordBody::parse(bytes).and_then(|body| body.headers().map(|_| ()));
            for length in 0..bytes.len() {
                prop_assert_eq!(read(&bytes[..length]), Err(CUT_OFF));
            }
            bytes.push(more);
            prop_assert_eq!(read(&bytes), Err(MalformedRecord { what: "is followed by more bytes" }));
        }

        #[test]
        fn anything_is_read_without_a_panic(bytes: Vec<u8>) {
            let _ = RecordBody::parse(&bytes).and_then(|body| body.headers());
        }
    }

    #[test]
    fn lengths_that_can_not_be_are_named() {
        // No key, no value, a count of −1; then a header whose name is −1 long.
        for (bytes, what) in [
            (&[1, 1, 1][..], "has a negative number of headers"),
            (&[1, 1, 2, 1], "has a header without a name"),
            (&[1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f], "is cut off"),
        ] {
            assert_eq!(RecordBody::parse(bytes).unwrap().headers(), Err(MalformedRecord { what }));
        }
        // Each negative length is null.
        let null = RecordBody::parse(&[3, 5, 0]).unwrap();
        assert_eq!((null.key, null.value, null.headers()), (None, None, Ok(Vec::new())));
    }
}
