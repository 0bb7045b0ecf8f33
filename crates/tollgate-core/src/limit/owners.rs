//! Which VMs are alive: a register of heartbeats, so that the holds of a VM that died expire.
//!
//! The road not taken is a deadline on every hold: each would have to be refreshed for as long as its stream lasts.
//! Here a worker writes one heartbeat a second, and a hold lives as long as its owner does.

use super::codec::{Reader, Writer};
use super::holds::Owner;

/// A VM that has been silent this long is dead. Long enough for an event loop that is blocked by a large body.
pub const OWNER_SILENCE_S_MAX: u32 = 10;

/// A dead owner is remembered this long; its holds are expired by then or belong to accounts nobody asks about.
const OWNER_REMEMBERED_S: u32 = 3600;

const LAYOUT: u16 = 0x7402;

/// The register, as read at some moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners(Vec<(Owner, u32)>);

impl Owners {
    /// Reads the register; damaged or foreign bytes read as empty.
    pub fn decode(bytes: &[u8]) -> Self {
        let mut reader = Reader(bytes);
        let mut all = Vec::new();
        if reader.u16() == Some(LAYOUT) {
            while let (Some(owner), Some(beat_s)) = (reader.u32(), reader.u32()) {
                all.push((Owner(owner), beat_s));
            }
        }
        Self(all)
    }

    /// Writes the register to `out`, which is emptied first.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        let mut writer = Writer(out);
        writer.u16(LAYOUT);
        for (owner, beat_s) in &self.0 {
            writer.u32(owner.0);
            writer.u32(*beat_s);
        }
    }

    /// Enters the owner's heartbeat and forgets those that have been dead for long.
    pub fn beat(&mut self, owner: Owner, mono_s: u32) {
        self.0
            .retain(|(other, beat_s)| *other != owner && mono_s.saturating_sub(*beat_s) < OWNER_REMEMBERED_S);
        self.0.push((owner, mono_s));
    }

    /// True when the register knows the owner, dead or alive.
    pub fn knows(&self, owner: Owner) -> bool {
        self.0.iter().any(|(other, _)| *other == owner)
    }

    /// True when the owner's last heartbeat is recent. An owner the register does not know is dead: every VM enters
    /// itself before it holds anything, so ask only a register read after the hold was seen.
    pub fn is_alive(&self, owner: Owner, mono_s: u32) -> bool {
        self.0
            .iter()
            .any(|(other, beat_s)| *other == owner && mono_s.saturating_sub(*beat_s) <= OWNER_SILENCE_S_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_dies_of_silence_and_is_forgotten_much_later() {
        let mut owners = Owners::default();
        owners.beat(Owner(1), 100);
        owners.beat(Owner(2), 105);
        assert!(owners.is_alive(Owner(1), 110));
        assert!(!owners.is_alive(Owner(1), 111));
        assert!(owners.knows(Owner(1)));
        owners.beat(Owner(2), 100 + OWNER_REMEMBERED_S);
        assert!(!owners.knows(Owner(1)));
    }

    #[test]
    fn the_register_survives_the_bytes() {
        let mut owners = Owners::default();
        owners.beat(Owner(7), 1);
        owners.beat(Owner(8), 2);
        let mut bytes = Vec::new();
        owners.encode(&mut bytes);
        assert_eq!(Owners::decode(&bytes), owners);
        assert_eq!(Owners::decode(&bytes[1..]), Owners::default());
    }
}
