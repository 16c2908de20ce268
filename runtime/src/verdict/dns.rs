//! Answers lookups from DNS: names, resolvable domains, DNS lists.
//!
//! Cached; each question has a time of its own, after which it is unknown. A list that errs or is silent
//! counts as not listed, and the log says so. SPF, DKIM and DMARC are asked for by [`ask`] with the same resolver.

use super::authentic::ask;
use super::lookup::{Answer, Answering, Question, Resolver};
use edict_table::facts::Slot;
use edict_table::value::Domain;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::time::timeout;

/// The time for one question, all its lookups together.
const PATIENCE: Duration = Duration::from_secs(8);
/// How many times as long SPF, DKIM and DMARC of a message may take: they ask many names one after the other
/// (RFC 7208 4.6.4 wants at least 20 seconds).
const LONGER: u32 = 3;
/// The most reverse names of an address that are confirmed.
const MAX_NAMES: usize = 5;
/// What an SPF macro for the receiver's name becomes (RFC 7208 7.3): records must not depend on it.
const OUR_NAME: &str = "unknown";
/// Answers kept.
const CACHE: u64 = 16_384;

/// Why the resolver cannot be set up.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("cannot set up the resolver: {0}")]
pub struct DnsError(String);

/// A resolver.
pub struct Dns {
    resolver: TokioResolver,
    patience: Duration,
}

impl std::fmt::Debug for Dns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dns").field("patience", &self.patience).finish_non_exhaustive()
    }
}

fn tune(options: &mut ResolverOpts, patience: Duration) {
    options.cache_size = CACHE;
    options.timeout = patience / 3;
    options.attempts = 2;
    // A domain that was just set up must not stay unknown for a day.
    options.negative_max_ttl = Some(Duration::from_secs(300));
    options.positive_max_ttl = Some(Duration::from_secs(86_400));
}

/// What a lookup came to: records, none for sure, or nobody can tell.
enum Found {
    Some(Vec<RData>),
    None,
    Unknown,
}

impl Dns {
    /// Asks the servers that the system names.
    ///
    /// # Errors
    /// When the system names none that can be read.
    pub fn system() -> Result<Self, DnsError> {
        let mut builder = TokioResolver::builder_tokio().map_err(|e| DnsError(e.to_string()))?;
        tune(builder.options_mut(), PATIENCE);
        let resolver = builder.build().map_err(|e| DnsError(e.to_string()))?;
        Ok(Self { resolver, patience: PATIENCE })
    }

    /// Asks these servers.
    ///
    /// # Errors
    /// When the resolver cannot be built.
    pub fn with_servers(servers: &[SocketAddr]) -> Result<Self, DnsError> {
        Self::patient(servers, PATIENCE)
    }

    /// Asks one server, each question for at most `patience`.
    ///
    /// # Errors
    /// When the resolver cannot be built.
    pub fn with_server(server: SocketAddr, patience: Duration) -> Result<Self, DnsError> {
        Self::patient(&[server], patience)
    }

    fn patient(servers: &[SocketAddr], patience: Duration) -> Result<Self, DnsError> {
        let named = |server: &SocketAddr| {
            let mut connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            for connection in &mut connections {
                connection.port = server.port();
            }
            NameServerConfig::new(server.ip(), true, connections.into())
        };
        let servers = servers.iter().map(named).collect();
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        tune(builder.options_mut(), patience);
        let resolver = builder.build().map_err(|e| DnsError(e.to_string()))?;
        Ok(Self { resolver, patience })
    }

    async fn lookup(&self, name: Name, kind: RecordType) -> Found {
        match self.resolver.lookup(name, kind).await {
            Ok(found) => {
                let data: Vec<RData> = found
                    .answers()
                    .iter()
                    .filter(|record| record.record_type() == kind)
                    .map(|record| record.data.clone())
                    .collect();
                if data.is_empty() { Found::None } else { Found::Some(data) }
            }
            Err(error) if error.is_no_records_found() || error.is_nx_domain() => Found::None,
            Err(_) => Found::Unknown,
        }
    }

    /// Whether there is a record of any of these kinds.
    async fn any(&self, name: &Name, kinds: &[RecordType]) -> Slot<bool> {
        let mut unknown = false;
        for kind in kinds {
            match self.lookup(name.clone(), *kind).await {
                Found::Some(_) => return Slot::Known(true),
                Found::None => {}
                Found::Unknown => unknown = true,
            }
        }
        if unknown { Slot::Unknown } else { Slot::Known(false) }
    }

    /// The forward-confirmed name (RFC 8601 3): one of the reverse names whose addresses hold this one.
    async fn name(&self, ip: IpAddr) -> Answer {
        let names = match self.lookup(Name::from(ip), RecordType::PTR).await {
            Found::Some(names) => names,
            Found::None => return Answer::Name(Slot::Absent, Slot::Known(true), Slot::Known(true)),
            Found::Unknown => return Answer::Name(Slot::Unknown, Slot::Unknown, Slot::Unknown),
        };
        // It has one, whatever that leads to.
        let nameless = Slot::Known(false);
        let kind = if ip.is_ipv4() { RecordType::A } else { RecordType::AAAA };
        let mut unknown = false;
        for data in names.into_iter().take(MAX_NAMES) {
            let RData::PTR(name) = data else { continue };
            // What a name server says may be anything; only a domain is a name.
            let Ok(domain) = Domain::parse(name.0.to_ascii().trim_end_matches('.')) else { continue };
            match self.lookup(name.0, kind).await {
                Found::Some(addresses) if addresses.iter().any(|a| a.ip_addr() == Some(ip)) => {
                    return Answer::Name(Slot::Known(domain), Slot::Known(false), nameless);
                }
                Found::Some(_) | Found::None => {}
                Found::Unknown => unknown = true,
            }
        }
        if unknown {
            return Answer::Name(Slot::Unknown, Slot::Unknown, nameless);
        }
        Answer::Name(Slot::Absent, Slot::Known(true), nameless)
    }

    /// Whether mail can not go back to a domain: no MX, A or AAAA, or a null MX (RFC 7505).
    async fn sender_unresolvable(&self, domain: &str) -> Slot<bool> {
        let Some(name) = absolute(domain) else {
            return Slot::Known(true);
        };
        match self.lookup(name.clone(), RecordType::MX).await {
            Found::Some(found) => {
                Slot::Known(found.iter().all(|data| matches!(data, RData::MX(mx) if mx.exchange.is_root())))
            }
            Found::Unknown => Slot::Unknown,
            Found::None => self.any(&name, &[RecordType::A, RecordType::AAAA]).await.map(|found| !found),
        }
    }

    /// Whether an address is on a DNS list (RFC 5782): only answers in 127/8 count.
    async fn listed(&self, zone: &str, ip: IpAddr) -> bool {
        let Some(name) = absolute(&format!("{}.{zone}", reversed(ip))) else {
            return false;
        };
        match timeout(self.patience, self.lookup(name, RecordType::A)).await {
            Ok(Found::Some(found)) => {
                found.iter().any(|data| matches!(data.ip_addr(), Some(IpAddr::V4(a)) if a.is_loopback()))
            }
            Ok(Found::None) => false,
            Ok(Found::Unknown) | Err(_) => {
                tracing::warn!(zone, client = %ip, "a DNS list did not answer: taken as not listed");
                false
            }
        }
    }

    async fn find(&self, question: &Question) -> Option<Answer> {
        Some(match question {
            Question::Name(ip) => self.name(*ip).await,
            Question::Helo(domain) => {
                const KINDS: &[RecordType] = &[RecordType::A, RecordType::AAAA, RecordType::MX];
                let found = match absolute(domain.as_str()) {
                    Some(name) => self.any(&name, KINDS).await,
                    None => Slot::Known(false),
                };
                Answer::Helo(found.map(|found| !found))
            }
            Question::Sender(domain) => {
                Answer::Sender(domain.clone(), self.sender_unresolvable(domain).await)
            }
            Question::Listed(zone, ip) => {
                Answer::Listed(zone.clone(), Slot::Known(self.listed(zone, *ip).await))
            }
            Question::Spf(identity) => {
                let found = ask::spf(&self.resolver, identity, OUR_NAME).await;
                Answer::Spf(identity.sender.clone(), found)
            }
            Question::Authentic { identity, spf, signed, dmarc } => {
                let found =
                    ask::authentic(&self.resolver, identity, *spf, signed.as_deref(), *dmarc, OUR_NAME).await;
                Answer::Authentic(identity.sender.clone(), found)
            }
            Question::Exists(_) => return None,
        })
    }
}

impl Resolver for Dns {
    fn answer(&self, question: Question) -> Answering<'_> {
        Box::pin(async move {
            // A list has its own patience, since its silence is an answer.
            let patience = match question {
                Question::Listed(..) => self.patience * 2,
                Question::Spf(_) | Question::Authentic { .. } => self.patience * LONGER,
                _ => self.patience,
            };
            match timeout(patience, self.find(&question)).await {
                Ok(Some(answer)) => answer,
                Ok(None) | Err(_) => question.unknown(),
            }
        })
    }
}

/// The name without search domains.
fn absolute(domain: &str) -> Option<Name> {
    Name::from_ascii(format!("{domain}.")).ok()
}

/// `4.3.2.1` of an IPv4 address, the nibbles of an IPv6 one (RFC 5782 2.1, 2.4).
fn reversed(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}")
        }
        IpAddr::V6(v6) => {
            let nibbles = v6.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}")).collect::<Vec<_>>().join(".")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::reversed;

    #[test]
    fn reversed_addresses() {
        assert_eq!(reversed("192.0.2.99".parse().unwrap()), "99.2.0.192");
        let v6 = reversed("2001:db8::1".parse().unwrap());
        assert!(v6.starts_with("1.0.0.0.0") && v6.ends_with("8.b.d.0.1.0.0.2"), "{v6}");
    }
}
