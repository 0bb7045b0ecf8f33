//! Who waits for what, over all workers of one Envoy: whoever gives something back looks here whom to wake.
//!
//! One small register in shared data. It is empty while nobody waits, and reading it then costs next to nothing.

use crate::limit::{Owner, Reader, Writer};

use super::Rank;
use crate::limiter::{ATTEMPTS_MAX, Undecided};
use crate::store::{SharedStore, Slot, StoreError, Swap};

/// Most lines in the register. A worker that finds it full is not woken and looks by itself: see [`super::POLL_NS`].
pub const CALLERS_MAX: usize = 256;

/// A worker enters its lines anew every second; those of one that has been silent for so long count no more.
pub const CALLER_SILENCE_S_MAX: u32 = 5;

const LAYOUT: u16 = 0x7501;

/// One worker's line for one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The account.
    pub account: u64,
    /// How urgent the head of the line is.
    pub rank: Rank,
    /// The worker.
    pub owner: Owner,
    /// The queue that wakes it.
    pub queue: u32,
}

/// The register, as read at some moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bell(Vec<(Caller, u32)>);

impl Bell {
    /// Reads the register; damaged or foreign bytes read as empty.
    pub fn decode(bytes: &[u8]) -> Self {
        let mut reader = Reader(bytes);
        let mut all = Vec::new();
        if reader.u16() == Some(LAYOUT) {
            while all.len() < CALLERS_MAX
                && let Some(caller) = read(&mut reader)
            {
                all.push(caller);
            }
        }
        Self(all)
    }

    /// Writes the register to `out`, which is emptied first. Nobody waiting is no bytes at all.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        if self.0.is_empty() {
            return;
        }
        let mut writer = Writer(out);
        writer.u16(LAYOUT);
        for (caller, seen_s) in &self.0 {
            writer.u64(caller.account);
            writer.u16(caller.rank.level);
            writer.u64(caller.rank.since_ns);
            writer.u32(caller.owner.0);
            writer.u32(caller.queue);
            writer.u32(*seen_s);
        }
    }

    /// Reads the register from the store.
    ///
    /// # Errors
    /// [`StoreError`] when the host refuses.
    pub fn load(store: &impl SharedStore) -> Result<Self, StoreError> {
        let mut bytes = Vec::new();
        store.load(Slot::Bell, &mut bytes)?;
        Ok(Self::decode(&bytes))
    }

    /// Enters a worker's line in the store, as [`Bell::set`] does.
    ///
    /// # Errors
    /// [`Undecided`]: the register is as it was. The worker is not woken, and looks by itself.
    pub fn publish(
        store: &impl SharedStore,
        account: u64,
        owner: Owner,
        queue: u32,
        rank: Option<Rank>,
        mono_s: u32,
    ) -> Result<bool, Undecided> {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for attempt in 1..=ATTEMPTS_MAX {
            let expected = store.load(Slot::Bell, &mut old)?;
            let mut bell = Self::decode(&old);
            let entered = bell.set(account, owner, queue, rank, mono_s);
            bell.encode(&mut new);
            if new == old || store.swap(Slot::Bell, &new, expected)? == Swap::Done {
                return Ok(entered);
            }
            store.lost(attempt);
        }
        Err(Undecided::Contention)
    }

    /// Enters a worker's line, or takes it out where nobody is in it. False when there is no room.
    pub fn set(&mut self, account: u64, owner: Owner, queue: u32, rank: Option<Rank>, mono_s: u32) -> bool {
        self.0.retain(|(caller, seen_s)| {
            mono_s.saturating_sub(*seen_s) <= CALLER_SILENCE_S_MAX
                && (caller.account, caller.owner) != (account, owner)
        });
        let Some(rank) = rank else { return true };
        if self.0.len() >= CALLERS_MAX {
            return false;
        }
        self.0.push((Caller { account, rank, owner, queue }, mono_s));
        true
    }

    /// The most urgent line for an account, of all workers `but` one.
    pub fn first(&self, account: u64, mono_s: u32, but: Option<Owner>) -> Option<Caller> {
        let alive = |seen_s: u32| mono_s.saturating_sub(seen_s) <= CALLER_SILENCE_S_MAX;
        let here = self.0.iter().filter(|(caller, seen_s)| {
            caller.account == account && Some(caller.owner) != but && alive(*seen_s)
        });
        let callers = here.map(|(caller, _)| *caller);
        callers.reduce(|first, other| if other.rank.before(&first.rank) { other } else { first })
    }

    /// The lines for an account of all workers `but` one.
    pub fn all(&self, account: u64, mono_s: u32, but: Owner) -> impl Iterator<Item = Caller> {
        let alive = move |seen_s: u32| mono_s.saturating_sub(seen_s) <= CALLER_SILENCE_S_MAX;
        let here = self.0.iter().filter(move |(caller, seen_s)| {
            caller.account == account && caller.owner != but && alive(*seen_s)
        });
        here.map(|(caller, _)| *caller)
    }

    /// True when nobody waits for anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn read(reader: &mut Reader<'_>) -> Option<(Caller, u32)> {
    let account = reader.u64()?;
    let rank = Rank { level: reader.u16()?, since_ns: reader.u64()? };
    let (owner, queue) = (Owner(reader.u32()?), reader.u32()?);
    Some((Caller { account, rank, owner, queue }, reader.u32()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rank(level: u16, since_ns: u64) -> Option<Rank> {
        Some(Rank { level, since_ns })
    }

    #[test]
    fn the_most_urgent_line_is_woken_first_and_the_longest_wait_among_equals() {
        let mut bell = Bell::default();
        bell.set(7, Owner(1), 11, rank(1, 10), 0);
        bell.set(7, Owner(2), 12, rank(5, 30), 0);
        bell.set(7, Owner(3), 13, rank(5, 20), 0);
        bell.set(8, Owner(4), 14, rank(9, 1), 0);
        assert_eq!(bell.first(7, 0, Some(Owner(3))).unwrap().queue, 12);
        let order: Vec<u32> = std::iter::from_fn(|| {
            let first = bell.first(7, 0, None)?;
            bell.set(7, first.owner, first.queue, None, 0);
            Some(first.queue)
        })
        .collect();
        assert_eq!(order, [13, 12, 11]);
    }

    #[test]
    fn a_worker_that_died_is_not_waited_for() {
        let mut bell = Bell::default();
        bell.set(7, Owner(1), 11, rank(9, 0), 100);
        bell.set(7, Owner(2), 12, rank(1, 0), 104);
        assert_eq!(bell.first(7, 100 + CALLER_SILENCE_S_MAX, None).unwrap().queue, 11);
        assert_eq!(bell.first(7, 101 + CALLER_SILENCE_S_MAX, None).unwrap().queue, 12);
        bell.set(7, Owner(2), 12, None, 101 + CALLER_SILENCE_S_MAX);
        assert!(bell.is_empty());
    }

    #[test]
    fn the_register_is_bounded() {
        let mut bell = Bell::default();
        for account in 0..CALLERS_MAX as u64 {
            assert!(bell.set(account, Owner(1), 1, rank(1, 0), 0));
        }
        assert!(!bell.set(999, Owner(1), 1, rank(1, 0), 0));
        assert!(bell.set(3, Owner(1), 1, rank(2, 0), 0), "one that is there already can be changed");
        assert!(bell.set(3, Owner(1), 1, None, 0));
        assert!(bell.set(999, Owner(1), 1, rank(1, 0), 0));
    }

    proptest! {
        #[test]
        fn the_register_survives_the_bytes(
            rows in proptest::collection::vec((any::<u64>(), 0u16..=256, any::<u64>(), any::<u32>()), 0..20)
        ) {
            let mut bell = Bell::default();
            for (account, level, since_ns, owner) in rows {
                bell.set(account, Owner(owner), owner ^ 1, rank(level, since_ns), 3);
            }
            let mut bytes = vec![1];
            bell.encode(&mut bytes);
            prop_assert_eq!(Bell::decode(&bytes), bell.clone());
            prop_assert_eq!(bytes.is_empty(), bell.is_empty());
            for cut in 0..bytes.len() {
                prop_assert!(Bell::decode(&bytes[..cut]).0.len() <= bell.0.len());
            }
        }
    }
}
