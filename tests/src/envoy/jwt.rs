//! JSON web tokens that Envoy's `jwt_authn` accepts.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// Signs tokens with a secret of its own. Symmetric on purpose: no key pair to make, and Envoy checks it all the same.
pub struct JwtIssuer {
    secret: Vec<u8>,
}

impl Default for JwtIssuer {
    fn default() -> Self {
        Self { secret: b"thirty-two bytes of a test secret".to_vec() }
    }
}

impl JwtIssuer {
    /// The name in the tokens.
    pub const NAME: &str = "https://issuer.example";

    /// The key set for Envoy.
    pub fn jwks(&self) -> Value {
        json!({"keys": [{
            "kty": "oct", "alg": "HS256", "kid": "test", "k": URL_SAFE_NO_PAD.encode(&self.secret),
        }]})
    }

    /// A token that carries these claims and does not expire.
    pub fn token(&self, claims: &Value) -> anyhow::Result<String> {
        let mut claims = claims.clone();
        claims["iss"] = Self::NAME.into();
        let header = json!({"alg": "HS256", "typ": "JWT", "kid": "test"});
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret)?;
        mac.update(signed.as_bytes());
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())))
    }
}
