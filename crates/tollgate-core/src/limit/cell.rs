//! One balance of one limit, as it stands in shared data.
//!
//! Holds carry their owner, the VM that made them: a VM that died never takes its holds back, so whoever reads the
//! cell next does it in its place (see [`super::owners`]).

use super::bucket::Bucket;
use super::codec::{Reader, Writer};
use super::window::Window;

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

    /// Who holds something.
    pub fn owners(&self) -> impl Iterator<Item = Owner> {
        self.0.iter().map(|(owner, _)| *owner)
    }

    /// Drops all holds.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) {
        out.u8(self.0.len() as u8);
        for (owner, amount) in &self.0 {
            out.u32(owner.0);
            out.u64(*amount);
        }
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let count = usize::from(from.u8()?);
        if count > OWNERS_MAX {
            return None;
        }
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            all.push((Owner(from.u32()?), from.u64()?));
        }
        Some(Self(all))
    }
}

/// What one window of a quota has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The window it is about.
    pub window: Window,
    /// Settled units.
    pub used: u64,
    /// Bit n: the n-th warning threshold was told.
    pub warned: u8,
    /// Units reserved and not yet settled.
    pub holds: Holds,
}

/// A quota is remembered this long after its window: a clock that steps back by less, over the end of the window, does
/// not find it forgotten and its limit whole again.
pub const CLOCK_STEP_S_MAX: u32 = 7200;

/// The state of one cell, by kind of limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// A token bucket.
    Bucket(Bucket),
    /// A calendar quota.
    Quota(Usage),
    /// A concurrency limit: requests in flight, by owner.
    InFlight(Holds),
}

/// One balance: which limit and key values it is of, and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Hash of the limit's name and of what it is keyed by besides the account.
    pub id: u32,
    /// Monotonic second in which the grace of its first violation ends; 0: none was violated. Belongs to the state:
    /// with the state at rest it means nothing.
    pub grace_until_s: u32,
    /// What is counted.
    pub state: State,
}

const BUCKET: u8 = 0;
const QUOTA: u8 = 1;
const IN_FLIGHT: u8 = 2;
/// Added to the kind of a cell with a grace.
const GRACE: u8 = 0x80;

impl Cell {
    /// True when forgetting the cell changes no decision.
    pub fn at_rest(&self, mono_ns: u64, wall_s: u32) -> bool {
        match &self.state {
            State::Bucket(bucket) => bucket.at_rest(mono_ns),
            State::Quota(usage) => {
                let over = usage.window.end_s.saturating_add(CLOCK_STEP_S_MAX) <= wall_s;
                usage.holds.is_empty() && (over || (usage.used == 0 && usage.warned == 0))
            }
            State::InFlight(holds) => holds.is_empty(),
        }
    }

    /// True when requests in flight are counted in it.
    pub fn has_holds(&self) -> bool {
        self.owners().next().is_some()
    }

    /// The owners of its holds.
    pub fn owners(&self) -> impl Iterator<Item = Owner> {
        let holds = match &self.state {
            State::Bucket(_) => None,
            State::Quota(usage) => Some(&usage.holds),
            State::InFlight(holds) => Some(holds),
        };
        holds.into_iter().flat_map(|holds| holds.0.iter().map(|(owner, _)| *owner))
    }

    /// How many bytes [`Cell::write`] appends.
    pub fn bytes(&self) -> usize {
        let grace = if self.grace_until_s == 0 { 0 } else { 4 };
        grace
            + match &self.state {
                State::Bucket(_) => 17,
                State::Quota(usage) => 23 + 12 * usage.holds.0.len(),
                State::InFlight(holds) => 6 + 12 * holds.0.len(),
            }
    }

    /// Appends the cell: 17 bytes for a bucket, 23 for a quota, 6 for requests in flight, 12 more per hold, 4 for a
    /// grace.
    pub fn write(&self, out: &mut Writer<'_>) {
        out.u32(self.id);
        let kind = match &self.state {
            State::Bucket(_) => BUCKET,
            State::Quota(_) => QUOTA,
            State::InFlight(_) => IN_FLIGHT,
        };
        if self.grace_until_s == 0 {
            out.u8(kind);
        } else {
            out.u8(kind | GRACE);
            out.u32(self.grace_until_s);
        }
        match &self.state {
            State::Bucket(bucket) => {
                out.u64(bucket.tat_ns);
                out.u32(bucket.tat_ticks);
            }
            State::Quota(usage) => {
                out.u32(usage.window.start_s);
                out.u32(usage.window.end_s);
                out.u64(usage.used);
                out.u8(usage.warned);
                usage.holds.write(out);
            }
            State::InFlight(holds) => holds.write(out),
        }
    }

    /// Reads one cell. None when the bytes are not one.
    pub fn read(from: &mut Reader<'_>) -> Option<Self> {
        let id = from.u32()?;
        let kind = from.u8()?;
        let grace_until_s = if kind & GRACE == 0 { 0 } else { from.u32()? };
        let state = match kind & !GRACE {
            BUCKET => State::Bucket(Bucket { tat_ns: from.u64()?, tat_ticks: from.u32()? }),
            QUOTA => State::Quota(Usage {
                window: Window { start_s: from.u32()?, end_s: from.u32()? },
                used: from.u64()?,
                warned: from.u8()?,
                holds: Holds::read(from)?,
            }),
            IN_FLIGHT => State::InFlight(Holds::read(from)?),
            _ => return None,
        };
        Some(Self { id, grace_until_s, state })
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

    #[test]
    fn cells_survive_the_bytes() {
        let mut holds = Holds::default();
        assert!(holds.add(Owner(9), 4));
        let cells = [
            Cell { id: 1, grace_until_s: 0, state: State::Bucket(Bucket { tat_ns: 77, tat_ticks: 3 }) },
            Cell {
                id: 2,
                grace_until_s: 3,
                state: State::Quota(Usage {
                    window: Window { start_s: 1, end_s: 2 },
                    used: 5,
                    warned: 1,
                    holds: holds.clone(),
                }),
            },
            Cell { id: 3, grace_until_s: 0, state: State::InFlight(holds) },
        ];
        let mut bytes = Vec::new();
        cells.iter().for_each(|cell| cell.write(&mut Writer(&mut bytes)));
        assert_eq!(bytes.len(), cells.iter().map(Cell::bytes).sum::<usize>());
        let mut reader = Reader(&bytes);
        for cell in &cells {
            assert_eq!(Cell::read(&mut reader).as_ref(), Some(cell));
        }
        assert!(Cell::read(&mut reader).is_none());
    }
}
