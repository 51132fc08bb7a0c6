//! Decides which addresses belong to a private network or to this machine.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks whose addresses are not reached over the public internet. Most of them are in IANA's registries
/// of special-purpose addresses (RFC 6890). Addresses for examples and for multicast are not in this list.
const PRIVATE: [&str; 16] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    // Addresses for special protocols (RFC 6890) and for measurements of networks (RFC 2544). Some
    // organisations use them as private addresses.
    "192.0.0.0/24",
    "198.18.0.0/15",
    // Reserved addresses (RFC 1112) and the broadcast address.
    "240.0.0.0/4",
    "::/128",
    "::1/128",
    // Addresses for the translation of IPv4 addresses within one network (RFC 8215).
    "64:ff9b:1::/48",
    "fc00::/7",
    "fe80::/10",
    // The former private addresses (RFC 3879).
    "fec0::/10",
];

/// Returns true if an address may belong to a private network, to this machine or to the local link. Also
/// returns true for an IPv6 address that contains such an IPv4 address in one of the forms that `v4_within`
/// reads.
pub fn is_private(address: IpAddr) -> bool {
    let within = match address {
        IpAddr::V6(v6) => v4_within(v6),
        IpAddr::V4(_) => [None; 2],
    };
    let is_in = |address: IpAddr, network: &str| {
        network.parse::<IpNet>().is_ok_and(|network| network.contains(&address))
    };
    let mut all = within.into_iter().flatten().map(IpAddr::V4).chain([address]);
    all.any(|address| PRIVATE.iter().any(|network| is_in(address, network)))
}

/// Returns the IPv4 addresses to which packets for an IPv6 address may be sent. Only some IPv6 addresses
/// contain IPv4 addresses: mapped and compatible addresses (RFC 4291, section 2.5.5), and the addresses of
/// NAT64 (RFC 6052, section 2.1), of 6to4 (RFC 3056, section 2) and of Teredo (RFC 4380, section 4). A Teredo
/// address contains the address of a server and, with inverted bits, the address of a client.
fn v4_within(v6: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let octets = v6.octets();
    let at = |from: usize| Ipv4Addr::new(octets[from], octets[from + 1], octets[from + 2], octets[from + 3]);
    match v6.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => [Some(at(12)), None],
        [0x2002, ..] => [Some(at(2)), None],
        [0x2001, 0, ..] => [Some(at(4)), Some(Ipv4Addr::from_bits(!at(12).to_bits()))],
        _ => [None; 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_private_networks_are_known_in_every_form() {
        for (address, private) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("0.0.0.0", true),
            ("10.1.2.3", true),
            ("172.16.0.1", true),
            ("172.32.0.1", false),
            ("192.168.255.1", true),
            ("192.169.0.1", false),
            ("169.254.169.254", true),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("8.8.8.8", false),
            ("::1", true),
            ("::", true),
            ("fe80::1", true),
            ("fd00::1", true),
            ("2001:4860:4860::8888", false),
            ("::ffff:127.0.0.1", true),
            ("::ffff:8.8.8.8", false),
            ("64:ff9b::10.0.0.1", true),
            ("64:ff9b::8.8.8.8", false),
            ("2002:7f00:1::", true),
            ("2002:808:808::", false),
            ("192.0.0.8", true),
            ("192.0.2.1", false),
            ("198.18.0.1", true),
            ("198.19.255.255", true),
            ("198.20.0.1", false),
            ("240.0.0.1", true),
            ("255.255.255.255", true),
            ("224.0.0.1", false),
            ("fec0::1", true),
            ("64:ff9b:1::808:808", true),
            ("64:ff9b:2::1", false),
            ("::10.1.1.1", true),
            ("::8.8.8.8", false),
            // Teredo addresses. In the first address, the client 10.0.0.1 is private. In the second address,
            // the server and the client are public. In the third address, the server is private.
            ("2001:0:808:808:0:ffff:f5ff:fffe", true),
            ("2001:0:808:808:0:ffff:f7f7:f7f7", false),
            ("2001:0:a00:1:0:ffff:f7f7:f7f7", true),
        ] {
            assert_eq!(is_private(address.parse().expect(address)), private, "{address}");
        }
    }
}
