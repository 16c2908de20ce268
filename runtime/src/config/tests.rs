//! What configurations are read and refused.

use super::*;

fn fails(text: &str) -> String {
    parse(text, Path::new("etc/edictd.ron")).unwrap_err().to_string()
}

#[test]
fn nothing_written_is_a_whole_configuration() {
    let config = parse("()", Path::new("edictd.ron")).unwrap();
    assert_eq!(config, Config::default());
}

#[test]
fn paths_are_relative_to_the_file() {
    let config = parse("(table: \"a.table\", data: \"/srv/mail\")", Path::new("etc/edictd.ron")).unwrap();
    assert_eq!(config.table, Some(PathBuf::from("etc/a.table")));
    assert_eq!(config.data, PathBuf::from("/srv/mail"));
}

#[test]
fn the_documented_example_is_valid() {
    let text = include_str!("../../../docs/edictd.ron");
    let config = parse(text, Path::new("edictd.ron")).unwrap();
    assert_eq!(config.listeners.len(), 2);
}

#[test]
fn mistakes_are_told_with_their_place() {
    assert!(
        fails("(\n  tabel: \"x\",\n)").starts_with("etc/edictd.ron:2:"),
        "{}",
        fails("(\n  tabel: \"x\",\n)")
    );
    assert!(fails("(listeners: [])").contains("listeners"));
    assert!(fails("(outside: relay(\"nowhere\"))").contains("host:port"));
    assert!(fails("(queue: (first_retry_seconds: 0))").contains("first_retry_seconds"));
    assert!(fails("(pass_through: (connections: 0))").contains("pass_through.connections"));
    let twice = "(listeners: [(address: \"127.0.0.1:25\"), (address: \"127.0.0.1:25\")])";
    assert!(fails(twice).contains("twice"));
}

/// Times that cannot be added to a time ended tasks; two logins of one name were one.
#[test]
fn what_cannot_be_meant_is_refused() {
    let most = u64::MAX;
    for (text, said) in [
        (format!("(drain_seconds: {most})"), "drain_seconds"),
        (format!("(queue: (longest_retry_seconds: {most}))"), "queue.longest_retry_seconds"),
        (format!("(queue: (lifetime_hours: {most}))"), "queue.lifetime_hours"),
        (format!("(queue: (warn_hours: {most}))"), "queue.warn_hours"),
        (format!("(next_hops: (end_seconds: {most}))"), "next_hops.end_seconds"),
        (format!("(clients: (data_seconds: {most}))"), "clients.data_seconds"),
        (format!("(clients: (memory_mib: {most}))"), "clients.memory_mib"),
        ("(data: \"\")".to_owned(), "`data`"),
        ("(log: \"\")".to_owned(), "`log`"),
        ("(local: lmtp_unix(\"\"))".to_owned(), "lmtp_unix"),
        ("(credentials: {\"a\": (login: \"\", password_file: \"x\")})".to_owned(), "`a`: the login is empty"),
        ("(credentials: {\"a\": (login: \"x\\u{0}\", password_file: \"x\")})".to_owned(), "control character"),
        (
            "(credentials: {\"a\": (login: \"x\", password_file: \"x\"), \"a\": (login: \"y\", password_file: \"x\")})"
                .to_owned(),
            "`a` stands here twice",
        ),
        ("(attributes: {\"a@b\": {}, \"a@b\": {}})".to_owned(), "`a@b` stands here twice"),
    ] {
        let said_is = fails(&text);
        assert!(said_is.contains(said), "{text}: {said_is}");
    }
    let ten_years = "(queue: (longest_retry_seconds: 316224000), drain_seconds: 0)";
    assert!(parse(ten_years, Path::new("edictd.ron")).is_ok());
    assert!(parse("\u{feff}(drain_seconds: 5)", Path::new("edictd.ron")).is_ok(), "a byte order mark");
}

#[test]
fn hosts_and_ports() {
    for (text, host, port) in [
        ("mx.example.com:25", "mx.example.com", 25),
        ("[::1]:2525", "::1", 2525),
        ("127.0.0.1:1", "127.0.0.1", 1),
    ] {
        let read: HostPort = text.parse().unwrap();
        assert_eq!((read.host.as_str(), read.port, read.to_string().as_str()), (host, port, text));
    }
    for text in ["", "x", "x:", ":25", "x:0", "x:70000", "[x]:25", "a b:25"] {
        assert!(text.parse::<HostPort>().is_err(), "{text:?}");
    }
}

#[test]
fn listeners_and_certificates() {
    let text = r#"(
        tls: (certificates: [(certificate: "mx.pem", key: "/keys/mx.key")], minimum: "1.3"),
        auth: dovecot("auth-client"),
        listeners: [
            (address: "[::]:465", role: submissions, proxy_from: ["192.0.2.7", "2001:db8::/64"]),
            (address: "systemd:smtp", xclient_from: ["::ffff:192.0.2.8"]),
        ],
    )"#;
    let config = parse(text, Path::new("etc/edictd.ron")).unwrap();
    let tls = config.tls.unwrap();
    assert_eq!(tls.certificates[0].certificate, PathBuf::from("etc/mx.pem"));
    assert_eq!(tls.certificates[0].key, PathBuf::from("/keys/mx.key"));
    assert_eq!(config.auth, AuthConfig::Dovecot(PathBuf::from("etc/auth-client")));
    assert_eq!(config.listeners[1].address, Place::Passed("smtp".to_owned()));
    let proxies = config.listeners[0].proxies();
    for (client, sends) in
        [("192.0.2.7", true), ("::ffff:192.0.2.7", true), ("192.0.2.8", false), ("2001:db8::9", true)]
    {
        assert_eq!(proxies.sends_header(client.parse().unwrap()), sends, "{client}");
        assert!(!proxies.may_xclient(client.parse().unwrap()));
    }
    assert!(config.listeners[1].proxies().may_xclient("192.0.2.8".parse().unwrap()));
    for (text, reason) in [
        ("(listeners: [(address: \"127.0.0.1:465\", role: submissions)])", "needs `tls`"),
        ("(tls: (certificates: []))", "empty"),
        ("(tls: (certificates: [(certificate: \"a\", key: \"b\")], minimum: \"1.1\"))", "1.2"),
        ("(listeners: [(address: \"127.0.0.1:25\", proxy_from: [\"0.0.0.0/0\"])])", "whole internet"),
        ("(listeners: [(address: \"127.0.0.1:25\", xclient_from: [\"::/0\"])])", "whole internet"),
        ("(listeners: [(address: \"127.0.0.1:25\", proxy_from: [\"10.0.0.1/8\"])])", "10.0.0.0/8"),
        ("(listeners: [(address: \"systemd:\")])", "systemd:NAME"),
        ("(listeners: [(address: \"mx.example.com:25\")])", "address:port"),
        ("(clients: (memory_mib: 0))", "memory_mib"),
    ] {
        assert!(fails(text).contains(reason), "{text}: {}", fails(text));
    }
}

#[test]
fn signers_are_public_keys() {
    let config =
        parse("(signers: [\"ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"])", Path::new("x"))
            .unwrap();
    assert!(config.signers.insist() && !config.signers.take(None));
    assert!(!Config::default().signers.insist() && Config::default().signers.take(None));
    for wrong in ["", "ed25519:AAAA", "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="] {
        let said = fails(&format!("(\n  signers: [\"{wrong}\"],\n)"));
        assert!(said.contains("is no public key"), "{said}");
    }
}
