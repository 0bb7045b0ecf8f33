//! The app as clients meet it: through its router, over a database of its own.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tollgate_ledger::admin::Role;
use tollgate_ledger::service::{AppState, Clock, Tiers, Token, router};
use tollgate_ledger::store::{SqliteOptions, SqliteStore};
use tollgate_wire::{PROTOCOL_VERSION, SyncRequest, Tally};
use tower::ServiceExt;

use super::{NOON_MS, all_entries, issue_token, totals};

pub const TOKEN: &str = "a-token-of-the-tests";

/// A ledger of its own, with a clock that stands at noon.
pub struct Ledger {
    pub app: Router,
    pub store: Arc<SqliteStore>,
    pub clock: Arc<AtomicU64>,
    pub options: SqliteOptions,
    /// A token that may do everything but send tallies.
    pub admin: String,
    _folder: tempfile::TempDir,
}

impl Ledger {
    pub async fn new() -> Self {
        let ledger = Self::with_token(Token::new(TOKEN));
        let admin = issue_token(&*ledger.store, Role::Admin, None).await;
        Self { admin, ..ledger }
    }

    /// One that was told how the filters are configured.
    pub async fn knowing(tiers: Tiers) -> Self {
        let ledger = Self::with(Token::new(TOKEN), tiers);
        let admin = issue_token(&*ledger.store, Role::Admin, None).await;
        Self { admin, ..ledger }
    }

    pub fn with_token(token: Option<Token>) -> Self {
        Self::with(token, Tiers::default())
    }

    fn with(token: Option<Token>, tiers: Tiers) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteOptions::new(folder.path().join("ledger.db"));
        let store = Arc::new(SqliteStore::open(&options).unwrap());
        let clock = Arc::new(AtomicU64::new(NOON_MS));
        let state = AppState {
            clock: Clock::Manual(clock.clone()),
            tiers: Arc::new(tiers),
            ..AppState::new(store.clone(), token, 13)
        };
        Self { app: router(state), store, clock, options, admin: String::new(), _folder: folder }
    }

    pub async fn call(&self, request: Request<Body>) -> Answer {
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(self.authorized(Method::GET, path, Body::empty())).await
    }

    pub async fn post(&self, body: impl Into<Body>) -> Answer {
        self.call(self.authorized(Method::POST, "/v1/sync", body.into())).await
    }

    /// A request with the token that the route asks for.
    pub fn authorized(&self, method: Method, path: &str, body: Body) -> Request<Body> {
        let token = if path == "/v1/sync" { TOKEN } else { &self.admin };
        let request = Request::builder().method(method).uri(path);
        request.header(header::AUTHORIZATION, format!("Bearer {token}")).body(body).unwrap()
    }

    pub async fn sync(&self, request: &SyncRequest) -> Answer {
        self.post(serde_json::to_string(request).unwrap()).await
    }

    /// A request with a JSON body and any token.
    pub async fn send(&self, token: &str, method: Method, path: &str, body: &Value) -> Answer {
        self.send_with(token, method, path, body, &[]).await
    }

    /// The same with more headers.
    pub async fn send_with(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() { Body::empty() } else { body.to_string().into() };
        self.call(request.body(body).unwrap()).await
    }

    /// Nothing of a refused request is in the books.
    pub async fn expect_empty(&self) {
        assert_eq!(totals(&*self.store).await.requests, 0);
        assert_eq!(all_entries(&*self.store).await, []);
        assert_eq!(SqliteStore::audit_file(&self.options.path).unwrap().differences, []);
    }
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: axum::http::HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|why| panic!("{why}: {}", self.body))
    }

    pub fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// A problem document of this status and kind.
    pub fn expect_problem(&self, status: StatusCode, kind: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header(header::CONTENT_TYPE), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status.as_u16());
        assert_eq!(problem["type"], format!("/problems/{kind}"));
        for field in ["title", "detail"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
        problem
    }
}

pub fn request(seq: u64, tallies: Vec<Tally>) -> SyncRequest {
    SyncRequest {
        version: PROTOCOL_VERSION,
        process: "p1".into(),
        worker: "w1".into(),
        node: "edge-1".into(),
        seq,
        tallies,
        opening: None,
        leases: vec![],
        shares: Vec::new(),
        known_revision: None,
    }
}
