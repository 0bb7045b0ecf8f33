//! Records and their trail. A change takes the number behind the last one, which the database gives to one transaction
//! only: of two at once, the other is refused by the key and runs again, over what the first has made of it.

use serde_json::Value;

use super::{Conditions, Row, Sql, strange};
use crate::store::admin::GENESIS_HASH;
use crate::store::{
    Change, Changed, FacetCount, Facets, Record, RecordKind, RecordsQuery, StoreError, TrailEntry, TrailQuery,
};

const RECORD: &str = "kind, id, version, revision, doc, tier, status, parent, updated_ms";
const ENTRY: &str = "seq, at_ms, actor, action, kind, id, version, before_doc, after_doc, reason,
    COALESCE(idempotency_key, ''), request_hash, prev_hash, hash";
const CHANGING: &str = "changing a record";
const READING: &str = "reading records";

/// See [`crate::store::AdminStore::change`].
pub(in crate::store) async fn change(
    sql: &mut dyn Sql,
    kind: RecordKind,
    id: &str,
    change: &Change,
) -> Result<Changed, StoreError> {
    if let Some(known) = under_key(sql, change).await? {
        let same = known.request_hash == change.request_hash;
        return Ok(if same { Changed::Repeated(known) } else { Changed::KeyReused });
    }
    let text = "SELECT version FROM admin_records WHERE kind = ?1 AND id = ?2";
    let rows = sql.query(CHANGING, text, &[kind.as_str().into(), id.into()]).await?;
    let found = rows.first().map_or(Ok(0), |row| row.int(0))?;
    if found != change.expected {
        return Ok(Changed::Stale { found });
    }
    let text = "SELECT seq, hash FROM admin_audit ORDER BY seq DESC LIMIT 1";
    let rows = sql.query(CHANGING, text, &[]).await?;
    let (last, prev_hash) = match rows.first() {
        Some(row) => (row.int(0)?, row.text(1)?),
        None => (0, GENESIS_HASH.to_owned()),
    };
    let entry = TrailEntry::of(kind, id, change, last + 1, &prev_hash);
    write_entry(sql, &entry).await?;
    write_record(sql, &entry, change).await?;
    Ok(Changed::Applied(entry))
}

async fn under_key(sql: &mut dyn Sql, change: &Change) -> Result<Option<TrailEntry>, StoreError> {
    if change.idempotency_key.is_empty() {
        return Ok(None);
    }
    let text = format!("SELECT {ENTRY} FROM admin_audit WHERE actor = ?1 AND idempotency_key = ?2");
    let values = [change.actor.as_str().into(), change.idempotency_key.as_str().into()];
    sql.query(CHANGING, &text, &values).await?.first().map(entry_of).transpose()
}

async fn write_record(sql: &mut dyn Sql, entry: &TrailEntry, change: &Change) -> Result<(), StoreError> {
    let Facets { tier, status, parent } = &change.facets;
    let text = format!(
        "INSERT INTO admin_records ({RECORD}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (kind, id) DO UPDATE SET version = excluded.version, revision = excluded.revision,
           doc = excluded.doc, tier = excluded.tier, status = excluded.status, parent = excluded.parent,
           updated_ms = excluded.updated_ms"
    );
    let values = [
        entry.kind.as_str().into(),
        entry.id.as_str().into(),
        entry.version.into(),
        entry.seq.into(),
        change.doc.as_ref().map(Value::to_string).into(),
        tier.as_str().into(),
        status.as_str().into(),
        parent.as_str().into(),
        entry.at_ms.into(),
    ];
    sql.execute(CHANGING, &text, &values).await.map(|_| ())
}

async fn write_entry(sql: &mut dyn Sql, entry: &TrailEntry) -> Result<(), StoreError> {
    let text = "INSERT INTO admin_audit (seq, at_ms, actor, action, kind, id, version, before_doc, after_doc, reason,
           idempotency_key, request_hash, prev_hash, hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let key = Some(entry.idempotency_key.as_str()).filter(|key| !key.is_empty());
    let values = [
        entry.seq.into(),
        entry.at_ms.into(),
        entry.actor.as_str().into(),
        entry.action.as_str().into(),
        entry.kind.as_str().into(),
        entry.id.as_str().into(),
        entry.version.into(),
        entry.before.to_string().into(),
        entry.after.to_string().into(),
        entry.reason.as_str().into(),
        key.into(),
        entry.request_hash.as_str().into(),
        entry.prev_hash.as_str().into(),
        entry.hash.as_str().into(),
    ];
    sql.execute(CHANGING, text, &values).await.map(|_| ())
}

/// See [`crate::store::AdminStore::record`].
pub(in crate::store) async fn record(
    sql: &mut dyn Sql,
    kind: RecordKind,
    id: &str,
) -> Result<Option<Record>, StoreError> {
    let text = format!("SELECT {RECORD} FROM admin_records WHERE kind = ?1 AND id = ?2");
    let rows = sql.query(READING, &text, &[kind.as_str().into(), id.into()]).await?;
    rows.first().map(record_of).transpose()
}

/// See [`crate::store::AdminStore::records`].
pub(in crate::store) async fn records(
    sql: &mut dyn Sql,
    query: &RecordsQuery,
) -> Result<Vec<Record>, StoreError> {
    let mut conditions = Conditions::default();
    conditions.compare("kind", "=", query.kind.as_str());
    let facets = [("tier", &query.tier), ("status", &query.status), ("parent", &query.parent)];
    for (column, value) in facets {
        conditions.compare_if(column, "=", value.as_deref());
    }
    conditions.compare_if("id", ">", query.after.as_deref());
    let limit = conditions.value(query.limit as u64);
    let text = format!(
        "SELECT {RECORD} FROM admin_records WHERE doc IS NOT NULL AND {} ORDER BY id LIMIT {limit}",
        conditions.all()
    );
    sql.query(READING, &text, &conditions.values).await?.iter().map(record_of).collect()
}

/// See [`crate::store::AdminStore::changed_since`].
pub(in crate::store) async fn changed_since(
    sql: &mut dyn Sql,
    kinds: &[RecordKind],
    revision: u64,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    let names: Vec<String> = kinds.iter().map(|kind| format!("'{}'", kind.as_str())).collect();
    let text = format!(
        "SELECT {RECORD} FROM admin_records WHERE revision > ?1 AND kind IN ({}) ORDER BY revision LIMIT ?2",
        names.join(", ")
    );
    let rows = sql.query(READING, &text, &[revision.into(), (limit as u64).into()]).await?;
    rows.iter().map(record_of).collect()
}

/// See [`crate::store::AdminStore::count`].
pub(in crate::store) async fn count(
    sql: &mut dyn Sql,
    kind: RecordKind,
) -> Result<Vec<FacetCount>, StoreError> {
    let text = "SELECT tier, status, COUNT(*) FROM admin_records WHERE kind = ?1 AND doc IS NOT NULL
         GROUP BY tier, status ORDER BY tier, status";
    let rows = sql.query(READING, text, &[kind.as_str().into()]).await?;
    let count = |row: &Row| Ok(FacetCount { tier: row.text(0)?, status: row.text(1)?, records: row.int(2)? });
    rows.iter().map(count).collect()
}

/// See [`crate::store::AdminStore::trail`].
pub(in crate::store) async fn trail(
    sql: &mut dyn Sql,
    query: &TrailQuery,
) -> Result<Vec<TrailEntry>, StoreError> {
    let mut conditions = Conditions::default();
    conditions.compare("seq", ">", query.after);
    conditions.compare_if("kind", "=", query.kind.map(RecordKind::as_str));
    conditions.compare_if("id", "=", query.id.as_deref());
    conditions.compare_if("actor", "=", query.actor.as_deref());
    conditions.compare_if("action", "=", query.action.as_deref());
    conditions.compare_if("at_ms", ">=", query.from_ms);
    conditions.compare_if("at_ms", "<", query.before_ms);
    conditions.compare_if("idempotency_key", "=", query.idempotency_key.as_deref());
    let limit = conditions.value(query.limit as u64);
    let text =
        format!("SELECT {ENTRY} FROM admin_audit WHERE {} ORDER BY seq LIMIT {limit}", conditions.all());
    sql.query(READING, &text, &conditions.values).await?.iter().map(entry_of).collect()
}

fn record_of(row: &Row) -> Result<Record, StoreError> {
    let doc = if row.is_null(4) { None } else { Some(json_of(row, 4)?) };
    Ok(Record {
        kind: kind_of(row, 0)?,
        id: row.text(1)?,
        version: row.int(2)?,
        revision: row.int(3)?,
        doc,
        facets: Facets { tier: row.text(5)?, status: row.text(6)?, parent: row.text(7)? },
        updated_ms: row.int(8)?,
    })
}

fn entry_of(row: &Row) -> Result<TrailEntry, StoreError> {
    Ok(TrailEntry {
        seq: row.int(0)?,
        at_ms: row.int(1)?,
        actor: row.text(2)?,
        action: row.text(3)?,
        kind: kind_of(row, 4)?,
        id: row.text(5)?,
        version: row.int(6)?,
        before: json_of(row, 7)?,
        after: json_of(row, 8)?,
        reason: row.text(9)?,
        idempotency_key: row.text(10)?,
        request_hash: row.text(11)?,
        prev_hash: row.text(12)?,
        hash: row.text(13)?,
    })
}

fn kind_of(row: &Row, at: usize) -> Result<RecordKind, StoreError> {
    RecordKind::from_name(&row.text(at)?).ok_or_else(|| strange(at))
}

fn json_of(row: &Row, at: usize) -> Result<Value, StoreError> {
    serde_json::from_str(&row.text(at)?).map_err(|_| strange(at))
}
