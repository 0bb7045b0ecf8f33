//! What an answer used, in classes that don't overlap.

use tollgate_wire::TokenCount;

use super::fields::Counter;
pub use super::response::ResponseParser;

/// Tokens used, as the provider reported them. What it did not report is `None`, which is not zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input that no cache served.
    pub input: Option<u64>,
    /// Input read from a cache.
    pub cache_read: Option<u64>,
    /// Input written to a cache.
    pub cache_write: Option<u64>,
    /// The part of the input written to a cache that is kept for an hour.
    pub cache_write_1h: Option<u64>,
    /// Output, with what the model reasoned.
    pub output: Option<u64>,
    /// The part of the output that was reasoning.
    pub reasoning: Option<u64>,
}

impl Usage {
    /// All input, however it was served. `None` when nothing was said about input.
    pub fn total_input(&self) -> Option<u64> {
        sum([self.input, self.cache_read, self.cache_write])
    }

    /// Input and output. `None` when nothing was said about either.
    pub fn total(&self) -> Option<u64> {
        sum([self.total_input(), self.output])
    }
}

fn sum<const N: usize>(parts: [Option<u64>; N]) -> Option<u64> {
    parts.into_iter().flatten().reduce(u64::saturating_add)
}

/// What was seen of an answer so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The usage reported so far.
    pub usage: Usage,
    /// The provider has reported what the answer used: at least its output, and not only the guess it starts with. When
    /// [`Observed::finished`] is false as well, it is a running total, which the rest of the answer may exceed.
    pub reported: bool,
    /// Output tokens, estimated from the text that passed. Hidden reasoning is not in it.
    pub output_estimate: TokenCount,
    /// Words of the text that passed.
    pub output_words: u64,
    /// Bytes of body that passed.
    pub body_bytes: u64,
    /// The answer reports an error, whatever its status was.
    pub error: bool,
    /// There is no answer yet: it is made after this response, and fetched by another request.
    pub deferred: bool,
    /// The answer was complete: its JSON was closed, or its stream said that it ended.
    pub finished: bool,
    /// The model that answered.
    pub model: Option<String>,
}

/// The counters as the provider names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    input: Option<u64>,
    input_of_tools: Option<u64>,
    cache_read_within: Option<u64>,
    cache_write_within: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    cache_write_short: Option<u64>,
    cache_write_long: Option<u64>,
    output: Option<u64>,
    reasoning: Option<u64>,
    reasoning_beside: Option<u64>,
    total: Option<u64>,
}

impl Counters {
    /// Counters are running totals: a later one replaces, never adds.
    pub fn set(&mut self, counter: Counter, amount: u64) {
        *self.slot(counter) = Some(amount);
    }

    /// For a counter that comes in parts.
    pub fn add(&mut self, counter: Counter, amount: u64) {
        let slot = self.slot(counter);
        *slot = Some(slot.unwrap_or(0).saturating_add(amount));
    }

    fn slot(&mut self, counter: Counter) -> &mut Option<u64> {
        match counter {
            Counter::Input => &mut self.input,
            Counter::InputOfTools => &mut self.input_of_tools,
            Counter::CacheReadWithin => &mut self.cache_read_within,
            Counter::CacheWriteWithin => &mut self.cache_write_within,
            Counter::CacheRead => &mut self.cache_read,
            Counter::CacheWrite => &mut self.cache_write,
            Counter::CacheWriteShort => &mut self.cache_write_short,
            Counter::CacheWriteLong => &mut self.cache_write_long,
            Counter::Output => &mut self.output,
            Counter::Reasoning => &mut self.reasoning,
            Counter::ReasoningBeside => &mut self.reasoning_beside,
            Counter::Total => &mut self.total,
        }
    }

    /// These counters, and where one is missing the other's.
    pub fn or(self, other: Self) -> Self {
        Self {
            input: self.input.or(other.input),
            input_of_tools: self.input_of_tools.or(other.input_of_tools),
            cache_read_within: self.cache_read_within.or(other.cache_read_within),
            cache_write_within: self.cache_write_within.or(other.cache_write_within),
            cache_read: self.cache_read.or(other.cache_read),
            cache_write: self.cache_write.or(other.cache_write),
            cache_write_short: self.cache_write_short.or(other.cache_write_short),
            cache_write_long: self.cache_write_long.or(other.cache_write_long),
            output: self.output.or(other.output),
            reasoning: self.reasoning.or(other.reasoning),
            reasoning_beside: self.reasoning_beside.or(other.reasoning_beside),
            total: self.total.or(other.total),
        }
    }

    /// The counters in classes that don't overlap.
    pub fn usage(&self) -> Usage {
        let within = self.cache_read_within.unwrap_or(0).saturating_add(self.cache_write_within.unwrap_or(0));
        let more = self.input_of_tools.unwrap_or(0);
        let beside = self.reasoning_beside.unwrap_or(0);
        let output_left = || Some(self.total?.saturating_sub(self.input?.saturating_add(more)));
        Usage {
            input: self.input.map(|input| input.saturating_sub(within).saturating_add(more)),
            cache_read: self.cache_read_within.or(self.cache_read),
            cache_write: self
                .cache_write_within
                .or(self.cache_write)
                .or(sum([self.cache_write_short, self.cache_write_long])),
            cache_write_1h: self.cache_write_long,
            // Embeddings report the input and a total, and so does Gemini where nothing was said.
            output: self.output.map(|output| output.saturating_add(beside)).or_else(output_left),
            reasoning: self.reasoning.or(self.reasoning_beside),
        }
    }
}

impl Usage {
    /// What was reported last, completed by what was told at the start. Some servers repeat the input as zero.
    pub(super) fn or_at_start(self, start: Self) -> Self {
        let input_side =
            |last: Option<u64>, start: Option<u64>| last.filter(|count| *count > 0).or(start).or(last);
        Self {
            input: input_side(self.input, start.input),
            cache_read: input_side(self.cache_read, start.cache_read),
            cache_write: input_side(self.cache_write, start.cache_write),
            cache_write_1h: input_side(self.cache_write_1h, start.cache_write_1h),
            output: self.output.or(start.output),
            reasoning: self.reasoning.or(start.reasoning),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(counts: &[(Counter, u64)]) -> Usage {
        let mut counters = Counters::default();
        counts.iter().for_each(|(counter, amount)| counters.set(*counter, *amount));
        counters.usage()
    }

    #[test]
    fn cached_tokens_leave_the_input_that_includes_them() {
        let within =
            usage(&[(Counter::Input, 100), (Counter::CacheReadWithin, 60), (Counter::CacheWriteWithin, 30)]);
        assert_eq!((within.input, within.cache_read, within.cache_write), (Some(10), Some(60), Some(30)));
        let beside = usage(&[(Counter::Input, 100), (Counter::CacheRead, 60), (Counter::CacheWrite, 30)]);
        assert_eq!((beside.input, beside.cache_read, beside.cache_write), (Some(100), Some(60), Some(30)));
        assert_eq!((within.total_input(), beside.total_input()), (Some(100), Some(190)));
        let wrong = usage(&[(Counter::Input, 10), (Counter::CacheReadWithin, 60)]);
        assert_eq!(wrong.input, Some(0));
    }

    #[test]
    fn what_is_missing_stays_missing() {
        assert_eq!(usage(&[]), Usage::default());
        assert_eq!((Usage::default().total_input(), Usage::default().total()), (None, None));
        let output = usage(&[(Counter::Output, 7)]);
        assert_eq!((output.total_input(), output.total()), (None, Some(7)));
    }

    #[test]
    fn a_total_tells_the_output_only_where_it_is_not_listed() {
        assert_eq!(usage(&[(Counter::Input, 9), (Counter::Total, 9)]).output, Some(0));
        assert_eq!(usage(&[(Counter::Input, 9), (Counter::Total, 15)]).output, Some(6));
        assert_eq!(usage(&[(Counter::Input, 9), (Counter::Output, 1), (Counter::Total, 15)]).output, Some(1));
        assert_eq!(usage(&[(Counter::Total, 15)]).output, None);
    }

    #[test]
    fn what_is_told_beside_is_added() {
        let beside = usage(&[
            (Counter::Input, 310),
            (Counter::InputOfTools, 90),
            (Counter::CacheReadWithin, 256),
            (Counter::Output, 40),
            (Counter::ReasoningBeside, 80),
        ]);
        assert_eq!((beside.input, beside.output, beside.reasoning), (Some(144), Some(120), Some(80)));
        let nothing_said = usage(&[
            (Counter::Input, 310),
            (Counter::InputOfTools, 90),
            (Counter::ReasoningBeside, 80),
            (Counter::Total, 480),
        ]);
        assert_eq!((nothing_said.output, nothing_said.reasoning), (Some(80), Some(80)));
    }

    #[test]
    fn parts_of_cache_writes_stand_in_for_their_sum() {
        let parts = [(Counter::CacheWriteShort, 88), (Counter::CacheWriteLong, 100)];
        assert_eq!((usage(&parts).cache_write, usage(&parts).cache_write_1h), (Some(188), Some(100)));
        assert_eq!(usage(&[parts[0], parts[1], (Counter::CacheWrite, 190)]).cache_write, Some(190));
    }

    #[test]
    fn the_start_completes_the_end_and_zero_input_erases_nothing() {
        let start = Usage {
            input: Some(21),
            cache_read: Some(5),
            cache_write: None,
            cache_write_1h: Some(3),
            output: Some(1),
            reasoning: None,
        };
        let end = Usage { input: Some(0), output: Some(0), cache_write: Some(0), ..Usage::default() };
        let merged = end.or_at_start(start);
        assert_eq!(
            merged,
            Usage {
                input: Some(21),
                cache_read: Some(5),
                cache_write: Some(0),
                cache_write_1h: Some(3),
                output: Some(0),
                reasoning: None
            }
        );
        assert_eq!(Usage { input: Some(30), ..end }.or_at_start(start).input, Some(30));
    }
}
