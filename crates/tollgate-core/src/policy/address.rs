//! The client's address: of whoever connected, or behind trusted proxies from `x-forwarded-for`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The address as a name for balances: an IPv4 address as it is, an IPv6 address as its /64, because one subscriber
/// has at least that many and could take a fresh one for every request.
///
/// `peer` is Envoy's `source.address`. `forwarded` is `x-forwarded-for` as Envoy passes it on where it appends the
/// peer's address (`use_remote_address: true`); with `hops` trusted proxies the client is so many entries before the
/// last. A list that is too short or holds something else names nobody, and the peer counts.
pub(super) fn client(peer: &str, forwarded: Option<&str>, hops: u8) -> Option<String> {
    let peer = parse(peer)?;
    let behind = (hops > 0)
        .then(|| forwarded?.rsplit(',').nth(usize::from(hops)).map(str::trim).and_then(parse))
        .flatten();
    Some(name(behind.unwrap_or(peer)))
}

fn parse(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bare = || text.trim_start_matches('[').trim_end_matches(']').parse().ok();
    with_port().or_else(bare)
}

fn name(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            format!("{}/64", Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(hops: u8, forwarded: &str) -> Option<String> {
        client("10.0.0.1:4711", Some(forwarded), hops)
    }

    #[test]
    fn without_trusted_hops_only_the_peer_counts() {
        assert_eq!(behind(0, "6.6.6.6, 10.0.0.1").as_deref(), Some("10.0.0.1"));
        assert_eq!(client("192.0.2.7:1", None, 0).as_deref(), Some("192.0.2.7"));
        assert_eq!(client("/run/envoy.sock", None, 0), None, "a local socket has no address");
    }

    #[test]
    fn behind_trusted_hops_an_invented_entry_is_never_reached() {
        assert_eq!(behind(1, "192.0.2.7, 10.0.0.1").as_deref(), Some("192.0.2.7"));
        assert_eq!(behind(1, "6.6.6.6, 192.0.2.7, 10.0.0.1").as_deref(), Some("192.0.2.7"));
        assert_eq!(behind(2, "6.6.6.6, 192.0.2.7, 10.0.0.2, 10.0.0.1").as_deref(), Some("192.0.2.7"));
        assert_eq!(behind(1, "192.0.2.7:80,10.0.0.1").as_deref(), Some("192.0.2.7"));
    }

    #[test]
    fn a_list_that_names_nobody_leaves_the_peer() {
        for (hops, list) in [(1, "10.0.0.1"), (2, "192.0.2.7, 10.0.0.1"), (1, "unknown, 10.0.0.1"), (1, "")] {
            assert_eq!(behind(hops, list).as_deref(), Some("10.0.0.1"), "{list}");
        }
    }

    #[test]
    fn an_ipv6_subscriber_is_one_client() {
        let one = client("[2001:db8:1:2:aaaa::1]:443", None, 0);
        assert_eq!(one.as_deref(), Some("2001:db8:1:2::/64"));
        assert_eq!(one, client("[2001:db8:1:2:bbbb::9]:9", None, 0));
        assert_eq!(client("[::ffff:192.0.2.7]:443", None, 0).as_deref(), Some("192.0.2.7"));
    }
}
