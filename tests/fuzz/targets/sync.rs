//! A sync request of any bytes is understood or refused, and what is understood is written as it was read.

use tollgate_wire::{SyncRequest, Tally};

pub fn check(bytes: &[u8]) {
    if let Ok(request) = serde_json::from_slice::<SyncRequest>(bytes) {
        let again = serde_json::to_vec(&request).expect("what was read can be written");
        assert_eq!(serde_json::from_slice::<SyncRequest>(&again).ok(), Some(request));
    }
    if let Ok(tally) = serde_json::from_slice::<Tally>(bytes) {
        let again = serde_json::to_vec(&tally).expect("what was read can be written");
        assert_eq!(serde_json::from_slice::<Tally>(&again).ok(), Some(tally));
    }
}
