//! How requests and answers are read.

use serde::Deserialize;

config! {
    /// How requests and answers are read.
    #[derive(PartialEq, Eq)]
    pub struct Traffic {
        /// Asks OpenAI's servers, and those like them, for the usage of a stream where the client did not, and takes it
        /// out of the answer again. Without it such streams are estimated. Never where a request is signed, at Mistral,
        /// or where Azure's version of the API does not know the option.
        #[serde(default = "yes")]
        pub ask_usage: bool,
        /// The largest body that is read, in bytes. Envoy's own buffer must be as large, or Envoy refuses first:
        /// `per_connection_buffer_limit_bytes` of the listener, or `request_body_buffer_limit` of the route.
        #[serde(default = "default_body_bytes_max")]
        pub body_bytes_max: u64,
        /// What becomes of larger bodies.
        #[serde(default)]
        pub larger_bodies: LargerBodies,
        /// What an image, a sound or a document in a request is taken for before the provider tells, in tokens: whatever its
        /// size, of which what is charged depends little. A full-size image costs 765 to 1,600.
        #[serde(default = "default_media_tokens")]
        pub media_tokens: u64,
        /// Takes the tool that is called from the headers `Mcp-Method` and `Mcp-Name` where the client speaks a version
        /// of MCP that has them (2026-07-28). Only where the server checks that they say what the body says: else a
        /// client names one tool and calls another.
        #[serde(default)]
        pub trust_mcp_headers: bool,
    }
}

config! {
    /// What becomes of a body that is too large to be read.
    #[derive(Copy, Default, PartialEq, Eq)]
    pub enum LargerBodies {
        /// 413, in the error shape of the client's API.
        #[default]
        Refuse,
        /// It passes unread, and its input is estimated from its size. Its model is not known unless the path names it.
        Estimate,
    }
}

const fn yes() -> bool {
    true
}

const fn default_body_bytes_max() -> u64 {
    8 << 20
}

const fn default_media_tokens() -> u64 {
    1_000
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            ask_usage: true,
            body_bytes_max: default_body_bytes_max(),
            larger_bodies: LargerBodies::Refuse,
            media_tokens: default_media_tokens(),
            trust_mcp_headers: false,
        }
    }
}
