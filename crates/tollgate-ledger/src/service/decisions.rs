//! What filters are told of decisions: those behind the number they know, oldest first.

use tollgate_wire::{DECISIONS_MAX, Decisions};

use super::{AppState, problem::Problem};
use crate::admin::{self, DecideError, Memory, Switches};
use crate::store::{Record, RecordKind, TrailQuery};

/// The kinds that filters act on.
const KINDS: [RecordKind; 3] = [RecordKind::Consumer, RecordKind::Switches, RecordKind::Memory];

/// Decisions behind a number; `None` when there are none.
///
/// A filter may know more than there is: the database was restored from a copy. It is told number 0, which it takes
/// for an order to forget, and gets everything again.
pub(super) async fn since(app: &AppState, known: u64) -> Result<Option<Decisions>, Problem> {
    let mut records = app.admin.changed_since(&KINDS, known, DECISIONS_MAX + 1).await?;
    if records.is_empty() {
        let head = TrailQuery { after: known.saturating_sub(1), limit: 1, ..TrailQuery::default() };
        let lost = known > 0 && app.admin.trail(head).await?.is_empty();
        return Ok(lost.then(|| Decisions { more: true, ..Decisions::default() }));
    }
    let more = records.len() > DECISIONS_MAX;
    records.truncate(DECISIONS_MAX);
    let mut decisions = Decisions { more, ..Decisions::default() };
    for record in records {
        decisions.revision = record.revision;
        tell(record, &mut decisions)?;
    }
    Ok(Some(decisions))
}

fn tell(record: Record, decisions: &mut Decisions) -> Result<(), DecideError> {
    match record.kind {
        RecordKind::Consumer => {
            let (kind, id) = (record.kind, record.id.clone());
            let standing = admin::standing_of(record.id, record.doc);
            decisions.consumers.push(standing.map_err(|source| DecideError::Unreadable {
                kind,
                id,
                source,
            })?);
        }
        RecordKind::Switches => {
            let found = admin::understand::<Switches>(record)?;
            decisions.switches = Some(found.map(|found| found.doc).unwrap_or_default().state());
        }
        RecordKind::Memory => {
            decisions
                .memory
                .extend(admin::understand::<Memory>(record)?.map(|found| found.doc.in_use(found.id.clone())));
        }
        RecordKind::Quota | RecordKind::Token | RecordKind::Lease => {}
    }
    Ok(())
}
