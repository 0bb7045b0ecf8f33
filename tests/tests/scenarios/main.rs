//! What Tollgate promises, in a real Envoy.

mod bodies;
mod clients;
mod concurrency;
mod configuration;
mod decisions;
mod dialects;
mod identity;
mod ledger;
mod libraries;
mod limits;
mod load;
mod money;
mod streams;
mod telling;
mod waiting;
mod windows;
