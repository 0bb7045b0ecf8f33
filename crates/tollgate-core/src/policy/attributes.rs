//! What a request is: the values that limits are keyed by and conditions look at.

use super::config::Dimension;
use super::{LimitOverride, Resets};

/// A request's attributes. What is unknown is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes<'a> {
    /// Who pays.
    pub consumer: &'a str,
    /// The consumer's team.
    pub team: &'a str,
    /// The consumer's project.
    pub project: &'a str,
    /// The consumer's tier.
    pub tier: &'a str,
    /// Envoy's route name.
    pub route: &'a str,
    /// The route's policy.
    pub policy: &'a str,
    /// The route's action.
    pub action: &'a str,
    /// The route's workflow.
    pub workflow: &'a str,
    /// The API's provider.
    pub provider: &'a str,
    /// The model the client asks for.
    pub model: &'a str,
    /// The tool the request calls.
    pub tool: &'a str,
    /// What the client speaks through.
    pub interface: &'a str,
    /// Where the client is.
    pub region: &'a str,
    /// The client's address.
    pub address: &'a str,
    /// How often its balances were made fresh.
    pub resets: Resets,
    /// The consumer's own limits that are others for now.
    pub overrides: &'a [LimitOverride],
}

impl<'a> Attributes<'a> {
    /// The value in a dimension.
    pub const fn get(&self, dimension: Dimension) -> &'a str {
        match dimension {
            Dimension::Consumer => self.consumer,
            Dimension::Team => self.team,
            Dimension::Project => self.project,
            Dimension::Tier => self.tier,
            Dimension::Route => self.route,
            Dimension::Policy => self.policy,
            Dimension::Action => self.action,
            Dimension::Workflow => self.workflow,
            Dimension::Provider => self.provider,
            Dimension::Model => self.model,
            Dimension::Tool => self.tool,
            Dimension::Interface => self.interface,
            Dimension::Region => self.region,
            Dimension::Address => self.address,
        }
    }
}

/// What must be true of one attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// The attribute.
    pub dimension: Dimension,
    /// One of these must match; with none, any value does.
    pub any: Vec<Pattern>,
    /// None of these may.
    pub none: Vec<Pattern>,
}

impl Condition {
    /// True of this request.
    pub fn holds(&self, request: &Attributes<'_>) -> bool {
        let value = request.get(self.dimension);
        let matches = |pattern: &Pattern| pattern.matches(value);
        (self.any.is_empty() || self.any.iter().any(matches)) && !self.none.iter().any(matches)
    }
}

/// A value to compare with, or a prefix of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Exactly this.
    Exact(String),
    /// Anything that begins like this.
    Prefix(String),
}

impl Pattern {
    /// `gpt-*` is a prefix, `*` is of any value, anything else is exact. None for a star elsewhere.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('*') {
            Some(prefix) if !prefix.contains('*') => Some(Self::Prefix(prefix.into())),
            None if !text.contains('*') => Some(Self::Exact(text.into())),
            _ => None,
        }
    }

    /// True when the value is meant.
    pub fn matches(&self, value: &str) -> bool {
        match self {
            Self::Exact(text) => text == value,
            Self::Prefix(text) => value.starts_with(text.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_at_the_end_is_a_prefix_and_nowhere_else() {
        assert!(Pattern::parse("gpt-*").unwrap().matches("gpt-5"));
        assert!(!Pattern::parse("gpt-*").unwrap().matches("o3"));
        assert!(
            Pattern::parse("gpt").unwrap().matches("gpt") && !Pattern::parse("gpt").unwrap().matches("gpt-5")
        );
        assert!(Pattern::parse("*").unwrap().matches("") && Pattern::parse("*").unwrap().matches("o3"));
        assert_eq!(Pattern::parse("g*t"), None);
        assert_eq!(Pattern::parse("g**"), None);
    }
}
