//! One balance of one limit, as it stands in shared data.

use crate::lease::Leased;
use crate::share::Shared;

use super::bucket::Bucket;
use super::codec::{Reader, Writer};
use super::gauge::Gauge;
use super::holds::{Holds, Owner};
use super::sliding::{Part, Sliding};
use super::spare::Spare;
use super::window::Window;

/// What one window of a quota has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The window it is about.
    pub window: Window,
    /// Settled units.
    pub used: u64,
    /// Bit n: the n-th warning threshold was told.
    pub warned: u8,
    /// Units reserved and not yet settled.
    pub holds: Holds,
}

/// A quota is remembered this long after its window, and this long after the window's start even if nothing is used: a
/// clock that steps back by less, over the end of a window, does not find it forgotten and its limit whole again.
pub const CLOCK_STEP_S_MAX: u32 = 7200;

/// The state of one cell, by kind of limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// A token bucket, and what is used of its burst allowance.
    Bucket(Bucket, Spare),
    /// A rate of all Envoys: the share of it. Boxed: it is several times as large as the others.
    Shared(Box<Shared>),
    /// A sliding window, and what is held beyond what requests are expected to use.
    Sliding(Sliding, Holds),
    /// A calendar quota.
    Quota(Usage),
    /// A quota of all Envoys: its leases.
    Leased(Leased),
    /// A concurrency limit: requests in flight, by owner.
    InFlight(Holds),
    /// A model server's memory.
    Gauge(Gauge),
}

/// One balance: which limit and key values it is of, and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Hash of the limit's name and of what it is keyed by besides the account.
    pub id: u32,
    /// How much of its limit was used when it was last written.
    pub share: Share,
    /// Monotonic second in which the grace of its first violation ends; 0: none was violated. Belongs to the state:
    /// with the state at rest it means nothing.
    pub grace_until_s: u32,
    /// What is counted.
    pub state: State,
}

/// How much of a limit is used, 0 (nothing) to 255. What is used least is forgotten first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(pub u8);

impl Share {
    /// From here on, a consumer is near its limit: 80 %.
    pub const NEAR: Self = Self(204);

    /// `used` of `limit` units.
    pub fn of(used: u64, limit: u64) -> Self {
        let (used, limit) = (used.min(limit), limit.max(1));
        let share = match used.checked_mul(255) {
            Some(parts) => parts / limit,
            None => used / (limit / 255),
        };
        Self(share.min(255) as u8)
    }
}

// The kind, in three bits, and what else there is.
const BUCKET: u8 = 0;
const QUOTA: u8 = 1;
const IN_FLIGHT: u8 = 2;
const SLIDING: u8 = 3;
const GAUGE: u8 = 4;
const LEASED: u8 = 5;
const SHARED: u8 = 6;
const KIND: u8 = 7;
const GRACE: u8 = 0x80;
/// Of a bucket: its allowance is in use. Of a quota: a warning was told. Of a window: the one before counts.
const MORE: u8 = 0x40;
/// Of a window: it is known which amount its edges are of.
const AMOUNT: u8 = 0x10;
/// Of a quota or a window: something is held. Of a bucket: its TAT has ticks.
const FINE: u8 = 0x20;

impl Cell {
    /// True when forgetting the cell changes no decision.
    pub fn at_rest(&self, mono_ns: u64, wall_s: u32) -> bool {
        match &self.state {
            State::Bucket(bucket, spare) => bucket.at_rest(mono_ns) && spare.used == 0,
            State::Sliding(sliding, holds) => holds.is_empty() && sliding.at_rest(mono_ns),
            State::Quota(usage) => {
                let over = usage.window.end_s.saturating_add(CLOCK_STEP_S_MAX) <= wall_s;
                let unused = usage.used == 0 && usage.warned == 0;
                let new = wall_s < usage.window.start_s.saturating_add(CLOCK_STEP_S_MAX);
                usage.holds.is_empty() && (over || (unused && !new))
            }
            State::Leased(leased) => leased.at_rest(mono_ns / 1_000_000, wall_s),
            State::Shared(shared) => shared.holder.at_rest(mono_ns),
            State::InFlight(holds) => holds.is_empty(),
            State::Gauge(gauge) => gauge.at_rest((mono_ns / crate::time::NANOS_PER_SECOND) as u32),
        }
    }

    /// True when requests in flight are counted in it, or units that would be lost with it.
    pub fn has_holds(&self) -> bool {
        match &self.state {
            State::Leased(leased) => leased.has_holds(),
            _ => self.owners().next().is_some(),
        }
    }

    /// The owners of its holds.
    pub fn owners(&self) -> impl Iterator<Item = Owner> {
        let holds = match &self.state {
            State::Bucket(..) | State::Shared(_) | State::Gauge(_) | State::Leased(_) => None,
            State::Quota(usage) => Some(&usage.holds),
            State::Sliding(_, holds) | State::InFlight(holds) => Some(holds),
        };
        let leased = match &self.state {
            State::Leased(leased) => Some(leased),
            _ => None,
        };
        holds.into_iter().flat_map(Holds::owners).chain(leased.into_iter().flat_map(Leased::owners))
    }

    /// Appends the cell: about 15 bytes for a bucket or a quota, 7 for requests in flight, 22 for a sliding window.
    pub fn write(&self, out: &mut Writer<'_>) {
        out.u32(self.id);
        let (kind, more, fine) = match &self.state {
            State::Bucket(bucket, spare) => (BUCKET, *spare != Spare::default(), bucket.tat_ticks != 0),
            State::Quota(usage) => (QUOTA, usage.warned != 0, !usage.holds.is_empty()),
            State::InFlight(_) => (IN_FLIGHT, false, false),
            State::Sliding(sliding, holds) => (SLIDING, sliding.before != Part::default(), !holds.is_empty()),
            State::Gauge(_) => (GAUGE, false, false),
            State::Leased(_) => (LEASED, false, false),
            State::Shared(_) => (SHARED, false, false),
        };
        let flag = |bit, set| if set { bit } else { 0 };
        let amount = matches!(&self.state, State::Sliding(sliding, _) if sliding.amount != 0);
        out.u8(kind
            | flag(AMOUNT, amount)
            | flag(MORE, more)
            | flag(FINE, fine)
            | flag(GRACE, self.grace_until_s != 0));
        out.u8(self.share.0);
        if self.grace_until_s != 0 {
            out.short(u64::from(self.grace_until_s));
        }
        match &self.state {
            State::Bucket(bucket, spare) => {
                out.short(bucket.tat_ns);
                if fine {
                    out.short(u64::from(bucket.tat_ticks));
                }
                if more {
                    out.short(spare.used);
                    out.short(u64::from(spare.generation));
                }
            }
            State::Quota(usage) => {
                out.u32(usage.window.start_s);
                out.short(u64::from(usage.window.end_s.saturating_sub(usage.window.start_s)));
                out.short(usage.used);
                if more {
                    out.u8(usage.warned);
                }
                if fine {
                    usage.holds.write(out);
                }
            }
            State::InFlight(holds) => holds.write(out),
            State::Sliding(sliding, holds) => {
                out.short(u64::from(sliding.period_s));
                out.short(u64::from(sliding.index));
                if amount {
                    out.short(sliding.amount);
                }
                write_part(&sliding.now, out);
                if more {
                    write_part(&sliding.before, out);
                }
                if fine {
                    holds.write(out);
                }
            }
            State::Leased(leased) => leased.write(out),
            State::Shared(shared) => shared.write(out),
            State::Gauge(gauge) => {
                out.short(gauge.used);
                out.short(gauge.peak);
                out.short(u64::from(gauge.read_s));
            }
        }
    }

    /// Reads one cell. None when the bytes are not one.
    pub fn read(from: &mut Reader<'_>) -> Option<Self> {
        let id = from.u32()?;
        let kind = from.u8()?;
        let share = Share(from.u8()?);
        let (more, fine) = (kind & MORE != 0, kind & FINE != 0);
        let grace_until_s = if kind & GRACE == 0 { 0 } else { from.short32()? };
        let state = match kind & KIND {
            BUCKET => {
                let tat_ns = from.short()?;
                let tat_ticks = if fine { from.short32()? } else { 0 };
                let spare = if more {
                    Spare { used: from.short()?, generation: from.short32()? }
                } else {
                    Spare::default()
                };
                State::Bucket(Bucket { tat_ns, tat_ticks }, spare)
            }
            QUOTA => {
                let start_s = from.u32()?;
                let window = Window { start_s, end_s: start_s.checked_add(from.short32()?)? };
                State::Quota(Usage {
                    window,
                    used: from.short()?,
                    warned: if more { from.u8()? } else { 0 },
                    holds: if fine { Holds::read(from)? } else { Holds::default() },
                })
            }
            IN_FLIGHT => State::InFlight(Holds::read(from)?),
            SLIDING => {
                let sliding = Sliding {
                    period_s: from.short32()?,
                    index: from.short32()?,
                    amount: if kind & AMOUNT != 0 { from.short()? } else { 0 },
                    now: read_part(from)?,
                    before: if more { read_part(from)? } else { Part::default() },
                };
                State::Sliding(sliding, if fine { Holds::read(from)? } else { Holds::default() })
            }
            LEASED => State::Leased(Leased::read(from)?),
            SHARED => State::Shared(Box::new(Shared::read(from)?)),
            GAUGE => {
                State::Gauge(Gauge { used: from.short()?, peak: from.short()?, read_s: from.short32()? })
            }
            _ => return None,
        };
        Some(Self { id, share, grace_until_s, state })
    }
}

fn write_part(part: &Part, out: &mut Writer<'_>) {
    out.short(part.units);
    out.short(part.edge);
    out.short(u64::from(part.last));
}

fn read_part(from: &mut Reader<'_>) -> Option<Part> {
    Some(Part { units: from.short()?, edge: from.short()?, last: from.short32()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn held() -> impl Strategy<Value = Holds> {
        prop::collection::vec((1u32.., 1u64..), 0..5).prop_map(|all| {
            let mut holds = Holds::default();
            for (owner, amount) in all {
                assert!(holds.add(Owner(owner), amount));
            }
            holds
        })
    }

    fn state() -> impl Strategy<Value = State> {
        let part = || {
            (any::<u64>(), any::<u64>(), any::<u32>()).prop_map(|(units, edge, last)| Part {
                units,
                edge,
                last,
            })
        };
        prop_oneof![
            (any::<u64>(), any::<u32>(), any::<u64>(), any::<u32>()).prop_map(
                |(tat_ns, tat_ticks, used, generation)| State::Bucket(
                    Bucket { tat_ns, tat_ticks },
                    Spare { used, generation }
                )
            ),
            (any::<u64>(),)
                .prop_map(|(tat_ns,)| State::Bucket(Bucket { tat_ns, tat_ticks: 0 }, Spare::default())),
            (any::<u32>(), any::<u32>(), any::<u64>(), any::<u8>(), held()).prop_map(
                |(a, b, used, warned, holds)| State::Quota(Usage {
                    window: Window { start_s: a.min(b), end_s: a.max(b) },
                    used,
                    warned,
                    holds
                })
            ),
            held().prop_map(State::InFlight),
            (any::<u32>(), any::<u32>(), part(), part(), any::<u64>(), held()).prop_map(
                |(period_s, index, now, before, amount, holds)| {
                    State::Sliding(Sliding { period_s, index, now, before, amount }, holds)
                }
            ),
            (any::<u64>(), any::<u64>(), any::<u32>()).prop_map(|(used, peak, read_s)| State::Gauge(Gauge {
                used,
                peak,
                read_s
            })),
        ]
    }

    proptest! {
        #[test]
        fn cells_survive_the_bytes_and_half_of_them_are_none(
            cells in prop::collection::vec((any::<u32>(), any::<u8>(), any::<u32>(), state()), 1..8),
        ) {
            let cells: Vec<Cell> = cells
                .into_iter()
                .map(|(id, share, grace_until_s, state)| Cell { id, share: Share(share), grace_until_s, state })
                .collect();
            let mut bytes = Vec::new();
            for cell in &cells {
                let start = bytes.len();
                cell.write(&mut Writer(&mut bytes));
                for end in start..bytes.len() {
                    prop_assert!(Cell::read(&mut Reader(&bytes[start..end])).is_none());
                }
            }
            let mut reader = Reader(&bytes);
            for cell in &cells {
                prop_assert_eq!(Cell::read(&mut reader), Some(cell.clone()));
            }
            prop_assert!(reader.0.is_empty());
        }

        #[test]
        fn any_bytes_are_a_cell_or_none(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut reader = Reader(&bytes);
            while Cell::read(&mut reader).is_some() {}
        }
    }
}
