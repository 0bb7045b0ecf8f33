//! What becomes of balances besides deciding: settlement, withdrawal, what the ledger and the model servers report.

use tollgate_wire::Balance;

use crate::policy::{Attributes, Kind, Meter, Policy};
use crate::store::SharedStore;
use crate::time::Now;

use crate::limit::READING_S_MAX;

use super::plan;
use super::{Amounts, Demand, Limiter, Reservation, Undecided};

/// A model server's memory as it reports it, in megabytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Main memory.
    pub ram: Option<u64>,
    /// Disk.
    pub ssd: Option<u64>,
}

impl Memory {
    /// The reading a limit is about.
    pub(super) const fn of(&self, meter: Meter) -> Option<u64> {
        match meter {
            Meter::Ram => self.ram,
            Meter::Ssd => self.ssd,
            _ => None,
        }
    }

    /// Raises a reading to at least this.
    pub(super) fn raise(&mut self, meter: Meter, reading: u64) {
        let raised = self.of(meter).max(Some(reading));
        match meter {
            Meter::Ram => self.ram = raised,
            Meter::Ssd => self.ssd = raised,
            _ => {}
        }
    }
}

/// A reading that is not renewed for so long is an operator's again, if one told any: soon enough that there is always one
/// that counts.
pub const HOLD_S: u32 = READING_S_MAX / 2;

impl Limiter {
    /// Gives back what was reserved and charges what was used instead. The balance may go below zero.
    ///
    /// # Errors
    /// The part of the reservation that is not settled yet, for another try, and why.
    pub fn settle(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        reservation: Reservation,
        actual: &Amounts,
    ) -> Result<(), (Reservation, Undecided)> {
        let mut done = 0;
        for group in reservation.held.chunk_by(|a, b| a.account == b.account) {
            let settled = self.change(policy, store, now, group, |context, cells, group| {
                context.settle(cells, group, actual)
            });
            if let Err(error) = settled {
                let rest = reservation.held.get(done..).unwrap_or_default().to_vec();
                return Err((Reservation { held: rest }, error));
            }
            done += group.len();
        }
        Ok(())
    }

    /// Takes a reservation back as if it had never been: of a request that left before it went on.
    ///
    /// # Errors
    /// [`Undecided`]: some of it may still be held, until this worker ends.
    pub fn withdraw(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        reservation: &Reservation,
    ) -> Result<(), Undecided> {
        for group in reservation.held.chunk_by(|a, b| a.account == b.account) {
            self.change(policy, store, now, group, |context, cells, group| context.undo(cells, group))?;
        }
        Ok(())
    }

    /// Adds what an earlier process of this node used to the quotas that are still in the window beginning at
    /// `window_start_s`.
    ///
    /// # Errors
    /// [`Undecided`]: nothing, or only accounts before the failing one, were restored.
    pub fn restore(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        balance: &Balance,
        window_start_s: u32,
    ) -> Result<(), Undecided> {
        let request = Attributes {
            consumer: &balance.consumer,
            team: &balance.team,
            project: &balance.project,
            tier: &balance.tier,
            route: &balance.route,
            policy: &balance.policy,
            action: &balance.action,
            workflow: &balance.workflow,
            provider: &balance.provider,
            model: &balance.model,
            tool: &balance.tool,
            interface: &balance.interface,
            region: &balance.region,
            ..Attributes::default()
        };
        let used = Amounts {
            input: balance.input,
            output: balance.output,
            cost: balance.cost_nusd,
            credits: balance.credits,
        };
        let mut charges = Vec::new();
        policy.matching(&request, &mut self.limits);
        let demand = Demand { expected: used, bound: used };
        plan::charges(policy, &self.process.key, &request, &demand, &self.limits, &mut charges);
        for charge in &mut charges {
            if policy.limit(charge.limit).is_some_and(|limit| !limit.meter.reads_body()) {
                charge.amount = balance.requests;
            }
        }
        for group in charges.chunk_by(|a, b| a.account == b.account) {
            self.change(policy, store, now, group, |context, cells, group| {
                context.restore(cells, group, window_start_s)
            })?;
        }
        Ok(())
    }

    /// Enters a model server's memory where a limit is about it. Returns the highest reading of each since it was first
    /// reported.
    ///
    /// # Errors
    /// [`Undecided`]: nothing, or only the first of several limits, was told.
    pub fn report_memory(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        request: &Attributes<'_>,
        memory: Memory,
    ) -> Result<Memory, Undecided> {
        self.enter_memory(policy, store, now, request, (memory, 0))
    }

    /// Has a model's memory that an operator told hold on, where nothing was reported for [`HOLD_S`]: whoever reports by
    /// itself knows better. Call it every ten seconds or so.
    ///
    /// # Errors
    /// As [`Limiter::report_memory`].
    pub fn hold_memory(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        request: &Attributes<'_>,
        memory: Memory,
    ) -> Result<(), Undecided> {
        self.enter_memory(policy, store, now, request, (memory, HOLD_S)).map(drop)
    }

    /// Enters readings where the last is so many seconds old.
    fn enter_memory(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        request: &Attributes<'_>,
        (memory, age_s): (Memory, u32),
    ) -> Result<Memory, Undecided> {
        let mut peak = memory;
        let mut charges = Vec::new();
        policy.matching(request, &mut self.limits);
        self.limits.retain(|id| {
            policy.limit(*id).is_some_and(|limit| {
                matches!(limit.kind, Kind::Memory(_)) && memory.of(limit.meter).is_some()
            })
        });
        plan::charges(policy, &self.process.key, request, &Demand::default(), &self.limits, &mut charges);
        for group in charges.chunk_by(|a, b| a.account == b.account) {
            self.change(policy, store, now, group, |context, cells, group| {
                context.report(cells, group, (memory, age_s), &mut peak)
            })?;
        }
        Ok(peak)
    }

    /// Makes a consumer's burst allowances whole again: those of the limits that bind this request.
    ///
    /// # Errors
    /// [`Undecided`]: none, or only the first of several, were reset.
    pub fn reset_bursts(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        request: &Attributes<'_>,
    ) -> Result<(), Undecided> {
        let mut charges = Vec::new();
        policy.matching(request, &mut self.limits);
        self.limits.retain(|id| policy.limit(*id).is_some_and(|limit| limit.allowance.is_some()));
        plan::charges(policy, &self.process.key, request, &Demand::default(), &self.limits, &mut charges);
        for group in charges.chunk_by(|a, b| a.account == b.account) {
            self.change(policy, store, now, group, |context, cells, group| {
                context.reset_bursts(cells, group)
            })?;
        }
        Ok(())
    }
}
