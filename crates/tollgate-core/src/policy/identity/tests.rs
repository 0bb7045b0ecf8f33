//! Who is asking.

use super::super::config::{Address, JwtSource};
use super::*;

#[derive(Default)]
struct Request(Vec<(&'static str, &'static str)>, Option<&'static str>);

impl Lookup for Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    fn claim(&self, payload: &str, claim: &str) -> Option<Vec<u8>> {
        match (payload, claim) {
            ("p", "sub") => self.1.map(Vec::from),
            // A list: its count, the lengths of three keys without values, the texts.
            ("p", "groups") => {
                let mut list =
                    vec![3, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0];
                list.extend(b"staff\0\0pro\0\0free\0\0");
                Some(list)
            }
            ("p", "number") => Some(42f64.to_le_bytes().to_vec()),
            _ => None,
        }
    }

    fn certificate(&self, field: Certificate) -> Option<String> {
        (field == Certificate::UriSan).then(|| "spiffe://acme/team-a".into())
    }

    fn peer(&self) -> Option<String> {
        Some("10.0.0.1:4711".into())
    }
}

fn identity(unknown: UnknownKey) -> Identity {
    let digest: [u8; 32] = Sha256::digest(b"secret").into();
    let key = KnownKey {
        consumer: "alice".into(),
        tier: Some("pro".into()),
        team: Some("search".into()),
        project: None,
    };
    Identity {
        consumer: vec![
            Source::Jwt(JwtSource { payload: "p".into(), claim: "sub".into() }),
            Source::ApiKey(ApiKeySource { headers: vec![], unknown }),
            Source::Header("x-user".into()),
        ],
        tier: vec![Source::Header("x-tier".into())],
        keys: [(digest, key)].into_iter().collect(),
        tiers: vec!["free".into(), "pro".into()],
        default_tier: "free".into(),
        ..Identity::default()
    }
}

#[test]
fn the_first_source_that_yields_a_value_wins() {
    let all = Request(vec![("authorization", "Bearer secret"), ("x-user", "bob")], Some("jane"));
    assert_eq!(identity(UnknownKey::Ignore).resolve(&all).unwrap().consumer, "jane");
    let key = Request(vec![("authorization", "bearer secret"), ("x-user", "bob")], None);
    let caller = identity(UnknownKey::Ignore).resolve(&key).unwrap();
    assert_eq!(
        (caller.consumer.as_str(), caller.tier.as_str(), caller.team.as_str()),
        ("alice", "pro", "search")
    );
    let header = Request(vec![("x-user", " bob "), ("x-tier", "gold")], None);
    let caller = identity(UnknownKey::Ignore).resolve(&header).unwrap();
    assert_eq!(
        (caller.consumer.as_str(), caller.tier.as_str()),
        ("bob", "free"),
        "an unknown tier is the default"
    );
}

#[test]
fn an_unknown_key_is_nobody_unless_the_endpoint_checks_keys_itself() {
    let request = Request(vec![("x-api-key", "invented")], None);
    assert_eq!(identity(UnknownKey::Ignore).resolve(&request), Err(Unidentified));
    let consumer = identity(UnknownKey::Accept).resolve(&request).unwrap().consumer;
    assert!(consumer.starts_with("key-") && consumer.len() == 20 && !consumer.contains("invented"));
}

#[test]
fn an_empty_or_endless_name_is_nobody() {
    let endless: &'static str = Box::leak("x".repeat(NAME_BYTES_MAX + 1).into_boxed_str());
    for value in ["", " ", endless] {
        assert_eq!(
            identity(UnknownKey::Ignore).resolve(&Request(vec![("x-user", value)], None)),
            Err(Unidentified)
        );
    }
}

#[test]
fn the_unidentified_get_the_configured_identity() {
    let anonymous = Caller { consumer: "anonymous".into(), tier: "free".into(), ..Caller::default() };
    let identity = Identity { anonymous: Some(anonymous.clone()), ..identity(UnknownKey::Ignore) };
    assert_eq!(identity.resolve(&Request(vec![], None)), Ok(anonymous));
}

fn jwt(claim: &str) -> Source {
    Source::Jwt(JwtSource { payload: "p".into(), claim: claim.into() })
}

#[test]
fn of_a_list_of_groups_the_first_that_is_a_tier_counts_and_all_are_roles() {
    let identity = Identity {
        tier: vec![jwt("groups")],
        roles: vec![Source::Header("x-roles".into()), jwt("groups")],
        ..identity(UnknownKey::Ignore)
    };
    let caller = identity.resolve(&Request(vec![("x-user", "bob")], None)).unwrap();
    assert_eq!((caller.tier.as_str(), caller.roles.join(" ").as_str()), ("pro", "staff pro free"));
    let named = Request(vec![("x-user", "bob"), ("x-roles", "admin, ,ops")], None);
    assert_eq!(identity.resolve(&named).unwrap().roles, ["admin", "ops"]);
}

#[test]
fn every_attribute_can_come_from_any_kind_of_source() {
    let identity = Identity {
        consumer: vec![Source::Certificate(Certificate::DnsSan), Source::Certificate(Certificate::UriSan)],
        project: vec![jwt("number")],
        region: vec![jwt("nothing"), Source::Header("x-region".into())],
        interface: vec![Source::Header("x-interface".into())],
        address: true,
        trusted_hops: 1,
        ..identity(UnknownKey::Ignore)
    };
    let headers =
        [("x-region", "eu"), ("x-interface", "telegram"), ("x-forwarded-for", "192.0.2.7, 10.0.0.1")];
    let caller = identity.resolve(&Request(headers.to_vec(), None)).unwrap();
    assert_eq!((caller.consumer.as_str(), caller.project.as_str()), ("spiffe://acme/team-a", "42"));
    assert_eq!((caller.region.as_str(), caller.interface.as_str()), ("eu", "telegram"));
    assert_eq!(caller.address, "192.0.2.7");
}

#[test]
fn the_address_can_be_the_consumer() {
    let identity = Identity { consumer: vec![Source::Address(Address {})], ..identity(UnknownKey::Ignore) };
    let forged = Request(vec![("x-forwarded-for", "6.6.6.6")], None);
    assert_eq!(identity.resolve(&forged).unwrap().consumer, "10.0.0.1", "no proxy is trusted");
}

#[test]
fn a_role_too_many_or_too_long_is_left_out() {
    let identity = Identity { roles: vec![Source::Header("x-roles".into())], ..identity(UnknownKey::Ignore) };
    let of = |roles: String| {
        let roles: &'static str = Box::leak(roles.into_boxed_str());
        identity.resolve(&Request(vec![("x-user", "bob"), ("x-roles", roles)], None)).unwrap().roles
    };
    assert_eq!(of(vec!["r"; ROLES_MAX].join(",")).len(), ROLES_MAX);
    assert_eq!(of(vec!["r"; ROLES_MAX + 1].join(",")).len(), ROLES_MAX);
    assert_eq!(of("x".repeat(NAME_BYTES_MAX)).len(), 1);
    assert_eq!(of("x".repeat(NAME_BYTES_MAX + 1)).len(), 0);
}
