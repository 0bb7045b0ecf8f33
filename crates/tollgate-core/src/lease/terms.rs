//! What the configuration says about a global quota or rate.

/// How a global quota is spent here, or a global rate used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Longest time a request waits for a lease, in milliseconds; after so long without an answer the ledger is away.
    pub wait_ms: u32,
    /// What to do then, when the lease is spent or has run out.
    pub unreachable: Unreachable,
}

/// What to do when the ledger is away and the lease is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// Refuse.
    Closed,
    /// Let this many units through, per Envoy and window.
    Allow {
        /// Units.
        units: u64,
        /// True: they are set aside from the lease while the ledger is there, so that nothing is overspent. False: they
        /// come on top, and all Envoys together may overspend by as many allowances.
        funded: bool,
    },
}

impl Terms {
    /// True when the ledger has not answered, since the first ask that has no answer (0: there is none), for as long as a
    /// request may wait.
    pub(crate) const fn is_away(&self, unanswered_ms: u64, now_ms: u64) -> bool {
        unanswered_ms > 0 && now_ms.saturating_sub(unanswered_ms) >= self.wait_ms as u64
    }

    /// Units of a lease that are kept for when the ledger is away.
    pub(super) const fn reserve(&self) -> u64 {
        match self.unreachable {
            Unreachable::Allow { units, funded: true } => units,
            _ => 0,
        }
    }

    /// Units that may be let through while the ledger is away.
    pub(crate) const fn allowance(&self) -> u64 {
        match self.unreachable {
            Unreachable::Allow { units, .. } => units,
            Unreachable::Closed => 0,
        }
    }
}
