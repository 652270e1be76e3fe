//! The commands that the scripts use judge as they should: a comparison that can't fail would prove nothing.

use std::process::{Command, Output};

use anyhow::Result;
use testkit::{Codec, Record, create_topic, pair, produce, unique};

async fn tool(args: &[&str]) -> Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_testkit-tool"));
    command.args(args);
    Ok(tokio::task::spawn_blocking(move || command.output()).await??)
}

fn records(values: &[&str]) -> Vec<Record> {
    values.iter().map(|value| Record::new(*value, *value).at(1_700_000_000_000)).collect()
}

#[tokio::test]
async fn compare_finds_missing_doubled_and_swapped_records() -> Result<()> {
    let pair = pair().await?;
    let (source, target) = (&pair.source.bootstrap, &pair.target.bootstrap);
    let name = unique("compared");
    create_topic(source, &name, 1, 1, &[]).await?;
    produce(source, &name, 0, &records(&["a", "b", "c"]), Codec::None).await?;
    for (copy, expected) in [
        (&["a", "b", "c"][..], None),
        (&["a", "b"], Some("3 records and 2")),
        (&["a", "a", "b", "c"], Some("source offset 1 and target offset 1 differ")),
        (&["a", "c", "b"], Some("source offset 1 and target offset 1 differ")),
        (&["a", "b", "c", "c"], Some("3 records and 4")),
        (&[], Some("3 records and 0")),
    ] {
        let copied = unique("copied");
        create_topic(target, &copied, 1, 1, &[]).await?;
        produce(target, &copied, 0, &records(copy), Codec::Lz4).await?;
        let output = tool(&["compare", source, &name, target, &copied]).await?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        match expected {
            None => assert!(output.status.success(), "{stderr}"),
            Some(text) => assert!(output.status.code() == Some(1) && stderr.contains(text), "{copy:?}: {stderr}"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn topics_are_filled_and_told_about() -> Result<()> {
    let source = &pair().await?.source.bootstrap;
    let name = unique("told");
    assert!(tool(&["create-topic", source, &name, "2"]).await?.status.success());
    assert!(tool(&["produce", source, &name, "2", "7", "zstd"]).await?.status.success());
    assert_eq!(tool(&["offsets", source, &name]).await?.stdout, b"0 0 4\n1 0 3\n");

    let compacted = unique("latest");
    create_topic(source, &compacted, 1, 1, &[]).await?;
    let old = [Record::new("k", "1"), Record::new("j", "2"), Record::new("k", "3")];
    produce(source, &compacted, 0, &old, Codec::None).await?;
    assert_eq!(tool(&["latest", source, &compacted]).await?.stdout, b"j\t2\nk\t3\n");
    Ok(())
}

#[tokio::test]
async fn wrong_usage_is_64() -> Result<()> {
    for args in [&[][..], &["fetch-jars"], &["compare", "a", "b"]] {
        let output = tool(args).await?;
        assert_eq!(output.status.code(), Some(64), "{args:?}");
        assert!(String::from_utf8(output.stderr)?.contains("usage:"));
    }
    Ok(())
}
