//! Very many topics and partitions.

mod full {
    use std::time::{Duration, Instant};

    use ::testkit::{
        Cluster, Codec, Jvm, Record,
        anyhow::{Context, Result, anyhow, ensure},
        create_topics, end_offsets, produce, unique,
    };
    use ::wire::ClusterConfig;

    use crate::{
        kmirror::Kmirror,
        worker::{connector, remote},
    };

    /// Ten thousand partitions are made by brokers that share the machine with all else.
    const DEADLINE: Duration = Duration::from_secs(600);
    /// What a worker may have in memory with them, bytes.
    const MEMORY: u64 = 128 << 20;

    async fn large(name: &str) -> Result<Cluster> {
        Cluster::builder().name(name).jvm(Jvm::quick(1_536)).start().await
    }

    async fn topics(cluster: &Cluster, prefix: &str, count: usize, partitions: i32) -> Result<Vec<String>> {
        let names: Vec<_> = (0..count).map(|n| format!("{prefix}-{n}")).collect();
        create_topics(&cluster.bootstrap(), &names, partitions).await?;
        Ok(names)
    }

    #[tokio::test]
    async fn ten_thousand_partitions_are_found_made_and_copied() -> Result<()> {
        const TOPICS: usize = 1_000;
        const PARTITIONS: i32 = 10;
        let (source, target) = tokio::try_join!(large("source"), large("target"))?;
        let prefix = unique("wide");
        let names = topics(&source, &prefix, TOPICS, PARTITIONS).await?;
        let mut worker = Kmirror::on(&target.bootstrap()).start().await?;
        let start = Instant::now();
        let more = [("tasks.max", "4")];
        let config = connector(&source.bootstrap(), &target.bootstrap(), &format!("{prefix}-.*"), &more);
        worker.put_connector("wide", &config).await?;
        worker
            .wait_status("four tasks to run", "wide", DEADLINE, |status| {
                let tasks = crate::kmirror::list(&status["tasks"]);
                let running = tasks.iter().filter(|task| task["state"] == "RUNNING").count();
                ensure!(running == 4 && tasks.len() == 4, "{running} of {}", tasks.len());
                Ok(())
            })
            .await?;
        eprintln!("running after {:?}, {:?}", start.elapsed(), worker.usage()?);
        let assigned: usize = worker.assigned("wide").await?.iter().map(Vec::len).sum();
        ensure!(assigned == TOPICS * PARTITIONS as usize, "{assigned} partitions are assigned");

        let chosen: Vec<_> = names.iter().step_by(97).zip((0..PARTITIONS).cycle()).collect();
        for (topic, partition) in &chosen {
            produce(&source.bootstrap(), topic, *partition, &[Record::value(topic.as_str())], Codec::None).await?;
        }
        let arrived = worker.until("a record in each chosen partition", DEADLINE, async || {
            // What has stopped does not come any more.
            let log = worker.log_text();
            if let Some(stopped) = log.lines().find(|line| line.contains("partition stopped")) {
                return Ok(Err(anyhow!("{} partitions: {stopped}", log.matches("partition stopped").count())));
            }
            for (topic, partition) in &chosen {
                let end = end_offsets(&target.bootstrap(), &remote(topic), &[*partition]).await;
                ensure!(end.context((*topic).clone())? == [1], "{topic}-{partition} is not there");
            }
            Ok(Ok(()))
        });
        arrived.await??;
        eprintln!("copied after {:?}, {:?}", start.elapsed(), worker.usage()?);
        let used = worker.usage()?.max_rss_bytes;
        ensure!(used <= MEMORY, "{used} bytes were resident, {MEMORY} are allowed");
        worker.stop().await
    }

    #[tokio::test]
    async fn metadata_of_five_thousand_topics_comes_at_once() -> Result<()> {
        const TOPICS: usize = 5_000;
        let cluster = large("many").await?;
        let prefix = unique("many");
        let mut names = topics(&cluster, &prefix, TOPICS, 1).await?;
        names.sort_unstable();
        let addresses = crate::shared::addresses(&cluster.bootstrap());
        let client = ::wire::Cluster::new(ClusterConfig::new("many", &addresses));
        let told = ::testkit::wait_until("all topics with leaders", DEADLINE, async || {
            let told: Vec<_> = client.topics(None).await?.into_iter().filter(|t| t.name.starts_with(&prefix)).collect();
            let led = told.iter().filter(|t| t.error == 0 && t.partitions.len() == 1).count();
            ensure!(led == TOPICS, "{led}");
            Ok(told)
        })
        .await?;
        let start = Instant::now();
        client.topics(None).await?;
        eprintln!("{TOPICS} topics in {:?}", start.elapsed());
        let mut seen: Vec<_> = told.into_iter().map(|t| t.name).collect();
        seen.sort_unstable();
        ensure!(seen == names, "other topics than were made");
        Ok(())
    }
}
