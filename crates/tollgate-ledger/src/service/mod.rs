//! HTTP around the books. Handlers turn requests into questions to the [`Books`] and answers into JSON; the status of
//! an answer is chosen here and nowhere deeper.

mod asking;
mod auth;
mod check;
mod clock;
mod consumers;
mod cursor;
mod decisions;
mod entries;
mod leases;
mod metrics;
mod openapi;
mod probes;
mod problem;
mod quotas;
mod range;
mod responses;
mod router;
mod serve;
mod statistics;
mod switches;
mod sync;
mod tiers;
mod tls;
mod tokens;
mod trail;
mod usage;
mod validate;

use std::sync::Arc;

pub use auth::Token;
pub use check::{CheckAnswer, CheckRefusal, CheckWanted, OwnView};
pub use clock::Clock;
pub use consumers::{ConsumerView, ConsumersPage, DecisionWanted};
pub use entries::{CSV_COLUMNS, EntriesPage};
pub use leases::{LeaseView, LentPage, LentView, WriteOffWanted};
pub use metrics::Metrics;
pub use quotas::{BalanceChange, QuotaView, QuotasPage};
pub use router::router;
pub use serve::{ServeError, Serving};
pub use statistics::Statistics;
pub use switches::{BurstsWanted, MemoryPage, MemoryTold, MemoryView, SwitchWanted, SwitchesView};
pub use tiers::Tiers;
pub use tls::{TlsError, TlsOptions};
pub use tokens::{NewToken, TokenView, TokenWanted, TokensPage, issue};
pub use trail::TrailPage;
pub use usage::{UsageGroup, UsagePage};

use crate::store::{AdminStore, Books};

/// What the handlers share.
#[derive(Clone)]
pub struct AppState {
    /// The books.
    pub store: Arc<dyn Books>,
    /// What operators decided.
    pub admin: Arc<dyn AdminStore>,
    /// The token that the Envoys share, if they share one.
    pub token: Option<Arc<Token>>,
    /// What time it is.
    pub clock: Clock,
    /// What happened so far.
    pub metrics: Arc<Metrics>,
    /// The tiers that filters are configured with, as far as this service was told.
    pub tiers: Arc<Tiers>,
    /// Months of the audit trail that are kept beside the current one.
    pub retention_months: u32,
}

impl AppState {
    /// State over some books, with the system's clock and nothing counted yet.
    pub fn new(books: Arc<dyn Books>, token: Option<Token>, retention_months: u32) -> Self {
        Self {
            store: books.clone(),
            admin: books,
            token: token.map(Arc::new),
            clock: Clock::System,
            metrics: Arc::new(Metrics::new()),
            tiers: Arc::default(),
            retention_months,
        }
    }
}
