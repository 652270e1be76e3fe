//! Access rules of brokers without and with an authorizer.

mod clusters;

use ::testkit::anyhow::Result;
use ::wire::{AclBinding, AclOperation, PatternType, PermissionType, ResourceType, ResponseError};

use super::client;
use crate::shared::pair;

fn allow(name: &str, operation: AclOperation) -> AclBinding {
    AclBinding {
        resource_type: ResourceType::Topic,
        pattern_type: PatternType::Literal,
        resource_name: name.to_owned(),
        principal: "User:dummy".to_owned(),
        host: "*".to_owned(),
        operation,
        permission: PermissionType::Allow,
    }
}

#[tokio::test]
async fn without_an_authorizer_that_is_what_is_said() -> Result<()> {
    let cluster = client(&pair().await?.source);
    let said = cluster.describe_acls(None).await.expect_err("no authorizer");
    assert_eq!(said.response(), Some(ResponseError::SecurityDisabled));
    let told = cluster.create_acls(&[allow("t", AclOperation::Read)]).await?;
    assert_eq!(told[0].1.as_ref().expect_err("no authorizer").response(), Some(ResponseError::SecurityDisabled));
    let told = cluster.delete_acls(&[allow("t", AclOperation::Read)]).await?;
    assert_eq!(told[0].1.as_ref().expect_err("no authorizer").response(), Some(ResponseError::SecurityDisabled));
    Ok(())
}
