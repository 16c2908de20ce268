//! `edictd queue` against a daemon whose next hops come up late: what it prints, for people and machines, and what it does.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod support;

use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use support::client::Client;
use support::daemon::Daemon;
use support::taker::Taker;
use support::{build_text, free_port, wait_for};

/// A daemon with two relays, and mail that a rule holds.
fn daemon(folder: &Path, [bulk, other]: [SocketAddr; 2]) -> Daemon {
    let rules = format!(
        "edict 1
profile {{ local-domains [example.com] recipients any trusted-networks [127.0.0.0/8] }}
relay bulk {{ host [{bulk}] tls off }}
relay other {{ host [{other}] tls off }}
route \"bulk\" {{ when recipient.domain in [far.example, further.example] via bulk }}
route \"other\" {{ when recipient.domain is other.example via other }}
hold \"review\" {{ when subject contains \"review\" }}
"
    );
    build_text(&rules, &folder.join("edict.table"));
    let address = free_port();
    let config = format!(
        "(table: \"edict.table\", listeners: [(address: \"{address}\")],
          queue: (first_retry_seconds: 100000, longest_retry_seconds: 100000))"
    );
    Daemon::configured(folder, address, &config)
}

fn listing(daemon: &Daemon) -> Vec<Value> {
    let (code, text) = daemon.ask(&["queue", "list", "--format", "json"]);
    assert_eq!(code, 0, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn state_of(list: &[Value], to: &str) -> (String, String) {
    let of = |name: &str| {
        let message = list.iter().find(|message| message["recipients"][0]["address"] == to).unwrap();
        message[name].as_str().unwrap().to_owned()
    };
    (of("id"), of("state"))
}

/// Five messages: four that could not be delivered, and one that is held.
fn fill(daemon: &Daemon) {
    let mut client = Client::hello(daemon.address).unwrap();
    for (to, subject) in [
        ("a@far.example", "hello"),
        ("b@further.example", "hello"),
        ("c@other.example", "hello"),
        ("d@other.example", "hello"),
        ("held@far.example", "for review"),
    ] {
        let text = format!("Subject: {subject}\n\nx\n");
        let reply = client.message("ann@example.com", &[to], &text).unwrap();
        assert!(reply.starts_with("250"), "{reply}");
    }
    wait_for("the first attempts to be over", || {
        let list = listing(daemon);
        list.len() == 5 && list.iter().all(|message| message["state"] != "active")
    });
}

#[test]
fn what_waits_is_tried_when_an_admin_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let ports = [free_port(), free_port()];
    let daemon = daemon(folder.path(), ports);
    fill(&daemon);
    let [bulk, other] = ports.map(|port| Taker::start_at(port, &[]));
    let ask = |words: &[&str]| daemon.ask(&[&["queue", "retry"], words].concat());
    // Nothing of this kind: that is said, and no failure.
    let (code, text) = ask(&["--to", "elsewhere.example"]);
    assert_eq!((code, text.as_str()), (0, "no message there waits for another attempt\n"));
    // A domain, a relay by its name; the held one stays.
    assert_eq!(ask(&["--to", "further.example"]), (0, "1 message is tried now\n".to_owned()));
    bulk.wait_for("b@further.example");
    wait_for("it to be out of the queue", || listing(&daemon).len() == 4);
    let (code, text) = ask(&["--to", "bulk", "--format", "json"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        serde_json::json!({"done": true, "messages": 1})
    );
    bulk.wait_for("a@far.example");
    assert!(other.messages().is_empty());
    wait_for("it to be out of the queue", || listing(&daemon).len() == 3);
    assert_eq!(ask(&["--all"]), (0, "2 messages are tried now\n".to_owned()));
    other.wait_for("c@other.example");
    other.wait_for("d@other.example");
    wait_for("the held one alone to be left", || listing(&daemon).len() == 1);
    let (id, state) = state_of(&listing(&daemon), "held@far.example");
    assert_eq!(state, "held");
    assert_eq!(ask(&["--all"]), (0, "no message waits for another attempt\n".to_owned()));
    assert_eq!(daemon.ask(&["queue", "release", &id]), (0, "done\n".to_owned()));
    bulk.wait_for("held@far.example");
    daemon.wait_for_empty_queue();
    assert_eq!(daemon.ask(&["queue"]), (0, "nothing\n".to_owned()));
    // Wrong use: neither, or two at once.
    for words in [&[][..], &["--all", "--to", "x"], &[&id, "--all"], &["--to", ""]] {
        assert_eq!(ask(words).0, 2, "{words:?}");
    }
}

/// Whoever writes programs on it reads docs/queue.md.
#[test]
fn every_field_stands_in_the_page_on_the_queue() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), [free_port(), free_port()]);
    fill(&daemon);
    let page = std::fs::read_to_string("docs/queue.md").unwrap();
    let list = listing(&daemon);
    let (id, state) = state_of(&list, "a@far.example");
    assert_eq!(state, "deferred");
    let (code, text) = daemon.ask(&["queue", "show", &id, "--format", "json"]);
    assert_eq!(code, 0, "{text}");
    let shown: Value = serde_json::from_str(&text).unwrap();
    let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    for name in [fields(&shown), fields(&shown["recipients"][0])].concat() {
        assert!(page.contains(&format!("| `{name}` |")), "docs/queue.md does not tell of `{name}`");
    }
    // A message that is not there, and one that is held, as the page tells of them.
    let (held, _) = state_of(&list, "held@far.example");
    for (words, error) in [
        (["show", "6H2VH48QC0000"], "there is no message 6H2VH48QC0000 in the queue".to_owned()),
        (["hold", "nonsense"], "`nonsense` is no message id".to_owned()),
        (["retry", &held], format!("message {held} is held: release it first")),
    ] {
        let words = [&["queue"], &words[..]].concat();
        assert_eq!(daemon.ask(&words), (1, format!("{error}\n")));
        let (code, text) = daemon.ask(&[&words[..], &["--format", "json"]].concat());
        let told: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((code, told), (1, serde_json::json!({ "error": error })));
    }
    assert_eq!(daemon.ask(&["queue", "hold", &id]), (0, "done\n".to_owned()));
    assert_eq!(state_of(&listing(&daemon), "a@far.example").1, "held");
    let (code, text) = daemon.ask(&["queue", "remove", &id, "--format", "json"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        serde_json::json!({"done": true, "under_way": false})
    );
    assert_eq!(listing(&daemon).len(), 4);
}
