//! Which ACLs are copied, and what becomes of them.

use super::{ConfigError, PrincipalRules, values::Values};

/// What is done to ACLs beyond MirrorMaker's rule, which copies those of single topics without the right to write and
/// removes none. By default nothing.
#[derive(Debug, Clone, Default)]
pub struct AclConfig {
    /// Whether those for prefixes of names are copied: `kmirror.acls.prefixed`.
    pub prefixed: bool,
    /// Whether the right to write is copied: `kmirror.acls.write`.
    pub write: bool,
    /// Whether those of consumer groups are copied: `kmirror.acls.groups`.
    pub groups: bool,
    /// Whether those of transactional ids are copied: `kmirror.acls.transactional.ids`.
    pub transactional_ids: bool,
    /// Whether those that kmirror added are removed again: `kmirror.acls.remove`.
    pub remove: bool,
    /// Who a principal of the source is on the target: `kmirror.acls.principal.mapping.rules`.
    pub principals: PrincipalRules,
}

impl AclConfig {
    pub(super) fn read(values: &Values, errors: &mut Vec<ConfigError>) -> Self {
        let key = "kmirror.acls.principal.mapping.rules";
        let principals = PrincipalRules::parse(key, values.text(key).unwrap_or_default());
        errors.extend(principals.as_ref().err().cloned());
        Self {
            prefixed: values.boolean("kmirror.acls.prefixed"),
            write: values.boolean("kmirror.acls.write"),
            groups: values.boolean("kmirror.acls.groups"),
            transactional_ids: values.boolean("kmirror.acls.transactional.ids"),
            remove: values.boolean("kmirror.acls.remove"),
            principals: principals.unwrap_or_default(),
        }
    }
}
