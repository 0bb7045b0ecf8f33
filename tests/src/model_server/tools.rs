//! A server of tools: the Model Context Protocol, without sessions.

use serde_json::{Value, json};

/// What the server can do.
const TOOLS: [&str; 2] = ["search_docs", "weather"];

/// The answer to a request or a batch of them, JSON-RPC 2.0; `None` for a notification, which gets none.
pub(super) fn answer(request: &Value) -> Option<Value> {
    if let Some(batch) = request.as_array() {
        return Some(batch.iter().filter_map(answer).collect());
    }
    let id = request.get("id")?;
    let result = match request["method"].as_str().unwrap_or_default() {
        "initialize" => json!({
            "protocolVersion": request["params"]["protocolVersion"], "capabilities": {"tools": {}},
            "serverInfo": {"name": "mock", "version": "1"},
        }),
        "tools/list" => json!({"tools": TOOLS.map(tool)}),
        "tools/call" => called(&request["params"]),
        method => {
            let error = json!({"code": -32601, "message": format!("Method not found: {method}")});
            return Some(json!({"jsonrpc": "2.0", "id": id, "error": error}));
        }
    };
    Some(json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

fn tool(name: &str) -> Value {
    json!({
        "name": name, "description": format!("Does {name}"),
        "inputSchema": {"type": "object", "properties": {"query": {"type": "string"}}},
    })
}

/// What the tool found: what it was asked.
fn called(params: &Value) -> Value {
    let found = format!("{} found {}", params["name"], params["arguments"]["query"]);
    json!({"content": [{"type": "text", "text": found}], "isError": false})
}
