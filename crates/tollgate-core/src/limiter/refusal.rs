//! How a limit refuses, and which of several refusals is told.

use crate::policy::Limit;
use crate::policy::config::Violation;

use super::lease::line;
use super::plan::Charge;
use super::take::Over;
use super::{Refusal, Status, Why};

/// The refusal of one limit.
pub(super) fn refusal(limit: &Limit, charge: &Charge, (why, wait_ns): Over, status: &Status) -> Refusal {
    let leases = why == Why::Unleased;
    Refusal {
        limit: charge.limit,
        why,
        wait_ns,
        requested: charge.amount,
        most: limit.most(),
        remaining: status.remaining,
        reset_ns: status.reset_ns,
        account: if leases { line(charge.account, charge.cell) } else { charge.account },
        queueable: leases || (limit.violation == Violation::Queue && why != Why::TooLarge),
    }
}

/// The refusal that is told: the one that lasts longest. It can wait in a queue only if all of them can.
pub(super) fn binding(first: Option<Refusal>, second: Refusal) -> Refusal {
    let Some(first) = first else { return second };
    let queueable = first.queueable && second.queueable;
    let told = match (first.wait_ns, second.wait_ns) {
        // A lease comes in no time: whatever else refuses is told.
        _ if first.why == Why::Unleased => second,
        _ if second.why == Why::Unleased => first,
        (None, _) => first,
        (Some(a), Some(b)) if a >= b => first,
        _ => second,
    };
    Refusal { queueable, ..told }
}
