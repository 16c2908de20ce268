//! What of the front only a whole process shows: what is told of authenticity, lists that do not answer, memory for
//! messages in flight, a proxy before implicit TLS.

use crate::client::{Client, trusting};
use crate::mail::{Mail, Zone};
use crate::support::daemon::Daemon;
use crate::support::{build_text, free_port};
use crate::{certificate, name_server};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

const RULES: &str = "edict 1
profile { hostname mx.example.com local-domains [example.com] recipients any auth optional }
";
const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));

fn start(folder: &Path, address: SocketAddr, rules: &str, keys: &str) -> Daemon {
    build_text(&format!("{RULES}{rules}"), &folder.join("edict.table"));
    let listener = format!("(address: \"{address}\", proxy_from: [\"127.0.0.1\"])");
    Daemon::configured(folder, address, &format!("(table: \"edict.table\", listeners: [{listener}], {keys})"))
}

fn hello(address: SocketAddr, from: IpAddr) -> Client {
    let mut client = Client::connect(address, from).unwrap();
    assert!(client.reply().unwrap().unwrap().starts_with("220"));
    assert!(client.command("EHLO mx.stranger.example").unwrap().unwrap().starts_with("250"));
    client
}

fn say(client: &mut Client, line: &str) -> String {
    client.command(line).unwrap().unwrap()
}

/// SPF, DKIM and DMARC are found out in DNS, decide, and are told (RFC 8601); what strangers tell in our name is not.
#[test]
fn authenticity_is_found_out_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut zone = Zone::new();
    let mut mail = |text: &str| Mail::read(&format!("{text}; forged"), "someone", false, &mut zone);
    let good = mail("spf pass; dmarc pass");
    let other = mail("spf softfail; dmarc fail");
    let bad = mail("spf fail; dmarc fail");
    let address = free_port();
    let dns = name_server(zone.text());
    let rules =
        "reject \"forged\" { when spf is fail and dmarc is fail reply 550 5.7.26 \"Not authentic\" }\n";
    let keys = format!("next_hops: (name_servers: [\"{dns}\"]), authentication: (results: always)");
    let daemon = start(folder.path(), address, rules, &keys);
    let send = |mail: &Mail, to: &str| {
        hello(address, mail.client).message(&mail.sender, &[to.to_owned()], &mail.bytes()).unwrap()
    };
    let told = |to: &str| {
        let mail = daemon.wait_for_mail(to, 1).remove(0);
        let header = mail.split("\n\n").next().unwrap().replace("\n\t", " ").replace("\n ", " ");
        let fields = header.lines().filter(|line| line.starts_with("Authentication-Results:"));
        fields.map(str::to_owned).collect::<Vec<String>>()
    };
    assert!(send(&good, "a@example.com").starts_with("250"));
    let fields = told("a@example.com");
    assert_eq!(fields.len(), 1, "{fields:?}");
    for part in [
        "mx.example.com;",
        "spf=pass smtp.mailfrom=spf-pass.example",
        "dkim=pass header.d=dmarc-pass.example header.s=one",
        "dmarc=pass header.from=dmarc-pass.example",
    ] {
        assert!(fields[0].contains(part), "{part}: {fields:?}");
    }
    assert!(send(&other, "b@example.com").starts_with("250"));
    let fields = told("b@example.com");
    assert_eq!(fields.len(), 1, "{fields:?}");
    assert!(fields[0].contains("spf=softfail") && fields[0].contains("dmarc=fail"), "{fields:?}");
    let reply = send(&bad, "c@example.com");
    assert_eq!(reply, "550 5.7.26 Not authentic");

    // Told is what rules had found out; then nothing at all.
    for (results, to) in [("as_computed", "d@example.com"), ("never", "e@example.com")] {
        let keys = format!("next_hops: (name_servers: [\"{dns}\"]), authentication: (results: {results})");
        let listener = format!("(address: \"{address}\", proxy_from: [\"127.0.0.1\"])");
        let config = format!("(table: \"edict.table\", listeners: [{listener}], {keys})");
        std::fs::write(folder.path().join("edictd.ron"), config).unwrap();
        assert_eq!(daemon.ask(&["reload"]).0, 0);
        assert!(send(&good, to).starts_with("250"));
        let fields = told(to);
        assert!(fields.iter().all(|field| !field.contains("bank.example")), "{fields:?}");
        assert_eq!(!fields.is_empty(), results == "as_computed", "{fields:?}");
    }
}

/// A list that does not answer lists nobody, and the log says which.
#[test]
fn a_list_that_does_not_answer_is_named_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let zone = "9.113.0.203.sick.example SERVFAIL\n9.113.0.203.well.example A 127.0.0.2\n";
    let address = free_port();
    let dns = name_server(zone.to_owned());
    let rules = "reject \"sick\" { when client.ip is listed in \"sick.example\" and recipient is ann@example.com }\n\
        reject \"well\" { when client.ip is listed in \"well.example\" and recipient is bob@example.com }\n";
    let keys = format!("next_hops: (name_servers: [\"{dns}\"])");
    let daemon = start(folder.path(), address, rules, &keys);
    let mut client = hello(address, STRANGER);
    let mut send = |to: &str| client.message("x@far.example", &[to.to_owned()], b"\r\nHi\r\n").unwrap();
    assert!(send("ann@example.com").starts_with("250"));
    daemon.wait_for_log(&["WARN", "a DNS list did not answer", "zone=sick.example", "client=203.0.113.9"]);
    let reply = send("bob@example.com");
    assert!(reply.starts_with("550"), "{reply}");
    assert!(!daemon.read_log().contains("zone=well.example"));
}

/// Past `memory_mib` a message is refused for now, and what was on its way before is not harmed.
#[test]
fn memory_for_messages_in_flight_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let address = free_port();
    let daemon = start(folder.path(), address, "", "clients: (memory_mib: 24)");
    let chunk = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n".repeat(80_000);
    let begin = |client: &mut Client, last: &str| {
        for line in ["MAIL FROM:<x@far.example>", "RCPT TO:<ann@example.com>"] {
            assert!(say(client, line).starts_with("250"));
        }
        client.send(format!("BDAT {}{last}\r\n", chunk.len()).as_bytes()).unwrap();
        client.send(&chunk).unwrap();
        client.reply().unwrap().unwrap()
    };
    let (mut first, mut second) = (hello(address, STRANGER), hello(address, STRANGER));
    assert!(
        begin(&mut first, "").starts_with("250"),
        "five MiB, counted as sixteen: twice the eight that they grow into"
    );
    let reply = begin(&mut second, " LAST");
    assert!(reply.starts_with("452 4.3.1 "), "{reply}");
    assert!(say(&mut first, "BDAT 0 LAST").starts_with("250"));
    assert!(begin(&mut second, " LAST").starts_with("250"), "there is room again");
    assert!(daemon.wait_for_mail("ann@example.com", 2).iter().all(|mail| mail.len() > chunk.len() / 2));
}

/// The PROXY header stands in the clear before the handshake; the client that it names counts.
#[test]
fn a_proxy_stands_before_implicit_tls() {
    let folder = tempfile::tempdir().unwrap();
    let pem = certificate(folder.path(), "mx", &["mx.example.com"]);
    let (address, implicit) = (free_port(), free_port());
    let rules = "reject \"network\" { when client.ip in [198.51.100.0/24] reply 554 5.7.1 \"Go away\" }\n";
    build_text(&format!("{RULES}{rules}"), &folder.path().join("edict.table"));
    let config = format!(
        "(table: \"edict.table\", tls: (certificates: [(certificate: \"mx.pem\", key: \"mx.key\")]), listeners: [\
         (address: \"{implicit}\", role: submissions, proxy_from: [\"127.0.0.1\"]), (address: \"{address}\")])"
    );
    // The last listener is waited for: then the others are there.
    let daemon = Daemon::configured(folder.path(), address, &config);
    let tls = trusting(&pem);
    let greeting = |from: IpAddr| {
        let mut client = Client::connect(implicit, from).unwrap();
        client.encrypt(&tls).unwrap();
        let greeting = client.reply().unwrap().unwrap();
        (client, greeting)
    };
    assert_eq!(greeting([198, 51, 100, 7].into()).1, "554 5.7.1 Go away");
    let (mut client, said) = greeting(STRANGER);
    assert!(said.starts_with("220 "), "{said}");
    assert!(say(&mut client, "EHLO client.example").starts_with("250"));
    let reply = client.message("x@far.example", &["ann@example.com".to_owned()], b"\r\nHi\r\n").unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    let mail = &daemon.wait_for_mail("ann@example.com", 1)[0];
    assert!(mail.contains("[203.0.113.9]") && mail.contains("with ESMTPS id"), "{mail}");
    // Without a header there is no handshake.
    let mut bare = std::net::TcpStream::connect(implicit).unwrap();
    std::io::Write::write_all(&mut bare, b"\x16\x03\x01\x00\x05hello").unwrap();
    let mut rest = Vec::new();
    let _ = std::io::Read::read_to_end(&mut bare, &mut rest);
    assert!(rest.is_empty(), "{rest:?}");
}
