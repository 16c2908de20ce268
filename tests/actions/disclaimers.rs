//! Disclaimers on the wire: what leaves a daemon is, byte for byte, what the tests of the edits have looked at.

use crate::support::client::Client;
use crate::support::taker::Taker;
use crate::support::{build_table, start_with_users};
use edict_message::edit::{Order, apply, disclaim};
use edict_table::model::{OnSigned, Replies};
use std::path::Path;

const LEGAL: &str = "Confidential. Gr\u{fc}\u{df}e from Example Corp, registered in Berlin.";
const LEGAL_HTML: &str = "<p>Confidential. Gr\u{fc}\u{df}e from Example Corp, registered in Berlin.</p>";

/// A daemon whose clients are trusted, with these texts in the disclaimer.
fn start(folder: &Path, relay: &Taker, text: &str, html: &str) -> crate::support::daemon::Daemon {
    let table = folder.join("edict.table");
    build_table("actions", &table, |sources| {
        let main = std::fs::read_to_string("tests/rules/actions/main.edict").unwrap();
        sources.insert("main.edict", main.replace("[192.0.2.1]", "[127.0.0.0/8]"));
        sources.insert("disclaimers/legal.txt", text.as_bytes());
        sources.insert("disclaimers/legal.html", html.as_bytes());
    });
    start_with_users(folder, &table, relay.address, "")
}

/// Sends bytes as a message, whatever they are; the last reply.
fn send(client: &mut Client, to: &str, message: &[u8]) -> String {
    for line in ["MAIL FROM:<ann@example.com> BODY=8BITMIME", &format!("RCPT TO:<{to}>"), "DATA"] {
        let reply = client.command(line).unwrap();
        if !reply.starts_with(['2', '3']) {
            client.command("RSET").unwrap();
            return reply;
        }
    }
    let mut stuffed = Vec::new();
    for line in message.split_inclusive(|b| *b == b'\n') {
        if line.starts_with(b".") {
            stuffed.push(b'.');
        }
        stuffed.extend_from_slice(line);
    }
    if !stuffed.ends_with(b"\r\n") {
        stuffed.extend_from_slice(b"\r\n");
    }
    stuffed.extend_from_slice(b".\r\n");
    client.send(&stuffed).unwrap();
    client.reply().unwrap()
}

/// Every line end as CRLF, which is all that SMTP knows.
fn on_the_wire(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let bare = line.strip_suffix(b"\n").unwrap_or(line);
        out.extend_from_slice(bare.strip_suffix(b"\r").unwrap_or(bare));
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The shapes of real mail programs go through a daemon: each comes out as the edit that the corpus' own test holds
/// to three parsers, below the fields that a submission is given.
#[test]
fn the_corpus_leaves_a_daemon_as_the_edits_say() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let daemon = start(folder.path(), &relay, LEGAL, LEGAL_HTML);
    let mut client = Client::hello(daemon.address).unwrap();
    let order = Order {
        text: Some(LEGAL),
        html: Some(LEGAL_HTML),
        marker: "legal",
        above_quote: true,
        replies: Replies::Once,
        signed: OnSigned::Skip,
    };
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("runtime/message/tests/corpus");
    let (mut edited, mut left, mut refused) = (0, 0, Vec::new());
    let mut files: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ext| ext == "eml"));
    assert!(files.len() >= 80);
    for (place, path) in files.iter().enumerate() {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let message = on_the_wire(&std::fs::read(path).unwrap());
        let to = format!("c{place}@outside.example");
        let reply = send(&mut client, &to, &message);
        if !reply.starts_with("250") {
            refused.push(format!("{name}: {reply}"));
            continue;
        }
        let sent = relay.wait_for(&to).bytes;
        let want = match disclaim(&message, &order) {
            Ok(edits) => {
                edited += 1;
                apply(&message, &edits)
            }
            Err(_) => {
                left += 1;
                message.clone()
            }
        };
        // A last line without an end gets one on the wire.
        let want = if want.ends_with(b"\n") { want } else { [&want[..], b"\r\n"].concat() };
        let top = sent.strip_suffix(want.as_slice());
        let top = top.unwrap_or_else(|| {
            panic!(
                "{name}\n--- sent\n{}\n--- wanted\n{}",
                String::from_utf8_lossy(&sent),
                String::from_utf8_lossy(&want)
            )
        });
        let top = String::from_utf8(top.to_vec()).unwrap();
        let names: Vec<&str> = top
            .lines()
            .filter(|line| !line.starts_with([' ', '\t']) && !line.is_empty())
            .map(|line| line.split(':').next().unwrap())
            .collect();
        assert!(names.iter().all(|name| ["Received", "Message-ID", "Date"].contains(name)), "{name}: {top}");
    }
    assert!(edited >= 60 && left >= 20 && refused.len() <= 6, "{edited} {left} {refused:?}");
    // Nothing is left out without a reason in the log.
    let log = daemon.read_log();
    assert_eq!(log.matches("disclaimer \\\"legal\\\" left out: ").count(), left, "{log}");
}

/// After the edit the message is read back; if anything is off, the untouched one goes and the log says so.
#[test]
fn an_edit_that_would_change_the_parts_is_not_made_and_the_log_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let daemon = start(folder.path(), &relay, "above\n--b--\nbelow", "<p>above</p>");
    let mut client = Client::hello(daemon.address).unwrap();
    let message = "From: ann@example.com\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\n\r\ntext\r\n--b--\r\n";
    assert!(send(&mut client, "far@outside.example", message.as_bytes()).starts_with("250"));
    let sent = relay.wait_for("far@outside.example").text();
    assert!(sent.ends_with(message), "{sent}");
    daemon.wait_for_log(&["left out: ", "legal"]);
    // The same text does no harm where the boundary is another.
    assert!(
        send(
            &mut client,
            "near@outside.example",
            message.replace("boundary=b", "boundary=c").replace("--b", "--c").as_bytes()
        )
        .starts_with("250")
    );
    assert!(relay.wait_for("near@outside.example").text().contains("above\r\n--b--\r\nbelow"));
}

/// One message, inside and outside readers: as many bodies as there are texts, and no more.
#[test]
fn inside_and_outside_readers_get_different_bodies() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let daemon = start(folder.path(), &relay, "From {sender.name}, {date}", "<p>From {sender.name}</p>");
    let mut client = Client::hello(daemon.address).unwrap();
    let html = "From: \"Ann <b>\" <ann@example.com>\nSubject: x\nMIME-Version: 1.0\nContent-Type: text/html\n\n<body><p>Hi</p></body>";
    let to = ["a@outside.example", "b@outside.example", "both@example.com", "dora@example.org"];
    assert!(client.message("ann@example.com", &to, html).unwrap().starts_with("250"));
    let sent = relay.wait_for("a@outside.example");
    assert!(sent.is_to("b@outside.example"), "one body, one transaction: {:?}", sent.recipients);
    assert!(sent.text().contains("From Ann &lt;b&gt;"), "a name cannot become markup: {}", sent.text());
    for inside in ["both@example.com", "dora@example.org"] {
        let got = &daemon.wait_for_mail(inside, 1)[0];
        assert!(got.ends_with("<body><p>Hi</p></body>\n"), "{got}");
    }
}

/// Attributes of whoever is logged in, escaped for the part they stand in.
#[test]
fn attributes_of_users_come_from_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let table = folder.path().join("edict.table");
    build_table("actions", &table, |sources| {
        sources.insert("disclaimers/legal.txt", "Call {user.phone}, {sender.address}");
        sources.insert("disclaimers/legal.html", "<p>Call {user.phone}</p>");
    });
    let keys = "attributes: { \"ann@example.com\": { \"Phone\": \"+49 30 <1> & 2\" } },";
    let daemon = start_with_users(folder.path(), &table, relay.address, keys);
    let message = |from: &str, kind: &str| {
        format!("From: {from}\nSubject: x\nMIME-Version: 1.0\nContent-Type: text/{kind}\n\nHi\n")
    };
    let mut ann = Client::login(daemon.address, "ann@example.com").unwrap();
    for (kind, want) in
        [("plain", "Call +49 30 <1> & 2, ann@example.com"), ("html", "<p>Call +49 30 &lt;1&gt; &amp; 2</p>")]
    {
        let to = format!("{kind}@outside.example");
        let reply = ann.message("ann@example.com", &[&to], &message("ann@example.com", kind)).unwrap();
        assert!(reply.starts_with("250"), "{reply}");
        assert!(relay.wait_for(&to).text().contains(want), "{}", relay.wait_for(&to).text());
    }
    // Who has none leaves no hole that shows the rule's text.
    let mut bob = Client::login(daemon.address, "bob@example.com").unwrap();
    let reply = bob
        .message("bob@example.com", &["bare@outside.example"], &message("bob@example.com", "plain"))
        .unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    let sent = relay.wait_for("bare@outside.example").text();
    assert!(sent.contains("bob@example.com") && !sent.contains("{user") && !sent.contains("+49"), "{sent}");
}

/// "No on/off switch without losing the text": `mode off` keeps it, and the next reload switches it back on. And "the
/// footer look-up costs an HTTP call per message": the texts are in the table, no file of theirs is near the daemon.
#[test]
fn no_switch_without_losing_the_text_and_a_lookup_for_every_message() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let daemon = start(folder.path(), &relay, LEGAL, LEGAL_HTML);
    let table = folder.path().join("edict.table");
    let build = |mode: &str| {
        build_table("actions", &table, |sources| {
            let main = std::fs::read_to_string("tests/rules/actions/main.edict").unwrap();
            let main =
                main.replace("disclaimer \"legal\" {", &format!("disclaimer \"legal\" {{\n    mode {mode}"));
            sources.insert("main.edict", main.replace("[192.0.2.1]", "[127.0.0.0/8]"));
        });
        assert_eq!(daemon.ask(&["reload"]).0, 0);
    };
    let mut client = Client::hello(daemon.address).unwrap();
    for (mode, added) in [("off", false), ("enforce", true), ("audit", false)] {
        build(mode);
        let to = format!("{mode}@outside.example");
        let message = "From: ann@example.com\nSubject: x\n\nHi";
        assert!(client.message("ann@example.com", &[&to], message).unwrap().starts_with("250"));
        assert_eq!(relay.wait_for(&to).text().contains("Example Ltd."), added, "{mode}");
    }
    daemon.wait_for_log(&["audit: disclaimer", "would apply"]);
}

/// A peak of the daemon's memory, in KiB.
fn peak(daemon: &crate::support::daemon::Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap().to_owned();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A message of 25 MiB with a disclaimer needs at most 4 MiB more of a whole daemon than without: from the end of
/// data to the next hop.
#[test]
fn a_disclaimer_on_25_mib_costs_a_daemon_at_most_4_mib() {
    let line = format!("{}\r\n", "QUJD".repeat(19));
    let file = line.repeat((25 << 20) / line.len());
    // Small attachments, many: each is within the bound of the profile.
    let message = |subject: &str| {
        let mut text = format!(
            "From: ann@example.com\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
             --b\r\nContent-Type: text/plain\r\n\r\nHi\r\n"
        );
        for piece in file.as_bytes().chunks(line.len() * 600) {
            text.push_str(
                "--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n",
            );
            text.push_str(std::str::from_utf8(piece).unwrap());
        }
        text + "--b--\r\n"
    };
    let once = |subject: &str| {
        let folder = tempfile::tempdir().unwrap();
        let relay = Taker::start(&["8BITMIME"]);
        let daemon = start(folder.path(), &relay, LEGAL, LEGAL_HTML);
        let mut client = Client::hello(daemon.address).unwrap();
        let reply = send(&mut client, "far@outside.example", message(subject).as_bytes());
        assert!(reply.starts_with("250"), "{reply}");
        let sent = relay.wait_for("far@outside.example");
        assert_eq!(sent.text().contains("Confidential"), subject == "x");
        daemon.wait_for_empty_queue();
        peak(&daemon)
    };
    // How far storing and sending overlap differs from run to run: the least of some is what each needs.
    let least = |subject: &str| (0..4).map(|_| once(subject)).min().unwrap();
    let (without, with) = (least("[plain] x"), least("x"));
    assert!(with <= without + (4 << 10), "KiB at the peak: {without} without, {with} with a disclaimer");
}
