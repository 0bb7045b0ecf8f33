//! How a rate is divided among its holders: by demand, max-min fair.
//!
//! Whoever wants little gets it, and the others the same each (Bertsekas and Gallager, *Data Networks*, 6.5.2). While not
//! all is wanted, the rest is spread over them too, but for an eighth, with which another Envoy can begin at once.

use tollgate_wire::WHOLE;

/// What one holder wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Millionths of the rate that passed there lately.
    pub demand: u32,
    /// Requests lacked something: it can use all there is.
    pub short: bool,
    /// Millionths of the burst that a waiting request takes at once.
    pub need: u32,
    /// Since when it waits; who waits longest comes first.
    pub need_since_ms: u64,
}

impl Wanted {
    /// A quarter more than it had lately, so that it can grow.
    const fn want(&self) -> u32 {
        let demand = self.demand.saturating_add(self.demand / 4);
        if self.short || demand > WHOLE { WHOLE } else { demand }
    }
}

/// The part of each, in their order. Together at most the whole.
///
/// A request that needs more at once than its holder's part is served by giving that holder what it needs: one at a time,
/// because two halves serve neither of two.
pub(super) fn divide(all: &[Wanted]) -> Vec<u32> {
    let mut parts = fair(all, WHOLE);
    let needy = all.iter().zip(&parts).enumerate().filter(|(_, (wanted, part))| wanted.need > **part);
    let Some((first, (wanted, _))) = needy.min_by_key(|(at, (wanted, _))| (wanted.need_since_ms, *at)) else {
        return parts;
    };
    let need = wanted.need.min(WHOLE);
    let mut others = all.to_vec();
    others.remove(first);
    parts = fair(&others, WHOLE - need);
    parts.insert(first, need);
    parts
}

/// Max-min fair parts of `whole`.
fn fair(all: &[Wanted], whole: u32) -> Vec<u32> {
    let wants: Vec<u32> = all.iter().map(Wanted::want).collect();
    let count = wants.len().max(1) as u64;
    let wanted: u64 = wants.iter().copied().map(u64::from).sum();
    if wanted < whole.into() {
        let spread = (u64::from(whole) - wanted) * 7 / 8 / count;
        return wants.iter().map(|want| want.saturating_add(spread as u32)).collect();
    }
    let mut order: Vec<usize> = (0..wants.len()).collect();
    order.sort_by_key(|at| wants.get(*at).copied());
    let (mut rest, mut left) = (whole, wants.len() as u32);
    let mut parts = vec![0; wants.len()];
    for at in order {
        let part = wants.get(at).copied().unwrap_or_default().min(rest / left.max(1));
        if let Some(place) = parts.get_mut(at) {
            *place = part;
        }
        (rest, left) = (rest - part, left - 1);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn demands(demands: &[u32]) -> Vec<Wanted> {
        demands.iter().map(|demand| Wanted { demand: *demand, ..Wanted::default() }).collect()
    }

    const SHORT: Wanted = Wanted { demand: 0, short: true, need: 0, need_since_ms: 0 };

    #[test]
    fn who_is_alone_leaves_an_eighth_until_it_is_short() {
        assert_eq!(divide(&demands(&[0])), [875_000]);
        assert_eq!(divide(&[SHORT]), [WHOLE]);
        assert_eq!(divide(&[]), Vec::<u32>::new());
    }

    #[test]
    fn who_wants_little_gets_it_and_the_others_the_same() {
        assert_eq!(divide(&demands(&[80_000, 2_000_000, 900_000])), [100_000, 450_000, 450_000]);
        assert_eq!(divide(&demands(&[80_000, 80_000])), [450_000, 450_000]);
    }

    #[test]
    fn a_request_that_needs_much_at_once_gets_it_and_the_first_of_two_first() {
        let first = Wanted { need: 600_000, need_since_ms: 1, ..SHORT };
        let second = Wanted { need: 700_000, need_since_ms: 2, ..SHORT };
        assert_eq!(divide(&[second, first, SHORT]), [200_000, 600_000, 200_000]);
        assert_eq!(divide(&[second, SHORT]), [700_000, 300_000]);
        assert_eq!(divide(&[Wanted { need: 400_000, ..SHORT }, SHORT]), [500_000, 500_000]);
    }

    proptest! {
        #[test]
        fn together_they_are_at_most_the_whole(
            all in prop::collection::vec((0u32..3_000_000, any::<bool>(), 0..=WHOLE, 0u64..9), 0..40),
        ) {
            let all: Vec<Wanted> = all
                .into_iter()
                .map(|(demand, short, need, need_since_ms)| Wanted { demand, short, need, need_since_ms })
                .collect();
            let sum: u64 = divide(&all).into_iter().map(u64::from).sum();
            prop_assert!(sum <= u64::from(WHOLE));
        }
    }
}
