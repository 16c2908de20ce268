//! Keys of the configuration that a reload takes over behind the front: names, ways of delivery, logins, attributes,
//! shared counters. No message is lost or doubled by it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;
use support::client::Client;
use support::daemon::Daemon;
use support::dns::{self, Record};
use support::taker::Taker;
use support::{SECRET, build_text, free_port, wait_for};

const RULES: &str = "edict 1
profile {
    local-domains    [example.com]
    recipients       any
    auth             optional
    auth-without-tls allowed
    sender-must      be-anything
}
";

/// Ends the senders, also where a test fails: whoever waits for them would wait for ever.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A daemon whose configuration changes; clients are trusted.
struct Changing<'a> {
    folder: &'a Path,
    address: SocketAddr,
    daemon: Daemon,
}

impl<'a> Changing<'a> {
    fn start(folder: &'a Path, rules: &str, keys: &str) -> Self {
        build_text(&format!("{RULES}{rules}"), &folder.join("edict.table"));
        std::fs::write(folder.join("users"), format!("ann@example.com:{SECRET}\n")).unwrap();
        let address = free_port();
        let daemon = Daemon::configured(folder, address, &config(address, keys));
        Self { folder, address, daemon }
    }

    /// Takes over other keys.
    fn reload(&self, keys: &str) {
        std::fs::write(self.folder.join("edictd.ron"), config(self.address, keys)).unwrap();
        let (code, text) = self.daemon.ask(&["reload"]);
        assert_eq!(code, 0, "{keys}: {text}");
    }

    /// Sends a message of Ann's; the reply.
    fn send(&self, to: &str) -> String {
        let mut client = Client::hello(self.address).unwrap();
        let message = "From: ann@example.com\nSubject: hello\n\nHi";
        client.message("ann@example.com", &[to], message).unwrap()
    }
}

fn config(address: SocketAddr, keys: &str) -> String {
    format!("(table: \"edict.table\", users: \"users\", listeners: [(address: \"{address}\")], {keys})")
}

#[test]
fn another_name_greets_and_signs_traces() {
    let folder = tempfile::tempdir().unwrap();
    let it = Changing::start(folder.path(), "", "hostname: \"one.example\"");
    let greeting = || {
        let mut client = Client::hello(it.address).unwrap();
        client.command("EHLO client.example").unwrap().lines().next().unwrap().to_owned()
    };
    assert_eq!(greeting(), "250-one.example");
    assert!(it.send("x@example.com").starts_with("250"));
    it.reload("hostname: \"two.example\"");
    assert_eq!(greeting(), "250-two.example");
    assert!(it.send("y@example.com").starts_with("250"));
    assert!(it.daemon.wait_for_mail("x@example.com", 1)[0].contains("by one.example with"));
    assert!(it.daemon.wait_for_mail("y@example.com", 1)[0].contains("by two.example with"));
}

#[test]
fn mail_that_leaves_goes_the_new_way() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (Taker::start(&["8BITMIME"]), Taker::start(&["8BITMIME"]));
    let it = Changing::start(folder.path(), "", "");
    assert!(it.send("a@far.example").starts_with("250"));
    it.daemon.wait_for_mail("a@far.example", 1);
    for (to, taker) in [("b@far.example", &first), ("c@far.example", &second)] {
        it.reload(&format!("outside: relay(\"{}\")", taker.address));
        assert!(it.send(to).starts_with("250"));
        taker.wait_for(to);
    }
    // By MX, with name servers and a port that a reload brings; what waits is tried again by them.
    let nobody = free_port();
    let keys = |dns: SocketAddr, port: u16| {
        format!(
            "outside: mx, next_hops: (name_servers: [\"{dns}\"], mx_port: {port}), queue: (first_retry_seconds: 1)"
        )
    };
    let here = [127, 0, 0, 1].into();
    let zone =
        || vec![("far.example", Record::Mx(10, "mx.far.example")), ("mx.far.example", Record::A(here))];
    it.reload(&keys(dns::start(zone()), nobody.port()));
    assert!(it.send("d@far.example").starts_with("250"));
    it.daemon.wait_for_log(&["a next hop cannot be reached", &nobody.port().to_string()]);
    it.reload(&keys(dns::start(zone()), first.address.port()));
    first.wait_for("d@far.example");
    it.reload(&keys(dns::start(Vec::new()), first.address.port()));
    assert!(it.send("e@far.example").starts_with("250"));
    let notice = &it.daemon.wait_for_mail("ann@example.com", 1)[0];
    assert!(notice.contains("e@far.example"), "no such domain any more: {notice}");
}

/// Mail that stays turns from Maildirs to LMTP and back while it streams in: each message arrives once.
#[test]
fn mail_that_stays_changes_its_way_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let taker = Taker::start(&["8BITMIME"]);
    let it = Changing::start(folder.path(), "", "");
    let lmtp = format!("local: lmtp(\"{}\")", taker.address);
    let (stop, all) = (AtomicBool::new(false), AtomicUsize::new(0));
    let sent = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..3)
            .map(|sender| {
                let (it, stop, all) = (&it, &stop, &all);
                scope.spawn(move || {
                    let mut sent = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let to = format!("m{sender}.{}@example.com", sent.len());
                        assert!(it.send(&to).starts_with("250"), "{to}");
                        sent.push(to);
                        all.fetch_add(1, Ordering::Relaxed);
                    }
                    sent
                })
            })
            .collect();
        // Mail that began behind a reload: each of the senders may have had one under way.
        let more = |senders: &[ScopedJoinHandle<'_, _>]| {
            let before = all.load(Ordering::Relaxed);
            wait_for("mail behind the reload", || {
                assert!(!senders.iter().any(ScopedJoinHandle::is_finished), "a sender failed");
                all.load(Ordering::Relaxed) > before + 3
            });
        };
        let ends = Ends(&stop);
        for _ in 0..6 {
            it.reload(&lmtp);
            more(&senders);
            it.reload("");
            more(&senders);
        }
        it.reload(&lmtp);
        more(&senders);
        drop(ends);
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect::<Vec<String>>()
    });
    it.daemon.wait_for_empty_queue();
    let taken = taker.messages();
    for to in &sent {
        let (here, there) =
            (it.daemon.mailbox(to).len(), taken.iter().filter(|taken| taken.is_to(to)).count());
        assert_eq!(here + there, 1, "{to}: {here} in a Maildir, {there} by LMTP");
    }
    assert!(!taken.is_empty(), "{} sent, none by LMTP", sent.len());
}

/// A next hop with this certificate.
fn start_hub(
    folder: &Path,
    made: &rcgen::CertifiedKey<rcgen::KeyPair>,
    profile: &str,
) -> (SocketAddr, Daemon) {
    std::fs::write(folder.join("hub.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("hub.key"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("users"), format!("edict@hub.example:{SECRET}\n")).unwrap();
    build_text(
        &format!(
            "edict 1 profile {{ hostname hub.example auth optional sender-must be-anything {profile} }}"
        ),
        &folder.join("edict.table"),
    );
    let address = free_port();
    let config = format!(
        "(table: \"edict.table\", users: \"users\", listeners: [(address: \"{address}\")], \
         tls: (certificates: [(certificate: \"hub.pem\", key: \"hub.key\")]))"
    );
    (address, Daemon::configured(folder, address, &config))
}

/// An authority that the system trusts from now on: a reload is enough.
#[test]
fn the_systems_authorities_are_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (own, hubs) = (folder.path().join("own"), folder.path().join("hub"));
    for folder in [&own, &hubs] {
        std::fs::create_dir(folder).unwrap();
    }
    let certificate = || rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let made = certificate();
    let (address, hub) = start_hub(&hubs, &made, "recipients any");
    let rules = format!("{RULES}relay hub {{ host {address} tls verified }}\nroute \"all\" {{ via hub }}\n");
    build_text(&rules, &own.join("edict.table"));
    let system = own.join("system.pem");
    std::fs::write(&system, certificate().cert.pem()).unwrap();
    let address = free_port();
    let keys = "queue: (first_retry_seconds: 1)";
    std::fs::write(own.join("users"), "").unwrap();
    let environment = [("SSL_CERT_FILE", system.to_str().unwrap()), ("SSL_CERT_DIR", "/nowhere")];
    let daemon = Daemon::configured_with(&own, address, &config(address, keys), &environment);
    let it = Changing { folder: &own, address, daemon };
    assert!(it.send("a@far.example").starts_with("250"));
    it.daemon.wait_for_log(&["a next hop cannot be reached", "no TLS"]);
    std::fs::write(&system, made.cert.pem()).unwrap();
    it.reload(keys);
    hub.wait_for_mail("a@far.example", 1);
}

/// A password that was changed in its file, and a server that takes it only then.
#[test]
fn new_passwords_and_authorities_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let (own, hub) = (folder.path().join("own"), folder.path().join("hub"));
    for folder in [&own, &hub] {
        std::fs::create_dir(folder).unwrap();
    }
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (address, hub) = start_hub(&hub, &made, "");
    let rules = format!(
        "relay hub {{ host {address} tls verified credentials \"hub\" }}\nroute \"all\" {{ via hub }}\n"
    );
    let keys = |more: &str| {
        format!(
            "credentials: {{ \"hub\": (login: \"edict@hub.example\", password_file: \"password\") }}, \
             queue: (first_retry_seconds: 1), {more}"
        )
    };
    std::fs::write(own.join("password"), "wrong\n").unwrap();
    std::fs::write(own.join("roots.pem"), made.cert.pem()).unwrap();
    let it = Changing::start(&own, &rules, &keys(""));
    assert!(it.send("a@far.example").starts_with("250"));
    it.daemon.wait_for_log(&["a next hop cannot be reached", "no TLS"]);
    it.reload(&keys("next_hops: (roots: \"roots.pem\")"));
    it.daemon.wait_for_log(&["a next hop cannot be reached", "535"]);
    std::fs::write(own.join("password"), "secret\n").unwrap();
    it.reload(&keys("next_hops: (roots: \"roots.pem\")"));
    let mail = &hub.wait_for_mail("a@far.example", 1)[0];
    assert!(mail.contains("with ESMTPSA id"), "{mail}");
}

/// Whoever is shut out is shut out: a login lasts no longer than the entry that proved it, but a transaction ends as it began.
#[test]
fn a_login_ends_with_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let it = Changing::start(folder.path(), "", "");
    let users = |ann: &str| {
        let text = format!("ann@example.com:{ann}\nbob@example.com:{SECRET}\n");
        std::fs::write(folder.path().join("users"), text).unwrap();
        it.reload("");
    };
    users(SECRET);
    let mail = |user: &str| {
        let mut client = Client::login(it.address, user).unwrap();
        assert!(client.command(&format!("MAIL FROM:<{user}>")).unwrap().starts_with("250"));
        client
    };
    let (mut ann, mut bob, mut idle) =
        (mail("ann@example.com"), mail("bob@example.com"), mail("ann@example.com"));
    assert!(idle.command("RSET").unwrap().starts_with("250"));
    // The same entry again changes nothing.
    users(SECRET);
    assert!(idle.command("MAIL FROM:<ann@example.com>").unwrap().starts_with("250"));
    assert!(idle.command("RSET").unwrap().starts_with("250"));
    users("");
    for client in [&mut ann, &mut bob] {
        for command in ["RCPT TO:<x@example.com>", "DATA"] {
            assert!(client.command(command).unwrap().starts_with(['2', '3']));
        }
        assert!(client.command("From: ann@example.com\r\n\r\nx\r\n.").unwrap().starts_with("250"));
    }
    for client in [&mut ann, &mut idle] {
        let reply = client.command("MAIL FROM:<ann@example.com>").unwrap();
        assert!(reply.starts_with("421 4.7.0 "), "{reply}");
        assert!(client.reply().is_err(), "and the connection is closed");
    }
    assert!(bob.command("MAIL FROM:<bob@example.com>").unwrap().starts_with("250"));
    assert!(Client::login(it.address, "ann@example.com").is_err());
    it.daemon.wait_for_mail("x@example.com", 2);
}

#[test]
fn attributes_of_users_change() {
    let folder = tempfile::tempdir().unwrap();
    let rules = "disclaimer \"d\" { when direction is outbound text \"\"\"Call {user.phone}\"\"\" }\n";
    let keys = |phone: &str| format!("attributes: {{ \"ann@example.com\": {{ \"phone\": \"{phone}\" }} }}");
    let it = Changing::start(folder.path(), rules, &keys("111"));
    for phone in ["111", "222"] {
        it.reload(&keys(phone));
        let to = format!("x{phone}@far.example");
        let mut ann = Client::login(it.address, "ann@example.com").unwrap();
        let message = "From: ann@example.com\n\nHi";
        assert!(ann.message("ann@example.com", &[&to], message).unwrap().starts_with("250"));
        let mail = &it.daemon.wait_for_mail(&to, 1)[0];
        assert!(mail.contains(&format!("Call {phone}")), "{mail}");
    }
}

/// Where the shared counters are, and whether there are any.
#[test]
fn shared_counters_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let rules = "quota \"q\" { per sender at most 100 messages per day }\n";
    let it = Changing::start(folder.path(), rules, "");
    assert!(it.send("a@far.example").starts_with("250"));
    let nobody = free_port();
    let keys = |down: &str| {
        format!("shared_quota: (url: \"redis://{nobody}/0\", when_down: {down}, timeout_ms: 500)")
    };
    it.reload(&keys("defer"));
    let reply = it.send("b@far.example");
    assert!(reply.starts_with("451 4.3.0 Quota"), "{reply}");
    it.reload(&keys("count_locally"));
    assert!(it.send("c@far.example").starts_with("250"));
    it.reload(&keys("defer"));
    assert!(it.send("d@far.example").starts_with("451"));
    it.reload("");
    assert!(it.send("e@far.example").starts_with("250"));
}
