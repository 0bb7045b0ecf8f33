//! The questions the books answer, and the order they answer in. Every order is total and by value, so that a page
//! continues behind a key and not behind a count.

use serde::{Deserialize, Serialize};
use tollgate_wire::{Balance, Tally, WindowRange};

use super::Sums;
use crate::calendar::WindowKind;

/// Asks for what earlier processes of a node used.
#[derive(Clone, Debug, Default)]
pub struct OpeningQuery {
    /// The node; never empty.
    pub node: String,
    /// The process that asks: its own entries are left out.
    pub process: String,
    /// Spans of time to add up.
    pub windows: Vec<WindowRange>,
    /// Go on from here: the `next` of the page before.
    pub after: Option<OpeningCursor>,
    /// Balances that a page ends with; only those of one consumer may be more.
    pub limit: usize,
    /// Entries that a page ends with, give or take those of one millisecond.
    pub entries: u64,
}

/// A page of what earlier processes used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// What is found on it. A balance of many entries comes in parts, which are to be added up.
    pub balances: Vec<Balance>,
    /// Where the next page begins; None behind the last.
    pub next: Option<OpeningCursor>,
}

/// How far an opening was read: through the windows, their months, in those the consumers, and of one what it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpeningCursor {
    /// The window.
    pub window: usize,
    /// The month, as 202611.
    pub month: u32,
    /// The last consumer of which anything was read.
    pub consumer: String,
    /// Its entries up to this moment were read; None: all of them.
    pub at_ms: Option<u64>,
}

/// What usage can be grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// The day or month.
    Window,
    /// Who pays.
    Consumer,
    /// The consumer's team.
    Team,
    /// The consumer's project.
    Project,
    /// The tier whose limits applied.
    Tier,
    /// The API.
    Provider,
    /// The model.
    Model,
    /// The route's action.
    Action,
    /// The route's workflow.
    Workflow,
    /// The tool called.
    Tool,
    /// What the client speaks through.
    Interface,
}

impl Dimension {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 11] = [
        Self::Window,
        Self::Consumer,
        Self::Team,
        Self::Project,
        Self::Tier,
        Self::Provider,
        Self::Model,
        Self::Action,
        Self::Workflow,
        Self::Tool,
        Self::Interface,
    ];

    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Consumer => "consumer",
            Self::Team => "team",
            Self::Project => "project",
            Self::Tier => "tier",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Action => "action",
            Self::Workflow => "workflow",
            Self::Tool => "tool",
            Self::Interface => "interface",
        }
    }

    /// The dimension of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dimension| dimension.as_str() == name)
    }
}

/// Which usage is meant. `None` means all.
#[derive(Clone, Debug, Default)]
pub struct UsageFilter {
    /// Windows that start here or later, milliseconds.
    pub from_ms: Option<u64>,
    /// Windows that start before this, milliseconds.
    pub before_ms: Option<u64>,
    /// Exact values of dimensions other than the window.
    pub equals: Vec<(Dimension, String)>,
}

/// Asks for rolled-up usage.
#[derive(Clone, Debug)]
pub struct UsageQuery {
    /// The roll-up to read.
    pub kind: WindowKind,
    /// Which rows count.
    pub filter: UsageFilter,
    /// What to group by, without repetition.
    pub group_by: Vec<Dimension>,
    /// Continue behind this key.
    pub after: Option<Vec<KeyPart>>,
    /// Rows in the answer.
    pub limit: usize,
}

/// One value of a dimension.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum KeyPart {
    /// A window, as its first millisecond.
    Window(u64),
    /// Anything else.
    Text(String),
}

/// Usage of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// The group, in the order asked for.
    pub key: Vec<KeyPart>,
    /// What it used.
    pub sums: Sums,
}

/// The answer to a [`UsageQuery`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageReport {
    /// One page of groups, ordered by key.
    pub rows: Vec<UsageRow>,
    /// Sums over everything that matches, whatever the page.
    pub totals: Sums,
}

/// Asks for entries.
#[derive(Clone, Debug, Default)]
pub struct EntriesQuery {
    /// Exact values of dimensions other than the window.
    pub equals: Vec<(Dimension, String)>,
    /// Only of this region, which entries know and usage does not.
    pub region: Option<String>,
    /// Decided here or later, milliseconds.
    pub from_ms: Option<u64>,
    /// Decided before this, milliseconds.
    pub before_ms: Option<u64>,
    /// Continue behind this entry.
    pub after: Option<EntryCursor>,
    /// Entries in the answer.
    pub limit: usize,
}

/// What entries are ordered by: time, then GUID.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EntryCursor(pub u64, pub String);

/// One line of the audit trail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What happened.
    #[serde(flatten)]
    pub tally: Tally,
    /// The Envoy process that told it.
    pub process: String,
    /// The worker that told it.
    pub worker: String,
    /// The node that told it, or empty.
    pub node: String,
    /// The batch it came in.
    pub seq: u64,
}

impl Entry {
    /// Where the entry stands.
    pub fn cursor(&self) -> EntryCursor {
        EntryCursor(self.tally.at_ms, self.tally.id.clone())
    }
}
