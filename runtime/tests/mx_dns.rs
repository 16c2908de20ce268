//! Domains whose servers cannot be found: told at once where DNS says so, tried again where it does not say.

#[cfg(test)]
#[path = "dns/server.rs"]
mod server;

#[cfg(test)]
mod tests {
    use super::server;
    use edict_runtime::deliver::client::Trouble;
    use edict_runtime::deliver::connect::Dialer;
    use edict_runtime::deliver::mx::Exchanges;
    use edict_runtime::queue::Hop;

    const ZONE: &str = "\
bare.example TXT no server and no address
lost.example MX gone.example
half.example MX gone.example
half.example MX broken.example
many.example MX gone0.example
many.example MX gone1.example
many.example MX gone2.example
many.example MX gone3.example
many.example MX gone4.example
many.example MX gone5.example
many.example MX gone6.example
many.example MX gone7.example
many.example MX gone8.example
many.example MX gone9.example
many.example MX broken.example
broken.example SERVFAIL
shaky.example SERVFAIL-A
behind.example MX shaky.example
";

    /// More servers than are tried, most of them without an address: the one that may be well counts wherever it stands.
    #[tokio::test]
    async fn servers_without_an_address_crowd_out_no_others() {
        let server = server::start(ZONE).await;
        let dialer = Dialer { exchanges: Exchanges::new(vec![server.address], 25), ..Dialer::default() };
        // Equal ones come in another order each time.
        for _ in 0..40 {
            let hop = Hop::Mx("many.example".to_owned());
            let error = dialer.connect(&hop, "us.example").await.unwrap_err();
            assert!(matches!(error, Trouble::Connect(..)), "{error}");
        }
    }

    /// RFC 5321 5.1: servers none of which can be used, and a domain that is no server itself, are an error.
    #[tokio::test]
    async fn a_domain_without_an_address_is_told_at_once() {
        let server = server::start(ZONE).await;
        let dialer = Dialer { exchanges: Exchanges::new(vec![server.address], 25), ..Dialer::default() };
        for (domain, never) in [
            ("bare.example", true),
            ("lost.example", true),
            ("half.example", false),
            ("shaky.example", false),
            ("behind.example", false),
        ] {
            let error = dialer.connect(&Hop::Mx(domain.to_owned()), "us.example").await.unwrap_err();
            match error {
                Trouble::Never(status, text) => assert!(never && status == (5, 4, 4), "{domain}: {text}"),
                Trouble::Connect(..) => assert!(!never, "{domain}"),
                other => panic!("{domain}: {other}"),
            }
        }
        let asked = server.asked.lock().unwrap();
        assert!(asked.contains(&"bare.example AAAA".to_owned()), "{asked:?}");
    }
}
