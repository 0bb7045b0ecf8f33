//! Whatever stands in headers, claims, certificates and addresses, a caller has a name that can be kept and a tier that
//! exists.

use tollgate_core::policy::config::Certificate;
use tollgate_core::policy::{Lookup, Policy};

/// The pieces of the input between newlines: a claim, headers, a certificate and an address.
struct Request<'a> {
    claim: &'a [u8],
    texts: Vec<&'a str>,
}

impl Request<'_> {
    fn text(&self, at: usize) -> Option<&str> {
        self.texts.get(at).copied().filter(|text| !text.is_empty())
    }
}

impl Lookup for Request<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        let headers = ["authorization", "x-user", "x-forwarded-for", "x-tier", "x-roles", "x-region"];
        self.text(headers.iter().position(|header| *header == name)?)
    }

    fn claim(&self, _: &str, _: &str) -> Option<Vec<u8>> {
        (!self.claim.is_empty()).then(|| self.claim.to_vec())
    }

    fn certificate(&self, field: Certificate) -> Option<String> {
        self.text(6 + field as usize).map(str::to_owned)
    }

    fn peer(&self) -> Option<String> {
        self.text(9).map(str::to_owned)
    }
}

fn policy(consumer: serde_json::Value, unknown: &str) -> Policy {
    Policy::from_json(serde_json::json!({
        "identity": {
            "consumer": [consumer],
            "team": [{"certificate": "dns_san"}, {"jwt": {"payload": "p", "claim": "team"}}],
            "project": [{"certificate": "subject"}],
            "tier": [{"header": "x-tier"}, {"jwt": {"payload": "p", "claim": "tier"}}],
            "roles": [{"jwt": {"payload": "p", "claim": "roles"}}, {"header": "x-roles"}],
            "region": [{"header": "x-region"}],
            "default_tier": "free",
            "trusted_hops": 1,
            "unidentified": if unknown == "refuse" { unknown.into() } else {
                serde_json::json!({"consumer": "anonymous", "tier": "pro"})
            },
        },
        "tiers": {"free": {}, "pro": {}},
        "limits": [{
            "name": "l", "meter": "requests", "rate": {"amount": 1, "per": "second"}, "key": ["address"],
        }],
    }))
    .expect("the policy of this target is valid")
}

thread_local! {
    static POLICIES: Vec<Policy> = [
        serde_json::json!({"jwt": {"payload": "p", "claim": "sub"}}),
        serde_json::json!({"api_key": {"unknown": "accept"}}),
        serde_json::json!({"header": "x-user"}),
        serde_json::json!({"certificate": "uri_san"}),
        serde_json::json!({"address": {}}),
    ]
    .into_iter()
    .flat_map(|source| [policy(source.clone(), "refuse"), policy(source, "admit")])
    .collect();
}

pub fn check(bytes: &[u8]) {
    let mut pieces = bytes.split(|byte| *byte == b'\n');
    let claim = pieces.next().unwrap_or_default();
    let texts = pieces.map(|piece| core::str::from_utf8(piece).unwrap_or_default()).collect();
    let request = Request { claim, texts };
    POLICIES.with(|policies| {
        for policy in policies {
            let Ok(caller) = policy.identity.resolve(&request) else { continue };
            let usable = |name: &str| !name.is_empty() && name.len() <= 256;
            assert!(usable(&caller.consumer), "a consumer without a name");
            assert!(policy.tier(&caller.tier).is_some(), "a tier there is not: {}", caller.tier);
            for name in [&caller.team, &caller.project, &caller.region] {
                assert!(name.is_empty() || usable(name));
            }
            assert!(caller.roles.len() <= 64 && caller.roles.iter().all(|role| usable(role)));
            let address = caller.address.trim_end_matches("/64");
            assert!(address.is_empty() || address.parse::<std::net::IpAddr>().is_ok());
        }
    });
}
