//! TLS and logins with a real daemon: swaks and smtplib submit mail, certificates are changed while it runs.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use support::daemon::Daemon;
use support::{build_table, free_port};

/// Writes a certificate that signs itself, and its key.
fn certificate(folder: &Path, name: &str, names: &[&str]) {
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    let own = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), own.cert.pem()).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), own.signing_key.serialize_pem()).unwrap();
}

/// `edictd passwd`, with the password on its standard input.
fn passwd(users: &Path, arguments: &[&str], password: &str) -> (i32, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_edictd"))
        .args(["passwd", "--file", users.to_str().unwrap()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that needs no password may be gone already.
    let _ = child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes());
    let out = child.wait_with_output().unwrap();
    (out.status.code().unwrap(), String::from_utf8_lossy(&out.stderr).into_owned())
}

struct Server {
    daemon: Daemon,
    submission: SocketAddr,
    submissions: SocketAddr,
}

fn server(folder: &Path, minimum: &str) -> Server {
    build_table("submission", &folder.join("edict.table"), |_| ());
    certificate(folder, "mx", &["mx.example.com", "127.0.0.1"]);
    certificate(folder, "other", &["mail.other.example", "*.wild.example"]);
    let users = folder.join("users");
    for (user, scheme) in [("alice@example.com", "argon2id"), ("bob@example.com", "sha512-crypt")] {
        let (code, text) = passwd(&users, &["--scheme", scheme, user], "correct horse");
        assert_eq!(code, 0, "{text}");
    }
    let (mx, submission, submissions) = (free_port(), free_port(), free_port());
    let config = format!(
        r#"(
            table: "edict.table",
            users: "users",
            tls: (
                certificates: [
                    (certificate: "mx.pem", key: "mx.key"),
                    (certificate: "other.pem", key: "other.key"),
                ],
                minimum: "{minimum}",
            ),
            listeners: [
                (address: "{submission}", role: submission),
                (address: "{submissions}", role: submissions),
                (address: "{mx}"),
            ],
        )"#
    );
    Server { daemon: Daemon::configured(folder, mx, &config), submission, submissions }
}

fn python(script: &str, arguments: &[&str]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(script);
    let out = Command::new("python3").arg(path).args(arguments).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[test]
fn smtplib_logs_in_over_tls_and_never_without() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), "1.3");
    let port = |address: SocketAddr| address.port().to_string();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    python(
        "tls.py",
        &[
            &port(server.submission),
            &port(server.submissions),
            &port(server.daemon.address),
            &file("mx.pem"),
            &file("other.pem"),
        ],
    );
    let mail = server.daemon.wait_for_mail("bob@example.com", 3);
    let received = |subject: &str, protocol: &str| {
        let mail = mail.iter().find(|m| m.contains(&format!("Subject: {subject}\n"))).unwrap();
        assert!(mail.contains(&format!("with {protocol} ")), "{mail}");
    };
    received("starttls", "ESMTPSA");
    received("implicit", "ESMTPSA");
    received("stranger", "ESMTPS");
    let line = server.daemon.wait_for_log(&["accepted", "user=alice@example.com"]);
    assert!(!server.daemon.read_log().contains("correct horse"), "no password is logged: {line}");
}

/// A user with swaks: STARTTLS and a login, each mechanism, and a user whose entry is SCRAM (RFC 5802, RFC 7677).
#[test]
fn swaks_logs_in() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), "1.2");
    let swaks = |mechanism: &str, user: &str, password: &str| {
        let out = Command::new("swaks")
            .args(["--server", &server.submission.to_string(), "-tls", "-a", mechanism])
            .args(["-au", user, "-ap", password, "--from", user, "--to", "bob@example.com"])
            .args(["--header", &format!("From: {user}")])
            .output()
            .expect("swaks is installed by tests/run");
        (out.status.success(), String::from_utf8_lossy(&out.stdout).into_owned())
    };
    for mechanism in ["PLAIN", "LOGIN"] {
        let (good, dialogue) = swaks(mechanism, "alice@example.com", "correct horse");
        assert!(good, "{dialogue}");
        let (good, dialogue) = swaks(mechanism, "alice@example.com", "battery staple");
        assert!(!good && dialogue.contains("<~* 535 5.7.8 "), "{dialogue}");
    }
    // A new user is there after a reload, and not before.
    let users = folder.path().join("users");
    let scram = ["--scheme", "scram-sha-256", "carol@example.com"];
    assert_eq!(passwd(&users, &scram, "staple").0, 0);
    assert!(!swaks("PLAIN", "carol@example.com", "staple").0);
    assert_eq!(server.daemon.ask(&["reload"]).0, 0);
    let (good, dialogue) = swaks("PLAIN", "carol@example.com", "staple");
    assert!(good, "{dialogue}");
    assert!(dialogue.contains("AUTH PLAIN LOGIN SCRAM-SHA-256"), "{dialogue}");
    server.daemon.wait_for_mail("bob@example.com", 3);
    let certificate = folder.path().join("mx.pem");
    let port = server.submission.port().to_string();
    python("scram.py", &[&port, certificate.to_str().unwrap(), "carol@example.com", "staple"]);
    server.daemon.wait_for_mail("bob@example.com", 5);
}

/// AUTH guessing: logins by SCRAM work on, and the salts of those who are not there stay what they are, as a user's does,
/// over a reload that changes the file, a restart, and a kill.
#[test]
fn challenges_outlive_reloads_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = server(folder.path(), "1.2");
    let users = folder.path().join("users");
    let scram = |user| assert_eq!(passwd(&users, &["--scheme", "scram-sha-256", user], "staple").0, 0);
    scram("carol@example.com");
    assert_eq!(server.daemon.ask(&["reload"]).0, 0);
    let certificate = folder.path().join("mx.pem");
    let port = server.submission.port().to_string();
    let shown = || python("scram.py", &[&port, certificate.to_str().unwrap(), "carol@example.com", "staple"]);
    let before = shown();
    assert_eq!(before.lines().count(), 2, "{before}");
    scram("dave@example.com");
    assert_eq!(server.daemon.ask(&["reload"]).0, 0);
    assert_eq!(shown(), before, "after a reload");
    assert!(server.daemon.stop());
    server.daemon.restart();
    assert_eq!(shown(), before, "after a restart");
    server.daemon.kill();
    server.daemon.restart();
    assert_eq!(shown(), before, "after a kill");
}

/// Certificates are read again with everything else, and a broken one changes nothing at all.
#[test]
fn certificates_are_reloaded_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), "1.2");
    let shown = || {
        let out = Command::new("openssl")
            .args(["s_client", "-connect", &server.submissions.to_string(), "-servername", "mx.example.com"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let begin = text.find("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("{text}"));
        let end = text[begin..].find("-----END").unwrap();
        text[begin..begin + end].replace(['\r', '\n'], "")
    };
    let on_disk = || {
        let text = std::fs::read_to_string(folder.path().join("mx.pem")).unwrap();
        text[..text.find("-----END").unwrap()].replace(['\r', '\n'], "")
    };
    let first = on_disk();
    assert_eq!(shown(), first);
    certificate(folder.path(), "mx", &["mx.example.com", "127.0.0.1"]);
    assert_eq!(shown(), first, "not before a reload");
    server.daemon.signal("HUP");
    server.daemon.wait_for_log(&["reloaded"]);
    let second = on_disk();
    assert_ne!(first, second);
    assert_eq!(shown(), second);

    // A key that belongs to another certificate, with a change of the table and of the users beside it.
    std::fs::copy(folder.path().join("other.key"), folder.path().join("mx.key")).unwrap();
    build_table("every-kind", &folder.path().join("edict.table"), |_| ());
    std::fs::write(folder.path().join("users"), "nobody@example.com:\n").unwrap();
    let before = server.daemon.ask(&["status", "--format", "json"]).1;
    let (code, text) = server.daemon.ask(&["reload"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("mx.pem"), "the reason names the file: {text}");
    let table =
        |status: &str| serde_json::from_str::<serde_json::Value>(status).unwrap()["table"].to_string();
    assert_eq!(table(&server.daemon.ask(&["status", "--format", "json"]).1), table(&before));
    assert_eq!(shown(), second, "the last good certificate stays");
    let mut client = support::client::Client::hello(server.daemon.address).unwrap();
    let reply = client.message("x@elsewhere.example", &["bob@example.com"], "Subject: x\n\nx").unwrap();
    assert!(reply.starts_with("250"), "the users stay too: {reply}");
}

#[test]
fn passwd_keeps_the_file_whole() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    std::fs::write(&users, "# people\nann@example.com:!\n").unwrap();
    assert_eq!(passwd(&users, &["bob@example.com"], "secret").0, 0);
    assert_eq!(passwd(&users, &["--no-login", "ann@example.com"], "").0, 0);
    let text = std::fs::read_to_string(&users).unwrap();
    assert!(text.starts_with("# people\nann@example.com:\nbob@example.com:$argon2id$"), "{text}");
    assert!(!text.contains("secret"));
    for (arguments, password, code) in [
        (&["no@body@example.com"][..], "x", 1),
        (&["carl@example.com"], "", 1),
        (&["--remove", "carl@example.com"], "", 1),
        (&["--scheme", "md5", "carl@example.com"], "x", 2),
    ] {
        let (got, message) = passwd(&users, arguments, password);
        assert_eq!(got, code, "{arguments:?}: {message}");
        assert_eq!(std::fs::read_to_string(&users).unwrap(), text, "{arguments:?} changed nothing");
    }
    // Another change is under way.
    std::fs::write(folder.path().join("users.new"), "").unwrap();
    let (code, message) = passwd(&users, &["carl@example.com"], "x");
    assert!(code == 2 && message.contains("users.new"), "{message}");
    std::fs::remove_file(folder.path().join("users.new")).unwrap();
    assert_eq!(passwd(&users, &["--remove", "bob@example.com"], "").0, 0);
    assert_eq!(std::fs::read_to_string(&users).unwrap(), "# people\nann@example.com:\n");
}
