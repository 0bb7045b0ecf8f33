//! The harness of Tollgate's end-to-end tests, demo and benchmark.
//!
//! Everything is real but the model: Envoy, the filter in it, the ledger, the official clients. Each piece is a value
//! that is started on a free port of the loopback interface and stopped when it is dropped, so that scenarios run side
//! by side. Nothing waits for a time, everything for a condition; a condition that does not come prints the logs of
//! the process concerned.

pub mod bench;
pub mod clients;
pub mod crowd;
pub mod demo;
pub mod envoy;
pub mod flaky_proxy;
pub mod http_client;
pub mod ledger;
pub mod model_server;
pub mod paths;
pub mod postgres;
pub mod prices;
pub mod process;
pub mod scene;
pub mod tls;
pub mod wait;
