//! Leases: a quota over many Envoys that is exact without a network hop per request.
//!
//! Cumulative escrow leases, after the escrow method (O'Neil 1986) and the bounded counter (Balegas 2015): the ledger
//! grants slices of a quota, an Envoy spends from its slice by itself. Two pure state machines, [`Holder`] in Envoy's
//! shared data and [`ledger::step`] in the ledger's transaction, know no clock, no chance and no network, so that the
//! filter, the ledger and the simulator run the same code.
//!
//! The road not taken is a lease that expires back into the quota: whatever its holder spent and had not told when it
//! crashed is then spent again. Here expiry only stops spending; a dead holder's slice stays spent until its window ends
//! or an operator writes it off.
//!
//! # Why it never overspends
//!
//! For a quota with limit L the books have S settled and H held units; for each lease G granted, U spent and B
//! returned, cumulative. Its holder has g, u, b of its own and i in flight. Always:
//!
//! 1. S = sum of U, and H = sum of G - U - B ([`ledger::books_agree`]);
//! 2. U <= u, B <= b, g <= G: either side only lags behind the other ([`Holder::agrees_with`]);
//! 3. u + b + i <= g ([`Holder::is_sound`]);
//! 4. S + H <= L.
//!
//! Merging a message moves units from H to S or out of H, by the larger value, so that one that is late or repeated
//! changes nothing. A grant adds x to G and H only where S + H + x <= L. Admitting, completing and returning keep 3; a
//! reply sets g to at most G. A crash of the holder changes nothing in the books: what it really spent, at most u + i,
//! is within g - b <= G - B. Hence true spending = sum of u + i <= sum of G - B = S + H <= L. No step reads a clock.
//!
//! Beyond it there is only what nobody reserved: an answer longer than its bound, or an allowance configured for when
//! the ledger is away. Both are counted as overrun, which later grants make good.

mod bytes;
mod holder;
mod leased;
pub mod ledger;
mod pace;
mod renew;
mod terms;

pub use holder::{Admit, Hold, Holder};
pub use leased::{Lease, Leased};
pub use pace::Pace;
pub(crate) use pace::mul_div;
pub use terms::{Terms, Unreachable};
pub use tollgate_wire::{Ask, Grant, LeaseStatus};
