//! Aliases on the wire: who gets it, from whom, and who hears of what becomes of it.

use crate::support::client::Client;
use crate::support::start_actions;
use crate::support::taker::Taker;

const HELLO: &str = "From: x@far.example\nSubject: hello\n\nHi";

#[test]
fn the_owner_of_a_list_hears_of_bounces_and_the_author_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME", "DSN"]);
    let daemon = start_actions(folder.path(), relay.address, "");
    let mut author = Client::login(daemon.address, "bob@example.com").unwrap();
    let reply = author.message(
        "bob@example.com",
        &["news@example.com"],
        HELLO.replace("x@far", "bob@example.com,x@far").as_str(),
    );
    // The From of a login holds its own addresses, and no others.
    assert!(reply.unwrap().starts_with("550 5.7.1 From"));
    let reply = author.message(
        "bob@example.com",
        &["news@example.com"],
        &HELLO.replace("x@far.example", "bob@example.com"),
    );
    assert!(reply.unwrap().starts_with("250"));
    let member = &daemon.wait_for_mail("ann@example.com", 1)[0];
    assert!(member.starts_with("Return-Path: <owner@example.com>\n"), "{member}");
    let bounce = &daemon.wait_for_mail("owner@example.com", 1)[0];
    assert!(
        bounce.contains("Final-Recipient: rfc822; news@example.com") && bounce.contains("Action: failed"),
        "{bounce}"
    );
    daemon.wait_for_empty_queue();
    assert!(daemon.mailbox("bob@example.com").is_empty());
}

#[test]
fn success_is_told_by_whoever_knows_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME", "DSN"]);
    let daemon = start_actions(folder.path(), relay.address, "");
    let mut client = Client::login(daemon.address, "boss@example.com").unwrap();
    let message = "From: boss@example.com\r\nSubject: [plain] x\r\n\r\nHi\r\n.";
    let mut send = |to: &str| {
        for (line, want) in [
            ("MAIL FROM:<boss@example.com> ENVID=e1", "250"),
            (&*format!("RCPT TO:<{to}> NOTIFY=SUCCESS ORCPT=rfc822;{to}"), "250"),
            ("DATA", "354"),
            (message, "250"),
        ] {
            let reply = client.command(line).unwrap();
            assert!(reply.starts_with(want), "{line}: {reply}");
        }
    };
    // One member: the wish goes on with the message, and the next hop answers for it.
    send("alone@example.com");
    let passed = relay.wait_for("far@outside.example");
    assert_eq!(passed.recipients, ["<far@outside.example> NOTIFY=SUCCESS ORCPT=rfc822;alone@example.com"]);
    assert!(passed.mail.contains("ENVID=e1"), "{}", passed.mail);
    daemon.wait_for_empty_queue();
    assert!(daemon.mailbox("boss@example.com").is_empty());

    // Several: the author is told of the expansion, and the members' servers of no wish (RFC 3461 5.2.7.3).
    send("sales@example.com");
    crate::support::wait_for("the outside member", || relay.messages().len() == 2);
    daemon.wait_for_empty_queue();
    assert_eq!(
        relay.messages()[1].recipients,
        ["<far@outside.example> NOTIFY=NEVER ORCPT=rfc822;sales@example.com"]
    );
    let told = &daemon.wait_for_mail("boss@example.com", 1)[0];
    assert!(told.starts_with("Return-Path: <>\n"), "{told}");
    for part in [
        "Original-Envelope-Id: e1",
        "Final-Recipient: rfc822; sales@example.com",
        "Action: expanded",
        "Status: 2.0.0",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("far@outside.example") && !told.contains("ann@"), "members stay inside: {told}");
    daemon.wait_for_mail("ann@example.com", 1);
    daemon.wait_for_mail("bob@example.com", 1);

    // A list with an owner: delivered to the list is what the author hears (RFC 3461 5.2.7.1).
    send("news@example.com");
    let told = daemon.wait_for_mail("boss@example.com", 2);
    assert!(
        told.iter().any(|m| m.contains("Final-Recipient: rfc822; news@example.com\nAction: delivered")),
        "{told:?}"
    );
}

#[test]
fn what_an_alias_forwards_and_nobody_takes_comes_back_to_its_real_sender() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let table = folder.path().join("edict.table");
    crate::support::build_table("actions", &table, |sources| {
        sources.insert("more.edict", "edict 1\nalias gone@example.com = [refuse@outside.example]\n");
        let main = std::fs::read_to_string("tests/rules/actions/main.edict").unwrap();
        sources.insert("main.edict", main.replacen("profile {", "import \"more.edict\"\n\nprofile {", 1));
    });
    let daemon = crate::support::start_with_users(folder.path(), &table, relay.address, "");
    let mut stranger = Client::hello(daemon.address).unwrap();
    let reply = stranger.message("Bob@far.example", &["gone@example.com"], HELLO).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    let bounce = relay.wait_for("Bob@far.example");
    assert!(bounce.mail.starts_with("<>"), "{}", bounce.mail);
    assert!(bounce.text().contains("Final-Recipient: rfc822; gone@example.com"), "{}", bounce.text());
    // Nor by the words of the server that refused him, which name him as servers do.
    assert!(bounce.text().contains("\r\nDiagnostic-Code: smtp; 550 5.1.1 "), "{}", bounce.text());
    for named in ["refuse", "outside.example", "Remote-MTA"] {
        assert!(!bounce.text().contains(named), "the alias's member is not named: {}", bounce.text());
    }
}

#[test]
fn a_catch_all_takes_only_what_nobody_has() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let daemon = start_actions(folder.path(), relay.address, "");
    let mut stranger = Client::hello(daemon.address).unwrap();
    for to in ["real@example.org", "real+tag@example.org", "anybody@example.org", "dora@example.org"] {
        let reply = stranger.message("x@far.example", &[to], HELLO).unwrap();
        assert!(reply.starts_with("250"), "{to}: {reply}");
    }
    daemon.wait_for_mail("real@example.org", 2);
    daemon.wait_for_mail("dora@example.org", 1);
    let caught = &daemon.wait_for_mail("catch@example.com", 1)[0];
    assert!(caught.contains("for <anybody@example.org>"), "{caught}");
    // A user who comes later has his mail from the next reload on.
    let users = folder.path().join("users");
    let more = std::fs::read_to_string(&users).unwrap() + "anybody@example.org:\n";
    std::fs::write(&users, more).unwrap();
    assert_eq!(daemon.ask(&["reload"]).0, 0);
    assert!(stranger.message("x@far.example", &["anybody@example.org"], HELLO).unwrap().starts_with("250"));
    daemon.wait_for_mail("anybody@example.org", 1);
}

/// Postmaster and mailer-daemon of every local domain go to the addresses of the profile.
#[test]
fn postmasters_of_every_local_domain_get_their_mail_inside_and_outside() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let daemon = start_actions(folder.path(), relay.address, "");
    let mut stranger = Client::hello(daemon.address).unwrap();
    let to = ["postmaster@example.com", "Mailer-Daemon@example.org", "POSTMASTER@example.net"];
    for (place, to) in to.iter().enumerate() {
        let reply = stranger.message("x@far.example", &[to], HELLO).unwrap();
        assert!(reply.starts_with("250"), "{to}: {reply}");
        daemon.wait_for_mail("admin@example.com", place + 1);
        crate::support::wait_for("the pager", || relay.messages().len() == place + 1);
    }
    assert!(relay.messages().iter().all(|m| m.is_to("pager@pager.example")));
    // All three in one message: one delivery each.
    assert!(stranger.message("x@far.example", &to, HELLO).unwrap().starts_with("250"));
    daemon.wait_for_empty_queue();
    daemon.wait_for_mail("admin@example.com", 4);
    assert_eq!(relay.messages().len(), 4);
    // Every RFC 5321 server has a postmaster without a domain.
    assert!(stranger.message("x@far.example", &["postmaster"], HELLO).unwrap().starts_with("250"));
    daemon.wait_for_mail("admin@example.com", 5);
}
