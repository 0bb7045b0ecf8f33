//! What operators decide: who may ask the ledger, how consumers stand, what they may use. Pure but for [`decide`]: a
//! decision is a value made from the one before, and [`crate::store::AdminStore`] keeps it.

mod decide;
mod token;

pub use decide::{Asked, DecideError, Document, Refused, Versioned, decide, read, understand};
pub use token::{Issued, Right, Role, TOKEN_PREFIX, TOKEN_RANDOM_BYTES, TokenRecord, parts_of};
