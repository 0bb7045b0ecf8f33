//! What Envoy's route says of a request: its name, and the metadata under `tollgate`.

use log::warn;
use tollgate_core::policy::Policy;
use tollgate_core::traffic::Dialect;

use crate::headers::Headers;
use crate::host;

/// Texts are empty where the policy does not read them.
#[derive(Default)]
pub(super) struct Route {
    pub name: String,
    pub policy: String,
    pub action: String,
    pub workflow: String,
    /// What the route says it speaks.
    pub dialect: Option<Dialect>,
}

impl Route {
    /// Reads what the policy wants to know. All metadata is one property, in the form of a header map: a property costs a
    /// microsecond even where there is none, and most routes have none.
    pub fn read(policy: &Policy) -> Self {
        let reads = policy.reads();
        let mut route = Self::default();
        if reads.route {
            let name = host::property("xds\0route_name").and_then(|name| String::from_utf8(name).ok());
            route.name = name.unwrap_or_default();
        }
        if !reads.route_metadata && !reads.body {
            return route;
        }
        let metadata = host::property("xds\0route_metadata\0filter_metadata\0tollgate").unwrap_or_default();
        let metadata = Headers::new(metadata);
        let leaf = |key: &str| metadata.get(key).unwrap_or_default();
        if reads.route_metadata {
            route.policy = policy.route_policy(leaf("policy")).to_owned();
            (route.action, route.workflow) = (leaf("action").to_owned(), leaf("workflow").to_owned());
        }
        let named = leaf("dialect");
        route.dialect = Dialect::named(named);
        if route.dialect.is_none() && !named.is_empty() {
            warn!("a route's metadata names no dialect: {named}");
        }
        route
    }
}
