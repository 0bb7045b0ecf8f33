//! One decision: read what is, make what shall be, write it if nothing came in between.
//!
//! The rule is a pure function from the document before to the document after. Whoever lost a race is run again on
//! what the other left, unless the client named the version it decided upon.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::store::{
    AdminStore, Change, Changed, Facets, Record, RecordKind, StoreError, TrailEntry, TrailQuery, hex,
};

/// Attempts against others who change the same record. Operators are few; more than two is a script gone wild.
const ATTEMPTS_MAX: u32 = 8;

/// A document of one kind.
pub trait Document: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// Its kind.
    const KIND: RecordKind;

    /// What it is found by.
    fn facets(&self) -> Facets {
        Facets::default()
    }

    /// What the trail says of it: the document, without secrets.
    fn told(&self) -> Value {
        serde_json::to_value(self).unwrap_or(Value::Null)
    }
}

/// A document with its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned<T> {
    /// Its name within its kind.
    pub id: String,
    /// 1, 2, 3, ...: how often it was written.
    pub version: u64,
    /// When it was written last, milliseconds since the epoch.
    pub updated_ms: u64,
    /// What it says.
    pub doc: T,
}

/// Who decides, and under what conditions.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Who.
    pub actor: String,
    /// The client's key, or empty.
    pub idempotency_key: String,
    /// The version that the client decided upon, if it named one; 0 for none at all.
    pub expected: Option<u64>,
    /// Why, in the client's words.
    pub reason: String,
    /// The ledger's clock.
    pub now_ms: u64,
}

/// A decision that the rules don't allow.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field} {problem}")]
pub struct Refused {
    /// The field that is wrong.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl Refused {
    /// Names the field and what is wrong with it.
    pub fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }
}

/// Why a decision was not made. Nothing was applied.
#[derive(Debug, Error)]
pub enum DecideError {
    /// The rules don't allow it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// There is no such record.
    #[error("there is no {} {id}", kind.as_str())]
    Missing {
        /// The kind.
        kind: RecordKind,
        /// The record.
        id: String,
    },
    /// The client decided upon another version.
    #[error("the record has version {found}, not {expected}")]
    Stale {
        /// What the client named.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// The key belongs to another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// Others changed the record at each attempt.
    #[error("others changed the record at each of {ATTEMPTS_MAX} attempts")]
    Contended,
    /// The record can't be read: a later version wrote it.
    #[error("the {} {id} can't be understood", kind.as_str())]
    Unreadable {
        /// The kind.
        kind: RecordKind,
        /// The record.
        id: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads a document.
pub async fn read<T: Document>(
    store: &dyn AdminStore,
    id: &str,
) -> Result<Option<Versioned<T>>, DecideError> {
    store.record(T::KIND, id).await?.map_or(Ok(None), understand)
}

/// The document of a record; `None` when it was removed.
pub fn understand<T: Document>(record: Record) -> Result<Option<Versioned<T>>, DecideError> {
    let Record { kind, id, version, updated_ms, .. } = record;
    let Some(doc) = record.doc else { return Ok(None) };
    match serde_json::from_value(doc) {
        Ok(doc) => Ok(Some(Versioned { id, version, updated_ms, doc })),
        Err(source) => Err(DecideError::Unreadable { kind, id, source }),
    }
}

/// Decides about one document. `rule` makes the new one of the old one; `None` removes it. `request` is what was asked,
/// by which a repeated request is known again.
///
/// A request repeated under its key gets the answer that it got the first time.
pub async fn decide<T: Document>(
    store: &dyn AdminStore,
    asked: &Asked,
    id: &str,
    action: &'static str,
    request: &(impl Serialize + Sync),
    rule: impl Fn(Option<&T>) -> Result<Option<T>, DecideError> + Send + Sync,
) -> Result<Option<Versioned<T>>, DecideError> {
    let request_hash = hash_of(T::KIND, id, action, request);
    if let Some(entry) = under_key(store, asked).await? {
        return answered(entry, &request_hash);
    }
    for _ in 0..ATTEMPTS_MAX {
        let record = store.record(T::KIND, id).await?;
        let found = record.as_ref().map_or(0, |record| record.version);
        let before: Option<Versioned<T>> = record.map_or(Ok(None), understand)?;
        // What was removed is as good as never there.
        let seen = before.as_ref().map_or(0, |before| before.version);
        if let Some(expected) = asked.expected.filter(|expected| *expected != seen) {
            return Err(DecideError::Stale { expected, found: seen });
        }
        let after = rule(before.as_ref().map(|before| &before.doc))?;
        let change = Change {
            actor: asked.actor.clone(),
            action,
            expected: found,
            doc: after.as_ref().and_then(|after| serde_json::to_value(after).ok()),
            facets: after.as_ref().map(Document::facets).unwrap_or_default(),
            before: before.map_or(Value::Null, |before| before.doc.told()),
            after: after.as_ref().map_or(Value::Null, Document::told),
            reason: asked.reason.clone(),
            idempotency_key: asked.idempotency_key.clone(),
            request_hash: request_hash.clone(),
            at_ms: asked.now_ms,
        };
        match store.change(T::KIND, id, change).await? {
            Changed::Applied(entry) => {
                let TrailEntry { id, version, at_ms, .. } = entry;
                return Ok(after.map(|doc| Versioned { id, version, updated_ms: at_ms, doc }));
            }
            Changed::Repeated(entry) => return answered(entry, &request_hash),
            Changed::KeyReused => return Err(DecideError::KeyReused),
            Changed::Stale { .. } => {}
        }
    }
    Err(DecideError::Contended)
}

async fn under_key(store: &dyn AdminStore, asked: &Asked) -> Result<Option<TrailEntry>, StoreError> {
    if asked.idempotency_key.is_empty() {
        return Ok(None);
    }
    let query = TrailQuery {
        actor: Some(asked.actor.clone()),
        idempotency_key: Some(asked.idempotency_key.clone()),
        limit: 1,
        ..TrailQuery::default()
    };
    Ok(store.trail(query).await?.pop())
}

/// The answer that was given when the entry was made.
fn answered<T: Document>(entry: TrailEntry, request_hash: &str) -> Result<Option<Versioned<T>>, DecideError> {
    if entry.request_hash != request_hash {
        return Err(DecideError::KeyReused);
    }
    let TrailEntry { kind, id, version, at_ms, after, .. } = entry;
    if after.is_null() {
        return Ok(None);
    }
    match serde_json::from_value(after) {
        Ok(doc) => Ok(Some(Versioned { id, version, updated_ms: at_ms, doc })),
        Err(source) => Err(DecideError::Unreadable { kind, id, source }),
    }
}

fn hash_of(kind: RecordKind, id: &str, action: &str, request: &impl Serialize) -> String {
    let request = serde_json::to_string(request).unwrap_or_default();
    let mut hasher = Sha256::new();
    for part in [kind.as_str(), id, action, &request] {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hex(&hasher.finalize())
}
