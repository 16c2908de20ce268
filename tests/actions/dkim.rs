//! DKIM as the next hop sees it: signed last, by two kinds of keys, and verified by two implementations.

use crate::support::client::Client;
use crate::support::daemon::Daemon;
use crate::support::taker::Taker;
use crate::support::{start_actions, wait_for};
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::hickory_resolver::config::{ResolverConfig, ResolverOpts};
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters, ResolverCache, Txt};
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

fn key(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("runtime/tests/keys").join(name)
}

fn public(name: &str) -> String {
    std::fs::read_to_string(key(name)).unwrap().trim().to_owned()
}

/// What stands in DNS.
fn records(second: &str) -> Vec<(String, String)> {
    let ed25519 = |name: &str, public: String| (name.to_owned(), format!("v=DKIM1; k=ed25519; p={public}"));
    vec![
        ("one._domainkey.example.com".to_owned(), format!("v=DKIM1; k=rsa; p={}", public("rsa.pub"))),
        ed25519("two._domainkey.example.com", public(second)),
        ed25519("org._domainkey.example.org", public("ed25519-two.pub")),
    ]
}

/// A daemon that signs for example.com with two keys and for example.org with one.
fn start(folder: &Path, relay: &Taker) -> Daemon {
    let copies = [("rsa.pem", "rsa.pem"), ("ed25519.pem", "two.pem"), ("ed25519-two.pem", "org.pem")];
    for (from, to) in copies {
        std::fs::copy(key(from), folder.join(to)).unwrap();
    }
    let keys = "dkim: [
        (domain: \"example.com\", selector: \"one\", key_file: \"rsa.pem\"),
        (domain: \"example.com\", selector: \"two\", key_file: \"two.pem\"),
        (domain: \"Example.org\", selector: \"org\", key_file: \"org.pem\"),
    ],";
    start_actions(folder, relay.address, keys)
}

struct Published(HashMap<Box<str>, Txt>);

impl ResolverCache<Box<str>, Txt> for Published {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.get(name).cloned()
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

/// The verdict of mail-auth on each signature: domain, and whether it passes. In the order of the message.
fn by_mail_auth(message: &[u8], records: &[(String, String)]) -> Vec<(String, bool)> {
    let mut published = Published(HashMap::new());
    for (name, record) in records {
        let key = Txt::DomainKey(Arc::new(DomainKey::parse(record.as_bytes()).unwrap()));
        published.0.insert(name.as_str().into(), key.clone());
        published.0.insert(format!("{name}.").into(), key);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let resolver = MessageAuthenticator::new(ResolverConfig::default(), ResolverOpts::default()).unwrap();
        let message = AuthenticatedMessage::parse(message).unwrap();
        let results = resolver.verify_dkim(Parameters::new(&message).with_txt_cache(&published)).await;
        let domain = |s: Option<&mail_auth::dkim::Signature>| s.map(|s| s.d.clone()).unwrap_or_default();
        results.iter().map(|r| (domain(r.signature()), *r.result() == DkimResult::Pass)).collect()
    })
}

/// The verdict of dkimpy.
fn by_dkimpy(message: &[u8], records: &[(String, String)]) -> Vec<(String, bool)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/dkim_verify.py");
    let mut child = Command::new("/usr/bin/python3")
        .arg(script)
        .args(records.iter().map(|(name, record)| format!("{name}={record}")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 with python3-dkim and python3-nacl is installed by tests/run");
    child.stdin.take().unwrap().write_all(message).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success());
    let line = |line: &str| {
        let (domain, verdict) = line.split_once(' ').unwrap();
        (domain.trim_start_matches("d=").to_owned(), verdict == "pass")
    };
    String::from_utf8(out.stdout).unwrap().lines().map(line).collect()
}

/// Both implementations say so, and no more is there.
fn check(message: &[u8], records: &[(String, String)], want: &[(&str, bool)]) {
    let mut want: Vec<(String, bool)> = want.iter().map(|(d, good)| ((*d).to_owned(), *good)).collect();
    want.sort();
    for (name, mut got) in
        [("mail-auth", by_mail_auth(message, records)), ("dkimpy", by_dkimpy(message, records))]
    {
        got.sort();
        assert_eq!(got, want, "{name} on:\n{}", String::from_utf8_lossy(message));
    }
}

fn mail(from: &str, subject: &str) -> String {
    format!(
        "From: Ann <{from}>\nTo: far@outside.example\nSubject: {subject}\nMIME-Version: 1.0\n\
         Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nGrüße  \n\n\n"
    )
}

/// RFC 6376 3.4.4: lines at the end that hold nothing but white space are ignored. Told by a verifier that is not
/// the library that signs; and what the daemon signs so, it takes for signed.
#[test]
fn bodies_that_end_in_white_space_verify() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let daemon = start(folder.path(), &relay);
    let mut client = Client::login(daemon.address, "ann@example.com").unwrap();
    for (number, body) in
        ["x\n \n", "x\n\t\n\n", " \n", "\t", "x \t\n\n \n\t \ny \n \n", "x\n\n", ""].iter().enumerate()
    {
        let to = format!("far{number}@outside.example");
        let head = mail("ann@example.com", "plain");
        let head = head.split("\n\n").next().unwrap();
        let reply = client.message("ann@example.com", &[to.as_str()], &format!("{head}\n\n{body}")).unwrap();
        assert!(reply.starts_with("250"), "{reply}");
        let got = by_dkimpy(&relay.wait_for(&to).bytes, &records("ed25519.pub"));
        let want = OURS.map(|(domain, good)| (domain.to_owned(), good));
        assert_eq!(got, want, "{body:?}");
    }
}

const OURS: [(&str, bool); 2] = [("example.com", true), ("example.com", true)];

#[test]
fn submitted_mail_is_signed_after_everything_that_changes_it() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let daemon = start(folder.path(), &relay);
    let records = records("ed25519.pub");
    let mut client = Client::login(daemon.address, "ann@example.com").unwrap();
    let to = ["far@outside.example", "both@example.com"];
    // A signature from before, one of somebody else, and a Bcc that has to go.
    let before = "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=Example.COM;\n\ts=old; h=from; bh=x; b=y\n\
        DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=list.example; s=l; h=from;\n bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=eHl6\n\
        Bcc: hidden@outside.example\n";
    let message = format!("{before}{}", mail("ann@example.com", "[archive] [as sent] offer"));
    let reply = client.message("ann@example.com", &to, &message).unwrap();
    assert!(reply.starts_with("250"), "{reply}");

    let sent = relay.wait_for("far@outside.example");
    assert!(sent.text().contains("Example Ltd."), "the disclaimer is in: {}", sent.text());
    assert!(!sent.text().contains("s=old") && !sent.text().contains("hidden@"), "{}", sent.text());
    check(&sent.bytes, &records, &[OURS[0], OURS[1], ("list.example", false)]);
    let first = sent.text();
    assert!(first.starts_with("DKIM-Signature: "), "in front of all else: {first}");

    // The copies too: the recording one of the original, since here both rules want the same target.
    let copy = relay.wait_for("store@archive.example");
    assert!(copy.text().starts_with("X-Edict-Copy: ") && !copy.text().contains("Example Ltd."));
    check(&copy.bytes, &records, &[OURS[0], OURS[1], ("list.example", false)]);
    // And what stays inside, since it may be passed on from there.
    let inside = daemon.wait_for_mail("both@example.com", 1)[0].replace('\n', "\r\n");
    check(inside.as_bytes(), &records, &[OURS[0], OURS[1], ("list.example", false)]);
    daemon.wait_for_log(&["signed for example.com"]);

    let reply = client.message("ann@example.com", &to[..1], &mail("ann@example.com", "x")).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
}

/// A next hop without 8BITMIME gets a converted message, and that is signed as well.
#[test]
fn what_is_converted_for_a_next_hop_is_signed_anew() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&[]);
    let daemon = start(folder.path(), &relay);
    let mut client = Client::login(daemon.address, "ann@example.com").unwrap();
    let to = ["far@outside.example"];
    let reply = client.message("ann@example.com", &to, &mail("ann@example.com", "[as sent] offer")).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    for to in ["far@outside.example", "store@archive.example"] {
        let sent = relay.wait_for(to);
        assert!(sent.bytes.is_ascii() && sent.text().contains("Gr=C3=BC=C3=9Fe"), "{}", sent.text());
        check(&sent.bytes, &records("ed25519.pub"), &OURS);
    }
    // A stranger's mail is converted as well, and not signed for him.
    let mut stranger = Client::hello(daemon.address).unwrap();
    let reply = stranger
        .message("x@far.example", &["alone@example.com"], &mail("ann@example.com", "forged"))
        .unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    wait_for("the forwarded one", || relay.messages().iter().any(|m| m.text().contains("forged")));
    let passed = relay.messages().into_iter().find(|m| m.text().contains("forged")).unwrap();
    check(&passed.bytes, &records("ed25519.pub"), &[]);
}

#[test]
fn each_domain_is_signed_with_its_own_keys_and_strangers_with_none() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let daemon = start(folder.path(), &relay);
    let records = records("ed25519.pub");
    let mut dora = Client::login(daemon.address, "dora@example.org").unwrap();
    let reply =
        dora.message("dora@example.org", &["org@outside.example"], &mail("dora@example.org", "x")).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    check(&relay.wait_for("org@outside.example").bytes, &records, &[("example.org", true)]);

    // A stranger that writes our name into From, through an alias that leads outside: passed on, not vouched for.
    let mut stranger = Client::hello(daemon.address).unwrap();
    let forged = mail("ann@example.com", "forged");
    let reply = stranger.message("x@far.example", &["alone@example.com"], &forged).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    let passed = relay.wait_for("far@outside.example");
    check(&passed.bytes, &records, &[]);
    assert!(
        passed.text().ends_with(&format!("{}\r\n", forged.replace('\n', "\r\n"))),
        "no byte of it is changed"
    );
    assert!(passed.mail.starts_with("<SRS0="), "{}", passed.mail);
}

#[test]
fn notices_of_the_daemon_are_signed() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let daemon = start(folder.path(), &relay);
    let mut client = Client::login(daemon.address, "ann@example.com").unwrap();
    let reply = client
        .message("ann@example.com", &["refuse@outside.example"], &mail("ann@example.com", "x"))
        .unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    let notice = daemon.wait_for_mail("ann@example.com", 1)[0].replace('\n', "\r\n");
    assert!(notice.contains("From: Mail Delivery System <MAILER-DAEMON@mx.example.com>"), "{notice}");
    // Only the notice's own header counts: the returned one holds signatures as well.
    check(notice.as_bytes(), &records("ed25519.pub"), &OURS);
}

#[test]
fn keys_are_read_again_on_sighup_and_a_bad_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let daemon = start(folder.path(), &relay);
    let mut client = Client::login(daemon.address, "ann@example.com").unwrap();
    let mut send = |to: &str| {
        let reply = client.message("ann@example.com", &[to], &mail("ann@example.com", "x")).unwrap();
        assert!(reply.starts_with("250"), "{reply}");
        relay.wait_for(to).bytes
    };
    check(&send("a@outside.example"), &records("ed25519.pub"), &OURS);
    std::fs::write(folder.path().join("two.pem"), "-----BEGIN PRIVATE KEY-----\nAAAA\n").unwrap();
    let (code, text) = daemon.ask(&["reload"]);
    assert!(code == 1 && text.contains("two.pem") && text.contains("PEM"), "{text}");
    check(&send("b@outside.example"), &records("ed25519.pub"), &OURS);
    std::fs::copy(key("ed25519-two.pem"), folder.path().join("two.pem")).unwrap();
    daemon.signal("HUP");
    daemon.wait_for_log(&["reloaded"]);
    let changed = send("c@outside.example");
    check(&changed, &records("ed25519-two.pub"), &OURS);
    check(&changed, &records("ed25519.pub"), &[OURS[0], ("example.com", false)]);
    // And the list itself: one key taken out.
    let config = folder.path().join("edictd.ron");
    let text = std::fs::read_to_string(&config).unwrap();
    let less: Vec<&str> = text.lines().filter(|line| !line.contains("selector: \"one\"")).collect();
    std::fs::write(&config, less.join("\n")).unwrap();
    let (code, text) = daemon.ask(&["reload"]);
    assert_eq!(code, 0, "{text}");
    check(&send("d@outside.example"), &records("ed25519-two.pub"), &OURS[..1]);
}

#[test]
fn a_daemon_with_a_key_that_is_none_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key.pem"), "nothing").unwrap();
    let config = folder.path().join("edictd.ron");
    let dkim = "(dkim: [(domain: \"example.com\", selector: \"s\", key_file: \"key.pem\")])";
    std::fs::write(&config, dkim).unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_edictd"))
        .args(["run", "--config", config.to_str().unwrap(), "--data"])
        .arg(folder.path().join("data"))
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(2));
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(told.contains("key.pem") && told.contains("no private key"), "{told}");
}
