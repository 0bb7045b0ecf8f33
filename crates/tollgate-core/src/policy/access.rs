//! Who may do what, before any limit is looked at: the switch for all, suspended and exempt consumers, entitlements.

use std::rc::Rc;

use hashbrown::HashMap;

use super::config::Enforcement;
use super::{Attributes, Caller, Pattern, Policy};

/// What operators have decided about a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Its limits apply.
    #[default]
    Normal,
    /// It is refused with 403 and this reason.
    Suspended(String),
    /// No limit applies. Its requests are charged, and its tallies say that they were exempt.
    Exempt,
    /// Its limits are decided and counted, and refuse nothing.
    Grace,
}

/// How often fresh balances were given. Balances of another number are not looked at any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resets {
    /// All of the consumer's.
    pub all: u32,
    /// Those of the consumer's rates.
    pub bursts: u32,
    /// Those of everybody's rates.
    pub everybodys_bursts: u32,
}

/// A limit of one consumer that is another for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitOverride {
    /// The limit's name.
    pub limit: String,
    /// How much of it there is, in percent, 1 to [`PERCENT_MAX`](tollgate_wire::PERCENT_MAX).
    pub percent: u32,
}

/// What the configuration says about consumers and roles.
#[derive(Clone, Debug, Default)]
pub struct Access {
    pub(super) consumers: HashMap<String, Standing>,
    pub(super) exempt_roles: Vec<String>,
}

/// What operators changed while Envoy runs. It wins over the configuration.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// By consumer.
    pub standings: HashMap<String, Standing>,
    /// Tiers by consumer.
    pub tiers: HashMap<String, String>,
    /// Fresh balances by consumer.
    pub resets: HashMap<String, Resets>,
    /// Limits that are others for now, by consumer.
    pub limits: HashMap<String, Rc<[LimitOverride]>>,
    /// How often everybody's rates were given back.
    pub burst_resets: u32,
    /// The switch for all.
    pub enforcement: Option<Enforcement>,
}

impl Overrides {
    /// How often a consumer got fresh balances.
    pub fn resets_of(&self, consumer: &str) -> Resets {
        let own = self.resets.get(consumer).copied().unwrap_or_default();
        Resets { everybodys_bursts: self.burst_resets, ..own }
    }
}

/// What a tier's consumers may use; an empty list is everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Entitlements {
    pub models: Vec<Pattern>,
    pub tools: Vec<Pattern>,
}

/// What a tier does not include.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotEntitled<'a> {
    /// This model.
    Model(&'a str),
    /// This tool.
    Tool(&'a str),
}

impl<'a> NotEntitled<'a> {
    /// What kind of thing it is.
    pub const fn what(&self) -> &'static str {
        match self {
            Self::Model(_) => "model",
            Self::Tool(_) => "tool",
        }
    }

    /// Its name.
    pub const fn name(&self) -> &'a str {
        match self {
            Self::Model(name) | Self::Tool(name) => name,
        }
    }
}

impl Policy {
    /// How a caller stands. A consumer's own entry wins over its roles.
    pub fn status_of<'a>(&'a self, caller: &Caller, overrides: &'a Overrides) -> &'a Standing {
        let own = overrides.standings.get(&caller.consumer);
        let own = own.or_else(|| self.access.consumers.get(&caller.consumer));
        own.unwrap_or_else(|| {
            let exempt = caller.roles.iter().any(|role| self.access.exempt_roles.contains(role));
            if exempt { &Standing::Exempt } else { &Standing::Normal }
        })
    }

    /// The tier that an operator gave a caller, if there is such a tier; it wins over what the request says.
    pub fn tier_given<'a>(&self, caller: &Caller, overrides: &'a Overrides) -> Option<&'a str> {
        let tier = overrides.tiers.get(&caller.consumer)?;
        self.tiers.contains_key(tier.as_str()).then_some(tier)
    }

    /// Whether limits are enforced now.
    pub fn enforcement(&self, overrides: &Overrides) -> Enforcement {
        overrides.enforcement.unwrap_or(self.enforcement)
    }

    /// Whether the request's tier includes what it asks for. `of_model` says that it asks a model for something: if it
    /// names none, nobody knows which it will get.
    ///
    /// # Errors
    /// What the tier does not include.
    pub fn entitled<'a>(&self, request: &Attributes<'a>, of_model: bool) -> Result<(), NotEntitled<'a>> {
        let Some(tier) = self.tiers.get(request.tier) else { return Ok(()) };
        let includes = |list: &[Pattern], value: &str| {
            list.is_empty() || list.iter().any(|pattern| pattern.matches(value))
        };
        if of_model && !includes(&tier.entitlements.models, request.model) {
            return Err(NotEntitled::Model(request.model));
        }
        if !request.tool.is_empty() && !includes(&tier.entitlements.tools, request.tool) {
            return Err(NotEntitled::Tool(request.tool));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policy() -> Policy {
        Policy::from_json(json!({
            "identity": {"consumer": [{"header": "x-user"}], "roles": [{"header": "x-roles"}], "default_tier": "free"},
            "tiers": {
                "free": {"models": ["gpt-5.4-mini", "claude-haiku-*"], "tools": ["search"]},
                "enterprise": {},
            },
            "access": {
                "suspended": {"mallory": "The invoice of May is unpaid."},
                "exempt": {"consumers": ["monitor"], "roles": ["admin"]},
            },
            "policies": {"house": {"limits": []}, "other": {"limits": []}},
            "default_policy": "house",
        }))
        .unwrap()
    }

    fn caller(consumer: &str, roles: &[&str]) -> Caller {
        let roles = roles.iter().map(ToString::to_string).collect();
        Caller { consumer: consumer.into(), roles, ..Caller::default() }
    }

    #[test]
    fn a_consumers_own_standing_wins_over_its_roles_and_what_operators_say_now_over_both() {
        let policy = policy();
        let mut overrides = Overrides::default();
        let suspended = |reason: &str| Standing::Suspended(reason.into());
        let status = |caller: &Caller, overrides: &Overrides| policy.status_of(caller, overrides).clone();
        assert_eq!(status(&caller("alice", &["dev"]), &overrides), Standing::Normal);
        assert_eq!(status(&caller("alice", &["dev", "admin"]), &overrides), Standing::Exempt);
        assert_eq!(status(&caller("monitor", &[]), &overrides), Standing::Exempt);
        let mallory = caller("mallory", &["admin"]);
        assert_eq!(status(&mallory, &overrides), suspended("The invoice of May is unpaid."));
        overrides.standings.insert("mallory".into(), Standing::Normal);
        overrides.standings.insert("monitor".into(), suspended("Leaked."));
        assert_eq!(status(&mallory, &overrides), Standing::Normal);
        assert_eq!(status(&caller("monitor", &[]), &overrides), suspended("Leaked."));
    }

    #[test]
    fn a_tier_that_an_operator_gave_wins_if_there_is_such_a_tier() {
        let policy = policy();
        let mut overrides = Overrides::default();
        let given =
            |overrides: &Overrides| policy.tier_given(&caller("alice", &[]), overrides).map(String::from);
        assert_eq!(given(&overrides), None);
        overrides.tiers.insert("alice".into(), "enterprise".into());
        assert_eq!(given(&overrides).as_deref(), Some("enterprise"));
        overrides.tiers.insert("alice".into(), "gold".into());
        assert_eq!(given(&overrides), None);
    }

    #[test]
    fn the_switch_for_all_can_be_thrown_at_run_time() {
        let policy = policy();
        assert_eq!(policy.enforcement(&Overrides::default()), Enforcement::On);
        let off = Overrides { enforcement: Some(Enforcement::Off), ..Overrides::default() };
        assert_eq!(policy.enforcement(&off), Enforcement::Off);
    }

    #[test]
    fn a_tier_includes_what_it_lists_and_everything_if_it_lists_nothing() {
        let policy = policy();
        let entitled = |tier, model, tool| {
            policy.entitled(&Attributes { tier, model, tool, ..Attributes::default() }, true)
        };
        assert_eq!(entitled("free", "gpt-5.4-mini", ""), Ok(()));
        assert_eq!(entitled("free", "claude-haiku-4-5", "search"), Ok(()));
        assert_eq!(entitled("free", "gpt-5.4", ""), Err(NotEntitled::Model("gpt-5.4")));
        assert_eq!(entitled("free", "claude-haiku-4-5", "shell"), Err(NotEntitled::Tool("shell")));
        assert_eq!(entitled("free", "", ""), Err(NotEntitled::Model("")), "the server would choose one");
        assert_eq!(entitled("enterprise", "gpt-5.4", "shell"), Ok(()));
        let listing = Attributes { tier: "free", ..Attributes::default() };
        assert_eq!(policy.entitled(&listing, false), Ok(()), "a list of models is no model");
    }

    #[test]
    fn a_route_without_a_policy_has_the_default_one() {
        let policy = policy();
        let names = ["other", "", "unheard-of"].map(|named| policy.route_policy(named));
        assert_eq!(names, ["other", "house", "house"]);
        let without = Policy::from_json(json!({"policies": {"other": {"limits": []}}})).unwrap();
        assert_eq!(without.route_policy("unheard-of"), "");
    }
}
