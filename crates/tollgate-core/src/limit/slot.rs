//! A slot: one value of shared data, in which the accounts of many consumers stand side by side.
//!
//! Shared data can't delete keys and stalls every worker when it grows, so the key space is fixed and each key holds
//! many entries. What one request touches together stands together: an account has all cells of one consumer.
//!
//! Layout: version (u16), then accounts, the last written first: key (u64), length (u16), cells.

use core::cmp::Reverse;
use core::ops::Range;

use super::cell::{Cell, Share, State};
use super::codec::{Reader, Writer};

/// First bytes of every slot. A slot of another layout is read as empty: a new layout takes a new number.
const LAYOUT: u16 = 0x7411;

/// A slot never grows beyond this. Twice what it is meant to hold: consumers are spread by a hash, hence unevenly, and
/// the chance that one of sixteen on average has 32 is one in ten thousand.
pub const SLOT_BYTES_MAX: usize = 4096;

/// What an eviction brings a full slot down to, so that the next writes do not evict again.
const SLOT_BYTES_AFTER_EVICTION: usize = SLOT_BYTES_MAX * 3 / 4;

/// One account never grows beyond this: about 120 cells. The last used stay.
pub const ACCOUNT_BYTES_MAX: usize = 2048;

const LAYOUT_BYTES: usize = 2;
const ACCOUNT_HEADER_BYTES: usize = 10;

/// One account's place in a slot.
#[derive(Clone)]
struct Account<'a> {
    key: u64,
    cells: &'a [u8],
    /// Where it stands, header and all.
    at: Range<usize>,
}

impl Account<'_> {
    fn cells(&self) -> impl Iterator<Item = Cell> {
        cells(self.cells)
    }

    fn at_rest(&self, (mono_ns, wall_s): (u64, u32)) -> bool {
        self.cells().all(|cell| cell.at_rest(mono_ns, wall_s))
    }
}

/// The accounts in a slot's bytes. Stops at the first that is damaged.
struct Accounts<'a> {
    rest: Reader<'a>,
    at: usize,
}

impl<'a> Iterator for Accounts<'a> {
    type Item = Account<'a>;

    fn next(&mut self) -> Option<Account<'a>> {
        let key = self.rest.u64()?;
        let length = usize::from(self.rest.u16()?);
        let cells = self.rest.bytes(length)?;
        let start = self.at;
        self.at += ACCOUNT_HEADER_BYTES + length;
        Some(Account { key, cells, at: start..self.at })
    }
}

fn accounts(slot: &[u8]) -> Accounts<'_> {
    let mut rest = Reader(slot);
    if rest.u16() != Some(LAYOUT) {
        rest = Reader(&[]);
    }
    Accounts { rest, at: LAYOUT_BYTES }
}

fn cells(bytes: &[u8]) -> impl Iterator<Item = Cell> {
    let mut reader = Reader(bytes);
    core::iter::from_fn(move || Cell::read(&mut reader))
}

/// Reads the cells of an account into `into`, which is emptied first. O(accounts in the slot).
pub fn read(slot: &[u8], key: u64, into: &mut Vec<Cell>) {
    into.clear();
    if let Some(account) = accounts(slot).find(|account| account.key == key) {
        into.extend(account.cells());
    }
}

/// The accounts of a slot that have leases or shares. O(cells in the slot).
pub fn accounts_with_leases(slot: &[u8]) -> impl Iterator<Item = u64> {
    let leases = |cell: Cell| matches!(cell.state, State::Leased(_) | State::Shared(_));
    accounts(slot).filter(move |account| account.cells().any(leases)).map(|account| account.key)
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
/// out; an account with no cell left takes no room.
pub fn write(slot: &[u8], key: u64, new: &[Cell], at: (u64, u32), out: &mut Vec<u8>) -> Evicted {
    let mut evicted = Evicted::default();
    out.clear();
    out.reserve(slot.len() + 128);
    Writer(out).u16(LAYOUT);
    evicted.cells = append(key, new, at, out);
    let own = out.len();
    // One other account is looked at, another one each time: so those at rest go sooner or later, at no one's expense.
    let look_at = at.0 as usize % slot.len().max(1);
    let (mut copied, mut end) = (LAYOUT_BYTES, LAYOUT_BYTES);
    for account in accounts(slot) {
        let looked_at = account.at.contains(&look_at);
        if account.key == key || (looked_at && account.at_rest(at)) {
            out.extend_from_slice(slot.get(copied..account.at.start).unwrap_or_default());
            copied = account.at.end;
        }
        end = account.at.end;
    }
    out.extend_from_slice(slot.get(copied..end).unwrap_or_default());
    if out.len() > SLOT_BYTES_MAX {
        evicted.accounts = evict(out, own, at);
    }
    evicted
}

/// Appends the account and returns how many of its cells had to be forgotten.
fn append(key: u64, new: &[Cell], (mono_ns, wall_s): (u64, u32), out: &mut Vec<u8>) -> u32 {
    let start = out.len();
    let mut writer = Writer(out);
    writer.u64(key);
    writer.u16(0);
    for cell in new.iter().filter(|cell| !cell.at_rest(mono_ns, wall_s)) {
        cell.write(&mut writer);
    }
    let body = start + ACCOUNT_HEADER_BYTES;
    // The last are the last used: an account that outgrows its bound forgets the first.
    let (mut excess, mut gone) = ((out.len() - body).saturating_sub(ACCOUNT_BYTES_MAX), 0);
    if excess > 0 {
        let mut reader = Reader(out.get(body..).unwrap_or_default());
        let length = reader.0.len();
        while length - reader.0.len() < excess && Cell::read(&mut reader).is_some() {
            gone += 1;
        }
        excess = length - reader.0.len();
        out.drain(body..body + excess);
    }
    let length = (out.len() - body) as u16;
    if length == 0 {
        out.truncate(start);
    } else if let Some(field) = out.get_mut(body - 2..body) {
        field.copy_from_slice(&length.to_le_bytes());
    }
    gone
}

/// What an account loses if it is forgotten: the largest goes last.
///
/// A consumer that is near a limit would begin anew, so it stays before all others; next come those with requests in
/// flight. Among equals the older stays. A flood of new keys has used little of its limits and is younger: it evicts
/// itself.
fn worth(account: &Account<'_>) -> (bool, bool, Share) {
    let (mut held, mut share) = (false, Share::default());
    for cell in account.cells() {
        held |= cell.has_holds();
        if !matches!(cell.state, State::InFlight(_) | State::Gauge(_)) {
            share = share.max(cell.share);
        }
    }
    (share >= Share::NEAR, held, share)
}

/// Shrinks a slot that is too large: accounts at rest go first, then those worth least. The first `own` bytes stay.
/// Returns how many accounts went that were not at rest.
fn evict(slot: &mut Vec<u8>, own: usize, at: (u64, u32)) -> u32 {
    let others = slot.split_off(own);
    let others = Accounts { rest: Reader(&others), at: 0 };
    let awake: Vec<Account<'_>> = others.filter(|account| !account.at_rest(at)).collect();
    let mut ranked: Vec<&Account<'_>> = awake.iter().rev().collect();
    ranked.sort_by_cached_key(|account| Reverse(worth(account)));
    let room = SLOT_BYTES_AFTER_EVICTION.saturating_sub(own);
    // The first that does not fit ends it: nothing of less worth stays in its place.
    let fitting = ranked.iter().scan(0, |bytes, account| {
        *bytes += account.at.len();
        (*bytes <= room).then_some(account.at.start)
    });
    let kept: Vec<usize> = fitting.collect();
    let mut gone = 0;
    for account in awake {
        if kept.contains(&account.at.start) {
            let mut writer = Writer(slot);
            writer.u64(account.key);
            writer.u16(account.cells.len() as u16);
            slot.extend_from_slice(account.cells);
        } else {
            gone += 1;
        }
    }
    gone
}

#[cfg(test)]
mod tests;
