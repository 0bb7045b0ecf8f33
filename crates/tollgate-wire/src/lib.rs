//! What filter and ledger say to each other, and the units both count in.
//!
//! Plain data, no behaviour beyond arithmetic on units. The protocol is JSON with a version number, and every
//! optional field says what a peer that does not know it sends: nothing, read as the type's default.

mod consumers;
mod lease;
mod share;
mod skip;
mod sync;
mod tally;
mod units;

pub use consumers::{
    ConsumerStanding, ConsumerStatus, DECISIONS_MAX, Decisions, EnforcementSwitch, LIMITS_FOR_NOW_MAX,
    LimitForNow, MemoryInUse, PERCENT_MAX, SwitchesState, TierForNow,
};
pub use lease::{Ask, Grant, LEASES_MAX, LeaseAsk, LeaseGrant, LeaseStatus, QuotaName};
pub use share::{Claim, RateName, SHARES_MAX, Share, ShareAsk, ShareGrant, WHOLE};
pub use sync::{
    Balance, OpeningPage, OpeningRequest, PROTOCOL_VERSION, SYNC_BODY_BYTES_MAX, SyncRequest, SyncResponse,
    WindowRange,
};
pub use tally::{Outcome, Tally, TallyOf, Warning};
pub use units::{Credits, NanoUsd, TokenCount, UnixNanos};
