//! One request's line in the books: its GUID and its tally.

use tollgate_wire::{Outcome, TallyOf, TokenCount, Warning};

use crate::billing::Charged;
use crate::limiter::Admission;
use crate::policy::{Attributes, Policy};
use crate::time::Now;

/// Makes GUIDs: UUIDs of version 7 (RFC 9562), unique by the random bits of the VM and its counter.
#[derive(Debug)]
pub struct Guids {
    vm: u64,
    count: u32,
}

impl Guids {
    /// `vm` is random and never used by another VM.
    pub const fn new(vm: u64) -> Self {
        Self { vm, count: 0 }
    }

    /// The next one. 2^30 of a VM in one millisecond are distinct.
    pub fn next(&mut self, now: Now) -> Guid {
        self.count = self.count.wrapping_add(1);
        let time = now.wall.millis() & 0xffff_ffff_ffff;
        let random = self.vm >> 32 & 0xfff;
        let tail = (self.vm & 0xffff_ffff) << 30 | u64::from(self.count & 0x3fff_ffff);
        Guid::new(time << 16 | 7 << 12 | random, 1 << 63 | tail)
    }
}

/// A GUID in its written form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guid([u8; 36]);

impl Guid {
    /// Writes 128 bits as 8-4-4-4-12 hexadecimal digits.
    fn new(high: u64, low: u64) -> Self {
        let mut text = [b'-'; 36];
        let bits = u128::from(high) << 64 | u128::from(low);
        let digits = text.iter_mut().enumerate().filter(|(at, _)| !matches!(at, 8 | 13 | 18 | 23));
        for ((_, digit), nth) in digits.zip((0..32u32).rev()) {
            let nibble = (bits >> (4 * nth)) as u8 & 0xf;
            *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        }
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// What else a tally says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// Status the client got.
    pub status: u16,
    /// The limit that refused it; empty if none did.
    pub refused_by: &'a str,
    /// No limit applied to it, by an operator's decision.
    pub exempt: bool,
}

/// The tally of a request.
pub fn tally<'a>(
    policy: &Policy,
    id: &'a Guid,
    decided: Now,
    request: &Attributes<'a>,
    charged: &Charged,
    admission: Option<&Admission>,
    facts: Facts<'a>,
) -> TallyOf<&'a str> {
    let name = |id| policy.limit(id).map(|limit| limit.name.clone()).unwrap_or_default();
    let warnings = admission.into_iter().flat_map(|admission| {
        admission.warnings.iter().map(|(limit, percent)| Warning { limit: name(*limit), percent: *percent })
    });
    let failed = matches!(charged.outcome, Outcome::Refused | Outcome::Error);
    let billed = !failed || !charged.amounts.cost.is_zero();
    TallyOf {
        id: id.as_str(),
        at_ms: decided.wall.millis(),
        consumer: request.consumer,
        team: request.team,
        project: request.project,
        tier: request.tier,
        route: request.route,
        policy: request.policy,
        action: request.action,
        workflow: request.workflow,
        provider: request.provider,
        model: request.model,
        tool: request.tool,
        interface: request.interface,
        region: request.region,
        status: facts.status,
        outcome: charged.outcome,
        refused_by: facts.refused_by,
        requests: 1,
        input: TokenCount(charged.tokens.input),
        cache_read: TokenCount(charged.tokens.cache_read),
        cache_write: TokenCount(charged.tokens.cache_write),
        output: TokenCount(charged.tokens.output),
        reasoning: charged.reasoning,
        cost_nusd: charged.amounts.cost,
        credits: charged.amounts.credits,
        price_version: if billed { policy.prices.version() } else { 0 },
        unknown_price: billed && charged.unknown_price,
        exempt: facts.exempt,
        warnings: warnings.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_wire::UnixNanos;

    #[test]
    fn guids_are_version_7_and_do_not_repeat() {
        let now = Now { mono_ns: 0, wall: UnixNanos(1_795_305_600_123_000_000) };
        let (mut one, mut two) = (Guids::new(0x0123_4567_89ab_cdef), Guids::new(0x0123_4567_89ab_cdf0));
        let first = one.next(now);
        let first = first.as_str();
        assert_eq!(first, "01a2008d-747b-7567-a26a-f37bc0000001");
        assert_eq!((first.len(), first.as_bytes()[14]), (36, b'7'));
        assert!(matches!(first.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
        let mut all: Vec<String> = (0..1000)
            .flat_map(|_| [one.next(now), two.next(now)])
            .map(|guid| guid.as_str().to_owned())
            .collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 2000);
    }
}
