//! The servers of a domain: MX in order of preference, its own address where there is none
//! (RFC 5321 5.1), nobody where a null MX says so (RFC 7505).

use super::client::Trouble;
use edict_table::model::Host;
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use std::sync::OnceLock;

/// The most servers of a domain that are tried.
const MAX_HOSTS: usize = 10;

/// Asks the system's resolvers.
#[derive(Default)]
pub struct Exchanges {
    resolver: OnceLock<TokioResolver>,
}

impl std::fmt::Debug for Exchanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exchanges")
    }
}

impl Exchanges {
    /// The servers for a domain in normal form, best first; ours and worse ones left out.
    ///
    /// # Errors
    /// [`Trouble::Never`] where the domain takes no mail; [`Trouble::Connect`] when DNS does not say.
    pub async fn hosts(&self, domain: &str, ourselves: &str) -> Result<Vec<Host>, Trouble> {
        if let Some(literal) = domain.strip_prefix('[').and_then(|d| d.strip_suffix(']')) {
            let name = literal.strip_prefix("ipv6:").unwrap_or(literal).to_owned();
            return Ok(vec![Host { name, port: 25 }]);
        }
        let failed = |e: String| Trouble::Connect(domain.to_owned(), e);
        let resolver = match self.resolver.get() {
            Some(resolver) => resolver,
            None => {
                let built = TokioResolver::builder_tokio().and_then(|b| b.build());
                let built = built.map_err(|e| failed(e.to_string()))?;
                self.resolver.get_or_init(|| built)
            }
        };
        let found = match resolver.mx_lookup(format!("{domain}.")).await {
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
        order(domain, found, ourselves)
    }
}

/// Puts MX records in the order in which they are tried.
fn order(domain: &str, mut found: Vec<(u16, String)>, ourselves: &str) -> Result<Vec<Host>, Trouble> {
    if found.is_empty() {
        return Ok(vec![Host { name: domain.to_owned(), port: 25 }]);
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
    Ok(found.into_iter().map(|(_, name)| Host { name, port: 25 }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(found: &[(u16, &str)]) -> Result<Vec<String>, Trouble> {
        let found = found.iter().map(|(p, n)| (*p, (*n).to_owned())).collect();
        order("d.example", found, "mx.us.example").map(|hosts| hosts.into_iter().map(|h| h.name).collect())
    }

    #[test]
    fn orders() {
        assert_eq!(names(&[]).unwrap(), ["d.example"]);
        assert_eq!(names(&[(20, "B.example."), (10, "a.example.")]).unwrap(), ["a.example", "b.example"]);
        assert!(matches!(names(&[(0, ".")]), Err(Trouble::Never((5, 1, 10), _))));
        assert_eq!(names(&[(0, "."), (5, "a.example.")]).unwrap(), ["a.example"]);
        assert_eq!(names(&[(10, "a."), (20, "MX.us.example."), (20, "c."), (30, "d.")]).unwrap(), ["a"]);
        assert!(matches!(names(&[(10, "mx.us.example.")]), Err(Trouble::Never((5, 4, 6), _))));
        assert_eq!(names(&[(1, "x.example."); 30]).unwrap().len(), MAX_HOSTS);
    }

    #[tokio::test]
    async fn literals_need_no_lookup() {
        let hosts = Exchanges::default().hosts("[ipv6:2001:db8::1]", "us").await.unwrap();
        assert_eq!(hosts, [Host { name: "2001:db8::1".to_owned(), port: 25 }]);
    }
}
