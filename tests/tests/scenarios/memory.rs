//! The memory of model servers: told in their answers, or by an operator through the ledger.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tollgate_e2e::http_client::Call;
use tollgate_e2e::scene::{CLAUDE_MODEL, LedgerScene, OPENAI_MODEL, Scene, chat_from, policy};
use tollgate_e2e::wait;

/// Limits of 2,048 MB RAM and 16,384 MB SSD for each model, and somebody they do not hold.
fn limits_of_memory() -> Value {
    let mut policy = policy(json!([]));
    policy["limits"] = json!([
        {"name": "ram", "meter": "ram", "memory_mb": 2048},
        {"name": "ssd", "meter": "ssd", "memory_mb": 16384},
    ]);
    policy["load"] = json!({"ram": "named_metrics.ram_mb", "ssd": "named_metrics.ssd_mb"});
    policy["access"] = json!({"exempt": {"consumers": ["operator"]}});
    policy
}

/// `named_metrics` of an `xds.data.orca.v3.OrcaLoadReport`, in base64.
fn binary(ram: u32, ssd: u32) -> String {
    let mut report = Vec::new();
    for (name, value) in [("ram_mb", ram), ("ssd_mb", ssd)] {
        let mut entry = vec![0x0a, name.len() as u8];
        entry.extend(name.as_bytes());
        entry.push(0x11);
        entry.extend(f64::from(value).to_le_bytes());
        report.extend([0x42, entry.len() as u8]);
        report.extend(entry);
    }
    BASE64_STANDARD.encode(report)
}

/// The forms of a report: what makes the model server send it.
fn reports(ram: u32, ssd: u32) -> [(&'static str, String); 4] {
    [
        ("x-mock-load", format!(r#"JSON {{"named_metrics": {{"ram_mb": {ram}, "ssd_mb": {ssd}}}}}"#)),
        ("x-mock-load", format!("TEXT named_metrics.ram_mb={ram}, named_metrics.ssd_mb={ssd}")),
        ("x-mock-load", format!("BIN {}", binary(ram, ssd))),
        ("x-mock-load-bin", binary(ram, ssd)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_without_memory_is_spared_in_whatever_form_its_server_says_so() {
    let scene = Scene::standalone(limits_of_memory(), 4).await;
    for (form, http2) in (0..4).zip([false, true, false, true]) {
        let ask = async |call: Call| {
            let answer = scene.envoy.send(&if http2 { call.http2() } else { call }).await;
            let told = ["endpoint-load-metrics", "endpoint-load-metrics-bin"].map(|name| answer.header(name));
            assert_eq!(told, [None, None], "not the client's to know");
            (answer.status, answer.limit())
        };
        let report = async |ram, ssd| {
            let (header, value) = reports(ram, ssd)[form].clone();
            assert_eq!(ask(chat_from("operator").header(header, value)).await, (200, None));
        };
        for (ram, ssd, expected) in [
            (2048, 16384, (200, None)),
            (2049, 16384, (429, Some("ram".to_owned()))),
            (2048, 16384, (200, None)),
            (0, 16385, (429, Some("ssd".to_owned()))),
            (0, 0, (200, None)),
        ] {
            report(ram, ssd).await;
            assert_eq!(ask(chat_from("alice")).await, expected, "form {form}: {ram} MB RAM, {ssd} MB SSD");
        }
        report(9999, 0).await;
        let other = Call::anthropic(CLAUDE_MODEL, 1, 10).header("x-consumer", "alice");
        assert_eq!(ask(other).await, (200, None), "{OPENAI_MODEL} is short of memory, not this one");
        report(0, 0).await;
    }
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_tells_of_a_models_memory_spares_it_in_every_worker() {
    let scene = LedgerScene::example(4, |policy| {
        for (section, value) in limits_of_memory().as_object().unwrap() {
            policy.insert(section.clone(), value.clone());
        }
        policy["policies"] = json!({});
    })
    .await;
    let tell = |ram: &str, ssd: &str| {
        let arguments = ["memory", "set", OPENAI_MODEL, "--ram-mb", ram, "--ssd-mb", ssd];
        scene.ledger.command(&arguments).unwrap_or_else(|error| panic!("{error:#}"));
    };
    for (ram, ssd, limit) in
        [("2049", "0", Some("ram")), ("2048", "16385", Some("ssd")), ("2048", "16384", None)]
    {
        tell(ram, ssd);
        wait::until(
            &format!("{ram} MB RAM and {ssd} MB SSD to be known"),
            || scene.envoy.logs(),
            async || {
                let answers = scene.envoy.send_all(vec![chat_from("alice"); 16]).await;
                answers.iter().all(|answer| answer.limit().as_deref() == limit).then_some(())
            },
        )
        .await;
        let other = Call::anthropic(CLAUDE_MODEL, 1, 10).header("x-consumer", "alice");
        assert_eq!(scene.envoy.send(&other).await.status, 200, "nothing was told of this model");
    }
    scene.envoy.assert_no_trap();
}
