//! Tollgate's filters in an Envoy configuration, wherever they are: static listeners, listeners delivered as files,
//! filter chains, per-route overrides. The whole document is walked; a filter is known by its Wasm module or root.

use serde_json::{Map, Value};
use tollgate_core::policy::config::ConfigError;

/// The module's file name.
const MODULE: &str = "tollgate_filter.wasm";

/// The root the example configurations use.
const ROOT_ID: &str = "tollgate";

/// Keys that only a configuration of Envoy or of something around it has at its top.
const ENVOY_KEYS: [&str; 12] = [
    "static_resources",
    "dynamic_resources",
    "staticResources",
    "dynamicResources",
    "admin",
    "resources",
    "filter_chains",
    "filterChains",
    "http_filters",
    "httpFilters",
    "apiVersion",
    "@type",
];

/// A filter and its configuration as the filter would get it.
pub(super) struct Found {
    /// Where it is in the document.
    pub(super) path: String,
    /// Its configuration, or why it can't be one.
    pub(super) configuration: Result<Value, ConfigError>,
}

/// True for what is not a Tollgate configuration itself.
pub(super) fn is_envoy(document: &Value) -> bool {
    match document {
        Value::Object(map) => ENVOY_KEYS.iter().any(|key| map.contains_key(*key)),
        Value::Array(_) => true,
        _ => false,
    }
}

/// All Tollgate filters of a document, in its order.
pub(super) fn find(document: &Value) -> Vec<Found> {
    let mut found = Vec::new();
    walk(document, String::new(), &mut found);
    found
}

fn walk(value: &Value, path: String, found: &mut Vec<Found>) {
    match value {
        Value::Object(map) => {
            if let Some(plugin) = plugin(map) {
                let configuration = configuration(plugin);
                // The filter is named by its place in the list of filters, not by the inside of its wrapping.
                let path =
                    path.strip_suffix(".typed_config").or(path.strip_suffix(".typedConfig")).unwrap_or(&path);
                found.push(Found { path: path.to_owned(), configuration });
                return;
            }
            for (key, inner) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                walk(inner, path, found);
            }
        }
        Value::Array(list) => {
            for (at, inner) in list.iter().enumerate() {
                walk(inner, format!("{path}[{at}]"), found);
            }
        }
        _ => {}
    }
}

/// The plugin configuration in a Wasm filter that is Tollgate's.
fn plugin(filter: &Map<String, Value>) -> Option<&Map<String, Value>> {
    let plugin = filter.get("config")?.as_object()?;
    let vm = either(plugin, "vm_config", "vmConfig");
    let root_id = either(plugin, "root_id", "rootId").and_then(Value::as_str);
    let module = vm.and_then(|vm| {
        let code = vm.get("code")?;
        let local = code.get("local").and_then(|local| local.get("filename"));
        let remote =
            || code.get("remote")?.get("http_uri").or(code.get("remote")?.get("httpUri"))?.get("uri");
        local.or_else(remote)?.as_str()
    });
    let ours = root_id == Some(ROOT_ID) || module.is_some_and(|module| module.ends_with(MODULE));
    (ours && (vm.is_some() || root_id.is_some())).then_some(plugin)
}

/// Protobuf's JSON form takes both spellings of a field.
fn either<'a>(map: &'a Map<String, Value>, snake: &str, camel: &str) -> Option<&'a Value> {
    map.get(snake).or_else(|| map.get(camel))
}

/// What the filter is handed: a Struct's content, or the JSON in a string. Without any it is handed nothing, which
/// it reads as an empty configuration.
fn configuration(plugin: &Map<String, Value>) -> Result<Value, ConfigError> {
    let Some(any) = plugin.get("configuration") else {
        return Ok(Value::Object(Map::new()));
    };
    let error = |problem: String| ConfigError { path: ".".into(), problem };
    let kind = any.get("@type").and_then(Value::as_str).unwrap_or_default();
    let value = any.get("value");
    match (kind.rsplit('/').next().unwrap_or_default(), value) {
        ("google.protobuf.Struct", None) => Ok(Value::Object(Map::new())),
        ("google.protobuf.Struct", Some(value)) => Ok(as_envoy_reads(value.clone())),
        ("google.protobuf.StringValue", Some(Value::String(text))) => {
            serde_json::from_str(text).map_err(|why| error(format!("not JSON: {why}")))
        }
        ("google.protobuf.StringValue", _) => Err(error("the StringValue has no string in `value`".into())),
        (other, _) => Err(error(format!(
            "`configuration` is a google.protobuf.Struct or a google.protobuf.StringValue, not {other:?}"
        ))),
    }
}

/// Envoy keeps only small integers of a YAML file as numbers; larger ones and fractions reach a Struct as strings.
fn as_envoy_reads(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_i64() {
            Some(whole) if i32::try_from(whole).is_ok() => Value::Number(number),
            _ => Value::String(number.to_string()),
        },
        Value::Array(list) => list.into_iter().map(as_envoy_reads).collect(),
        Value::Object(map) => map.into_iter().map(|(key, inner)| (key, as_envoy_reads(inner))).collect(),
        other => other,
    }
}
