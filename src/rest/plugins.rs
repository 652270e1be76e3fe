//! `/connector-plugins` and all below.

use axum::{Json, extract::State};
use serde::Serialize;

use super::{
    Answer, AppState, Path, Query,
    body::{Body, given_config},
    error::ApiError,
    root::VERSION,
};
use crate::config::{self, ConfigInfo, ConfigInfos, Definition, Plugin};

#[derive(Serialize)]
pub(super) struct PluginBody {
    class: &'static str,
    r#type: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
pub(super) struct ConfigInfosBody {
    name: String,
    error_count: usize,
    groups: Vec<String>,
    configs: Vec<ConfigInfoBody>,
}

#[derive(Serialize)]
struct ConfigInfoBody {
    definition: Option<DefinitionBody>,
    value: ValueBody,
}

#[derive(Serialize)]
struct DefinitionBody {
    name: String,
    r#type: &'static str,
    required: bool,
    default_value: Option<String>,
    importance: &'static str,
    documentation: &'static str,
    group: Option<String>,
    width: &'static str,
    display_name: String,
    /// Keys whose values depend on this one's: none does.
    dependents: [&'static str; 0],
    order: i32,
}

#[derive(Serialize)]
struct ValueBody {
    name: String,
    value: Option<String>,
    recommended_values: &'static [&'static str],
    errors: Vec<String>,
    visible: bool,
}

impl From<ConfigInfos> for ConfigInfosBody {
    fn from(infos: ConfigInfos) -> Self {
        let configs = infos.configs.into_iter().map(ConfigInfoBody::from).collect();
        Self { name: infos.name, error_count: infos.error_count, groups: infos.groups, configs }
    }
}

impl From<ConfigInfo> for ConfigInfoBody {
    fn from(ConfigInfo { name, definition, value, recommended, errors }: ConfigInfo) -> Self {
        let of = |definition: Definition| DefinitionBody {
            name: name.clone(),
            r#type: definition.key.kind.name(),
            required: definition.is_required(),
            default_value: definition.default,
            importance: definition.key.importance.name(),
            documentation: definition.key.doc,
            group: definition.group,
            width: definition.width.name(),
            display_name: definition.display_name,
            dependents: [],
            order: definition.order,
        };
        let definition = definition.map(of);
        Self { definition, value: ValueBody { name, value, recommended_values: recommended, errors, visible: true } }
    }
}

/// `connectorsOnly=false` adds converters and the like in Connect; there are none here, so it changes nothing.
pub(super) async fn plugins(_: Query) -> Json<Vec<PluginBody>> {
    let plugin = |plugin: &Plugin| PluginBody { class: plugin.class, r#type: plugin.kind, version: VERSION };
    Json(config::plugins().iter().map(plugin).collect())
}

/// Needs no cluster, so it is answered while the worker starts, too. A value that is not of its key's type is one error; Connect
/// adds that the null it takes for it is not allowed.
pub(super) async fn validate(
    State(worker): AppState,
    Path(plugin): Path<String>,
    Body(body): Body,
) -> Answer<ConfigInfosBody> {
    let given = given_config(body).map_err(ApiError::bad_request)?;
    let infos = config::validate(&plugin, &given, worker.config()).map_err(ApiError::bad_request)?;
    Ok(Json(infos.into()))
}
