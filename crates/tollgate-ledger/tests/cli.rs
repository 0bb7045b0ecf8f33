//! The command line, as operators meet it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use support::process::*;
use support::*;
use tollgate_wire::{PROTOCOL_VERSION, SyncRequest, Tally};

fn run(arguments: &[&str]) -> Output {
    tollgate().args(arguments).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// A file in the repository.
fn repository(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path).display().to_string()
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }
}

#[test]
fn the_help_names_every_command() {
    let help = stdout(&run(&["--help"]));
    let commands = [
        "check",
        "usage",
        "entries",
        "consumer",
        "quota",
        "lease",
        "switch",
        "memory",
        "statistics",
        "audit",
        "token",
        "ledger",
    ];
    for command in commands {
        assert!(help.contains(command), "{help}");
    }
    let help = stdout(&run(&["ledger", "--help"]));
    assert!(help.contains("serve") && help.contains("audit"), "{help}");
    assert_eq!(stdout(&run(&["--version"])), format!("tollgate {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(code(&run(&[])), 2);
    assert_eq!(code(&run(&["no-such-command"])), 2);
}

#[test]
fn the_shipped_configurations_are_good() {
    let (plain, envoy) = (repository("config/tollgate.yaml"), repository("envoy/envoy.yaml"));
    let output = run(&["check", &plain, &envoy]);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    assert_eq!(stdout(&output), format!("{plain}: ok\n{envoy}: ok\n"));
}

#[test]
fn a_field_nobody_knows_is_named_with_its_path() {
    let files = Files::new();
    let plain = std::fs::read_to_string(repository("config/tollgate.yaml")).unwrap();
    let wrong = files.write("wrong.yaml", &plain.replacen("default_tier: free", "default_teir: free", 1));
    let output = run(&["check", &wrong]);
    assert_eq!(code(&output), 1);
    let line = stdout(&output);
    assert!(line.starts_with(&format!("{wrong}: identity")) && line.contains("default_teir"), "{line}");
}

#[test]
fn a_filter_is_named_with_its_place_in_the_envoy_configuration() {
    let files = Files::new();
    let envoy = std::fs::read_to_string(repository("envoy/envoy.yaml")).unwrap();
    let wrong = envoy.replacen("amount: 40000, per: minute", "amount: 40000, per: fortnight", 1);
    let wrong = files.write("envoy.yaml", &wrong);
    let output = run(&["check", &wrong]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    let line = stdout(&output);
    let place = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.http_filters[0]";
    assert!(line.starts_with(&format!("{wrong}: {place}: tiers.free.limits[1]")), "{line}");
}

/// An Envoy configuration around a plugin configuration.
fn listener(configuration: Value, root_id: &str, module: &str) -> Value {
    json!({"resources": [{
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "filter_chains": [{"filters": [{"typed_config": {"http_filters": [
            {"name": "other", "typed_config": {"config": {"root_id": "other"}}},
            {"name": "gate", "typed_config": {"config": {
                "root_id": root_id,
                "vm_config": {"code": {"local": {"filename": module}}},
                "configuration": configuration,
            }}},
        ]}}]}],
    }]})
}

fn as_string(text: &str) -> Value {
    json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text})
}

fn as_struct(value: Value) -> Value {
    json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": value})
}

#[test]
fn a_filter_is_found_in_any_document_by_its_module_or_root() {
    let files = Files::new();
    let place = "resources[0].filter_chains[0].filters[0].typed_config.http_filters[1]";
    let bad = json!({"surprise": 1});
    let documents = [
        listener(as_struct(bad.clone()), "tollgate", "/etc/other.wasm"),
        listener(as_struct(bad.clone()), "", "/etc/tollgate_filter.wasm"),
        listener(as_string(&bad.to_string()), "tollgate", "/etc/tollgate_filter.wasm"),
        listener(as_string("{"), "tollgate", "/etc/tollgate_filter.wasm"),
        listener(
            json!({"@type": "type.googleapis.com/google.protobuf.Int32Value", "value": 1}),
            "tollgate",
            "",
        ),
    ];
    for document in documents {
        let file = files.write("lds.json", &document.to_string());
        let output = run(&["check", &file]);
        assert_eq!(code(&output), 1, "{document}: {}", stderr(&output));
        assert!(stdout(&output).starts_with(&format!("{file}: {place}: ")), "{}", stdout(&output));
    }
}

#[test]
fn a_json_string_is_checked_as_the_filter_reads_it() {
    let files = Files::new();
    let plain = std::fs::read_to_string(repository("config/tollgate.yaml")).unwrap();
    let value: Value = serde_saphyr::from_str(&plain).unwrap();
    let file = files.write("lds.json", &listener(as_string(&value.to_string()), "tollgate", "").to_string());
    let output = run(&["check", &file]);
    assert_eq!((code(&output), stdout(&output)), (0, format!("{file}: ok\n")), "{}", stderr(&output));
    let file = files.write("plain.json", &value.to_string());
    assert_eq!(code(&run(&["check", &file])), 0);
}

#[test]
fn what_can_not_be_checked_ends_in_two() {
    let files = Files::new();
    let good = repository("config/tollgate.yaml");
    let nothing = files.write("nothing.yaml", "static_resources: {listeners: []}");
    let broken = files.write("broken.yaml", "a: [1, 2");
    let missing = files.path("missing.yaml").display().to_string();
    for file in [&nothing, &broken, &missing] {
        // The others are checked all the same.
        let output = run(&["check", file, &good]);
        assert_eq!(code(&output), 2, "{file}");
        assert!(stderr(&output).contains(file.as_str()), "{}", stderr(&output));
        assert_eq!(stdout(&output), format!("{good}: ok\n"));
    }
}

fn fill(ledger: &Served) {
    let at_ms = u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let tallies = (1..=30).map(|number| {
        let consumer = if number % 3 == 0 { "bob" } else { "alice" };
        Tally { at_ms, ..tally_of(consumer, number) }
    });
    let request = SyncRequest {
        version: PROTOCOL_VERSION,
        process: "p1".into(),
        worker: "w1".into(),
        node: "edge-1".into(),
        seq: 1,
        tallies: tallies.collect(),
        opening: None,
        leases: vec![],
        shares: Vec::new(),
        known_revision: None,
    };
    assert_eq!(post(&ledger.address, &serde_json::to_string(&request).unwrap()), Some(200));
}

#[test]
fn usage_is_a_table_with_totals() {
    let files = Files::new();
    let ledger = Served::start(&files.path("ledger.db"));
    fill(&ledger);
    let token = files.write("token", &format!("{}\n", token(&files.path("ledger.db"), "viewer")));
    let ask = |more: &[&str]| {
        let output = run(&[&["usage", "--ledger", &ledger.address, "--token-file", &token], more].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        stdout(&output)
    };
    let table = ask(&[]);
    let line = |name: &str| {
        let line = table.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{table}"));
        line.split('|').map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        line("alice"),
        ["alice", "gpt-5.4-mini", "20", "0", "300", "100", "140", "0.0000003", "0.0006"]
    );
    assert_eq!(line("total"), ["total", "30", "0", "450", "150", "210", "0.000000465", "0.00093"]);
    let page: Value =
        serde_json::from_str(&ask(&["--json", "--group-by", "consumer", "--window", "day"])).unwrap();
    assert_eq!(page["totals"]["cost_nusd"], 465);
    assert_eq!(page["rows"][1]["consumer"], "bob");
    let bob: Value = serde_json::from_str(&ask(&["--json", "--consumer", "bob"])).unwrap();
    assert_eq!(bob["totals"]["requests"], 10);
    let tools: Value =
        serde_json::from_str(&ask(&["--json", "--by", "tool,workflow", "--tool", "", "--interface", ""]))
            .unwrap();
    assert_eq!(
        (&tools["rows"][0]["tool"], &tools["totals"]["requests"]),
        (&serde_json::json!(""), &serde_json::json!(30))
    );
}

#[test]
fn entries_are_exported_whole() {
    let files = Files::new();
    let ledger = Served::start(&files.path("ledger.db"));
    fill(&ledger);
    let token = token(&files.path("ledger.db"), "viewer");
    let ask = |more: &[&str]| {
        let arguments = [&["entries", "--ledger", &ledger.address], more].concat();
        let output = tollgate().args(arguments).env("TOLLGATE_TOKEN", &token).output().unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        stdout(&output)
    };
    assert_eq!(ask(&[]).lines().count(), 31);
    let lines = ask(&["--format", "json", "--consumer", "bob"]);
    let entries: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(entries.len(), 10);
    assert!(entries.iter().all(|entry| entry["consumer"] == "bob" && entry["worker"] == "w1"));
    assert_eq!(
        ask(&["--tool", "search", "--region", "eu"]).lines().count(),
        1,
        "only the names of the columns"
    );
}

#[test]
fn a_ledger_that_refuses_or_is_not_there_ends_in_two() {
    let files = Files::new();
    let ledger = Served::start(&files.path("ledger.db"));
    let output = run(&["usage", "--ledger", &ledger.address]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("401"), "{}", stderr(&output));
    let address = ledger.address.clone();
    ledger.kill();
    let output = run(&["usage", "--ledger", &address]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("can't be reached"), "{}", stderr(&output));
    let output = run(&["usage", "--ledger", &address, "--token-file", "/nowhere/token"]);
    assert!(stderr(&output).contains("/nowhere/token"), "{}", stderr(&output));
}

#[test]
fn a_token_is_in_no_log() {
    let files = Files::new();
    for format in ["text", "json"] {
        let database = files.path(&format!("{format}.db"));
        let ledger = Served::start_with(&database, &["--log-format", format], Some(TOKEN));
        fill(&ledger);
        assert_eq!(post(&ledger.address, "{"), Some(400));
        let (status, log) = ledger.terminate();
        assert!(status.success());
        assert!(!log.is_empty() && log.iter().all(|line| !line.contains(TOKEN)), "{log:#?}");
        if format == "json" {
            assert!(log.iter().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log:#?}");
        }
    }
}

#[test]
fn a_ledger_without_a_token_is_closed_and_an_empty_one_is_none() {
    let files = Files::new();
    for token in [None, Some(""), Some("  \n")] {
        let ledger = Served::start_with(&files.path("ledger.db"), &[], token);
        assert_eq!(post(&ledger.address, "{}"), Some(403), "{token:?}");
    }
}

#[test]
fn a_token_is_made_on_the_database_and_ended_through_the_ledger() {
    let files = Files::new();
    let database = files.path("ledger.db");
    // Before there is a database at all.
    let admin = token(&database, "admin");
    let ledger = Served::start_with(&database, &[], None);
    let ask = |arguments: &[&str], token: &str| {
        let arguments = [arguments, &["--ledger", &ledger.address]].concat();
        tollgate().args(arguments).env("TOLLGATE_TOKEN", token).output().unwrap()
    };
    let made =
        ask(&["token", "create", "--role", "self", "--consumer", "alice", "--days", "1", "--json"], &admin);
    let made: Value = serde_json::from_str(&stdout(&made)).unwrap();
    let (id, own) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    let table = stdout(&ask(&["token", "list"], &admin));
    assert!(table.contains(id) && table.contains("alice") && !table.contains(own), "{table}");
    // A token does what its role may, and the filter's alone sends tallies.
    for (arguments, token) in [(["token", "list"].as_slice(), own), (&["usage"], own), (&["usage"], "wrong")]
    {
        assert_eq!(code(&ask(arguments, token)), 2, "{arguments:?}");
    }
    let viewer = token(&database, "viewer");
    assert_eq!(code(&ask(&["usage"], &viewer)), 0);
    assert!(stderr(&ask(&["token", "revoke", id], &viewer)).contains("403"));
    assert_eq!(code(&ask(&["token", "revoke", id], &admin)), 0);
    assert!(stderr(&ask(&["token", "revoke", id], &admin)).contains("404"));
    assert!(stderr(&ask(&["usage"], own)).contains("401"));
    let (_, log) = ledger.terminate();
    let secrets = [&admin, own, &viewer].map(|token| token.rsplit('_').next().unwrap().to_owned());
    let bytes = std::fs::read(&database).unwrap();
    let kept = String::from_utf8_lossy(&bytes);
    assert!(secrets.iter().all(|secret| !kept.contains(secret) && !log.concat().contains(secret)));
}

#[test]
fn an_audit_that_finds_something_ends_in_one() {
    let files = Files::new();
    let database = files.path("ledger.db");
    let ledger = Served::start(&database);
    fill(&ledger);
    // Beside the running service.
    assert_eq!(code(&audit(&database)), 0);
    ledger.terminate();
    let change =
        "UPDATE usage_windows SET cost_nusd = cost_nusd + 1 WHERE window_kind = 'month' AND consumer = 'bob'";
    rusqlite::Connection::open(&database).unwrap().execute_batch(change).unwrap();
    let output = audit(&database);
    assert_eq!(code(&output), 1);
    assert!(stdout(&output).contains("bob"), "{}", stdout(&output));
    assert_eq!(code(&audit(&files.path("missing.db"))), 2);
    let empty = files.write("empty.db", "");
    assert_eq!(code(&audit(Path::new(&empty))), 2);
}

#[test]
fn an_audit_finds_what_was_changed_behind_the_trail() {
    let files = Files::new();
    let ledger = Served::start(&files.path("good.db"));
    let operator =
        Operator { token: token(&files.path("good.db"), "operator"), address: ledger.address.clone() };
    for consumer in ["mallory", "alice"] {
        operator.ask(&["consumer", "suspend", consumer, "--reason", "unpaid"]);
    }
    ledger.terminate();
    let report = stdout(&audit(&files.path("good.db")));
    assert!(report.contains("3 administrative changes, the last with hash"), "{report}");
    let behind = [
        (
            "UPDATE admin_records SET doc = replace(doc, 'suspended', 'active') WHERE id = 'mallory'",
            "consumer mallory",
        ),
        ("UPDATE admin_audit SET reason = 'paid' WHERE id = 'mallory'", "breaks at change 2"),
        ("DELETE FROM admin_audit WHERE id = 'mallory'", "breaks at change 3"),
        ("DELETE FROM admin_audit WHERE id = 'alice'", "consumer alice"),
    ];
    for (change, told) in behind {
        std::fs::copy(files.path("good.db"), files.path("bad.db")).unwrap();
        rusqlite::Connection::open(files.path("bad.db")).unwrap().execute_batch(change).unwrap();
        let output = audit(&files.path("bad.db"));
        assert_eq!(code(&output), 1, "{change}");
        assert!(stdout(&output).contains(told), "{change}: {}", stdout(&output));
    }
}

#[test]
fn a_database_that_is_no_database_is_refused_at_the_start() {
    let files = Files::new();
    let text =
        files.write("notes.txt", &"not a database, but some text that is long enough to be one\n".repeat(40));
    let output =
        run(&["ledger", "serve", "--listen", "127.0.0.1:0", "--database", &format!("sqlite:{text}")]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("cannot open the database"), "{}", stderr(&output));
}

/// An operator at a ledger.
struct Operator {
    address: String,
    token: String,
}

impl Operator {
    fn run(&self, arguments: &[&str]) -> Output {
        let arguments = [arguments, &["--ledger", &self.address]].concat();
        tollgate().args(arguments).env("TOLLGATE_TOKEN", &self.token).output().unwrap()
    }

    /// What a command that ends well prints.
    fn ask(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(code(&output), 0, "{arguments:?}: {}", stderr(&output));
        stdout(&output)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ask(&[arguments, &["--json"]].concat())).unwrap()
    }
}

#[test]
fn an_operator_decides_about_consumers() {
    let files = Files::new();
    let ledger = Served::start(&files.path("ledger.db"));
    let operator =
        Operator { token: token(&files.path("ledger.db"), "operator"), address: ledger.address.clone() };
    // A name may have any characters.
    let name = "team/alice ä?";
    let defined =
        operator.json(&["consumer", "define", name, "--tier", "pro", "--team", "search", "--role", "dev"]);
    assert_eq!((&defined["id"], &defined["roles"]), (&json!(name), &json!(["dev"])));
    let table = operator.ask(&["consumer", "suspend", name, "--reason", "unpaid", "--for", "2h"]);
    assert!(table.contains("suspended") && table.contains("unpaid") && table.contains("pro"), "{table}");
    assert_eq!(operator.json(&["consumer", "list", "--status", "suspended"])["consumers"][0]["id"], name);
    assert_eq!(operator.json(&["consumer", "unsuspend", name])["status_now"], "active");
    assert_eq!(operator.json(&["consumer", "override", name, "gold", "--for", "1d"])["tier_now"], "gold");
    assert_eq!(operator.json(&["consumer", "end-override", name])["tier_now"], "pro");
    let raised = operator.json(&["consumer", "override-limit", name, "rpm", "250", "--for", "1d"]);
    assert_eq!(
        (&raised["limits_now"][0]["limit"], &raised["limits_now"][0]["percent"]),
        (&json!("rpm"), &json!(250))
    );
    let table = operator.ask(&["consumer", "show", name]);
    assert!(table.contains("rpm 250 % until"), "{table}");
    assert!(operator.json(&["consumer", "end-limit-override", name, "rpm"])["limits_now"].is_null());
    assert_eq!(operator.json(&["consumer", "bypass", name])["exempt_now"], true);
    assert_eq!(operator.json(&["consumer", "end-bypass", name])["exempt_now"], false);
    assert_eq!(
        operator.json(&["consumer", "grace", name, "--until", "2099-01-01T00:00:00Z"])["status_now"],
        "grace"
    );
    assert_eq!(operator.json(&["consumer", "reset", name])["resets"], 1);
    assert_eq!(operator.json(&["consumer", "reset-bursts", name])["burst_resets"], 1);
    assert_eq!(operator.json(&["consumer", "tier", name])["tier_now"], Value::Null);
    assert_eq!(operator.json(&["consumer", "show", name])["version"], 13);
    for wrong in [
        ["show", "nobody"].as_slice(),
        &["grace", name],
        &["suspend", name, "--until", "2001-01-01T00:00:00Z"],
    ] {
        assert_eq!(code(&operator.run(&[&["consumer"], wrong].concat())), 2, "{wrong:?}");
    }
    let trail = operator.ask(&["audit", "--action", "suspend"]);
    assert!(trail.contains("token/") && trail.contains(name) && trail.contains("unpaid"), "{trail}");
    assert_eq!(operator.ask(&["audit", "--kind", "consumer", "--json"]).lines().count(), 13);
    assert_eq!(operator.ask(&["audit", "--kind", "consumer", "--format", "csv"]).lines().count(), 14);
    let statistics = operator.json(&["statistics"]);
    assert_eq!(statistics["consumers"][0], json!({"tier": "", "status": "grace", "consumers": 1}));
    assert!(operator.ask(&["statistics"]).contains("grace"));
}

#[test]
fn an_operator_defines_quotas_and_tops_up_balances() {
    let files = Files::new();
    let ledger = Served::start(&files.path("ledger.db"));
    let operator =
        Operator { token: token(&files.path("ledger.db"), "operator"), address: ledger.address.clone() };
    let quota = ["cost-per-month", "--key", "team=search"];
    let with = |command: &str, more: &[&'static str]| {
        operator.json(&[&["quota", command], quota.as_slice(), more].concat())
    };
    let set = with("set", &["--meter", "nano-usd", "--per", "month", "--amount", "100"]);
    assert_eq!((&set["id"], &set["standing"]["left"]), (&json!("cost-per-month/team=search"), &json!(100)));
    assert_eq!(with("top-up", &["--units", "50"])["standing"]["left"], 150);
    assert_eq!(with("override", &["--amount", "1000", "--for", "1h"])["standing"]["left"], 1050);
    assert_eq!(with("end-override", &[])["standing"]["left"], 150);
    assert_eq!(with("show", &[])["version"], 4);
    let table = operator.ask(&["quota", "list", "--team", "search"]);
    assert!(table.contains("cost-per-month/team=search") && table.contains("150"), "{table}");
    let check = |cost: &str| {
        operator.run(&["quota", "check", "--consumer", "a", "--team", "search", "--cost-nusd", cost])
    };
    assert_eq!((code(&check("150")), code(&check("151"))), (0, 1));
    assert!(stdout(&check("151")).contains("150 of 150 left"), "{}", stdout(&check("151")));
    operator.json(&[
        "quota",
        "set",
        "calls",
        "--key",
        "tool=grep",
        "--meter",
        "requests",
        "--per",
        "day",
        "--amount",
        "0",
    ]);
    let of_tool = |tool: &str| operator.run(&["quota", "check", "--consumer", "a", "--tool", tool]);
    assert_eq!((code(&of_tool("grep")), code(&of_tool("sed"))), (1, 0));
    operator.ask(&["quota", "remove", "calls", "--key", "tool=grep"]);
    operator.ask(&["quota", "remove", "cost-per-month", "--key", "team=search"]);
    assert_eq!(operator.json(&["quota", "list"]), json!({"quotas": []}));
}

#[test]
fn an_operator_throws_switches_and_tells_memory() {
    let files = Files::new();
    let ledger = Served::start(&files.path("ledger.db"));
    let operator =
        Operator { token: token(&files.path("ledger.db"), "operator"), address: ledger.address.clone() };
    assert!(operator.ask(&["switch", "show"]).contains("as configured"));
    assert_eq!(operator.json(&["switch", "enforcement", "shadow"])["enforcement"], "shadow");
    assert_eq!(operator.json(&["switch", "reset-bursts"])["burst_resets"], 1);
    assert_eq!(operator.json(&["switch", "enforcement"]), json!({"version": 3, "burst_resets": 1}));
    operator.ask(&["memory", "set", "llama", "--ram-mb", "900"]);
    assert_eq!(
        operator.json(&["memory", "set", "llama", "--ram-mb", "700"])["models"][0]["peak_ram_mb"],
        900
    );
    let table = operator.ask(&["memory", "list"]);
    assert!(table.contains("llama") && table.contains("700"), "{table}");
}

#[test]
fn the_tiers_are_shown_as_the_filters_are_configured() {
    let files = Files::new();
    let policy = files.path("policy.yaml");
    let tiers = json!({"free": {"limits": [{"name": "rpm", "meter": "requests", "rate": {"amount": 5, "per": "minute"}}]}, "open": {}});
    let configuration =
        json!({"identity": {"consumer": [{"header": "x"}], "default_tier": "free"}, "tiers": tiers});
    std::fs::write(&policy, configuration.to_string()).unwrap();
    let database = files.path("ledger.db");
    for (arguments, known) in
        [(["--policy", policy.to_str().unwrap()].as_slice(), true), ([].as_slice(), false)]
    {
        let ledger = Served::start_with(&database, arguments, Some("secret"));
        let operator = Operator { token: token(&database, "operator"), address: ledger.address.clone() };
        assert_eq!(operator.json(&["tiers"])["known"], known);
        let shown = operator.run(&["tiers"]);
        assert_eq!(code(&shown), if known { 0 } else { 2 });
        if known {
            let table = stdout(&shown);
            assert!(
                table.contains("free (default)") && table.contains("rpm") && table.contains("open"),
                "{table}"
            );
        }
    }
}
