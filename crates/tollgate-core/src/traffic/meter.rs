//! An estimate at a bounded price: all of a short text is read, of a long one the beginning and even samples.

use tollgate_wire::TokenCount;

use super::estimate::{Estimator, UNITS_PER_TOKEN};

/// All of an answer's text up to here is read.
const ANSWER_HEAD_BYTES: u64 = 8 * 1024;
/// Answers past this many bytes of text are estimated from samples.
const ANSWER_BYTES_EXPECTED: u64 = 64 * 1024;
/// All of a prompt up to here is read, whatever its length.
const PROMPT_HEAD_BYTES: u64 = 1536;
/// Of what follows, so much is read at a time: long enough that a cut word hardly counts.
const SAMPLE_BYTES: u64 = 192;
/// And so many times, if the text is as long as it was said to be. With the head this bounds what is read of a prompt to
/// 6 KiB, and prompts up to there are read whole: in V8 that takes 10 to 60 us, by the kind of text.
const SAMPLES: u64 = 24;

/// Estimates a text that is handed over in pieces.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    head: Estimator,
    tail: Estimator,
    head_left: u64,
    tail_bytes: u64,
    tail_read: u64,
    /// A sample begins every so many bytes of the tail.
    stride: u64,
    /// Bytes since the current sample began.
    since_sample: u64,
    /// Tokens that are not text.
    extra: u64,
}

impl Meter {
    /// For the text in a request of so many bytes. Should there be more, it is read at the same density.
    pub fn of_prompt(body_bytes: u64) -> Self {
        Self::new(PROMPT_HEAD_BYTES, body_bytes)
    }

    /// For the text of an answer, whose length nobody knows.
    pub fn of_answer() -> Self {
        Self::new(ANSWER_HEAD_BYTES, ANSWER_BYTES_EXPECTED)
    }

    fn new(head_bytes: u64, bytes_expected: u64) -> Self {
        let tail_expected = bytes_expected.saturating_sub(head_bytes);
        Self {
            head: Estimator::new(),
            tail: Estimator::new(),
            head_left: head_bytes,
            tail_bytes: 0,
            tail_read: 0,
            stride: (tail_expected / SAMPLES).max(SAMPLE_BYTES),
            since_sample: 0,
            extra: 0,
        }
    }

    /// Adds tokens that are not text.
    pub fn add(&mut self, tokens: u64) {
        self.extra = self.extra.saturating_add(tokens);
    }

    /// Takes the next piece of text.
    #[inline]
    pub fn feed(&mut self, text: &[u8]) {
        if self.may_pass() > text.len() as u64 {
            self.pass(text.len() as u64);
        } else {
            self.read(text);
        }
    }

    /// How many of the next bytes are between samples, and need not be seen.
    #[inline]
    pub const fn may_pass(&self) -> u64 {
        if self.head_left > 0 || self.since_sample < SAMPLE_BYTES {
            return 0;
        }
        self.stride.saturating_sub(self.since_sample)
    }

    /// Instead of that many bytes or fewer.
    #[inline]
    pub fn pass(&mut self, bytes: u64) {
        self.tail_bytes = self.tail_bytes.saturating_add(bytes);
        self.since_sample = self.since_sample.saturating_add(bytes);
        self.end_stride();
    }

    fn read(&mut self, text: &[u8]) {
        let (head, tail) = split(text, self.head_left);
        self.head.feed(head);
        self.head_left -= head.len() as u64;
        if !tail.is_empty() {
            self.feed_tail(tail);
        }
    }

    /// The texts before and after this have nothing to do with each other.
    #[inline]
    pub fn cut(&mut self) {
        if self.may_pass() == 0 {
            if self.head_left > 0 { self.head.cut() } else { self.tail.cut() }
        }
    }

    fn feed_tail(&mut self, mut text: &[u8]) {
        while !text.is_empty() {
            let (sample, rest) = split(text, SAMPLE_BYTES.saturating_sub(self.since_sample));
            self.tail.feed(sample);
            self.tail_read += sample.len() as u64;
            self.tail_bytes = self.tail_bytes.saturating_add(sample.len() as u64);
            self.since_sample += sample.len() as u64;
            self.end_stride();
            let (between, rest) = split(rest, self.may_pass());
            if !between.is_empty() {
                self.pass(between.len() as u64);
            }
            text = rest;
        }
    }

    fn end_stride(&mut self) {
        if self.since_sample >= self.stride {
            self.since_sample = 0;
            if self.stride > SAMPLE_BYTES {
                self.tail.cut();
            }
        }
    }

    /// The words of all that was fed.
    pub fn words(&self) -> u64 {
        let scaled =
            u128::from(self.tail.words()) * u128::from(self.tail_bytes) / u128::from(self.tail_read.max(1));
        self.head.words().saturating_add(u64::try_from(scaled).unwrap_or(u64::MAX))
    }

    /// The tokens of all that was fed, rounded up.
    pub fn tokens(&self) -> TokenCount {
        let read = u128::from(self.tail.cost_256ths());
        let scaled = read * u128::from(self.tail_bytes) / u128::from(self.tail_read.max(1));
        let units = u128::from(self.head.cost_256ths()).saturating_add(scaled);
        let text = u64::try_from(units.div_ceil(u128::from(UNITS_PER_TOKEN))).unwrap_or(u64::MAX);
        TokenCount(text.saturating_add(self.extra))
    }
}

fn split(text: &[u8], at: u64) -> (&[u8], &[u8]) {
    usize::try_from(at).ok().and_then(|at| text.split_at_checked(at)).unwrap_or((text, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROSE: &[u8] = b"The quick brown fox, having jumped over 12 lazy dogs, sat down. ";

    fn exact(text: &[u8]) -> u64 {
        let mut estimator = Estimator::new();
        estimator.feed(text);
        estimator.finish().0
    }

    fn metered(text: &[u8], expected: usize, piece: usize) -> u64 {
        let mut meter = Meter::of_prompt(expected as u64);
        text.chunks(piece).for_each(|piece| meter.feed(piece));
        meter.tokens().0
    }

    #[test]
    fn short_texts_are_read_whole() {
        let text = PROSE.repeat(20);
        assert!(text.len() <= PROMPT_HEAD_BYTES as usize);
        assert_eq!(metered(&text, text.len(), 7), exact(&text));
        let text = PROSE.repeat(95);
        assert!(text.len() as u64 <= PROMPT_HEAD_BYTES + SAMPLES * SAMPLE_BYTES);
        let both_halves = metered(&text, text.len(), text.len()).abs_diff(exact(&text));
        assert!(both_halves <= 2, "the word between head and tail is cut");
    }

    #[test]
    fn long_texts_are_scaled_from_samples() {
        for repeats in [1_000, 50_000] {
            let text = PROSE.repeat(repeats);
            let (exact, metered) = (exact(&text), metered(&text, text.len(), 100_000));
            assert!(metered.abs_diff(exact) * 20 < exact, "{metered} for {exact}");
        }
    }

    #[test]
    fn pieces_do_not_matter() {
        let text = PROSE.repeat(2_000);
        for piece in [1, 13, 255, 256, 257, 8192, 100_000] {
            assert_eq!(metered(&text, text.len(), piece), metered(&text, text.len(), text.len()), "{piece}");
        }
    }

    #[test]
    fn what_may_be_passed_counts_as_if_it_had_been_seen() {
        let text = PROSE.repeat(2_000);
        let mut meter = Meter::of_prompt(text.len() as u64);
        let mut rest = text.as_slice();
        let mut passed = 0;
        while !rest.is_empty() {
            let (between, after) = split(rest, meter.may_pass());
            meter.pass(between.len() as u64);
            passed += between.len();
            let (seen, after) = split(after, 64);
            meter.feed(seen);
            rest = after;
        }
        assert!(passed > text.len() / 2);
        assert_eq!(meter.tokens().0, metered(&text, text.len(), text.len()));
    }

    #[test]
    fn no_more_is_read_than_the_bound() {
        for bytes in [PROMPT_HEAD_BYTES, PROMPT_HEAD_BYTES + 1, 6_144, 6_145, 1 << 20] {
            let mut meter = Meter::of_prompt(bytes);
            meter.feed(&vec![b'a'; bytes as usize]);
            let read = PROMPT_HEAD_BYTES - meter.head_left + meter.tail_read;
            assert!(read <= PROMPT_HEAD_BYTES + (SAMPLES + 1) * SAMPLE_BYTES, "{read} of {bytes}");
            assert_eq!(meter.tail_bytes, bytes - PROMPT_HEAD_BYTES);
        }
    }

    #[test]
    fn a_text_without_end_is_still_counted() {
        let mut meter = Meter::of_prompt(0);
        (0..1_000).for_each(|_| meter.feed(PROSE));
        assert!(meter.tokens().0.abs_diff(exact(&PROSE.repeat(1_000))) < 20);
    }
}
