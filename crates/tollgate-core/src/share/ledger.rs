//! The ledger's side: who has which part of a rate, and what is in the bucket of the rest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tollgate_wire::{Claim, Share, WHOLE};

use super::PARTS;
use super::divide::{Wanted, divide};

/// How long a share may be used after it was asked for, in milliseconds: after so long others have what an Envoy that
/// is gone had, but for [`MARGIN_MS`].
pub const TTL_MS: u32 = 10_000;

/// So much longer the books keep it, in milliseconds: the clocks of two ledger nodes may differ by as much.
pub const MARGIN_MS: u64 = 5_000;

/// Most holders of one rate. More are refused: a hundred Envoys that all began anew three times within a share's time.
pub const HOLDERS_MAX: usize = 300;

/// When to claim again: whose share is still to grow, who shares with others, who is alone.
const AGAIN_GROWING_MS: u32 = 200;
const AGAIN_AMONG_MS: u32 = 1_000;
const AGAIN_ALONE_MS: u32 = 2_000;

/// One rate in the books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    /// Billionths of the burst in the bucket that nobody has.
    level: u32,
    /// When that was so.
    at_ms: u64,
    /// Who has a part.
    holders: BTreeMap<String, Row>,
}

/// One holder in the books.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    seq: u32,
    /// Millionths: the larger of what it uses and what it was offered.
    share: u32,
    demand: u32,
    short: bool,
    need: u32,
    need_since_ms: u64,
    expires_ms: u64,
}

impl Row {
    const fn wanted(&self) -> Wanted {
        Wanted { demand: self.demand, short: self.short, need: self.need, need_since_ms: self.need_since_ms }
    }
}

impl Book {
    /// A rate that nobody has used: its bucket is full.
    pub const fn new(now_ms: u64) -> Self {
        Self { level: WHOLE * PARTS, at_ms: now_ms, holders: BTreeMap::new() }
    }

    /// When it is as new if nobody claims before: then it may be forgotten.
    pub fn rests_at_ms(&self, fill_ms: u64) -> u64 {
        let last_ms = self.holders.values().map(|row| row.expires_ms).max().unwrap_or(0);
        last_ms.max(self.at_ms).saturating_add(fill_ms)
    }

    /// Millionths of the rate that are given away, and to how many.
    pub fn given(&self) -> (u32, usize) {
        let sum: u64 = self.holders.values().map(|row| u64::from(row.share)).sum();
        (u32::try_from(sum).unwrap_or(u32::MAX), self.holders.len())
    }

    /// Takes what a holder says into the books, and gives it its part. None when it was said too late, or by too many.
    /// O(n log n) in the holders.
    pub fn step(&mut self, holder: &str, claim: &Claim, fill_ms: u64, now_ms: u64) -> Option<Share> {
        let now_ms = now_ms.max(self.at_ms);
        self.advance(fill_ms.max(1), now_ms);
        let known = self.holders.get(holder).cloned();
        if known.as_ref().map_or(self.holders.len() >= HOLDERS_MAX, |row| claim.seq <= row.seq) {
            return None;
        }
        let is_new = known.is_none();
        let old = self.holders.insert(holder.to_owned(), row_of(claim, known, now_ms)).unwrap_or_default();
        let given_back = old.share.saturating_sub(claim.holding).saturating_mul(PARTS);
        self.level = self.level.saturating_add(claim.returned.min(given_back)).min(self.rest() * PARTS);
        if claim.leave {
            self.holders.remove(holder);
            return Some(Share { ttl_ms: TTL_MS, again_ms: AGAIN_ALONE_MS, ..Share::default() });
        }
        let target = self.target(holder);
        let share = match target.checked_sub(claim.holding) {
            Some(lacking) => claim.holding + self.growth(lacking, claim, is_new),
            None => target,
        };
        let level = self.level.min(share.saturating_sub(claim.holding).saturating_mul(PARTS));
        self.level -= level;
        if let Some(row) = self.holders.get_mut(holder) {
            row.share = row.share.max(share);
        }
        self.level = self.level.min(self.rest() * PARTS);
        let more = share < target;
        let again_ms = match (more, self.holders.len()) {
            (true, _) => AGAIN_GROWING_MS,
            (false, 1) => AGAIN_ALONE_MS,
            (false, _) => AGAIN_AMONG_MS,
        };
        Some(Share { share, level, more, ttl_ms: TTL_MS, again_ms })
    }

    /// Fills the bucket of the rest, which grows as shares run out.
    fn advance(&mut self, fill_ms: u64, now_ms: u64) {
        loop {
            let next = self.holders.iter().min_by_key(|(_, row)| row.expires_ms);
            let over = next.filter(|(_, row)| row.expires_ms <= now_ms);
            let Some((holder, expires_ms)) = over.map(|(holder, row)| (holder.clone(), row.expires_ms))
            else {
                return self.fill(fill_ms, now_ms);
            };
            self.fill(fill_ms, expires_ms);
            self.holders.remove(&holder);
        }
    }

    fn fill(&mut self, fill_ms: u64, until_ms: u64) {
        let depth = self.rest() * PARTS;
        let gained =
            u128::from(depth) * u128::from(until_ms.saturating_sub(self.at_ms)) / u128::from(fill_ms);
        self.level = self.level.saturating_add(u32::try_from(gained).unwrap_or(u32::MAX)).min(depth);
        self.at_ms = self.at_ms.max(until_ms);
    }

    /// Millionths that nobody has.
    fn rest(&self) -> u32 {
        WHOLE.saturating_sub(self.given().0)
    }

    fn target(&self, holder: &str) -> u32 {
        let all: Vec<Wanted> = self.holders.values().map(Row::wanted).collect();
        let at = self.holders.keys().position(|name| name == holder);
        at.and_then(|at| divide(&all).get(at).copied()).unwrap_or_default()
    }

    /// What of the lacking part is there. Of what is there a newcomer leaves half to the next, if that is enough for its
    /// first request.
    fn growth(&self, lacking: u32, claim: &Claim, is_new: bool) -> u32 {
        let free = self.rest();
        let most = if is_new && self.holders.len() > 1 { (free / 2).max(claim.need) } else { free };
        lacking.min(most).min(free)
    }
}

/// A holder as it is after its claim, before it is given anything.
fn row_of(claim: &Claim, known: Option<Row>, now_ms: u64) -> Row {
    let waits = known.filter(|row| row.need > 0 && claim.need > 0);
    Row {
        seq: claim.seq,
        share: claim.holding.min(WHOLE),
        demand: claim.demand,
        short: claim.short,
        need: claim.need.min(WHOLE),
        need_since_ms: waits.map_or(now_ms, |row| row.need_since_ms),
        expires_ms: now_ms.saturating_add(u64::from(TTL_MS)).saturating_add(MARGIN_MS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILL_MS: u64 = 10_000;

    fn claim(seq: u32, holding: u32) -> Claim {
        Claim { seq, holding, short: true, ..Claim::default() }
    }

    fn share(book: &mut Book, holder: &str, claim: Claim, now_ms: u64) -> (u32, u32, bool) {
        let share = book.step(holder, &claim, FILL_MS, now_ms).unwrap();
        (share.share, share.level, share.more)
    }

    #[test]
    fn the_first_gets_all_with_a_full_bucket() {
        let mut book = Book::new(0);
        assert_eq!(share(&mut book, "a", claim(1, 0), 0), (WHOLE, 1_000_000_000, false));
    }

    #[test]
    fn the_second_gets_nothing_before_the_first_has_given_it_back() {
        let mut book = Book::new(0);
        share(&mut book, "a", claim(1, 0), 0);
        assert_eq!(share(&mut book, "b", claim(1, 0), 0), (0, 0, true));
        assert_eq!(share(&mut book, "a", claim(2, WHOLE), 1), (500_000, 0, false));
        assert_eq!(share(&mut book, "b", claim(2, 0), 2), (0, 0, true));
        let told = Claim { returned: 300_000_000, ..claim(3, 500_000) };
        assert_eq!(share(&mut book, "a", told, 3), (500_000, 0, false));
        assert_eq!(share(&mut book, "b", claim(3, 0), 3), (500_000, 300_000_000, false));
    }

    #[test]
    fn a_claim_that_comes_late_or_twice_is_left_alone() {
        let mut book = Book::new(0);
        share(&mut book, "a", claim(2, 0), 0);
        let before = book.clone();
        assert_eq!(book.step("a", &claim(1, 0), FILL_MS, 0), None);
        assert_eq!(book.step("a", &claim(2, 0), FILL_MS, 0), None);
        assert_eq!(book, before);
    }

    #[test]
    fn who_is_gone_keeps_its_part_until_its_time_is_over_and_what_it_had_in_its_bucket_for_good() {
        let mut book = Book::new(0);
        share(&mut book, "a", claim(1, 0), 0);
        let over_ms = u64::from(TTL_MS) + MARGIN_MS;
        assert_eq!(share(&mut book, "b", claim(1, 0), over_ms - 1), (0, 0, true));
        assert_eq!(share(&mut book, "b", claim(2, 0), over_ms), (WHOLE, 0, false));
        let mut book = Book::new(0);
        share(&mut book, "a", claim(1, 0), 0);
        let (_, level, _) = share(&mut book, "b", claim(1, 0), over_ms + FILL_MS / 2);
        assert_eq!(level, 500_000_000);
    }

    #[test]
    fn nobody_gives_back_more_than_fitted_the_part_it_gave_back() {
        let mut book = Book::new(0);
        share(&mut book, "a", claim(1, 0), 0);
        share(&mut book, "b", claim(1, 0), 0);
        share(&mut book, "a", claim(2, WHOLE), 0);
        let lie = Claim { returned: u32::MAX, ..claim(3, 500_000) };
        share(&mut book, "a", lie, 0);
        assert_eq!(share(&mut book, "b", claim(2, 0), 0), (500_000, 500_000_000, false));
    }

    #[test]
    fn who_leaves_gives_all_back() {
        let mut book = Book::new(0);
        share(&mut book, "a", claim(1, 0), 0);
        let leave = Claim { seq: 2, returned: 900_000_000, leave: true, ..Claim::default() };
        assert_eq!(share(&mut book, "a", leave, 0), (0, 0, false));
        assert_eq!(book.given(), (0, 0));
        assert_eq!(share(&mut book, "b", claim(1, 0), 0), (WHOLE, 900_000_000, false));
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut book = Book::new(0);
        for number in 0..HOLDERS_MAX {
            assert!(book.step(&number.to_string(), &claim(1, 0), FILL_MS, 0).is_some());
        }
        assert_eq!(book.step("x", &claim(1, 0), FILL_MS, 0), None);
        assert!(book.given().0 <= WHOLE);
    }

    #[test]
    fn a_clock_that_steps_back_leaves_everything_as_it_is() {
        let mut book = Book::new(50_000);
        share(&mut book, "a", claim(1, 0), 50_000);
        assert_eq!(share(&mut book, "b", claim(1, 0), 0), (0, 0, true));
        assert_eq!(book.rests_at_ms(FILL_MS), 50_000 + u64::from(TTL_MS) + MARGIN_MS + FILL_MS);
    }
}
