//! A consumer's record and what operators can decide about it. Whatever has an end is over by itself at that moment:
//! nobody has to come back and undo it, and no job has to run.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tollgate_wire::{ConsumerStanding, ConsumerStatus, TierForNow};

use super::limits::{self, LimitOverride};
use super::{Document, Refused};
use crate::store::{Facets, RecordKind};

/// Most roles of a consumer, as many as a filter looks at.
pub const ROLES_MAX: usize = 64;

/// Longest name of a tier, role, team or project in bytes, as long as a filter reads one.
pub const NAME_BYTES_MAX: usize = 256;

/// A consumer, as operators have decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Consumer {
    /// Its tier, which wins over what its requests say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// What it may do elsewhere.
    pub roles: Vec<String>,
    /// Its team.
    pub team: String,
    /// Its project.
    pub project: String,
    /// Whether its requests pass.
    pub status: Status,
    /// Why, as it is told.
    pub reason: String,
    /// When the status is over, milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_until_ms: Option<u64>,
    /// Another tier for some time.
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    pub for_now: Option<TierOverride>,
    /// Limits that are others for some time, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limit_overrides: Vec<LimitOverride>,
    /// No limit applies to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bypass: Option<Bypass>,
    /// How often it got fresh balances.
    pub resets: u32,
    /// How often its bursts alone were given back.
    pub burst_resets: u32,
}

/// Whether a consumer's requests pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As its limits say.
    #[default]
    Active,
    /// They pass whatever its limits say, and are counted.
    Grace,
    /// They are refused with 403.
    Suspended,
}

impl Status {
    /// The name in answers and questions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Grace => "grace",
            Self::Suspended => "suspended",
        }
    }
}

/// Another tier for some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TierOverride {
    /// The tier.
    pub tier: String,
    /// When it is over, milliseconds since the epoch.
    pub until_ms: u64,
}

/// An exemption from all limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Bypass {
    /// When it is over; never if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

/// What can be decided about a consumer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "action", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Decision {
    /// Refuse its requests with 403.
    Suspend {
        /// Until then; until further notice if absent.
        #[serde(default)]
        until_ms: Option<u64>,
    },
    /// Let its requests pass again as its limits say. Ends a grace as well.
    Unsuspend {},
    /// Let its requests pass whatever its limits say, and count them.
    Grace {
        /// Until then.
        until_ms: u64,
    },
    /// Give it a tier, or with null take what its requests say.
    Tier {
        /// The tier.
        tier: Option<String>,
    },
    /// Give it another tier for some time.
    Override {
        /// The tier.
        tier: String,
        /// Until then.
        until_ms: u64,
    },
    /// End an override before its time.
    EndOverride {},
    /// Have so many percent of one of its limits for some time. Of limits that are its own at each Envoy; a quota of all
    /// Envoys has an override of its own.
    OverrideLimit {
        /// The limit's name in the configuration.
        limit: String,
        /// How much of it there is, in percent, 1 to 100,000.
        percent: u32,
        /// Until then.
        until_ms: u64,
    },
    /// End the override of a limit before its time.
    EndLimitOverride {
        /// The limit's name.
        limit: String,
    },
    /// Exempt it from all limits. What it uses is entered all the same.
    Bypass {
        /// Until then; until further notice if absent.
        #[serde(default)]
        until_ms: Option<u64>,
    },
    /// End an exemption.
    EndBypass {},
    /// Give it fresh balances, as if it had used nothing in the windows that are open.
    Reset {},
    /// Give back its bursts alone: those of rates, not of quotas.
    ResetBursts {},
}

impl Decision {
    /// The name in the trail.
    pub const fn action(&self) -> &'static str {
        match self {
            Self::Suspend { .. } => "suspend",
            Self::Unsuspend {} => "unsuspend",
            Self::Grace { .. } => "grace",
            Self::Tier { .. } => "tier",
            Self::Override { .. } => "override",
            Self::EndOverride {} => "end-override",
            Self::OverrideLimit { .. } => "override-limit",
            Self::EndLimitOverride { .. } => "end-limit-override",
            Self::Bypass { .. } => "bypass",
            Self::EndBypass {} => "end-bypass",
            Self::Reset {} => "reset",
            Self::ResetBursts {} => "reset-bursts",
        }
    }
}

/// Who a consumer is: what stands in its record besides decisions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// Its tier, which wins over what its requests say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// What it may do elsewhere. At most 64.
    pub roles: Vec<String>,
    /// Its team.
    pub team: String,
    /// Its project.
    pub project: String,
}

impl Consumer {
    /// The record with another profile. Decisions stay.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn with_profile(&self, profile: &Profile) -> Result<Self, Refused> {
        let Profile { tier, roles, team, project } = profile.clone();
        if let Some(tier) = &tier {
            name("tier", tier)?;
        }
        if roles.len() > ROLES_MAX {
            return Err(Refused::new("roles", format!("are at most {ROLES_MAX}")));
        }
        roles.iter().try_for_each(|role| name("roles", role))?;
        for (field, value) in [("team", &team), ("project", &project)] {
            if !value.is_empty() {
                name(field, value)?;
            }
        }
        Ok(Self { tier, roles, team, project, ..self.clone() })
    }

    /// The record after a decision made at `now_ms`, for a reason that a suspended consumer is told.
    ///
    /// # Errors
    /// The field that is wrong: an end that is over already, a name that is none.
    pub fn decided(&self, decision: &Decision, reason: &str, now_ms: u64) -> Result<Self, Refused> {
        let mut next = self.clone();
        match decision {
            Decision::Suspend { until_ms } => {
                until(*until_ms, now_ms)?;
                next.set_status(Status::Suspended, reason, *until_ms);
            }
            Decision::Unsuspend {} => next.set_status(Status::Active, "", None),
            Decision::Grace { until_ms } => {
                until(Some(*until_ms), now_ms)?;
                next.set_status(Status::Grace, reason, Some(*until_ms));
            }
            Decision::Tier { tier } => {
                tier.iter().try_for_each(|tier| name("tier", tier))?;
                next.tier.clone_from(tier);
            }
            Decision::Override { tier, until_ms } => {
                name("tier", tier)?;
                until(Some(*until_ms), now_ms)?;
                next.for_now = Some(TierOverride { tier: tier.clone(), until_ms: *until_ms });
            }
            Decision::EndOverride {} => next.for_now = None,
            Decision::OverrideLimit { limit, percent, until_ms } => {
                until(Some(*until_ms), now_ms)?;
                let added = LimitOverride { limit: limit.clone(), percent: *percent, until_ms: *until_ms };
                next.limit_overrides = limits::with(&self.limit_overrides, added, now_ms)?;
            }
            Decision::EndLimitOverride { limit } => {
                next.limit_overrides = limits::without(&self.limit_overrides, limit, now_ms);
            }
            Decision::Bypass { until_ms } => {
                until(*until_ms, now_ms)?;
                next.bypass = Some(Bypass { until_ms: *until_ms });
            }
            Decision::EndBypass {} => next.bypass = None,
            Decision::Reset {} => next.resets = next.resets.wrapping_add(1),
            Decision::ResetBursts {} => next.burst_resets = next.burst_resets.wrapping_add(1),
        }
        Ok(next)
    }

    fn set_status(&mut self, status: Status, reason: &str, until_ms: Option<u64>) {
        self.status = status;
        self.reason = reason.to_owned();
        self.status_until_ms = until_ms;
    }

    /// The status at a moment.
    pub fn status_at(&self, now_ms: u64) -> Status {
        if self.status_until_ms.is_some_and(|until_ms| until_ms <= now_ms) {
            Status::Active
        } else {
            self.status
        }
    }

    /// The tier at a moment; `None` where its requests say.
    pub fn tier_at(&self, now_ms: u64) -> Option<&str> {
        let for_now = self.for_now.as_ref().filter(|for_now| now_ms < for_now.until_ms);
        for_now.map(|for_now| for_now.tier.as_str()).or(self.tier.as_deref())
    }

    /// Its limits that are others at a moment.
    pub fn limits_at(&self, now_ms: u64) -> Vec<LimitOverride> {
        self.limit_overrides.iter().filter(|one| one.lasts_at(now_ms)).cloned().collect()
    }

    /// True at a moment when no limit applies to it.
    pub fn is_exempt_at(&self, now_ms: u64) -> bool {
        self.bypass.as_ref().is_some_and(|bypass| bypass.until_ms.is_none_or(|until_ms| now_ms < until_ms))
    }

    /// As filters are told.
    pub fn standing(&self, id: String) -> ConsumerStanding {
        ConsumerStanding {
            id,
            tier: self.tier.clone(),
            tier_for_now: self
                .for_now
                .as_ref()
                .map(|for_now| TierForNow { tier: for_now.tier.clone(), until_ms: for_now.until_ms }),
            limits_for_now: limits::told(&self.limit_overrides),
            status: match self.status {
                Status::Active => ConsumerStatus::Active,
                Status::Grace => ConsumerStatus::Grace,
                Status::Suspended => ConsumerStatus::Suspended,
            },
            reason: self.reason.clone(),
            status_until_ms: self.status_until_ms,
            exempt: self.bypass.is_some(),
            exempt_until_ms: self.bypass.as_ref().and_then(|bypass| bypass.until_ms),
            resets: self.resets,
            burst_resets: self.burst_resets,
        }
    }
}

impl Document for Consumer {
    const KIND: RecordKind = RecordKind::Consumer;

    fn facets(&self) -> Facets {
        Facets {
            tier: self.tier.clone().unwrap_or_default(),
            status: self.status.as_str().to_owned(),
            parent: self.team.clone(),
        }
    }
}

/// What a filter is told of a record: a removed one is a consumer nobody has decided about.
pub fn standing_of(id: String, doc: Option<Value>) -> Result<ConsumerStanding, serde_json::Error> {
    let consumer = doc.map(serde_json::from_value::<Consumer>).transpose()?.unwrap_or_default();
    Ok(consumer.standing(id))
}

fn name(field: &'static str, value: &str) -> Result<(), Refused> {
    if value.is_empty() || value.len() > NAME_BYTES_MAX || value.contains('\0') {
        return Err(Refused::new(field, format!("is 1 to {NAME_BYTES_MAX} bytes, without NUL")));
    }
    Ok(())
}

fn until(until_ms: Option<u64>, now_ms: u64) -> Result<(), Refused> {
    match until_ms {
        Some(until_ms) if until_ms <= now_ms => Err(Refused::new("until_ms", "is over already")),
        Some(until_ms) if until_ms > i64::MAX as u64 => Err(Refused::new("until_ms", "is no moment")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1000;

    fn decided(consumer: &Consumer, decision: Decision) -> Consumer {
        consumer.decided(&decision, "why", NOW).unwrap()
    }

    #[test]
    fn a_suspension_is_over_at_its_end_and_not_before() {
        let consumer = decided(&Consumer::default(), Decision::Suspend { until_ms: Some(2000) });
        assert_eq!((consumer.status_at(1999), consumer.reason.as_str()), (Status::Suspended, "why"));
        assert_eq!(consumer.status_at(2000), Status::Active);
        let for_good = decided(&consumer, Decision::Suspend { until_ms: None });
        assert_eq!(for_good.status_at(u64::MAX), Status::Suspended);
        let again = decided(&for_good, Decision::Unsuspend {});
        assert_eq!((again.status_at(NOW), again.reason.as_str()), (Status::Active, ""));
    }

    #[test]
    fn an_override_wins_while_it_lasts_and_leaves_the_tier_alone() {
        let pro = decided(&Consumer::default(), Decision::Tier { tier: Some("pro".into()) });
        let raised = decided(&pro, Decision::Override { tier: "enterprise".into(), until_ms: 2000 });
        assert_eq!((raised.tier_at(1999), raised.tier_at(2000)), (Some("enterprise"), Some("pro")));
        assert_eq!(decided(&raised, Decision::EndOverride {}), pro);
    }

    #[test]
    fn an_exemption_is_over_at_its_end() {
        let exempt = decided(&Consumer::default(), Decision::Bypass { until_ms: Some(2000) });
        assert!(exempt.is_exempt_at(1999) && !exempt.is_exempt_at(2000));
        let for_good = decided(&exempt, Decision::Bypass { until_ms: None });
        assert!(for_good.is_exempt_at(u64::MAX));
        assert!(!decided(&for_good, Decision::EndBypass {}).is_exempt_at(NOW));
    }

    #[test]
    fn what_would_be_over_already_is_refused() {
        for until_ms in [0, NOW, u64::MAX] {
            let wrong = [
                Decision::Suspend { until_ms: Some(until_ms) },
                Decision::Grace { until_ms },
                Decision::Override { tier: "pro".into(), until_ms },
                Decision::OverrideLimit { limit: "rpm".into(), percent: 200, until_ms },
                Decision::Bypass { until_ms: Some(until_ms) },
            ];
            for decision in wrong {
                let refused = Consumer::default().decided(&decision, "", NOW).unwrap_err();
                assert_eq!(refused.field, "until_ms", "{decision:?}");
            }
        }
        assert!(Consumer::default().decided(&Decision::Grace { until_ms: NOW + 1 }, "", NOW).is_ok());
    }

    #[test]
    fn names_have_a_longest_length() {
        let long = "x".repeat(NAME_BYTES_MAX);
        let tier = |tier: &str| Decision::Tier { tier: Some(tier.into()) };
        assert!(Consumer::default().decided(&tier(&long), "", NOW).is_ok());
        for wrong in [format!("{long}x"), String::new(), "a\0b".into()] {
            assert!(Consumer::default().decided(&tier(&wrong), "", NOW).is_err());
            let profile = Profile { roles: vec![wrong], ..Profile::default() };
            assert_eq!(Consumer::default().with_profile(&profile).unwrap_err().field, "roles");
        }
        let roles = |count| Profile { roles: vec!["r".into(); count], ..Profile::default() };
        assert!(Consumer::default().with_profile(&roles(ROLES_MAX)).is_ok());
        assert!(Consumer::default().with_profile(&roles(ROLES_MAX + 1)).is_err());
    }

    #[test]
    fn a_profile_changes_no_decision() {
        let suspended = decided(&Consumer::default(), Decision::Suspend { until_ms: None });
        let profile = Profile { team: "search".into(), ..Profile::default() };
        let next = suspended.with_profile(&profile).unwrap();
        assert_eq!((next.status, next.team.as_str()), (Status::Suspended, "search"));
    }

    #[test]
    fn a_decision_with_a_field_it_does_not_have_is_refused() {
        for text in [
            r#"{"action":"suspend","colour":"red"}"#,
            r#"{"action":"unsuspend","until_ms":1}"#,
            r#"{"action":"grace"}"#,
            r#"{"action":"promote"}"#,
            "{}",
        ] {
            assert!(serde_json::from_str::<Decision>(text).is_err(), "{text}");
        }
    }
}
