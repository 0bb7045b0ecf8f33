//! How a consumer's limits stand, without taking anything.

use crate::limit::Cell;
use crate::policy::{Attributes, Kind, Policy};
use crate::store::SharedStore;
use crate::time::Now;

use super::context::Context;
use super::plan::{self, Charge};
use super::{Demand, Limiter, Status, Undecided};

impl Limiter {
    /// How every limit stands that this request would touch, those on single requests last. Nothing is taken or written.
    /// A limit of all Envoys stands as this one last heard of it.
    ///
    /// # Errors
    /// [`Undecided`] when shared storage can't be read.
    pub fn standing(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        request: &Attributes<'_>,
    ) -> Result<Vec<Status>, Undecided> {
        let mut limits = core::mem::take(&mut self.limits);
        let mut charges = core::mem::take(&mut self.charges);
        policy.matching(request, &mut limits);
        plan::charges(policy, &self.process.key, request, &Demand::default(), &limits, &mut charges);
        let mut all = Vec::with_capacity(limits.len());
        for group in charges.chunk_by(|a, b| a.account == b.account) {
            let Some(first) = group.first() else { continue };
            self.peek(policy, store, now, first.account, |context, cells| {
                context.standing(cells, group, &mut all);
            })?;
        }
        let single = limits.iter().filter_map(|id| {
            let limit = policy.limit(*id).filter(|limit| matches!(limit.kind, Kind::PerRequest(_)))?;
            let most = policy.limit_at(*id, plan::percent(limit, request))?.most();
            Some(Status { limit: *id, most, remaining: most, reset_ns: 0 })
        });
        all.extend(single);
        (self.limits, self.charges) = (limits, charges);
        Ok(all)
    }
}

impl Context<'_> {
    fn standing(&self, cells: &mut Vec<Cell>, charges: &[Charge], all: &mut Vec<Status>) {
        for charge in charges {
            let Some(limit) = self.policy.limit_at(charge.limit, charge.percent) else { continue };
            let mut cell = self.remove(cells, charge.cell, &limit);
            all.push(self.status(&limit, charge.limit, &mut cell));
            cells.push(cell);
        }
    }
}
