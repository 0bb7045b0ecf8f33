//! What the leases of a sync must be like for their steps to be taken.

use tollgate_wire::{LEASES_MAX, LeaseAsk, QuotaName};

use super::asks;
use crate::store::UNITS_MAX;

/// Refuses what can't be kept, in words that go behind "leases".
pub(super) fn check(leases: &[LeaseAsk]) -> Result<(), String> {
    asks::each(leases, LEASES_MAX, check_one)
}

fn check_one(ask: &LeaseAsk) -> Result<(), String> {
    asks::identity("lease", &ask.lease)?;
    check_name(&ask.quota)?;
    let amounts = [
        ("limit", ask.limit),
        ("ask.granted", ask.ask.granted),
        ("ask.spent", ask.ask.spent),
        ("ask.returned", ask.ask.returned),
        ("ask.overrun", ask.ask.overrun),
    ];
    match amounts.into_iter().find(|(_, amount)| *amount > UNITS_MAX) {
        Some((field, _)) => Err(format!(".{field} is at most {UNITS_MAX}")),
        None => Ok(()),
    }
}

fn check_name(name: &QuotaName) -> Result<(), String> {
    asks::name("quota", (&name.limit, &name.policy, &name.meter), &name.key)?;
    if name.start_ms >= name.end_ms || name.end_ms > i64::MAX as u64 {
        return Err(".quota ends after it starts".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::asks::KEY_PARTS_MAX;
    use super::super::{IDENTITY_BYTES_MAX, NAME_BYTES_MAX};
    use tollgate_wire::Ask;

    use super::*;

    fn ask() -> LeaseAsk {
        let quota = QuotaName { limit: "l".into(), meter: "m".into(), end_ms: 1, ..QuotaName::default() };
        LeaseAsk { quota, lease: "a1".into(), limit: 5, ask: Ask::default() }
    }

    fn refused(change: impl FnOnce(&mut LeaseAsk)) -> Option<String> {
        let mut second = ask();
        change(&mut second);
        check(&[ask(), second]).err()
    }

    #[test]
    fn what_is_at_the_bound_passes_and_one_past_it_does_not() {
        assert_eq!(check(&vec![ask(); LEASES_MAX]), Ok(()));
        assert!(check(&vec![ask(); LEASES_MAX + 1]).is_err());
        assert_eq!(refused(|ask| ask.limit = UNITS_MAX), None);
        assert_eq!(
            refused(|ask| ask.limit = UNITS_MAX + 1).unwrap(),
            format!("[1].limit is at most {UNITS_MAX}")
        );
        assert_eq!(refused(|ask| ask.ask.target = u64::MAX), None);
        assert!(refused(|ask| ask.ask.spent = UNITS_MAX + 1).is_some());
        assert_eq!(refused(|ask| ask.lease = "x".repeat(IDENTITY_BYTES_MAX)), None);
        assert!(refused(|ask| ask.lease = "x".repeat(IDENTITY_BYTES_MAX + 1)).is_some());
        assert!(refused(|ask| ask.lease = String::new()).is_some());
        assert_eq!(refused(|ask| ask.quota.limit = "x".repeat(NAME_BYTES_MAX)), None);
        assert!(refused(|ask| ask.quota.limit = "x".repeat(NAME_BYTES_MAX + 1)).is_some());
        let parts = |count: usize| (0..count).map(|at| (at.to_string(), String::new())).collect();
        assert_eq!(refused(|ask| ask.quota.key = parts(KEY_PARTS_MAX)), None);
        assert!(refused(|ask| ask.quota.key = parts(KEY_PARTS_MAX + 1)).is_some());
        assert!(refused(|ask| ask.quota.start_ms = 1).is_some());
    }

    #[test]
    fn names_have_no_nul_and_are_there() {
        assert!(refused(|ask| ask.quota.key = [("consumer".into(), "a\0".into())].into()).is_some());
        assert!(refused(|ask| ask.quota.meter = String::new()).is_some());
    }
}
