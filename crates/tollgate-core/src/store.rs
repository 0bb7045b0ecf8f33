//! Shared storage as the limiter sees it: a fixed set of slots, changed by compare-and-swap.

/// A place in shared storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    /// Accounts whose key hashes to this number, below the configured number of slots.
    Accounts(u32),
    /// The register of VMs ([`crate::limit::Owners`]).
    Owners,
    /// The process's random identity and hash seed, created once.
    Process,
    /// Which worker waits for what ([`crate::room::Bell`]).
    Bell,
    /// How loaded each worker is ([`crate::load::Others`]).
    Load,
    /// How far the balances of earlier processes were restored.
    Opening,
    /// How far estimates of input are off, per model.
    Calibration,
}

/// The version a value was read at. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(pub u32);

/// What a swap expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// No value yet.
    Absent,
    /// The value that was read at this version.
    Version(Version),
}

/// How a swap went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The new value stands.
    Done,
    /// Somebody else was faster: read again.
    Lost,
}

/// The store could not be used at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shared storage failed while {doing}: status {status}")]
pub struct StoreError {
    /// What was being done: `loading`, `swapping`.
    pub doing: &'static str,
    /// The host's status number.
    pub status: u32,
}

/// Storage that all workers of one process share.
pub trait SharedStore {
    /// Reads a slot into `into`, which is emptied first. A slot nobody wrote is empty and [`Expected::Absent`].
    ///
    /// # Errors
    /// [`StoreError`] when the host refuses.
    fn load(&self, slot: Slot, into: &mut Vec<u8>) -> Result<Expected, StoreError>;

    /// Writes a slot if it still is as expected.
    ///
    /// # Errors
    /// [`StoreError`] when the host refuses; the value was then not written.
    fn swap(&self, slot: Slot, value: &[u8], expected: Expected) -> Result<Swap, StoreError>;

    /// Called before the n-th new attempt (from 1) after a lost swap: a store may let the winner get on.
    fn lost(&self, _attempt: u32) {}
}

impl Slot {
    /// Appends its name: accounts have their number in hexadecimal digits.
    pub fn name(self, to: &mut String) {
        to.push_str(match self {
            Self::Accounts(number) => {
                let digits = (u32::BITS - number.leading_zeros()).div_ceil(4).max(1);
                let digit = |at| char::from_digit(number >> (4 * at) & 0xf, 16);
                return to.extend((0..digits).rev().filter_map(digit));
            }
            Self::Owners => "owners",
            Self::Process => "process",
            Self::Bell => "bell",
            Self::Load => "load",
            Self::Opening => "opening",
            Self::Calibration => "calibration",
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_have_names_of_their_own() {
        for (slot, name) in [
            (Slot::Accounts(0), "0"),
            (Slot::Accounts(0x10), "10"),
            (Slot::Accounts(0xdead_beef), "deadbeef"),
            (Slot::Accounts(u32::MAX), "ffffffff"),
            (Slot::Owners, "owners"),
        ] {
            let mut text = "tollgate.".to_owned();
            slot.name(&mut text);
            assert_eq!(text, format!("tollgate.{name}"));
        }
    }
}
