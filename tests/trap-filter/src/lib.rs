//! Tollgate's filter, from its own source, whose VM traps when a request asks for it: what Envoy makes of a filter that
//! dies, and what becomes of what it held. The road not taken is a feature of the filter itself, which ships.

#![allow(missing_docs, reason = "the only public item is the entry point that the SDK's macro makes")]

#[path = "../../../src/headers.rs"]
mod headers;
#[path = "../../../src/host.rs"]
mod host;
#[path = "../../../src/memory.rs"]
mod memory;
#[path = "../../../src/metrics.rs"]
mod metrics;
#[path = "../../../src/root.rs"]
mod root;
#[path = "../../../src/stream/mod.rs"]
mod stream;
#[path = "../../../src/sync/mod.rs"]
mod sync;
#[path = "../../../src/waiting.rs"]
mod waiting;
#[path = "../../../src/worker.rs"]
mod worker;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

/// A request with this header ends the VM that gets it.
const TRAP: &str = "x-test-trap";

proxy_wasm::main! {{
    proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
    proxy_wasm::set_root_context(|id| Box::new(Root(root::Root::new(id))));
}}

/// Tollgate's root, but for the streams it makes.
struct Root(root::Root);

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_size: usize, trailers: usize) {
        self.0.on_http_call_response(token, headers, body_size, trailers);
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        self.0.on_configure(size)
    }

    fn on_tick(&mut self) {
        self.0.on_tick();
    }

    fn on_queue_ready(&mut self, queue: u32) {
        self.0.on_queue_ready(queue);
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        self.0.create_http_context(id).map(|stream| Box::new(Stream(stream)) as Box<dyn HttpContext>)
    }

    fn get_type(&self) -> Option<ContextType> {
        self.0.get_type()
    }
}

/// Tollgate's stream, but for the requests that end it.
struct Stream(Box<dyn HttpContext>);

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, count: usize, end_of_stream: bool) -> Action {
        assert!(self.get_http_request_header(TRAP).is_none(), "a request has asked for a trap");
        self.0.on_http_request_headers(count, end_of_stream)
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.0.on_http_request_body(size, end_of_stream)
    }

    fn on_http_request_trailers(&mut self, count: usize) -> Action {
        self.0.on_http_request_trailers(count)
    }

    fn on_http_response_headers(&mut self, count: usize, end_of_stream: bool) -> Action {
        self.0.on_http_response_headers(count, end_of_stream)
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.0.on_http_response_body(size, end_of_stream)
    }

    fn on_http_response_trailers(&mut self, count: usize) -> Action {
        self.0.on_http_response_trailers(count)
    }

    fn on_log(&mut self) {
        self.0.on_log();
    }
}
