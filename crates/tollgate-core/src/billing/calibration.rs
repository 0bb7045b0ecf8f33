//! How far estimates of input are off, per model, learned from what providers report.
//!
//! The estimator's weights fit one vocabulary; for others it is off by a factor that is steady per model. A moving
//! average of actual over estimate finds that factor. Each worker learns by itself; a few times a minute what it saw
//! since is merged into one shared value, by compare-and-swap, and what all saw is taken over from there.

use hashbrown::HashMap;

use crate::hash::HashKey;
use crate::store::{Expected, SharedStore, Slot, StoreError, Swap};
use crate::traffic::RequestFacts;

/// Factors are in this unit: 4096 is 1.
const ONE: u32 = 4096;
/// One observation moves the average by 1/20: a steady factor is found within a hundred requests, and single prompts
/// that are unlike others hardly move it.
const WINDOW: u32 = 20;
/// A factor beyond these is not the vocabulary's doing. Claude's and Gemini's lie between 0.8 and 1.3.
const FACTOR_MIN: u32 = ONE / 2;
const FACTOR_MAX: u32 = ONE * 2;
/// A ratio beyond these tells of something else: context on the server, an image.
const RATIO_MIN: u32 = ONE / 3;
const RATIO_MAX: u32 = ONE * 3;
/// Shorter prompts are mostly template, and a token more or less is a large part of them.
const TOKENS_MIN: u64 = 64;
/// Most models remembered. The shared value then takes 3 KiB.
const MODELS_MAX: usize = 256;
/// Bytes of one model in the shared value: hash (u64), factor (u32), little endian.
const ENTRY_BYTES: usize = 12;
/// Lost swaps after which merging waits for the next time.
const ATTEMPTS_MAX: u32 = 4;

/// Actual over estimate of one request, in 1/4096.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation(u32);

impl Observation {
    /// What a request tells; None when it is no good example.
    pub fn of(facts: &RequestFacts, actual: u64) -> Option<Self> {
        let estimate = facts.input_estimate.0;
        // Without words it is no text that was estimated: a body nobody read, or tokens, which need no estimate.
        if facts.malformed || facts.input_words == 0 || estimate < TOKENS_MIN {
            return None;
        }
        let ratio = actual.checked_mul(u64::from(ONE))?.checked_div(estimate)?;
        let ratio = u32::try_from(ratio).ok()?;
        (RATIO_MIN..=RATIO_MAX).contains(&ratio).then_some(Self(ratio))
    }
}

/// How far estimates are off, in 1/4096: at most by half or twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factor(u32);

impl Factor {
    /// An estimate, corrected.
    pub fn apply(self, estimate: u64) -> u64 {
        let exact = u128::from(estimate) * u128::from(self.0);
        u64::try_from(exact.div_ceil(u128::from(ONE))).unwrap_or(u64::MAX)
    }
}

/// The factors, as one worker knows them.
#[derive(Clone, Debug)]
pub struct Calibration {
    key: HashKey,
    factors: HashMap<u64, u32>,
    /// Seen since the last merge: the sum of the ratios and their number.
    fresh: HashMap<u64, (u64, u32)>,
    old: Vec<u8>,
    new: Vec<u8>,
}

impl Calibration {
    /// Nothing learned. `key` is the process's, so that clients can't aim at each other's models.
    pub fn new(key: HashKey) -> Self {
        Self { key, factors: HashMap::new(), fresh: HashMap::new(), old: Vec::new(), new: Vec::new() }
    }

    /// An estimate, corrected by what is known of the model.
    pub fn apply(&self, model: &str, estimate: u64) -> u64 {
        self.factor(model).apply(estimate)
    }

    /// How far estimates of the model's tokens are off.
    pub fn factor(&self, model: &str) -> Factor {
        Factor(self.factors.get(&self.hash(model)).copied().unwrap_or(ONE))
    }

    /// Learns from a request.
    pub fn learn(&mut self, model: &str, Observation(ratio): Observation) {
        let hash = self.hash(model);
        if self.factors.len() >= MODELS_MAX && !self.factors.contains_key(&hash) {
            return;
        }
        let factor = self.factors.entry(hash).or_insert(ONE);
        *factor = moved(*factor, ratio);
        let (sum, count) = self.fresh.entry(hash).or_default();
        *sum = sum.saturating_add(u64::from(ratio));
        *count = count.saturating_add(1);
    }

    /// Gives the others what was learned here, and takes what they learned.
    ///
    /// # Errors
    /// [`StoreError`] when the host refuses; what was learned is kept for the next time.
    pub fn share(&mut self, store: &impl SharedStore) -> Result<(), StoreError> {
        for attempt in 1..=ATTEMPTS_MAX {
            let expected = store.load(Slot::Calibration, &mut self.old)?;
            let mut shared = decode(&self.old);
            if self.fresh.is_empty() {
                self.factors = shared;
                return Ok(());
            }
            for (hash, (sum, count)) in &self.fresh {
                merge(&mut shared, *hash, *sum, *count);
            }
            encode(&shared, &mut self.new);
            if swapped(store, &self.new, expected)? {
                self.factors = shared;
                self.fresh.clear();
                return Ok(());
            }
            store.lost(attempt);
        }
        Ok(())
    }

    fn hash(&self, model: &str) -> u64 {
        self.key.hash64(0, [model])
    }
}

fn swapped(store: &impl SharedStore, value: &[u8], expected: Expected) -> Result<bool, StoreError> {
    Ok(store.swap(Slot::Calibration, value, expected)? == Swap::Done)
}

/// The average after one more observation.
fn moved(factor: u32, ratio: u32) -> u32 {
    // Rounded to the nearest: always down would pull every factor below what was observed.
    let sum = factor * (WINDOW - 1) + ratio;
    ((sum + WINDOW / 2) / WINDOW).clamp(FACTOR_MIN, FACTOR_MAX)
}

/// The average after so many observations of the mean `sum / count`. Beyond five windows the old value counts nothing.
fn merge(shared: &mut HashMap<u64, u32>, hash: u64, sum: u64, count: u32) {
    if shared.len() >= MODELS_MAX && !shared.contains_key(&hash) {
        return;
    }
    let mean = sum.checked_div(u64::from(count)).and_then(|mean| u32::try_from(mean).ok()).unwrap_or(ONE);
    let factor = shared.entry(hash).or_insert(ONE);
    for _ in 0..count.min(5 * WINDOW) {
        *factor = moved(*factor, mean);
    }
}

fn decode(bytes: &[u8]) -> HashMap<u64, u32> {
    let entry = |bytes: &[u8]| {
        let (hash, factor) = bytes.split_at_checked(8)?;
        let factor = u32::from_le_bytes(factor.try_into().ok()?);
        Some((u64::from_le_bytes(hash.try_into().ok()?), factor.clamp(FACTOR_MIN, FACTOR_MAX)))
    };
    bytes.chunks_exact(ENTRY_BYTES).take(MODELS_MAX).filter_map(entry).collect()
}

fn encode(factors: &HashMap<u64, u32>, into: &mut Vec<u8>) {
    into.clear();
    for (hash, factor) in factors {
        into.extend_from_slice(&hash.to_le_bytes());
        into.extend_from_slice(&factor.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::store::Version;
    use tollgate_wire::TokenCount;

    /// One value, whose swaps are lost as often as `lose` says.
    #[derive(Default)]
    struct OneSlot {
        value: RefCell<(Vec<u8>, u32)>,
        lose: RefCell<u32>,
    }

    impl SharedStore for OneSlot {
        fn load(&self, _: Slot, into: &mut Vec<u8>) -> Result<Expected, StoreError> {
            let (value, version) = &*self.value.borrow();
            into.clone_from(value);
            Ok(if *version == 0 { Expected::Absent } else { Expected::Version(Version(*version)) })
        }

        fn swap(&self, _: Slot, value: &[u8], expected: Expected) -> Result<Swap, StoreError> {
            let mut lose = self.lose.borrow_mut();
            let (old, version) = &mut *self.value.borrow_mut();
            let current = if *version == 0 { Expected::Absent } else { Expected::Version(Version(*version)) };
            if *lose > 0 || current != expected {
                *lose = lose.saturating_sub(1);
                return Ok(Swap::Lost);
            }
            (*old, *version) = (value.to_vec(), *version + 1);
            Ok(Swap::Done)
        }
    }

    fn calibration() -> Calibration {
        Calibration::new(HashKey::new([7; 16]))
    }

    fn facts(estimate: u64) -> RequestFacts {
        RequestFacts { input_estimate: TokenCount(estimate), input_words: 1, ..RequestFacts::default() }
    }

    fn observed(estimate: u64, actual: u64) -> Observation {
        Observation::of(&facts(estimate), actual).unwrap()
    }

    #[test]
    fn a_model_that_is_not_known_is_estimated_as_it_is() {
        assert_eq!(calibration().apply("m", 1234), 1234);
    }

    #[test]
    fn a_steady_factor_is_found_and_nothing_of_another_model_changes() {
        let mut calibration = calibration();
        (0..100).for_each(|_| calibration.learn("m", observed(1000, 1200)));
        assert!((1190..=1201).contains(&calibration.apply("m", 1000)), "{}", calibration.apply("m", 1000));
        assert_eq!(calibration.apply("n", 1000), 1000);
        (0..200).for_each(|_| calibration.learn("m", observed(1000, 900)));
        assert!((899..=910).contains(&calibration.apply("m", 1000)), "{}", calibration.apply("m", 1000));
    }

    #[test]
    fn one_odd_request_moves_the_factor_by_a_twentieth() {
        let mut calibration = calibration();
        calibration.learn("m", observed(1000, 2000));
        assert_eq!(calibration.apply("m", 1000), 1051);
    }

    #[test]
    fn what_is_no_example_is_not_learned_from() {
        assert_eq!(Observation::of(&facts(TOKENS_MIN - 1), TOKENS_MIN), None);
        assert!(Observation::of(&facts(TOKENS_MIN), TOKENS_MIN).is_some());
        assert_eq!(Observation::of(&facts(1000), 3001), None);
        assert!(Observation::of(&facts(1000), 3000).is_some());
        assert_eq!(Observation::of(&facts(1000), 300), None);
        assert_eq!(Observation::of(&facts(1000), 0), None);
        assert_eq!(Observation::of(&facts(1000), u64::MAX), None);
        assert_eq!(Observation::of(&RequestFacts { malformed: true, ..facts(1000) }, 1000), None);
        assert_eq!(Observation::of(&RequestFacts { input_words: 0, ..facts(1000) }, 1000), None);
    }

    #[test]
    fn a_factor_stays_within_its_bounds() {
        let mut calibration = calibration();
        (0..1000).for_each(|_| calibration.learn("up", observed(1000, 2900)));
        (0..1000).for_each(|_| calibration.learn("down", observed(1000, 350)));
        assert_eq!((calibration.apply("up", 1000), calibration.apply("down", 1000)), (2000, 500));
        assert_eq!(calibration.apply("up", u64::MAX), u64::MAX);
    }

    #[test]
    fn workers_learn_from_each_other() {
        let (store, mut one, mut two) = (OneSlot::default(), calibration(), calibration());
        (0..50).for_each(|_| one.learn("m", observed(1000, 1200)));
        one.share(&store).unwrap();
        two.share(&store).unwrap();
        assert_eq!(two.apply("m", 1000), one.apply("m", 1000));
        assert!(two.apply("m", 1000) > 1150);
        // Both go on, and neither undoes what the other learned.
        (0..50).for_each(|_| one.learn("m", observed(1000, 1200)));
        (0..50).for_each(|_| two.learn("n", observed(1000, 800)));
        one.share(&store).unwrap();
        two.share(&store).unwrap();
        one.share(&store).unwrap();
        assert_eq!(
            (one.apply("n", 1000), one.apply("m", 1000)),
            (two.apply("n", 1000), two.apply("m", 1000))
        );
        assert!(one.apply("n", 1000) < 850 && one.apply("m", 1000) > 1190);
    }

    #[test]
    fn what_could_not_be_shared_is_shared_the_next_time() {
        let (store, mut one) = (OneSlot::default(), calibration());
        *store.lose.borrow_mut() = ATTEMPTS_MAX;
        (0..50).for_each(|_| one.learn("m", observed(1000, 1200)));
        one.share(&store).unwrap();
        assert!(store.value.borrow().0.is_empty());
        one.share(&store).unwrap();
        assert_eq!(store.value.borrow().0.len(), ENTRY_BYTES);
    }

    #[test]
    fn no_more_models_are_kept_than_the_bound() {
        let (store, mut one) = (OneSlot::default(), calibration());
        (0..=MODELS_MAX).for_each(|n| one.learn(&n.to_string(), observed(1000, 1200)));
        one.share(&store).unwrap();
        assert_eq!(store.value.borrow().0.len(), MODELS_MAX * ENTRY_BYTES);
        // Garbage in the slot is read as far as it goes.
        *store.value.borrow_mut() = (vec![0xff; ENTRY_BYTES * (MODELS_MAX + 5) + 3], 9);
        one.share(&store).unwrap();
        assert!(one.factors.len() <= MODELS_MAX);
    }
}
