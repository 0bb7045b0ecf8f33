//! A slot: one value of shared data, in which the accounts of many consumers stand side by side.
//!
//! Shared data can't delete keys and stalls every worker when it grows, so the key space is fixed and each key holds
//! many entries. What one request touches together stands together: an account has all cells of one consumer.
//!
//! Layout: version (u16), then accounts: key (u64), fullness (u8), length (u16), cells.

use super::cell::Cell;
use super::codec::{Reader, Writer};

/// First bytes of every slot. A slot of another layout is read as empty: a new layout takes a new number.
const LAYOUT: u16 = 0x7401;

/// A slot never grows beyond this: about twice what reading costs little more than 64 bytes.
pub const SLOT_BYTES_MAX: usize = 4096;

/// What an eviction brings a full slot down to, so that the next writes do not evict again.
const SLOT_BYTES_AFTER_EVICTION: usize = SLOT_BYTES_MAX * 3 / 4;

/// One account never grows beyond this: about 80 cells. Cells at rest go first, then the oldest.
pub const ACCOUNT_BYTES_MAX: usize = 2048;

const ACCOUNT_HEADER_BYTES: usize = 11;

/// How much of its tightest limit an account had used when it was last admitted, 0 (nothing) to 254. The least used
/// account is evicted first: flooding a slot with new keys evicts the flood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fullness(pub u8);

impl Fullness {
    /// `used` of `limit` units.
    pub fn of(used: u64, limit: u64) -> Self {
        let share = u128::from(used.min(limit)) * 254 / u128::from(limit.max(1));
        Self(share as u8)
    }
}

struct Account<'a> {
    key: u64,
    fullness: Fullness,
    cells: &'a [u8],
    whole: &'a [u8],
}

/// The accounts in a slot's bytes. Stops at the first that is damaged.
struct Accounts<'a>(&'a [u8]);

impl<'a> Iterator for Accounts<'a> {
    type Item = Account<'a>;

    fn next(&mut self) -> Option<Account<'a>> {
        let mut reader = Reader(self.0);
        let key = reader.u64()?;
        let fullness = Fullness(reader.u8()?);
        let length = usize::from(reader.u16()?);
        let cells = reader.bytes(length)?;
        let (whole, rest) = self.0.split_at_checked(ACCOUNT_HEADER_BYTES + length)?;
        self.0 = rest;
        Some(Account { key, fullness, cells, whole })
    }
}

fn accounts(slot: &[u8]) -> Accounts<'_> {
    let mut reader = Reader(slot);
    match reader.u16() {
        Some(LAYOUT) => Accounts(reader.0),
        _ => Accounts(&[]),
    }
}

fn cells(bytes: &[u8]) -> impl Iterator<Item = Cell> {
    let mut reader = Reader(bytes);
    core::iter::from_fn(move || Cell::read(&mut reader))
}

/// Reads the cells of an account into `into`, which is emptied first. O(accounts in the slot).
pub fn read(slot: &[u8], key: u64, into: &mut Vec<Cell>) -> Fullness {
    into.clear();
    let Some(account) = accounts(slot).find(|account| account.key == key) else {
        return Fullness::default();
    };
    // The smallest cell has six bytes; most have about twenty.
    into.reserve(account.cells.len() / 16);
    into.extend(cells(account.cells));
    account.fullness
}

/// What a write had to forget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Accounts that still meant something.
    pub accounts: u32,
    /// Cells of the written account that still meant something.
    pub cells: u32,
}

/// Writes the slot with the account's new cells to `out`, which is emptied first. Cells and accounts at rest are left
/// out where room is needed; an account with no cell left takes none.
pub fn write(
    slot: &[u8],
    key: u64,
    new: &[Cell],
    fullness: Fullness,
    at: (u64, u32),
    out: &mut Vec<u8>,
) -> Evicted {
    let mut evicted = Evicted::default();
    out.clear();
    out.reserve(slot.len() + 128);
    Writer(out).u16(LAYOUT);
    append(key, new, fullness, at, out, &mut evicted);
    let own = out.len();
    for account in accounts(slot).filter(|account| account.key != key) {
        out.extend_from_slice(account.whole);
    }
    if out.len() > SLOT_BYTES_MAX {
        evicted.accounts = evict(out, own, at);
    }
    evicted
}

fn append(
    key: u64,
    new: &[Cell],
    fullness: Fullness,
    (mono_ns, wall_s): (u64, u32),
    out: &mut Vec<u8>,
    evicted: &mut Evicted,
) {
    let start = out.len();
    let mut writer = Writer(out);
    writer.u64(key);
    writer.u8(fullness.0);
    writer.u16(0);
    let body = start + ACCOUNT_HEADER_BYTES;
    let awake = || new.iter().filter(|cell| !cell.at_rest(mono_ns, wall_s));
    // The last are the last used: an account that outgrows its bound forgets the first.
    let mut excess = awake().map(Cell::bytes).sum::<usize>().saturating_sub(ACCOUNT_BYTES_MAX);
    for cell in awake() {
        if excess > 0 {
            excess = excess.saturating_sub(cell.bytes());
            evicted.cells += 1;
        } else {
            cell.write(&mut Writer(out));
        }
    }
    let length = (out.len() - body) as u16;
    if length == 0 {
        out.truncate(start);
    } else if let Some(field) = out.get_mut(body - 2..body) {
        field.copy_from_slice(&length.to_le_bytes());
    }
}

/// Shrinks a slot that is too large: accounts at rest go first, then the least used, those with requests in flight
/// last. The first `own` bytes stay.
/// Returns how many accounts went that were not at rest.
fn evict(slot: &mut Vec<u8>, own: usize, (mono_ns, wall_s): (u64, u32)) -> u32 {
    let others = slot.split_off(own);
    let mut awake: Vec<Account<'_>> = Accounts(&others)
        .filter(|account| cells(account.cells).any(|cell| !cell.at_rest(mono_ns, wall_s)))
        .collect();
    awake.sort_by_cached_key(|account| {
        core::cmp::Reverse((cells(account.cells).any(|cell| cell.has_holds()), account.fullness))
    });
    let mut gone = 0;
    for account in awake {
        if slot.len() + account.whole.len() <= SLOT_BYTES_AFTER_EVICTION {
            slot.extend_from_slice(account.whole);
        } else {
            gone += 1;
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::super::bucket::Bucket;
    use super::super::cell::{Holds, Owner, State};
    use super::*;

    fn busy(id: u32) -> Cell {
        Cell { id, grace_until_s: 0, state: State::Bucket(Bucket { tat_ns: 1_000, tat_ticks: 0 }) }
    }

    fn put(slot: &[u8], key: u64, cells: &[Cell], fullness: u8, mono_ns: u64) -> (Vec<u8>, Evicted) {
        let mut out = Vec::new();
        let evicted = write(slot, key, cells, Fullness(fullness), (mono_ns, 0), &mut out);
        (out, evicted)
    }

    fn get(slot: &[u8], key: u64) -> Vec<Cell> {
        let mut cells = Vec::new();
        read(slot, key, &mut cells);
        cells
    }

    #[test]
    fn accounts_do_not_disturb_each_other() {
        let (slot, _) = put(&[], 1, &[busy(10), busy(11)], 1, 0);
        let (slot, _) = put(&slot, 2, &[busy(20)], 1, 0);
        let (slot, _) = put(&slot, 1, &[busy(12)], 1, 0);
        assert_eq!((get(&slot, 1), get(&slot, 2), get(&slot, 3)), (vec![busy(12)], vec![busy(20)], vec![]));
    }

    #[test]
    fn an_account_at_rest_takes_no_room() {
        let (slot, _) = put(&[], 1, &[busy(10)], 1, 0);
        let (slot, _) = put(&slot, 1, &[busy(10)], 1, 2_000);
        assert_eq!(slot.len(), 2);
    }

    #[test]
    fn a_full_slot_forgets_the_resting_then_the_least_used_and_counts_them() {
        let mut slot = Vec::new();
        let mut gone = 0;
        for key in 0..500u64 {
            let used = if key < 20 { 200 } else { 1 };
            let evicted;
            (slot, evicted) = put(&slot, key, &[busy(1), busy(2)], used, 0);
            gone += evicted.accounts;
            assert!(slot.len() <= SLOT_BYTES_MAX);
        }
        assert!(gone > 300);
        assert!((0..20).all(|key| !get(&slot, key).is_empty()), "the well used stay");
        let (slot, evicted) = put(&slot, 1000, &[busy(1)], 0, 2_000);
        assert_eq!(evicted.accounts, 0, "at rest, nothing is lost");
        assert!(slot.len() <= SLOT_BYTES_MAX);
    }

    #[test]
    fn an_account_is_bounded() {
        let many: Vec<Cell> = (0..200).map(busy).collect();
        let (slot, evicted) = put(&[], 1, &many, 1, 0);
        assert!(slot.len() <= ACCOUNT_BYTES_MAX + ACCOUNT_HEADER_BYTES + 2);
        assert_eq!(get(&slot, 1).last(), Some(&busy(199)), "the last used stay");
        assert_eq!(get(&slot, 1).len() + evicted.cells as usize, 200);
    }

    #[test]
    fn damaged_and_foreign_bytes_read_as_empty_or_less_and_never_panic() {
        let mut holds = Holds::default();
        assert!(holds.add(Owner(1), 2));
        let (slot, _) =
            put(&[], 1, &[busy(1), Cell { id: 2, grace_until_s: 0, state: State::InFlight(holds) }], 1, 0);
        for length in 0..slot.len() {
            let _ = get(&slot[..length], 1);
        }
        for position in 0..slot.len() {
            let mut damaged = slot.clone();
            damaged[position] ^= 0xff;
            let _ = get(&damaged, 1);
            let (again, _) = put(&damaged, 2, &[busy(5)], 1, 0);
            assert_eq!(get(&again, 2), vec![busy(5)]);
        }
    }

    #[test]
    fn five_limits_of_one_key_take_at_most_128_bytes() {
        use super::super::cell::Usage;
        let quota = |id| Cell {
            id,
            grace_until_s: 0,
            state: State::Quota(Usage {
                used: 1,
                window: super::super::Window { start_s: 0, end_s: 9 },
                ..Usage::default()
            }),
        };
        let (slot, _) = put(&[], 1, &[busy(1), busy(2), quota(3), quota(4), quota(5)], 1, 0);
        assert!(slot.len() - 2 <= 128, "{}", slot.len());
    }
}
