//! A burst allowance: units beyond a rate, once, until an operator resets it.

/// Units that may be used where the rate has none left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Units there are.
    pub amount: u64,
    /// A change of this number makes it whole again.
    pub generation: u32,
}

/// What is used of an allowance. The default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spare {
    /// Units used.
    pub used: u64,
    /// The generation they were used in.
    pub generation: u32,
}

impl Spare {
    /// Forgets what was used in another generation.
    pub fn renew(&mut self, allowance: &Allowance) {
        if self.generation != allowance.generation {
            *self = Self { used: 0, generation: allowance.generation };
        }
    }

    /// Uses `units`, all or nothing. False when they are not there.
    #[must_use]
    pub fn take(&mut self, allowance: &Allowance, units: u64) -> bool {
        let after = self.used.saturating_add(units);
        let fits = after <= allowance.amount;
        if fits {
            self.used = after;
        }
        fits
    }

    /// Corrects what was taken as `held` in a generation to what was `used`. An earlier generation's is over and done.
    pub fn settle(&mut self, generation: u32, held: u64, used: u64) {
        if generation == self.generation {
            self.used = self.used.saturating_sub(held).saturating_add(used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_used_once_per_generation() {
        let allowance = Allowance { amount: 3, generation: 1 };
        let mut spare = Spare::default();
        spare.renew(&allowance);
        assert!(spare.take(&allowance, 2) && !spare.take(&allowance, 2) && spare.take(&allowance, 1));
        spare.renew(&allowance);
        assert!(!spare.take(&allowance, 1));
        spare.settle(0, 2, 0);
        assert_eq!(spare.used, 3);
        spare.settle(1, 2, 1);
        assert!(spare.take(&allowance, 1));
        let next = Allowance { generation: 2, ..allowance };
        spare.renew(&next);
        assert!(spare.take(&next, 3));
    }
}
