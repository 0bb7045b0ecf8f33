//! Who may do what, before any limit is looked at.

use core::fmt;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

config! {
    /// Consumers and roles that are treated apart.
    #[derive(Default)]
    pub struct Access {
        /// Consumers that get 403, each with the reason it is told.
        #[serde(default)]
        pub suspended: BTreeMap<String, String>,
        /// Who no limit applies to. Their requests are charged all the same, and their tallies say so.
        #[serde(default)]
        pub exempt: Exempt,
    }
}

config! {
    /// Who no limit applies to.
    #[derive(Default)]
    pub struct Exempt {
        /// By name.
        #[serde(default)]
        pub consumers: Vec<String>,
        /// By a role of `identity.roles`.
        #[serde(default)]
        pub roles: Vec<String>,
    }
}

/// Whether anything is enforced: `on`, `shadow` or `off`. YAML readers that take `on` and `off` for booleans are
/// understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enforcement {
    /// Everything is.
    #[default]
    On,
    /// Everything is decided and counted, and nobody is refused or made to wait.
    Shadow,
    /// Nothing is decided. Usage is charged all the same.
    Off,
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Enforcement {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Enforcement".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "`on`: everything is enforced. `shadow`: everything is decided and counted, and nobody is refused \
                or made to wait. `off`: nothing is decided, usage is charged all the same. `on` and `off` may be booleans.",
            "enum": ["on", "shadow", "off", true, false]
        })
    }
}

impl<'de> Deserialize<'de> for Enforcement {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reading;

        impl Visitor<'_> for Reading {
            type Value = Enforcement;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("`on`, `shadow` or `off`")
            }

            fn visit_bool<E: de::Error>(self, on: bool) -> Result<Enforcement, E> {
                Ok(if on { Enforcement::On } else { Enforcement::Off })
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Enforcement, E> {
                match text {
                    "on" => Ok(Enforcement::On),
                    "shadow" => Ok(Enforcement::Shadow),
                    "off" => Ok(Enforcement::Off),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }

        from.deserialize_any(Reading)
    }
}
