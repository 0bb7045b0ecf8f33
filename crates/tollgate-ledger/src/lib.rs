//! The ledger: a small service that keeps the books of many Envoys, and the `tollgate` command.
//!
//! [`store`] is what the books mean and where they are kept; [`service`] is HTTP around it; [`cli`] is what an operator
//! types. The service is stateless: whatever it acknowledged is in the store, so any of it may be killed at any time.

pub mod calendar;
pub mod cli;
pub mod service;
pub mod store;
