//! Tollgate's filter: Envoy's callbacks in, core's decisions out. No policy and no arithmetic of its own.
//!
//! It runs as one VM per worker thread, and once more on the main thread, which ticks and never sees a request.

#![allow(missing_docs, reason = "the only public item is the entry point that the SDK's macro makes")]

mod headers;
mod host;
mod memory;
mod metrics;
mod root;
mod stream;
mod sync;
mod waiting;
mod worker;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
    proxy_wasm::set_root_context(|id| Box::new(root::Root::new(id)));
}}
