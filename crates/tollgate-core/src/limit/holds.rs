//! Holds: what is reserved and not yet settled, by the VM that did.
//!
//! A VM that died never takes its holds back, so whoever reads them next does it in its place (see
//! [`super::owners`]).

use super::codec::{Reader, Writer, short_bytes};

/// Which VM made a hold. Random per VM, never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(pub u32);

/// What is reserved and not yet settled, by owner. Small: one entry per worker with a request in flight.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Holds(Vec<(Owner, u64)>);

/// Most owners of one cell: a worker beyond that can't hold, and its request is undecided. Envoy runs one VM per
/// worker thread; 64 leaves room for those that died within the last seconds.
pub const OWNERS_MAX: usize = 64;

impl Holds {
    /// All holds together.
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, (_, amount)| sum.saturating_add(*amount))
    }

    /// True when nothing is held.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds to the owner's hold. False when there are too many owners.
    #[must_use]
    pub fn add(&mut self, owner: Owner, amount: u64) -> bool {
        if amount == 0 {
            return true;
        }
        if let Some((_, held)) = self.0.iter_mut().find(|(who, _)| *who == owner) {
            *held = held.saturating_add(amount);
            return true;
        }
        if self.0.len() >= OWNERS_MAX {
            return false;
        }
        self.0.push((owner, amount));
        true
    }

    /// Takes `amount` off the owner's hold; returns what was really there, which is less when the hold expired.
    pub fn release(&mut self, owner: Owner, amount: u64) -> u64 {
        let Some(index) = self.0.iter().position(|(who, _)| *who == owner) else {
            return 0;
        };
        let Some((_, held)) = self.0.get_mut(index) else {
            return 0;
        };
        let released = amount.min(*held);
        *held -= released;
        if *held == 0 {
            self.0.swap_remove(index);
        }
        released
    }

    /// Drops the holds of owners that are not alive and returns their sum.
    pub fn expire(&mut self, mut alive: impl FnMut(Owner) -> bool) -> u64 {
        let mut expired = 0u64;
        self.0.retain(|(owner, amount)| {
            let keep = alive(*owner);
            if !keep {
                expired = expired.saturating_add(*amount);
            }
            keep
        });
        expired
    }

    /// How many bytes [`Holds::write`] appends.
    pub(crate) fn bytes(&self) -> usize {
        1 + self.0.iter().map(|(_, amount)| 4 + short_bytes(*amount)).sum::<usize>()
    }

    /// Who holds something.
    pub fn owners(&self) -> impl Iterator<Item = Owner> {
        self.0.iter().map(|(owner, _)| *owner)
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) {
        out.u8(self.0.len() as u8);
        for (owner, amount) in &self.0 {
            out.u32(owner.0);
            out.short(*amount);
        }
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let count = usize::from(from.u8()?);
        if count > OWNERS_MAX {
            return None;
        }
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            all.push((Owner(from.u32()?), from.short()?));
        }
        Some(Self(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_is_released_once_and_never_below_zero() {
        let mut holds = Holds::default();
        assert!(holds.add(Owner(1), 5) && holds.add(Owner(2), 7));
        assert_eq!(holds.release(Owner(1), 3), 3);
        assert_eq!(holds.release(Owner(1), 3), 2);
        assert_eq!(holds.release(Owner(1), 3), 0);
        assert_eq!(holds.total(), 7);
        assert_eq!(holds.expire(|owner| owner != Owner(2)), 7);
        assert!(holds.is_empty());
    }

    #[test]
    fn owners_are_bounded() {
        let mut holds = Holds::default();
        for owner in 1..=OWNERS_MAX as u32 {
            assert!(holds.add(Owner(owner), 1));
        }
        assert!(holds.add(Owner(1), 1));
        assert!(!holds.add(Owner(1000), 1));
    }
}
