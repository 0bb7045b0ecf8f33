//! What the shares of a sync must be like for their steps to be taken.

use tollgate_wire::{SHARES_MAX, ShareAsk, WHOLE};

use super::asks;

/// Longest time to fill an empty bucket, in milliseconds: some thirty thousand years, which fit the database's integers.
const FILL_MS_MAX: u64 = 1 << 50;

/// Refuses what can't be kept, in words that go behind "shares".
pub(super) fn check(shares: &[ShareAsk]) -> Result<(), String> {
    asks::each(shares, SHARES_MAX, check_one)
}

fn check_one(ask: &ShareAsk) -> Result<(), String> {
    asks::identity("holder", &ask.holder)?;
    asks::name("rate", (&ask.rate.limit, &ask.rate.policy, &ask.rate.meter), &ask.rate.key)?;
    if !(1..=FILL_MS_MAX).contains(&ask.fill_ms) {
        return Err(format!(".fill_ms is 1 to {FILL_MS_MAX}"));
    }
    if ask.claim.holding > WHOLE || ask.claim.need > WHOLE {
        return Err(format!(".claim.holding and .claim.need are at most {WHOLE}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tollgate_wire::RateName;

    use super::super::asks::KEY_PARTS_MAX;
    use super::super::{IDENTITY_BYTES_MAX, NAME_BYTES_MAX};
    use super::*;

    fn ask() -> ShareAsk {
        let rate = RateName { limit: "l".into(), meter: "m".into(), ..RateName::default() };
        ShareAsk { rate, holder: "a1".into(), fill_ms: 1, ..ShareAsk::default() }
    }

    fn refused(change: impl FnOnce(&mut ShareAsk)) -> Option<String> {
        let mut second = ask();
        change(&mut second);
        check(&[ask(), second]).err()
    }

    #[test]
    fn what_is_at_the_bound_passes_and_one_past_it_does_not() {
        assert_eq!(check(&vec![ask(); SHARES_MAX]), Ok(()));
        assert!(check(&vec![ask(); SHARES_MAX + 1]).is_err());
        assert_eq!(refused(|ask| ask.fill_ms = FILL_MS_MAX), None);
        let problem = refused(|ask| ask.fill_ms = FILL_MS_MAX + 1).unwrap();
        assert_eq!(problem, format!("[1].fill_ms is 1 to {FILL_MS_MAX}"));
        assert!(refused(|ask| ask.fill_ms = 0).is_some());
        assert_eq!(refused(|ask| ask.claim.holding = WHOLE), None);
        assert!(refused(|ask| ask.claim.holding = WHOLE + 1).is_some());
        assert!(refused(|ask| ask.claim.need = WHOLE + 1).is_some());
        assert!(refused(|ask| ask.holder = "x".repeat(IDENTITY_BYTES_MAX + 1)).is_some());
        assert!(refused(|ask| ask.holder = String::new()).is_some());
        assert!(refused(|ask| ask.rate.limit = "x".repeat(NAME_BYTES_MAX + 1)).is_some());
        assert!(refused(|ask| ask.rate.meter = String::new()).is_some());
        let parts = |count: usize| (0..count).map(|at| (at.to_string(), String::new())).collect();
        assert_eq!(refused(|ask| ask.rate.key = parts(KEY_PARTS_MAX)), None);
        assert!(refused(|ask| ask.rate.key = parts(KEY_PARTS_MAX + 1)).is_some());
        assert!(refused(|ask| ask.rate.key = [("team".into(), "a\0".into())].into()).is_some());
    }
}
