//! Which endpoint a request goes to, told from its method and path: the dialect, and what only the path says.

use std::borrow::Cow;

use super::dialect::Dialect;
use super::dialects;
use super::request::{RequestFacts, inspect_with};

/// Where requests of a dialect go.
pub(super) struct Route {
    /// What stands before the model's name in the path, where that is in it.
    model_after: Option<&'static str>,
    /// How the path ends.
    end: &'static str,
    /// Who is called.
    pub provider: &'static str,
    /// Whether the answer is a stream, where that is told by the path.
    pub stream: Option<bool>,
    /// Uses no tokens and costs nothing: it counts them, or stops what was begun.
    pub free: bool,
}

impl Route {
    /// Paths that end like this.
    pub const fn new(end: &'static str, provider: &'static str) -> Self {
        Self { model_after: None, end, provider, stream: None, free: false }
    }

    /// Paths that end with this, a model's name, and that.
    pub const fn of_model(before: &'static str, end: &'static str, provider: &'static str) -> Self {
        Self { model_after: Some(before), ..Self::new(end, provider) }
    }

    pub const fn streaming(self, stream: bool) -> Self {
        Self { stream: Some(stream), ..self }
    }

    pub const fn free(self) -> Self {
        Self { free: true, ..self }
    }

    /// What is literally the same in all its paths: no two routes have the same.
    pub fn literals(&self) -> (&'static str, &'static str) {
        (self.model_after.unwrap_or_default(), self.end)
    }

    fn literal_bytes(&self) -> usize {
        let (before, end) = self.literals();
        before.len() + end.len()
    }

    /// The model in a path that ends like this route, or an empty name where the route has none.
    fn model_in<'p>(&self, path: &'p str) -> Option<&'p str> {
        let front = path.strip_suffix(self.end)?;
        let Some(before) = self.model_after else { return Some("") };
        let start = front.rfind('/')?.checked_add(1)?;
        let (before_model, model) = front.split_at_checked(start)?;
        (before_model.ends_with(before) && !model.is_empty()).then_some(model)
    }
}

/// The endpoint that a request goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// What it speaks.
    pub dialect: Dialect,
    /// Who is called, as `openai`, `azure`; empty where the path doesn't tell.
    pub provider: &'static str,
    /// The model, where the path names it: servers go by that, whatever the body says.
    model: Option<String>,
    /// Whether the answer is a stream, where the path tells.
    stream: Option<bool>,
    /// The server takes `stream_options`.
    asks_usage: bool,
    /// It uses no tokens: nothing of it has to be read.
    pub free: bool,
}

impl Endpoint {
    /// The endpoint of a request, or `None` for what no model answers: anything but a POST. `path` may hold a query, and
    /// anything before the segments that name the endpoint. `dialect` is what the configuration says it is, if it does.
    pub fn detect(method: &str, path: &str, dialect: Option<Dialect>) -> Option<Self> {
        if method != "POST" {
            return None;
        }
        let (raw, query) = path.split_once(['?', '#']).unwrap_or((path, ""));
        let raw = raw.trim_end_matches('/');
        let path = unescape(raw, keep_slash);
        let Some((spec, route, model)) = best(&path, dialect) else {
            return Some(Self::unknown(dialect.unwrap_or(Dialect::Generic)));
        };
        Some(Self {
            dialect: spec,
            provider: route.provider,
            model: (!model.is_empty()).then(|| model_name(model)),
            stream: route.stream,
            asks_usage: spec.spec().asks_usage && knows_options(query),
            free: route.free && is_plain(raw),
        })
    }

    fn unknown(dialect: Dialect) -> Self {
        Self {
            dialect,
            provider: dialect.provider(),
            model: None,
            stream: None,
            asks_usage: dialect.spec().asks_usage,
            free: false,
        }
    }

    /// Whether the usage of a stream may be asked for on the client's behalf: the server has to know the option, and
    /// the request must not be signed (AWS Signature Version 4 covers the body). `authorization` is the header's value.
    pub fn may_ask_usage(&self, authorization: &str) -> bool {
        self.asks_usage && !authorization.trim_start().starts_with("AWS4-")
    }

    /// Reads a request's body: see [`super::inspect_request`]. What the path says is not up to the body. An image, sound or
    /// document counts as `media_tokens`.
    pub fn inspect(&self, body: &[u8], media_tokens: u64) -> RequestFacts {
        self.and_path(inspect_with(self.dialect, body, media_tokens))
    }

    /// What there is to know of a body that is not read, so many bytes long: its input by its size, which is more than
    /// the text in it, and nothing that only the body says.
    pub fn estimate(&self, bytes: u64) -> RequestFacts {
        self.and_path(RequestFacts::unread(self.dialect, bytes))
    }

    /// The facts of a call of a tool, from the headers `MCP-Protocol-Version`, `Mcp-Method` and `Mcp-Name`; `None` where
    /// the version has no such headers, or the name can't be read. Only for servers that check them against the body.
    pub fn call_in_headers(&self, version: &str, method: &str, name: &str) -> Option<RequestFacts> {
        let has_headers = self.dialect == Dialect::Mcp && version >= HEADERS_SINCE && !method.is_empty();
        // Other names are in base64 (`=?base64?...?=`): then the body is read.
        let plain = name.bytes().all(|byte| byte.is_ascii_graphic()) && !name.starts_with("=?");
        (has_headers && plain).then(|| RequestFacts {
            tool: (method == "tools/call").then(|| name.to_owned()),
            ..RequestFacts::unread(self.dialect, 0)
        })
    }

    fn and_path(&self, mut facts: RequestFacts) -> RequestFacts {
        if self.model.is_some() {
            facts.model.clone_from(&self.model);
        }
        if let Some(stream) = self.stream {
            facts.stream = stream;
        }
        facts
    }
}

/// MCP's first version whose clients send the method and the name in headers.
const HEADERS_SINCE: &str = "2026-07-28";

/// Azure's first version of its API that takes `stream_options`; elsewhere there is no version.
const OPTIONS_SINCE: &str = "2024-09-01";

/// True unless the query asks for a version of Azure's API from before the options, or is signed.
fn knows_options(query: &str) -> bool {
    query.split('&').all(|parameter| match parameter.split_once('=') {
        Some(("api-version", version)) => version >= OPTIONS_SINCE,
        Some((name, _)) => !name.eq_ignore_ascii_case("x-amz-signature"),
        None => true,
    })
}

/// The route with the longest literals that a path has.
fn best(path: &str, dialect: Option<Dialect>) -> Option<(Dialect, &'static Route, &str)> {
    let mut best: Option<(Dialect, &'static Route, &str)> = None;
    for spec in dialects::ALL.iter().filter(|spec| dialect.is_none_or(|dialect| spec.dialect == dialect)) {
        for route in spec.routes {
            if let Some(model) = route.model_in(path)
                && best.is_none_or(|(_, other, _)| route.literal_bytes() > other.literal_bytes())
            {
                best = Some((spec.dialect, route, model));
            }
        }
    }
    best
}

/// The name without what AWS and Google put in front of it: `arn:aws:bedrock:...:inference-profile/us.x` is `us.x`.
fn model_name(escaped: &str) -> String {
    let name = unescape(escaped, |_| true);
    name.rsplit('/').find(|part| !part.is_empty()).unwrap_or(&name).to_owned()
}

const fn keep_slash(byte: u8) -> bool {
    byte != b'/'
}

/// Undoes percent escapes (RFC 3986) of the bytes that `undo` says, as long as text comes out.
fn unescape(text: &str, undo: impl Fn(u8) -> bool) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        match escaped(rest).filter(|byte| undo(*byte)) {
            Some(byte) => {
                out.push(byte);
                rest = rest.get(3..).unwrap_or_default();
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(out).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The byte that an escape at the beginning stands for.
fn escaped(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()
}

/// True for a path that every server reads alike. A path that some server resolves to another (dot segments, `;`
/// parameters, empty segments, escapes other than those of a model's name) must not pass as a free one: it would be
/// a way around all limits.
fn is_plain(path: &str) -> bool {
    let path = unescape(path, |byte| matches!(byte, b':' | b'/'));
    path.strip_prefix('/').unwrap_or(&path).split('/').all(|segment| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
        !segment.is_empty() && segment.bytes().all(allowed) && !segment.bytes().all(|byte| byte == b'.')
    })
}

#[cfg(test)]
mod tests;
