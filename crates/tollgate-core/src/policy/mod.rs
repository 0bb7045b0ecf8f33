//! Configuration, parsed once into a [`Policy`] that can't be wrong. Nothing behind it checks again.

mod access;
mod action;
mod address;
mod attributes;
mod claim;
mod compile;
mod identity;
mod index;
mod limit;
mod pricing;
#[cfg(test)]
mod tests;

pub use access::{Access, LimitOverride, NotEntitled, Overrides, Resets, Standing};
pub use action::{ActionPrice, CreditValue, Unit, Work};
pub use attributes::{Attributes, Pattern};
pub use identity::{ApiKeys, Caller, Identity, KnownKey, Lookup, Unidentified};
pub use limit::{Kind, Limit, Meter};
pub use pricing::{PriceRule, Pricing};
pub use tollgate_config as config;

use std::borrow::Cow;

use hashbrown::HashMap;

use crate::limit::{Calendar, Window};
use crate::load;
use crate::price::PriceTable;
use crate::room::Bounds;
use access::Entitlements;
use config::{ConfigError, Contention, Dimension, Enforcement, UnknownModel};

/// Index of a limit in its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LimitId(pub u16);

/// Percent of a limit that nobody has overridden.
pub(crate) const WHOLE_PERCENT: u32 = 100;

/// A tier, compiled.
#[derive(Clone, Debug, Default)]
pub struct Tier {
    /// Its name.
    pub name: String,
    /// Larger is more important.
    pub priority: u8,
    /// Told to a consumer of this tier who is refused.
    pub upgrade_hint: Option<String>,
    /// Whether its requests wait when the models are loaded, if it says anything about that.
    pub queues_on_load: Option<bool>,
    limits: index::Index,
    entitlements: Entitlements,
}

/// Where tallies go.
#[derive(Clone, Debug)]
pub struct LedgerLink {
    /// Envoy's cluster of ledger nodes.
    pub cluster: String,
    /// This Envoy's name over restarts.
    pub node: String,
    /// Environment variable with the bearer token.
    pub token_env: Option<String>,
    /// Longest time a tally waits for others, in milliseconds, 10 to 60,000.
    pub flush_interval_ms: u64,
}

/// A configuration that was understood in full.
#[derive(Debug)]
pub struct Policy {
    /// Its name: filters with the same name in one Envoy share their balances.
    pub name: String,
    /// Who is asking.
    pub identity: Identity,
    /// Consumers and roles that are treated apart.
    pub access: Access,
    /// Whether anything is enforced, unless an operator says otherwise at run time.
    pub enforcement: Enforcement,
    /// What tokens cost.
    pub prices: PriceTable,
    /// What a model without a price costs.
    pub unknown_model: UnknownModel,
    /// Prices that depend on who asks and on how much was used.
    pub pricing: Pricing,
    /// What one credit is worth; None where requests without an action cost no credits.
    pub credit_value: Option<CreditValue>,
    /// What is charged where no provider reports.
    pub charging: config::Charging,
    /// What is reserved before the answer is known.
    pub reservation: config::Reservation,
    /// How requests and answers are read.
    pub traffic: config::Traffic,
    /// Percent of a quota at which to warn, ascending, at most 8.
    pub thresholds: Vec<u8>,
    /// Which headers clients get.
    pub headers: config::Headers,
    /// What clients read.
    pub messages: config::Messages,
    /// Path at which callers are told how they stand, if any.
    pub self_path: Option<String>,
    /// A limit is a quota of all Envoys.
    pub leases: bool,
    /// A limit has a queue, or the load has.
    pub queues: bool,
    /// When to turn requests away because the models are loaded.
    pub load: Option<load::Policy>,
    /// The waiting room of each worker.
    pub room: Bounds,
    /// Number of slots, a power of two.
    pub slots: u32,
    /// What becomes of a request that could not be decided.
    pub contention: Contention,
    /// Where tallies go, if anywhere.
    pub ledger: Option<LedgerLink>,
    limits: Vec<Limit>,
    common: index::Index,
    tiers: HashMap<String, Tier>,
    routes: HashMap<String, index::Index>,
    default_policy: String,
    actions: HashMap<String, ActionPrice>,
    /// By workflow, then by step.
    workflows: HashMap<String, HashMap<String, ActionPrice>>,
    calendars: Vec<Calendar>,
    reads: Reads,
}

/// What the policy needs to know of a request; what it does not need is not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// The request's body and the response's usage: model, tokens, cost.
    pub body: bool,
    /// Envoy's route name.
    pub route: bool,
    /// The route's `tollgate` metadata.
    pub route_metadata: bool,
    /// How long an answer gets while it passes: a limit looks at streams before their end.
    pub growth: bool,
}

impl Policy {
    /// Compiles a configuration.
    ///
    /// # Errors
    /// The first field that is unknown, missing or wrong.
    pub fn from_json(value: serde_json::Value) -> Result<Self, ConfigError> {
        compile::policy(config::read(value)?)
    }

    /// Compiles what Envoy hands a filter: a protobuf `Struct`, or a JSON text.
    ///
    /// # Errors
    /// As [`Policy::from_json`]; also when the bytes are neither.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ConfigError> {
        Self::from_json(config::read_configuration(bytes)?)
    }

    /// What the policy needs to know of requests.
    pub const fn reads(&self) -> Reads {
        self.reads
    }

    /// The limit of this index.
    pub fn limit(&self, id: LimitId) -> Option<&Limit> {
        self.limits.get(usize::from(id.0))
    }

    /// So many percent of the limit of this index: what it is for the consumer who asks.
    pub(crate) fn limit_at(&self, id: LimitId, percent: u32) -> Option<Cow<'_, Limit>> {
        let limit = self.limit(id)?;
        Some(if percent == WHOLE_PERCENT { Cow::Borrowed(limit) } else { Cow::Owned(limit.scaled(percent)) })
    }

    /// The limit a stored balance is of.
    pub(crate) fn limit_of(&self, id: u32) -> Option<&Limit> {
        self.limits.iter().find(|limit| limit.id() == id)
    }

    /// All limits.
    pub fn limits(&self) -> &[Limit] {
        &self.limits
    }

    /// The tier of this name.
    pub fn tier(&self, name: &str) -> Option<&Tier> {
        self.tiers.get(name)
    }

    /// The policy of a route that names this one: itself if there is such a policy, else the default, else none.
    pub fn route_policy<'a>(&'a self, named: &'a str) -> &'a str {
        if self.routes.contains_key(named) { named } else { &self.default_policy }
    }

    /// What a step of a workflow costs, else what the action of this name costs.
    pub fn action(&self, workflow: &str, action: &str) -> Option<ActionPrice> {
        let step = self.workflows.get(workflow).and_then(|steps| steps.get(action));
        step.or_else(|| self.actions.get(action)).copied()
    }

    /// The window a quota is in.
    pub(crate) fn window(&self, calendar: usize, wall_s: u32) -> Window {
        self.calendars.get(calendar).map_or_else(Window::default, |calendar| calendar.window_at(wall_s))
    }

    /// The windows that quotas are in, each once.
    pub fn open_windows(&self, wall_s: u32) -> Vec<Window> {
        let mut windows: Vec<Window> =
            self.calendars.iter().map(|calendar| calendar.window_at(wall_s)).collect();
        windows.sort_by_key(|window| (window.start_s, window.end_s));
        windows.dedup();
        windows
    }

    /// Collects the limits that bind a request into `into`, which is emptied first. O(limits that bind, and those
    /// about the same value of one attribute).
    pub fn matching(&self, request: &Attributes<'_>, into: &mut Vec<LimitId>) {
        into.clear();
        let tier = self.tiers.get(request.get(Dimension::Tier)).map(|tier| &tier.limits);
        let route = self.routes.get(request.get(Dimension::Policy));
        for index in tier.into_iter().chain(route).chain([&self.common]) {
            index.candidates(request, into);
        }
        into.retain(|id| self.limit(*id).is_some_and(|limit| limit.applies(request)));
    }
}
