//! The official libraries of the providers, run from `tests/clients/*.py` and `*.mjs`.
//!
//! A script gets its order as JSON on stdin and answers on stdout. A process per order costs a second of start-up and
//! keeps the libraries' global state (connection pools, patched sleeps) out of the next order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::paths;

/// Which library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// `openai`, chat completions.
    OpenAi,
    /// `anthropic`, messages.
    Anthropic,
}

/// One chat to be had.
#[derive(Clone, Debug, Serialize)]
pub struct Order {
    /// The library.
    pub api: Api,
    /// Where: scheme and authority.
    pub base_url: String,
    /// The API key.
    pub key: String,
    /// The model.
    pub model: String,
    /// The user's message.
    pub prompt: String,
    /// The output cap; Anthropic requires one.
    pub max_tokens: Option<u64>,
    /// Read the answer as a stream.
    pub stream: bool,
    /// OpenAI: ask for the usage at the end of the stream.
    pub include_usage: bool,
    /// The library's number of retries; its own default if absent.
    pub max_retries: Option<u32>,
    /// Stop reading the stream after so many words.
    pub stop_after_words: Option<u64>,
    /// Further request headers.
    pub headers: BTreeMap<String, String>,
}

impl Order {
    /// A chat without stream and without retries.
    pub fn new(api: Api, at: SocketAddr, key: &str, model: &str, prompt: &str) -> Self {
        Self {
            api,
            base_url: format!("http://{at}"),
            key: key.to_owned(),
            model: model.to_owned(),
            prompt: prompt.to_owned(),
            max_tokens: (api == Api::Anthropic).then_some(1024),
            stream: false,
            include_usage: true,
            max_retries: Some(0),
            stop_after_words: None,
            headers: BTreeMap::new(),
        }
    }

    /// As a stream.
    pub fn streamed(mut self) -> Self {
        self.stream = true;
        self
    }

    /// With an output cap.
    pub fn max_tokens(mut self, cap: u64) -> Self {
        self.max_tokens = Some(cap);
        self
    }

    /// With the library's own retries.
    pub fn with_default_retries(mut self) -> Self {
        self.max_retries = None;
        self
    }

    /// With a further header.
    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.insert(name.to_owned(), value.to_string());
        self
    }
}

/// How a chat went: an answer, or the exception the library raised.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Chat {
    /// The final status, where there is one.
    pub status: Option<u16>,
    /// The headers of the final response.
    pub headers: BTreeMap<String, String>,
    /// The answer's text.
    pub text: Option<String>,
    /// What the library made of it: an object, or one for each event of a stream ([`calls`] only).
    pub objects: Vec<Value>,
    /// The usage as the library tells it.
    pub usage: Option<Value>,
    /// The class of the exception.
    pub exception: Option<String>,
    /// The exception's text.
    pub message: Option<String>,
    /// The error's body as the library parsed it.
    pub body: Option<Value>,
    /// The error's code as the library parsed it (OpenAI).
    pub code: Option<String>,
    /// The error's type as the library parsed it.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The HTTP requests it made, retries included.
    pub attempts: Vec<Attempt>,
    /// The waits it decided on between attempts, in seconds. Not recorded in a [`burst`].
    pub waits_s: Vec<f64>,
}

impl Chat {
    /// A header of the final response.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The limit that refused it.
    pub fn limit(&self) -> Option<&str> {
        self.header("x-tollgate-limit")
    }
}

/// One HTTP request of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Attempt {
    /// How many retries came before, as the client tells the server.
    pub retry_count: Option<String>,
    /// The status it got.
    pub status: Option<u16>,
    /// The headers it got that concern retries.
    pub headers: BTreeMap<String, String>,
}

/// A streamed chat whose reader went away.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Abort {
    /// It did go away.
    pub aborted: bool,
    /// What it had read until then.
    pub text: String,
}

/// Has chats one after the other.
pub async fn chats(orders: &[Order]) -> anyhow::Result<Vec<Chat>> {
    run("chat.py", &json!({"calls": orders})).await
}

/// Has one chat.
pub async fn chat(order: Order) -> anyhow::Result<Chat> {
    chats(&[order]).await?.pop().context("no answer from the client")
}

/// Has chats by the libraries for JavaScript.
pub async fn chats_in_javascript(orders: &[Order]) -> anyhow::Result<Vec<Chat>> {
    run_in_javascript("chat.mjs", &json!({"calls": orders})).await
}

/// A library besides OpenAI's and Anthropic's: its package for Python, then for JavaScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Library {
    /// `google-genai`; `@google/genai`.
    Google,
    /// `cohere`; `cohere-ai`.
    Cohere,
    /// `mistralai`; `@mistralai/mistralai`.
    Mistral,
    /// `ollama`, under both.
    Ollama,
    /// `boto3`; `@aws-sdk/client-bedrock-runtime`: Bedrock's converse.
    Bedrock,
    /// `mcp`; `@modelcontextprotocol/sdk`: a tool call.
    Mcp,
}

/// One call of such a library.
#[derive(Clone, Debug, Serialize)]
pub struct LibraryCall {
    /// The library.
    pub library: Library,
    /// Where: scheme and authority.
    pub base_url: String,
    /// The API key.
    pub key: String,
    /// The model, or the tool.
    pub model: String,
    /// The user's message.
    pub prompt: String,
    /// Mistral: retry, which is off by default.
    pub retries: bool,
    /// Read the answer as a stream; a tool has none.
    pub stream: bool,
    /// Further request headers.
    pub headers: BTreeMap<String, String>,
}

/// Makes calls one after the other.
pub async fn calls(calls: &[LibraryCall]) -> anyhow::Result<Vec<Chat>> {
    run("call.py", &json!({"calls": calls})).await
}

/// Makes calls one after the other by the libraries for JavaScript, which do no stream here and return no objects.
pub async fn calls_in_javascript(calls: &[LibraryCall]) -> anyhow::Result<Vec<Chat>> {
    run_in_javascript("call.mjs", &json!({"calls": calls})).await
}

/// Has all chats at once, each with a client of its own.
pub async fn burst(orders: &[Order]) -> anyhow::Result<Vec<Chat>> {
    run("burst.py", &json!({"calls": orders})).await
}

/// Starts a streamed chat and goes away after so many words.
pub async fn abort(order: &Order, after_words: u64) -> anyhow::Result<Abort> {
    let order = Order { stop_after_words: Some(after_words), ..order.clone() };
    run("abort.py", &serde_json::to_value(order)?).await
}

async fn run<T: for<'de> Deserialize<'de>>(script: &str, order: &Value) -> anyhow::Result<T> {
    run_with(paths::python()?, &["-B", "-u"], script, &[], order).await
}

async fn run_in_javascript<T: for<'de> Deserialize<'de>>(script: &str, order: &Value) -> anyhow::Result<T> {
    let environment = [("TOLLGATE_NODE_MODULES", paths::node_modules()?)];
    run_with(paths::node()?, &[], script, &environment, order).await
}

async fn run_with<T: for<'de> Deserialize<'de>>(
    program: PathBuf,
    options: &[&str],
    script: &str,
    environment: &[(&str, PathBuf)],
    order: &Value,
) -> anyhow::Result<T> {
    let path = paths::root().join("tests/clients").join(script);
    let mut child = Command::new(program)
        .args(options)
        .arg(&path)
        .env("NO_PROXY", "127.0.0.1")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {}", path.display()))?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    stdin.write_all(order.to_string().as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        bail!("{script}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&said).with_context(|| format!("{script} said: {said}"))
}
