//! Aliases: expansion, merging, notification, owners, postmaster, direction.

use crate::support::{Desk, Mail, Rules, When, check, envelopes, message};
use edict_runtime::acceptor::Acceptor;
use edict_runtime::envelope::{Fate, Notify, Ret};

fn rules() -> Rules {
    Rules::new()
        .profile(|p| p.forward_sender_srs = false)
        .alias("sales@example.com", &["ann@example.com", "Bob@example.com", "ext@other.example"], None)
        .alias("both@example.com", &["both@example.com", "ann@example.com"], None)
        .alias("list@example.com", &["ann@example.com", "far@other.example"], Some("owner@example.com"))
        .alias("one@example.com", &["far@other.example"], None)
        .alias("@second.example", &["catch@example.com"], None)
}

/// RFC 5321 3.9, 3.9.1: the envelope recipient alone changes.
#[tokio::test]
async fn expansion() {
    let table = rules().load();
    for (to, want) in [
        (
            &["sales@example.com"][..],
            "message v0 <x@far.example>: (sales@example.com) ann@example.com (sales@example.com) Bob@example.com (sales@example.com) ext@other.example!",
        ),
        // An alias that names itself also delivers to its mailbox.
        (
            &["both@example.com"],
            "message v0 <x@far.example>: both@example.com (both@example.com) ann@example.com",
        ),
        // The extension is not passed on through an alias, and is kept without one.
        (
            &["sales+x@example.com", "ann+y@example.com"],
            "message v0 <x@far.example>: (sales+x@example.com) ann@example.com (sales+x@example.com) Bob@example.com (sales+x@example.com) ext@other.example! ann+y@example.com",
        ),
        // Equal final addresses get one delivery, the direct one first.
        (
            &["sales@example.com", "ANN@example.com", "both@example.com"],
            "message v0 <x@far.example>: ANN@example.com (sales@example.com) Bob@example.com (sales@example.com) ext@other.example! both@example.com",
        ),
        (&["who@second.example"], "message v0 <x@far.example>: (who@second.example) catch@example.com"),
        // An owner takes the place of the sender, in a dispatch of its own.
        (
            &["list@example.com", "bob@example.com"],
            "message v0 <owner@example.com>: (list@example.com) ann@example.com (list@example.com) far@other.example!\nmessage v0 <x@far.example>: bob@example.com",
        ),
        (
            &["list@example.com", "ann@example.com"],
            "message v0 <x@far.example>: ann@example.com\nmessage v0 <owner@example.com>: (list@example.com) far@other.example!",
        ),
    ] {
        check(Mail::arriving(&table, "x@far.example", to), want).await;
    }
}

/// Few are found by looking at each, more by a map.
#[tokio::test]
async fn each_of_many_is_reached_once() {
    let table = rules().load();
    let names: Vec<String> = (0..20).map(|n| format!("user{n}@example.com")).collect();
    let given: Vec<&str> = (0..60).map(|n| names[n % 20].as_str()).chain(["sales@example.com"; 2]).collect();
    let others = ["ann@example.com", "Bob@example.com", "ext@other.example!"];
    let others = others.map(|other| format!("(sales@example.com) {other}"));
    let want = format!("message v0 <x@far.example>: {} {}", names.join(" "), others.join(" "));
    check(Mail::arriving(&table, "x@far.example", &given), &want).await;
}

#[tokio::test]
async fn postmaster_goes_to_the_profile() {
    let set = |table: Rules| {
        table.profile(|p| p.postmaster = vec!["one@example.com".into(), "adm@x.example".into()])
    };
    let table = set(rules()).load();
    for to in ["postmaster@example.com", "Mailer-Daemon@second.example"] {
        let want = format!("message v0 <x@far.example>: ({to}) far@other.example! ({to}) adm@x.example!");
        check(Mail::arriving(&table, "x@far.example", &[to]), &want).await;
    }
    // An alias that names it is nearer; a postmaster elsewhere is nobody's business.
    let table = set(rules()).alias("postmaster@example.com", &["ann@example.com"], None).load();
    check(
        Mail::submitted(&table, "ann@example.com", &["postmaster@example.com", "postmaster@x.example"]),
        "message v0 <ann@example.com>: (postmaster@example.com) ann@example.com postmaster@x.example!",
    )
    .await;
}

/// RFC 5321 3.9, 3.9.2: the owner of a list takes the place of the envelope sender.
#[tokio::test]
async fn notification_follows_the_expansion_and_ends_at_an_owner() {
    let table = rules().load();
    let ask = |to: &[&str]| {
        Mail::arriving(&table, "x@far.example", to).with(|incoming| {
            incoming.sender.envid = Some("env".into());
            incoming.sender.ret = Some(Ret::Full);
            for given in &mut incoming.recipients {
                given.notify = Notify { given: true, success: true, failure: false, delay: false };
                given.orcpt = Some(format!("rfc822;{}", given.wire));
            }
        })
    };
    let record = check(
        ask(&["one@example.com", "list@example.com"]),
        "message v0 <x@far.example>: (one@example.com) far@other.example!
         message v0 <owner@example.com>: (list@example.com) ann@example.com
         notice v1 <>: x@far.example!",
    )
    .await;
    let [author, owner, told] = record.dispatches.as_slice() else { panic!() };
    assert_eq!((author.envid.as_deref(), author.ret), (Some("env"), Some(Ret::Full)));
    assert_eq!(author.recipients[0].orcpt.as_deref(), Some("rfc822;one@example.com"));
    assert!(author.recipients[0].notify.success);
    assert_eq!((owner.envid.as_deref(), owner.ret), (None, None));
    assert_eq!((owner.recipients[0].orcpt.as_deref(), owner.recipients[0].notify), (None, Notify::default()));
    // The list has it: that is what the author hears, and nothing of its members.
    assert!(!told.hold);
    let notice = message(&record, 2);
    assert!(notice.starts_with("From: Mail Delivery System <MAILER-DAEMON@mx.example.com>\r\n"), "{notice}");
    for part in [
        "Original-Envelope-Id: env\r\n",
        "Original-Recipient: rfc822; list@example.com\r\n",
        "Final-Recipient: rfc822; list@example.com\r\nAction: delivered\r\nStatus: 2.0.0\r\n",
        "Content-Type: text/rfc822-headers",
    ] {
        assert!(notice.contains(part), "{part:?} in {notice}");
    }
    assert!(!notice.contains("ann@example.com") && !notice.contains("Hello."), "{notice}");
}

/// A list among the members of an alias keeps its owner; who is reached both ways is reached directly. A bounce
/// stays one, so that nothing goes round.
#[tokio::test]
async fn a_list_within_an_alias_keeps_its_owner() {
    let table = rules()
        .alias("all@example.com", &["dora@example.com"], None)
        .sublist("owner@example.com", &["bob@example.com", "far@other.example"])
        .load();
    let record = check(
        Mail::arriving(&table, "x@far.example", &["all@example.com"]).with(|incoming| {
            incoming.recipients[0].notify = Notify { given: true, success: true, failure: true, delay: false };
        }),
        "message v0 <x@far.example>: (all@example.com) dora@example.com
         message v0 <owner@example.com>: (all@example.com) bob@example.com (all@example.com) far@other.example!
         notice v1 <>: x@far.example!",
    )
    .await;
    assert!(message(&record, 2).contains("Action: expanded\r\n"));
    assert!(record.dispatches[0].recipients[0].notify.failure);
    assert_eq!(record.dispatches[1].recipients[0].notify, Notify::default());
    for to in ["all@example.com", "list@example.com"] {
        let desk = Desk::new();
        desk.send(Mail::arriving(&table, "x@far.example", &[to]).with(|incoming| {
            incoming.sender.wire.clear();
            incoming.sender_address = None;
        }))
        .await
        .unwrap();
        assert!(desk.last().dispatches.iter().all(|dispatch| dispatch.sender.is_empty()), "{to}");
    }
}

/// RFC 3461 5.2.7.3: several members hear nothing of success, and the author hears of the expansion.
#[tokio::test]
async fn an_alias_of_several_is_told_as_expanded() {
    let table = rules().load();
    let ask = |notify: Notify, fate: Fate| {
        Mail::arriving(&table, "x@far.example", &["sales@example.com"]).with(|incoming| {
            incoming.recipients[0].notify = notify;
            incoming.recipients[0].orcpt = Some("rfc822;Sales+40example.com".into());
            incoming.recipients[0].fate = fate;
        })
    };
    let success = Notify { given: true, success: true, failure: false, delay: false };
    let failure = Notify { given: true, success: false, failure: true, delay: false };
    let desk = Desk::new();
    desk.send(ask(success, Fate::Deliver)).await.unwrap();
    let record = desk.last();
    let [members, told] = record.dispatches.as_slice() else { panic!("{record:?}") };
    let never = Notify { given: true, ..Notify::default() };
    for target in &members.recipients {
        assert_eq!((target.notify, target.orcpt.as_deref()), (never, Some("rfc822;Sales+40example.com")));
    }
    assert_eq!((told.sender.as_str(), told.recipients[0].address.as_str()), ("", "x@far.example"));
    let notice = message(&record, 1);
    assert!(
        notice
            .contains("Final-Recipient: rfc822; sales@example.com\r\nAction: expanded\r\nStatus: 2.0.0\r\n")
    );
    assert!(notice.contains("Original-Recipient: rfc822; Sales@example.com\r\n"), "{notice}");
    assert!(!notice.contains("ann@") && !notice.contains("other.example"), "no member is named: {notice}");

    // Whom the profile names gets a copy of it; who hears of it anyway gets one.
    let names = vec!["x@far.example".into(), "log@example.com".into(), "sales@example.com".into()];
    let copying = rules().profile(|p| p.notice_copies = names).load();
    desk.send(ask(success, Fate::Deliver).with(|incoming| incoming.table = copying)).await.unwrap();
    let to: Vec<_> =
        desk.last().dispatches[1].recipients.iter().map(|t| (t.address.clone(), t.inside)).collect();
    let want = [("x@far.example", false), ("log@example.com", true), ("ann@example.com", true)];
    assert_eq!(to[..3], want.map(|(address, inside)| (address.to_owned(), inside)));

    // Held mail is told when it is released.
    desk.send(ask(success, Fate::Hold)).await.unwrap();
    assert!(desk.last().dispatches.iter().all(|dispatch| dispatch.hold));
    // Without the wish nothing is told, and failures are still heard of.
    desk.send(ask(failure, Fate::Deliver)).await.unwrap();
    assert!(desk.last().dispatches.len() == 1 && desk.last().dispatches[0].recipients[1].notify == failure);
    // A null sender hears nothing.
    desk.send(ask(success, Fate::Deliver).with(|incoming| {
        incoming.sender.wire.clear();
        incoming.sender_address = None;
    }))
    .await
    .unwrap();
    assert_eq!(desk.last().dispatches.len(), 1);
}

/// A recipient that is reached twice hears of everything that either way asked for.
#[tokio::test]
async fn wishes_of_two_ways_are_joined() {
    let table = rules().alias("also@example.com", &["ann@example.com"], None).load();
    let silence = Notify::default();
    let wish = |success, failure, delay| Notify { given: true, success, failure, delay };
    for (one, two, want) in [
        (silence, silence, silence),
        (silence, wish(true, false, false), wish(true, true, true)),
        (wish(false, false, false), silence, wish(false, true, true)),
        (wish(true, false, false), wish(false, false, true), wish(true, false, true)),
    ] {
        let mail = Mail::arriving(&table, "x@far.example", &["ann@example.com", "also@example.com"]);
        let record = check(
            mail.with(|incoming| {
                incoming.recipients[0].notify = one;
                incoming.recipients[1].notify = two;
            }),
            "message v0 <x@far.example>: ann@example.com",
        )
        .await;
        assert_eq!(record.dispatches[0].recipients[0].notify, want, "{one:?} {two:?}");
    }
}

/// A catch-all takes only what nobody has; what a rule names is never caught.
#[tokio::test]
async fn a_catch_all_swallows_no_mailbox() {
    let rules = Rules::new()
        .alias("@example.com", &["catch@example.com"], None)
        .alias("sales@example.com", &["ann@example.com"], None)
        .bcc("all", When::Always, &["store@example.com"], "")
        .profile(|p| p.postmaster = vec!["admin@example.com".into()]);
    let table = rules.load();
    let users = edict_runtime::users::Users::parse("ann@example.com:\nbob:\n").unwrap();
    let desk = Desk::new().with_users(users);
    for (to, want) in [
        ("ann@example.com", "ann@example.com"),
        ("Ann+tag@example.com", "Ann+tag@example.com"),
        ("bob@example.com", "bob@example.com"),
        ("sales@example.com", "(sales@example.com) ann@example.com"),
        ("nobody@example.com", "(nobody@example.com) catch@example.com"),
        ("postmaster@example.com", "(postmaster@example.com) admin@example.com"),
    ] {
        desk.send(Mail::arriving(&table, "x@far.example", &[to])).await.unwrap();
        let copy = "copy \"all\" v1 <admin@example.com>: store@example.com\n";
        assert_eq!(envelopes(&desk.last()), format!("message v0 <x@far.example>: {want}\n{copy}"));
    }
}

#[tokio::test]
async fn discarded_recipients_drop_out_and_held_ones_wait() {
    let table = rules().load();
    let fates = |fates: &'static [Fate]| {
        Mail::arriving(&table, "x@far.example", &["ann@example.com", "bob@example.com", "sales@example.com"])
            .with(|incoming| {
                incoming.recipients.iter_mut().zip(fates).for_each(|(given, fate)| given.fate = *fate)
            })
    };
    check(fates(&[Fate::Hold, Fate::Discard, Fate::Discard]), "message v0~ <x@far.example>: ann@example.com")
        .await;
    // What one verdict holds and another lets through is let through.
    check(
        fates(&[Fate::Hold, Fate::Hold, Fate::Deliver]),
        "message v0 <x@far.example>: ann@example.com bob@example.com (sales@example.com) ext@other.example!",
    )
    .await;
    let desk = Desk::new();
    let receipt = desk.send(fates(&[Fate::Discard; 3])).await.unwrap();
    assert_eq!(receipt.effects.len(), 3);
    assert!(desk.shelf.records.lock().unwrap().is_empty(), "nothing is stored");
}

#[tokio::test]
async fn a_dead_disk_is_a_452() {
    let table = rules().load();
    let desk = Desk::new();
    desk.shelf.failing.store(true, std::sync::atomic::Ordering::SeqCst);
    let refusal = desk.send(Mail::arriving(&table, "x@far.example", &["ann@example.com"])).await.unwrap_err();
    assert_eq!(refusal.reply, "452 4.3.1 Insufficient system storage");
}

/// Mail of a stranger that an alias sends out goes under our name, and its bounce finds the way back.
#[tokio::test]
async fn forwarded_mail_is_sent_under_our_name() {
    let table =
        Rules::new().alias("one@second.example", &["far@other.example", "ann@example.com"], None).load();
    let desk = Desk::new();
    desk.send(Mail::arriving(&table, "Bob@far.example", &["one@second.example"])).await.unwrap();
    let record = desk.last();
    let [forwarded, inside] = record.dispatches.as_slice() else { panic!("{record:?}") };
    assert_eq!(inside.sender, "Bob@far.example");
    let sender = &forwarded.sender;
    assert!(sender.starts_with("SRS0=") && sender.ends_with("=far.example=Bob@second.example"), "{sender}");
    // The bounce.
    assert!(desk.pipeline.returns(&table, sender));
    desk.send(Mail::arriving(&table, "", &[sender]).at(crate::support::NOON + 1)).await.unwrap();
    assert_eq!(envelopes(&desk.last()), format!("message v0 <>: ({sender}) Bob@far.example!\n"));
    // Nobody else may write there, and nothing else may be made up.
    assert!(!desk.pipeline.returns(&table, &sender.replace("far.example", "own.example")));
    assert!(!desk.pipeline.returns(&table, "ann@example.com"));
    desk.send(Mail::arriving(&table, "x@far.example", &[sender])).await.unwrap();
    assert!(envelopes(&desk.last()).contains("@second.example\n"), "not led anywhere");
    // A bounce has no sender to rewrite; our own senders need none.
    for (mail, want) in [
        (Mail::arriving(&table, "", &["one@second.example"]), ""),
        (Mail::submitted(&table, "ann@example.com", &["one@second.example"]), "ann@example.com"),
    ] {
        desk.send(mail).await.unwrap();
        assert!(desk.last().dispatches.iter().all(|dispatch| dispatch.sender == want));
    }
}

/// What leaves through an alias is bounded, however the table came to be.
#[tokio::test]
async fn too_many_final_addresses_are_refused() {
    let members: Vec<String> = (0..20_001).map(|n| format!("a{n}@other.example")).collect();
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    let table = Rules::new().alias("all@example.com", &members, None).load();
    let refusal =
        Desk::new().send(Mail::arriving(&table, "x@far.example", &["all@example.com"])).await.unwrap_err();
    assert_eq!(refusal.reply, "452 4.5.3 Too many recipients");
}
