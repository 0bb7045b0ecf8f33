//! A balance of a rate that all Envoys keep together.

use crate::limit::{Reader, Writer, read_key, write_key};

use super::holder::Holder;

/// A share, and of what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shared {
    /// Hash of the limit's name and kind.
    pub limit: u32,
    /// Whose balance: the values of the limit's key, in its order. So that any worker can speak of it to the ledger.
    pub key: Vec<String>,
    /// How often the burst was given back.
    pub resets: u32,
    /// The share.
    pub holder: Holder,
}

impl Shared {
    /// Appends it.
    pub(crate) fn write(&self, out: &mut Writer<'_>) {
        out.u32(self.limit);
        write_key(&self.key, out);
        out.short(self.resets.into());
        self.holder.write(out);
    }

    /// Reads what [`Shared::write`] wrote. None when the bytes are not that.
    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let limit = from.u32()?;
        Some(Self { limit, key: read_key(from)?, resets: from.short32()?, holder: Holder::read(from)? })
    }
}
