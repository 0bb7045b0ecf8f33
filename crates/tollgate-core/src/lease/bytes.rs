//! A lease as bytes, for one entry of a slot.

use crate::limit::{Holds, Reader, Writer, short_bytes};

use super::holder::Holder;
use super::pace::Pace;

/// Bytes of the identity, which is random and not short.
const LIFE_BYTES: usize = 8;

/// Which of the numbers follow; the others, most of the time a half, are zero.
const MASK_BYTES: usize = 4;

impl Holder {
    /// Appends the lease to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(self.bytes());
        self.write(&mut Writer(out));
    }

    /// Reads what [`Holder::encode`] wrote. None when the bytes are cut or damaged, or more follows.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        Self::read(&mut reader).filter(|_| reader.0.is_empty())
    }

    /// How many bytes [`Holder::write`] appends: about 70, and 6 more per hold.
    pub(crate) fn bytes(&self) -> usize {
        let fields: usize = self.fields().into_iter().filter(|value| *value != 0).map(short_bytes).sum();
        LIFE_BYTES + MASK_BYTES + fields + self.held.bytes() + self.beyond.bytes()
    }

    /// Appends the lease.
    pub(crate) fn write(&self, out: &mut Writer<'_>) {
        out.u64(self.life);
        let fields = self.fields();
        let mask = fields.iter().rev().fold(0u32, |mask, value| mask << 1 | u32::from(*value != 0));
        out.u32(mask);
        for value in fields.into_iter().filter(|value| *value != 0) {
            out.short(value);
        }
        self.held.write(out);
        self.beyond.write(out);
    }

    /// All numbers but the identity, in the order of [`Holder::read`].
    fn fields(&self) -> [u64; 23] {
        let (recent, paced_ms) = self.pace.parts();
        [
            self.granted,
            self.spent,
            self.returned,
            self.overrun,
            self.deadline_ms,
            self.allowed,
            self.need,
            self.head,
            self.denied_from,
            self.denied_until_ms,
            self.asked_ms,
            self.unanswered_ms,
            self.retry_ms,
            self.backoff_ms,
            self.renew_ms,
            self.told_spent,
            self.told_returned,
            self.told_overrun,
            self.limit,
            self.left,
            u64::from(self.horizon_ms),
            recent,
            paced_ms,
        ]
    }

    /// Reads a lease. None when the bytes are not one.
    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (life, mut mask) = (from.u64()?, from.u32()?);
        let mut next = || {
            let follows = mask & 1 != 0;
            mask >>= 1;
            if follows { from.short() } else { Some(0) }
        };
        let holder = Self {
            life,
            granted: next()?,
            spent: next()?,
            returned: next()?,
            overrun: next()?,
            deadline_ms: next()?,
            allowed: next()?,
            need: next()?,
            head: next()?,
            denied_from: next()?,
            denied_until_ms: next()?,
            asked_ms: next()?,
            unanswered_ms: next()?,
            retry_ms: next()?,
            backoff_ms: next()?,
            renew_ms: next()?,
            told_spent: next()?,
            told_returned: next()?,
            told_overrun: next()?,
            limit: next()?,
            left: next()?,
            horizon_ms: u32::try_from(next()?).ok()?,
            pace: Pace::of(next()?, next()?),
            held: Holds::read(from)?,
            beyond: Holds::read(from)?,
        };
        // A lease that is not sound is damaged. What it held stays held in the books.
        holder.is_sound().then_some(holder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::{Grant, Terms, Unreachable};
    use crate::limit::Owner;

    fn some() -> Holder {
        let terms = Terms { wait_ms: 200, unreachable: Unreachable::Closed };
        let mut holder = Holder::new(7);
        let ask = holder.ask(10, &terms);
        let grant = Grant {
            granted: 100,
            keep: 100,
            ttl_ms: 60_000,
            horizon_ms: 2000,
            limit: 500,
            ..Grant::default()
        };
        holder.answered(20, 10, &ask, &grant, &terms);
        let _ = holder.admit(30, Owner(1), 30, &terms);
        let _ = holder.admit(30, Owner(2), 40, &terms);
        holder
    }

    #[test]
    fn a_lease_survives_the_bytes() {
        let holder = some();
        let mut bytes = Vec::new();
        holder.encode(&mut bytes);
        assert_eq!(bytes.len(), holder.bytes());
        assert_eq!(Holder::decode(&bytes), Some(holder));
    }

    #[test]
    fn cut_and_damaged_bytes_are_no_lease_or_a_sound_one() {
        let mut bytes = Vec::new();
        some().encode(&mut bytes);
        for length in 0..bytes.len() {
            assert_eq!(Holder::decode(&bytes[..length]), None);
        }
        for position in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[position] ^= 0xff;
            assert!(Holder::decode(&damaged).is_none_or(|holder| holder.is_sound()));
        }
    }
}
