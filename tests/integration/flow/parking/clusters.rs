//! The topic of parked records loses its leader.

use ::testkit::{Cluster, anyhow::Context as _, placements};

use super::*;

#[tokio::test]
async fn records_are_parked_by_the_next_leader() -> Result<()> {
    let source = pair().await?.source;
    let target = Cluster::builder().name("target").brokers(3).start().await?;
    let (from, to, park) = (unique("moves"), unique("mirror.moves"), unique("poison"));
    create_topic(&source, &from, 3, 1, &[]).await?;
    create_topic(&target.bootstrap(), &to, 3, 3, &NARROW).await?;
    let flow = parks(&source, &target.bootstrap(), [&from, &to, &park], 3, 3);
    for partition in 0..3 {
        produce(&source, &from, partition, &one_of_three(1, "first"), Codec::None).await?;
    }
    reached(&flow, &from, &[2; 3]).await?;

    let leader = placements(&target.bootstrap(), &park).await?[0].leader;
    // What is led elsewhere gives no occasion to ask who leads what now.
    let led = placements(&target.bootstrap(), &to).await?;
    let elsewhere = led.iter().position(|placed| placed.leader != leader).context("one broker leads all")?;
    target.kill9(u32::try_from(leader)?)?;
    produce(&source, &from, i32::try_from(elsewhere)?, &one_of_three(2, "second"), Codec::None).await?;
    let mut positions = [2; 3];
    positions[elsewhere] = 5;
    reached(&flow, &from, &positions).await?;

    let all = content(read_topic(&source, &from, ReadUncommitted).await?);
    let mut keys: Vec<_> = parked(&target.bootstrap(), &park).await?.into_iter().map(|record| record.key).collect();
    // What was under way when the broker died may be there twice.
    keys.dedup();
    assert_eq!(keys, [Some(b"first".to_vec()), Some(b"second".to_vec())]);
    let left: Vec<Vec<_>> =
        all.into_iter().map(|records| records.into_iter().filter(|record| record.key.is_none()).collect()).collect();
    assert_eq!(content(read_topic(&target.bootstrap(), &to, ReadUncommitted).await?), left);
    Ok(())
}
