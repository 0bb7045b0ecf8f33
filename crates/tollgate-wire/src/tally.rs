//! One tally: what one request used and what it cost. It is the unit of the audit trail and of the journal.

use serde::{Deserialize, Serialize};

use crate::skip::{is_empty, is_false, is_zero};
use crate::{Credits, NanoUsd, TokenCount};

/// How a request ended, as far as the bill is concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Answered; the usage is what the provider reported.
    #[default]
    Ok,
    /// Answered or cut off without a usage report; the charge is an estimate.
    Estimated,
    /// The client went away before the end.
    Aborted,
    /// The upstream answered with an error; its tokens were given back.
    Error,
    /// Tollgate refused it: a limit, an unidentified caller, a model without a price.
    Refused,
    /// Tollgate ended it in mid-stream: a limit had no more. What passed is charged, by estimate.
    Ended,
}

impl Outcome {
    /// The name on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Estimated => "estimated",
            Self::Aborted => "aborted",
            Self::Error => "error",
            Self::Refused => "refused",
            Self::Ended => "ended",
        }
    }
}

/// A threshold that a limit passed, told once per threshold and window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// The limit's name.
    pub limit: String,
    /// The threshold in percent of the limit, 1 to 100.
    pub percent: u8,
}

fn one() -> u32 {
    1
}

fn is_one(count: &u32) -> bool {
    *count == 1
}

/// What one request used and cost. Empty and zero fields are left out on the wire.
///
/// The token classes are disjoint, except that `reasoning` is a part of `output`. `S` is how texts are held: borrowed
/// where a tally is only written, because a request has a dozen of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[serde(bound(serialize = "S: Serialize + AsRef<str>", deserialize = "S: Deserialize<'de> + Default"))]
pub struct TallyOf<S> {
    /// GUID of the transaction (UUID version 7). The ledger enters it once, however often it comes.
    pub id: S,
    /// When the request was decided, milliseconds since the epoch, UTC.
    pub at_ms: u64,
    /// Who pays.
    pub consumer: S,
    /// The consumer's team, if known.
    #[serde(skip_serializing_if = "is_empty")]
    pub team: S,
    /// The consumer's project, if known.
    #[serde(skip_serializing_if = "is_empty")]
    pub project: S,
    /// The tier whose limits applied.
    #[serde(skip_serializing_if = "is_empty")]
    pub tier: S,
    /// Envoy's route name, where the policy reads it.
    #[serde(skip_serializing_if = "is_empty")]
    pub route: S,
    /// The route's `tollgate` metadata: policy.
    #[serde(skip_serializing_if = "is_empty")]
    pub policy: S,
    /// The route's `tollgate` metadata: action.
    #[serde(skip_serializing_if = "is_empty")]
    pub action: S,
    /// The route's `tollgate` metadata: workflow.
    #[serde(skip_serializing_if = "is_empty")]
    pub workflow: S,
    /// The API the request speaks: `openai`, `anthropic`.
    #[serde(skip_serializing_if = "is_empty")]
    pub provider: S,
    /// The model the client asked for.
    #[serde(skip_serializing_if = "is_empty")]
    pub model: S,
    /// The tool the request calls. Ledgers of before it refuse a tally that has one: they are updated before the Envoys. So
    /// with `interface` and `region`.
    #[serde(skip_serializing_if = "is_empty")]
    pub tool: S,
    /// What the client speaks through: `web`, `telegram`.
    #[serde(skip_serializing_if = "is_empty")]
    pub interface: S,
    /// Where the client is.
    #[serde(skip_serializing_if = "is_empty")]
    pub region: S,
    /// HTTP status the client got; 0 when it got none.
    pub status: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// The limit that refused or ended it, if one did.
    #[serde(skip_serializing_if = "is_empty")]
    pub refused_by: S,
    /// Requests this tally stands for: 1. Filters of before the first release sent sums while the ledger was away.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub requests: u32,
    /// Input tokens that were neither read from nor written to a cache.
    #[serde(skip_serializing_if = "TokenCount::is_zero")]
    pub input: TokenCount,
    /// Input tokens read from the provider's cache.
    #[serde(skip_serializing_if = "TokenCount::is_zero")]
    pub cache_read: TokenCount,
    /// Input tokens written to the provider's cache.
    #[serde(skip_serializing_if = "TokenCount::is_zero")]
    pub cache_write: TokenCount,
    /// Output tokens, reasoning included.
    #[serde(skip_serializing_if = "TokenCount::is_zero")]
    pub output: TokenCount,
    /// The part of `output` spent on reasoning.
    #[serde(skip_serializing_if = "TokenCount::is_zero")]
    pub reasoning: TokenCount,
    /// What it costs.
    #[serde(skip_serializing_if = "NanoUsd::is_zero")]
    pub cost_nusd: NanoUsd,
    /// What it costs in credits.
    #[serde(skip_serializing_if = "Credits::is_zero")]
    pub credits: Credits,
    /// Version of the price table the cost was computed with.
    #[serde(skip_serializing_if = "is_zero")]
    pub price_version: u32,
    /// The model has no price of its own: the ceiling price was charged.
    #[serde(skip_serializing_if = "is_false")]
    pub unknown_price: bool,
    /// An operator has exempted the consumer: no limit was asked.
    #[serde(skip_serializing_if = "is_false")]
    pub exempt: bool,
    /// Thresholds passed by this request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// A tally with its own texts.
pub type Tally = TallyOf<String>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golden_bytes_of_a_tally_do_not_change() {
        let tally = Tally {
            id: "01900000-0000-7000-8000-000000000001".into(),
            at_ms: 1_795_305_600_000,
            consumer: "alice".into(),
            tier: "free".into(),
            provider: "openai".into(),
            model: "gpt-5.4-mini".into(),
            status: 200,
            requests: 1,
            input: TokenCount(86),
            cache_read: TokenCount(1920),
            output: TokenCount(300),
            reasoning: TokenCount(192),
            cost_nusd: NanoUsd(1_558_500),
            price_version: 1,
            ..Tally::default()
        };
        let golden = r#"{"id":"01900000-0000-7000-8000-000000000001","at_ms":1795305600000,"consumer":"alice","tier":"free","provider":"openai","model":"gpt-5.4-mini","status":200,"outcome":"ok","input":86,"cache_read":1920,"output":300,"reasoning":192,"cost_nusd":1558500,"price_version":1}"#;
        assert_eq!(serde_json::to_string(&tally).unwrap(), golden);
        assert_eq!(serde_json::from_str::<Tally>(golden).unwrap(), tally);
        let borrowed: TallyOf<&str> = serde_json::from_str(golden).unwrap();
        assert_eq!(serde_json::to_string(&borrowed).unwrap(), golden);
    }

    #[test]
    fn the_golden_bytes_of_a_call_of_a_tool_do_not_change() {
        let tally = Tally {
            id: "01900000-0000-7000-8000-000000000001".into(),
            at_ms: 1_795_305_600_000,
            consumer: "alice".into(),
            action: "answer".into(),
            workflow: "support".into(),
            provider: "mcp".into(),
            tool: "search".into(),
            interface: "telegram".into(),
            region: "eu".into(),
            status: 200,
            requests: 1,
            ..Tally::default()
        };
        let golden = r#"{"id":"01900000-0000-7000-8000-000000000001","at_ms":1795305600000,"consumer":"alice","action":"answer","workflow":"support","provider":"mcp","tool":"search","interface":"telegram","region":"eu","status":200,"outcome":"ok"}"#;
        assert_eq!(serde_json::to_string(&tally).unwrap(), golden);
        assert_eq!(serde_json::from_str::<Tally>(golden).unwrap(), tally);
    }

    #[test]
    fn a_field_nobody_knows_is_refused() {
        assert!(serde_json::from_str::<Tally>(r#"{"id":"x","surprise":1}"#).is_err());
    }
}
