//! Deciding: every limit that matches takes its share, or none does.

use crate::policy::config::Violation;
use crate::policy::{Attributes, Kind, LimitId, Policy};
use crate::store::{Expected, SharedStore};
use crate::time::Now;

use super::plan::{self, Charge};
use super::take::Taken;
use super::{Admission, Decision, Demand, Limiter, Refusal, Undecided, Why};

/// A slot as it was before anything was taken.
#[derive(Debug)]
pub(super) struct Seen {
    expected: Expected,
    bytes: Vec<u8>,
}

impl Limiter {
    /// Decides a request: every limit that matches takes its share, or none does.
    ///
    /// # Errors
    /// [`Undecided`]: nothing was taken.
    pub fn admit(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        request: &Attributes<'_>,
        demand: &Demand,
    ) -> Result<Decision, Undecided> {
        let mut limits = core::mem::take(&mut self.limits);
        let mut charges = core::mem::take(&mut self.charges);
        policy.matching(request, &mut limits);
        let mut admission = Admission::default();
        let decision = match too_large(policy, &limits, (request, demand), &mut admission) {
            Ok(()) => {
                plan::charges(policy, &self.process.key, request, demand, &limits, &mut charges);
                if policy.leases {
                    self.know_leases(policy, &charges);
                }
                self.take_all(policy, store, now, (&charges, request), admission)
            }
            Err(refusal) => Ok(Decision::Refuse(refusal)),
        };
        if let Ok(Decision::Refuse(refusal)) = &decision
            && refusal.why.lacks_lease()
        {
            self.want(policy, store, now, &charges, request)?;
        }
        (self.limits, self.charges) = (limits, charges);
        decision
    }

    /// The same for a request that has waited for a lease as long as it may: where the limit allows it, it passes without.
    ///
    /// # Errors
    /// As of [`Limiter::admit`].
    pub fn admit_last(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        request: &Attributes<'_>,
        demand: &Demand,
    ) -> Result<Decision, Undecided> {
        self.last_try = true;
        let decision = self.admit(policy, store, now, request, demand);
        self.last_try = false;
        decision
    }

    fn take_all(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        (charges, request): (&[Charge], &Attributes<'_>),
        mut admission: Admission,
    ) -> Result<Decision, Undecided> {
        let several =
            charges.first().is_some_and(|first| charges.iter().any(|charge| charge.account != first.account));
        if several && let Some(refusal) = self.foresee(policy, store, now, charges, request)? {
            return Ok(Decision::Refuse(refusal));
        }
        for (at, group) in charges.chunk_by(|a, b| a.account == b.account).enumerate() {
            let mut taken = Taken::of(group.len());
            if several && let Some(seen) = self.seen.get_mut(at) {
                core::mem::swap(&mut self.old, &mut seen.bytes);
                self.looked = Some(seen.expected);
            }
            let written = self.change(policy, store, now, group, |context, cells, group| {
                taken.clear();
                context.take(cells, group, request, &mut taken)
            });
            let outcome = match (written, taken.refusal) {
                (Err(error), _) => Err(error),
                (Ok(_), Some(refusal)) => Ok(Decision::Refuse(refusal)),
                (Ok(written), None) => {
                    append(&mut admission.reservation.held, taken.held);
                    append(&mut admission.statuses, taken.statuses);
                    append(&mut admission.warnings, taken.warnings);
                    append(&mut admission.exceeded, taken.exceeded);
                    append(&mut admission.shadowed, taken.shadowed);
                    append(&mut admission.bursts, taken.bursts);
                    self.asks.append(&mut taken.asks);
                    if taken.delay_ns > admission.delay_ns {
                        (admission.delay_ns, admission.throttled) = (taken.delay_ns, taken.throttled);
                    }
                    admission.retries += written.retries;
                    admission.evicted.accounts += written.evicted.accounts;
                    admission.evicted.cells += written.evicted.cells;
                    continue;
                }
            };
            self.withdraw(policy, store, now, &admission.reservation)?;
            return outcome;
        }
        Ok(Decision::Admit(admission))
    }

    /// Looks whether any account would refuse, before the first is changed. What was seen is kept for that: reading costs
    /// more than writing.
    fn foresee(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        charges: &[Charge],
        request: &Attributes<'_>,
    ) -> Result<Option<Refusal>, Undecided> {
        let mut taken = Taken::default();
        for (at, group) in charges.chunk_by(|a, b| a.account == b.account).enumerate() {
            let Some(first) = group.first() else { continue };
            let slot = self.slot_of(first.account);
            if self.seen.len() <= at {
                self.seen.push(Seen { expected: Expected::Absent, bytes: Vec::new() });
            }
            let Some(seen) = self.seen.get_mut(at) else { continue };
            seen.expected = store.load(slot, &mut seen.bytes)?;
            let bytes = core::mem::take(&mut seen.bytes);
            let looked = self.look(policy, store, now, (first.account, &bytes), |context, cells| {
                context.take(cells, group, request, &mut taken)
            });
            if let Some(seen) = self.seen.get_mut(at) {
                seen.bytes = bytes;
            }
            looked?;
        }
        Ok(taken.refusal)
    }
}

/// Appends; the first list of all is taken over as it is.
fn append<T>(all: &mut Vec<T>, more: Vec<T>) {
    if all.is_empty() {
        *all = more;
    } else {
        all.extend(more);
    }
}

/// Checks the limits that have no balance.
fn too_large(
    policy: &Policy,
    limits: &[LimitId],
    (request, demand): (&Attributes<'_>, &Demand),
    admission: &mut Admission,
) -> Result<(), Refusal> {
    for id in limits {
        let Some(limit) = policy.limit(*id) else { continue };
        let Kind::PerRequest(_) = limit.kind else { continue };
        let most = policy.limit_at(*id, plan::percent(limit, request)).map_or(0, |limit| limit.most());
        let requested = demand.bound.of(limit.meter);
        if requested <= most {
            continue;
        }
        match limit.violation {
            Violation::Warn => admission.exceeded.push(*id),
            Violation::Shadow => admission.shadowed.push(*id),
            Violation::Reject | Violation::Throttle | Violation::Queue => {
                return Err(Refusal {
                    limit: *id,
                    why: Why::TooLarge,
                    wait_ns: None,
                    requested,
                    most,
                    remaining: most,
                    reset_ns: 0,
                    account: 0,
                    queueable: false,
                });
            }
        }
    }
    Ok(())
}
