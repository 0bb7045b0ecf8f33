//! `make bench`, the part that runs in Envoy: see [`tollgate_e2e::bench`].

use tollgate_e2e::bench::{self, Settings};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    bench::run(Settings::from_env()?).await
}
