//! What operators decided, on its way to the filters: how consumers stand, and the switches for everybody.
//!
//! The ledger numbers its changes. A filter says up to which number it knows them, and gets the next ones, oldest first;
//! so what is lost or late is told again, and what comes twice says the same.

use serde::{Deserialize, Serialize};

use crate::skip::{is_false, is_zero};

/// Most changes in one answer: some 200 KiB of the longest names. A filter that is told there is `more` asks again at once.
pub const DECISIONS_MAX: usize = 100;

/// Most limits of one consumer that are others for now.
pub const LIMITS_FOR_NOW_MAX: usize = 8;

/// Most that there can be of a limit for now, in percent: a thousand times as much.
pub const PERCENT_MAX: u32 = 100_000;

/// Changes behind the number in [`SyncRequest::known_revision`](crate::SyncRequest::known_revision).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decisions {
    /// Every change up to this one is known with this answer.
    pub revision: u64,
    /// Consumers whose record changed, whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consumers: Vec<ConsumerStanding>,
    /// The switches, if they changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switches: Option<SwitchesState>,
    /// Memory in use, of models whose figures changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub memory: Vec<MemoryInUse>,
    /// There are more changes behind these.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more: bool,
}

/// How one consumer stands. What has an end is over by itself at that moment, by the filter's wall clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsumerStanding {
    /// The consumer.
    pub id: String,
    /// Its tier, which wins over what its requests say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Another tier for some time, which wins over both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier_for_now: Option<TierForNow>,
    /// Its own limits that are others for some time: at most [`LIMITS_FOR_NOW_MAX`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits_for_now: Vec<LimitForNow>,
    /// Whether its requests pass.
    pub status: ConsumerStatus,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When the status is over, milliseconds since the epoch; never if absent. Behind it the consumer is active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_until_ms: Option<u64>,
    /// No limit applies to it.
    #[serde(skip_serializing_if = "is_false")]
    pub exempt: bool,
    /// When the exemption is over; never if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exempt_until_ms: Option<u64>,
    /// How often an operator gave it fresh balances. Balances of another number are not looked at any more.
    #[serde(skip_serializing_if = "is_zero")]
    pub resets: u32,
    /// How often its bursts alone were given back: those of rates, not of quotas.
    #[serde(skip_serializing_if = "is_zero")]
    pub burst_resets: u32,
}

/// A tier for some time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierForNow {
    /// The tier.
    pub tier: String,
    /// When it is over, milliseconds since the epoch.
    pub until_ms: u64,
}

/// A limit that is another for some time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitForNow {
    /// The limit's name in the configuration.
    pub limit: String,
    /// How much of it there is, in percent, 1 to [`PERCENT_MAX`].
    pub percent: u32,
    /// When it is over, milliseconds since the epoch.
    pub until_ms: u64,
}

/// Whether a consumer's requests pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsumerStatus {
    /// They pass whatever its limits say, and are counted.
    Grace,
    /// They are refused with 403.
    Suspended,
    /// As its limits say. Also what a later version's status is read as.
    #[default]
    #[serde(other)]
    Active,
}

/// The switches for everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SwitchesState {
    /// Whether limits are enforced; as configured if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<EnforcementSwitch>,
    /// How often everybody's bursts were given back.
    #[serde(skip_serializing_if = "is_zero")]
    pub burst_resets: u32,
}

/// Whether limits are enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnforcementSwitch {
    /// They are.
    On,
    /// They are decided and counted, and nobody is refused.
    Shadow,
    /// They are not decided.
    Off,
}

/// Memory that a model uses, as its server or an operator told the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryInUse {
    /// The model.
    pub model: String,
    /// Megabytes of main memory.
    pub ram_mb: u64,
    /// Megabytes of disk.
    pub ssd_mb: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golden_bytes_of_decisions_do_not_change() {
        let decisions = Decisions {
            revision: 9,
            consumers: vec![
                ConsumerStanding {
                    id: "mallory".into(),
                    status: ConsumerStatus::Suspended,
                    reason: "unpaid".into(),
                    ..ConsumerStanding::default()
                },
                ConsumerStanding {
                    id: "alice".into(),
                    tier: Some("pro".into()),
                    tier_for_now: Some(TierForNow { tier: "enterprise".into(), until_ms: 7 }),
                    limits_for_now: vec![LimitForNow { limit: "rpm".into(), percent: 200, until_ms: 6 }],
                    exempt: true,
                    exempt_until_ms: Some(8),
                    resets: 1,
                    ..ConsumerStanding::default()
                },
            ],
            switches: Some(SwitchesState { enforcement: Some(EnforcementSwitch::Shadow), burst_resets: 2 }),
            memory: vec![MemoryInUse { model: "llama".into(), ram_mb: 3, ssd_mb: 4 }],
            more: true,
        };
        let golden = concat!(
            r#"{"revision":9,"consumers":[{"id":"mallory","status":"suspended","reason":"unpaid"},"#,
            r#"{"id":"alice","tier":"pro","tier_for_now":{"tier":"enterprise","until_ms":7},"#,
            r#""limits_for_now":[{"limit":"rpm","percent":200,"until_ms":6}],"status":"active","#,
            r#""exempt":true,"exempt_until_ms":8,"resets":1}],"switches":{"enforcement":"shadow","burst_resets":2},"#,
            r#""memory":[{"model":"llama","ram_mb":3,"ssd_mb":4}],"more":true}"#
        );
        assert_eq!(serde_json::to_string(&decisions).unwrap(), golden);
        assert_eq!(serde_json::from_str::<Decisions>(golden).unwrap(), decisions);
        let none = Decisions { revision: 9, ..Decisions::default() };
        assert_eq!(serde_json::to_string(&none).unwrap(), r#"{"revision":9}"#);
    }

    #[test]
    fn a_status_of_a_later_version_suspends_nobody() {
        let text = r#"{"id":"alice","status":"dormant","colour":"blue"}"#;
        let standing: ConsumerStanding = serde_json::from_str(text).unwrap();
        assert_eq!(standing.status, ConsumerStatus::Active);
    }
}
