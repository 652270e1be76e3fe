//! Kafka's Java consumer and producer: what librdkafka can't tell or write, and a second opinion on what it can.

use std::fmt::Write;

use anyhow::{Context, Result, bail, ensure};

use super::Tools;
use crate::clients::{Codec, Isolation, Record, RecordView, TimestampKind, watermarks};

/// Run as it stands, by Java's launcher for single source files.
const PROGRAM: &str = include_str!("../../kafka/Records.java");
const FILE: &str = "Records.java";
/// Records of 1 MB are kept as hexadecimal text too.
const HEAP_MB: u32 = 512;

impl Tools {
    /// All records of topics up to their present ends, each by partition number, as Kafka's Java consumer sees them. With
    /// [`Isolation::ReadCommitted`] it ends at the last stable offset where that comes first.
    pub async fn java_read_all(&self, topics: &[&str], isolation: Isolation) -> Result<Vec<Vec<Vec<RecordView>>>> {
        let mut records = Vec::new();
        for topic in topics {
            records.push(vec![Vec::new(); watermarks(&self.bootstrap, topic).await?.len()]);
        }
        let isolation = match isolation {
            Isolation::ReadUncommitted => "read_uncommitted",
            Isolation::ReadCommitted => "read_committed",
        };
        let args = [&["read", &self.bootstrap, isolation], topics].concat();
        let printed = self.java.source(FILE, PROGRAM, HEAP_MB, &args, "").await?.stdout;
        for line in printed.lines() {
            let (topic, partition, record) = parse(line).with_context(|| format!("what was read: {line:.200}"))?;
            let of = topics.iter().position(|&each| each == topic);
            let of = of.and_then(|topic| records[topic].get_mut(partition));
            of.with_context(|| format!("a record of {topic}-{partition}"))?.push(record);
        }
        Ok(records)
    }

    /// Produces the same records to partitions, each in a codec of its own, in order, by Kafka's Java producer.
    /// `properties` are further ones of the producer's.
    pub async fn java_produce(
        &self,
        topic: &str,
        partitions: &[(i32, Codec)],
        records: &[Record],
        properties: &[&str],
    ) -> Result<()> {
        let partitions: Vec<_> =
            partitions.iter().map(|(number, codec)| format!("{number}:{}", codec.name())).collect();
        let partitions = partitions.join(",");
        let args = [&["write", &self.bootstrap, topic, &partitions][..], properties].concat();
        let lines: String = records.iter().map(line).collect();
        self.java.source(FILE, PROGRAM, HEAP_MB, &args, &lines).await?;
        Ok(())
    }
}

fn parse(line: &str) -> Result<(&str, usize, RecordView)> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [topic, partition, offset, kind, timestamp, key, value, headers] = fields[..] else {
        bail!("{} fields", fields.len());
    };
    let header = |header: &str| -> Result<_> {
        let (name, value) = header.split_once(':').context("a header without value")?;
        Ok((String::from_utf8(bytes(name)?.context("a header without name")?)?, bytes(value)?))
    };
    let timestamp = timestamp.parse()?;
    let timestamp_kind = match kind {
        // A record that was given no time has none, whatever its topic calls times.
        _ if timestamp == -1 => TimestampKind::None,
        "0" => TimestampKind::CreateTime,
        "1" => TimestampKind::LogAppendTime,
        other => bail!("kind of time {other}"),
    };
    let headers = headers.split(' ').filter(|header| !header.is_empty()).map(header).collect::<Result<_>>()?;
    let record = RecordView {
        offset: offset.parse()?,
        key: bytes(key)?,
        value: bytes(value)?,
        headers,
        timestamp,
        timestamp_kind,
    };
    Ok((topic, partition.parse()?, record))
}

fn line(record: &Record) -> String {
    let timestamp = record.timestamp.map_or("-".to_owned(), |ms| ms.to_string());
    let headers: Vec<String> = record
        .headers
        .iter()
        .map(|(name, value)| format!("{}:{}", hex(Some(name.as_bytes())), hex(value.as_deref())))
        .collect();
    let (key, value) = (hex(record.key.as_deref()), hex(record.value.as_deref()));
    format!("{timestamp}\t{key}\t{value}\t{}\n", headers.join(" "))
}

fn hex(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "-".to_owned() };
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string never fails.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn bytes(hex: &str) -> Result<Option<Vec<u8>>> {
    if hex == "-" {
        return Ok(None);
    }
    let digit = |digit: u8| char::from(digit).to_digit(16).context("no hexadecimal digit");
    ensure!(hex.len().is_multiple_of(2), "half a byte");
    let byte = |pair: &[u8]| Ok((digit(pair[0])? << 4 | digit(pair[1])?) as u8);
    hex.as_bytes().chunks(2).map(byte).collect::<Result<Vec<u8>>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_a_record() {
        let record =
            Record::new(vec![0x80, 0], "").header("h", None).header("", Some(b"")).header("h", Some(b"1")).at(-5);
        let line = line(&record);
        assert_eq!(line, "-5\t8000\t\t68:- : 68:31\n");
        let line = format!("t\t3\t17\t0\t{}", line.trim_end_matches('\n'));
        let (topic, partition, view) = parse(&line).unwrap();
        assert_eq!((topic, partition, view.offset, view.timestamp), ("t", 3, 17, -5));
        assert_eq!((view.key, view.value, view.headers), (record.key, record.value, record.headers));
        let nothing = parse("t\t0\t0\t-1\t-1\t-\t-\t").unwrap().2;
        assert_eq!((nothing.key, nothing.value, nothing.headers), (None, None, Vec::new()));
        assert_eq!(nothing.timestamp_kind, TimestampKind::None);
    }
}
