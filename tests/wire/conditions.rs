//! Facts and operators: the rows that the compiler's own suite has (`compiler/tests/constructs/conditions.txt`, which
//! demands one for each of them), each as a rule of one rule set, and its two mails sent to a daemon.

use crate::client::{Client, trusting};
use crate::mail::{Mail, Zone};
use crate::support::daemon::Daemon;
use crate::support::{SECRET, free_port};
use crate::{certificate, data, name_server};
use edict_compiler::source::Sources;
use edict_table::fact::REGISTRY;
use std::collections::HashMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

const PROFILE: &str = "edict 1
profile {
    hostname         mx.example.com
    local-domains    [example.com]
    relay-domains    [branch.example recipients known in [staff]]
    recipients       known in [everybody]
    auth             optional
    auth-without-tls allowed
    sender-must      be-anything
    max-recipients   200
}
list everybody: address = [@example.com]
list staff: address = [ann@branch.example, x@branch.example]
list nets: network = [198.51.100.0/24, 2001:db8::/32]
list senders: address = [@bad.example, worse@x.example]
list domains: domain = [listed.example, .below.example]
list words: text = [\"act now\", \"urgent wire\"]
group people = [ann@example.com, bob@example.com]
";

/// A test of a condition with the mail it is true of and the one it is not.
struct Row {
    test: String,
    mails: [Mail; 2],
}

/// `test | yes | no`, further cells aside.
fn cells(text: &str) -> Vec<[String; 3]> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let cut = |line: &str| {
        let mut cells = line.split(" | ").map(|cell| cell.trim().to_owned());
        std::array::from_fn(|_| cells.next().unwrap())
    };
    lines.map(cut).collect()
}

/// What marks the mails of a row.
fn key(place: usize) -> String {
    format!("row{place}.")
}

/// Whether the recipient of a row is its subject, so that the sender must carry the mark.
fn by_sender(row: &[String; 3]) -> bool {
    row[1..].iter().any(|mail| mail.split(';').any(|part| part.trim().starts_with("recipient ")))
}

fn rows(zone: &mut Zone) -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("compiler/tests/constructs/conditions.txt");
    let mut rows = cells(&std::fs::read_to_string(path).unwrap());
    for [test, yes, no] in cells(&data("conditions.txt")) {
        let row = rows.iter_mut().find(|row| row[0] == test);
        let row = row.unwrap_or_else(|| panic!("conditions.txt: there is no row `{test}` any more"));
        *row = [test, yes, no];
    }
    let build = |(place, row): (usize, &[String; 3])| {
        let mut mail = |text: &str| Mail::read(text, &(key(place) + "x"), by_sender(row), zone);
        Row { test: row[0].clone(), mails: [mail(&row[1]), mail(&row[2])] }
    };
    let built: Vec<Row> = rows.iter().enumerate().map(build).collect();
    for row in REGISTRY.iter().filter(|row| row.name != "time") {
        assert!(
            built.iter().any(|b| format!("{} ", b.test).contains(row.name)),
            "no row asks `{}`",
            row.name
        );
    }
    built
}

fn build_table(rows: &[Row], to: &Path) {
    let mut text = PROFILE.to_owned();
    for (place, row) in rows.iter().enumerate() {
        let marked = if row.mails[0].sender.starts_with(&key(place)) { "sender" } else { "recipient" };
        let (key, test) = (key(place), &row.test);
        writeln!(
            text,
            "reject \"{place}\" {{ when {marked}.local starts with \"{key}\"  when {test}  reply 554 5.7.1 \"row {place}\" }}"
        )
        .unwrap();
    }
    let mut sources = Sources::default();
    sources.insert("main.edict", text);
    let done = edict_compiler::compile(&sources, &edict_compiler::Options { proofs: false });
    let table = done.table.unwrap_or_else(|| panic!("{:#?}", done.diagnostics));
    std::fs::write(to, edict_table::emit::emit(&table)).unwrap();
}

fn send(mail: &Mail, to: SocketAddr, tls: &Arc<rustls::ClientConfig>) -> String {
    let mut client = Client::connect(to, mail.client).unwrap();
    let mut said = client.reply().unwrap().unwrap();
    if said.starts_with("220") {
        said = client.command(&format!("EHLO {}", mail.helo)).unwrap().unwrap();
    }
    if mail.tls && said.starts_with("250") {
        assert!(client.command("STARTTLS").unwrap().unwrap().starts_with("220"));
        client.encrypt(tls).unwrap();
        said = client.command(&format!("EHLO {}", mail.helo)).unwrap().unwrap();
    }
    if !said.starts_with("250") {
        return said;
    }
    if let Some(user) = &mail.login {
        assert!(client.login(user).unwrap().unwrap().starts_with("235"), "{user}");
    }
    client.message(&mail.sender, &mail.recipients, &mail.bytes()).unwrap()
}

#[test]
fn each_fact_and_operator_decides_live_mail() {
    let mut zone = Zone::new();
    let rows = rows(&mut zone);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    build_table(&rows, &folder.join("edict.table"));
    let mut users = String::new();
    let logins: HashMap<&String, ()> =
        rows.iter().flat_map(|row| &row.mails).filter_map(|mail| Some((mail.login.as_ref()?, ()))).collect();
    let mut folded = std::collections::BTreeSet::new();
    for login in logins.keys().filter(|login| folded.insert(login.to_lowercase())) {
        writeln!(users, "{login}:{SECRET}").unwrap();
    }
    std::fs::write(folder.join("users"), users).unwrap();
    let tls = trusting(&certificate(folder, "mx", &["mx.example.com"]));
    let (address, dns) = (free_port(), name_server(zone.text()));
    let config = format!(
        "(table: \"edict.table\", users: \"users\", \
         listeners: [(address: \"{address}\", proxy_from: [\"127.0.0.1\"])], \
         tls: (certificates: [(certificate: \"mx.pem\", key: \"mx.key\")]), \
         next_hops: (name_servers: [\"{dns}\"]))"
    );
    let _daemon = Daemon::configured(folder, address, &config);
    let mut wrong = Vec::new();
    for (place, row) in rows.iter().enumerate() {
        for (mail, wanted) in row.mails.iter().zip([format!("554 5.7.1 row {place}"), "250 ".to_owned()]) {
            let reply = send(mail, address, &tls);
            if !reply.starts_with(&wanted) {
                let what = if wanted.starts_with("554") { "yes" } else { "no" };
                wrong.push(format!("`{}`, {what}: {reply}", row.test));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
