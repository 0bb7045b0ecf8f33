//! A few bytes kept in place: names have a bound, and what does not fit is told apart from what does.

/// Up to `N` bytes. Longer input keeps its first `N` bytes and is marked as cut.
#[derive(Clone, Copy, Debug)]
pub struct Short<const N: usize> {
    bytes: [u8; N],
    length: usize,
    cut: bool,
}

impl<const N: usize> Default for Short<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Short<N> {
    pub const fn new() -> Self {
        Self { bytes: [0; N], length: 0, cut: false }
    }

    pub fn clear(&mut self) {
        self.length = 0;
        self.cut = false;
    }

    pub fn push(&mut self, byte: u8) {
        match self.bytes.get_mut(self.length) {
            Some(slot) => {
                *slot = byte;
                self.length += 1;
            }
            None => self.cut = true,
        }
    }

    pub fn extend(&mut self, bytes: &[u8]) {
        let room = self.bytes.get_mut(self.length..).unwrap_or_default();
        let fits = bytes.len().min(room.len());
        for (slot, byte) in room.iter_mut().zip(bytes) {
            *slot = *byte;
        }
        self.length += fits;
        self.cut |= fits < bytes.len();
    }

    /// The bytes kept, whether or not more came.
    pub fn kept(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// The bytes, if all of them fitted.
    pub fn whole(&self) -> Option<&[u8]> {
        if self.cut { None } else { Some(self.kept()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_whole_and_one_byte_more_is_cut() {
        let mut short = Short::<4>::new();
        short.extend(b"abc");
        short.push(b'd');
        assert_eq!(short.whole(), Some(&b"abcd"[..]));
        short.push(b'e');
        assert_eq!(short.whole(), None);
        assert_eq!(short.kept(), b"abcd");
        short.clear();
        short.extend(b"abcde");
        assert_eq!((short.whole(), short.kept()), (None, &b"abcd"[..]));
    }
}
