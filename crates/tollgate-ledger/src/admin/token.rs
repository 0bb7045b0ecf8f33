//! Tokens and what they allow.
//!
//! A token is `tg_ID_SECRET`: the id finds its record, the secret proves it. The record has the SHA-256 of the secret
//! only. A fast hash is right here, unlike for passwords: the secret is 256 random bits, and nobody guesses those.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Document;
use crate::store::{RecordKind, hex};

/// What every token begins with, so that scanners of repositories can tell one.
pub const TOKEN_PREFIX: &str = "tg_";

const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// Random bytes that a token is made of.
pub const TOKEN_RANDOM_BYTES: usize = ID_BYTES + SECRET_BYTES;

/// Whose a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May do everything, make tokens included.
    Admin,
    /// May read everything and decide about consumers, balances, quotas and switches.
    Operator,
    /// May read everything.
    Viewer,
    /// A consumer that sees only itself.
    #[serde(rename = "self")]
    #[value(name = "self")]
    Own,
    /// An Envoy: may send tallies, and nothing else.
    Filter,
}

/// What a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// To send tallies.
    Sync,
    /// To see one's own standing.
    Own,
    /// To see everything.
    Read,
    /// To decide about consumers, balances, quotas and switches.
    Operate,
    /// To decide who may do what.
    Administer,
}

impl Role {
    /// The name in tokens and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
            Self::Own => "self",
            Self::Filter => "filter",
        }
    }

    /// True when the role includes the right. Only a filter may send tallies: whoever may also read what they add up
    /// to, could hide one with the other.
    pub const fn may(self, right: Right) -> bool {
        match right {
            Right::Sync => matches!(self, Self::Filter),
            Right::Own => matches!(self, Self::Own),
            Right::Read => matches!(self, Self::Viewer | Self::Operator | Self::Admin),
            Right::Operate => matches!(self, Self::Operator | Self::Admin),
            Right::Administer => matches!(self, Self::Admin),
        }
    }
}

/// A token, as its record keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// What it allows.
    pub role: Role,
    /// The consumer it is bound to; exactly for [`Role::Own`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// What it is for, in its maker's words.
    #[serde(default)]
    pub name: String,
    /// SHA-256 of its secret, in hexadecimal digits.
    pub sha256: String,
    /// When it was made, milliseconds since the epoch.
    pub created_ms: u64,
    /// When it ends, if ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
}

/// A token that was just made. Its text is shown once and never kept.
pub struct Issued {
    /// Its id.
    pub id: String,
    /// Its text.
    pub text: String,
    /// SHA-256 of its secret.
    pub sha256: String,
}

impl Issued {
    /// Makes a token of random bytes.
    pub fn from_random(random: [u8; TOKEN_RANDOM_BYTES]) -> Self {
        let (id, secret) = random.split_at(ID_BYTES);
        let (id, secret) = (hex(id), hex(secret));
        let sha256 = hash(&secret);
        Self { text: format!("{TOKEN_PREFIX}{id}_{secret}"), id, sha256 }
    }
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Issued").field("id", &self.id).finish_non_exhaustive()
    }
}

impl TokenRecord {
    /// True for the secret it was made with, until it ends. The comparison takes the same time for every secret.
    pub fn admits(&self, secret: &str, now_ms: u64) -> bool {
        let same: bool = hash(secret).as_bytes().ct_eq(self.sha256.as_bytes()).into();
        same && self.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms)
    }
}

impl Document for TokenRecord {
    const KIND: RecordKind = RecordKind::Token;

    /// All but the hash.
    fn told(&self) -> Value {
        json!({
            "role": self.role,
            "consumer": self.consumer,
            "name": self.name,
            "created_ms": self.created_ms,
            "expires_ms": self.expires_ms,
        })
    }
}

/// The id and the secret of a token; `None` for what is no token of this ledger's.
pub fn parts_of(text: &str) -> Option<(&str, &str)> {
    let (id, secret) = text.strip_prefix(TOKEN_PREFIX)?.split_once('_')?;
    let digits = |part: &str, bytes: usize| {
        part.len() == 2 * bytes && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    (digits(id, ID_BYTES) && digits(secret, SECRET_BYTES)).then_some((id, secret))
}

fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(issued: &Issued) -> TokenRecord {
        TokenRecord {
            role: Role::Viewer,
            consumer: None,
            name: String::new(),
            sha256: issued.sha256.clone(),
            created_ms: 0,
            expires_ms: Some(10),
        }
    }

    #[test]
    fn a_token_is_found_by_its_id_and_proven_by_its_secret() {
        let issued = Issued::from_random([7; TOKEN_RANDOM_BYTES]);
        let (id, secret) = parts_of(&issued.text).unwrap();
        assert_eq!(id, issued.id);
        let record = record(&issued);
        assert!(record.admits(secret, 9));
        assert!(!record.admits(&secret.replace('0', "1"), 9));
        assert!(!record.admits("", 9));
    }

    #[test]
    fn a_token_ends_at_its_end() {
        let issued = Issued::from_random([7; TOKEN_RANDOM_BYTES]);
        let (_, secret) = parts_of(&issued.text).unwrap();
        assert!(!record(&issued).admits(secret, 10));
    }

    #[test]
    fn nothing_that_is_kept_or_shown_has_the_secret() {
        let issued = Issued::from_random([7; TOKEN_RANDOM_BYTES]);
        let (_, secret) = parts_of(&issued.text).unwrap();
        let record = record(&issued);
        let shown =
            format!("{issued:?} {record:?} {} {}", record.told(), serde_json::to_string(&record).unwrap());
        assert!(!shown.contains(secret) && !record.told().to_string().contains(&issued.sha256));
    }

    #[test]
    fn what_is_no_token_has_no_parts() {
        let text = Issued::from_random([7; TOKEN_RANDOM_BYTES]).text;
        assert!(parts_of(&text).is_some());
        let longer = format!("{text}0");
        for wrong in
            ["", "tg_", "tg__", "secret", &text[1..], &text[..text.len() - 1], &longer, &text.to_uppercase()]
        {
            assert!(parts_of(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_role_has_its_rights_and_no_others() {
        let rights = [Right::Sync, Right::Own, Right::Read, Right::Operate, Right::Administer];
        let may = |role: Role| rights.map(|right| role.may(right));
        assert_eq!(may(Role::Filter), [true, false, false, false, false]);
        assert_eq!(may(Role::Own), [false, true, false, false, false]);
        assert_eq!(may(Role::Viewer), [false, false, true, false, false]);
        assert_eq!(may(Role::Operator), [false, false, true, true, false]);
        assert_eq!(may(Role::Admin), [false, false, true, true, true]);
    }
}
