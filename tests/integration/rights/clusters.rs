//! Clusters with an authorizer. All clients are `User:ANONYMOUS`, who may do what no ACL speaks of.

use std::time::Duration;

use ::testkit::{
    Bulk, Codec, Record,
    anyhow::{Result, ensure},
    bulk_produce, create_topic, produce, set_topic_configs, topic_configs, wait_until,
};
use serde_json::json;

use crate::{
    kmirror::{DEADLINE, Kmirror},
    shared::pair,
    worker::{Copy, connector, remote},
};

const EVERYBODY: &str = "User:ANONYMOUS";
const ANOTHER_COPY: &str = "records may be copied twice after a crash";

struct Guarded(::testkit::Cluster);

impl Guarded {
    async fn start(properties: &[(&str, &str)]) -> Result<Self> {
        let builder = ::testkit::Cluster::builder()
            .name("guarded")
            .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
            .property("allow.everyone.if.no.acl.found", "true");
        let builder = properties.iter().fold(builder, |builder, (key, value)| builder.property(key, value));
        Ok(Self(builder.start().await?))
    }

    fn bootstrap(&self) -> String {
        self.0.bootstrap()
    }

    /// Denies operations on what these arguments of `kafka-acls` name, and nothing else of it.
    async fn deny(&self, resource: &[&str], operations: &[&str]) -> Result<()> {
        // What an ACL speaks of is forbidden otherwise.
        let allow = [&["--add", "--allow-principal", EVERYBODY, "--operation", "All"], resource].concat();
        let operations = operations.iter().flat_map(|operation| ["--operation", operation]);
        let deny = [&["--add", "--deny-principal", EVERYBODY], resource].concat().into_iter().chain(operations);
        for arguments in [allow, deny.collect()] {
            self.0.tools().acls(&arguments).await?;
        }
        wait_until("the broker to know", Duration::from_secs(30), async || {
            let known = self.0.tools().acls(&[&["--list"], resource].concat()).await?;
            ensure!(known.contains("permissionType=DENY"), "{known}");
            Ok(())
        })
        .await
    }

    /// Lets everybody do everything with these again.
    async fn allow(&self, resource: &[&str]) -> Result<()> {
        self.0.tools().acls(&[&["--remove", "--force"], resource].concat()).await?;
        wait_until("the broker to know", Duration::from_secs(30), async || {
            let known = self.0.tools().acls(&[&["--list"], resource].concat()).await?;
            ensure!(!known.contains("permissionType"), "{known}");
            Ok(())
        })
        .await
    }
}

fn topic_named(name: &str) -> [&str; 2] {
    ["--topic", name]
}

fn said(worker: &Kmirror, words: &[&str]) -> usize {
    worker.log_text().lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
}

/// A worker with one connector, from the shared source or another to a guarded target.
struct Story<'a> {
    worker: Kmirror,
    source: &'a str,
    target: &'a Guarded,
}

impl Story<'_> {
    async fn mirror(&self, alias: &str, topic: &str) -> Result<()> {
        let config = connector(self.source, &self.target.bootstrap(), topic, &[("source.cluster.alias", alias)]);
        self.worker.put_connector(topic, &config).await?;
        self.worker.wait_running(topic, 1).await?;
        Ok(())
    }

    /// Waits until positions of all that there is are stored.
    async fn wait_stored(&self, topic: &str) -> Result<()> {
        let end = ::testkit::end_offsets(self.source, topic, &[0]).await?[0];
        self.worker
            .until("the last position", DEADLINE, async || {
                let told = self.worker.get(&format!("/connectors/{topic}/offsets")).await?.ok()?;
                let offset = told["offsets"][0]["offset"]["offset"].as_i64();
                ensure!(offset == Some(end - 1), "{told}");
                Ok(())
            })
            .await
    }

    async fn wait_equal(&self, alias: &str, topic: &str) -> Result<()> {
        let remote = format!("{alias}.{topic}");
        let target = self.target.bootstrap();
        Copy { source: self.source, topic, target: &target, remote: &remote }.wait_equal(&self.worker).await
    }
}

fn some_records(from: usize) -> Vec<Record> {
    (from..from + 500).map(|n| Record::new(format!("k{n}"), format!("value {n}"))).collect()
}

async fn filled(source: &str, topic: &str) -> Result<()> {
    create_topic(source, topic, 1, 1, &[]).await?;
    more(source, topic, 0).await
}

async fn more(source: &str, topic: &str, from: usize) -> Result<()> {
    produce(source, topic, 0, &some_records(from), Codec::Lz4).await.map(|_| ())
}

/// Where the copies may not be read they go on at their stored positions, and the log says so with each start.
#[tokio::test]
async fn copies_that_may_not_be_read_go_on_at_their_positions() -> Result<()> {
    let (source, target) = (pair().await?.source, Guarded::start(&[]).await?);
    let topic = ::testkit::unique("blind");
    filled(&source, &topic).await?;
    let copy = remote(&topic);
    target.deny(&topic_named(&copy), &["Read"]).await?;
    let worker = Kmirror::on(&target.bootstrap()).start().await?;
    let mut story = Story { worker, source: &source, target: &target };
    let sentence = format!("{copy} may not be read: what a crash leaves behind is copied again");
    for life in 1..=3 {
        if life == 1 {
            story.mirror("src", &topic).await?
        } else {
            story.worker.restart().await?
        }
        story.wait_stored(&topic).await?;
        more(&source, &topic, life * 500).await?;
        story.wait_stored(&topic).await?;
        ensure!(said(&story.worker, &[&sentence]) == life, "life {life}");
        story.worker.stop().await?;
        if life == 2 {
            // What stands behind the copy is not looked at.
            produce(&target.bootstrap(), &copy, 0, &[Record::value("foreign")], Codec::None).await?;
        }
    }
    target.allow(&topic_named(&copy)).await?;
    let read = async |at: &str, topic: &str| -> Result<Vec<_>> {
        let all = ::testkit::read_all(at, topic).await?.concat();
        Ok(all.into_iter().map(|record| record.value).filter(|value| value.as_deref() != Some(b"foreign")).collect())
    };
    let (expected, found) = (read(&source, &topic).await?, read(&target.bootstrap(), &copy).await?);
    ensure!(expected.len() == 2_000 && expected == found, "{} of {} records", found.len(), expected.len());
    // What was stored without an anchor is heeded where anchors may be stored again.
    story.worker.restart().await?;
    more(&source, &topic, 2_000).await?;
    story.wait_stored(&topic).await?;
    let found = read(&target.bootstrap(), &copy).await?;
    ensure!(found == read(&source, &topic).await?, "{} of 2,500 records", found.len());
    ensure!(said(&story.worker, &[&sentence]) == 3, "it was said of a copy that may be read");
    story.worker.stop().await
}

/// Where the offset map may not be made, read or written, copies go on at their stored positions, and the log says so with each start.
#[tokio::test]
async fn a_map_that_may_not_be_used_is_done_without() -> Result<()> {
    let (source, target) = (pair().await?.source, Guarded::start(&[]).await?);
    let topic = ::testkit::unique("unmapped");
    filled(&source, &topic).await?;
    target.deny(&["--cluster"], &["Create"]).await?;
    let cases = [("uncreated", "Create"), ("unread", "Read"), ("unwritten", "Write"), ("unseen", "Describe")];
    for (alias, operation) in cases {
        let map = format!("mm2-offset-map.{alias}.internal");
        target.deny(&topic_named(&map), &[operation]).await?;
        let worker = Kmirror::on(&target.bootstrap()).start().await?;
        let mut story = Story { worker, source: &source, target: &target };
        story.mirror(alias, &topic).await?;
        story.wait_equal(alias, &topic).await?;
        story.wait_stored(&topic).await?;
        ensure!(said(&story.worker, &[&map, ANOTHER_COPY]) == 1, "{alias}: not said once");
        story.worker.stop().await?;
        more(&source, &topic, 500).await?;
        story.worker.restart().await?;
        story.wait_equal(alias, &topic).await?;
        ensure!(said(&story.worker, &[&map, ANOTHER_COPY]) == 2, "{alias}: not said once more");
        story.worker.stop().await?;
    }
    Ok(())
}

/// Where no settings are told, what a topic does not take is found out by what is refused, and topics are not made.
#[tokio::test]
async fn settings_that_are_not_told_are_found_out() -> Result<()> {
    // MirrorSourceConnectorTest.testMissingDescribeConfigsAcl
    let source = Guarded::start(&[]).await?;
    let target = Guarded::start(&[("message.max.bytes", "60000")]).await?;
    let (from, to) = (source.bootstrap(), target.bootstrap());
    for (cluster, topic) in [(&from, "large"), (&from, "unknown"), (&to, "src.large")] {
        create_topic(cluster, topic, 1, 1, &[("retention.ms", "-1")]).await?;
    }
    let bulk = Bulk { value_bytes: 1_000, codec: Codec::None, batch_bytes: 400_000, ..Bulk::new(2_000, 1) };
    bulk_produce(&from, "large", &bulk).await?;
    for (cluster, name) in
        [(&source, "large"), (&source, "unknown"), (&target, "src.large"), (&target, "mm2-offset-map.src.internal")]
    {
        cluster.deny(&topic_named(name), &["DescribeConfigs"]).await?;
    }
    let worker = Kmirror::on(&to).start().await?;
    let config = connector(&from, &to, "large,unknown", &[]);
    let mut story = Story { worker, source: &from, target: &target };
    story.worker.put_connector("large", &config).await?;
    let unmade = "unknown: reading the settings of topic unknown of cluster src failed";
    story.worker.wait_failed("large", DEADLINE, &["1 of 2 topics", unmade, "TOPIC_AUTHORIZATION_FAILED"]).await?;
    story.wait_equal("src", "large").await?;
    ensure!(said(&story.worker, &["can't tell whether the offset map mm2-offset-map.src.internal is compacted"]) == 1);
    // What was copied is found again all the same.
    story.wait_stored("large").await?;
    story.worker.kill9()?;
    bulk_produce(&from, "large", &bulk).await?;
    story.worker.restart().await?;
    story.wait_equal("src", "large").await?;
    story.worker.stop().await
}

/// A right that is taken away while settings and ACLs are kept in step: that topic is named, all else goes on, and in the end nothing differs.
#[tokio::test]
async fn a_right_revoked_in_mid_run_is_named_and_the_rest_goes_on() -> Result<()> {
    let (source, target) = (Guarded::start(&[]).await?, Guarded::start(&[]).await?);
    let (from, to) = (source.bootstrap(), target.bootstrap());
    for topic in ["kept", "revoked"] {
        filled(&from, topic).await?;
    }
    let worker = Kmirror::on(&to).start().await?;
    let every_second = [
        ("sync.topic.configs.interval.seconds", "1"),
        ("sync.topic.acls.enabled", "true"),
        ("sync.topic.acls.interval.seconds", "1"),
    ];
    let story = Story { worker, source: &from, target: &target };
    story.worker.put_connector("mirror", &connector(&from, &to, "kept,revoked", &every_second)).await?;
    for topic in ["kept", "revoked"] {
        story.wait_equal("src", topic).await?;
    }

    // What an ACL speaks of is forbidden to all others: those that are copied are not to lock out the copy.
    let everything = ["--add", "--allow-principal", EVERYBODY, "--operation", "All", "--topic"];
    target.0.tools().acls(&[&everything[..], &["src.kept"]].concat()).await?;
    target.deny(&topic_named("src.revoked"), &["AlterConfigs"]).await?;
    let has = async |topic: &str, retention: &str| {
        let what = format!("retention.ms={retention} of {topic}");
        story
            .worker
            .until(&what, DEADLINE, async || {
                let configs = topic_configs(&to, &format!("src.{topic}")).await?;
                ensure!(configs.get("retention.ms").is_some_and(|found| found == retention), "{configs:?}");
                Ok(())
            })
            .await
    };
    for topic in ["kept", "revoked"] {
        set_topic_configs(&from, topic, &[("retention.ms", "777000")]).await?;
        more(&from, topic, 500).await?;
    }
    has("kept", "777000").await?;
    let named = ["trouble", "changing topic settings", "src.revoked", "needed is AlterConfigs"];
    story
        .worker
        .until("the trouble to be told", DEADLINE, async || {
            ensure!(said(&story.worker, &named) == 1, "{}", said(&story.worker, &named));
            Ok(())
        })
        .await?;
    // ACLs and records go on, of that topic too.
    for topic in ["kept", "revoked"] {
        story.wait_equal("src", topic).await?;
        source.0.tools().acls(&[&everything[..], &[topic]].concat()).await?;
        let reader = ["--add", "--allow-principal", "User:reader", "--operation", "Read", "--topic", topic];
        source.0.tools().acls(&reader).await?;
    }
    story
        .worker
        .until("no difference of ACLs", DEADLINE, async || {
            let told = target.0.tools().acls(&["--list", "--principal", "User:reader"]).await?;
            ensure!(told.contains("src.kept") && told.contains("src.revoked"), "{told}");
            let told = story.worker.get("/connectors/mirror/kmirror/acls?dry-run").await?.ok()?;
            ensure!(told["add"] == json!([]) && told["remove"] == json!([]), "{told}");
            Ok(())
        })
        .await?;
    ensure!(said(&story.worker, &named) == 1, "it is told once");

    let denied = ["--remove", "--force", "--deny-principal", EVERYBODY, "--operation", "AlterConfigs"];
    target.0.tools().acls(&[&denied[..], &topic_named("src.revoked")].concat()).await?;
    has("revoked", "777000").await?;
    ensure!(said(&story.worker, &["trouble is over", "changing topic settings"]) == 1);
    story.worker.wait_running("mirror", 1).await?;
    Ok(())
}
