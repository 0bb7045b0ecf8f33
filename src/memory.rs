//! The memory of models as an operator told it: entered when it is told, and held on where no model server reports. Only the model is known:
//! it is about limits keyed by the model, or by nothing.

use log::warn;
use tollgate_core::policy::Attributes;
use tollgate_core::time::{NANOS_PER_SECOND, Now};

use crate::worker::{State, Worker};

/// Between two times that what was told is held on.
pub const HOLD_EVERY_NS: u64 = 10 * NANOS_PER_SECOND;

impl Worker {
    /// Enters what was told of these models, whatever their servers reported before.
    pub fn memory_told(&self, state: &mut State, now: Now, models: &[String]) {
        let State { limiter, decided, .. } = state;
        for (model, memory) in decided.memory().filter(|(model, _)| models.iter().any(|told| told == model)) {
            let request = Attributes { model, ..Attributes::default() };
            let entered = limiter.report_memory(&self.policy, &self.store, now, &request, memory);
            if let Err(undecided) = entered {
                warn!("the memory of a model was not entered, and will be in a while: {undecided}");
            }
        }
    }

    /// Holds on what was told, where no server reports by itself.
    pub fn hold_memory(&self, state: &mut State, now: Now) {
        let State { limiter, decided, .. } = state;
        for (model, memory) in decided.memory() {
            let request = Attributes { model, ..Attributes::default() };
            if let Err(undecided) = limiter.hold_memory(&self.policy, &self.store, now, &request, memory) {
                warn!("the memory of a model was not entered, and will be in a while: {undecided}");
            }
        }
    }
}
