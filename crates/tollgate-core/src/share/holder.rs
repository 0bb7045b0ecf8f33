//! A share at its holder: the part of a rate that one Envoy process may use.

use tollgate_wire::{Claim, Share, WHOLE};

use crate::lease::{Pace, Terms, mul_div};
use crate::limit::{Bucket, Rate, Short};
use crate::time::Now;

use super::PARTS;

/// A claim that was not answered for so long is made again.
const PATIENCE_MS: u64 = 2_000;

/// After a claim that could not be sent or was not answered: the next one.
const RETRY_MS: u64 = 500;

/// That a request lacked something counts for so long.
const SHORT_MS: u64 = 1_000;

/// A share that was not used for so long is given back.
const IDLE_MS: u64 = 5_000;

/// A request that needs more at once than the share holds is kept in mind for so long beyond the wait it was told.
const NEED_MS: u64 = 5_000;

/// A share. All workers of an Envoy process share it. Milliseconds are monotonic, of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// Its identity. Random; a holder that lost its state begins with another.
    pub(super) life: u64,
    /// Number of the last claim.
    pub(super) seq: u32,
    /// Millionths of the rate.
    pub(super) share: u32,
    /// What its part of the bucket has.
    pub(super) bucket: Bucket,
    /// The share is over then.
    pub(super) until_ms: u64,
    /// Billionths of the burst that are to be given back with the next claim.
    pub(super) returned: u32,
    /// What the ledger was last told of the share.
    pub(super) told: u32,
    /// When the claim was made that has no answer yet, and when the first of those in a row; 0: all are answered.
    pub(super) asked_ms: u64,
    pub(super) unanswered_ms: u64,
    /// When to claim next.
    pub(super) again_ms: u64,
    /// Millionths of the burst that a request needs at once, and until when it is kept in mind.
    pub(super) need: u32,
    pub(super) need_until_ms: u64,
    /// The ledger is to give more as soon as it can.
    pub(super) more: bool,
    /// Until when it counts that a request lacked something, and whether the ledger knows.
    pub(super) short_until_ms: u64,
    pub(super) told_short: bool,
    /// When the last request came.
    pub(super) used_ms: u64,
    /// The ledger is away: the share is what the limit allows then.
    pub(super) alone: bool,
    /// What passed lately.
    pub(super) pace: Pace,
}

/// Why a share gives nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// More may come: the ledger has to be asked, or is.
    Wait,
    /// The rate is in use: there will be enough after so many nanoseconds.
    Used(u64),
    /// More than the whole rate lets through at once.
    Never,
    /// The ledger is away, and the terms allow nothing.
    Unreachable,
}

impl Holder {
    /// A share of nothing.
    pub fn new(life: u64) -> Self {
        Self { life, ..Self::default() }
    }

    /// Its identity.
    pub const fn life(&self) -> u64 {
        self.life
    }

    /// Millionths of the rate that it may use now.
    pub const fn share(&self, now_ms: u64) -> u32 {
        if self.is_over(now_ms) { 0 } else { self.share }
    }

    const fn is_over(&self, now_ms: u64) -> bool {
        !self.alone && now_ms >= self.until_ms
    }

    /// Takes `amount` now or after a wait of at most `wait_ns_max`, which is returned. `last`: the request has waited for
    /// the ledger as long as it may.
    ///
    /// # Errors
    /// [`Lack`], and nothing is taken.
    pub fn book(
        &mut self,
        now: Now,
        whole: &Rate,
        (amount, wait_ns_max): (u64, u64),
        terms: &Terms,
        last: bool,
    ) -> Result<u64, Lack> {
        if amount > whole.burst() {
            return Err(Lack::Never);
        }
        self.lapse(now.mono_ms());
        self.used_ms = now.mono_ms();
        if self.share == 0 && self.is_away(now.mono_ms(), terms) {
            self.go_alone(whole, terms);
        }
        let rate = whole.share(self.share);
        let short = match rate.map(|rate| self.bucket.book(&rate, now.mono_ns, amount, wait_ns_max)) {
            Some(Ok(wait_ns)) => {
                self.taken(now.mono_ms(), whole, amount);
                return Ok(wait_ns);
            }
            Some(Err(Short::Wait(wait_ns))) => Some(wait_ns),
            Some(Err(Short::Never)) | None => None,
        };
        self.lack(now.mono_ms(), whole, (amount, short), terms, last)
    }

    fn taken(&mut self, now_ms: u64, whole: &Rate, amount: u64) {
        self.pace.take(now_ms, amount);
        if needed(whole, amount) >= self.need {
            self.need = 0;
        }
    }

    fn lack(
        &mut self,
        now_ms: u64,
        whole: &Rate,
        (amount, short): (u64, Option<u64>),
        terms: &Terms,
        last: bool,
    ) -> Result<u64, Lack> {
        let soon_ms = self.again_ms.saturating_sub(now_ms).max(RETRY_MS);
        let wait_ns = short.unwrap_or(soon_ms * 1_000_000);
        self.need = self.need.max(needed(whole, amount));
        let wait_ms = short.unwrap_or_else(|| whole.fill_ns()) / 1_000_000;
        self.need_until_ms = self.need_until_ms.max(now_ms.saturating_add(wait_ms).saturating_add(NEED_MS));
        self.short_until_ms = now_ms.saturating_add(SHORT_MS);
        if self.share == 0 && self.is_away(now_ms, terms) {
            return Err(Lack::Unreachable);
        }
        let has_all = self.share == WHOLE;
        let was_told = self.told_short && self.asked_ms == 0 && now_ms < self.again_ms && !self.more;
        if last || has_all || was_told || self.is_away(now_ms, terms) {
            return Err(Lack::Used(wait_ns));
        }
        Err(Lack::Wait)
    }

    /// Charges what passes whatever there is.
    pub fn charge(&mut self, now: Now, whole: &Rate, amount: u64) {
        self.lapse(now.mono_ms());
        self.used_ms = now.mono_ms();
        self.pace.take(now.mono_ms(), amount);
        if let Some(rate) = whole.share(self.share) {
            self.bucket.charge(&rate, now.mono_ns, amount);
        }
    }

    /// Gives back what was taken and not used. What was taken from a share that is over is lost.
    pub fn refund(&mut self, now: Now, whole: &Rate, amount: u64) {
        self.lapse(now.mono_ms());
        self.pace.take_back(amount);
        if let Some(rate) = whole.share(self.share) {
            self.bucket.refund(&rate, amount);
        }
    }

    /// Units that could be taken now, and nanoseconds until the part of the bucket is full.
    pub fn standing(&self, now: Now, whole: &Rate) -> (u64, u64) {
        match whole.share(self.share(now.mono_ms())) {
            Some(rate) => {
                (self.bucket.remaining(&rate, now.mono_ns), self.bucket.full_in_ns(&rate, now.mono_ns))
            }
            None if self.seq == 0 => (whole.burst(), 0),
            None => (0, whole.fill_ns()),
        }
    }

    /// A share that is over is nothing, and what was in its bucket is lost.
    fn lapse(&mut self, now_ms: u64) {
        if self.share > 0 && self.is_over(now_ms) {
            self.drop_share();
        }
    }

    fn drop_share(&mut self) {
        (self.share, self.bucket, self.returned) = (0, Bucket::default(), 0);
        (self.told, self.more, self.told_short, self.alone) = (0, false, false, false);
    }

    /// True when the ledger has not answered for as long as a request may wait.
    const fn is_away(&self, now_ms: u64, terms: &Terms) -> bool {
        terms.is_away(self.unanswered_ms, now_ms)
    }

    /// What an Envoy may use by itself while the ledger is away: it comes on top, so it begins with a full bucket.
    fn go_alone(&mut self, whole: &Rate, terms: &Terms) {
        let share = mul_div(terms.allowance(), WHOLE.into(), whole.amount()).min(WHOLE.into());
        (self.share, self.alone) = (share as u32, share > 0);
    }

    /// True when there is something to say to the ledger.
    pub const fn is_due(&self, now_ms: u64) -> bool {
        if self.asked_ms > 0 && now_ms.saturating_sub(self.asked_ms) < PATIENCE_MS {
            return false;
        }
        let short = now_ms < self.short_until_ms;
        let shrank = self.told > self.share && !self.alone;
        let urgent = (short && !self.told_short) || self.returned > 0 || shrank;
        let asks = self.share > 0 || short || self.asked_ms > 0;
        (urgent && self.unanswered_ms == 0) || (asks && now_ms >= self.again_ms)
    }

    /// What is said to the ledger now.
    pub fn claim(&mut self, now: Now, whole: &Rate) -> Claim {
        let now_ms = now.mono_ms();
        self.lapse(now_ms);
        if now_ms >= self.need_until_ms {
            self.need = 0;
        }
        let short = now_ms < self.short_until_ms;
        let idle = now_ms.saturating_sub(self.used_ms) >= IDLE_MS;
        let leave = idle && !short && self.need == 0 && !self.alone;
        if leave {
            self.returned = self.returned.saturating_add(self.level(now, whole).max(0) as u32);
            (self.share, self.bucket) = (0, Bucket::default());
        }
        self.seq = self.seq.saturating_add(1);
        let holding = if self.alone { 0 } else { self.share };
        let demand =
            mul_div(self.pace.ahead(now_ms, whole.period_ns() / 1_000_000), WHOLE.into(), whole.amount());
        let claim = Claim {
            seq: self.seq,
            holding,
            returned: self.returned,
            demand: demand.min(u64::from(u32::MAX)) as u32,
            need: self.need,
            short,
            leave,
        };
        (self.returned, self.told, self.told_short) = (0, holding, short);
        self.asked_ms = now_ms.max(1);
        if self.unanswered_ms == 0 {
            self.unanswered_ms = self.asked_ms;
        }
        self.again_ms = now_ms.saturating_add(PATIENCE_MS);
        claim
    }

    /// Takes the answer to the claim of this number, which was made at `sent_ms`. One to an earlier claim is left alone.
    pub fn answered(&mut self, now: Now, whole: &Rate, (seq, sent_ms): (u32, u64), share: &Share) {
        if seq != self.seq || self.asked_ms == 0 {
            return;
        }
        let now_ms = now.mono_ms();
        (self.asked_ms, self.unanswered_ms) = (0, 0);
        if self.alone {
            self.drop_share();
        }
        self.lapse(now_ms);
        self.change(now, whole, share);
        self.until_ms = sent_ms.saturating_add(share.ttl_ms.into());
        self.again_ms = now_ms.saturating_add(share.again_ms.into());
        self.more = share.more;
        self.told = self.told.max(self.share);
    }

    /// Takes that there was no answer to the claim of this number.
    pub const fn failed(&mut self, now_ms: u64, seq: u32) {
        if seq == self.seq {
            self.asked_ms = 0;
            let away_ms = now_ms.saturating_sub(self.unanswered_ms);
            self.again_ms = now_ms.saturating_add(if away_ms < PATIENCE_MS { RETRY_MS } else { PATIENCE_MS });
        }
    }

    /// Fits the bucket to another share, with what comes into it.
    fn change(&mut self, now: Now, whole: &Rate, new: &Share) {
        let share = new.share.min(WHOLE);
        let depth = i128::from(share) * i128::from(PARTS);
        let level = self.level(now, whole) + i128::from(new.level);
        let kept = level.min(depth);
        let surplus = (level - kept).max(0);
        self.returned = self.returned.saturating_add(u32::try_from(surplus).unwrap_or(u32::MAX));
        let fill_ns = i128::from(whole.fill_ns());
        // Rounded up: a bucket is rather a nanosecond later full than one earlier.
        let owed = if depth > 0 { fill_ns - (kept * fill_ns).div_euclid(depth) } else { 0 };
        self.bucket = Bucket::full_after(now.mono_ns, u64::try_from(owed).unwrap_or(u64::MAX));
        self.share = share;
    }

    /// Billionths of the burst in the bucket, rounded down; less than nothing when it is in debt.
    fn level(&self, now: Now, whole: &Rate) -> i128 {
        let Some(rate) = whole.share(self.share) else { return 0 };
        let depth = i128::from(self.share) * i128::from(PARTS);
        let owed_ns = i128::from(self.bucket.full_in_ns(&rate, now.mono_ns));
        let fill_ns = i128::from(whole.fill_ns()).max(1);
        (depth * (fill_ns - owed_ns)).div_euclid(fill_ns)
    }

    /// True when forgetting the share changes nothing: there is none, nothing to say, and nobody asks.
    pub const fn at_rest(&self, mono_ns: u64) -> bool {
        let mono_ms = mono_ns / 1_000_000;
        let idle = self.returned == 0 && self.asked_ms == 0 && mono_ms >= self.short_until_ms;
        if self.alone {
            return idle && self.bucket.at_rest(mono_ns);
        }
        idle && self.share(mono_ms) == 0 && mono_ms >= self.again_ms
    }
}

/// Millionths of the burst that hold so many units, rounded up.
fn needed(whole: &Rate, amount: u64) -> u32 {
    let needed = u128::from(amount) * u128::from(WHOLE);
    needed.div_ceil(u128::from(whole.burst().max(1))).min(u128::from(WHOLE)) as u32
}
