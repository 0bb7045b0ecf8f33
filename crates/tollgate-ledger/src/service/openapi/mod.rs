//! The OpenAPI document's general part, and the wire types as it shows them.
//!
//! The wire crate knows nothing of OpenAPI (the filter would carry it), so its types are described a second time;
//! a test holds the descriptions to the fields that really go over the wire.

mod decisions;
mod leases;
mod shares;
mod sync;
#[cfg(test)]
mod tests;

pub(super) use sync::{EntryDoc, SyncRequestDoc, SyncResponseDoc};

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::problem::Problem;
use crate::calendar::WindowKind;
use crate::store::{Dimension, Sums};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tollgate ledger",
        description = "Keeps the books of many Envoys: tallies in, usage and the audit trail out; and what operators decide about consumers, quotas and switches, which Envoys follow within five seconds."
    ),
    components(schemas(Problem, Sums, Dimension, WindowKind)),
    modifiers(&Bearer)
)]
pub(super) struct Document;

/// A type that others are made of can't forbid in the document what they add. What is sent to the handlers is still read by
/// the types, which refuse a field that they don't know.
pub(super) fn open_parts(document: &mut utoipa::openapi::OpenApi) {
    let Some(components) = &mut document.components else { return };
    let mut parts = Vec::new();
    for schema in components.schemas.values() {
        if let RefOr::T(Schema::AllOf(all)) = schema {
            let names = all.items.iter().filter_map(|item| match item {
                RefOr::Ref(to) => to.ref_location.rsplit('/').next().map(str::to_owned),
                RefOr::T(_) => None,
            });
            parts.extend(names);
        }
    }
    for part in parts {
        if let Some(RefOr::T(Schema::Object(object))) = components.schemas.get_mut(&part) {
            object.additional_properties = None;
        }
    }
}

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}
