//! Reading a configuration, with the path of what is wrong.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::tree::{Tree, Wrong};
use crate::{Config, Limit};

/// A configuration that was refused, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct ConfigError {
    /// The field, as `tiers.free.limits[0].rate.amount`; `.` for the whole document.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
}

impl ConfigError {
    /// A problem and where it is.
    pub fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { path: path.into(), problem: problem.into() }
    }
}

/// Reads a configuration. What its values mean together is not looked at.
///
/// # Errors
/// The first field that is unknown, missing or of the wrong type.
pub fn read(value: Value) -> Result<Config, ConfigError> {
    whole(value)
}

/// Reads a list of limits, as it may stand under `limits`.
///
/// # Errors
/// The first field that is unknown, missing or of the wrong type.
pub fn limits(value: Value) -> Result<Vec<Limit>, ConfigError> {
    whole(value)
}

fn whole<T: DeserializeOwned>(value: Value) -> Result<T, ConfigError> {
    T::deserialize(Tree(value)).map_err(Wrong::split).map_err(|(path, problem)| ConfigError { path, problem })
}
