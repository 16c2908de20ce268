//! Between a real Postfix before and behind, and a real Dovecot behind: TLS both ways with verified certificates, logins,
//! LMTP, notices. Each server is an instance of its own below a temporary folder, on loopback, stopped at the end.
//!
//! Postfix starts as root alone, so these tests must run as root.

#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use std::net::Ipv6Addr;
use std::path::Path;
use support::client::Client;
use support::daemon::Daemon;
use support::dovecot::Dovecot;
use support::postfix::Postfix;
use support::{build_table, counting_sink, dns, free_port, wait_for};

/// An authority, and a certificate of it for these names; `ca.pem`, `NAME.pem` and `NAME.key` below `folder`.
fn certificates(folder: &Path, of: &[(&str, &[&str])]) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "the test's authority");
    let authority = params.self_signed(&key).unwrap();
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    let issuer = rcgen::Issuer::new(params, key);
    for (name, names) in of {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let own = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, *name);
        let signed = params.signed_by(&own, &issuer).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), signed.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), own.serialize_pem()).unwrap();
    }
}

/// The rules of `tests/rules/interop`, with the port of the relay put in.
fn rules(folder: &Path, relay: u16) {
    build_table("interop", &folder.join("edict.table"), |sources| {
        let text = std::fs::read_to_string("tests/rules/interop/main.edict").unwrap();
        sources.insert("main.edict".to_owned(), text.replace(":10025", &format!(":{relay}")).into_bytes());
    });
}

/// Postfix as a provider: mail of those who log in over TLS, into mailboxes of its own.
fn provider(folder: &Path, auth: &Path) -> Postfix {
    let (here, auth) = (folder.display(), auth.display());
    Postfix::start(
        folder,
        &format!(
            "smtpd_tls_cert_file = {here}/provider.pem\nsmtpd_tls_key_file = {here}/provider.key\n\
             smtpd_tls_security_level = may\nsmtpd_tls_loglevel = 1\nsmtpd_tls_received_header = yes\n\
             smtpd_sasl_auth_enable = yes\nsmtpd_tls_auth_only = yes\nsmtpd_sasl_type = dovecot\n\
             smtpd_sasl_path = {auth}\nmynetworks =\n\
             smtpd_recipient_restrictions = permit_sasl_authenticated, check_recipient_access inline:{{partner.example=OK}}, reject\n\
             smtpd_relay_restrictions = permit_sasl_authenticated, permit_auth_destination, reject\n\
             virtual_mailbox_domains = out.example, partner.example\n\
             virtual_mailbox_base = {here}/postfix/mail\n\
             virtual_mailbox_maps = inline:{{bob@out.example=bob/, eve@out.example=eve/, pat@partner.example=pat/}}\n\
             virtual_uid_maps = static:65534\nvirtual_gid_maps = static:65534\nvirtual_minimum_uid = 1\n"
        ),
    )
}

fn config(folder: &Path, more: &str) -> Daemon {
    let address = free_port();
    std::fs::write(folder.join("provider.password"), "correct horse\n").unwrap();
    Daemon::configured(
        folder,
        address,
        &format!(
            r#"(
                table: "edict.table",
                listeners: [(address: "{address}")],
                credentials: {{ "provider": (login: "edict", password_file: "provider.password") }},
                next_hops: (roots: "ca.pem"),
                queue: (first_retry_seconds: 1, longest_retry_seconds: 2),
                {more}
            )"#
        ),
    )
}

#[test]
fn a_provider_behind_with_tls_verified_and_a_login() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    certificates(folder, &[("provider", &["127.0.0.1"])]);
    let dovecot = Dovecot::start(folder, &[("edict", 1 << 20)]);
    let postfix = provider(folder, &dovecot.auth);
    rules(folder, postfix.address.port());
    let mut daemon = config(folder, "");
    let mut client = Client::hello(daemon.address).unwrap();
    let long = "0123456789 and so on, up to the end of the line\n".repeat(4000);
    for (to, body) in [
        (&["bob@out.example", "eve@out.example"][..], "Subject: two\n\n..dots\n.\nend"),
        (&["bob@out.example"], &format!("Subject: long\n\n{long}")),
        (&["pat@partner.example"], "Subject: partner\n\nhi"),
    ] {
        let reply = client.message("alice@example.com", to, &body.replace("\n.", "\n..")).unwrap();
        assert!(reply.starts_with("250"), "{reply}");
    }
    let bob = postfix.wait_for_mail("bob", 2);
    let eve = postfix.wait_for_mail("eve", 1);
    let pat = postfix.wait_for_mail("pat", 1);
    assert!(eve[0].ends_with("\n\n..dots\n.\nend\n"), "{}", eve[0]);
    assert!(bob.iter().any(|m| m.contains(&long)), "the long one came whole");
    for mail in bob.iter().chain(&eve) {
        assert!(mail.contains("(using TLSv1.3 with cipher"), "{mail}");
        assert!(mail.contains("with ESMTPSA") && mail.contains("Return-Path: <alice@example.com>"), "{mail}");
    }
    assert!(pat[0].contains("with ESMTPS ") || pat[0].contains("with ESMTPS\n"), "no login: {}", pat[0]);
    // One transaction for those who share route and message, by BDAT over a connection that is used again. What smtpd logs
    // goes through another process of Postfix.
    let transactions = || postfix.log().matches("sasl_username=edict").count();
    wait_for("Postfix to log both transactions", || transactions() >= 2);
    assert_eq!(transactions(), 2, "{}", postfix.log());
    // A recipient that Postfix refuses comes back as a notice, and the others have theirs.
    let reply = client
        .message("alice@example.com", &["nobody@out.example", "bob@out.example"], "Subject: half\n\nx")
        .unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    postfix.wait_for_mail("bob", 3);
    let notice = daemon.wait_for_mail("alice@example.com", 1).remove(0);
    for part in [
        "Return-Path: <>",
        "Content-Type: multipart/report; report-type=delivery-status;",
        "Final-Recipient: rfc822; nobody@out.example\nAction: failed\nStatus: 5.1.1\n",
        "Remote-MTA: dns; [127.0.0.1]\n",
        "Diagnostic-Code: smtp; 550 5.1.1 <nobody@out.example>: Recipient address rejected",
        "Subject: half",
    ] {
        assert!(notice.contains(part), "{part} is not in {notice}");
    }
    assert!(!notice.contains("bob@out.example\nAction"), "{notice}");
    // At its end the daemon says QUIT, and Postfix counts what it got over each connection.
    assert!(daemon.stop());
    wait_for("Postfix to count BDAT", || postfix.log().contains(" bdat="));
    assert_eq!(transactions(), 3, "{}", postfix.log());
}

#[test]
fn mail_waits_where_the_certificate_is_somebody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    certificates(folder, &[("provider", &["other.example"])]);
    let dovecot = Dovecot::start(folder, &[("edict", 1 << 20)]);
    let postfix = provider(folder, &dovecot.auth);
    rules(folder, postfix.address.port());
    let daemon = config(folder, "");
    let mut client = Client::hello(daemon.address).unwrap();
    for to in ["bob@out.example", "pat@partner.example"] {
        let reply = client.message("alice@example.com", &[to], "Subject: x\n\nx").unwrap();
        assert!(reply.starts_with("250"), "{reply}");
    }
    // Opportunistic TLS asks for no name.
    postfix.wait_for_mail("pat", 1);
    daemon.wait_for_log(&["a next hop cannot be reached", "provider", "not valid for name"]);
    // Postfix has pat's message before the daemon notes that it has.
    wait_for("one message that waits", || daemon.counter("queued") == 1);
    assert_eq!(postfix.mailbox("bob").len(), 0);
    assert!(!postfix.log().contains("sasl_username"), "the password was not shown to it");
}

#[test]
fn dovecot_behind_by_lmtp() {
    for tcp in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        certificates(folder, &[]);
        let dovecot = Dovecot::start(folder, &[("alice@example.com", 1 << 20), ("bob@example.com", 2000)]);
        rules(folder, 1);
        let local = if tcp {
            format!("local: lmtp(\"{}\"),", dovecot.lmtp)
        } else {
            format!("local: lmtp_unix(\"{}\"),", dovecot.socket.display())
        };
        let daemon = config(folder, &local);
        let mut client = Client::hello(daemon.address).unwrap();
        // carl is a user to the rules but not to Dovecot; bob's mailbox is too small for this.
        let to = ["alice@example.com", "bob@example.com", "carl@example.com"];
        let message = format!("Subject: for three\n\n{}", "some text in a line\n".repeat(300));
        let reply = client.message("dora@example.com", &to, &message).unwrap();
        assert!(reply.starts_with("250"), "{reply}");
        let alice = dovecot.wait_for_mail("alice@example.com", 1);
        assert!(alice[0].contains("Return-Path: <dora@example.com>"), "{}", alice[0]);
        assert!(alice[0].contains("by edict.example.com with ESMTP"), "{}", alice[0]);
        daemon.wait_for_log(&["alice@example.com", "delivered"]);
        daemon.wait_for_log(&["carl@example.com", "550 5.1.1"]);
        wait_for("what became of bob's", || {
            let log = daemon.read_log();
            let of_bob = |what: &str| log.lines().any(|l| l.contains("bob@example.com") && l.contains(what));
            of_bob("552 5.2.2") || of_bob("452 4.2.2")
        });
        assert!(dovecot.mailbox("bob@example.com").is_empty());
    }
}

#[test]
fn postfix_before_with_tls_verified() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    certificates(folder, &[("edict", &["edict.example.com", "localhost"])]);
    rules(folder, 1);
    let daemon = config(folder, r#"tls: (certificates: [(certificate: "edict.pem", key: "edict.key")]),"#);
    let here = folder.display();
    let postfix = Postfix::start(
        folder,
        &format!(
            "mynetworks = 127.0.0.0/8\nsmtpd_relay_restrictions = permit_mynetworks, reject\n\
             default_transport = smtp:[localhost]:{port}\nsmtp_tls_security_level = verify\n\
             smtp_tls_verify_cert_match = edict.example.com\nsmtp_tls_CAfile = {here}/ca.pem\n\
             smtp_tls_loglevel = 1\nminimal_backoff_time = 1s\n",
            port = daemon.address.port()
        ),
    );
    let mut client = Client::hello(postfix.address).unwrap();
    for number in 0..20 {
        let to =
            if number % 2 == 0 { &["bob@example.com"][..] } else { &["bob@example.com", "carl@example.com"] };
        let text = format!("Subject: number {number}\n\n..a dot\n{}", "x".repeat(number * 1000 % 900));
        let reply = client.message("ann@far.example", to, &text).unwrap();
        assert!(reply.starts_with("250"), "{reply}");
    }
    let bob = daemon.wait_for_mail("bob@example.com", 20);
    daemon.wait_for_mail("carl@example.com", 10);
    for mail in &bob {
        assert!(mail.contains("from postfix.example") && mail.contains("with ESMTPS"), "{mail}");
        assert!(mail.contains("\n.a dot\n"), "{mail}");
    }
    wait_for("Postfix to log the TLS", || {
        postfix.log().contains("Verified TLS connection established to localhost")
    });
    // What edictd refuses, Postfix tells its sender: edictd itself sends no notice.
    let reply = client.message("bob@example.com", &["nobody@example.com"], "Subject: x\n\nx").unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    let notice = daemon.wait_for_mail("bob@example.com", 21);
    assert!(notice.iter().any(|m| m.contains("550 5.1.1 no such mailbox")));
}

#[test]
fn outside_by_mx_as_the_configuration_says() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let postfix = Postfix::start(
        folder,
        &format!(
            "mynetworks = 127.0.0.0/8\nvirtual_mailbox_domains = mx.test, a.test\n\
             virtual_mailbox_base = {here}/postfix/mail\n\
             virtual_mailbox_maps = inline:{{bob@mx.test=bob/, ann@a.test=ann/}}\n\
             virtual_uid_maps = static:65534\nvirtual_gid_maps = static:65534\nvirtual_minimum_uid = 1\n",
            here = folder.display()
        ),
    );
    let home = "127.0.0.1".parse().unwrap();
    let server = dns::start(vec![
        ("mx.test", dns::Record::Mx(20, "good.test")),
        ("mx.test", dns::Record::Mx(10, "down.test")),
        // Nobody listens there.
        ("down.test", dns::Record::A("127.0.0.9".parse().unwrap())),
        ("good.test", dns::Record::A(home)),
        ("a.test", dns::Record::A(home)),
        ("null.test", dns::Record::Mx(0, "")),
        ("loop.test", dns::Record::Mx(10, "edict.example.com")),
    ]);
    // No route: what leaves goes where the configuration says.
    build_table("interop", &folder.join("edict.table"), |sources| {
        let text = std::fs::read_to_string("tests/rules/interop/main.edict").unwrap();
        let end = text.find("relay provider").unwrap();
        sources.insert("main.edict".to_owned(), text.as_bytes()[..end].to_vec());
    });
    let address = free_port();
    let daemon = Daemon::configured(
        folder,
        address,
        &format!(
            r#"(
                table: "edict.table",
                listeners: [(address: "{address}")],
                outside: mx,
                next_hops: (name_servers: ["{server}"], mx_port: {port}),
            )"#,
            port = postfix.address.port()
        ),
    );
    let mut client = Client::hello(daemon.address).unwrap();
    let to = ["bob@mx.test", "ann@a.test", "x@null.test", "x@gone.test", "x@loop.test"];
    let reply = client.message("alice@example.com", &to, "Subject: by MX\n\nx").unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    postfix.wait_for_mail("bob", 1);
    postfix.wait_for_mail("ann", 1);
    // Who is refused early may be told of before the others are known.
    daemon.wait_for_empty_queue();
    let notices = daemon.mailbox("alice@example.com").concat();
    for (who, status) in [("x@null.test", "5.1.10"), ("x@gone.test", "5.1.2"), ("x@loop.test", "5.4.6")] {
        let part = format!("Final-Recipient: rfc822; {who}\nAction: failed\nStatus: {status}\n");
        assert_eq!(notices.matches(&part).count(), 1, "{part} is told of once: {notices}");
    }
}

/// RFC 5321 5.1: a server with several addresses is tried at each, of whichever kind the first ones are.
#[test]
fn every_address_of_a_server_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (four, by_four) = counting_sink::start();
    let by_six = counting_sink::start_at((Ipv6Addr::LOCALHOST, four.port()).into());
    // Nobody listens at either, nor is there a way to the second.
    let (dead, far) = ("127.0.0.9".parse().unwrap(), "2001:db8::1".parse().unwrap());
    let server = dns::start(vec![
        ("six.test", dns::Record::Mx(10, "dead-four.test")),
        ("dead-four.test", dns::Record::A(dead)),
        ("dead-four.test", dns::Record::Aaaa(Ipv6Addr::LOCALHOST)),
        ("four.test", dns::Record::Mx(10, "dead-six.test")),
        ("dead-six.test", dns::Record::Aaaa(far)),
        ("dead-six.test", dns::Record::A("127.0.0.1".parse().unwrap())),
        ("second.test", dns::Record::A(dead)),
        ("second.test", dns::Record::A("127.0.0.1".parse().unwrap())),
    ]);
    let address = free_port();
    let daemon = Daemon::configured(
        folder,
        address,
        &format!(
            r#"(
                listeners: [(address: "{address}")],
                outside: mx,
                next_hops: (name_servers: ["{server}"], mx_port: {port}, connect_seconds: 2),
            )"#,
            port = four.port()
        ),
    );
    let mut client = Client::hello(daemon.address).unwrap();
    for (domain, arrives) in [("six.test", &by_six), ("four.test", &by_four), ("second.test", &by_four)] {
        let text = format!("X-Number: {domain}\nSubject: x\n\nx");
        let reply = client.message("alice@example.com", &[&format!("bob@{domain}")], &text).unwrap();
        assert!(reply.starts_with("250"), "{reply}");
        wait_for(domain, || arrives.lock().unwrap().get(domain) == Some(&1));
    }
    assert_eq!((by_six.lock().unwrap().len(), by_four.lock().unwrap().len()), (1, 2));
}
