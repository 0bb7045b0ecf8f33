//! The leases of one balance, a window each: the one that is spent from, those before it that still settle, and the next,
//! which is asked for before it begins.

use crate::limit::{Owner, Reader, Window, Writer, read_key, write_key};

use super::holder::Holder;

/// Most leases of one balance. More are of clock steps and changed calendars, and the oldest goes.
const WINDOWS_MAX: usize = 4;

/// The next window's lease is asked for so long before it begins, in seconds, and up to as long earlier: Envoys are to
/// come one after the other.
const AHEAD_S: u32 = 3;

/// What is left of a lease is reported for so long after its window, in seconds. The ledger then books it as spent.
const SETTLES_S: u32 = 86_400;

/// One window's lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The window.
    pub window: Window,
    /// Bit n: the n-th warning threshold was told.
    pub warned: u8,
    /// What may be spent in it.
    pub holder: Holder,
}

/// The leases of one balance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leased {
    /// Hash of the limit's name and kind.
    pub limit: u32,
    /// Whose balance: the values of the limit's key, in its order. So that any worker can speak of it to the ledger, also
    /// one that has not met its consumer.
    pub key: Vec<String>,
    /// The leases, the oldest first.
    pub all: Vec<Lease>,
}

impl Leased {
    /// The lease of a window.
    pub fn of_window(&mut self, window: Window) -> Option<&mut Lease> {
        self.all.iter_mut().find(|lease| lease.window == window)
    }

    /// Begins a lease.
    pub fn begin(&mut self, window: Window, holder: Holder) {
        if self.all.len() >= WINDOWS_MAX {
            self.all.remove(0);
        }
        self.all.push(Lease { window, warned: 0, holder });
    }

    /// The lease of this identity.
    pub fn of_life(&mut self, life: u64) -> Option<&mut Lease> {
        self.all.iter_mut().find(|lease| lease.holder.life() == life)
    }

    /// Brings the leases to the present, in which `window` is current: what the dead held is spent, what windows that are
    /// over have left is given back, and what needs to be known no more is forgotten.
    pub fn renew(&mut self, window: Window, wall_s: u32, alive: impl Fn(Owner) -> bool) {
        for lease in &mut self.all {
            lease.holder.expire(&alive);
            if lease.window.start_s < window.start_s {
                lease.holder.close();
            }
        }
        self.all.retain(|lease| {
            let over = lease.window.start_s < window.start_s;
            !over || !(lease.holder.is_done() || wall_s.saturating_sub(lease.window.end_s) >= SETTLES_S)
        });
    }

    /// True when it may be time to [`Leased::look_ahead`].
    pub const fn is_near_end(window: Window, wall_s: u32) -> bool {
        window.end_s.saturating_sub(wall_s) <= 2 * AHEAD_S
    }

    /// Begins the next window's lease shortly before that begins, where the current one is in use.
    pub fn look_ahead(&mut self, (current, next): (Window, Window), wall_s: u32, now_ms: u64, life: u64) {
        let ahead_s = AHEAD_S + (life % u64::from(AHEAD_S)) as u32;
        if wall_s.saturating_add(ahead_s) < next.start_s || self.all.iter().any(|lease| lease.window == next)
        {
            return;
        }
        let current = self.of_window(current).filter(|lease| lease.holder.is_used(now_ms));
        if let Some(holder) = current.map(|lease| lease.holder.successor(life)) {
            self.begin(next, holder);
        }
    }

    /// True when forgetting the leases changes nothing.
    pub fn at_rest(&self, now_ms: u64, wall_s: u32) -> bool {
        self.all.iter().all(|lease| {
            lease.holder.at_rest(now_ms) || (lease.window.end_s <= wall_s && lease.holder.is_done())
        })
    }

    /// True when something would be lost with them: units in flight, or units that nobody else could spend.
    pub fn has_holds(&self) -> bool {
        self.all.iter().any(|lease| lease.holder.available() > 0 || lease.holder.in_flight().0 > 0)
    }

    /// The owners of what is in flight.
    pub fn owners(&self) -> impl Iterator<Item = Owner> {
        self.all.iter().flat_map(|lease| lease.holder.owners())
    }

    /// Appends the leases: about 80 bytes each, and what the key takes.
    pub(crate) fn write(&self, out: &mut Writer<'_>) {
        out.u32(self.limit);
        write_key(&self.key, out);
        out.u8(self.all.len() as u8);
        for lease in &self.all {
            out.u32(lease.window.start_s);
            out.short(u64::from(lease.window.end_s.saturating_sub(lease.window.start_s)));
            out.u8(lease.warned);
            lease.holder.write(out);
        }
    }

    /// Reads what [`Leased::write`] wrote. None when the bytes are not that.
    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let limit = from.u32()?;
        let key = read_key(from)?;
        let windows = usize::from(from.u8()?);
        if windows > WINDOWS_MAX {
            return None;
        }
        let mut all = Vec::with_capacity(windows);
        for _ in 0..windows {
            let start_s = from.u32()?;
            let window = Window { start_s, end_s: start_s.checked_add(from.short32()?)? };
            all.push(Lease { window, warned: from.u8()?, holder: Holder::read(from)? });
        }
        Some(Self { limit, key, all })
    }
}
