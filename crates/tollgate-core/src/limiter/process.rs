//! What all workers of one Envoy process share: who they are together, and where balances stand.

use crate::hash::HashKey;
use crate::store::{SharedStore, Slot, Swap};

use super::{ATTEMPTS_MAX, Undecided};

/// An Envoy process as its workers know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Random identity, the same for all workers.
    pub id: u64,
    /// Key of the hashes that find a balance.
    pub key: HashKey,
    /// Number of slots, a power of two. The first configuration's, for as long as the process lives: with another number
    /// every balance would stand elsewhere.
    pub slots: u32,
}

const BYTES: usize = 28;

/// The process's identity: the first worker's random bytes and slots, for all.
pub(super) fn join(store: &impl SharedStore, random: [u8; 24], slots: u32) -> Result<Process, Undecided> {
    let mut mine = [0u8; BYTES];
    let (head, tail) = mine.split_at_mut(random.len());
    head.copy_from_slice(&random);
    tail.copy_from_slice(&slots.to_le_bytes());
    let mut bytes = Vec::new();
    for attempt in 1..=ATTEMPTS_MAX {
        let expected = store.load(Slot::Process, &mut bytes)?;
        if let Some(known) = read(&bytes) {
            return Ok(known);
        }
        if store.swap(Slot::Process, &mine, expected)? == Swap::Done {
            return read(&mine).ok_or(Undecided::Contention);
        }
        store.lost(attempt);
    }
    Err(Undecided::Contention)
}

/// None when the bytes are no identity.
fn read(bytes: &[u8]) -> Option<Process> {
    let bytes: [u8; BYTES] = bytes.try_into().ok()?;
    let (key, rest) = bytes.split_first_chunk::<16>()?;
    let (id, rest) = rest.split_first_chunk::<8>()?;
    let slots = u32::from_le_bytes(*rest.first_chunk::<4>()?);
    let usable = slots.is_power_of_two();
    usable.then(|| Process { id: u64::from_le_bytes(*id), key: HashKey::new(*key), slots })
}
