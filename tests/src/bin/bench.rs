//! `make bench`, the parts that run in Envoy: see [`tollgate_e2e::bench`], with the word `leases`
//! [`tollgate_e2e::bench::leases`], and with `streams` [`tollgate_e2e::bench::streams`].

use tollgate_e2e::bench::{self, Settings};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("streams") => bench::streams::run().await,
        Some("leases") => bench::leases(Settings::from_env()?).await,
        _ => bench::run(Settings::from_env()?).await,
    }
}
