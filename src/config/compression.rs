//! Which compression batches have on the target.

use super::{
    ConfigError, Properties, WorkerConfig,
    key::{Default::Value as By, Key, Kind, Valid, Value},
    values::Values,
};

/// What becomes of the source's compression (`kmirror.compression`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Each batch keeps its own.
    Keep,
    /// All batches get this one, as MirrorMaker's have it.
    Configured(Compressor),
}

/// A compression, and how hard it tries where that can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compressor {
    /// `none`
    None,
    /// `gzip`
    Gzip {
        /// `compression.gzip.level`, 1 to 9; Kafka's −1 is zlib's 6.
        level: u32,
    },
    /// `snappy`
    Snappy,
    /// `lz4`. Its level is checked and not used: there is one way to write it.
    Lz4,
    /// `zstd`
    Zstd {
        /// `compression.zstd.level`, −131072 to 22.
        level: i32,
    },
}

// Types, defaults and ranges are those of `ProducerConfig`.
const TYPE: Key = Key::new("compression.type", Kind::String, By("none"), "Compression of batches.")
    .valid(Valid::OneOf(&["none", "gzip", "snappy", "lz4", "zstd"]));
const GZIP_LEVEL: Key = Key::new("compression.gzip.level", Kind::Int, By("-1"), "").valid(Valid::BetweenOr(1, 9, -1));
const LZ4_LEVEL: Key = Key::new("compression.lz4.level", Kind::Int, By("9"), "").valid(Valid::Between(1, 17));
const ZSTD_LEVEL: Key = Key::new("compression.zstd.level", Kind::Int, By("3"), "").valid(Valid::Between(-131_072, 22));

/// Whether [`Compression::Configured`] follows this setting of the data's producer.
pub(super) fn has_effect(setting: &str) -> bool {
    [TYPE, GZIP_LEVEL, ZSTD_LEVEL].iter().any(|key| key.name == setting)
}

/// As Connect makes up the data's producer: the worker's `producer.` settings, and over them the connector's
/// `producer.override.`. They are judged even where batches keep their compression, since MirrorMaker's task would fail.
///
/// # Errors
/// Each setting that `ProducerConfig` would refuse, by the key it was written under.
pub(super) fn compression(
    raw: &Properties,
    values: &Values,
    worker: &WorkerConfig,
) -> Result<Compression, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let mut read = |key: &Key| {
        let overriding = format!("producer.override.{}", key.name);
        let written = match raw.get(&overriding) {
            Some(text) => Some((overriding, text)),
            None => worker.producer_compression.get(key.name).map(|text| (format!("producer.{}", key.name), text)),
        };
        let parsed = match written {
            Some((name, text)) => key.parse(&name, text),
            None => key.parse(key.name, key.default_text().unwrap_or_default()),
        };
        parsed.map_err(|error| errors.push(error)).ok()
    };
    let codec = read(&TYPE);
    let mut level = |key: &Key| match read(key) {
        Some(Value::Number(level)) => i32::try_from(level).unwrap_or_default(),
        _ => 0,
    };
    let (gzip, _, zstd) = (level(&GZIP_LEVEL), level(&LZ4_LEVEL), level(&ZSTD_LEVEL));
    if !errors.is_empty() {
        return Err(errors);
    }
    let compressor = match &codec {
        Some(Value::Text(codec)) => match codec.as_str() {
            "gzip" => Compressor::Gzip { level: u32::try_from(gzip).unwrap_or(6) },
            "snappy" => Compressor::Snappy,
            "lz4" => Compressor::Lz4,
            "zstd" => Compressor::Zstd { level: zstd },
            _ => Compressor::None,
        },
        _ => Compressor::None,
    };
    let is_configured = values.text("kmirror.compression") == Some("configured");
    Ok(if is_configured { Compression::Configured(compressor) } else { Compression::Keep })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{keys::mirror_source_keys, read_properties};

    fn read(lines: &str, worker: &str) -> Result<Compression, Vec<String>> {
        let base = "group.id=g\nkey.converter=c\nvalue.converter=c\nconfig.storage.topic=c\noffset.storage.topic=o\n\
                    status.storage.topic=s\n";
        let worker = WorkerConfig::parse(&read_properties(&format!("{base}{worker}")).unwrap()).unwrap();
        let raw = read_properties(lines).unwrap();
        compression(&raw, &Values::read(mirror_source_keys(), &raw), &worker)
            .map_err(|errors| errors.into_iter().map(|error| error.message).collect())
    }

    #[test]
    fn it_is_kept_unless_asked_otherwise() {
        assert_eq!(read("", ""), Ok(Compression::Keep));
        assert_eq!(read("producer.override.compression.type=gzip", ""), Ok(Compression::Keep));
        assert_eq!(read("kmirror.compression=keep", "producer.compression.type=gzip"), Ok(Compression::Keep));
    }

    #[test]
    fn a_configured_one_is_made_up_as_in_connect() {
        let table = [
            ("", "", Compressor::None),
            ("type=gzip", "", Compressor::Gzip { level: 6 }),
            ("type= gzip \nproducer.override.compression.gzip.level=-1", "", Compressor::Gzip { level: 6 }),
            ("type=gzip\nproducer.override.compression.gzip.level= 9 ", "", Compressor::Gzip { level: 9 }),
            ("type=snappy", "producer.compression.type=gzip", Compressor::Snappy),
            ("gzip.level=1", "producer.compression.type=gzip", Compressor::Gzip { level: 1 }),
            ("type=lz4\nproducer.override.compression.lz4.level=17", "", Compressor::Lz4),
            ("type=zstd", "", Compressor::Zstd { level: 3 }),
            ("type=zstd", "producer.compression.zstd.level=-131072", Compressor::Zstd { level: -131_072 }),
            ("type=zstd\nproducer.override.compression.zstd.level=0", "", Compressor::Zstd { level: 0 }),
        ];
        for (lines, worker, expected) in table {
            let lines = format!("kmirror.compression=configured\nproducer.override.compression.{lines}");
            assert_eq!(read(&lines, worker), Ok(Compression::Configured(expected)), "{lines} {worker}");
        }
    }

    #[test]
    fn what_the_producer_refuses_is_refused() {
        // The words are those of Kafka 4.1.1's ProducerConfig.
        let table = [
            ("type=GZIP", "GZIP", "String must be one of: none, gzip, snappy, lz4, zstd"),
            ("type=", "", "String must be one of: none, gzip, snappy, lz4, zstd"),
            ("gzip.level=0", "0", "Value must be between 1 and 9 or equal to -1"),
            ("gzip.level=10", "10", "Value must be between 1 and 9 or equal to -1"),
            ("lz4.level=0", "0", "Value must be at least 1"),
            ("lz4.level=18", "18", "Value must be no more than 17"),
            ("zstd.level=-131073", "-131073", "Value must be at least -131072"),
            ("zstd.level=23", "23", "Value must be no more than 22"),
            ("zstd.level=x", "x", "Not a number of type INT"),
        ];
        for (setting, value, reason) in table {
            let name = setting.split('=').next().unwrap();
            for (prefix, lines, worker) in [
                ("producer.override.", format!("producer.override.compression.{setting}"), String::new()),
                ("producer.", String::new(), format!("producer.compression.{setting}")),
            ] {
                let message = format!("Invalid value {value} for configuration {prefix}compression.{name}: {reason}");
                assert_eq!(read(&lines, &worker), Err(vec![message]), "{lines}{worker}");
            }
        }
        let two = "producer.override.compression.type=x\nproducer.override.compression.gzip.level=0";
        assert_eq!(read(two, "").unwrap_err().len(), 2);
    }
}
