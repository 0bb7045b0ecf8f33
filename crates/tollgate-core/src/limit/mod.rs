//! The limits: what each kind of limit counts, and how its state is packed into shared data.

mod bucket;
mod cell;
mod codec;
mod gauge;
mod holds;
mod owners;
mod sliding;
mod slot;
mod spare;
mod window;

pub use bucket::{Bucket, Rate, Short};
pub use cell::{CLOCK_STEP_S_MAX, Cell, Share, State, Usage};
pub use gauge::{Gauge, READING_S_MAX};
pub use holds::{Holds, OWNERS_MAX, Owner};
pub use owners::{OWNER_SILENCE_S_MAX, Owners};
pub use sliding::{Part, Sliding, Span};
pub use slot::{ACCOUNT_BYTES_MAX, Evicted, SLOT_BYTES_MAX};
pub use spare::{Allowance, Spare};
pub use window::{Calendar, Period, Window};

pub(crate) use codec::{Reader, Writer, read_key, short_bytes, write_key};
pub(crate) use slot::{accounts_with_leases, read as read_account, write as write_account};

/// So many percent of an amount, rounded down, and no less than one unit.
pub(crate) fn percent_of(units: u64, percent: u32) -> u64 {
    crate::lease::mul_div(units, percent.into(), 100).max(1)
}
