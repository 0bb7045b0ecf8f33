//! When an answer that passes has to be looked at: it may have outgrown what is reserved for it.
//!
//! Output is counted in tokens, which costs something; bytes are counted anyway. A token takes at least half a byte, so
//! that as long as fewer bytes have come than half the tokens left, nothing can have happened: a look is a comparison.

use crate::policy::config::MidStream;
use crate::policy::{Kind, Policy};

use super::{Demand, Reservation};

/// A stream that only takes more as it goes is looked at once in so many bytes: four or five events of a token each.
const LOOK_BYTES_MIN: u64 = 1024;

/// A stream that can be ended is topped up this much ahead, so that what is on its way still fits.
const AHEAD_TOKENS: u64 = 16;

/// What is taken at a time, and what is tried where there is no room for that: nearly all of a limit can be used, and a
/// swap pays for some hundreds of tokens but for the last few.
const STEPS: [u64; 5] = [256, 64, 16, 4, 0];

/// Follows an answer's length against what is reserved for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Not before so many bytes.
    look_at: u64,
    /// Output tokens that every limit has reserved.
    reserved: u64,
    /// How much is taken at a time: an index of [`STEPS`].
    step: usize,
    ends: bool,
}

impl Watch {
    /// Looks at nothing.
    pub const OFF: Self = Self { look_at: u64::MAX, reserved: u64::MAX, step: 0, ends: false };

    /// For an answer to a request that was admitted with this demand. Without `ends` no limit ends streams.
    pub fn of(policy: &Policy, reservation: &Reservation, demand: &Demand, ends: bool) -> Self {
        let mut watch = Self::OFF;
        if !policy.reads().growth {
            return watch;
        }
        for limit in reservation.held.iter().filter_map(|held| policy.limit(held.limit)) {
            if limit.mid_stream == MidStream::Off {
                continue;
            }
            let reserved = match limit.kind {
                Kind::Rate(_) => demand.expected.output.0,
                _ => demand.bound.output.0,
            };
            watch.reserved = watch.reserved.min(reserved);
            watch.ends |= ends && limit.mid_stream == MidStream::End;
            watch.look_at = 0;
        }
        if watch.look_at == 0 {
            watch.next_look(0, 0);
        }
        watch
    }

    /// True when the answer has to be looked at, of which so many bytes have come.
    pub const fn is_due(&self, body_bytes: u64) -> bool {
        body_bytes >= self.look_at
    }

    /// A limit may end the stream.
    pub const fn ends(&self) -> bool {
        self.ends
    }

    /// No limit ends it any more: it is nothing that can be ended, or nobody enforces it.
    pub fn finishes(&mut self) {
        (self.ends, self.step) = (false, 0);
    }

    /// Looks at the output so far: how many output tokens have to be reserved now, if what is reserved does not do.
    pub fn look(&mut self, body_bytes: u64, output: u64) -> Option<u64> {
        let ahead = output.saturating_add(self.ahead());
        if ahead <= self.reserved {
            self.next_look(body_bytes, output);
            return None;
        }
        Some(ahead.saturating_add(STEPS.get(self.step).copied().unwrap_or(0)))
    }

    /// So many output tokens are reserved now, after `output` of them have come.
    pub fn is_reserved(&mut self, body_bytes: u64, output: u64, reserved: u64) {
        self.reserved = reserved;
        self.next_look(body_bytes, output);
    }

    /// Nothing could be decided: it is looked at again a little later.
    pub fn looks_later(&mut self, body_bytes: u64) {
        self.look_at = body_bytes.saturating_add(LOOK_BYTES_MIN);
    }

    /// There was no room for as much. True when less is worth another try.
    pub fn takes_less(&mut self) -> bool {
        self.step += 1;
        self.step < STEPS.len()
    }

    const fn ahead(&self) -> u64 {
        if self.ends { AHEAD_TOKENS } else { 0 }
    }

    fn next_look(&mut self, body_bytes: u64, output: u64) {
        let left = self.reserved.saturating_sub(output).saturating_sub(self.ahead()) / 2;
        let least = if self.ends { 1 } else { LOOK_BYTES_MIN };
        self.look_at = body_bytes.saturating_add(left.max(least));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use tollgate_wire::TokenCount;

    use super::*;
    use crate::limiter::Amounts;
    use crate::limiter::decision::Held;
    use crate::policy::LimitId;

    fn demand(expected: u64, bound: u64) -> Demand {
        let of = |output| Amounts { output: TokenCount(output), ..Amounts::default() };
        Demand { expected: of(expected), bound: of(bound) }
    }

    fn watch(limits: serde_json::Value, ends: bool) -> Watch {
        let policy = Policy::from_json(json!({"limits": limits})).unwrap();
        let held = |(at, _)| Held {
            account: 1,
            cell: 1,
            limit: LimitId(at as u16),
            amount: 1,
            excess: 0,
            window: 0,
            spare: false,
            life: 0,
            percent: 100,
            tight: false,
            spared: 0,
        };
        let reservation = Reservation { held: policy.limits().iter().enumerate().map(held).collect() };
        Watch::of(&policy, &reservation, &demand(100, 4000), ends)
    }

    fn rate(mid_stream: &str) -> serde_json::Value {
        json!({"name": "r", "meter": "tokens", "rate": {"amount": 9000, "per": "hour"}, "mid_stream": mid_stream})
    }

    fn quota(mid_stream: &str) -> serde_json::Value {
        json!({"name": "q", "meter": "cost", "quota": {"amount": 1, "per": "day"}, "mid_stream": mid_stream})
    }

    #[test]
    fn only_streams_that_a_limit_can_be_outgrown_by_are_looked_at() {
        for limits in [json!([]), json!([{"name": "c", "concurrency": 1}]), json!([rate("off")])] {
            assert_eq!(watch(limits, true), Watch::OFF);
        }
        assert!(!Watch::OFF.is_due(u64::MAX - 1));
        let reserved = |limits, ends| {
            let watch = watch(limits, ends);
            (watch.reserved, watch.ends())
        };
        assert_eq!(reserved(json!([rate("finish"), quota("end")]), true), (100, true));
        assert_eq!(reserved(json!([rate("off"), quota("end")]), true), (4000, true));
        assert_eq!(reserved(json!([rate("finish"), quota("finish")]), true), (100, false));
        assert_eq!(reserved(json!([rate("end")]), false), (100, false));
    }

    #[test]
    fn a_stream_that_finishes_is_looked_at_once_in_a_kilobyte() {
        let mut watch = watch(json!([quota("finish")]), true);
        assert!(!watch.is_due(1999) && watch.is_due(2000));
        assert_eq!(watch.look(2000, 3000), None);
        assert!(!watch.is_due(3023) && watch.is_due(3024));
        assert_eq!(watch.look(3024, 4001), Some(4257));
        watch.is_reserved(3024, 4001, 4257);
        assert!(!watch.is_due(4047) && watch.is_due(4048));
        assert_eq!(watch.look(4048, 4257), None);
    }

    proptest! {
        /// A stream that can be ended never outgrows what is reserved, and ends just before a limit does.
        #[test]
        fn a_stream_that_can_be_ended_stays_within_its_limit_and_uses_nearly_all_of_it(
            limit in 120u64..3000, events in prop::collection::vec((1u64..400, 0u64..=16), 1..2000),
        ) {
            let mut watch = watch(json!([rate("end")]), true);
            let (mut bytes, mut output, mut ended, mut taken) = (0u64, 0u64, false, 0u32);
            for (size, tokens) in events {
                bytes += size.max(tokens.div_ceil(2));
                output += tokens;
                while watch.is_due(bytes) && !ended {
                    let Some(wanted) = watch.look(bytes, output) else { break };
                    if wanted <= limit {
                        watch.is_reserved(bytes, output, wanted);
                        taken += 1;
                        break;
                    }
                    ended = !watch.takes_less();
                }
                prop_assert!(output <= watch.reserved, "{output} of {}", watch.reserved);
                if ended {
                    break;
                }
            }
            prop_assert!(watch.reserved <= limit.max(100));
            if ended {
                prop_assert!(output + 16 > limit, "{output} of {limit}");
            }
            // One for each chunk, and some at the end.
            prop_assert!(u64::from(taken) <= output / 240 + 16, "{taken} swaps for {output} tokens");
        }
    }
}
