//! What a request can ask of the model server with `x-mock-*` headers.

use std::str::FromStr;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};

/// Most words in one answer: keeps a typing error from filling the memory.
const OUTPUT_TOKENS_MAX: u64 = 200_000;

/// Words in an answer when the request does not say.
const OUTPUT_TOKENS_DEFAULT: u64 = 16;

/// How to answer one request. Every header is optional.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knobs {
    /// `x-mock-delay-ms`: wait this long before the response headers.
    pub delay: Duration,
    /// `x-mock-output-tokens`: length of the answer, reasoning included, unless the request's own cap is lower.
    pub output_tokens: u64,
    /// `x-mock-ignore-cap`: answer at that length whatever the request's own cap is.
    pub ignore_cap: bool,
    /// `x-mock-chunk-delay-ms`: wait this long before every chunk of the body but the first.
    pub chunk_delay: Duration,
    /// `x-mock-split`: write the body in pieces of this many bytes, each a chunk of its own.
    pub split: Option<usize>,
    /// `x-mock-status`: answer with this status, and the provider's error shape from 400 upwards.
    pub status: u16,
    /// `x-mock-omit-usage`: leave the usage out, as some servers do.
    pub omit_usage: bool,
    /// `x-mock-cache-read`: so many input tokens, on top of the prompt's words, came from the cache.
    pub cache_read: u64,
    /// `x-mock-cache-write`: so many input tokens, on top of the prompt's words, went to the cache.
    pub cache_write: u64,
    /// `x-mock-cache-write-1h`: so many of those are kept for an hour, which Anthropic tells apart.
    pub cache_write_1h: u64,
    /// `x-mock-reasoning`: so many of the output tokens are reasoning and do not show.
    pub reasoning: u64,
    /// `x-mock-id`: the answer's id, which otherwise is another for each.
    pub id: Option<String>,
    /// `x-mock-encoding`: compress the body like this (`gzip`, `deflate`), or only say so (anything else).
    pub encoding: Option<String>,
    /// `x-mock-error-after`: after so many events of a stream send the provider's error in place of the rest.
    pub error_after: Option<usize>,
    /// `x-mock-hang-after`: stop after so many chunks of the body and keep the connection open.
    pub hang_after: Option<usize>,
    /// `x-mock-load`: report this load, as `endpoint-load-metrics` says it.
    pub load: Option<HeaderValue>,
    /// `x-mock-load-bin`: the same, as older servers say it in `endpoint-load-metrics-bin`.
    pub load_bin: Option<HeaderValue>,
}

impl Knobs {
    /// Reads the headers; what is absent or not a number has its default.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        fn number<T: FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
            headers.get(name)?.to_str().ok()?.trim().parse().ok()
        }
        let tokens = |name| number::<u64>(headers, name).map(|count| count.min(OUTPUT_TOKENS_MAX));
        let delay =
            |name| Duration::from_millis(number::<u64>(headers, name).unwrap_or_default().min(600_000));
        Self {
            delay: delay("x-mock-delay-ms"),
            output_tokens: tokens("x-mock-output-tokens").unwrap_or(OUTPUT_TOKENS_DEFAULT),
            ignore_cap: headers.contains_key("x-mock-ignore-cap"),
            chunk_delay: delay("x-mock-chunk-delay-ms"),
            split: number(headers, "x-mock-split").filter(|bytes| *bytes > 0),
            status: number(headers, "x-mock-status").unwrap_or(200),
            omit_usage: headers.contains_key("x-mock-omit-usage"),
            cache_read: tokens("x-mock-cache-read").unwrap_or_default(),
            cache_write: tokens("x-mock-cache-write").unwrap_or_default(),
            cache_write_1h: tokens("x-mock-cache-write-1h").unwrap_or_default(),
            reasoning: tokens("x-mock-reasoning").unwrap_or_default(),
            id: number(headers, "x-mock-id"),
            encoding: number(headers, "x-mock-encoding"),
            error_after: number(headers, "x-mock-error-after"),
            hang_after: number(headers, "x-mock-hang-after"),
            load: headers.get("x-mock-load").cloned(),
            load_bin: headers.get("x-mock-load-bin").cloned(),
        }
    }
}
