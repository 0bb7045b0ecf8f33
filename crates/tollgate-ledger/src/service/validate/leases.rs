//! What the leases of a sync must be like for their steps to be taken.

use tollgate_wire::{LEASES_MAX, LeaseAsk, QuotaName};

use super::{IDENTITY_BYTES_MAX, NAME_BYTES_MAX};
use crate::store::UNITS_MAX;

/// Attributes in a quota's key: more than there are dimensions.
pub const KEY_PARTS_MAX: usize = 16;

/// Refuses what can't be kept, in words that go behind "leases".
pub(super) fn check(leases: &[LeaseAsk]) -> Result<(), String> {
    if leases.len() > LEASES_MAX {
        return Err(format!("is at most {LEASES_MAX}"));
    }
    for (index, ask) in leases.iter().enumerate() {
        check_one(ask).map_err(|problem| format!("[{index}]{problem}"))?;
    }
    Ok(())
}

fn check_one(ask: &LeaseAsk) -> Result<(), String> {
    if ask.lease.is_empty() || ask.lease.len() > IDENTITY_BYTES_MAX || ask.lease.contains('\0') {
        return Err(format!(".lease is 1 to {IDENTITY_BYTES_MAX} bytes without NUL"));
    }
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
    if name.key.len() > KEY_PARTS_MAX {
        return Err(format!(".quota.key has at most {KEY_PARTS_MAX} parts"));
    }
    if name.limit.is_empty() || name.meter.is_empty() {
        return Err(".quota has a limit and a meter".into());
    }
    let parts = name.key.iter().flat_map(|(attribute, value)| [attribute, value]);
    for text in [&name.limit, &name.policy, &name.meter].into_iter().chain(parts) {
        if text.len() > NAME_BYTES_MAX || text.contains('\0') {
            return Err(format!(".quota has names of at most {NAME_BYTES_MAX} bytes without NUL"));
        }
    }
    if name.start_ms >= name.end_ms || name.end_ms > i64::MAX as u64 {
        return Err(".quota ends after it starts".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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
