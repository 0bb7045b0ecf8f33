//! The ledger: a small service that keeps the books of many Envoys, and the `tollgate` command.
//!
//! [`admin`] is what operators decide; [`store`] is what the books mean and where they are kept; [`service`] is HTTP
//! around both; [`cli`] is what an operator types. The service is stateless: whatever it acknowledged is in the store, so any of it may be killed at any time.

pub mod admin;
pub mod calendar;
pub mod cli;
pub mod service;
pub mod store;
