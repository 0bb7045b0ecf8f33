//! `tollgate schema`: what a configuration may hold, for editors and pipelines.

use std::io::Write;

use tollgate_core::policy::config;

use super::{Answer, Ended};

pub(super) fn schema(out: &mut dyn Write) -> Answer {
    serde_json::to_writer_pretty(&mut *out, &config::schema())?;
    writeln!(out)?;
    Ok(Ended::Well)
}
