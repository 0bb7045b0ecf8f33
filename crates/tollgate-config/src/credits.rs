//! Credits: what actions and the steps of workflows cost, and what a credit is worth.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::amount::Amount;

config! {
    /// What an action costs.
    pub struct Action {
        /// Credits per unit.
        pub credits: Amount,
        /// The unit, with a number before it or not: `request`, `1000 tokens`, `1000 words`, `1 MB`, `second`. Tokens,
        /// words and bytes are those of request and answer together.
        pub per: String,
    }
}

config! {
    /// What the steps of a workflow cost.
    pub struct Workflow {
        /// By the step's name, which a route gives as its action. A step that is not listed costs what the action does.
        pub steps: BTreeMap<String, Action>,
    }
}

config! {
    /// Tollgate's own cost unit.
    #[derive(Default)]
    pub struct CreditsConfig {
        /// What one credit is worth in US dollars. With it, requests without an action cost credits too: their cost.
        #[serde(default)]
        pub usd: Option<Amount>,
    }
}
