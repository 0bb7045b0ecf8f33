//! Rates that all Envoys keep together: who has which part of them.
//!
//! The arithmetic is [`tollgate_core::share::ledger`]'s; an engine keeps a book per rate and takes a step in a transaction with
//! its row locked. Rates are taken in the order of their ids, so that two messages don't wait for each other in a circle.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tollgate_core::share::ledger::Book;
use tollgate_wire::{RateName, ShareAsk, ShareGrant};

use super::StoreError;
use super::leases::hash_of;

/// The rates of an engine.
#[async_trait]
pub trait ShareStore: Send + Sync + 'static {
    /// Takes a step for each ask, in one transaction. There is no answer to a claim that came too late.
    async fn shares(&self, asks: Vec<ShareAsk>, now_ms: u64) -> Result<Vec<ShareGrant>, StoreError>;
}

/// The id of a rate: a hash of its name, whose parts are led by their lengths, so that no two names read the same.
pub fn rate_id(name: &RateName) -> String {
    let key = name.key.iter().flat_map(|(attribute, value)| [attribute.as_bytes(), value.as_bytes()]);
    let resets = name.resets.to_le_bytes();
    let parts = [name.limit.as_bytes(), name.policy.as_bytes(), name.meter.as_bytes(), &resets];
    hash_of(parts.into_iter().chain(key))
}

/// Takes the steps on the books at hand; where there is none, the rate is new. When each rests then, by its id.
pub(super) fn steps(
    books: &mut BTreeMap<String, Book>,
    asks: &[ShareAsk],
    now_ms: u64,
) -> (Vec<ShareGrant>, BTreeMap<String, u64>) {
    let (mut grants, mut rests) = (Vec::with_capacity(asks.len()), BTreeMap::new());
    for ask in asks {
        let id = rate_id(&ask.rate);
        let book = books.entry(id.clone()).or_insert_with(|| Book::new(now_ms));
        let share = book.step(&ask.holder, &ask.claim, ask.fill_ms, now_ms);
        rests.insert(id, book.rests_at_ms(ask.fill_ms));
        let granted = |share| ShareGrant { holder: ask.holder.clone(), seq: ask.claim.seq, share };
        grants.extend(share.map(granted));
    }
    (grants, rests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_name_makes_another_rate() {
        let name = RateName {
            limit: "l".into(),
            policy: "p".into(),
            meter: "m".into(),
            key: [("consumer".to_owned(), "c".to_owned())].into(),
            resets: 1,
        };
        let others = [
            RateName { limit: "lp".into(), policy: String::new(), ..name.clone() },
            RateName { meter: "n".into(), ..name.clone() },
            RateName { resets: 2, ..name.clone() },
            RateName { key: [("consumer".to_owned(), "d".to_owned())].into(), ..name.clone() },
            RateName { key: [("team".to_owned(), "c".to_owned())].into(), ..name.clone() },
            RateName { key: Default::default(), ..name.clone() },
        ];
        let ids: std::collections::BTreeSet<String> = others.iter().chain([&name]).map(rate_id).collect();
        assert_eq!(ids.len(), 7);
    }
}
