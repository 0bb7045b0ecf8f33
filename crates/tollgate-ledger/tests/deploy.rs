//! What people deploy, as far as it can be checked without a container engine: the files parse, name each other as they should, and
//! give the command options that it knows. That the database's part works is `tests/tests/cluster.rs`, with real processes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::str::FromStr;

use serde_json::Value;

fn read(path: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../envoy").join(path);
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn the_compose_file_has_three_ledgers_over_a_primary_with_two_synchronous_standbys() {
    let compose = read("compose/postgres-cluster.yaml");
    let services = compose["services"].as_object().unwrap();
    let (ledgers, databases): (Vec<_>, Vec<_>) = services.keys().partition(|name| name.starts_with("ledger"));
    assert_eq!((ledgers.len(), databases.len()), (3, 3));
    for service in services.values() {
        assert!(service["image"].is_string(), "{service}");
        for other in service["depends_on"].as_object().into_iter().flat_map(|map| map.keys()) {
            assert!(services[other]["healthcheck"]["test"].is_array(), "{other}");
        }
    }
    // Who commits waits for one of the standbys, by the names that they connect with: their hosts'.
    let script = compose["configs"]["replication"]["content"].as_str().unwrap();
    let awaited = script.split_once("ANY 1 (").unwrap().1.split_once(')').unwrap().0;
    let awaited: BTreeSet<&str> = awaited.split(", ").collect();
    let hosts = services.values().filter_map(|service| service["hostname"].as_str()).collect::<BTreeSet<_>>();
    assert_eq!(awaited, hosts);
    let standby = texts(&services["standby1"]["command"])[2];
    assert!(standby.contains("application_name=$$(hostname)") && standby.contains("host=primary"));
}

#[test]
fn the_ledgers_of_the_compose_file_know_every_database_and_their_own_options() {
    let compose = read("compose/postgres-cluster.yaml");
    let services = compose["services"].as_object().unwrap();
    for (_, ledger) in services.iter().filter(|(name, _)| name.starts_with("ledger")) {
        let url = ledger["environment"]["TOLLGATE_DATABASE"].as_str().unwrap();
        let url = url.replace("${POSTGRES_PASSWORD:?set a password}", "secret");
        let config = tokio_postgres::Config::from_str(&url).unwrap();
        let hosts: BTreeSet<String> = config
            .get_hosts()
            .iter()
            .map(|host| match host {
                tokio_postgres::config::Host::Tcp(name) => name.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        let databases = services.keys().filter(|name| !name.starts_with("ledger")).cloned().collect();
        assert_eq!(hosts, databases);
        // An option that it does not know comes before the help.
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        let output = command.args(texts(&ledger["command"])).arg("--help").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn envoys_cluster_has_the_ledgers_of_the_compose_file() {
    let (compose, cluster) = (read("compose/postgres-cluster.yaml"), read("ledger-cluster.yaml"));
    let ledgers: BTreeSet<(&str, u64)> = compose["services"]
        .as_object()
        .unwrap()
        .keys()
        .filter(|name| name.starts_with("ledger"))
        .map(|name| (&**name, 8090))
        .collect();
    let endpoints = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"].as_array().unwrap();
    let found: BTreeSet<(&str, u64)> = endpoints
        .iter()
        .map(|endpoint| {
            let address = &endpoint["endpoint"]["address"]["socket_address"];
            (address["address"].as_str().unwrap(), address["port_value"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(found, ledgers);
    for (_, service) in
        compose["services"].as_object().unwrap().iter().filter(|(name, _)| name.starts_with("ledger"))
    {
        assert!(texts(&service["command"]).contains(&"0.0.0.0:8090"));
    }
}
