//! What operators decide: who may ask the ledger, how consumers stand, what they may use. Pure but for [`decide`]: a
//! decision is a value made from the one before, and [`crate::store::AdminStore`] keeps it.

mod consumer;
mod decide;
mod limits;
mod quota;
mod switches;
mod token;
mod write_off;

pub use consumer::{Bypass, Consumer, Decision, Profile, Status, TierOverride, standing_of};
pub use decide::{Asked, DecideError, Document, Refused, Versioned, decide, read, understand};
pub use limits::LimitOverride;
pub use quota::{AmountOverride, Meter, QuotaRecord, QuotaStanding, QuotaTerms, UNITS_MAX, quota_id};
pub use switches::{Enforcement, MEMORY_MB_MAX, Memory, SWITCHES_ID, Switches};
pub use token::{Issued, Right, Role, TOKEN_PREFIX, TOKEN_RANDOM_BYTES, TokenRecord, parts_of};
pub use write_off::WriteOff;
