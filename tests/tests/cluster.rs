//! Three Envoys, three ledgers, PostgreSQL with two synchronous standbys, all real processes: whatever is killed or cut off under load,
//! what was acknowledged is there, nothing is there twice, and nobody who asks Envoy notices.
//!
//! CLUSTER_OUTAGE_S is how long the ledger is cut off (`make cluster`: 30, else 5).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tollgate_e2e::crowd::{self, Asked, Compared, Crowd};
use tollgate_e2e::envoy::{Envoy, EnvoyConfig};
use tollgate_e2e::flaky_proxy::FlakyProxy;
use tollgate_e2e::ledger::{Arrangement, Ledger};
use tollgate_e2e::model_server::ModelServer;
use tollgate_e2e::postgres::Postgres;
use tollgate_e2e::scene::{generous, quota};
use tollgate_e2e::{paths, wait};

const CLIENTS: usize = 9;

/// Requests that all Envoys share in a day.
const UNITS: u64 = 1_000_000;

/// Requests that one team has in a day, at all Envoys: fewer than it asks for.
const CAP: u64 = 800;

/// Answers between two events: the load is there before and after each.
const SOME: u64 = 150;

fn open(policy: &mut Map<String, Value>, node: &str) {
    policy["identity"]["consumer"] = json!([{"header": "x-consumer"}]);
    policy["identity"]["default_tier"] = "enterprise".into();
    let mut limits = generous();
    let mut shared = quota("shared", "requests", UNITS, "day");
    shared["key"] = json!(["tier"]);
    // Nobody is refused because the ledger is away: what passes then is booked as overrun.
    shared["global"] = json!({"wait_ms": 1000, "allowance": UNITS, "funded": false});
    limits.as_array_mut().unwrap().push(shared);
    policy["tiers"]["enterprise"]["limits"] = limits;
    policy["ledger"]["flush_interval_ms"] = 100.into();
    policy["ledger"]["node"] = node.into();
}

/// A quota that runs out, and of which not one request more passes, whether the ledger is there or not.
fn cap(policy: &mut Map<String, Value>) {
    policy["identity"]["team"] = json!([{"header": "x-team"}]);
    let mut capped = quota("capped", "requests", CAP, "day");
    capped["key"] = json!(["team"]);
    capped["when"] = json!({"team": [crowd::CAPPED]});
    capped["global"] = json!({"wait_ms": 1000});
    policy["tiers"]["enterprise"]["limits"].as_array_mut().unwrap().push(capped);
}

/// The database: a primary and two standbys, each behind a proxy that can lose its answers.
struct Databases {
    servers: Vec<Postgres>,
    proxies: Vec<FlakyProxy>,
}

impl Databases {
    async fn start() -> Self {
        let primary = Postgres::start(&[]).await.unwrap();
        let standbys = [primary.standby("s1").await.unwrap(), primary.standby("s2").await.unwrap()];
        // Both: either may take over.
        primary.set("synchronous_standby_names", "FIRST 2 (s1, s2)").unwrap();
        let servers: Vec<Postgres> = std::iter::once(primary).chain(standbys).collect();
        let mut proxies = Vec::new();
        for server in &servers {
            proxies.push(FlakyProxy::start(server.address()).await.unwrap());
        }
        Self { servers, proxies }
    }

    fn url(&self) -> String {
        let places: Vec<String> = self.proxies.iter().map(|proxy| proxy.address().to_string()).collect();
        format!("postgres://tollgate@{}/postgres", places.join(","))
    }
}

struct Cluster {
    models: ModelServer,
    databases: Databases,
    ledgers: Vec<Ledger>,
    envoys: Vec<Envoy>,
    crowd: Crowd,
    /// What Envoys that are gone left behind.
    gone: Vec<Gone>,
}

struct Gone {
    address: SocketAddr,
    node: String,
    journal: PathBuf,
    _folder: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Self {
        let (models, databases) = (ModelServer::start().await.unwrap(), Databases::start().await);
        let mut ledgers = Vec::new();
        for _ in 0..3 {
            ledgers.push(Ledger::over(&databases.url()).await.unwrap());
        }
        let mut envoys = Vec::new();
        for number in 0..3 {
            envoys.push(envoy(&models, &ledgers, number).await);
        }
        let crowd = Crowd::start(CLIENTS, envoys.iter().map(Envoy::address).collect());
        Self { models, databases, ledgers, envoys, crowd, gone: Vec::new() }
    }

    /// A ledger that answers.
    async fn totals(&self) -> u64 {
        wait::until("a ledger that answers", String::new, async || {
            for ledger in &self.ledgers {
                if let Ok(answer) = ledger.try_get("/v1/usage").await
                    && answer.status == 200
                {
                    return answer.json()["totals"]["requests"].as_u64();
                }
            }
            None
        })
        .await
    }

    /// Waits until the books have grown by so many requests.
    async fn wait_for_books(&self, more: u64) {
        let goal = self.totals().await + more;
        let logs = || self.ledgers.iter().map(Ledger::logs).collect::<Vec<_>>().join("\n");
        wait::until("more in the books", logs, async || (self.totals().await >= goal).then_some(())).await;
    }

    /// What is asked of every event: the load goes on, and the books follow.
    async fn goes_on(&self, what: &str, since: Instant) {
        self.wait_for_books(1).await;
        let first = since.elapsed();
        self.crowd.wait_for(SOME).await;
        self.wait_for_books(1).await;
        println!(
            "{what}: books grow again after {:.1} s; {} answered, {} in the books",
            first.as_secs_f64(),
            self.crowd.answered(),
            self.totals().await
        );
    }

    /// Envoys that take a ledger for healthy, as each of them counts.
    async fn wait_for_healthy(&self, nodes: u64) {
        for envoy in &self.envoys {
            wait::until(
                "Envoy's view of the ledgers",
                || envoy.logs(),
                async || {
                    let healthy = envoy.stats().await.stat("cluster.tollgate_ledger.membership_healthy");
                    (healthy == nodes).then_some(())
                },
            )
            .await;
        }
    }
}

async fn envoy(models: &ModelServer, ledgers: &[Ledger], number: usize) -> Envoy {
    let at: Vec<SocketAddr> = ledgers.iter().map(Ledger::address).collect();
    let mut config = EnvoyConfig::example(models.address(), at[0]).unwrap();
    config.replace_cluster(&paths::root().join("envoy/ledger-cluster.yaml")).unwrap();
    config.set_endpoints("tollgate_ledger", &at);
    config.edit_cluster("tollgate_ledger", |cluster| {
        // As the example has it, but sooner.
        for (name, value) in [("interval", "0.2s"), ("no_traffic_interval", "0.2s")] {
            assert!(cluster["health_checks"][0][name].is_string(), "{cluster}");
            cluster["health_checks"][0][name] = value.into();
        }
    });
    let policy = |policy: &mut Map<String, Value>| {
        open(policy, &format!("edge-{number}"));
        cap(policy);
    };
    config.policy(policy).with_prompt_journal();
    Envoy::start(&config, 1).await.unwrap()
}

fn outage() -> Duration {
    let seconds = std::env::var("CLUSTER_OUTAGE_S").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(5))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_loses_nothing_and_counts_nothing_twice_whatever_is_killed() {
    let mut cluster = Cluster::start().await;
    cluster.wait_for_healthy(3).await;
    cluster.goes_on("all well", Instant::now()).await;
    an_envoy_is_killed(&mut cluster).await;
    a_ledger_is_killed(&mut cluster).await;
    the_primary_is_lost(&mut cluster).await;
    the_ledger_is_cut_off(&cluster).await;
    commits_are_not_heard_of(&cluster).await;
    ledgers_are_restarted_in_turn(&mut cluster).await;
    // However slow the machine: the capped team asks until its quota has run out.
    cluster.crowd.wait_for_refusal().await;
    reckon(cluster).await;
}

/// Its journal is kept; another takes its place.
async fn an_envoy_is_killed(cluster: &mut Cluster) {
    let since = Instant::now();
    let gone = &mut cluster.envoys[0];
    gone.kill9();
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("journal");
    std::fs::copy(gone.journal_path(), &kept).unwrap();
    let address = gone.address();
    cluster.envoys[0] = envoy(&cluster.models, &cluster.ledgers, 0).await;
    cluster.crowd.replace(address, cluster.envoys[0].address());
    cluster.gone.push(Gone { address, node: "edge-0".into(), journal: kept, _folder: folder });
    cluster.goes_on("an Envoy was killed", since).await;
}

async fn a_ledger_is_killed(cluster: &mut Cluster) {
    let since = Instant::now();
    cluster.ledgers[1].kill9();
    cluster.goes_on("a ledger was killed", since).await;
    cluster.wait_for_healthy(2).await;
    cluster.ledgers[1].restart().await.unwrap();
    cluster.wait_for_healthy(3).await;
}

async fn the_primary_is_lost(cluster: &mut Cluster) {
    let since = Instant::now();
    cluster.databases.servers[0].kill9();
    cluster.databases.servers[2].promote().unwrap();
    cluster.goes_on("the primary was killed, a standby promoted", since).await;
    cluster.wait_for_healthy(3).await;
}

async fn the_ledger_is_cut_off(cluster: &Cluster) {
    for ledger in &cluster.ledgers {
        ledger.pause().unwrap();
    }
    let (since, before) = (Instant::now(), cluster.crowd.answered());
    tokio::time::sleep(outage()).await;
    let answered = cluster.crowd.answered() - before;
    assert!(answered > 0, "nobody was served while the ledger was away");
    for ledger in &cluster.ledgers {
        ledger.resume().unwrap();
    }
    println!("the ledger was cut off for {:?}: {answered} were answered meanwhile", outage());
    cluster.goes_on("the ledger is back", since).await;
    cluster.wait_for_healthy(3).await;
}

/// Each answer that is cut is one that entering a batch waits for, the commit's among them.
async fn commits_are_not_heard_of(cluster: &Cluster) {
    let since = Instant::now();
    let proxy = &cluster.databases.proxies[2];
    let before = proxy.lost();
    for _ in 0..10 {
        proxy.lose_replies(3);
        let goal = proxy.lost() + 3;
        wait::until_true("lost answers", || proxy.lost() >= goal).await;
    }
    println!("{} answers of the database were lost", proxy.lost() - before);
    cluster.goes_on("answers of the database come again", since).await;
    cluster.wait_for_healthy(3).await;
}

async fn ledgers_are_restarted_in_turn(cluster: &mut Cluster) {
    let since = Instant::now();
    for number in 0..cluster.ledgers.len() {
        cluster.ledgers[number].terminate().await.unwrap();
        cluster.wait_for_healthy(2).await;
        cluster.crowd.wait_for(SOME / 3).await;
        cluster.ledgers[number].restart().await.unwrap();
        cluster.wait_for_healthy(3).await;
    }
    cluster.goes_on("all ledgers were restarted", since).await;
}

/// Everybody stops; what is on its way arrives; the killed Envoy's journal is replayed, twice; then all is compared.
async fn reckon(mut cluster: Cluster) {
    let asked = std::mem::replace(&mut cluster.crowd, Crowd::start(0, Vec::new())).end().await;
    // A request that finds no lease waits for one, for a second here, and is refused if no answer came: nothing else refuses but
    // the quota that runs out.
    let strange =
        asked.refused.iter().filter(|(ask, status)| *status != 503 && !(ask.capped && *status == 429));
    assert_eq!(strange.count(), 0, "refused: {:?}", asked.refused);
    let late = asked.refused.iter().filter(|(_, status)| *status == 503).count();
    println!("{late} of {} found no lease in time", asked.answered.len());
    cluster.envoys.iter().for_each(Envoy::assert_no_trap);
    let ledger = &cluster.ledgers[0];
    let arrived = async || {
        let entries = ledger.entries().await;
        let known: std::collections::HashSet<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
        let mut journalled = cluster.envoys.iter().flat_map(Envoy::journal);
        journalled.all(|tally| known.contains(tally.id.as_str())).then_some(())
    };
    wait::until("everything in the books", || ledger.logs(), arrived).await;
    let before = ledger.totals().await;
    for gone in &cluster.gone {
        print!("{}", ledger.replay(&gone.node, &[&gone.journal]).unwrap());
    }
    let totals = ledger.totals().await;
    for gone in &cluster.gone {
        ledger.replay(&gone.node, &[&gone.journal]).unwrap();
    }
    assert_eq!(ledger.totals().await, totals, "a journal was entered twice");
    let entries = ledger.entries().await;
    let compared = crowd::compare(&entries, &cluster.models.served());
    let unheard = crowd::not_in_books(&asked.answered, &entries);
    println!(
        "{} answered, {} broken off with the killed Envoy; {} came by its journal; {compared:?}; answered but in no \
         books: {}",
        asked.answered.len(),
        asked.broken.len(),
        totals.requests - before.requests,
        unheard
    );
    for ledger in &cluster.ledgers {
        assert_eq!(ledger.audit().unwrap(), entries.len() as u64);
    }
    assert_eq!(totals.requests, entries.len() as u64);
    all_but_the_killed(&cluster, &asked, &compared);
    the_shared_quota_is_not_overdrawn(ledger, &compared).await;
    the_capped_team_got_what_it_had(&cluster, ledger, &asked).await;
}

/// Of the quota that they share, no more was lent than there is, and no more told than was served. What the killed Envoy let
/// through beyond its lease is not told any more: that is what an allowance without funds costs.
async fn the_shared_quota_is_not_overdrawn(ledger: &Ledger, compared: &Compared) {
    let page = ledger.get("/v1/leases").await;
    let quota = quota_of(&page, "shared");
    let units = |name: &str| quota[name].as_u64().unwrap();
    let (settled, held, overrun) = (units("settled"), units("held"), units("overrun"));
    println!("the shared quota so far: {settled} settled, {held} held, {overrun} beyond leases");
    assert!(settled > 0 && settled + held <= UNITS, "{quota}");
    let served = compared.in_books + compared.missing.len() as u64;
    assert!(settled + overrun <= served, "more was told than was served: {quota} {compared:?}");
}

fn quota_of<'a>(page: &'a Value, limit: &str) -> &'a Value {
    let quotas = page["quotas"].as_array().unwrap();
    quotas.iter().find(|quota| quota["limit"] == limit).unwrap_or_else(|| panic!("{limit}: {page}"))
}

/// Of a quota without an allowance not one request more was let through than there were; what nobody got is held, by the
/// killed Envoy most of it, or left.
async fn the_capped_team_got_what_it_had(cluster: &Cluster, ledger: &Ledger, asked: &Asked) {
    let served = cluster.models.served();
    let passed = served.iter().filter(|served| served.header("x-team") == Some(crowd::CAPPED)).count() as u64;
    let refused = asked.refused.iter().filter(|(_, status)| *status == 429).count();
    let page = ledger.get("/v1/leases").await;
    let quota = quota_of(&page, "capped");
    let units = |name: &str| quota[name].as_u64().unwrap();
    let (held, left) = (units("held"), units("left"));
    println!(
        "the capped team: {passed} of {CAP} passed, {refused} were refused; {held} are held, {left} left"
    );
    assert!(passed <= CAP && refused > 0, "{passed} passed, {refused} refused: {quota}");
    assert!(passed + held + left >= CAP, "more was told than was served: {passed} passed: {quota}");
    assert_eq!(quota["overrun"], 0, "{quota}");
}

/// What was served and is in no books was in flight in the Envoy that was killed, or its line was not yet written. Everything
/// else is in the books with exactly the usage that was served.
fn all_but_the_killed(cluster: &Cluster, asked: &Asked, compared: &Compared) {
    let gates = asked.gates();
    let killed = |consumer: &String| {
        let gate = gates.get(consumer.as_str());
        cluster.gone.iter().any(|gone| Some(&gone.address) == gate)
    };
    let lost: Vec<&String> = compared.missing.iter().filter(|consumer| !killed(consumer)).collect();
    assert!(lost.is_empty(), "in no books, though their Envoy lives: {lost:?}");
    assert!(compared.in_books > 5 * SOME, "{compared:?}");
}

/// SQLite's disk is full: batches are refused, Envoy keeps them, and they are entered once there is room again.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing() {
    let disk = Disk::new();
    let ledger = Ledger::start_as(disk.arrangement()).await.unwrap();
    let models = ModelServer::start().await.unwrap();
    let mut config = EnvoyConfig::example(models.address(), ledger.address()).unwrap();
    config.policy(|policy| open(policy, "edge-1"));
    let envoy = Envoy::start(&config, 2).await.unwrap();
    let crowd = Crowd::start(CLIENTS, vec![envoy.address()]);
    crowd.wait_for(SOME).await;
    ledger.wait_for_requests(SOME / 2).await;
    disk.fill(&ledger);
    let full = async || {
        let failed = envoy.prometheus().await.sum("tollgate_syncs", &[("outcome", "failed")]);
        (failed.unwrap_or_default() >= 3.0).then_some(())
    };
    wait::until("batches that the ledger can't enter", || envoy.logs(), full).await;
    assert_eq!(
        ledger.try_get("/readyz").await.unwrap().status,
        503,
        "a ledger that can't write is not ready"
    );
    let at_full = ledger.totals().await.requests;
    crowd.wait_for(2 * SOME).await;
    disk.free(&ledger);
    let asked = crowd.end().await;
    assert!(asked.refused.is_empty() && asked.broken.is_empty(), "{asked:?}");
    let totals = ledger.wait_for_requests(asked.answered.len() as u64).await;
    assert_eq!(totals.requests, asked.answered.len() as u64);
    let compared = crowd::compare(&ledger.entries().await, &models.served());
    println!("{}: {at_full} in the books when it was full, {compared:?} in the end", disk.kind());
    assert!(compared.missing.is_empty(), "{compared:?}");
    assert_eq!(ledger.audit().unwrap(), totals.requests);
}

/// A small disk of the ledger's own.
enum Disk {
    /// A tmpfs in a mount namespace of its own: the real thing.
    Tmpfs,
    /// Where such a namespace is not to be had: a bound on the size of files, which fails a write in much the same way.
    FileSize(tempfile::TempDir),
}

/// Where the tmpfs is, in its namespace.
const MOUNTED: &str = "/mnt";

impl Disk {
    fn new() -> Self {
        let mut probe = std::process::Command::new("unshare");
        probe.args(["-Urm", "mount", "-t", "tmpfs", "tmpfs", MOUNTED]);
        match probe.output().is_ok_and(|output| output.status.success()) {
            true => Self::Tmpfs,
            false => Self::FileSize(tempfile::tempdir().unwrap()),
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Tmpfs => "a tmpfs without room (ENOSPC)",
            Self::FileSize(_) => "a bound on file sizes (EFBIG)",
        }
    }

    fn arrangement(&self) -> Arrangement {
        let (database, script) = match self {
            Self::Tmpfs => (
                format!("{MOUNTED}/ledger.db"),
                format!("mount -t tmpfs -o size=16m tmpfs {MOUNTED} && exec \"$@\""),
            ),
            // The signal that comes with it would kill.
            Self::FileSize(folder) => {
                (folder.path().join("ledger.db").display().to_string(), "trap '' XFSZ; exec \"$@\"".into())
            }
        };
        let mut within: Vec<String> = ["sh", "-c", &script, "sh"].map(str::to_owned).into();
        if let Self::Tmpfs = self {
            within.splice(0..0, ["unshare".to_owned(), "-Urm".to_owned()]);
        }
        Arrangement {
            database: format!("sqlite:{database}"),
            within,
            namespaces: matches!(self, Self::Tmpfs),
            ..Arrangement::default()
        }
    }

    fn filler(ledger: &Ledger) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{MOUNTED}/filler", ledger.id()))
    }

    fn fill(&self, ledger: &Ledger) {
        use std::io::Write;
        match self {
            Self::Tmpfs => {
                let mut filler = std::fs::File::create(Self::filler(ledger)).unwrap();
                let full =
                    std::iter::repeat_with(|| filler.write_all(&[1; 4096])).find_map(Result::err).unwrap();
                assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
            }
            Self::FileSize(_) => limit(ledger, "4096:"),
        }
    }

    fn free(&self, ledger: &Ledger) {
        match self {
            Self::Tmpfs => std::fs::remove_file(Self::filler(ledger)).unwrap(),
            Self::FileSize(_) => limit(ledger, "unlimited:"),
        }
    }
}

fn limit(ledger: &Ledger, bytes: &str) {
    let mut command = std::process::Command::new("prlimit");
    command.args(["--pid", &ledger.id().to_string(), &format!("--fsize={bytes}")]);
    assert!(command.status().unwrap().success());
}
