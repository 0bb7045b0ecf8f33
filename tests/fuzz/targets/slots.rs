//! Whatever stands in shared data, a request is decided, and what is written back can be read.

use std::cell::RefCell;

use tollgate_core::limit::Owner;
use tollgate_core::limiter::{Amounts, Decision, Demand, Limiter};
use tollgate_core::load::{Load, Others};
use tollgate_core::policy::{Attributes, Policy};
use tollgate_core::room::Bell;
use tollgate_core::store::{Expected, SharedStore, Slot, StoreError, Swap, Version};
use tollgate_core::time::Now;
use tollgate_wire::{NanoUsd, TokenCount, UnixNanos};

/// One value for all accounts: that of the input, and what is made of it.
struct Damaged {
    accounts: RefCell<Vec<u8>>,
    others: RefCell<Vec<u8>>,
}

impl SharedStore for Damaged {
    fn load(&self, slot: Slot, into: &mut Vec<u8>) -> Result<Expected, StoreError> {
        into.clear();
        match slot {
            Slot::Accounts(_) => into.extend_from_slice(&self.accounts.borrow()),
            Slot::Process => return Ok(Expected::Absent),
            _ => into.extend_from_slice(&self.others.borrow()),
        }
        Ok(Expected::Version(Version(1)))
    }

    fn swap(&self, slot: Slot, value: &[u8], _: Expected) -> Result<Swap, StoreError> {
        match slot {
            Slot::Accounts(_) => *self.accounts.borrow_mut() = value.to_vec(),
            Slot::Process => {}
            _ => *self.others.borrow_mut() = value.to_vec(),
        }
        Ok(Swap::Done)
    }
}

thread_local! {
    static POLICY: Policy = Policy::from_json(serde_json::json!({
        "limits": [
            {"name": "rpm", "meter": "requests", "rate": {"amount": 7, "per": "minute"}},
            {"name": "tpm", "meter": "tokens", "rate": {"amount": 40000, "per": "minute"}},
            {"name": "day", "meter": "cost", "quota": {"amount": 0.25, "per": "day"}},
            {"name": "month", "meter": "requests", "quota": {"amount": 1000, "per": "month"}},
            {"name": "concurrent", "concurrency": 3},
            {"name": "window", "meter": "tokens", "window": {"amount": 40000, "per": "minute"}},
            {"name": "burst", "meter": "requests", "rate": {"amount": 1, "per": "minute", "allowance": {"amount": 5}}},
        ],
        "load": {"capacity": 1, "tighten": {"above": 90, "below": 50, "limits": 50}},
        "state": {"expected_keys": 16},
    })).expect("the policy of this target is valid");
}

pub fn check(bytes: &[u8]) {
    POLICY.with(|policy| {
        let (head, tail) = bytes.split_at(bytes.len() / 8);
        let store = Damaged { accounts: RefCell::new(tail.to_vec()), others: RefCell::new(head.to_vec()) };
        let now = Now { mono_ns: 1_000_000_000_000, wall: UnixNanos(1_795_305_600_000_000_000) };
        let Ok(mut limiter) = Limiter::join(policy, &store, [7; 24], Owner(9), now) else { return };
        *store.accounts.borrow_mut() = tail.to_vec();
        let used = Amounts {
            input: TokenCount(10),
            output: TokenCount(20),
            cost: NanoUsd(1000),
            ..Amounts::default()
        };
        let demand = Demand { expected: used, bound: used };
        let load = Load::default();
        if let Some(policy) = &policy.load
            && let Ok((others, _)) = Others::exchange(&store, policy, Owner(9), &load, now.mono_ns)
        {
            limiter.tighten(others.strain().tightens());
            load.total(policy, &others, now.mono_ns);
        }
        if let Ok(bell) = Bell::load(&store) {
            bell.first(7, now.mono_s(), Some(Owner(9)));
        }
        // The accounts of the input have keys of their own: one of these finds its own again.
        for consumer in ["a", "b", "a"] {
            let request = Attributes { consumer, ..Attributes::default() };
            if let Ok(Decision::Admit(admission)) = limiter.admit(policy, &store, now, &request, &demand) {
                assert!(limiter.settle(policy, &store, now, admission.reservation, &used).is_ok());
            }
        }
    });
}
