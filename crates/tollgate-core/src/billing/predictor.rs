//! How long answers are, per model.

use hashbrown::HashMap;

/// Most models remembered per worker; one more is not predicted.
const MODELS_MAX: usize = 512;

/// How long answers are, per model: a moving average over about sixteen of them.
#[derive(Clone, Debug, Default)]
pub struct Predictor {
    /// Sixteenths of a token.
    by_model: HashMap<String, u64>,
}

impl Predictor {
    /// The expected length of the model's next answer in tokens; None before the first.
    pub fn expected(&self, model: &str) -> Option<u64> {
        self.by_model.get(model).map(|sixteenths| sixteenths.div_ceil(16).max(1))
    }

    /// Learns the length of an answer.
    pub fn learn(&mut self, model: &str, tokens: u64) {
        let room = self.by_model.len() < MODELS_MAX;
        match self.by_model.get_mut(model) {
            Some(sixteenths) => {
                *sixteenths = sixteenths.saturating_sub(*sixteenths / 16).saturating_add(tokens)
            }
            None if room => {
                self.by_model.insert(model.into(), tokens.saturating_mul(16));
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_predictor_follows_the_answers_and_is_bounded() {
        let mut predictor = Predictor::default();
        assert_eq!(predictor.expected("m"), None);
        predictor.learn("m", 100);
        assert_eq!(predictor.expected("m"), Some(100));
        (0..200).for_each(|_| predictor.learn("m", 500));
        assert!((480..=500).contains(&predictor.expected("m").unwrap()));
        (0..2000).for_each(|n| predictor.learn(&n.to_string(), 1));
        assert_eq!(predictor.by_model.len(), MODELS_MAX);
    }
}
