//! Stretches without white space and signs: words and names, or encoded data.

use super::Estimator;
use super::kinds::Kind;
use super::runs::Run;
use super::weights::O200K;

/// Shorter stretches are words or names; from here on many changes of kind mean encoded data.
pub(super) const BLOB_BYTES_MIN: u64 = 32;
/// Encoded data changes between lower case, upper case, digits and signs at least once in so many bytes.
const BLOB_BYTES_PER_CHANGE_MAX: u64 = 4;
/// A change at every second byte is more than in `aVeryLongName`.
const NAME_BYTES_PER_CHANGE_MIN: u64 = 2;
/// And so are that many digits: one in six bytes of base64 is one.
const BLOB_BYTES_PER_DIGIT_MAX: u64 = 16;

/// An unbroken stretch of bytes that may turn out to be base64, hex or an identifier.
#[derive(Clone, Copy, Debug)]
pub struct Blob {
    pub length: u64,
    pub changes: u64,
    pub last: Kind,
    pub capitals: bool,
    pub digits: u64,
    /// The cost before the stretch: if it is encoded data, what its runs cost is forgotten.
    pub cost_before: u64,
}

impl Blob {
    /// A stretch whose first byte, of this kind, is still to be counted.
    pub const fn begun_by(last: Kind, cost_before: u64) -> Self {
        Self { length: 0, changes: 0, last, capitals: false, digits: 0, cost_before }
    }
}

impl Estimator {
    /// One more byte that encoded data could hold.
    #[inline(always)]
    pub(super) fn stretch(&mut self, kind: Kind) {
        if self.blob.length == 0 {
            if kind == Kind::Digit {
                self.before_digits();
            }
            if !self.joins || !matches!(kind, Kind::Lower) {
                self.start(Run::Nothing);
            }
            self.joins = false;
            self.blob = Blob::begun_by(kind, self.cost);
        }
        self.blob.changes += u64::from(self.blob.last != kind);
        self.blob.capitals |= kind == Kind::Upper;
        self.blob.digits += u64::from(kind == Kind::Digit);
        self.blob.last = kind;
        self.blob.length += 1;
    }

    #[inline(always)]
    pub(super) fn end_stretch(&mut self) {
        let Blob { length, changes, capitals, digits, cost_before, .. } = self.blob;
        let is_name =
            changes * NAME_BYTES_PER_CHANGE_MIN < length && digits * BLOB_BYTES_PER_DIGIT_MAX < length;
        if length >= BLOB_BYTES_MIN && changes * BLOB_BYTES_PER_CHANGE_MAX >= length && !is_name {
            self.start(Run::Nothing);
            let byte = if capitals { O200K.blob_byte_with_capitals } else { O200K.blob_byte };
            self.cost = cost_before + byte * length;
        }
        self.blob.length = 0;
    }
}
