//! What operators decide, kept beside the books: records with a version, and a trail of every change.
//!
//! A record is a document: what it means is decided once, in [`crate::admin`], and not once more in every engine. An
//! engine does four things: it finds records, lists them, tells which changed, and applies one change whole. The road
//! not taken is a table for each kind of record, whose rules would then stand in the SQL of every engine.
//!
//! Changes have one order, the numbers 1, 2, 3, ... of the trail; each entry's hash covers the one before it, so that
//! nothing can be altered, removed or put in between without [`prove_chain`] noticing. Cutting off the end is noticed
//! by whoever noted the last hash: `tollgate ledger audit` prints it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Difference, StoreError};

/// What a record is about.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// A consumer: [`crate::admin::Consumer`].
    Consumer,
    /// A quota: [`crate::admin::QuotaRecord`].
    Quota,
    /// Switches for everybody: [`crate::admin::Switches`].
    Switches,
    /// Memory in use, as it was told: [`crate::admin::Memory`].
    Memory,
    /// A token: [`crate::admin::TokenRecord`].
    Token,
    /// A lease that was written off: [`crate::admin::WriteOff`].
    Lease,
}

impl RecordKind {
    /// The name in the database and in the trail.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Quota => "quota",
            Self::Switches => "switches",
            Self::Memory => "memory",
            Self::Token => "token",
            Self::Lease => "lease",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Consumer, Self::Quota, Self::Switches, Self::Memory, Self::Token, Self::Lease]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

/// What records are found by, besides their id. Empty where a kind has nothing of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facets {
    /// A consumer's tier.
    pub tier: String,
    /// A consumer's status.
    pub status: String,
    /// A consumer's team; whose quota it is.
    pub parent: String,
}

/// One record as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is about.
    pub kind: RecordKind,
    /// Its name within the kind.
    pub id: String,
    /// 1, 2, 3, ...: how often it was written.
    pub version: u64,
    /// Number of the change that wrote it last.
    pub revision: u64,
    /// What it says; `None` once it was removed.
    pub doc: Option<Value>,
    /// What it is found by.
    pub facets: Facets,
    /// When it was written last.
    pub updated_ms: u64,
}

/// A change of one record, applied whole or not at all.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Who changes it.
    pub actor: String,
    /// What is done, as `suspend`.
    pub action: &'static str,
    /// The version it is changed from; 0 when there is no record.
    pub expected: u64,
    /// The new document; `None` removes the record.
    pub doc: Option<Value>,
    /// What it is found by from now on.
    pub facets: Facets,
    /// What the trail says it was before. Never a secret.
    pub before: Value,
    /// What the trail says it is now. Never a secret.
    pub after: Value,
    /// Why, in the actor's words.
    pub reason: String,
    /// Under one key an actor's change is applied once, however often it comes; empty for none.
    pub idempotency_key: String,
    /// Hash of what was asked, to tell a repeated request from another under the same key.
    pub request_hash: String,
    /// The ledger's clock.
    pub at_ms: u64,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is in the database, durably.
    Applied(TrailEntry),
    /// It was there already, under the same key; nothing was done.
    Repeated(TrailEntry),
    /// The record has another version than expected; nothing was done.
    Stale {
        /// The version it has.
        found: u64,
    },
    /// The key was used for something else; nothing was done.
    KeyReused,
}

/// One entry of the trail: who changed what, when and why, from what to what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TrailEntry {
    /// 1, 2, 3, ... without gaps.
    pub seq: u64,
    /// When, milliseconds since the epoch.
    pub at_ms: u64,
    /// Who, as `token/ID`, `command-line` or `filter`.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// Kind of the record.
    pub kind: RecordKind,
    /// The record.
    pub id: String,
    /// The version it got.
    pub version: u64,
    /// What it was; null when there was none.
    pub before: Value,
    /// What it is; null when it was removed.
    pub after: Value,
    /// Why.
    pub reason: String,
    /// The client's key, or empty.
    pub idempotency_key: String,
    /// Hash of what was asked.
    pub request_hash: String,
    /// `hash` of the entry before; 64 zeros before the first.
    pub prev_hash: String,
    /// SHA-256 over all of the above.
    pub hash: String,
}

/// What stands before the first entry.
pub const GENESIS_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

impl TrailEntry {
    /// The entry that a change makes behind another.
    pub fn of(kind: RecordKind, id: &str, change: &Change, seq: u64, prev_hash: &str) -> Self {
        let mut entry = Self {
            seq,
            at_ms: change.at_ms,
            actor: change.actor.clone(),
            action: change.action.to_owned(),
            kind,
            id: id.to_owned(),
            version: change.expected + 1,
            before: change.before.clone(),
            after: change.after.clone(),
            reason: change.reason.clone(),
            idempotency_key: change.idempotency_key.clone(),
            request_hash: change.request_hash.clone(),
            prev_hash: prev_hash.to_owned(),
            hash: String::new(),
        };
        entry.hash = entry.digest();
        entry
    }

    /// SHA-256 over every field but the hash itself. Each is led by its length: no two entries read the same.
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        let numbers = [self.seq, self.at_ms, self.version].map(|number| number.to_string());
        let (before, after) = (self.before.to_string(), self.after.to_string());
        let [seq, at_ms, version] = &numbers;
        let fields = [
            seq,
            at_ms,
            version,
            &self.actor,
            &self.action,
            self.kind.as_str(),
            &self.id,
            &before,
            &after,
            &self.reason,
            &self.idempotency_key,
            &self.request_hash,
            &self.prev_hash,
        ];
        for field in fields {
            hasher.update((field.len() as u64).to_le_bytes());
            hasher.update(field.as_bytes());
        }
        hex(&hasher.finalize())
    }
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where a chain of entries was proven to, and the first place it breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Entries looked at.
    pub entries: u64,
    /// Hash of the last.
    pub head: String,
    /// Where it breaks first, if it does.
    pub broken: Option<Difference>,
}

impl Default for Chain {
    fn default() -> Self {
        Self { entries: 0, head: GENESIS_HASH.to_owned(), broken: None }
    }
}

impl Chain {
    /// Looks at the next entry.
    pub fn follow(&mut self, entry: &TrailEntry) {
        self.entries += 1;
        let fits = entry.seq == self.entries && entry.prev_hash == self.head;
        let digest = entry.digest();
        if self.broken.is_none() && !(fits && entry.hash == digest) {
            self.broken = Some(Difference {
                what: format!("the hash chain breaks at change {}", entry.seq),
                entries: format!("change {} behind {} with hash {digest}", self.entries, self.head),
                books: format!("change {} behind {} with hash {}", entry.seq, entry.prev_hash, entry.hash),
            });
        }
        self.head.clone_from(&entry.hash);
    }
}

/// Asks for records of one kind, ordered by id.
#[derive(Clone, Debug)]
pub struct RecordsQuery {
    /// The kind.
    pub kind: RecordKind,
    /// Only of this tier.
    pub tier: Option<String>,
    /// Only with this status.
    pub status: Option<String>,
    /// Only of this parent.
    pub parent: Option<String>,
    /// Continue behind this id.
    pub after: Option<String>,
    /// Records in the answer.
    pub limit: usize,
}

impl RecordsQuery {
    /// All of a kind.
    pub const fn all(kind: RecordKind, limit: usize) -> Self {
        Self { kind, tier: None, status: None, parent: None, after: None, limit }
    }
}

/// Asks for a part of the trail, oldest first.
#[derive(Clone, Debug, Default)]
pub struct TrailQuery {
    /// Only of this kind of record.
    pub kind: Option<RecordKind>,
    /// Only of this record.
    pub id: Option<String>,
    /// Only by this actor.
    pub actor: Option<String>,
    /// Only this action.
    pub action: Option<String>,
    /// Only under this key.
    pub idempotency_key: Option<String>,
    /// From this moment on.
    pub from_ms: Option<u64>,
    /// Before this moment.
    pub before_ms: Option<u64>,
    /// Behind this number.
    pub after: u64,
    /// Entries in the answer.
    pub limit: usize,
}

/// Records that exist, counted by tier and status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FacetCount {
    /// The tier.
    pub tier: String,
    /// The status.
    pub status: String,
    /// How many.
    pub records: u64,
}

/// The records of an engine. Every method is one transaction.
#[async_trait]
pub trait AdminStore: Send + Sync + 'static {
    /// One record; also a removed one, whose document is gone.
    async fn record(&self, kind: RecordKind, id: &str) -> Result<Option<Record>, StoreError>;

    /// Records that exist, ordered by id.
    async fn records(&self, query: RecordsQuery) -> Result<Vec<Record>, StoreError>;

    /// Records of some kinds written behind a revision, removed ones too, in the order of their revisions.
    async fn changed_since(
        &self,
        kinds: &[RecordKind],
        revision: u64,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError>;

    /// How many records of a kind exist, by tier and status, in that order.
    async fn count(&self, kind: RecordKind) -> Result<Vec<FacetCount>, StoreError>;

    /// Changes one record. An [`Changed::Applied`] is durable.
    async fn change(&self, kind: RecordKind, id: &str, change: Change) -> Result<Changed, StoreError>;

    /// The trail, oldest first.
    async fn trail(&self, query: TrailQuery) -> Result<Vec<TrailEntry>, StoreError>;
}

/// Proves that the trail is whole, page by page.
pub async fn prove_chain(store: &dyn AdminStore) -> Result<Chain, StoreError> {
    const PAGE: usize = 1000;
    let mut chain = Chain::default();
    loop {
        let after = chain.entries;
        let page = store.trail(TrailQuery { after, limit: PAGE, ..TrailQuery::default() }).await?;
        page.iter().for_each(|entry| chain.follow(entry));
        if page.len() < PAGE || chain.broken.is_some() {
            return Ok(chain);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn trail(entries: u64) -> Vec<TrailEntry> {
        let mut all: Vec<TrailEntry> = Vec::new();
        for seq in 1..=entries {
            let change = Change {
                actor: "token/x".into(),
                action: "suspend",
                expected: seq - 1,
                after: json!({"n": seq}),
                at_ms: seq,
                ..Change::default()
            };
            let prev = all.last().map_or(GENESIS_HASH, |entry| entry.hash.as_str()).to_owned();
            all.push(TrailEntry::of(RecordKind::Consumer, "alice", &change, seq, &prev));
        }
        all
    }

    fn follow(entries: &[TrailEntry]) -> Chain {
        let mut chain = Chain::default();
        entries.iter().for_each(|entry| chain.follow(entry));
        chain
    }

    #[test]
    fn a_whole_chain_is_proven_to_its_head() {
        let entries = trail(5);
        let chain = follow(&entries);
        assert_eq!((chain.entries, chain.broken), (5, None));
        assert_eq!(chain.head, entries[4].hash);
    }

    #[test]
    fn every_field_of_an_entry_is_covered() {
        let changes: [fn(&mut TrailEntry); 12] = [
            |entry| entry.seq += 1,
            |entry| entry.at_ms += 1,
            |entry| entry.actor.push('x'),
            |entry| entry.action.push('x'),
            |entry| entry.kind = RecordKind::Quota,
            |entry| entry.id.push('x'),
            |entry| entry.version += 1,
            |entry| entry.before = json!(1),
            |entry| entry.after = json!(1),
            |entry| entry.reason.push('x'),
            |entry| entry.idempotency_key.push('x'),
            |entry| entry.request_hash.push('x'),
        ];
        for change in changes {
            let mut entries = trail(3);
            change(&mut entries[1]);
            assert!(follow(&entries).broken.is_some(), "{:?}", entries[1]);
        }
    }

    #[test]
    fn an_entry_that_was_hashed_anew_breaks_the_chain_behind_it() {
        let mut entries = trail(3);
        entries[1].reason = "another".into();
        entries[1].hash = entries[1].digest();
        assert!(follow(&entries).broken.unwrap().what.contains("change 3"));
    }

    #[test]
    fn a_missing_entry_breaks_the_chain() {
        let mut entries = trail(3);
        entries.remove(1);
        assert!(follow(&entries).broken.is_some());
    }
}
