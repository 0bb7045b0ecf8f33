//! JSON-RPC 2.0: an error with the id of the request that it answers, so that MCP clients hand it to the caller who
//! waits for it. An id that is not known is `null`, in whose place they put their own.
//!
//! MCP gives rate limits no code of their own; -32000 is the first that JSON-RPC leaves to servers.

use serde_json::{Map, Value, json};

use super::super::fault::{Class, Fault};
use super::super::retry::Again;

const SERVER_ERROR: i32 = -32_000;
const INVALID_REQUEST: i32 = -32_600;

pub(super) fn body(fault: &Fault<'_>) -> Value {
    let id = fault.rpc_id.and_then(|id| serde_json::from_str::<Value>(id).ok()).unwrap_or_default();
    let code = match fault.class {
        Class::UnknownModel | Class::BodyTooLarge => INVALID_REQUEST,
        _ => SERVER_ERROR,
    };
    let mut data = Map::new();
    data.insert("status".into(), fault.class.status().into());
    if let Some(limit) = fault.limit {
        data.insert("limit".into(), limit.name.as_str().into());
    }
    if let Again::Soon { ms } = fault.again {
        data.insert("retryAfterMs".into(), ms.into());
    }
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": fault.message, "data": data}})
}
