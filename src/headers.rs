//! A header map read once: the pairs as Envoy serialised them, looked up without copying.

use tollgate_core::policy::Lookup;
use tollgate_core::policy::config::Certificate;

use crate::host;

/// Headers of a request or a response, in the ABI's form: count (u32), the lengths of each key and value (2 x u32), then
/// each with a NUL.
#[derive(Debug, Default)]
pub struct Headers {
    bytes: Vec<u8>,
}

impl Headers {
    /// From what [`host::header_pairs`] returned.
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let count = word(&self.bytes, 0).unwrap_or(0);
        let mut lengths = 4;
        let mut texts = 4 + 8 * count;
        (0..count).map_while(move |_| {
            let (key, value) = (word(&self.bytes, lengths)?, word(&self.bytes, lengths + 4)?);
            let name = self.bytes.get(texts..texts.checked_add(key)?)?;
            let start = texts + key + 1;
            let text = self.bytes.get(start..start.checked_add(value)?)?;
            lengths += 8;
            texts = start + value + 1;
            Some((name, text))
        })
    }

    /// The first value of a header, if it is text.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_bytes(name).and_then(|value| core::str::from_utf8(value).ok())
    }

    /// The first value of a header.
    pub fn get_bytes(&self, name: &str) -> Option<&[u8]> {
        self.pairs().find(|(key, _)| *key == name.as_bytes()).map(|(_, value)| value)
    }

    /// Names that begin like this.
    pub fn names_with<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs()
            .filter(move |(key, _)| key.starts_with(prefix.as_bytes()))
            .filter_map(|(key, _)| core::str::from_utf8(key).ok())
    }
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(|four| u32::from_le_bytes(four) as usize)
}

impl Lookup for Headers {
    fn header(&self, name: &str) -> Option<&str> {
        self.get(name)
    }

    fn claim(&self, payload: &str, claim: &str) -> Option<Vec<u8>> {
        host::property(&format!(
            "metadata\0filter_metadata\0envoy.filters.http.jwt_authn\0{payload}\0{claim}"
        ))
    }

    fn certificate(&self, field: Certificate) -> Option<String> {
        let path = match field {
            Certificate::UriSan => "connection\0uri_san_peer_certificate",
            Certificate::DnsSan => "connection\0dns_san_peer_certificate",
            Certificate::Subject => "connection\0subject_peer_certificate",
        };
        String::from_utf8(host::property(path)?).ok()
    }

    fn peer(&self) -> Option<String> {
        String::from_utf8(host::property("source\0address")?).ok()
    }
}
