//! What the workers of one Envoy tell each other about their load: one small register in shared data.

use crate::limit::{Owner, Reader, Writer};
use crate::limiter::Undecided;
use crate::store::{SharedStore, Slot, Swap};

use super::{Load, Policy, Strain, share};

/// A worker that has told nothing for so long has died; what it had in flight has ended.
const SILENCE_S_MAX: u32 = 3;

/// Most workers: as many as Envoy has threads.
const WORKERS_MAX: usize = 512;

const LAYOUT: u16 = 0x7602;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    owner: Owner,
    in_flight: u32,
    /// In thousandths; None where nothing was reported lately.
    utilisation: Option<u32>,
    told_s: u32,
}

/// The register, as read at some moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others {
    strain: Strain,
    rows: Vec<Row>,
}

impl Others {
    /// Tells the others this worker's load, reads theirs, and judges with all of it whether limits are tightened.
    /// The flag says that they were tightened or relaxed with this very exchange.
    ///
    /// # Errors
    /// [`Undecided`] when others changed the register at the same moment: the next time will do.
    pub fn exchange(
        store: &impl SharedStore,
        policy: &Policy,
        owner: Owner,
        load: &Load,
        now_ns: u64,
    ) -> Result<(Self, bool), Undecided> {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        let expected = store.load(Slot::Load, &mut old)?;
        let mut all = Self::decode(&old);
        let was_tight = all.strain.tightens();
        all.set(owner, load, now_ns);
        all.judge(policy, now_ns);
        all.encode(&mut new);
        let swap = store.swap(Slot::Load, &new, expected)?;
        all.forget(owner);
        let changed = all.strain.tightens() != was_tight;
        if swap == Swap::Done { Ok((all, changed)) } else { Err(Undecided::Contention) }
    }

    /// Whether limits are tightened.
    pub const fn strain(&self) -> Strain {
        self.strain
    }

    /// Judges anew whether limits are tightened: by what the models report, or where they report nothing by the
    /// requests in flight.
    pub(super) fn judge(&mut self, policy: &Policy, now_ns: u64) {
        let strain = if policy.utilisations.is_empty() {
            share(self.in_flight(), policy.capacity)
        } else {
            self.utilisation().unwrap_or(0)
        };
        self.strain = self.strain.next(policy, strain, now_ns);
    }

    /// Enters a worker's load, and forgets the dead.
    pub(super) fn set(&mut self, owner: Owner, load: &Load, now_ns: u64) {
        let told_s = (now_ns / 1_000_000_000) as u32;
        self.rows.retain(|row| row.owner != owner && told_s.saturating_sub(row.told_s) <= SILENCE_S_MAX);
        if self.rows.len() < WORKERS_MAX {
            let (in_flight, utilisation) = (load.in_flight(), load.utilisation(now_ns));
            self.rows.push(Row { owner, in_flight, utilisation, told_s });
        }
    }

    pub(super) fn forget(&mut self, owner: Owner) {
        self.rows.retain(|row| row.owner != owner);
    }

    /// Requests in flight.
    pub(super) fn in_flight(&self) -> u64 {
        self.rows.iter().map(|row| u64::from(row.in_flight)).sum()
    }

    /// The highest utilisation.
    pub(super) fn utilisation(&self) -> Option<u32> {
        self.rows.iter().filter_map(|row| row.utilisation).max()
    }

    /// Damaged or foreign bytes read as empty.
    fn decode(bytes: &[u8]) -> Self {
        let mut reader = Reader(bytes);
        let mut all = Self::default();
        if reader.u16() == Some(LAYOUT)
            && let Some(strain) = reader.u64()
        {
            all.strain = Strain::decode(strain);
            while all.rows.len() < WORKERS_MAX
                && let Some(row) = read(&mut reader)
            {
                all.rows.push(row);
            }
        }
        all
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        let mut writer = Writer(out);
        writer.u16(LAYOUT);
        writer.u64(self.strain.encode());
        for row in &self.rows {
            writer.u32(row.owner.0);
            writer.u32(row.in_flight);
            writer.u32(row.utilisation.map_or(u32::MAX, |known| known));
            writer.u32(row.told_s);
        }
    }
}

fn read(reader: &mut Reader<'_>) -> Option<Row> {
    let (owner, in_flight) = (Owner(reader.u32()?), reader.u32()?);
    let utilisation = Some(reader.u32()?).filter(|known| *known != u32::MAX);
    Some(Row { owner, in_flight, utilisation, told_s: reader.u32()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_register_survives_the_bytes_and_forgets_the_dead() {
        let (mut all, mut load) = (Others::default(), Load::default());
        load.began();
        all.set(Owner(1), &load, 1_000_000_000);
        load.reported(0.5, 4_000_000_000);
        all.set(Owner(2), &load, 4_000_000_000);
        let mut bytes = Vec::new();
        all.encode(&mut bytes);
        assert_eq!(Others::decode(&bytes), all);
        assert_eq!((all.in_flight(), all.utilisation()), (2, Some(500)));
        for cut in 0..bytes.len() {
            assert!(Others::decode(&bytes[..cut]).rows.len() < 2);
        }
        all.set(Owner(2), &load, 5_000_000_000);
        assert_eq!(all.in_flight(), 1, "the first was silent for four seconds");
    }
}
