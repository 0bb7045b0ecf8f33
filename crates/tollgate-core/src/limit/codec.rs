//! Little-endian integers in byte strings, read without a panic.

/// Reads from the front; every read is None once the bytes run out.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    /// The next byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(u8::from_le_bytes)
    }

    /// The next two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next number of [`Writer::short`].
    pub fn short(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit only.
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// As [`Reader::short`]; None also when it takes more than 32 bits.
    pub fn short32(&mut self) -> Option<u32> {
        self.short().and_then(|value| u32::try_from(value).ok())
    }
}

/// Appends to a vector.
pub struct Writer<'a>(pub &'a mut Vec<u8>);

impl Writer<'_> {
    /// Appends a byte.
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// Appends two bytes.
    pub fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Appends four bytes.
    pub fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Appends eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Appends a number that is mostly small, seven bits a byte, the low ones first (LEB128): 1 to 10 bytes.
    pub fn short(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// Most values of a balance's key: more than there are dimensions.
const KEY_PARTS_MAX: usize = 16;

/// Appends the values of a balance's key.
pub fn write_key(key: &[String], out: &mut Writer<'_>) {
    out.u8(key.len() as u8);
    for value in key {
        out.short(value.len() as u64);
        out.0.extend_from_slice(value.as_bytes());
    }
}

/// Reads what [`write_key`] wrote. None when the bytes are not that.
pub fn read_key(from: &mut Reader<'_>) -> Option<Vec<String>> {
    let parts = usize::from(from.u8()?);
    if parts > KEY_PARTS_MAX {
        return None;
    }
    let mut key = Vec::with_capacity(parts);
    for _ in 0..parts {
        let length = usize::try_from(from.short()?).ok()?;
        key.push(core::str::from_utf8(from.bytes(length)?).ok()?.to_owned());
    }
    Some(key)
}

/// How many bytes [`Writer::short`] appends.
pub const fn short_bytes(value: u64) -> usize {
    let bits = u64::BITS - value.leading_zeros();
    if bits == 0 { 1 } else { bits.div_ceil(7) as usize }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers_survive_the_bytes_and_cut_or_overlong_ones_are_none() {
        for value in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            Writer(&mut bytes).short(value);
            assert_eq!(bytes.len(), short_bytes(value));
            assert_eq!(Reader(&bytes).short(), Some(value));
            assert_eq!(Reader(&bytes[..bytes.len() - 1]).short(), None);
        }
        assert_eq!(Reader(&[0xff; 10]).short(), None);
        assert_eq!(Reader(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2]).short(), None);
    }
}
