//! A light HTTP client for scenarios that need an exact number of requests at once, or a look at raw bytes.
//!
//! Every request takes a connection of its own, so that Envoy's workers share them and a request never waits for
//! another one's connection. The official clients are in [`crate::clients`].

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsConnector;

use crate::model_server::prompt_of;
use crate::tls;

/// A request to be sent, any number of times.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Bytes,
    chunk: Option<usize>,
    http2: bool,
    tls: Option<Arc<ClientConfig>>,
}

impl Call {
    /// A request without a body.
    pub fn get(path: &str) -> Self {
        Self {
            method: Method::GET,
            path: path.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
            chunk: None,
            http2: false,
            tls: None,
        }
    }

    /// A request with a JSON body.
    pub fn post(path: &str, body: &Value) -> Self {
        Self::post_bytes(path, body.to_string().into())
    }

    /// A request with the given bytes as a JSON body.
    pub fn post_bytes(path: &str, body: Bytes) -> Self {
        let (path, headers) = (path.to_owned(), Vec::new());
        Self { method: Method::POST, path, headers, body, chunk: None, http2: false, tls: None }
            .header("content-type", "application/json")
    }

    /// An OpenAI chat of so many words.
    pub fn openai(model: &str, words: usize) -> Self {
        Self::post("/v1/chat/completions", &openai_body(model, words))
    }

    /// An Anthropic message of so many words with an output cap.
    pub fn anthropic(model: &str, words: usize, max_tokens: u64) -> Self {
        let messages = json!([{"role": "user", "content": prompt_of(words)}]);
        Self::post("/v1/messages", &json!({"model": model, "max_tokens": max_tokens, "messages": messages}))
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds an API key the way OpenAI clients do.
    pub fn key(self, key: &str) -> Self {
        self.header("authorization", format!("Bearer {key}"))
    }

    /// Changes the JSON body.
    pub fn edit(mut self, edit: impl FnOnce(&mut Value)) -> Self {
        let mut body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        edit(&mut body);
        self.body = body.to_string().into();
        self
    }

    /// Asks for a stream, and in OpenAI's dialect for its usage.
    pub fn streamed(self) -> Self {
        let openai = self.path.ends_with("/chat/completions");
        self.edit(|body| {
            body["stream"] = true.into();
            if openai {
                body["stream_options"] = json!({"include_usage": true});
            }
        })
    }

    /// Sends the body in chunks of so many bytes, without a content-length.
    pub fn chunked(mut self, bytes: usize) -> Self {
        self.chunk = Some(bytes.max(1));
        self
    }

    /// Speaks HTTP/2 instead of HTTP/1.1.
    pub fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// Speaks TLS, as this client of `localhost`.
    pub fn tls(mut self, client: Arc<ClientConfig>) -> Self {
        self.tls = Some(client);
        self
    }

    /// Replaces the path.
    pub fn path(mut self, path: &str) -> Self {
        self.path = path.to_owned();
        self
    }

    /// The body to be sent.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Sends it and reads the headers of the answer.
    pub async fn start(&self, to: SocketAddr) -> anyhow::Result<Answering> {
        let stream = TcpStream::connect(to).await.with_context(|| format!("connecting to {to}"))?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => self.start_on(stream, to).await,
            Some(client) => {
                let connector = TlsConnector::from(Arc::clone(client));
                let stream = connector.connect(ServerName::try_from(tls::SERVER)?, stream).await?;
                self.start_on(stream, to).await
            }
        }
    }

    async fn start_on<S>(&self, stream: S, to: SocketAddr) -> anyhow::Result<Answering>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut driver = JoinSet::new();
        let mut request = Request::builder().method(self.method.clone());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        // The request's own future tells what went wrong with a connection.
        let (response, abort) = if self.http2 {
            let executor = TokioExecutor::new();
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(executor, TokioIo::new(stream)).await?;
            let abort = driver.spawn(async move {
                let _ = connection.await;
            });
            let request = request.uri(format!("http://{to}{}", self.path)).body(self.boxed_body())?;
            (sender.send_request(request).await?, abort)
        } else {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            let abort = driver.spawn(async move {
                let _ = connection.await;
            });
            let request = request.uri(&self.path).header("host", to.to_string()).body(self.boxed_body())?;
            (sender.send_request(request).await?, abort)
        };
        let (head, body) = response.into_parts();
        Ok(Answering { status: head.status, headers: head.headers, body, abort, _driver: driver })
    }

    fn boxed_body(&self) -> BoxBody<Bytes, Infallible> {
        match self.chunk {
            None => Full::new(self.body.clone()).boxed(),
            Some(bytes) => {
                let chunks: Vec<Bytes> = self.body.chunks(bytes).map(Bytes::copy_from_slice).collect();
                let frames = chunks.into_iter().map(|chunk| Ok(Frame::data(chunk)));
                StreamBody::new(futures_util::stream::iter(frames)).boxed()
            }
        }
    }

    /// Sends it and reads the whole answer.
    pub async fn send(&self, to: SocketAddr) -> anyhow::Result<Answer> {
        self.start(to).await?.finish().await
    }

    /// Sends one request per element of `calls`, all released together, and returns the answers in that order.
    pub async fn send_all(calls: Vec<Self>, to: SocketAddr) -> anyhow::Result<Vec<Answer>> {
        let gate = Arc::new(Barrier::new(calls.len()));
        let mut tasks = JoinSet::new();
        for (index, call) in calls.into_iter().enumerate() {
            let gate = Arc::clone(&gate);
            tasks.spawn(async move {
                gate.wait().await;
                (index, call.send(to).await)
            });
        }
        let mut answers = Vec::new();
        while let Some(done) = tasks.join_next().await {
            let (index, answer) = done?;
            answers.push((index, answer?));
        }
        answers.sort_by_key(|(index, _)| *index);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }
}

/// The body of an OpenAI chat of so many words.
pub fn openai_body(model: &str, words: usize) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": prompt_of(words)}]})
}

/// An answer whose body is still coming. Dropping it closes the connection: that is how a client goes away.
pub struct Answering {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
    abort: AbortHandle,
    _driver: JoinSet<()>,
}

impl Answering {
    /// The next piece of the body as it comes off the wire; `None` at the end.
    pub async fn piece(&mut self) -> anyhow::Result<Option<Bytes>> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Reads until the text has come, and returns all read so far.
    pub async fn read_until(&mut self, text: &str) -> anyhow::Result<String> {
        let mut read = Vec::new();
        while let Some(piece) = self.piece().await? {
            read.extend_from_slice(&piece);
            let so_far = String::from_utf8_lossy(&read);
            if so_far.contains(text) {
                return Ok(so_far.into_owned());
            }
        }
        anyhow::bail!("the answer ended without {text:?}: {}", String::from_utf8_lossy(&read))
    }

    /// Reads the rest.
    pub async fn finish(self) -> anyhow::Result<Answer> {
        let body = self.body.collect().await?.to_bytes();
        self.abort.abort();
        Ok(Answer { status: self.status.as_u16(), headers: self.headers, body })
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The value of a header; of several, all, joined by a comma.
    pub fn header(&self, name: &str) -> Option<String> {
        let values: Vec<String> = self
            .headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// The limit that refused it.
    pub fn limit(&self) -> Option<String> {
        self.header("x-tollgate-limit")
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// How many of the answers have this status.
pub fn count(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}
