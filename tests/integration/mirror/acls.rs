//! Access rules of mirrored topics.

mod clusters;

use ::testkit::{
    anyhow::{Result, ensure},
    create_topic,
    proxy::{Direction, api_key},
    unique,
};
use kmirror::mirror::SourceConnector;

use super::{client, config};
use crate::{
    kmirror::{DEADLINE, Kmirror},
    shared::pair,
    worker::connector,
};

#[tokio::test]
async fn without_an_authorizer_there_is_no_difference_to_tell() -> Result<()> {
    let pair = pair().await?;
    let target = client("B", &pair.target);
    let connector =
        SourceConnector::connect(config(&pair.source, &pair.target, &[("topics", "none")])?, &target).await?;
    let error = connector.acl_view().difference().await.expect_err("no authorizer").to_string();
    assert!(error.contains("reading the source's ACLs") && error.contains("SECURITY_DISABLED"), "{error}");
    Ok(())
}

#[tokio::test]
async fn that_there_is_no_authorizer_is_told_once_and_quietly() -> Result<()> {
    // MirrorSourceConnectorTest.testNoBrokerAclAuthorizer
    let pair = pair().await?;
    let topic = unique("ruleless");
    create_topic(&pair.source, &topic, 1, 1, &[]).await?;
    let both = ::testkit::pair().await?;
    let (from, to) = (both.source.proxy().await?, both.target.proxy().await?);
    let every_second = [("sync.topic.acls.enabled", "true"), ("sync.topic.acls.interval.seconds", "1")];
    let mut worker = Kmirror::on(&to.bootstrap()).start().await?;
    worker.put_connector("mirror", &connector(&from.bootstrap(), &to.bootstrap(), &topic, &every_second)).await?;
    from.wait_seen(api_key::DESCRIBE_ACLS, Direction::Response, 3, DEADLINE).await?;
    let log = worker.log_text();
    let told: Vec<_> = log.lines().filter(|line| line.contains("ACLs") || line.contains("SECURITY_DISABLED")).collect();
    ensure!(told.len() == 1, "{told:#?}");
    ensure!(told[0].contains("INFO") && told[0].contains("sync.topic.acls.enabled=false saves asking"), "{told:?}");
    ensure!(to.seen(api_key::CREATE_TOPICS, Direction::Request) > 0, "the target is not reached through its proxy");
    for change in [api_key::CREATE_ACLS, api_key::DELETE_ACLS] {
        ensure!(to.seen(change, Direction::Request) == 0, "API {change} at the target");
    }
    worker.stop().await
}
