//! What Tollgate promises, in a real Envoy.

mod batches;
mod bodies;
mod clients;
mod concurrency;
mod configuration;
mod decisions;
mod dialects;
mod fleet;
mod global;
mod identity;
mod journal;
mod ledger;
mod ledger_tls;
mod libraries;
mod limits;
mod load;
mod memory;
mod mid_stream;
mod money;
mod shares;
mod streams;
mod telling;
mod traps;
mod waiting;
mod windows;
