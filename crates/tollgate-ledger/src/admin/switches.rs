//! The switches for everybody, and the memory that models use.

use serde::{Deserialize, Serialize};
use tollgate_wire::{EnforcementSwitch, MemoryInUse, SwitchesState};

use super::{Document, Refused};
use crate::store::RecordKind;

/// The id of the one record of switches.
pub const SWITCHES_ID: &str = "all";

/// Most megabytes that memory is told to be: an exabyte.
pub const MEMORY_MB_MAX: u64 = 1_000_000_000_000;

/// The switches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Switches {
    /// Whether limits are enforced; as each Envoy is configured if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<Enforcement>,
    /// How often everybody's bursts were given back.
    pub burst_resets: u32,
}

/// Whether limits are enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Enforcement {
    /// They are.
    On,
    /// They are decided and counted, and nobody is refused.
    Shadow,
    /// They are not decided; usage is entered all the same.
    Off,
}

impl Switches {
    /// As filters are told.
    pub fn state(&self) -> SwitchesState {
        SwitchesState {
            enforcement: self.enforcement.map(|switch| match switch {
                Enforcement::On => EnforcementSwitch::On,
                Enforcement::Shadow => EnforcementSwitch::Shadow,
                Enforcement::Off => EnforcementSwitch::Off,
            }),
            burst_resets: self.burst_resets,
        }
    }
}

impl Document for Switches {
    const KIND: RecordKind = RecordKind::Switches;
}

/// Memory that one model uses, as somebody told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Memory {
    /// Megabytes of main memory.
    pub ram_mb: u64,
    /// Megabytes of disk.
    pub ssd_mb: u64,
    /// Most of main memory so far.
    pub peak_ram_mb: u64,
    /// Most of disk so far.
    pub peak_ssd_mb: u64,
}

impl Memory {
    /// What is used now, which may be a new peak.
    ///
    /// # Errors
    /// An amount above [`MEMORY_MB_MAX`].
    pub fn with(&self, ram_mb: u64, ssd_mb: u64) -> Result<Self, Refused> {
        for (field, amount) in [("ram_mb", ram_mb), ("ssd_mb", ssd_mb)] {
            if amount > MEMORY_MB_MAX {
                return Err(Refused::new(field, format!("is at most {MEMORY_MB_MAX}")));
            }
        }
        Ok(Self {
            ram_mb,
            ssd_mb,
            peak_ram_mb: self.peak_ram_mb.max(ram_mb),
            peak_ssd_mb: self.peak_ssd_mb.max(ssd_mb),
        })
    }

    /// As filters are told.
    pub fn in_use(&self, model: String) -> MemoryInUse {
        MemoryInUse { model, ram_mb: self.ram_mb, ssd_mb: self.ssd_mb }
    }
}

impl Document for Memory {
    const KIND: RecordKind = RecordKind::Memory;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_stays_when_memory_is_freed() {
        let memory = Memory::default().with(10, 20).unwrap().with(5, 30).unwrap();
        assert_eq!((memory.ram_mb, memory.peak_ram_mb, memory.ssd_mb, memory.peak_ssd_mb), (5, 10, 30, 30));
        assert!(memory.with(MEMORY_MB_MAX, 0).is_ok());
        assert_eq!(memory.with(0, MEMORY_MB_MAX + 1).unwrap_err().field, "ssd_mb");
    }
}
