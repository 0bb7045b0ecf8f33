//! `envoy/envoy.yaml` as a value, with the edits that scenarios make.
//!
//! The example that people deploy is what the tests run: a scenario changes addresses and the part it is about, and
//! leaves the rest. The road not taken is a template of the tests' own, which would drift away from the example.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value, json};

use crate::paths;
use crate::tls::Signed;

const STRUCT: &str = "type.googleapis.com/google.protobuf.Struct";
const STRING: &str = "type.googleapis.com/google.protobuf.StringValue";
const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const DOWNSTREAM_TLS: &str =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
const JWT_AUTHN: &str = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication";

/// Name of the filter in the example.
const FILTER: &str = "tollgate";

/// An Envoy configuration. Listener and admin take free ports.
#[derive(Clone, Debug)]
pub struct EnvoyConfig {
    pub(super) value: Value,
    pub(super) lds: bool,
    pub(super) prompt_journal: bool,
}

impl EnvoyConfig {
    /// The example, with the filter as `make build` left it, between free ports and the given upstreams.
    pub fn example(models: SocketAddr, ledger: SocketAddr) -> anyhow::Result<Self> {
        let mut config = Self::read(&paths::root().join("envoy/envoy.yaml"))?;
        config.set_cluster("models", models);
        config.set_cluster("tollgate_ledger", ledger);
        config.set_module(&paths::filter()?);
        Ok(config)
    }

    /// The example without a ledger: the filter stands alone.
    pub fn standalone(models: SocketAddr) -> anyhow::Result<Self> {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
        let mut config = Self::example(models, nowhere)?;
        config.clusters().retain(|cluster| cluster["name"] != "tollgate_ledger");
        config.policy(|policy| {
            policy.remove("ledger");
        });
        Ok(config)
    }

    /// The example without Tollgate: what Envoy itself does.
    pub fn plain(models: SocketAddr) -> anyhow::Result<Self> {
        let mut config = Self::read(&paths::root().join("envoy/envoy.yaml"))?;
        config.set_cluster("models", models);
        config.clusters().retain(|cluster| cluster["name"] != "tollgate_ledger");
        config.http_filters().retain(|filter| filter["name"] != FILTER);
        config.connection_manager().remove("access_log");
        Ok(config)
    }

    /// Reads an Envoy YAML as it is, but for the ports of admin and listeners.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let value: Value =
            serde_saphyr::from_str(&text).with_context(|| format!("parsing {}", path.display()))?;
        let mut config = Self { value, lds: false, prompt_journal: false };
        config.value["admin"]["address"]["socket_address"]["port_value"] = 0.into();
        config.listener()["address"]["socket_address"]["port_value"] = 0.into();
        Ok(config)
    }

    /// Writes it as people would pass it to Envoy or to `tollgate check`; JSON is YAML.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        std::fs::write(path, serde_json::to_vec_pretty(&self.value)?)?;
        Ok(())
    }

    /// The whole configuration, for edits that have no function of their own.
    pub fn value(&mut self) -> &mut Value {
        &mut self.value
    }

    /// The only listener.
    pub fn listener(&mut self) -> &mut Value {
        &mut self.value["static_resources"]["listeners"][0]
    }

    /// The listener's HTTP connection manager, where codec options are.
    pub fn connection_manager(&mut self) -> &mut Map<String, Value> {
        object(&mut self.listener()["filter_chains"][0]["filters"][0]["typed_config"])
    }

    /// The HTTP filters, in their order.
    pub fn http_filters(&mut self) -> &mut Vec<Value> {
        array(self.connection_manager().entry("http_filters").or_insert_with(|| json!([])))
    }

    /// Adds a filter in front of all others.
    pub fn push_filter_front(&mut self, filter: Value) -> &mut Self {
        self.http_filters().insert(0, filter);
        self
    }

    /// The filter's `config`: name, VM and plugin configuration.
    pub fn plugin(&mut self) -> &mut Value {
        let filters = self.http_filters();
        let at = filters.iter().position(|filter| filter["name"] == FILTER).unwrap_or_default();
        &mut filters[at]["typed_config"]["config"]
    }

    /// Edits the plugin's configuration, which must be a Struct as in the example.
    pub fn policy(&mut self, edit: impl FnOnce(&mut Map<String, Value>)) -> &mut Self {
        edit(object(&mut self.plugin()["configuration"]["value"]));
        self
    }

    /// Replaces the plugin's configuration.
    pub fn set_policy(&mut self, policy: Value) -> &mut Self {
        self.plugin()["configuration"] = json!({"@type": STRUCT, "value": policy});
        self
    }

    /// The plugin's configuration as a JSON string instead of YAML.
    pub fn policy_as_string(&mut self) -> &mut Self {
        let text = self.plugin()["configuration"]["value"].to_string();
        self.plugin()["configuration"] = json!({"@type": STRING, "value": text});
        self
    }

    /// Which WebAssembly module runs.
    pub fn set_module(&mut self, path: &Path) -> &mut Self {
        self.plugin()["vm_config"]["code"] = json!({"local": {"filename": path}});
        self
    }

    /// Puts a module without configuration in front of the router.
    pub fn push_module(&mut self, name: &str, path: &Path) -> &mut Self {
        self.push_filter_front(json!({
            "name": name,
            "typed_config": {"@type": WASM, "config": {
                "name": name, "root_id": name, "failure_policy": "FAIL_RELOAD",
                "vm_config": {
                    "vm_id": name, "runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": path}},
                },
            }},
        }))
    }

    /// Where the journal of tallies goes.
    pub fn set_journal(&mut self, path: &Path) -> &mut Self {
        if let Some(log) = self.connection_manager().get_mut("access_log") {
            log[0]["typed_config"]["path"] = json!(path);
        }
        self
    }

    /// Has every line of the journal written at once instead of in blocks.
    pub fn with_prompt_journal(&mut self) -> &mut Self {
        self.prompt_journal = true;
        self
    }

    /// Adds a route in front of the example's.
    pub fn push_route(&mut self, route: Value) -> &mut Self {
        self.routes().insert(0, route);
        self
    }

    /// Edits every route.
    pub fn edit_routes(&mut self, edit: impl FnMut(&mut Value)) -> &mut Self {
        self.routes().iter_mut().for_each(edit);
        self
    }

    fn routes(&mut self) -> &mut Vec<Value> {
        let config = self.connection_manager().entry("route_config").or_insert_with(|| json!({}));
        array(&mut config["virtual_hosts"][0]["routes"])
    }

    /// Checks JWTs signed with the keys of `jwks` and passes their payload on as `jwt_payload`. Requests without one
    /// go on without.
    pub fn require_jwt(&mut self, issuer: &str, jwks: &Value) -> &mut Self {
        self.push_filter_front(json!({
            "name": "envoy.filters.http.jwt_authn",
            "typed_config": {
                "@type": JWT_AUTHN,
                "providers": {"local": {
                    "issuer": issuer,
                    "local_jwks": {"inline_string": jwks.to_string()},
                    "payload_in_metadata": "jwt_payload",
                    "forward": true,
                }},
                "rules": [{
                    "match": {"prefix": "/"},
                    "requires": {"requires_any": {"requirements": [
                        {"provider_name": "local"}, {"allow_missing": {}},
                    ]}},
                }],
            },
        }))
    }

    /// Has the listener speak TLS, and ask clients for a certificate that this authority signed. Without one they come
    /// in as well, unidentified.
    pub fn with_tls(&mut self, authority: &str, server: &Signed) -> &mut Self {
        let pem = |text: &str| json!({"inline_string": text});
        self.listener()["filter_chains"][0]["transport_socket"] = json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": DOWNSTREAM_TLS,
                "common_tls_context": {
                    "alpn_protocols": ["h2", "http/1.1"],
                    "tls_certificates": [{
                        "certificate_chain": pem(&server.certificate), "private_key": pem(&server.key),
                    }],
                    "validation_context": {"trusted_ca": pem(authority)},
                },
            },
        });
        self
    }

    /// The clusters.
    pub fn clusters(&mut self) -> &mut Vec<Value> {
        array(&mut self.value["static_resources"]["clusters"])
    }

    /// Where a cluster's only endpoint is.
    pub fn set_cluster(&mut self, name: &str, to: SocketAddr) -> &mut Self {
        self.edit_cluster(name, |cluster| {
            let endpoint = &mut cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
            endpoint["address"]["socket_address"] =
                json!({"address": to.ip().to_string(), "port_value": to.port()});
        })
    }

    /// Where a cluster's endpoints are.
    pub fn set_endpoints(&mut self, name: &str, all: &[SocketAddr]) -> &mut Self {
        let endpoints: Vec<Value> = all
            .iter()
            .map(|to| {
                let address = json!({"address": to.ip().to_string(), "port_value": to.port()});
                json!({"endpoint": {"address": {"socket_address": address}}})
            })
            .collect();
        self.edit_cluster(name, |cluster| {
            cluster["load_assignment"]["endpoints"] = json!([{"lb_endpoints": endpoints}]);
        })
    }

    /// Puts a cluster that stands in a file of its own in the place of the one of its name.
    pub fn replace_cluster(&mut self, path: &Path) -> anyhow::Result<&mut Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let new: Value =
            serde_saphyr::from_str(&text).with_context(|| format!("parsing {}", path.display()))?;
        let name = new["name"].as_str().context("a cluster without a name")?.to_owned();
        Ok(self.edit_cluster(&name, |cluster| *cluster = new))
    }

    /// Edits a cluster.
    pub fn edit_cluster(&mut self, name: &str, edit: impl FnOnce(&mut Value)) -> &mut Self {
        if let Some(cluster) = self.clusters().iter_mut().find(|cluster| cluster["name"] == name) {
            edit(cluster);
        }
        self
    }

    /// Has the listener come from a file, so that it can be changed while Envoy runs.
    pub fn with_listener_from_file(&mut self) -> &mut Self {
        self.lds = true;
        self
    }
}

fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it was made an object above"),
    }
}

fn array(value: &mut Value) -> &mut Vec<Value> {
    if !value.is_array() {
        *value = json!([]);
    }
    match value {
        Value::Array(list) => list,
        _ => unreachable!("it was made an array above"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_has_everything_the_edits_touch() {
        let mut config = EnvoyConfig::read(&paths::root().join("envoy/envoy.yaml")).unwrap();
        assert_eq!(config.plugin()["name"], FILTER);
        assert_eq!(config.plugin()["configuration"]["value"]["name"], "default");
        assert_eq!(config.clusters().len(), 2);
        assert_eq!(config.http_filters().len(), 2);
        assert!(config.connection_manager().contains_key("access_log"));
        config.set_journal(Path::new("/journal"));
        assert_eq!(config.connection_manager()["access_log"][0]["typed_config"]["path"], "/journal");
        config.set_cluster("models", ([127, 0, 0, 1], 42).into());
        assert!(config.value.to_string().contains(r#""port_value":42"#));
    }

    #[test]
    fn the_example_carries_the_example_policy() {
        let mut config = EnvoyConfig::read(&paths::root().join("envoy/envoy.yaml")).unwrap();
        let text = std::fs::read_to_string(paths::root().join("config/tollgate.yaml")).unwrap();
        let policy: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(config.plugin()["configuration"]["value"], policy);
    }
}
