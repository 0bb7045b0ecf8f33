//! The ledger of the simulation: the real step over rows in memory.

use std::collections::BTreeMap;

use tollgate_core::lease::ledger::{ACTIVE_MS, LeaseRow, Peers, QuotaRow, books_agree, step, write_off};
use tollgate_core::lease::{Ask, Grant};

use crate::plan::Bug;

/// A quota (0: everybody's, else a team's) and the number of its window.
pub type Account = (usize, u64);

#[derive(Clone, Default)]
struct Rows {
    quota: QuotaRow,
    leases: BTreeMap<u64, LeaseRow>,
}

#[derive(Clone)]
pub struct Books {
    rows: BTreeMap<Account, Rows>,
    pub limits: Vec<u64>,
    window_ms: u64,
    bug: Bug,
}

impl Books {
    pub fn new(limits: Vec<u64>, window_ms: u64, bug: Bug) -> Self {
        Self { rows: BTreeMap::new(), limits, window_ms, bug }
    }

    /// One lease of a message, in one transaction.
    pub fn enter(&mut self, account: Account, life: u64, ask: &Ask, now_ms: u64) -> Grant {
        let (limit, end_ms) = (self.limits[account.0], (account.1 + 1) * self.window_ms);
        let rows = self.rows.entry(account).or_default();
        (rows.quota.limit, rows.quota.end_ms) = (limit, end_ms);
        if self.bug == Bug::TimerRefund {
            for lease in rows.leases.values_mut().filter(|lease| lease.expires_ms <= now_ms) {
                write_off(&mut rows.quota, lease);
            }
        }
        let mut lease = rows.leases.remove(&life).unwrap_or_default();
        let mut peers = Peers::default();
        for peer in rows.leases.values().filter(|peer| now_ms.saturating_sub(peer.seen_ms) < ACTIVE_MS) {
            peers.active += 1;
            peers.rate += peer.rate;
        }
        let mut ask = *ask;
        if self.bug == Bug::AddInsteadOfMax {
            ask.returned += lease.returned;
        }
        let grant = step(&mut rows.quota, &mut lease, &ask, &peers, now_ms);
        rows.leases.insert(life, lease);
        grant
    }

    pub fn lease(&self, account: Account, life: u64) -> LeaseRow {
        self.rows.get(&account).and_then(|rows| rows.leases.get(&life)).copied().unwrap_or_default()
    }

    /// Settled and held units, and the limit.
    pub fn quota(&self, account: Account) -> QuotaRow {
        self.rows.get(&account).map(|rows| rows.quota).unwrap_or_default()
    }

    /// The invariants of the books. A limit that was lowered may be exceeded by what was granted before.
    pub fn agree(&self, account: Account, ceiling: u64) -> bool {
        self.rows.get(&account).is_none_or(|rows| {
            let quota = QuotaRow { limit: ceiling, ..rows.quota };
            books_agree(&quota, rows.leases.values())
        })
    }
}
