//! What operators decided, as the ledger told, until it is over.
//!
//! The ledger tells a record whole and once; when its end comes, nobody tells again. So the records are kept here, and
//! [`Overrides`], which requests look at, follow from them: after a change, and at every end.

use std::collections::BTreeSet;
use std::rc::Rc;

use hashbrown::HashMap;
use tollgate_wire::{
    ConsumerStanding, ConsumerStatus, Decisions, EnforcementSwitch, LIMITS_FOR_NOW_MAX, LimitForNow,
    PERCENT_MAX,
};

use crate::limiter::Memory;
use crate::policy::config::Enforcement;
use crate::policy::{LimitOverride, Overrides, Resets, Standing};

/// Most consumers that something is decided about, per worker: some 30 MiB at the usual length of names. Later ones are
/// not known here, which is counted.
pub const CONSUMERS_MAX: usize = 100_000;

/// Most models whose memory is told: an endpoint serves dozens.
pub const MODELS_MAX: usize = 1000;

/// The records, and which of them end when.
#[derive(Clone, Debug, Default)]
pub struct Decided {
    known: u64,
    memory: HashMap<String, Memory>,
    consumers: HashMap<String, ConsumerStanding>,
    ends: BTreeSet<(u64, String)>,
}

/// What became of decisions that were told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// Consumers whose record was taken in.
    pub consumers: u64,
    /// Consumers whose record was not, because there are [`CONSUMERS_MAX`] already.
    pub left_out: u64,
}

impl Decided {
    /// The number up to which decisions are known.
    pub const fn known(&self) -> u64 {
        self.known
    }

    /// The memory that models use, as operators told it last.
    pub fn memory(&self) -> impl Iterator<Item = (&str, Memory)> {
        self.memory.iter().map(|(model, memory)| (model.as_str(), *memory))
    }

    /// Takes in what the ledger told. What comes late or twice says nothing new; a number before the known one is that
    /// of a ledger that was restored from a copy, which begins again.
    pub fn learn(&mut self, decisions: Decisions, overrides: &mut Overrides, now_ms: u64) -> Learned {
        if decisions.revision < self.known {
            *self = Self::default();
            *overrides = Overrides::default();
        }
        self.known = decisions.revision;
        if let Some(switches) = decisions.switches {
            overrides.enforcement = switches.enforcement.map(|switch| match switch {
                EnforcementSwitch::On => Enforcement::On,
                EnforcementSwitch::Shadow => Enforcement::Shadow,
                EnforcementSwitch::Off => Enforcement::Off,
            });
            overrides.burst_resets = switches.burst_resets;
        }
        for told in decisions.memory {
            if self.memory.len() < MODELS_MAX || self.memory.contains_key(&told.model) {
                let memory = Memory { ram: Some(told.ram_mb), ssd: Some(told.ssd_mb) };
                self.memory.insert(told.model, memory);
            }
        }
        let mut learned = Learned::default();
        for standing in decisions.consumers {
            if self.consumers.len() >= CONSUMERS_MAX && !self.consumers.contains_key(&standing.id) {
                learned.left_out += 1;
                continue;
            }
            learned.consumers += 1;
            self.forget(&standing.id);
            let id = standing.id.clone();
            let says_nothing =
                standing == ConsumerStanding { id: standing.id.clone(), ..ConsumerStanding::default() };
            if !says_nothing {
                self.ends.extend(ends(&standing).filter(|end| *end > now_ms).map(|end| (end, id.clone())));
                self.consumers.insert(id.clone(), standing);
            }
            self.follow(&id, overrides, now_ms);
        }
        learned
    }

    /// Ends what is over. Cheap while nothing is.
    pub fn tick(&mut self, overrides: &mut Overrides, now_ms: u64) {
        while self.ends.first().is_some_and(|(end, _)| *end <= now_ms) {
            if let Some((_, id)) = self.ends.pop_first() {
                self.follow(&id, overrides, now_ms);
            }
        }
    }

    fn forget(&mut self, id: &str) {
        if let Some(old) = self.consumers.remove(id) {
            for end in ends(&old) {
                self.ends.remove(&(end, id.to_owned()));
            }
        }
    }

    /// Brings what requests look at in line with the record.
    fn follow(&self, id: &str, overrides: &mut Overrides, now_ms: u64) {
        let none = ConsumerStanding::default();
        let record = self.consumers.get(id).unwrap_or(&none);
        set(&mut overrides.standings, id, standing_at(record, now_ms));
        set(&mut overrides.tiers, id, tier_at(record, now_ms));
        set(&mut overrides.limits, id, limits_at(record, now_ms));
        let resets = Resets { all: record.resets, bursts: record.burst_resets, everybodys_bursts: 0 };
        set(&mut overrides.resets, id, (resets != Resets::default()).then_some(resets));
    }
}

fn ends(standing: &ConsumerStanding) -> impl Iterator<Item = u64> {
    let tier = standing.tier_for_now.as_ref().map(|tier| tier.until_ms);
    let limits = standing.limits_for_now.iter().map(|limit| limit.until_ms);
    [tier, standing.status_until_ms, standing.exempt_until_ms].into_iter().flatten().chain(limits)
}

fn set<T>(map: &mut HashMap<String, T>, id: &str, value: Option<T>) {
    match value {
        Some(value) => drop(map.insert(id.to_owned(), value)),
        None => drop(map.remove(id)),
    }
}

/// A suspension wins over an exemption, and both over a grace. None: the configuration says.
fn standing_at(record: &ConsumerStanding, now_ms: u64) -> Option<Standing> {
    let lasts = |end: Option<u64>| end.is_none_or(|end| now_ms < end);
    let status = if lasts(record.status_until_ms) { record.status } else { ConsumerStatus::Active };
    match status {
        ConsumerStatus::Suspended => Some(Standing::Suspended(record.reason.clone())),
        _ if record.exempt && lasts(record.exempt_until_ms) => Some(Standing::Exempt),
        ConsumerStatus::Grace => Some(Standing::Grace),
        ConsumerStatus::Active => None,
    }
}

fn tier_at(record: &ConsumerStanding, now_ms: u64) -> Option<String> {
    let for_now = record.tier_for_now.as_ref().filter(|tier| now_ms < tier.until_ms);
    for_now.map(|tier| tier.tier.clone()).or_else(|| record.tier.clone())
}

/// None where every limit is as configured. What no ledger would tell is left out.
fn limits_at(record: &ConsumerStanding, now_ms: u64) -> Option<Rc<[LimitOverride]>> {
    let fine = |limit: &&LimitForNow| now_ms < limit.until_ms && (1..=PERCENT_MAX).contains(&limit.percent);
    let lasting = record.limits_for_now.iter().take(LIMITS_FOR_NOW_MAX).filter(fine);
    let limits: Rc<[_]> =
        lasting.map(|limit| LimitOverride { limit: limit.limit.clone(), percent: limit.percent }).collect();
    (!limits.is_empty()).then_some(limits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_wire::{MemoryInUse, SwitchesState, TierForNow};

    fn standing(id: &str) -> ConsumerStanding {
        ConsumerStanding { id: id.into(), ..ConsumerStanding::default() }
    }

    fn suspended(id: &str, until_ms: Option<u64>) -> ConsumerStanding {
        ConsumerStanding {
            status: ConsumerStatus::Suspended,
            reason: "unpaid".into(),
            status_until_ms: until_ms,
            ..standing(id)
        }
    }

    fn told(revision: u64, consumers: Vec<ConsumerStanding>) -> Decisions {
        Decisions { revision, consumers, ..Decisions::default() }
    }

    #[test]
    fn what_has_an_end_is_over_by_itself() {
        let (mut decided, mut overrides) = (Decided::default(), Overrides::default());
        let raised = ConsumerStanding {
            tier: Some("pro".into()),
            tier_for_now: Some(TierForNow { tier: "enterprise".into(), until_ms: 200 }),
            exempt: true,
            exempt_until_ms: Some(300),
            ..standing("alice")
        };
        decided.learn(told(1, vec![suspended("mallory", Some(100)), raised]), &mut overrides, 0);
        let tier = |overrides: &Overrides| overrides.tiers.get("alice").cloned().unwrap_or_default();
        let says = |overrides: &Overrides, id: &str| overrides.standings.get(id).cloned().unwrap_or_default();
        decided.tick(&mut overrides, 99);
        assert_eq!(says(&overrides, "mallory"), Standing::Suspended("unpaid".into()));
        decided.tick(&mut overrides, 100);
        assert_eq!((says(&overrides, "mallory"), tier(&overrides)), (Standing::Normal, "enterprise".into()));
        decided.tick(&mut overrides, 299);
        assert_eq!((says(&overrides, "alice"), tier(&overrides)), (Standing::Exempt, "pro".into()));
        decided.tick(&mut overrides, 300);
        assert_eq!((says(&overrides, "alice"), tier(&overrides)), (Standing::Normal, "pro".into()));
    }

    #[test]
    fn limits_that_are_others_for_now_end_one_by_one() {
        let (mut decided, mut overrides) = (Decided::default(), Overrides::default());
        let limit = |limit: &str, percent, until_ms| LimitForNow { limit: limit.into(), percent, until_ms };
        let limits_for_now =
            vec![limit("rpm", 200, 100), limit("tpm", 50, 200), limit("none", 0, 900), limit("past", 10, 5)];
        let alice = ConsumerStanding { limits_for_now, ..standing("alice") };
        decided.learn(told(1, vec![alice]), &mut overrides, 10);
        let mut limits_at = |now_ms| {
            decided.tick(&mut overrides, now_ms);
            let all = overrides.limits.get("alice").map(|all| all.to_vec()).unwrap_or_default();
            all.into_iter().map(|one| (one.limit, one.percent)).collect::<Vec<_>>()
        };
        assert_eq!(limits_at(99), [("rpm".to_owned(), 200), ("tpm".to_owned(), 50)]);
        assert_eq!(limits_at(100), [("tpm".to_owned(), 50)]);
        assert_eq!(limits_at(200), []);
    }

    #[test]
    fn a_later_record_replaces_an_earlier_one_and_its_ends() {
        let (mut decided, mut overrides) = (Decided::default(), Overrides::default());
        decided.learn(told(1, vec![suspended("mallory", Some(100))]), &mut overrides, 0);
        decided.learn(told(2, vec![suspended("mallory", None)]), &mut overrides, 0);
        decided.tick(&mut overrides, 1000);
        assert!(overrides.standings.contains_key("mallory"));
        decided.learn(told(3, vec![standing("mallory")]), &mut overrides, 0);
        assert!(overrides.standings.is_empty() && decided.consumers.is_empty() && decided.ends.is_empty());
        assert_eq!(decided.known(), 3);
    }

    #[test]
    fn a_suspension_wins_over_an_exemption_and_both_over_a_grace() {
        let both = ConsumerStanding { exempt: true, ..suspended("a", None) };
        assert_eq!(standing_at(&both, 0), Some(Standing::Suspended("unpaid".into())));
        let exempt = ConsumerStanding { status: ConsumerStatus::Grace, exempt: true, ..standing("a") };
        assert_eq!(standing_at(&exempt, 0), Some(Standing::Exempt));
        let grace = ConsumerStanding { exempt: false, ..exempt };
        assert_eq!(standing_at(&grace, 0), Some(Standing::Grace));
    }

    #[test]
    fn switches_stay_until_they_are_told_again() {
        let (mut decided, mut overrides) = (Decided::default(), Overrides::default());
        let switches = Some(SwitchesState { enforcement: Some(EnforcementSwitch::Off), burst_resets: 2 });
        decided.learn(Decisions { revision: 1, switches, ..Decisions::default() }, &mut overrides, 0);
        decided.learn(told(2, vec![]), &mut overrides, 0);
        assert_eq!((overrides.enforcement, overrides.burst_resets), (Some(Enforcement::Off), 2));
    }

    #[test]
    fn a_ledger_that_knows_less_is_believed_from_its_beginning() {
        let (mut decided, mut overrides) = (Decided::default(), Overrides::default());
        decided.learn(told(9, vec![suspended("mallory", None)]), &mut overrides, 0);
        decided.learn(Decisions { more: true, ..Decisions::default() }, &mut overrides, 0);
        assert_eq!(decided.known(), 0);
        assert!(overrides.standings.is_empty());
    }

    #[test]
    fn no_more_consumers_are_kept_than_there_is_room_for() {
        let (mut decided, mut overrides) = (Decided::default(), Overrides::default());
        let all = (0..CONSUMERS_MAX).map(|number| suspended(&number.to_string(), None)).collect();
        assert_eq!(decided.learn(told(1, all), &mut overrides, 0).left_out, 0);
        let one_more = decided.learn(told(2, vec![suspended("x", None)]), &mut overrides, 0);
        assert_eq!(one_more, Learned { consumers: 0, left_out: 1 });
        // One that is known may still change, and one that is let go makes room.
        let learned = decided.learn(told(3, vec![standing("0"), suspended("x", None)]), &mut overrides, 0);
        assert_eq!(learned, Learned { consumers: 2, left_out: 0 });
    }

    #[test]
    fn a_models_memory_is_what_was_told_last() {
        let (mut decided, mut overrides) = (Decided::default(), Overrides::default());
        let told = |revision, model: &str, ram_mb| Decisions {
            revision,
            memory: vec![MemoryInUse { model: model.into(), ram_mb, ssd_mb: 1 }],
            ..Decisions::default()
        };
        decided.learn(told(1, "a", 5), &mut overrides, 0);
        decided.learn(told(2, "a", 7), &mut overrides, 0);
        assert_eq!(decided.memory().collect::<Vec<_>>(), [("a", Memory { ram: Some(7), ssd: Some(1) })]);
        for model in 0..MODELS_MAX {
            decided.learn(told(3, &model.to_string(), 1), &mut overrides, 0);
        }
        assert_eq!(decided.memory().count(), MODELS_MAX);
        decided.learn(Decisions { revision: 2, ..Decisions::default() }, &mut overrides, 0);
        assert_eq!(decided.memory().count(), 0, "a ledger restored from a copy begins again");
    }
}
