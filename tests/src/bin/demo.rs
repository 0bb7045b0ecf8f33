//! `make demo`: see [`tollgate_e2e::demo`].

use std::process::ExitCode;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let deviations = tollgate_e2e::demo::run().await?;
    if deviations.is_empty() {
        println!("\nEverything is as it must be.");
        return Ok(ExitCode::SUCCESS);
    }
    println!("\n{} things are not as they must be:", deviations.len());
    for deviation in deviations {
        println!("  {deviation}");
    }
    Ok(ExitCode::FAILURE)
}
