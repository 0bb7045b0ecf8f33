//! Configuration, parsed once into a [`Policy`] that can't be wrong.

/// A configuration that was refused, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct ConfigError {
    /// The field, as `tiers.free.limits[0].rate.amount`; `.` for the whole document.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
}

/// A configuration that was understood in full.
#[derive(Debug)]
pub struct Policy {}

impl Policy {
    /// Compiles a configuration.
    pub fn from_json(_value: serde_json::Value) -> Result<Self, ConfigError> {
        Ok(Self {})
    }
}
