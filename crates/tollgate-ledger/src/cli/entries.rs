//! `tollgate entries`: all pages of the audit trail, written as they come.

use std::io::Write;

use super::{Answer, Ended, EntriesArgs, client::Client};
use crate::service::EntriesPage;

const PAGE: &str = "5000";

pub(super) fn entries(args: &EntriesArgs, out: &mut dyn Write) -> Answer {
    let client = Client::new(&args.ledger)?;
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![
            ("region", args.region.as_deref()),
            ("from", args.from.as_deref()),
            ("to", args.to.as_deref()),
            ("format", Some(args.format.as_str())),
            ("limit", Some(PAGE)),
            ("cursor", cursor.as_deref()),
        ];
        query.extend(args.names.query());
        let response = client.get("/v1/entries", &query)?;
        let first = cursor.is_none();
        cursor = if args.format == "csv" {
            let next = response
                .headers()
                .get("x-next-cursor")
                .and_then(|next| next.to_str().ok())
                .map(str::to_owned);
            out.write_all(rows(&Client::text(response)?, first).as_bytes())?;
            next
        } else {
            let page: EntriesPage = Client::json(response)?;
            for entry in &page.entries {
                writeln!(out, "{}", serde_json::to_string(entry)?)?;
            }
            page.next
        };
        if cursor.is_none() {
            out.flush()?;
            return Ok(Ended::Well);
        }
    }
}

/// A page's text; the line of names only from the first page.
fn rows(csv: &str, first: bool) -> &str {
    if first { csv } else { csv.split_once('\n').map_or("", |(_, rows)| rows) }
}
