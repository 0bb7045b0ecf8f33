//! The load: keep-alive connections, each with one chat at a time, from a thousand users in turn.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::bail;
use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::USERS;

/// A load generator.
pub struct Load {
    connections: usize,
    body: Bytes,
    users: Arc<Vec<HeaderValue>>,
}

impl Load {
    /// With so many connections.
    pub fn new(connections: usize) -> Self {
        let prompt = "Summarise in one sentence, for a reader in a hurry, what a toll gate on a road is good for, who \
                      pays, how the price is found, and what becomes of somebody who can't or won't pay it.";
        let body = json!({
            "model": "gpt-5.4-mini",
            "messages": [
                {"role": "developer", "content": "Answer briefly, in plain words and without a list."},
                {"role": "user", "content": prompt},
            ],
            "max_completion_tokens": 64,
            "temperature": 0.2,
            "user": "bench",
        });
        let users =
            (0..USERS).filter_map(|user| HeaderValue::try_from(format!("user-{user:04}")).ok()).collect();
        Self { connections, body: body.to_string().into(), users: Arc::new(users) }
    }

    /// Sends so many requests and returns how long each took, in microseconds. Anything but 200 is an error.
    pub async fn run(&self, to: SocketAddr, requests: usize) -> anyhow::Result<Vec<u32>> {
        let next = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..self.connections {
            tasks.spawn(connection(
                to,
                requests,
                Arc::clone(&next),
                self.body.clone(),
                Arc::clone(&self.users),
            ));
        }
        let mut latencies = Vec::with_capacity(requests);
        while let Some(done) = tasks.join_next().await {
            latencies.append(&mut done??);
        }
        Ok(latencies)
    }
}

/// Takes requests off the common count until there are none left.
async fn connection(
    to: SocketAddr,
    requests: usize,
    next: Arc<AtomicUsize>,
    body: Bytes,
    users: Arc<Vec<HeaderValue>>,
) -> anyhow::Result<Vec<u32>> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let mut latencies = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= requests {
            break;
        }
        let request = Request::post("/v1/chat/completions")
            .header("host", "models.example")
            .header("content-type", "application/json")
            .header("user-agent", "bench")
            .header("x-consumer", &users[number % users.len()])
            .body(Full::new(body.clone()))?;
        let began = Instant::now();
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let answer = response.into_body().collect().await?.to_bytes();
        latencies.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
        if status != 200 {
            bail!("{status}: {}", String::from_utf8_lossy(&answer));
        }
    }
    driver.abort();
    Ok(latencies)
}
