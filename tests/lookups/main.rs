//! Lookups through the whole daemon, with a name server that answers, says NXDOMAIN or SERVFAIL, is silent or lies:
//! what the client is told, and what is asked at all.
//!
//! Each rule is asked about mail to one recipient only, so that the cases do not meet. Nothing here measures time: a
//! lookup without its limit would run into the patience of the test's client.

#[cfg(test)]
#[path = "../../runtime/tests/dns/server.rs"]
mod server;
#[path = "../support/mod.rs"]
mod support;

#[cfg(test)]
mod tests {
    use crate::support::client::Client;
    use crate::support::daemon::Daemon;
    use crate::support::{build_text, free_port};
    use edict_runtime::dkim::{Key, sign::sign};
    use std::net::SocketAddr;
    use std::sync::mpsc;

    const RULES: &str = r#"edict 1
profile {
    local-domains    [example.org]
    recipients       any
    trusted-networks [198.51.100.0/24]
    errors           slow after 900, close after 1000
}
reject "listed at once" { priority 1
    when client.ip is listed in "at-connect.example" and client.ip is 192.0.2.1  reply 554 5.7.1 "Listed at once" }
defer "silence at once" { priority 1
    when client.ip is listed in "at-connect.example" and client.ip is 192.0.2.5  reply 450 4.7.1 "Listed at once" }
reject "unverified" { when client is unverified and recipient is unverified@example.org }
reject "nameless" { when client is nameless and recipient is nameless@example.org }
reject "name" { when client.name is mail.good.example and recipient is name@example.org }
reject "helo" { when helo is unresolvable and recipient is helo@example.org }
reject "sender" { when sender.domain is unresolvable and recipient is sender@example.org }
reject "spf" { when spf is fail and recipient is spf@example.org }
reject "dmarc" { when dmarc is fail and recipient is dmarc@example.org }
reject "dkim" { when dkim.domain is example.com and recipient is dkim@example.org }
reject "listed" { when client.ip is listed in "list.example" and recipient in [listed@example.org, lists@example.org] }
reject "listed too" { when client.ip is listed in "second.example" and recipient is lists@example.org }
reject "listed elsewhere" { when client.ip is listed in "third.example" and recipient is third@example.org }
"#;

    /// A daemon behind a proxy, and its name server on a thread of its own.
    struct Asking {
        daemon: Daemon,
        asked: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
        _folder: tempfile::TempDir,
    }

    impl Asking {
        fn start(rules: &str) -> Self {
            let key = include_str!("../../runtime/tests/keys/rsa.pub");
            let zone = format!(
                "{}\none._domainkey.example.com TXT v=DKIM1; k=rsa; p={key}\n",
                include_str!("zone.txt")
            );
            let (tell, told) = mpsc::channel();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async move {
                    let server = crate::server::start(&zone).await;
                    tell.send((server.address, server.asked)).unwrap();
                    std::future::pending::<()>().await;
                });
            });
            let (dns, asked): (SocketAddr, _) = told.recv().unwrap();
            let folder = tempfile::tempdir().unwrap();
            build_text(rules, &folder.path().join("edict.table"));
            let (direct, address) = (free_port(), free_port());
            // Listeners open in this order: the one that is waited for comes last.
            let config = format!(
                "(table: \"edict.table\", listeners: [(address: \"{address}\", proxy_from: [\"127.0.0.1\"]), \
                 (address: \"{direct}\")], next_hops: (name_servers: [\"{dns}\"]))"
            );
            let mut daemon = Daemon::configured(folder.path(), direct, &config);
            daemon.address = address;
            Self { daemon, asked, _folder: folder }
        }

        /// One message; the reply that ended it. A recipient without a domain is at `example.org`.
        fn say(&self, client: &str, helo: &str, sender: &str, to: &str, message: &str) -> String {
            let (mut client, greeting) = Client::proxied(self.daemon.address, client).unwrap();
            if !greeting.starts_with("220 ") {
                return greeting;
            }
            assert!(client.command(&format!("EHLO {helo}")).unwrap().starts_with("250"));
            client.message(sender, &[&format!("{to}@example.org")], message).unwrap()
        }

        fn asked(&self) -> Vec<String> {
            self.asked.lock().unwrap().clone()
        }
    }

    const MESSAGE: &str = "From: ann@elsewhere.example\nSubject: hello\n\ntext";

    /// All cases at the same time, since silence takes as long as it may.
    fn all(it: &Asking, cases: &[(&str, &str, &str, &str, &str)]) {
        std::thread::scope(|scope| {
            for (to, client, helo, sender, want) in cases {
                scope.spawn(move || {
                    let reply = it.say(client, helo, sender, to, MESSAGE);
                    assert!(reply.starts_with(want), "{to} {client} {helo} <{sender}>: {reply}");
                });
            }
        });
    }

    const FINE: &str = "250 2.0.0 ";
    const REFUSED: &str = "550 5.7.1 ";
    const UNKNOWN: &str = "451 4.4.3 ";

    /// Reverse names (RFC 1912 2.1, RFC 8601 3), names in HELO, domains of senders with null MX (RFC 7505).
    #[test]
    fn names_and_domains_end_in_the_replies_that_rules_want() {
        let it = Asking::start(RULES);
        let client = |to, client, want| (to, client, "mail.good.example", "a@good.example", want);
        let helo = |name, want| ("helo", "192.0.2.9", name, "a@good.example", want);
        let sender = |sender, want| ("sender", "192.0.2.9", "mail.good.example", sender, want);
        all(
            &it,
            &[
                client("unverified", "192.0.2.1", "554 5.7.1 Listed at once"),
                client("unverified", "192.0.2.2", REFUSED),
                client("unverified", "192.0.2.3", REFUSED),
                client("unverified", "192.0.2.4", UNKNOWN),
                client("unverified", "192.0.2.5", UNKNOWN),
                client("unverified", "192.0.2.6", UNKNOWN),
                client("unverified", "192.0.2.7", UNKNOWN),
                client("unverified", "192.0.2.8", UNKNOWN),
                // A name that does not lead back is one; whether there is one cannot be told without an answer.
                client("nameless", "192.0.2.2", FINE),
                client("nameless", "192.0.2.3", REFUSED),
                client("nameless", "192.0.2.4", UNKNOWN),
                client("nameless", "192.0.2.5", UNKNOWN),
                client("nameless", "192.0.2.6", FINE),
                client("name", "192.0.2.2", FINE),
                client("name", "192.0.2.3", FINE),
                client("name", "192.0.2.4", UNKNOWN),
                client("name", "192.0.2.5", UNKNOWN),
                client("name", "192.0.2.8", UNKNOWN),
                helo("mail.good.example", FINE),
                helo("good.example", FINE),
                helo("[192.0.2.9]", FINE),
                helo("gone.example", REFUSED),
                helo("broken.example", UNKNOWN),
                helo("silent.example", UNKNOWN),
                helo("forged.example", UNKNOWN),
                helo("other.example", UNKNOWN),
                helo("late.example", FINE),
                helo("truncated.example", FINE),
                helo("cut.example", UNKNOWN),
                sender("a@good.example", FINE),
                sender("a@bare.example", FINE),
                sender("a@six.example", FINE),
                sender("a@alias.example", FINE),
                sender("", FINE),
                sender("a@null.example", REFUSED),
                sender("a@gone.example", REFUSED),
                sender("a@broken.example", UNKNOWN),
                sender("a@silent.example", UNKNOWN),
                sender("a@forged.example", UNKNOWN),
                sender("a@cut.example", UNKNOWN),
            ],
        );
    }

    /// RFC 5782: a list that fails, is silent or is lied about lists nobody; the log tells of it.
    #[test]
    fn lists_fail_open() {
        let it = Asking::start(RULES);
        let client = |to, client, want| (to, client, "mail.good.example", "a@good.example", want);
        all(
            &it,
            &[
                client("x", "192.0.2.1", "554 5.7.1 Listed at once"),
                client("x", "192.0.2.5", FINE),
                client("listed", "192.0.2.2", FINE),
                client("listed", "192.0.2.3", FINE),
                client("listed", "192.0.2.4", FINE),
                client("listed", "192.0.2.5", FINE),
                client("listed", "192.0.2.6", FINE),
                client("listed", "192.0.2.7", FINE),
            ],
        );
        it.daemon.wait_for_log(&["a DNS list did not answer", "zone=list.example", "client=192.0.2.5"]);
    }

    fn signed(selector: &str) -> String {
        let message = "From: ann@example.com\r\nSubject: hello\r\n\r\ntext\r\n";
        let pem = include_str!("../../runtime/tests/keys/rsa.pem");
        let key = Key::from_pem("example.com", selector, pem).unwrap();
        let mut out = sign(message.as_bytes(), &[], &[&key]).unwrap();
        out.extend(message.as_bytes());
        String::from_utf8(out).unwrap().replace("\r\n", "\n").trim_end().to_owned()
    }

    /// SPF (RFC 7208 2.6.6), DKIM (RFC 6376 6.1.2) and DMARC (RFC 9989 5.3.6): what cannot be told now is tried later.
    #[test]
    fn senders_that_cannot_be_proved_now_are_deferred() {
        let it = Asking::start(RULES);
        let spf = |sender, want| ("spf", "192.0.2.9", "pass.example", sender, want);
        all(
            &it,
            &[
                spf("a@pass.example", FINE),
                spf("a@fail.example", REFUSED),
                spf("a@soft.example", FINE),
                spf("a@faulty.example", FINE),
                spf("a@twice.example", FINE),
                spf("a@unheard.example", FINE),
                spf("a@unreadable.example", FINE),
                spf("a@circle.example", FINE),
                spf("a@gone.example", FINE),
                spf("a@good.example", FINE),
                spf("a@broken.example", UNKNOWN),
                spf("a@silent.example", UNKNOWN),
                spf("a@forged.example", UNKNOWN),
                spf("a@down.example", UNKNOWN),
                // The null sender is that of HELO's name.
                spf("", FINE),
                ("spf", "192.0.2.9", "fail.example", "", REFUSED),
                ("spf", "192.0.2.9", "broken.example", "", UNKNOWN),
            ],
        );
        let from = |domain: &str| format!("From: ann@{domain}\nSubject: hello\n\ntext");
        let cases = [
            ("dmarc", from("example.com"), REFUSED),
            ("dmarc", signed("one"), FINE),
            ("dmarc", signed("none"), REFUSED),
            ("dmarc", signed("dead"), UNKNOWN),
            ("dmarc", from("gone.example"), FINE),
            ("dmarc", from("sick.example"), UNKNOWN),
            ("dmarc", from("dead.example"), UNKNOWN),
            ("dmarc", from("fake.example"), UNKNOWN),
            ("dkim", signed("one"), REFUSED),
            ("dkim", signed("none"), FINE),
            ("dkim", signed("sick"), UNKNOWN),
            ("dkim", signed("dead"), UNKNOWN),
        ];
        std::thread::scope(|scope| {
            for (to, message, want) in &cases {
                let it = &it;
                scope.spawn(move || {
                    let reply = it.say("192.0.2.9", "mail.good.example", "a@gone.example", to, message);
                    assert!(reply.starts_with(want), "{to}: {reply}\n{message}");
                });
            }
        });
    }

    /// A question is asked once a rule hangs on it, once, and of the client whom it is about.
    #[test]
    fn only_what_a_rule_hangs_on_is_asked() {
        let it = Asking::start(RULES);
        let say = |client: &str, to: &str, sender: &str| {
            let before = it.asked().len();
            let reply = it.say(client, "mail.good.example", sender, to, MESSAGE);
            assert!(reply.starts_with(FINE), "{to}: {reply}");
            let mut asked = it.asked().split_off(before);
            asked.sort();
            asked
        };
        assert_eq!(say("192.0.2.9", "nobody.asks", "a@good.example"), [""; 0]);
        assert_eq!(say("192.0.2.9", "sender", ""), [""; 0]);
        assert_eq!(say("192.0.2.9", "sender", "a@[192.0.2.9]"), [""; 0]);
        assert_eq!(say("192.0.2.9", "sender", "a@good.example"), ["good.example MX"]);
        assert_eq!(say("192.0.2.9", "sender", "a@good.example"), [""; 0], "known by now");
        assert_eq!(say("192.0.2.9", "helo", "a@good.example"), ["mail.good.example A"]);
        assert_eq!(say("192.0.2.9", "name", "a@good.example"), ["9.2.0.192.in-addr.arpa PTR"]);
        assert_eq!(say("192.0.2.9", "spf", "a@pass.example"), ["pass.example TXT"]);
        assert_eq!(say("192.0.2.9", "listed", "a@good.example"), ["9.2.0.192.list.example A"]);
        // Lists that rules hang on at the same moment are asked together; others are not asked at all.
        assert_eq!(
            say("192.0.2.9", "lists", "a@good.example"),
            ["9.2.0.192.list.example A", "9.2.0.192.second.example A"]
        );
        assert_eq!(
            say("192.0.2.9", "dmarc", "a@pass.example"),
            ["_dmarc.elsewhere.example TXT", "_dmarc.example TXT"]
        );
        // Our own networks are believed what they say.
        assert_eq!(say("198.51.100.1", "spf", "a@fail.example"), [""; 0]);
        assert_eq!(say("198.51.100.1", "dmarc", "a@fail.example"), [""; 0]);
    }
}
