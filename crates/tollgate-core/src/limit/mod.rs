//! The limits: what each kind of limit counts, and how its state is packed into shared data.

mod bucket;
mod cell;
mod codec;
mod owners;
mod slot;
mod window;

pub use bucket::{Bucket, Rate, Short};
pub use cell::{Cell, Holds, OWNERS_MAX, Owner, State, Usage};
pub use owners::{OWNER_SILENCE_S_MAX, Owners};
pub use slot::{ACCOUNT_BYTES_MAX, Evicted, Fullness, SLOT_BYTES_MAX};
pub use window::{Calendar, Period, Window};

pub(crate) use codec::{Reader, Writer, short_bytes};
pub(crate) use slot::{read as read_account, write as write_account};
