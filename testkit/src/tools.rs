//! Kafka's own command-line tools, for what only they can prove.

mod java_clients;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::java::{Java, ToolOutput};

/// The tools of one Kafka version, at work on one cluster.
#[derive(Debug, Clone)]
pub struct Tools {
    java: Java,
    bootstrap: String,
}

impl Tools {
    /// Tools of a version that may differ from the cluster's.
    pub fn new(java: Java, bootstrap: &str) -> Self {
        Self { java, bootstrap: bootstrap.to_owned() }
    }

    /// Runs a main class with `--bootstrap-server` before `args`.
    pub async fn run(&self, main: &str, args: &[&str]) -> Result<ToolOutput> {
        self.run_with_input(main, args, "").await
    }

    async fn run_with_input(&self, main: &str, args: &[&str], input: &str) -> Result<ToolOutput> {
        let args: Vec<_> = ["--bootstrap-server", &self.bootstrap].iter().chain(args).copied().collect();
        self.java.tool(main, &args, input).await
    }

    /// `kafka-topics` with `args`.
    pub async fn topics(&self, args: &[&str]) -> Result<String> {
        let main =
            if self.java.is_kafka_2() { "kafka.admin.TopicCommand" } else { "org.apache.kafka.tools.TopicCommand" };
        Ok(self.run(main, args).await?.stdout)
    }

    /// `kafka-topics --list`: all topic names.
    pub async fn list_topics(&self) -> Result<Vec<String>> {
        Ok(self.topics(&["--list"]).await?.lines().map(str::to_owned).collect())
    }

    /// `kafka-configs` with `args`.
    pub async fn configs(&self, args: &[&str]) -> Result<String> {
        Ok(self.run("kafka.admin.ConfigCommand", args).await?.stdout)
    }

    /// `kafka-acls` with `args`.
    pub async fn acls(&self, args: &[&str]) -> Result<String> {
        let main = match self.java.is_kafka_2() || self.java.is_kafka_3() {
            true => "kafka.admin.AclCommand",
            false => "org.apache.kafka.tools.AclCommand",
        };
        Ok(self.run(main, args).await?.stdout)
    }

    /// `kafka-consumer-groups` with `args`.
    pub async fn consumer_groups(&self, args: &[&str]) -> Result<String> {
        let main = match self.java.is_kafka_2() {
            true => "kafka.admin.ConsumerGroupCommand",
            false => "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        };
        Ok(self.run(main, args).await?.stdout)
    }

    /// `kafka-console-producer`: one record for each line. `args` may be `["--property", "parse.key=true"]` and the like.
    pub async fn console_produce(&self, topic: &str, lines: &[&str], args: &[&str]) -> Result<()> {
        let main = match self.java.is_kafka_2() || self.java.is_kafka_3() {
            true => "kafka.tools.ConsoleProducer",
            false => "org.apache.kafka.tools.ConsoleProducer",
        };
        let args: Vec<_> = ["--topic", topic].iter().chain(args).copied().collect();
        let mut input = lines.join("\n");
        input.push('\n');
        self.run_with_input(main, &args, &input).await?;
        Ok(())
    }

    /// `kafka-console-consumer`: the first `count` records of a topic from its beginning, a line each as its formatter
    /// prints them. An error if fewer come within 30 s.
    pub async fn console_consume(&self, topic: &str, count: usize, args: &[&str]) -> Result<Vec<String>> {
        let count_arg = count.to_string();
        let own = ["--topic", topic, "--from-beginning", "--timeout-ms", "30000", "--max-messages", &count_arg];
        let args: Vec<_> = own.iter().chain(args).copied().collect();
        let main = match self.java.is_kafka_2() {
            true => "kafka.tools.ConsoleConsumer",
            false => "org.apache.kafka.tools.consumer.ConsoleConsumer",
        };
        let output = self.run(main, &args).await?;
        let lines: Vec<_> = output.stdout.lines().map(str::to_owned).collect();
        ensure!(lines.len() == count, "{} of {count} records of {topic}: {output:?}", lines.len());
        Ok(lines)
    }

    /// `kafka-dump-log --deep-iteration --print-data-log` of a segment file: batches and records as the broker sees them.
    pub async fn dump_log(&self, segment: &Path) -> Result<String> {
        let segment = segment.display().to_string();
        let args = ["--deep-iteration", "--print-data-log", "--files", &segment];
        Ok(self.java.tool("kafka.tools.DumpLogSegments", &args, "").await?.stdout)
    }

    /// `kafka-dump-log` of segment files: a line for each batch of each.
    pub async fn dump_batches(&self, segments: &[PathBuf]) -> Result<Vec<Vec<String>>> {
        let names = segments.iter().map(|segment| segment.display().to_string()).collect::<Vec<_>>().join(",");
        let dump = self.java.tool("kafka.tools.DumpLogSegments", &["--files", &names], "").await?.stdout;
        let batches =
            |of: &str| of.lines().filter(|line| line.starts_with("baseOffset: ")).map(str::to_owned).collect();
        let dumped: Vec<Vec<String>> = dump.split("Dumping ").skip(1).map(batches).collect();
        ensure!(dumped.len() == segments.len(), "{} of {} files: {dump:.2000}", dumped.len(), segments.len());
        Ok(dumped)
    }

    /// `kafka-producer-perf-test` at full speed; gives what it prints. `properties` are the producer's.
    pub async fn perf_produce(&self, topic: &str, records: u64, bytes: usize, properties: &[&str]) -> Result<String> {
        let (records, bytes) = (records.to_string(), bytes.to_string());
        let bootstrap = format!("bootstrap.servers={}", self.bootstrap);
        let mut args = vec!["--topic", topic, "--num-records", &records, "--record-size", &bytes];
        args.extend(["--throughput", "-1", "--producer-props", &bootstrap]);
        args.extend(properties);
        Ok(self.java.tool("org.apache.kafka.tools.ProducerPerformance", &args, "").await?.stdout)
    }
}
