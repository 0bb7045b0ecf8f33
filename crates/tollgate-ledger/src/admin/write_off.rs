//! Leases of Envoys that are gone: what they held is given back by somebody who knows that it was not spent.

use serde::{Deserialize, Serialize};

use super::decide::{Document, Refused};
use crate::store::{Lease, RecordKind};

/// A lease that was written off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WriteOff {
    /// Units it held that were given back, in its quota's meter. If its holder speaks after all, what it spent of them is
    /// overrun.
    pub units: u64,
}

impl Document for WriteOff {
    const KIND: RecordKind = RecordKind::Lease;
}

impl WriteOff {
    /// Writes off what a lease holds.
    ///
    /// # Errors
    /// It may still be spent.
    pub fn of(lease: &Lease, now_ms: u64) -> Result<Self, Refused> {
        let until_ms = lease.row.expires_ms;
        if now_ms < until_ms {
            return Err(Refused::new(
                "lease",
                format!("may be spent until {until_ms}: its Envoy was heard of"),
            ));
        }
        Ok(Self { units: lease.row.held() })
    }
}
