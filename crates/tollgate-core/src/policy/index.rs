//! Which limits are about a request, found by what they look at rather than by asking each.

use hashbrown::HashMap;

use super::LimitId;
use super::attributes::{Attributes, Pattern};
use super::config::Dimension;
use super::limit::Limit;

/// Limits of one scope: those about everything, and those about certain values of an attribute.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    always: Vec<LimitId>,
    by: Vec<ByValue>,
}

/// Limits that apply only to certain values of one attribute.
#[derive(Clone, Debug)]
struct ByValue {
    dimension: Dimension,
    exact: HashMap<String, Vec<LimitId>>,
    prefix: HashMap<String, Vec<LimitId>>,
    /// The lengths of the prefixes there are.
    lengths: Vec<usize>,
}

impl Index {
    /// Enters the limits, each by its first condition that names values, whatever else it asks for.
    pub fn new<'a>(limits: impl Iterator<Item = (LimitId, &'a Limit)>) -> Self {
        let mut index = Self::default();
        for (id, limit) in limits {
            match limit.when.iter().find(|condition| !condition.any.is_empty()) {
                None => index.always.push(id),
                Some(condition) => {
                    for pattern in &condition.any {
                        index.enter(condition.dimension, pattern, id);
                    }
                }
            }
        }
        index
    }

    fn enter(&mut self, dimension: Dimension, pattern: &Pattern, id: LimitId) {
        if !self.by.iter().any(|by| by.dimension == dimension) {
            self.by.push(ByValue {
                dimension,
                exact: HashMap::new(),
                prefix: HashMap::new(),
                lengths: Vec::new(),
            });
        }
        for by in self.by.iter_mut().filter(|by| by.dimension == dimension) {
            by.enter(pattern, id);
        }
    }

    /// Appends the limits that may be about the request, in the order of their numbers. O(what is appended), and one
    /// look-up for each attribute and length of prefix there is.
    pub fn candidates(&self, request: &Attributes<'_>, into: &mut Vec<LimitId>) {
        let start = into.len();
        into.extend_from_slice(&self.always);
        for by in &self.by {
            by.find(request.get(by.dimension), into);
        }
        if into.len() > start + self.always.len()
            && let Some(added) = into.get_mut(start..)
        {
            added.sort_unstable();
            let mut last = None;
            let mut at = 0;
            into.retain(|id| {
                at += 1;
                at <= start || last.replace(*id) != Some(*id)
            });
        }
    }
}

impl ByValue {
    fn enter(&mut self, pattern: &Pattern, id: LimitId) {
        match pattern {
            Pattern::Exact(value) => self.exact.entry(value.clone()).or_default().push(id),
            Pattern::Prefix(prefix) => {
                self.prefix.entry(prefix.clone()).or_default().push(id);
                if !self.lengths.contains(&prefix.len()) {
                    self.lengths.push(prefix.len());
                }
            }
        }
    }

    fn find(&self, value: &str, into: &mut Vec<LimitId>) {
        into.extend(self.exact.get(value).into_iter().flatten());
        for length in &self.lengths {
            // None too where the prefix would end inside a character.
            let found = value.get(..*length).and_then(|prefix| self.prefix.get(prefix));
            into.extend(found.into_iter().flatten());
        }
    }
}
