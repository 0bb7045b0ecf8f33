//! The mock model server on its own, for trying things by hand: `model-server [ADDRESS:PORT]`.

use std::net::SocketAddr;

use tollgate_e2e::model_server::ModelServer;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let server = ModelServer::listen(address.parse::<SocketAddr>()?).await?;
    eprintln!("listening on http://{}", server.address());
    tokio::signal::ctrl_c().await?;
    Ok(())
}
