//! Books in a real PostgreSQL: one server for the tests that run at the same time, a schema for each.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use tokio::sync::Mutex;
use tokio_postgres::NoTls;
use tollgate_e2e::postgres::Postgres;
use tollgate_ledger::store::{PostgresOptions, PostgresStore};

/// The server that is running, if one is. It ends with the last test that uses it.
static RUNNING: Mutex<Weak<Postgres>> = Mutex::const_new(Weak::new());

/// A server, whose commits are not flushed.
pub async fn server() -> Arc<Postgres> {
    let mut running = RUNNING.lock().await;
    if let Some(server) = running.upgrade() {
        return server;
    }
    let server = Arc::new(Postgres::start_unsafe().await.unwrap());
    *running = Arc::downgrade(&server);
    server
}

/// Empty books of a test's own.
pub struct Schema {
    pub server: Arc<Postgres>,
    pub options: PostgresOptions,
}

impl Schema {
    pub async fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = server().await;
        let name = format!("books_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        execute(&server.url(), &format!("CREATE SCHEMA {name}")).await;
        let options = PostgresOptions::new(server.url_of_schema(&name));
        Self { server, options }
    }

    /// A node on these books.
    pub async fn open(&self) -> Arc<PostgresStore> {
        Arc::new(PostgresStore::open(&self.options).await.unwrap())
    }

    /// Changes something behind the ledger's back.
    pub async fn execute(&self, statements: &str) {
        execute(&self.options.url, statements).await;
    }
}

async fn execute(url: &str, statements: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute(statements).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
}
