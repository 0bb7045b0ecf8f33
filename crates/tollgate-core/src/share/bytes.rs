//! A share as bytes, for one entry of a slot.

use crate::lease::Pace;
use crate::limit::{Bucket, Reader, Writer};

use super::holder::Holder;

impl Holder {
    /// Appends the share: about 50 bytes.
    pub(crate) fn write(&self, out: &mut Writer<'_>) {
        out.u64(self.life);
        let flags = [self.more, self.told_short, self.alone];
        out.u8(flags.iter().rev().fold(0, |bits, flag| bits << 1 | u8::from(*flag)));
        let (recent, paced_ms) = self.pace.parts();
        let numbers = [
            self.seq.into(),
            self.share.into(),
            self.bucket.tat_ns,
            self.bucket.tat_ticks.into(),
            self.until_ms,
            self.returned.into(),
            self.told.into(),
            self.asked_ms,
            self.unanswered_ms,
            self.again_ms,
            self.need.into(),
            self.need_until_ms,
            self.short_until_ms,
            self.used_ms,
            recent,
            paced_ms,
        ];
        numbers.into_iter().for_each(|number| out.short(number));
    }

    /// Reads what [`Holder::write`] wrote. None when the bytes are not that.
    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let life = from.u64()?;
        let flags = from.u8()?;
        let flag = |bit: u8| flags & 1 << bit != 0;
        Some(Self {
            life,
            more: flag(0),
            told_short: flag(1),
            alone: flag(2),
            seq: from.short32()?,
            share: from.short32()?,
            bucket: Bucket { tat_ns: from.short()?, tat_ticks: from.short32()? },
            until_ms: from.short()?,
            returned: from.short32()?,
            told: from.short32()?,
            asked_ms: from.short()?,
            unanswered_ms: from.short()?,
            again_ms: from.short()?,
            need: from.short32()?,
            need_until_ms: from.short()?,
            short_until_ms: from.short()?,
            used_ms: from.short()?,
            pace: Pace::of(from.short()?, from.short()?),
        })
    }
}
