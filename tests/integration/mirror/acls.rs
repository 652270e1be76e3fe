//! Access rules of mirrored topics.

mod clusters;

use ::testkit::anyhow::Result;
use kmirror::mirror::SourceConnector;

use super::{client, config};
use crate::shared::pair;

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
