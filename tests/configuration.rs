//! Reloads that change the configuration: listeners come and go, bounds change, and all or nothing holds.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use support::client::Client;
use support::daemon::Daemon;
use support::{build_table, free_port, wait_for};

const HELLO: &str = "Subject: hello\n\nx";

fn write(folder: &Path, listeners: &[SocketAddr], more: &str) -> String {
    let listeners: Vec<String> = listeners.iter().map(|a| format!("(address: \"{a}\")")).collect();
    let text = format!("(table: \"edict.table\", listeners: [{}], {more})", listeners.join(", "));
    std::fs::write(folder.join("edictd.ron"), &text).unwrap();
    text
}

#[test]
fn listeners_come_and_go_and_connections_stay() {
    let folder = tempfile::tempdir().unwrap();
    build_table("every-kind", &folder.path().join("edict.table"), |_| ());
    let (first, second) = (free_port(), free_port());
    let daemon = Daemon::configured(folder.path(), first, &write(folder.path(), &[first], ""));
    let mut old = Client::hello(first).unwrap();

    write(folder.path(), &[first, second], "");
    let (code, text) = daemon.ask(&["reload"]);
    assert_eq!(code, 0, "{text}");
    let mut new = Client::hello(second).unwrap();
    assert!(new.message("x@elsewhere.example", &["alice@example.com"], HELLO).unwrap().starts_with("250"));

    write(folder.path(), &[second], "");
    assert_eq!(daemon.ask(&["reload"]).0, 0);
    wait_for("the first listener to be gone", || TcpStream::connect(first).is_err());
    let reply = old.message("x@elsewhere.example", &["alice@example.com"], HELLO).unwrap();
    assert!(reply.starts_with("250"), "a connection outlives its listener: {reply}");
    assert!(new.message("x@elsewhere.example", &["alice@example.com"], HELLO).unwrap().starts_with("250"));
    daemon.wait_for_mail("alice@example.com", 3);
}

#[test]
fn a_reload_that_cannot_be_taken_whole_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("edict.table");
    build_table("every-kind", &table, |_| ());
    let address = free_port();
    let good = write(folder.path(), &[address], "");
    let daemon = Daemon::configured(folder.path(), address, &good);
    let digest = || {
        let status = daemon.ask(&["status", "--format", "json"]).1;
        serde_json::from_str::<serde_json::Value>(&status).unwrap()["table"]["digest"].to_string()
    };
    let before = digest();
    // Every one of these comes with a new table, which must not get in.
    build_table("submission", &table, |_| ());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let spare = free_port();
    for (what, listeners, more, reason) in [
        ("no RON", vec![address], "tabel: \"x\"", "edictd.ron:1:"),
        ("a port that is in use", vec![address, spare, taken], "", "cannot listen on"),
        ("users that are not there", vec![address], "users: \"nowhere\"", "nowhere"),
        (
            "certificates that are not there",
            vec![address],
            "tls: (certificates: [(certificate: \"x.pem\", key: \"x.key\")])",
            "x.pem",
        ),
        (
            "what needs a restart",
            vec![address],
            "journal: (folder: \"j\"), log: \"other.log\"",
            "`journal`, `log`",
        ),
        (
            "one key of many that needs a restart",
            vec![address],
            "hostname: \"other.example\", pass_through: (connections: 5)",
            "`pass_through`",
        ),
        (
            "a password that is not there",
            vec![address],
            "outside: mx, credentials: { \"x\": (login: \"x\", password_file: \"no-password\") }",
            "no-password",
        ),
        ("authorities that are not there", vec![address], "next_hops: (roots: \"ca.pem\")", "ca.pem"),
        ("counters that cannot be shared", vec![address], "shared_quota: (url: \"ftp://x\")", "shared_quota"),
        ("no listener", vec![], "", "listeners"),
        ("a socket that was not passed", vec![address], "admin: \"elsewhere.sock\"", "`admin`"),
    ] {
        write(folder.path(), &listeners, more);
        let (code, text) = daemon.ask(&["reload"]);
        assert_eq!(code, 1, "{what}: {text}");
        assert!(text.contains(reason), "{what}: {text}");
        assert_eq!(digest(), before, "{what}");
        assert!(TcpStream::connect(spare).is_err(), "{what}: nothing half open");
        assert!(Client::hello(address).is_ok(), "{what}");
    }
    std::fs::write(folder.path().join("edictd.ron"), &good).unwrap();
    assert_eq!(daemon.ask(&["reload"]).0, 0);
    assert_ne!(digest(), before);
    assert_eq!(daemon.ask(&["rollback"]).0, 0);
    assert_eq!(digest(), before);
}

/// One client cannot take all connections, and what is over gets a quick 421.
#[test]
fn connections_are_bounded_for_all_and_for_each() {
    let folder = tempfile::tempdir().unwrap();
    build_table("submission", &folder.path().join("edict.table"), |_| ());
    let address = free_port();
    let config = |bounds: &str| write(folder.path(), &[address], &format!("clients: ({bounds})"));
    let daemon = Daemon::configured(folder.path(), address, &config("connections_per_client: 2"));
    let open = || TcpStream::connect(address).unwrap();
    let greeting = |client: &mut TcpStream| {
        let mut line = String::new();
        BufReader::new(client).read_line(&mut line).unwrap();
        line
    };
    // Connections are taken in order: with this one all that looked at the port before were taken, too.
    drop(Client::hello(address).unwrap());
    wait_for("the first looks at the port to be over", || daemon.counter("sessions") == 0);
    let mut three = [open(), open(), open()];
    let greetings: Vec<String> = three.iter_mut().map(greeting).collect();
    assert_eq!(greetings.iter().filter(|g| g.starts_with("220 ")).count(), 2, "{greetings:?}");
    assert_eq!(greetings.iter().filter(|g| g.starts_with("421 4.7.0 ")).count(), 1, "{greetings:?}");
    drop(three);

    config("connections: 3");
    assert_eq!(daemon.ask(&["reload"]).0, 0);
    wait_for("the connections to be gone", || daemon.counter("sessions") == 0);
    let mut four = [open(), open(), open(), open()];
    let greetings: Vec<String> = four.iter_mut().map(greeting).collect();
    assert_eq!(greetings.iter().filter(|g| g.starts_with("421 4.3.2 ")).count(), 1, "{greetings:?}");
}

#[test]
fn the_log_goes_to_a_file_that_is_opened_anew() {
    let folder = tempfile::tempdir().unwrap();
    build_table("every-kind", &folder.path().join("edict.table"), |_| ());
    let address = free_port();
    let config = write(folder.path(), &[address], "log: \"mail.log\"");
    let daemon = Daemon::configured(folder.path(), address, &config);
    let (log, moved) = (folder.path().join("mail.log"), folder.path().join("mail.log.1"));
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    wait_for("the log", || read(&log).contains("ready table="));
    std::fs::rename(&log, &moved).unwrap();
    daemon.signal("USR1");
    wait_for("the new log", || read(&log).contains("log reopened"));
    let mut client = Client::hello(address).unwrap();
    client.message("spam@elsewhere.example", &["alice@example.com"], HELLO).unwrap();
    wait_for("the verdict", || read(&log).contains("rule=\"bad senders\" at=access/verdicts.edict:"));
    let line = read(&log).lines().find(|l| l.contains("refused")).unwrap().to_owned();
    assert!(line.contains(" sender=<spam@elsewhere.example> ") && line.contains(" reply=\"550 "), "{line}");
    assert_eq!(daemon.read_log(), "", "nothing goes to standard error");
}

/// Behind a proxy the client's address counts, and the proxy's own trust is nobody else's.
#[test]
fn proxies_speak_for_their_clients() {
    let folder = tempfile::tempdir().unwrap();
    build_table("every-kind", &folder.path().join("edict.table"), |_| ());
    let (direct, proxied, xclient) = (free_port(), free_port(), free_port());
    let config = format!(
        "(table: \"edict.table\", listeners: [(address: \"{proxied}\", proxy_from: [\"127.0.0.1\"]), \
         (address: \"{xclient}\", xclient_from: [\"127.0.0.1\"]), (address: \"{direct}\")])"
    );
    let daemon = Daemon::configured(folder.path(), direct, &config);
    let swaks = |address: SocketAddr, more: &[&str]| {
        let out = std::process::Command::new("swaks")
            .args(["--server", &address.to_string(), "--from", "bob@example.com"])
            .args(["--to", "eve@elsewhere.example", "--header", "From: bob@example.com"])
            .args(more)
            .output()
            .unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    // Loopback is trusted in these rules, and may send out.
    assert!(swaks(direct, &[]).contains("250 2.0.0 Ok: queued"));
    let header = |version: &'static str, client: &'static str| {
        ["--proxy-version", version, "--proxy-family", if version == "1" { "TCP4" } else { "AF_INET" }]
            .into_iter()
            .chain(["--proxy-source", client, "--proxy-source-port", "4000"])
            .chain(["--proxy-dest", "192.0.2.1", "--proxy-dest-port", "25"])
            .collect::<Vec<_>>()
    };
    for version in ["1", "2"] {
        let dialogue = swaks(proxied, &header(version, "127.9.9.9"));
        assert!(dialogue.contains("250 2.0.0 Ok: queued"), "{dialogue}");
        let dialogue = swaks(proxied, &header(version, "203.0.113.9"));
        assert!(dialogue.contains("<** 550 5.7.1 "), "{dialogue}");
    }
    daemon.wait_for_log(&["refused", "client=203.0.113.9"]);
    assert!(!swaks(proxied, &["--quit-after", "HELO"]).contains("220 "), "no header, no greeting");
    let dialogue =
        swaks(xclient, &["--xclient-addr", "203.0.113.10", "--xclient-name", "mail.elsewhere.example"]);
    assert!(dialogue.contains("<** 550 5.7.1 "), "{dialogue}");
    daemon.wait_for_log(&["refused", "client=203.0.113.10"]);
    let dialogue = swaks(direct, &["--xclient-addr", "203.0.113.10", "--xclient-optional"]);
    assert!(dialogue.contains("250 2.0.0 Ok: queued"), "not offered where it is not obeyed: {dialogue}");
}

/// A client that holds a whole /64 is one client; the next /64 is another.
#[test]
fn connections_of_one_ipv6_network_count_together() {
    let folder = tempfile::tempdir().unwrap();
    build_table("every-kind", &folder.path().join("edict.table"), |_| ());
    let (direct, proxied) = (free_port(), free_port());
    let config = format!(
        "(table: \"edict.table\", clients: (connections_per_client: 2), listeners: [\
         (address: \"{proxied}\", proxy_from: [\"127.0.0.1\"]), (address: \"{direct}\")])"
    );
    let _daemon = Daemon::configured(folder.path(), direct, &config);
    let mut open = Vec::new();
    for (client, code) in [
        ("2001:db8::1", "220 "),
        ("2001:db8::ffff:2", "220 "),
        ("2001:db8::3", "421 4.7.0 "),
        ("2001:db8:0:1::1", "220 "),
    ] {
        let mut stream = TcpStream::connect(proxied).unwrap();
        write!(stream, "PROXY TCP6 {client} 2001:db8::25 4000 25\r\n").unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        assert!(line.starts_with(code), "{client}: {line}");
        open.push(stream);
    }
}

/// `edictd check-config` reads what a start would read: a configuration that it calls good does not fail for a file.
#[test]
fn check_config_reads_the_files_that_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    build_table("every-kind", &path("edict.table"), |_| ());
    let check = || {
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_edictd"))
            .arg("check-config")
            .arg(path("edictd.ron"))
            .output()
            .unwrap();
        let text = [run.stdout, run.stderr].concat();
        (run.status.code().unwrap(), String::from_utf8(text).unwrap())
    };
    let key = r#"dkim: [(domain: "example.com", selector: "s", key_file: "dkim.pem")]"#;
    let login = r#"credentials: {"hub": (login: "u", password_file: "hub.password")}"#;
    for (more, file, good) in [
        (
            r#"users: "users""#.to_owned(),
            "users",
            "ann@example.com:$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$J1dbkzhyKnYtfbV9qvmo5w\n",
        ),
        (login.to_owned(), "hub.password", "secret\n"),
        (key.to_owned(), "dkim.pem", ""),
    ] {
        write(folder.path(), &[free_port()], &more);
        let (code, text) = check();
        assert!(code == 1 && text.contains(file) && text.contains("No such file"), "{text}");
        std::fs::write(path(file), "\n\u{1}no key, no user\n").unwrap();
        let (code, text) = check();
        assert!(code == 1 && text.contains(file), "{text}");
        if !good.is_empty() {
            std::fs::write(path(file), good).unwrap();
            assert_eq!(check().0, 0, "{}", check().1);
        }
    }
    std::fs::write(path("taken"), "").unwrap();
    std::fs::create_dir(path("folder")).unwrap();
    for (more, said) in [
        (r#"log: "folder""#, "folder"),
        (r#"journal: (folder: "taken")"#, "no folder"),
        (r#"shared_quota: (url: "http://x")"#, "shared_quota"),
    ] {
        write(folder.path(), &[free_port()], more);
        let (code, text) = check();
        assert!(code == 1 && text.contains(said), "{more}: {text}");
    }
    std::fs::remove_file(path("taken")).unwrap();
    std::fs::remove_dir(path("folder")).unwrap();
    write(folder.path(), &[free_port()], "");
    std::fs::write(path("edict.table"), "no table").unwrap();
    let (code, text) = check();
    assert!(code == 1 && text.contains("edict.table"), "{text}");
    assert!(
        !path("data").exists() && std::fs::read_dir(folder.path()).unwrap().count() == 5,
        "nothing is written"
    );
}
