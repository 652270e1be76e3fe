//! What is mirrored, and what the figures are to be.

use std::time::Duration;

use testkit::{Bulk, Codec};

/// A copy of data that is there when the mirror starts.
#[derive(Debug, Clone)]
pub(crate) struct Copy {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// How many records over all topics. Such that tuned MirrorMaker 2 takes 10 to 25 s on two cores.
    pub(crate) records: u64,
    pub(crate) topics: usize,
    /// Of each topic.
    pub(crate) partitions: i32,
    /// Bytes of each value.
    pub(crate) value_bytes: usize,
    pub(crate) codec: Codec,
    /// Most bytes of a batch before compression.
    pub(crate) batch_bytes: usize,
    /// Whether batches have to be nearly that large on the source: their size is what the workload is about.
    pub(crate) full_batches: bool,
    pub(crate) shape: Shape,
    pub(crate) connector: Connector,
    /// Whether the program is watched for a while when all is copied.
    pub(crate) idle: bool,
    /// Whether the copy stays on the target: its brokers are stopped soon.
    pub(crate) keep: bool,
    pub(crate) goals: Goals,
}

/// What the source holds beside records that pass in their batches as they are. All but plain data is read back and
/// compared, record by record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Nothing.
    Plain,
    /// Transactions, of which some were aborted.
    Transactions,
    /// What the broker's cleaner has left: batches with gaps.
    Compacted,
    /// Records with a header that others do not have.
    Marked,
}

/// Whose connector configuration is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connector {
    /// The least that is needed, and what the contestant is tuned with.
    Plain,
    /// As Plain, with a regular expression for topics.
    Pattern,
    /// AWS's migration sample as it stands.
    Sample,
    /// As Plain, with a transform that changes the topic only.
    Routed,
    /// As Plain, with transforms of records: a header for all, and those of [`Shape::Marked`] left out.
    Transformed,
}

/// What is asked of kmirror, each beside tuned MirrorMaker 2 unless said otherwise. None: nothing is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Goals {
    /// At least this many times its records per second.
    pub(crate) speed: Option<f64>,
    /// At most one of this many parts of its CPU time.
    pub(crate) cpu: Option<f64>,
    /// At least this many times its records per CPU-second.
    pub(crate) per_cpu: Option<f64>,
    /// Core-seconds per GB of keys and values, in itself.
    pub(crate) cpu_per_gb: Option<f64>,
    /// Peak resident memory in MB, in itself.
    pub(crate) rss_mb: Option<f64>,
    /// Bytes on the target's disk as on the source's.
    pub(crate) same_bytes: bool,
}

/// Records at a steady rate, watched on their way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Steady {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Records per second.
    pub(crate) rate: u64,
    /// How long, after the warm-up.
    pub(crate) measured: Duration,
    /// Records of this time are sent, and not counted: a Java machine is still compiling.
    pub(crate) warm_up: Duration,
    /// The most that the 99th percentile of what is added to a direct consumer's latency may be.
    pub(crate) added_p99: Duration,
}

const RSS_MB: f64 = 96.0;

fn goals(speed: f64, cpu: f64) -> Goals {
    Goals { speed: Some(speed), cpu: Some(cpu), rss_mb: Some(RSS_MB), same_bytes: true, ..Goals::default() }
}

/// JSON of 500 bytes in large batches: what most of the others differ from.
fn json(name: &'static str, title: &'static str, records: u64, codec: Codec) -> Copy {
    Copy {
        name,
        title,
        records,
        topics: 1,
        partitions: 8,
        value_bytes: 500,
        codec,
        batch_bytes: 256 * 1024,
        full_batches: false,
        shape: Shape::Plain,
        connector: Connector::Plain,
        idle: false,
        keep: false,
        goals: goals(6.0, 35.0),
    }
}

/// Copies of batches that mostly pass as they are, in the order they are run.
pub(crate) fn copies() -> Vec<Copy> {
    vec![
        Copy {
            value_bytes: 1_000,
            goals: Goals { cpu_per_gb: Some(1.0), ..goals(6.0, 15.0) },
            ..json("plain-1kb", "1 kB records, uncompressed", 2_000_000, Codec::None)
        },
        Copy { idle: true, ..json("json-lz4", "500 B JSON, LZ4", 3_000_000, Codec::Lz4) },
        json("json-zstd", "500 B JSON, zstd", 2_500_000, Codec::Zstd),
        Copy {
            goals: Goals { same_bytes: true, rss_mb: Some(RSS_MB), ..Goals::default() },
            ..json("json-gzip", "500 B JSON, gzip", 1_500_000, Codec::Gzip)
        },
        Copy {
            value_bytes: 100,
            batch_bytes: 16 * 1024,
            full_batches: true,
            goals: goals(6.0, 30.0),
            ..json("small-16kb", "100 B records, producer batches of 16 kB", 5_000_000, Codec::None)
        },
        Copy {
            value_bytes: 100,
            batch_bytes: 1024,
            full_batches: true,
            // They are joined.
            goals: Goals { same_bytes: false, ..goals(3.0, 15.0) },
            ..json("small-1kb", "100 B records, producer batches of 1 kB", 3_000_000, Codec::None)
        },
        Copy {
            topics: 100,
            partitions: 10,
            connector: Connector::Pattern,
            goals: goals(4.0, 30.0),
            ..json("many-partitions", "1,000 partitions of 200 records, topics created by the run", 200_000, Codec::Lz4)
        },
        Copy {
            connector: Connector::Sample,
            goals: Goals { rss_mb: Some(RSS_MB), same_bytes: true, ..Goals::default() },
            ..json("aws-sample", "AWS's sample as it stands (gzip), 500 B JSON in LZ4", 1_000_000, Codec::Lz4)
        },
    ]
}

/// Copies whose batches are not what arrives: some left out, or opened and written anew, or sent elsewhere.
pub(crate) fn opened() -> Vec<Copy> {
    let opened = Goals { per_cpu: Some(3.0), rss_mb: Some(RSS_MB), ..Goals::default() };
    // What these cost is mostly the codec, which has an aim of its own: `cargo bench -p wire --bench records`.
    let codec_bound = Goals { per_cpu: None, ..opened };
    let committed = |name, title, codec| Copy {
        value_bytes: 1_000,
        shape: Shape::Transactions,
        goals: opened,
        ..json(name, title, 1_500_000, codec)
    };
    let compacted = |name, title, records, codec, goals| Copy {
        shape: Shape::Compacted,
        goals,
        ..json(name, title, records, codec)
    };
    vec![
        committed(
            "committed-none",
            "1 kB records of transactions, a quarter of them aborted, uncompressed",
            Codec::None,
        ),
        committed("committed-lz4", "1 kB records of transactions, a quarter of them aborted, LZ4", Codec::Lz4),
        compacted("compacted-none", "500 B JSON, compacted to half, uncompressed", 2_500_000, Codec::None, opened),
        compacted("compacted-lz4", "500 B JSON, compacted to half, LZ4", 2_500_000, Codec::Lz4, opened),
        compacted("compacted-snappy", "500 B JSON, compacted to half, snappy", 2_500_000, Codec::Snappy, opened),
        compacted("compacted-zstd", "500 B JSON, compacted to half, zstd", 2_000_000, Codec::Zstd, codec_bound),
        compacted("compacted-gzip", "500 B JSON, compacted to half, gzip", 1_300_000, Codec::Gzip, codec_bound),
        Copy {
            value_bytes: 1_000,
            connector: Connector::Routed,
            goals: Goals { same_bytes: true, ..opened },
            ..json("routed-1kb", "1 kB records, uncompressed, to another topic by RegexRouter", 1_200_000, Codec::None)
        },
        Copy {
            shape: Shape::Marked,
            connector: Connector::Transformed,
            goals: opened,
            ..json("transformed-lz4", "500 B JSON, LZ4, InsertHeader and a Filter for a tenth", 1_500_000, Codec::Lz4)
        },
    ]
}

/// All steady streams.
pub(crate) fn steady_streams() -> [Steady; 2] {
    let steady = |name, title, rate| Steady {
        name,
        title,
        rate,
        measured: Duration::from_secs(30),
        warm_up: Duration::from_secs(15),
        added_p99: Duration::from_millis(5),
    };
    [
        steady("latency-1k", "latency at 1,000 records/s", 1_000),
        steady("latency-20k", "latency at 20,000 records/s", 20_000),
    ]
}

impl Copy {
    /// The source's topics.
    pub(crate) fn topic_names(&self) -> Vec<String> {
        match self.connector {
            Connector::Sample => vec!["ExampleTopicBench".to_owned()],
            _ if self.topics == 1 => vec![format!("bench-{}", self.name)],
            _ => (0..self.topics).map(|n| format!("bench-{}-{n:04}", self.name)).collect(),
        }
    }

    /// What `topics` of a plain connector says.
    pub(crate) fn topics_pattern(&self) -> String {
        match self.topics {
            1 => format!("bench-{}", self.name),
            _ => format!("bench-{}-.*", self.name),
        }
    }

    /// How the data is made.
    pub(crate) fn bulk(&self) -> Bulk {
        Bulk {
            value_bytes: self.value_bytes,
            codec: self.codec,
            batch_bytes: self.batch_bytes,
            ..Bulk::new(self.records, self.partitions)
        }
    }

    /// Leaves fewer records.
    pub(crate) fn quicken(&mut self) {
        // Each partition of many is to have some.
        self.records /= if self.topics > 1 { 2 } else { 8 };
    }
}
