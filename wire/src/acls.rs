//! Access rules (KIP-11, KIP-290): who may do what with which resources.

use std::fmt;

use kafka_protocol::{
    messages::{
        CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest, create_acls_request::AclCreation,
        delete_acls_request::DeleteAclsFilter,
    },
    protocol::StrBytes,
};

use crate::{
    call::Call,
    cluster::{Cluster, Route},
    error::Result,
};

/// Rules made or deleted by one request: the controller takes them as one step.
const ACLS_PER_REQUEST: usize = 500;
/// In a filter: whatever it is.
const ANY: i8 = 1;

/// Kafka's enumerations, with their codes and names.
macro_rules! codes {
    ($($(#[$doc:meta])+ $name:ident { $($(#[$of:meta])+ $variant:ident = $code:literal $word:literal),+ $(,)? })+) => {$(
        $(#[$doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$of])+ $variant,)+
            /// A later addition, by Kafka's code.
            Other(i8),
        }

        impl $name {
            /// By Kafka's code.
            #[must_use]
            pub fn of_code(code: i8) -> Self {
                match code {
                    $($code => Self::$variant,)+
                    other => Self::Other(other),
                }
            }

            /// Kafka's code.
            #[must_use]
            pub fn code(self) -> i8 {
                match self {
                    $(Self::$variant => $code,)+
                    Self::Other(code) => code,
                }
            }
        }

        /// As Kafka's tools write it.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant => f.write_str($word),)+
                    Self::Other(code) => write!(f, "UNKNOWN({code})"),
                }
            }
        }
    )+};
}

codes! {
    /// What a rule is about (`ResourceType.java`).
    ResourceType {
        /// Topics.
        Topic = 2 "TOPIC",
        /// Groups.
        Group = 3 "GROUP",
        /// The cluster itself.
        Cluster = 4 "CLUSTER",
        /// Transactional ids.
        TransactionalId = 5 "TRANSACTIONAL_ID",
        /// Delegation tokens.
        DelegationToken = 6 "DELEGATION_TOKEN",
        /// Users, for tokens in their names.
        User = 7 "USER",
    }
    /// How a resource's name is meant (KIP-290).
    PatternType {
        /// It is the name; `*` is all.
        Literal = 3 "LITERAL",
        /// Names begin with it.
        Prefixed = 4 "PREFIXED",
    }
    /// What is done (`AclOperation.java`).
    AclOperation {
        /// Everything.
        All = 2 "ALL",
        /// Fetching, or committing offsets of a group.
        Read = 3 "READ",
        /// Producing.
        Write = 4 "WRITE",
        /// Making topics.
        Create = 5 "CREATE",
        /// Deleting them.
        Delete = 6 "DELETE",
        /// Changing them.
        Alter = 7 "ALTER",
        /// Asking for metadata and the like.
        Describe = 8 "DESCRIBE",
        /// What brokers do among themselves.
        ClusterAction = 9 "CLUSTER_ACTION",
        /// Reading settings.
        DescribeConfigs = 10 "DESCRIBE_CONFIGS",
        /// Changing settings.
        AlterConfigs = 11 "ALTER_CONFIGS",
        /// Producing idempotently (before 2.8).
        IdempotentWrite = 12 "IDEMPOTENT_WRITE",
        /// Making tokens for a user.
        CreateTokens = 13 "CREATE_TOKENS",
        /// Reading them.
        DescribeTokens = 14 "DESCRIBE_TOKENS",
        /// Preparing transactions (KIP-939).
        TwoPhaseCommit = 15 "TWO_PHASE_COMMIT",
    }
    /// Whether it may be done.
    PermissionType {
        /// It must not.
        Deny = 2 "DENY",
        /// It may.
        Allow = 3 "ALLOW",
    }
}

/// One access rule; prints as `ALLOW READ on TOPIC LITERAL orders for User:a from *`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AclBinding {
    /// What it is about.
    pub resource_type: ResourceType,
    /// How the name is meant.
    pub pattern_type: PatternType,
    /// The resource's name.
    pub resource_name: String,
    /// Whom it is about, such as `User:alice`.
    pub principal: String,
    /// Address it holds from, `*` for any.
    pub host: String,
    /// What is done.
    pub operation: AclOperation,
    /// Whether it may be.
    pub permission: PermissionType,
}

impl fmt::Display for AclBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource_type, pattern_type, resource_name, principal, host, operation, permission } = self;
        write!(
            f,
            "{permission} {operation} on {resource_type} {pattern_type} {resource_name} for {principal} from {host}"
        )
    }
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

impl Cluster {
    /// All rules of a cluster, or those about one type of resource; sorted.
    ///
    /// # Errors
    /// SECURITY_DISABLED where the cluster has no authorizer, CLUSTER_AUTHORIZATION_FAILED where the right to describe the cluster is missing; or when
    /// no broker answers within the request timeout.
    pub async fn describe_acls(&self, resource_type: Option<ResourceType>) -> Result<Vec<AclBinding>> {
        let request = DescribeAclsRequest::default()
            .with_resource_type_filter(resource_type.map_or(ANY, ResourceType::code))
            .with_resource_name_filter(None)
            .with_pattern_type_filter(ANY)
            .with_principal_filter(None)
            .with_host_filter(None)
            .with_operation(ANY)
            .with_permission_type(ANY);
        let mut bindings = self
            .routed(Route::Any, &request, |answer| {
                let resource = || resource_type.map_or("all resources".to_owned(), |kind| format!("{kind} resources"));
                let message = answer.error_message.map(|m| m.to_string());
                self.check(DescribeAclsRequest::API, resource, answer.error_code, message)?;
                let mut bindings = Vec::new();
                for of in answer.resources {
                    bindings.extend(of.acls.into_iter().map(|acl| AclBinding {
                        resource_type: ResourceType::of_code(of.resource_type),
                        pattern_type: PatternType::of_code(of.pattern_type),
                        resource_name: of.resource_name.to_string(),
                        principal: acl.principal.to_string(),
                        host: acl.host.to_string(),
                        operation: AclOperation::of_code(acl.operation),
                        permission: PermissionType::of_code(acl.permission_type),
                    }));
                }
                Ok(bindings)
            })
            .await?;
        bindings.sort_unstable();
        Ok(bindings)
    }

    /// Adds rules; one that is there already is no failure. The outcome of each is told beside it, in the order given.
    ///
    /// # Errors
    /// When nothing is known of the outcome: no broker answers within the request timeout.
    pub async fn create_acls(&self, bindings: &[AclBinding]) -> Result<Vec<(AclBinding, Result<()>)>> {
        let api = CreateAclsRequest::API;
        self.settle(bindings, ACLS_PER_REQUEST, AclBinding::clone, |bindings| async move {
            let creation = |binding: &&AclBinding| {
                AclCreation::default()
                    .with_resource_type(binding.resource_type.code())
                    .with_resource_pattern_type(binding.pattern_type.code())
                    .with_resource_name(text(&binding.resource_name))
                    .with_principal(text(&binding.principal))
                    .with_host(text(&binding.host))
                    .with_operation(binding.operation.code())
                    .with_permission_type(binding.permission.code())
            };
            let request = CreateAclsRequest::default().with_creations(bindings.iter().map(creation).collect());
            self.routed(Route::Any, &request, |answer| {
                let mut results = answer.results.into_iter();
                let outcome = |binding: &&AclBinding| match results.next() {
                    Some(told) => {
                        let message = told.error_message.map(|m| m.to_string());
                        self.check(api, || binding.to_string(), told.error_code, message)
                    }
                    None => Err(self.unanswered(api, &binding.to_string())),
                };
                self.unless_moved(bindings.iter().map(outcome).collect())
            })
            .await
        })
        .await
    }

    /// Deletes exactly these rules; one that is not there is no failure. The outcome of each is told beside it, in the order given.
    ///
    /// # Errors
    /// When nothing is known of the outcome: no broker answers within the request timeout.
    pub async fn delete_acls(&self, bindings: &[AclBinding]) -> Result<Vec<(AclBinding, Result<()>)>> {
        let api = DeleteAclsRequest::API;
        self.settle(bindings, ACLS_PER_REQUEST, AclBinding::clone, |bindings| async move {
            let filter = |binding: &&AclBinding| {
                DeleteAclsFilter::default()
                    .with_resource_type_filter(binding.resource_type.code())
                    .with_pattern_type_filter(binding.pattern_type.code())
                    .with_resource_name_filter(Some(text(&binding.resource_name)))
                    .with_principal_filter(Some(text(&binding.principal)))
                    .with_host_filter(Some(text(&binding.host)))
                    .with_operation(binding.operation.code())
                    .with_permission_type(binding.permission.code())
            };
            let request = DeleteAclsRequest::default().with_filters(bindings.iter().map(filter).collect());
            self.routed(Route::Any, &request, |answer| {
                let mut results = answer.filter_results.into_iter();
                let outcome = |binding: &&AclBinding| {
                    let Some(told) = results.next() else { return Err(self.unanswered(api, &binding.to_string())) };
                    let mut codes = vec![(told.error_code, told.error_message)];
                    codes.extend(told.matching_acls.into_iter().map(|acl| (acl.error_code, acl.error_message)));
                    codes.into_iter().try_for_each(|(code, message)| {
                        self.check(api, || binding.to_string(), code, message.map(|m| m.to_string()))
                    })
                };
                self.unless_moved(bindings.iter().map(outcome).collect())
            })
            .await
        })
        .await
    }
}
