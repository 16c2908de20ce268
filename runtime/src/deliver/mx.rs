//! The servers of a domain: MX in order of preference, its own address where there is none
//! (RFC 5321 5.1), nobody where a null MX says so (RFC 7505).

use super::client::Trouble;
use edict_table::model::Host;
use edict_table::value::domain::literal_ip;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

/// The most servers of a domain that are looked at. How many of them are tried is for whoever connects to say: one without
/// an address is none.
const MAX_HOSTS: usize = 100;

/// Asks name servers for the servers of domains and their addresses.
pub struct Exchanges {
    resolver: OnceLock<TokioResolver>,
    /// Who is asked; the system's where empty.
    servers: Vec<SocketAddr>,
    /// Where the servers of domains listen.
    port: u16,
}

impl Default for Exchanges {
    fn default() -> Self {
        Self::new(Vec::new(), 25)
    }
}

impl std::fmt::Debug for Exchanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchanges").field("servers", &self.servers).finish_non_exhaustive()
    }
}

impl Exchanges {
    /// Asks these name servers, the system's where there are none; servers of domains listen at `port`.
    #[must_use]
    pub fn new(servers: Vec<SocketAddr>, port: u16) -> Self {
        Self { resolver: OnceLock::new(), servers, port }
    }

    /// The servers for a domain in normal form, best first; ours and worse ones left out.
    ///
    /// # Errors
    /// [`Trouble::Never`] where the domain takes no mail; [`Trouble::Connect`] when DNS does not say.
    pub async fn hosts(&self, domain: &str, ourselves: &str) -> Result<Vec<Host>, Trouble> {
        if let Some(ip) = literal_ip(domain) {
            return Ok(vec![Host { name: ip.to_string(), port: self.port }]);
        }
        let failed = |e: String| Trouble::Connect(domain.to_owned(), e);
        let found = match self.resolver().map_err(failed)?.mx_lookup(format!("{domain}.")).await {
            Ok(found) => {
                let of = |data: &RData| match data {
                    RData::MX(mx) => Some((mx.preference, mx.exchange.to_ascii())),
                    _ => None,
                };
                found.answers().iter().filter_map(|record| of(&record.data)).collect()
            }
            Err(error) if error.is_nx_domain() => {
                return Err(Trouble::Never((5, 1, 2), format!("the domain {domain} does not exist")));
            }
            Err(error) if error.is_no_records_found() => Vec::new(),
            Err(error) => return Err(failed(error.to_string())),
        };
        order(domain, found, ourselves, self.port)
    }

    /// The addresses of a host, at most so many: IPv6 and IPv4 in turn, so that one of each is tried early. A name that
    /// DNS gave is whole. None: DNS says that there are none.
    ///
    /// # Errors
    /// What is to be told.
    pub async fn addresses(&self, host: &Host, by_mx: bool, most: usize) -> Result<Vec<SocketAddr>, String> {
        if let Ok(ip) = host.name.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, host.port)]);
        }
        let name = asked(&host.name, by_mx);
        let found: Result<Vec<IpAddr>, String> = if self.servers.is_empty() {
            // The system's way: its files of hosts count too.
            let found = tokio::net::lookup_host((name.as_str(), host.port)).await;
            found.map(|found| found.map(|address| address.ip()).collect()).map_err(|e| e.to_string())
        } else {
            let found = self.resolver()?.lookup_ip(name.as_str()).await;
            found.map(|found| found.iter().collect()).map_err(|e| e.to_string())
        };
        let found = match found {
            Err(_) if by_mx && self.has_none(&name).await => Vec::new(),
            found => found?,
        };
        Ok(in_turn(found).into_iter().take(most).map(|ip| SocketAddr::new(ip, host.port)).collect())
    }

    /// Whether DNS says of both kinds of addresses that there are none. A lookup of both says so too where one of them
    /// cannot be told.
    async fn has_none(&self, name: &str) -> bool {
        let Ok(resolver) = self.resolver() else { return false };
        let none = |error: &NetError| error.is_nx_domain() || error.is_no_records_found();
        let (four, six) = (resolver.ipv4_lookup(name).await, resolver.ipv6_lookup(name).await);
        four.is_err_and(|e| none(&e)) && six.is_err_and(|e| none(&e))
    }

    fn resolver(&self) -> Result<&TokioResolver, String> {
        if let Some(resolver) = self.resolver.get() {
            return Ok(resolver);
        }
        let built = if self.servers.is_empty() {
            TokioResolver::builder_tokio().map_err(|e| e.to_string())?.build()
        } else {
            let servers = self.servers.iter().map(|server| {
                let mut connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
                for connection in &mut connections {
                    connection.port = server.port();
                }
                NameServerConfig::new(server.ip(), true, connections.into())
            });
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
            builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
            builder.build()
        };
        let built = built.map_err(|e| e.to_string())?;
        Ok(self.resolver.get_or_init(|| built))
    }
}

/// The name that is looked up. One out of DNS gets its last dot: the system would else try it below its own domains too
/// (RFC 5321 5.1: relays make no such inferences).
fn asked(name: &str, by_mx: bool) -> String {
    if by_mx { format!("{name}.") } else { name.to_owned() }
}

/// IPv6 and IPv4 one after the other, each kind in its order, the kind of the first one first.
fn in_turn(found: Vec<IpAddr>) -> Vec<IpAddr> {
    let first = found.first().is_some_and(IpAddr::is_ipv6);
    let (own, other): (Vec<IpAddr>, Vec<IpAddr>) = found.into_iter().partition(|ip| ip.is_ipv6() == first);
    let mut other = other.into_iter();
    let mut out = Vec::new();
    for ip in own {
        out.push(ip);
        out.extend(other.next());
    }
    out.extend(other);
    out
}

/// Puts MX records in the order in which they are tried.
fn order(
    domain: &str,
    mut found: Vec<(u16, String)>,
    ourselves: &str,
    port: u16,
) -> Result<Vec<Host>, Trouble> {
    if found.is_empty() {
        return Ok(vec![Host { name: domain.to_owned(), port }]);
    }
    for (_, name) in &mut found {
        *name = name.trim_end_matches('.').to_ascii_lowercase();
    }
    if found.iter().all(|(_, name)| name.is_empty()) {
        return Err(Trouble::Never((5, 1, 10), format!("the domain {domain} takes no mail (null MX)")));
    }
    found.retain(|(_, name)| !name.is_empty());
    // Equal ones share the load.
    fastrand::shuffle(&mut found);
    found.sort_by_key(|(preference, _)| *preference);
    let our_place = found.iter().find(|(_, name)| name.eq_ignore_ascii_case(ourselves)).map(|(p, _)| *p);
    if let Some(ours) = our_place {
        found.retain(|(preference, _)| *preference < ours);
        if found.is_empty() {
            return Err(Trouble::Never((5, 4, 6), format!("mail for {domain} loops back to this server")));
        }
    }
    found.truncate(MAX_HOSTS);
    Ok(found.into_iter().map(|(_, name)| Host { name, port }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(found: &[(u16, &str)]) -> Result<Vec<String>, Trouble> {
        let found = found.iter().map(|(p, n)| (*p, (*n).to_owned())).collect();
        order("d.example", found, "mx.us.example", 25)
            .map(|hosts| hosts.into_iter().map(|h| h.name).collect())
    }

    /// RFC 5321 5.1, RFC 7505.
    #[test]
    fn orders() {
        assert_eq!(names(&[]).unwrap(), ["d.example"]);
        assert_eq!(names(&[(20, "B.example."), (10, "a.example.")]).unwrap(), ["a.example", "b.example"]);
        assert!(matches!(names(&[(0, ".")]), Err(Trouble::Never((5, 1, 10), _))));
        assert_eq!(names(&[(0, "."), (5, "a.example.")]).unwrap(), ["a.example"]);
        assert_eq!(names(&[(10, "a."), (20, "MX.us.example."), (20, "c."), (30, "d.")]).unwrap(), ["a"]);
        assert!(matches!(names(&[(10, "mx.us.example.")]), Err(Trouble::Never((5, 4, 6), _))));
        assert_eq!(names(&[(1, "x.example."); 300]).unwrap().len(), MAX_HOSTS);
    }

    /// RFC 5321 5.1: equal ones are drawn by lot, so that each of them is first now and then.
    #[test]
    fn equal_ones_share_the_load() {
        let found = [(20, "c."), (10, "a."), (10, "b.")];
        // That one of them never comes first has a chance of one to 2^63.
        let draws: Vec<Vec<String>> = (0..64).map(|_| names(&found).unwrap()).collect();
        for (first, second) in [("a", "b"), ("b", "a")] {
            assert!(draws.iter().any(|hosts| *hosts == [first, second, "c"]), "{first} is never first");
        }
        assert!(draws.iter().all(|hosts| hosts.len() == 3 && hosts[2] == "c"), "a worse one is");
    }

    /// RFC 5321 5.1.
    #[test]
    fn names_out_of_dns_are_whole() {
        assert_eq!(asked("mx.d.example", true), "mx.d.example.");
        assert_eq!(asked("relay", false), "relay");
    }

    #[test]
    fn both_kinds_of_addresses_have_their_turn() {
        let ips = |text: &str| text.split(' ').map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
        assert_eq!(in_turn(ips("::1 ::2 ::3 1.1.1.1")), ips("::1 1.1.1.1 ::2 ::3"));
        assert_eq!(in_turn(ips("1.1.1.1 ::1 ::2")), ips("1.1.1.1 ::1 ::2"));
        assert!(in_turn(Vec::new()).is_empty());
    }

    #[tokio::test]
    async fn literals_need_no_lookup() {
        let hosts = Exchanges::default().hosts("[ipv6:2001:db8::1]", "us").await.unwrap();
        assert_eq!(hosts, [Host { name: "2001:db8::1".to_owned(), port: 25 }]);
    }
}
