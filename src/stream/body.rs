//! What passes through: the request's body, read once, and the answer's, followed while it goes by.

use tollgate_core::traffic::{Dialect, ResponseParser, UsageStripper, ask_usage};

use super::Stream;
use super::midway::Midway;
use crate::headers::Headers;
use crate::host::{self, Buffer, Map};
use crate::worker::State;

/// What an answer is read with.
pub(super) struct Answer {
    parser: ResponseParser,
    /// Takes out again what was not asked for by the client.
    stripper: Option<UsageStripper>,
    pub midway: Midway,
}

impl Answer {
    /// For an answer whose headers are here. `asked` is what the client did not ask for.
    pub fn new(
        state: &mut State,
        dialect: Dialect,
        asked: bool,
        headers: &Headers,
        mut midway: Midway,
    ) -> Self {
        let encoding = headers.get("content-encoding").unwrap_or_default();
        let mut parser = ResponseParser::encoded(dialect, encoding);
        if parser.is_unread() {
            state.metrics.count("tollgate_unread_encoding", 1);
        }
        for name in dialect.usage_headers() {
            if let Some(value) = headers.get(name) {
                parser.header(name, value);
            }
        }
        // What is compressed passes as it is: a client that gets more than it asked for can ignore it.
        let stripper = (asked && encoding.is_empty()).then(UsageStripper::default);
        if stripper.is_some() {
            // The body gets shorter.
            let _ = host::remove_header(Map::Response, "content-length");
        }
        // To what is compressed no event can be appended, and what says its length before is no stream.
        let says_length = stripper.is_none() && headers.get_bytes("content-length").is_some();
        if midway.ends() && (!encoding.is_empty() || says_length) {
            midway.finishes();
        }
        Self { parser, stripper, midway }
    }

    /// The next bytes of the body, and its end.
    pub fn pass(&mut self, size: usize, ends: bool) {
        let chunk = if size == 0 { None } else { host::buffer(Buffer::Response, size) };
        let chunk = chunk.unwrap_or_default();
        self.parser.feed(&chunk);
        let Some(stripper) = &mut self.stripper else { return };
        let mut out = Vec::with_capacity(chunk.len());
        stripper.feed(&chunk, &mut out);
        if ends {
            stripper.finish(&mut out);
        }
        if out != chunk {
            let _ = host::set_buffer(Buffer::Response, size, &out);
        }
    }

    /// Reads bytes that pass, and appends to `out` what the client gets of them now.
    pub fn read(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.parser.feed(bytes);
        match &mut self.stripper {
            Some(stripper) => stripper.feed(bytes, out),
            None => out.extend_from_slice(bytes),
        }
    }

    /// Nothing more passes: appends to `out` what the client has not got yet.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let Some(stripper) = &mut self.stripper {
            stripper.finish(out);
        }
    }

    /// What was seen of it, and how it is watched.
    pub const fn watched(&mut self) -> (&ResponseParser, &mut Midway) {
        (&self.parser, &mut self.midway)
    }

    /// What was seen of it.
    pub const fn parser(&self) -> &ResponseParser {
        &self.parser
    }
}

impl Stream {
    /// Reads the request's body, all of which is here, and asks for the usage of its answer where that is missing.
    pub(super) fn inspect(&mut self, size: usize) {
        let Some(endpoint) = &self.endpoint else { return };
        let body = if size == 0 { None } else { host::buffer(Buffer::Request, size) };
        let body = body.unwrap_or_default();
        let facts = endpoint.inspect(&body, self.worker.policy.traffic.media_tokens);
        if self.may_ask
            && let Some(asking) = ask_usage(&facts, &body)
        {
            self.asked = replace_request(size, &asking);
        }
        self.facts = Some(facts);
    }
}

/// Replaces the request's body. Its length goes first: a body that is longer than it says is another request to the
/// upstream. Without one the body comes in chunks.
fn replace_request(size: usize, body: &[u8]) -> bool {
    const LENGTH: &str = "content-length";
    let told = host::header(Map::Request, LENGTH).is_some();
    if told && host::set_header(Map::Request, LENGTH, &body.len().to_string()).is_err() {
        return false;
    }
    let replaced = host::set_buffer(Buffer::Request, size, body).is_ok();
    if told && !replaced {
        let _ = host::set_header(Map::Request, LENGTH, &size.to_string());
    }
    replaced
}
