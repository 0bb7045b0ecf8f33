//! A proxy between Envoy and the ledger that can lose replies: what the ledger did is done, and Envoy does not know.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Forwards connections; stops when dropped.
pub struct FlakyProxy {
    address: SocketAddr,
    to_lose: Arc<AtomicUsize>,
    lost: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl FlakyProxy {
    /// Starts on a free port, in front of `to`.
    pub async fn start(to: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let to_lose = Arc::new(AtomicUsize::new(0));
        let lost = Arc::new(AtomicUsize::new(0));
        let counts = (Arc::clone(&to_lose), Arc::clone(&lost));
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (to_lose, lost) = (Arc::clone(&counts.0), Arc::clone(&counts.1));
                tokio::spawn(async move {
                    // A connection that breaks is what this proxy is for.
                    let _ = forward(client, to, &to_lose, &lost).await;
                });
            }
        });
        Ok(Self { address, to_lose, lost, serving })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Loses the next replies: as each begins, both connections are cut.
    pub fn lose_replies(&self, count: usize) {
        self.to_lose.store(count, Ordering::SeqCst);
    }

    /// Replies lost so far.
    pub fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }
}

impl Drop for FlakyProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn forward(
    client: TcpStream,
    to: SocketAddr,
    to_lose: &AtomicUsize,
    lost: &AtomicUsize,
) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = TcpStream::connect(to).await?.into_split();
    let requests = tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from_server.read(&mut buffer).await?;
        if read == 0 {
            break;
        }
        let taken = to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if taken.is_ok() {
            lost.fetch_add(1, Ordering::SeqCst);
            break;
        }
        to_client.write_all(&buffer[..read]).await?;
    }
    // Dropping both halves of either connection closes it.
    requests.abort();
    Ok(())
}
