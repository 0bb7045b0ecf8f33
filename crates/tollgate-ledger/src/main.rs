//! The `tollgate` command.

use std::process::ExitCode;

use clap::Parser;
use tollgate_ledger::cli::{Cli, run};

fn main() -> ExitCode {
    run(Cli::parse()).into()
}
