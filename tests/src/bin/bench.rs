//! `make bench`, the parts that run in Envoy: see [`tollgate_e2e::bench`] and, with the word `streams`,
//! [`tollgate_e2e::bench::streams`].

use tollgate_e2e::bench::{self, Settings};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("streams") => bench::streams::run().await,
        _ => bench::run(Settings::from_env()?).await,
    }
}
