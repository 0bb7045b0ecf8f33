//! What a request asks for and what it used, meter by meter.

use tollgate_wire::{Credits, NanoUsd, TokenCount};

use crate::policy::Meter;

/// An amount of everything that is counted, besides the request itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Input tokens, cached ones included.
    pub input: TokenCount,
    /// Output tokens, reasoning included.
    pub output: TokenCount,
    /// Their cost.
    pub cost: NanoUsd,
    /// Their cost in credits.
    pub credits: Credits,
}

impl Amounts {
    /// The units a meter counts of this.
    pub const fn of(&self, meter: Meter) -> u64 {
        match meter {
            Meter::Requests => 1,
            Meter::Tokens => self.input.0.saturating_add(self.output.0),
            Meter::InputTokens => self.input.0,
            Meter::OutputTokens => self.output.0,
            Meter::Cost => self.cost.0,
            Meter::Credits => self.credits.0,
            // Reported by the server, not used by a request.
            Meter::Ram | Meter::Ssd => 0,
        }
    }
}

/// What is reserved before a request is let through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// What it will likely use: rates reserve this.
    pub expected: Amounts,
    /// What it can use at most: quotas hold this.
    pub bound: Amounts,
}
