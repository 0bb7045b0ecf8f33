//! Cursors: where a page ended, as a text that means nothing to the one who carries it.
//!
//! A cursor is a key and not a count, so pages neither skip nor repeat while entries come in, and any node can
//! continue what another began.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Serialize, de::DeserializeOwned};

use super::problem::Problem;

/// Writes a key as a cursor.
pub(super) fn encode(key: &impl Serialize) -> Option<String> {
    serde_json::to_vec(key).ok().map(|json| URL_SAFE_NO_PAD.encode(json))
}

/// Reads a cursor.
pub(super) fn decode<T: DeserializeOwned>(cursor: &str) -> Result<T, Problem> {
    let json = URL_SAFE_NO_PAD.decode(cursor).ok();
    json.and_then(|json| serde_json::from_slice(&json).ok())
        .ok_or_else(|| Problem::bad_request("the cursor is not one that this ledger gave"))
}
