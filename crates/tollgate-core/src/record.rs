//! One request's line in the books: its GUID and its tally.

use tollgate_wire::{Outcome, Tally, TokenCount, Warning};

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
    pub fn next(&mut self, now: Now) -> String {
        self.count = self.count.wrapping_add(1);
        let time = now.wall.millis() & 0xffff_ffff_ffff;
        let random = self.vm >> 32 & 0xfff;
        let tail = (self.vm & 0xffff_ffff) << 30 | u64::from(self.count & 0x3fff_ffff);
        format!(
            "{:08x}-{:04x}-7{random:03x}-{:04x}-{:012x}",
            time >> 16,
            time & 0xffff,
            0x8000 | tail >> 48 & 0x3fff,
            tail & 0xffff_ffff_ffff,
        )
    }
}

/// What else a tally says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// Status the client got.
    pub status: u16,
    /// The limit that refused it; empty if none did.
    pub refused_by: &'a str,
    /// The ceiling stands in for the model's price.
    pub unknown_price: bool,
}

/// The tally of a request.
pub fn tally(
    policy: &Policy,
    id: String,
    decided: Now,
    request: &Attributes<'_>,
    charged: &Charged,
    admission: Option<&Admission>,
    facts: Facts<'_>,
) -> Tally {
    let name = |id| policy.limit(id).map(|limit| limit.name.clone()).unwrap_or_default();
    let warnings = admission.into_iter().flat_map(|admission| {
        admission.warnings.iter().map(|(limit, percent)| Warning { limit: name(*limit), percent: *percent })
    });
    let billed = !matches!(charged.outcome, Outcome::Refused | Outcome::Error);
    Tally {
        id,
        at_ms: decided.wall.millis(),
        consumer: request.consumer.into(),
        team: request.team.into(),
        project: request.project.into(),
        tier: request.tier.into(),
        route: request.route.into(),
        policy: request.policy.into(),
        action: request.action.into(),
        workflow: request.workflow.into(),
        provider: request.provider.into(),
        model: request.model.into(),
        status: facts.status,
        outcome: charged.outcome,
        refused_by: facts.refused_by.into(),
        requests: 1,
        input: TokenCount(charged.tokens.input),
        cache_read: TokenCount(charged.tokens.cache_read),
        cache_write: TokenCount(charged.tokens.cache_write),
        output: TokenCount(charged.tokens.output),
        reasoning: charged.reasoning,
        cost_nusd: charged.amounts.cost,
        credits: charged.amounts.credits,
        price_version: if billed { policy.prices.version() } else { 0 },
        unknown_price: billed && facts.unknown_price,
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
        assert_eq!(first, "01a2008d-747b-7567-a26a-f37bc0000001");
        assert_eq!((first.len(), first.as_bytes()[14]), (36, b'7'));
        assert!(matches!(first.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
        let mut all: Vec<String> = (0..1000).flat_map(|_| [one.next(now), two.next(now)]).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 2000);
    }
}
