//! Blind copies on the wire: one a target, invisible, heard of by the postmaster alone.

use crate::support::client::Client;
use crate::support::taker::Taker;
use crate::support::{start_actions, wait_for};

fn mail(from: &str, subject: &str) -> String {
    format!("From: {from}\nTo: somebody\nSubject: {subject}\nMessage-ID: <1@{subject}>\n\nWords.")
}

/// Rules on inbound, outbound and internal mail: each direction, each target once.
#[test]
fn copies_of_mail_that_comes_leaves_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME", "DSN"]);
    let daemon = start_actions(folder.path(), relay.address, "");
    let mut stranger = Client::hello(daemon.address).unwrap();
    let mut ann = Client::login(daemon.address, "ann@example.com").unwrap();
    let inbound =
        stranger.message("x@far.example", &["bob@example.com"], &mail("x@far.example", "[archive] in"));
    let outbound =
        ann.message("ann@example.com", &["far@outside.example"], &mail("ann@example.com", "[archive] out"));
    let to = ["both@example.com", "bob@example.com", "archive@example.com"];
    let internal = ann.message("ann@example.com", &to, &mail("ann@example.com", "[archive] stays"));
    for reply in [inbound, outbound, internal] {
        let reply = reply.unwrap();
        assert!(reply.starts_with("250"), "{reply}");
    }
    // Three copies, and the message itself, which names the archive as a recipient: a recording copy all the same.
    let archived = daemon.wait_for_mail("archive@example.com", 4);
    let copies: Vec<&String> = archived.iter().filter(|m| m.contains("\nX-Edict-Copy: ")).collect();
    assert_eq!(copies.len(), 3);
    for copy in &copies {
        assert!(copy.starts_with("Return-Path: <admin@example.com>\n"), "{copy}");
    }
    let stays = copies.iter().find(|m| m.contains("[archive] stays")).unwrap();
    for name in ["<both@example.com>", "<bob@example.com>", "<archive@example.com>"] {
        assert!(stays.contains(&format!("\nX-Edict-Recipient: {name}\n")), "{stays}");
    }
    assert!(stays.contains("\nX-Edict-Sender: <ann@example.com>\n"));
    wait_for("one outside copy of each", || {
        relay.messages().iter().filter(|m| m.is_to("store@archive.example")).count() == 3
    });
    for copy in relay.messages().iter().filter(|m| m.is_to("store@archive.example")) {
        assert_eq!(copy.recipients, ["<store@archive.example> NOTIFY=FAILURE"], "no ORCPT of the author's");
        assert!(
            copy.mail.starts_with("<admin@example.com>") && !copy.mail.contains("ENVID"),
            "{}",
            copy.mail
        );
    }
    // Nobody else sees a trace of it.
    let sent = relay.wait_for("far@outside.example").text();
    let mut seen = daemon.wait_for_mail("bob@example.com", 2);
    seen.extend(daemon.wait_for_mail("both@example.com", 1));
    for text in seen.iter().chain([&sent]) {
        assert!(!text.contains("X-Edict") && !text.contains("store@archive"), "{text}");
    }
}

#[test]
fn a_lost_copy_is_the_postmasters_news_and_never_the_authors() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let daemon = start_actions(folder.path(), relay.address, "");
    let mut ann = Client::login(daemon.address, "ann@example.com").unwrap();
    let reply =
        ann.message("ann@example.com", &["bob@example.com"], &mail("ann@example.com", "[lost]")).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    let news = &daemon.wait_for_mail("admin@example.com", 1)[0];
    assert!(news.contains("Final-Recipient: rfc822; refuse@archive.example\nAction: failed"), "{news}");
    daemon.wait_for_mail("bob@example.com", 1);
    daemon.wait_for_empty_queue();
    assert!(daemon.mailbox("ann@example.com").is_empty(), "the author hears nothing");
}

#[test]
fn modified_is_what_left_and_original_what_came() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let daemon = start_actions(folder.path(), relay.address, "");
    let mut ann = Client::login(daemon.address, "ann@example.com").unwrap();
    for (subject, modified) in [("[archive] a", false), ("[as sent] b", true)] {
        let to = ["far@outside.example", "both@example.com"];
        let reply = ann.message("ann@example.com", &to, &mail("ann@example.com", subject)).unwrap();
        assert!(reply.starts_with("250"), "{reply}");
        // The message and its copy are two deliveries, in either order.
        let [copy, sent] = ["store@archive.example", "far@outside.example"]
            .map(|to| relay.wait_for_one(to, |taken| taken.text().contains(subject)).text());
        assert_eq!(copy.contains("Example Ltd."), modified, "{copy}");
        if modified {
            assert!(copy.ends_with(&sent), "below its own fields the very same bytes:\n{copy}\n{sent}");
        }
    }
}

#[test]
fn a_copy_that_comes_back_is_not_copied_again() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let daemon = start_actions(folder.path(), relay.address, "");
    let mut stranger = Client::hello(daemon.address).unwrap();
    let reply = stranger
        .message("x@far.example", &["bob@example.com"], &mail("x@far.example", "[archive] x"))
        .unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    let copy = relay.wait_for("store@archive.example").text();
    // The archive forwards all it gets to us: a circle, if the mark were not known again.
    let back = format!("Received: from archive.example; now\n{}", copy.replace("\r\n", "\n").trim_end());
    let reply = stranger.message("store@archive.example", &["bob@example.com"], &back).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    daemon.wait_for_mail("bob@example.com", 2);
    daemon.wait_for_log(&["no blind copy of a blind copy"]);
    daemon.wait_for_empty_queue();
    daemon.wait_for_mail("archive@example.com", 1);
    assert_eq!(relay.messages().len(), 1);
}

/// Copies "not of the daemon's own notices unless asked": notices pass no rules at all.
#[test]
fn notices_are_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let table = folder.path().join("edict.table");
    crate::support::build_table("actions", &table, |sources| {
        let main = std::fs::read_to_string("tests/rules/actions/main.edict").unwrap();
        sources.insert("main.edict", main + "\nbcc \"everything\" { to [catch@example.com] }\n");
    });
    let daemon = crate::support::start_with_users(folder.path(), &table, relay.address, "");
    let mut ann = Client::login(daemon.address, "ann@example.com").unwrap();
    let reply =
        ann.message("ann@example.com", &["refuse@outside.example"], &mail("ann@example.com", "x")).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    let notice = &daemon.wait_for_mail("ann@example.com", 1)[0];
    assert!(notice.contains("Action: failed"), "{notice}");
    daemon.wait_for_empty_queue();
    let copies = daemon.wait_for_mail("catch@example.com", 1);
    assert!(copies[0].contains("Subject: x\n"), "{copies:?}");
}

/// "Alias and alias-domain addresses bypass the rule": written for one address, it holds for every way to reach it.
#[test]
fn alias_and_alias_domain_addresses_bypass_the_rule() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let table = folder.path().join("edict.table");
    crate::support::build_table("actions", &table, |sources| {
        let main = std::fs::read_to_string("tests/rules/actions/main.edict").unwrap();
        let rules = "\nbcc \"ann\" { when recipient is ann@example.com to [catch@example.com] }\n\
            bcc \"sales\" { when recipient is sales@example.com to [owner@example.com] }\n";
        sources.insert("main.edict", main + rules);
    });
    let daemon = crate::support::start_with_users(folder.path(), &table, relay.address, "");
    let mut stranger = Client::hello(daemon.address).unwrap();
    let to = [
        "ann@example.com",
        "Ann+tag@example.net",
        "both@example.com",
        "sales@example.com",
        "sales@example.net",
    ];
    for (place, to) in to.iter().enumerate() {
        let reply = stranger.message("x@far.example", &[to], &mail("x@far.example", "x")).unwrap();
        assert!(reply.starts_with("250"), "{to}: {reply}");
        daemon.wait_for_mail("catch@example.com", place + 1);
    }
    daemon.wait_for_mail("owner@example.com", 2);
}
