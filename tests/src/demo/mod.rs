//! `make demo`: three users of three tiers talk to a model through Tollgate, with the official clients; who was let
//! through, who was not and why, what each paid, and whether the books agree with what the clients were told.

mod bill;
mod play;
mod stage;

use std::io::Write;

use bill::Bill;
use stage::Stage;

/// Runs the demo. The result is what deviated from what must be.
pub async fn run() -> anyhow::Result<Vec<String>> {
    let stage = Stage::set().await?;
    let mut bill = Bill::new()?;
    play::frida(&stage, &mut bill).await?;
    play::paula(&stage, &mut bill).await?;
    play::enzo(&stage, &mut bill).await?;
    play::nobody(&stage, &mut bill).await?;
    bill.settle(&stage).await?;
    stage.envoy.assert_no_trap();
    let deviations = bill.into_deviations();
    if std::env::var_os("KEEP").is_some_and(|keep| !keep.is_empty() && keep != "0") {
        keep(&stage).await?;
    }
    Ok(deviations)
}

/// Leaves everything running until Ctrl-C.
async fn keep(stage: &Stage) -> anyhow::Result<()> {
    let (envoy, admin, ledger) = (stage.envoy.address(), stage.envoy.admin(), stage.ledger.address());
    println!("\nRunning until Ctrl-C");
    println!("  models through Tollgate   http://{envoy}");
    println!("  Envoy's metrics           http://{admin}/stats/prometheus");
    println!("  the ledger                http://{ledger}  (token: {})", stage.ledger.token());
    println!("  Envoy's configuration     {}", stage.envoy.config_path()?.display());
    println!("\nTry:");
    let body = r#"{"model":"gpt-5.4-mini","messages":[{"role":"user","content":"hello"}]}"#;
    let (json, key) = ("content-type: application/json", crate::scene::PRO_KEY);
    println!(
        "  curl -si http://{envoy}/v1/chat/completions -H '{json}' -H 'authorization: Bearer {key}' -d '{body}'"
    );
    println!("  curl -s http://{admin}/stats/prometheus | grep ^tollgate_");
    println!("  curl -s http://{ledger}/v1/usage -H 'authorization: Bearer {}'", stage.ledger.token());
    std::io::stdout().flush()?;
    tokio::signal::ctrl_c().await?;
    Ok(())
}
