//! What models cost, exactly: whole nano dollars per million tokens, one rounding per request.

mod names;
mod table;

pub use table::{PriceError, PriceTable};

use tollgate_wire::NanoUsd;

/// Prices are for this many tokens, so that the cheapest ($0.005 per million) are whole numbers too.
pub const TOKENS_PER_PRICE: u64 = 1_000_000;

/// One model's price list. Amounts are for a million tokens each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Input that no cache served.
    pub input: NanoUsd,
    /// Output, with what the model reasoned.
    pub output: NanoUsd,
    /// Input read from a cache; what input costs if absent.
    pub cached_input: Option<NanoUsd>,
    /// Input written to a cache; what input costs if absent.
    pub cache_write: Option<NanoUsd>,
    /// Input written to a cache for an hour; what other writes cost if absent.
    pub cache_write_1h: Option<NanoUsd>,
    /// Dearer rates for long requests.
    pub long_context: Option<LongContext>,
    /// The longest answer the model gives, if known, in tokens.
    pub max_output_tokens: Option<u64>,
}

/// The rates for the whole of a request whose input is long. Amounts are for a million tokens each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongContext {
    /// The rates hold for requests with more input than this, cached input included.
    pub above_input_tokens: u64,
    /// Input that no cache served.
    pub input: NanoUsd,
    /// Output.
    pub output: NanoUsd,
    /// Input read from a cache; what long input costs if absent.
    pub cached_input: Option<NanoUsd>,
}

/// A part of a price, or a multiple: 0 to 10,000 percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u32);

impl Percent {
    /// The price as it is.
    pub const ALL: Self = Self(100);

    /// None beyond a hundred times the price, which is a typing error.
    pub const fn new(percent: u32) -> Option<Self> {
        if percent <= 10_000 { Some(Self(percent)) } else { None }
    }
}

/// A request's tokens by what they cost. No token is in two classes, but for the part of one that is said to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenClasses {
    /// Input that no cache served.
    pub input: u64,
    /// Input read from a cache.
    pub cache_read: u64,
    /// Input written to a cache.
    pub cache_write: u64,
    /// The part of `cache_write` that is kept for an hour.
    pub cache_write_1h: u64,
    /// Output, with what the model reasoned.
    pub output: u64,
}

impl TokenClasses {
    /// All input, however it was served.
    pub const fn total_input(&self) -> u64 {
        self.input.saturating_add(self.cache_read).saturating_add(self.cache_write)
    }
}

/// What a million tokens of each class cost, with every default applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rates {
    input: NanoUsd,
    cache_read: NanoUsd,
    cache_write: NanoUsd,
    cache_write_1h: NanoUsd,
    output: NanoUsd,
}

impl Rates {
    /// The dearer of the two in each class.
    fn max(self, other: Self) -> Self {
        Self {
            input: self.input.max(other.input),
            cache_read: self.cache_read.max(other.cache_read),
            cache_write: self.cache_write.max(other.cache_write),
            cache_write_1h: self.cache_write_1h.max(other.cache_write_1h),
            output: self.output.max(other.output),
        }
    }
}

impl Price {
    /// What a request costs: the exact sum over its classes, rounded up once to the next nano dollar. Saturates at
    /// the largest amount.
    pub fn cost(&self, usage: &TokenClasses) -> NanoUsd {
        self.cost_of_parts(usage, &[])
    }

    /// What a part of a part of the price costs: the exact product, rounded up once. Saturates.
    pub fn cost_of_parts(&self, usage: &TokenClasses, parts: &[Percent]) -> NanoUsd {
        let rates = self.rates(usage.total_input());
        let kept_long = usage.cache_write_1h.min(usage.cache_write);
        let exact = [
            (usage.input, rates.input),
            (usage.cache_read, rates.cache_read),
            (usage.cache_write - kept_long, rates.cache_write),
            (kept_long, rates.cache_write_1h),
            (usage.output, rates.output),
        ]
        .into_iter()
        .map(|(tokens, NanoUsd(rate))| u128::from(tokens) * u128::from(rate))
        .fold(0, u128::saturating_add);
        let changed = |percent: &&Percent| **percent != Percent::ALL;
        let (exact, divisor) = parts
            .iter()
            .filter(changed)
            .fold((exact, u128::from(TOKENS_PER_PRICE)), |(exact, divisor), percent| {
                (exact.saturating_mul(u128::from(percent.0)), divisor * 100)
            });
        let rounded = exact.div_ceil(divisor);
        NanoUsd(u64::try_from(rounded).unwrap_or(u64::MAX))
    }

    /// True when nothing is charged, as for a model that runs on one's own machine.
    pub const fn is_free(&self) -> bool {
        self.input.is_zero() && self.output.is_zero()
    }

    fn rates(&self, input_tokens: u64) -> Rates {
        match &self.long_context {
            Some(long) if input_tokens > long.above_input_tokens => self.long_rates(long),
            _ => self.short_rates(),
        }
    }

    fn short_rates(&self) -> Rates {
        let cache_write = self.cache_write.unwrap_or(self.input);
        Rates {
            input: self.input,
            cache_read: self.cached_input.unwrap_or(self.input),
            cache_write,
            cache_write_1h: self.cache_write_1h.unwrap_or(cache_write),
            output: self.output,
        }
    }

    /// No source states a long rate for cache writes; a write is at least input, and never gets cheaper.
    fn long_rates(&self, long: &LongContext) -> Rates {
        let cache_write = self.cache_write.unwrap_or(long.input).max(long.input);
        Rates {
            input: long.input,
            cache_read: long.cached_input.unwrap_or(long.input),
            cache_write,
            cache_write_1h: self.cache_write_1h.unwrap_or(cache_write).max(cache_write),
            output: long.output,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GPT: Price = Price {
        input: NanoUsd(2_000_000_000),
        output: NanoUsd(10_000_000_000),
        cached_input: Some(NanoUsd(200_000_000)),
        cache_write: Some(NanoUsd(2_500_000_000)),
        cache_write_1h: None,
        long_context: Some(LongContext {
            above_input_tokens: 272_000,
            input: NanoUsd(4_000_000_000),
            output: NanoUsd(15_000_000_000),
            cached_input: Some(NanoUsd(400_000_000)),
        }),
        max_output_tokens: Some(128_000),
    };

    fn classes(input: u64, cache_read: u64, cache_write: u64, output: u64) -> TokenClasses {
        TokenClasses { input, cache_read, cache_write, output, ..TokenClasses::default() }
    }

    #[test]
    fn each_class_has_its_rate() {
        // 1000 * $2 + 2000 * $0.20 + 300 * $2.50 + 400 * $10 = $7,150 for a million = 7,150,000 nano dollars.
        assert_eq!(GPT.cost(&classes(1000, 2000, 300, 400)), NanoUsd(7_150_000));
        assert_eq!(GPT.cost(&classes(0, 0, 0, 0)), NanoUsd::ZERO);
    }

    #[test]
    fn what_a_cache_keeps_for_an_hour_has_a_rate_of_its_own() {
        let price = Price { cache_write_1h: Some(NanoUsd(4_000_000_000)), ..GPT };
        let kept = |cache_write_1h| TokenClasses { cache_write_1h, ..classes(0, 0, 300, 0) };
        // 200 * $2.50 + 100 * $4.
        assert_eq!(price.cost(&kept(100)), NanoUsd(900_000));
        assert_eq!(price.cost(&kept(300)), NanoUsd(1_200_000));
        // A part is no more than the whole; and without a rate it costs what other writes cost.
        assert_eq!(price.cost(&kept(400)), price.cost(&kept(300)));
        assert_eq!(GPT.cost(&kept(100)), GPT.cost(&kept(0)));
        // Long requests' rates never make it cheaper than other writes.
        let long = TokenClasses { cache_write_1h: 10, ..classes(300_000, 0, 10, 0) };
        assert_eq!(price.cost(&long), NanoUsd(300_010 * 4_000));
    }

    #[test]
    fn the_sum_is_rounded_up_once() {
        let third = NanoUsd(333_333);
        let price = Price {
            input: third,
            output: third,
            cached_input: Some(third),
            cache_write: Some(third),
            ..Price::default()
        };
        // A third of a nano dollar per token: one is one, three are one, four are two. Rounding each class would say 4.
        assert_eq!(price.cost(&classes(1, 0, 0, 0)), NanoUsd(1));
        assert_eq!(price.cost(&classes(1, 1, 1, 0)), NanoUsd(1));
        assert_eq!(price.cost(&classes(1, 1, 1, 1)), NanoUsd(2));
        // Exactly whole is not rounded up.
        let whole = Price { input: NanoUsd(500_000), ..Price::default() };
        assert_eq!(whole.cost(&classes(2, 0, 0, 0)), NanoUsd(1));
        assert_eq!(whole.cost(&classes(3, 0, 0, 0)), NanoUsd(2));
    }

    #[test]
    fn cache_without_a_price_costs_what_input_costs() {
        let price = Price { cached_input: None, cache_write: None, ..GPT };
        assert_eq!(price.cost(&classes(0, 10, 10, 0)), price.cost(&classes(20, 0, 0, 0)));
        // Zero is a price.
        let free_writes = Price { cache_write: Some(NanoUsd::ZERO), ..GPT };
        assert_eq!(free_writes.cost(&classes(0, 0, 1000, 0)), NanoUsd::ZERO);
    }

    #[test]
    fn long_rates_hold_for_the_whole_request_past_the_threshold() {
        assert_eq!(GPT.cost(&classes(272_000, 0, 0, 100)), NanoUsd(272_000 * 2_000 + 100 * 10_000));
        assert_eq!(GPT.cost(&classes(272_001, 0, 0, 100)), NanoUsd(272_001 * 4_000 + 100 * 15_000));
        // Cached input counts towards the threshold.
        assert_eq!(GPT.cost(&classes(1, 272_000, 0, 0)), NanoUsd(4_000 + 272_000 * 400));
        assert_eq!(GPT.cost(&classes(1, 272_000, 1, 0)), NanoUsd(4_000 + 272_000 * 400 + 4_000));
    }

    #[test]
    fn a_part_of_the_price_is_rounded_up_once_as_well() {
        let price = Price { input: NanoUsd(500_000), ..Price::default() };
        let parts = [Percent(50), Percent(30)];
        // 0.5 nano-dollars a token: 20 tokens at 15 % are 1.5.
        assert_eq!(price.cost_of_parts(&classes(20, 0, 0, 0), &parts), NanoUsd(2));
        assert_eq!(price.cost_of_parts(&classes(20, 0, 0, 0), &[Percent(0)]), NanoUsd(0));
        assert_eq!(price.cost_of_parts(&classes(20, 0, 0, 0), &[Percent(10_000)]), NanoUsd(1000));
        assert_eq!(Percent::new(10_000), Some(Percent(10_000)));
        assert_eq!(Percent::new(10_001), None);
    }

    proptest! {
        #[test]
        fn costs_add_up_and_grow_with_use(
            a in any::<[u32; 4]>(), b in any::<[u32; 4]>(), rates in any::<[u32; 4]>(), parts in any::<[u16; 2]>(),
        ) {
            let of = |[input, cache_read, cache_write, output]: [u32; 4]|
                classes(input.into(), cache_read.into(), cache_write.into(), output.into());
            let nano = |index: usize| NanoUsd(rates[index].into());
            let price = Price {
                input: nano(0), output: nano(1), cached_input: Some(nano(2)), cache_write: Some(nano(3)),
                ..Price::default()
            };
            let parts = parts.map(|part| Percent(u32::from(part) % 10_001));
            let cost = |usage| price.cost_of_parts(&usage, &parts).0;
            let (one, other) = (of(a), of(b));
            let both = classes(one.input + other.input, one.cache_read + other.cache_read,
                one.cache_write + other.cache_write, one.output + other.output);
            // Rounding up each of two requests adds at most one nano dollar, and never takes one away.
            let (apart, together) = (cost(one) + cost(other), cost(both));
            prop_assert!(together <= apart && apart <= together + 1, "{} {}", together, apart);
            prop_assert!(cost(one) <= together);
        }

        #[test]
        fn no_usage_and_no_price_overflows(usage in any::<[u64; 4]>(), rate: u64, part in 0u32..=10_000) {
            let price = Price { input: NanoUsd(rate), output: NanoUsd(rate), ..Price::default() };
            let usage = classes(usage[0], usage[1], usage[2], usage[3]);
            let (whole, part_of) = (price.cost(&usage), price.cost_of_parts(&usage, &[Percent(part)]));
            if part <= 100 { prop_assert!(part_of <= whole) } else { prop_assert!(part_of >= whole) }
        }
    }

    #[test]
    fn the_largest_amounts_saturate() {
        let most = Price { input: NanoUsd(u64::MAX), output: NanoUsd(u64::MAX), ..Price::default() };
        assert_eq!(most.cost(&classes(u64::MAX, u64::MAX, u64::MAX, u64::MAX)), NanoUsd(u64::MAX));
        assert_eq!(most.cost(&classes(1_000_000, 0, 0, 0)), NanoUsd(u64::MAX));
        assert_eq!(most.cost(&classes(1_000_000, 0, 0, 1)), NanoUsd(u64::MAX));
    }
}
