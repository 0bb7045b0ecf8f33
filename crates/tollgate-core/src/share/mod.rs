//! Shares: a rate that all Envoys keep together, without a network hop per request.
//!
//! The ledger divides the rate, and with it the bucket: each Envoy has a part of it, for a time and by demand (after
//! Doorman's capacity leases), and what nobody has stays with the ledger in a bucket of its own. Two pure state machines,
//! [`Holder`] in Envoy's shared data and [`ledger::Book`] in the ledger's transaction.
//!
//! # Why it never lets more through than the rate
//!
//! For a rate R with burst B each holder fills at s·R up to s·B, and the ledger's rest at p·R up to p·B. Always:
//!
//! 1. the sum of all s, and p, is at most the whole: the books have for each holder the larger of what it uses and what it
//!    was last offered, until it says that it uses what it was offered, or until its time is over;
//! 2. a holder's time begins when it asks, and in the books when they answer, which is later, and lasts longer there by
//!    [`ledger::MARGIN_MS`], also for nodes whose clocks differ;
//! 3. what is in a bucket goes with the share: a share that grows brings only what is taken out of the ledger's bucket, one
//!    that shrinks gives what no longer fits back with the next claim, and what is lost on the way is lost.
//!
//! So what is in all buckets together is never more than B, and grows by at most R: in any span t at most B + R·t pass. Only
//! the last claim's answer counts, and only claims in their order: late, lost and repeated messages leave less, not more.

mod bytes;
mod divide;
mod holder;
pub mod ledger;
mod shared;
#[cfg(test)]
mod tests;

pub use holder::{Holder, Lack};
pub use shared::Shared;
pub use tollgate_wire::{Claim, Share, WHOLE};

/// Billionths of the burst in a millionth of the share.
const PARTS: u32 = 1_000;
