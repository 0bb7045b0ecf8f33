//! What passes through: the answer's body, followed while it goes by.

use tollgate_core::traffic::{Dialect, ResponseParser};

use crate::host::{self, Map};

/// A parser for an answer whose headers are here.
pub(super) fn parser(dialect: Dialect) -> ResponseParser {
    let mut parser = ResponseParser::new(dialect);
    for name in dialect.usage_headers() {
        if let Some(value) = host::header(Map::Response, name)
            && let Ok(value) = core::str::from_utf8(&value)
        {
            parser.header(name, value);
        }
    }
    parser
}
