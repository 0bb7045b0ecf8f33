//! What the limiter's state costs in Envoy: `state keys 1000000`, `state hot 20000`. See [`tollgate_e2e::bench::state`].

use anyhow::{Context, bail};
use tollgate_e2e::bench::state;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [what, count] = words.as_slice() else { bail!("usage: state keys|hot COUNT") };
    let count = count.parse().with_context(|| format!("{count} is no count"))?;
    match what.as_str() {
        "keys" => state::keys(count).await,
        "hot" => state::hot(count).await,
        _ => bail!("usage: state keys|hot COUNT"),
    }
}
