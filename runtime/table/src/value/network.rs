//! Networks and client addresses.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why a text is no network.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NetworkError {
    /// Neither an address nor a prefix.
    #[error("no address or network: write `192.0.2.7`, `192.0.2.0/24` or `2001:db8::/32`")]
    Syntax,
    /// Bits are set to the right of the prefix. Carries the network that was probably meant.
    #[error("bits are set beyond the prefix; the network is `{0}`")]
    HostBits(IpNet),
}

/// Reads an address (a network of one) or a prefix. A v4-mapped IPv6 address becomes IPv4.
///
/// # Errors
/// Says what is wrong; [`NetworkError::HostBits`] carries the canonical network.
pub fn parse_network(text: &str) -> Result<IpNet, NetworkError> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(canonical_ip(ip)));
    }
    let net: IpNet = text.parse().map_err(|_| NetworkError::Syntax)?;
    let net = match net {
        IpNet::V6(v6) if v6.prefix_len() >= 96 && v6.addr().to_ipv4_mapped().is_some() => {
            let v4 = v6.addr().to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED);
            IpNet::new(IpAddr::V4(v4), v6.prefix_len() - 96).map_err(|_| NetworkError::Syntax)?
        }
        net => net,
    };
    if net.trunc() == net { Ok(net) } else { Err(NetworkError::HostBits(net.trunc())) }
}

/// A client address as rules see it: v4-mapped IPv6 is IPv4.
#[must_use]
pub fn canonical_ip(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

/// The key under which limits count a client: the IPv4 address, or the IPv6 /64.
#[must_use]
pub fn client_key(ip: IpAddr) -> IpAddr {
    match canonical_ip(ip) {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        assert_eq!(parse_network("192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
        assert_eq!(parse_network("::ffff:192.0.2.0/120").unwrap().to_string(), "192.0.2.0/24");
        assert_eq!(
            parse_network("192.0.2.1/24"),
            Err(NetworkError::HostBits("192.0.2.0/24".parse().unwrap()))
        );
        assert_eq!(parse_network("example.com"), Err(NetworkError::Syntax));
        assert_eq!(client_key("2001:db8::1:2:3:4".parse().unwrap()).to_string(), "2001:db8::");
    }
}
