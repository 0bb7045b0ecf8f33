//! Hashes: a keyed one for whatever clients choose, a fixed one for names in the configuration.
//!
//! Clients choose consumer names and models. With an unkeyed hash they could aim at one slot and evict others from
//! it; SipHash with a key drawn per Envoy process takes that away.

use core::hash::Hasher;

use siphasher::sip::SipHasher13;

/// The key of an Envoy process's hashes: the same for all its workers, for as long as its balances live.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HashKey {
    first: u64,
    second: u64,
}

impl HashKey {
    /// A key from 16 random bytes.
    pub const fn new(random: [u8; 16]) -> Self {
        let both = u128::from_le_bytes(random);
        Self { first: both as u64, second: (both >> 64) as u64 }
    }

    /// Hash of a tag and of texts, each with its length so that no two lists look alike.
    pub fn hash64<'a>(&self, tag: u64, texts: impl IntoIterator<Item = &'a str>) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.first, self.second);
        hasher.write_u64(tag);
        for text in texts {
            hasher.write_u64(text.len() as u64);
            hasher.write(text.as_bytes());
        }
        hasher.finish()
    }
}

impl core::fmt::Debug for HashKey {
    /// The key stays secret.
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.write_str("HashKey(..)")
    }
}

/// Hash of texts that no client chooses, the same for ever: it names balances in stored state.
pub fn fixed32(texts: &[&str]) -> u32 {
    HashKey::new([0; 16]).hash64(0, texts.iter().copied()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_names_keep_their_hash() {
        assert_eq!(fixed32(&["", "requests-per-minute", "rate", "requests"]), 1_571_032_824);
    }

    #[test]
    fn texts_do_not_run_into_each_other() {
        let key = HashKey::new([7; 16]);
        assert_ne!(key.hash64(0, ["ab", "c"]), key.hash64(0, ["a", "bc"]));
        assert_ne!(key.hash64(0, ["a"]), key.hash64(1, ["a"]));
        assert_ne!(key.hash64(0, ["a"]), HashKey::new([8; 16]).hash64(0, ["a"]));
    }
}
