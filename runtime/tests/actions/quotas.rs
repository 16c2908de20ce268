//! Quotas, and what users of other systems complain about (pains.md 1.3).

use crate::support::{Desk, Mail, NOON, Rules, When, quota};
use edict_runtime::envelope::Fate;
use edict_runtime::spool::Ledger;
use edict_table::load::Loaded;
use edict_table::model::{Quota, QuotaPer};
use std::sync::Arc;

const HOUR: i64 = 3_600_000;

fn messages(per: QuotaPer, most: u64) -> Quota {
    Quota { messages: Some(most), ..quota(per) }
}

fn mail(table: &Arc<Loaded>) -> Mail {
    Mail::submitted(table, "ann@example.com", &["far@other.example"])
}

/// How many of `count` messages are taken.
async fn taken(desk: &Desk, count: usize, mail: impl Fn() -> Mail) -> usize {
    let mut taken = 0;
    for _ in 0..count {
        taken += usize::from(desk.send(mail()).await.is_ok());
    }
    taken
}

fn today(desk: &Desk, table: &Loaded, user: &str) -> (u64, u64, u64) {
    let day = desk.quotas.usage(table, user, NOON).unwrap().today;
    (day.messages, day.recipients, day.bytes)
}

/// "Label says messages, counter counts recipients."
#[tokio::test]
async fn each_unit_is_what_it_says() {
    let many = ["a@x.example", "b@x.example", "c@x.example", "bob@example.com"];
    let size = {
        let table = Rules::new().load();
        mail(&table).0.bytes.len() as u64
    };
    for (rule, want) in [
        (messages(QuotaPer::User, 10), 10),
        (Quota { recipients: Some(10), ..quota(QuotaPer::User) }, 3),
        (Quota { bytes: Some(2 * size + 1), ..quota(QuotaPer::User) }, 2),
    ] {
        let table = Rules::new().quota("q", 100, When::Always, rule).load();
        let desk = Desk::new();
        let got = taken(&desk, 20, || Mail::submitted(&table, "ann@example.com", &many)).await;
        assert_eq!(got, want);
        let n = want as u64;
        // Inside recipients are not counted; bytes are the received size, once.
        assert_eq!(today(&desk, &table, "ann@example.com"), (n, 3 * n, size * n));
    }
}

/// "Rejected message still uses quota."
#[tokio::test]
async fn what_is_refused_after_all_is_given_back() {
    let table = Rules::new().quota("q", 100, When::Always, messages(QuotaPer::User, 3)).load();
    let desk = Desk::new();
    desk.shelf.failing.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(taken(&desk, 10, || mail(&table)).await, 0);
    assert_eq!(today(&desk, &table, "ann").0, 0);
    desk.shelf.failing.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(taken(&desk, 10, || mail(&table)).await, 3);
    // Discarded mail was accepted for nobody outside.
    let drop = mail(&table).with(|incoming| incoming.recipients[0].fate = Fate::Discard);
    assert!(desk.send(drop).await.is_ok());
}

/// "When does it reset? rolling window vs calendar day"; "never resets".
#[tokio::test]
async fn a_day_ends_where_the_rule_says() {
    for (rolling, next) in [(false, NOON + 12 * HOUR), (true, NOON + 24 * HOUR + 300_000)] {
        let rule = Quota { rolling, ..messages(QuotaPer::User, 2) };
        let table = Rules::new().quota("q", 100, When::Always, rule).load();
        let desk = Desk::new();
        assert_eq!(taken(&desk, 5, || mail(&table)).await, 2);
        assert_eq!(taken(&desk, 5, || mail(&table).at(next - 300_001)).await, 0);
        assert_eq!(taken(&desk, 5, || mail(&table).at(next)).await, 2);
    }
    let rule = messages(QuotaPer::User, 1);
    let zone = |table: Rules| table.profile(|p| p.time_zone = "Europe/Berlin".to_owned());
    let table = zone(Rules::new().quota("q", 100, When::Always, rule)).load();
    let desk = Desk::new();
    assert_eq!(taken(&desk, 2, || mail(&table)).await, 1);
    assert_eq!(taken(&desk, 2, || mail(&table).at(NOON + 11 * HOUR - 1)).await, 0);
    assert_eq!(taken(&desk, 2, || mail(&table).at(NOON + 11 * HOUR)).await, 1);
}

/// Days of 23 and 25 hours: what is used in the first minute counts to the last one, and not a minute longer.
#[tokio::test]
async fn a_day_on_which_clocks_change_is_one_day() {
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    for (first, last) in
        [("2026-03-28T23:00:00Z", "2026-03-29T21:59:59Z"), ("2026-10-24T22:00:00Z", "2026-10-25T22:59:59Z")]
    {
        let rules = Rules::new().quota("q", 100, When::Always, messages(QuotaPer::User, 2));
        let table = rules.profile(|p| p.time_zone = "Europe/Berlin".to_owned()).load();
        let desk = Desk::new();
        assert_eq!(taken(&desk, 9, || mail(&table).at(at(first) - 1)).await, 2, "the day before");
        assert_eq!(taken(&desk, 1, || mail(&table).at(at(first))).await, 1, "{first}");
        assert_eq!(taken(&desk, 9, || mail(&table).at(at(last))).await, 1, "{last}");
        assert_eq!(taken(&desk, 9, || mail(&table).at(at(last) + 1_000)).await, 2, "the day after");
        let usage = desk.quotas.usage(&table, "ann@example.com", at(last) + 2_000).unwrap();
        assert_eq!(usage.earlier.iter().map(|day| day.messages).collect::<Vec<_>>(), [2, 2]);
    }
}

/// "Internal and null-sender mail counted as outbound."
#[tokio::test]
async fn only_mail_that_leaves_counts_and_a_submitted_bounce_does() {
    let table = Rules::new()
        .alias("far@example.com", &["far@other.example"], None)
        .quota("q", 100, When::Always, messages(QuotaPer::User, 1))
        .load();
    let desk = Desk::new();
    assert_eq!(taken(&desk, 9, || Mail::submitted(&table, "ann@example.com", &["bob@example.com"])).await, 9);
    assert_eq!(taken(&desk, 9, || Mail::arriving(&table, "", &["ann@example.com"])).await, 9);
    // What a stranger's mail becomes when an alias sends it out is forwarded, not outbound.
    assert_eq!(taken(&desk, 9, || Mail::arriving(&table, "x@far.example", &["far@example.com"])).await, 9);
    assert_eq!(desk.quotas.usage_of_all(&table, NOON), []);
    // To an alias that leads outside: outbound by its final address.
    assert_eq!(taken(&desk, 9, || Mail::submitted(&table, "ann@example.com", &["far@example.com"])).await, 1);
    let bounce = || Mail::new(&table, Some("bob"), "", &["far@other.example"]);
    assert_eq!(taken(&desk, 9, bounce).await, 1);
}

/// "Limit expression silently never matches": a rule on the recipient holds for those it matches.
#[tokio::test]
async fn conditions_choose_the_quota_and_never_the_counter() {
    let table = Rules::new()
        .quota("partners", 10, When::Recipient(&["@partner.example"]), messages(QuotaPer::User, 5))
        .quota("everyone", 100, When::Always, messages(QuotaPer::User, 2))
        .load();
    let desk = Desk::new();
    let partner = || Mail::submitted(&table, "ann@example.com", &["p@partner.example"]);
    let both = || Mail::submitted(&table, "ann@example.com", &["p@partner.example", "far@other.example"]);
    assert_eq!(taken(&desk, 3, partner).await, 3);
    let refusal = desk.send(mail(&table)).await.unwrap_err();
    assert_eq!(refusal.reply, "452 4.7.1 Daily quota reached");
    assert_eq!(refusal.rule.unwrap().0, "everyone");
    // Crossing for one recipient refuses the whole message.
    assert_eq!(taken(&desk, 3, both).await, 0);
    assert_eq!(taken(&desk, 9, partner).await, 2);
    // Editing a rule resets nothing.
    let table = Rules::new().quota("new name", 1, When::Always, messages(QuotaPer::User, 6)).load();
    assert_eq!(taken(&desk, 9, || mail(&table)).await, 1);
}

#[tokio::test]
async fn different_per_all_hold_and_each_has_its_counter() {
    let table = Rules::new()
        .quota("user", 100, When::Always, messages(QuotaPer::User, 100))
        .quota("sender", 100, When::Always, messages(QuotaPer::Sender, 2))
        .quota("domain", 100, When::Always, messages(QuotaPer::SenderDomain, 4))
        .quota("all", 100, When::Always, messages(QuotaPer::Rule, 5))
        .load();
    let desk = Desk::new();
    let from = |from: &'static str| {
        let table = Arc::clone(&table);
        move || Mail::new(&table, Some("ann"), from, &["far@other.example"])
    };
    assert_eq!(taken(&desk, 9, from("ann@example.com")).await, 2);
    assert_eq!(taken(&desk, 9, from("bob@example.com")).await, 2);
    assert_eq!(taken(&desk, 9, from("cat@example.com")).await, 0, "the domain is used up");
    assert_eq!(taken(&desk, 9, from("cat@second.example")).await, 1, "the rule's own counter is");
    // One user may not use up another's null sender.
    let bounce = |login: &'static str| {
        let table = Rules::new().quota("s", 100, When::Always, messages(QuotaPer::Sender, 1)).load();
        move || Mail::new(&table, Some(login), "", &["far@other.example"])
    };
    assert_eq!(taken(&desk, 9, bounce("ann")).await, 1);
    assert_eq!(taken(&desk, 9, bounce("bob")).await, 1);
}

#[tokio::test]
async fn one_user_has_one_counter_whatever_he_is_called() {
    let table = Rules::new()
        .alias("info@example.com", &["ann@example.com"], None)
        .quota("q", 100, When::Always, messages(QuotaPer::User, 3))
        .load();
    let desk = Desk::new();
    let send = |login: &'static str, from: &'static str| {
        let mail = Mail::new(&table, Some(login), from, &["far@other.example"]);
        desk.send(mail)
    };
    send("Ann", "ann@example.com").await.unwrap();
    send("ann@example.net", "info@example.com").await.unwrap();
    // Without a login: the owner of the sender, then the client.
    send("", "info+tag@example.net").await.unwrap();
    assert!(send("ann@example.com", "ann@example.com").await.is_err());
    for stranger in ["x@far.example", "y@far.example", ""] {
        send("", stranger).await.unwrap();
    }
    assert!(send("", "z@far.example").await.is_err());
    let all = desk.quotas.usage_of_all(&table, NOON);
    let users: Vec<&str> = all.iter().map(|usage| usage.user.as_str()).collect();
    assert_eq!(users, ["ann@example.com", "client:192.0.2.7"]);
}

#[tokio::test]
async fn several_bounds_in_one_rule_and_its_own_reply() {
    let mut rule = Quota { messages: Some(10), recipients: Some(4), ..quota(QuotaPer::User) };
    rule.reply.code = 550;
    rule.reply.enhanced = (5, 7, 1);
    rule.reply.text = "Enough for today".to_owned();
    let table = Rules::new().quota("q", 100, When::Always, rule).load();
    let desk = Desk::new();
    let two = || Mail::submitted(&table, "ann@example.com", &["a@x.example", "b@x.example"]);
    assert_eq!(taken(&desk, 5, two).await, 2);
    assert_eq!(desk.send(two()).await.unwrap_err().reply, "550 5.7.1 Enough for today");
}

#[tokio::test]
async fn the_check_at_rcpt_speaks_once_the_day_is_used_up() {
    let table = Rules::new()
        .quota("q", 100, When::Recipient(&["@other.example"]), messages(QuotaPer::User, 2))
        .load();
    let desk = Desk::new();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_millis()).unwrap();
    for _ in 0..2 {
        desk.precheck(&table, "ann@example.com", "far@other.example").unwrap();
        desk.send(mail(&table).at(now)).await.unwrap();
    }
    let refusal = desk.precheck(&table, "ann@example.com", "far@other.example").unwrap_err();
    assert_eq!(
        (refusal.reply.as_str(), refusal.rule.unwrap().0.as_str()),
        ("452 4.7.1 Daily quota reached", "q")
    );
    desk.precheck(&table, "ann@example.com", "far@free.example").unwrap();
    desk.precheck(&table, "bob@example.com", "far@other.example").unwrap();
    // What hangs on the content is for the end of data.
    let table = Rules::new().quota("q", 100, When::Subject("hello"), messages(QuotaPer::User, 0)).load();
    desk.precheck(&table, "ann@example.com", "far@other.example").unwrap();
    assert!(desk.send(mail(&table).at(now)).await.is_err());
}

#[tokio::test]
async fn a_threshold_warns_once_and_audit_rules_only_watch() {
    let rule = Quota { warn_percent: Some(80), ..messages(QuotaPer::User, 5) };
    let table = Rules::new()
        .quota("q", 100, When::Always, rule)
        .quota("tight", 1, When::Always, messages(QuotaPer::User, 2))
        .audit()
        .load();
    let desk = Desk::new();
    let mut effects = Vec::new();
    for _ in 0..5 {
        effects.push(desk.send(mail(&table)).await.unwrap().effects.join("; "));
    }
    assert_eq!(
        effects,
        [
            "",
            "",
            "audit: quota \"tight\" would refuse",
            "quota \"q\": 4 of 5 messages; audit: quota \"tight\" would refuse",
            "audit: quota \"tight\" would refuse",
        ]
    );
    assert!(desk.send(mail(&table)).await.is_err());
}

#[tokio::test]
async fn a_reset_is_durable_and_earlier_days_stay() {
    let table = Rules::new().quota("q", 100, When::Always, messages(QuotaPer::User, 2)).load();
    let desk = Desk::new();
    assert_eq!(taken(&desk, 1, || mail(&table).at(NOON - 24 * HOUR)).await, 1);
    assert_eq!(taken(&desk, 3, || mail(&table)).await, 2);
    assert_eq!(desk.quotas.reset(&table, "Ann", NOON + 1).unwrap().messages, 3);
    assert_eq!(taken(&desk, 3, || mail(&table).at(NOON + 2)).await, 2);
    let records = desk.shelf.records.lock().unwrap().clone();
    let folder = Arc::clone(&desk.folder);
    drop(desk);
    // The log is replayed: what was reset stays so, what came after counts.
    let desk = Desk::over(folder, records.len() as u64);
    for (place, record) in records.iter().enumerate() {
        desk.quotas.replay(place as u64 + 1, &record.usage);
    }
    let usage = desk.quotas.usage(&table, "ann@example.com", NOON + 3).unwrap();
    assert_eq!(usage.today.messages, 2);
    assert_eq!(taken(&desk, 3, || mail(&table).at(NOON + 3)).await, 0);
}

#[tokio::test]
async fn usage_shows_today_and_before_per_user() {
    let table = Rules::new().load();
    let desk = Desk::new();
    for back in [2, 1, 1, 0] {
        desk.send(mail(&table).at(NOON - back * 24 * HOUR)).await.unwrap();
    }
    desk.quotas.checkpoint(2).unwrap();
    let usage = desk.quotas.usage(&table, "ann@example.com", NOON).unwrap();
    let earlier: Vec<(&str, u64)> =
        usage.earlier.iter().map(|day| (day.date.as_str(), day.messages)).collect();
    assert_eq!(earlier, [("2026-11-23", 2), ("2026-11-22", 1)]);
    assert_eq!((usage.today.date.as_str(), usage.today.messages), ("2026-11-24", 1));
    assert_eq!(desk.quotas.usage(&table, "nobody", NOON).unwrap().today.messages, 0);
}

/// "Counter lock is the bottleneck": nobody waits for another's message to be stored.
#[tokio::test]
async fn one_message_under_way_holds_up_no_other() {
    let table = Rules::new().quota("q", 100, When::Always, messages(QuotaPer::User, 5)).load();
    let desk = Arc::new(Desk::new());
    let slow = {
        let (desk, table) = (Arc::clone(&desk), Arc::clone(&table));
        let large = format!("Subject: x\r\n\r\n{}", "x\r\n".repeat(50_000));
        tokio::spawn(async move { desk.send(mail(&table).bytes(large)).await })
    };
    while today(&desk, &table, "ann").0 == 0 {
        tokio::task::yield_now().await;
    }
    // It is counted while it is under way, and others pass it.
    assert_eq!(taken(&desk, 9, || mail(&table)).await, 4);
    desk.shelf.gate.add_permits(1);
    assert!(slow.await.unwrap().is_ok());
    assert_eq!(today(&desk, &table, "ann").0, 5);
}

/// A client that hangs up before the answer: what is stored is counted, all the same.
#[tokio::test]
async fn a_caller_that_stops_waiting_changes_nothing() {
    let table = Rules::new().quota("q", 100, When::Always, messages(QuotaPer::User, 5)).load();
    let desk = Desk::new();
    let large = format!("Subject: x\r\n\r\n{}", "x\r\n".repeat(50_000));
    let waiting = desk.send(mail(&table).bytes(large));
    tokio::select! {
        biased;
        _ = waiting => unreachable!("the gate is shut"),
        () = tokio::time::sleep(std::time::Duration::from_millis(20)) => {}
    }
    desk.shelf.gate.add_permits(1);
    while desk.shelf.records.lock().unwrap().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert_eq!(today(&desk, &table, "ann").0, 1);
    assert_eq!(taken(&desk, 9, || mail(&table)).await, 4);
}

/// Different quotas for a group, a user and everyone else (F4): the best priority holds.
#[tokio::test]
async fn groups_and_users_have_quotas_of_their_own() {
    let table = Rules::new()
        .quota("boss", 1, When::Sender(&["boss@example.com"]), messages(QuotaPer::User, 6))
        .quota(
            "marketing",
            10,
            When::Sender(&["ann@example.com", "boss@example.com"]),
            messages(QuotaPer::User, 4),
        )
        .quota("everyone", 100, When::Always, messages(QuotaPer::User, 2))
        .load();
    let desk = Desk::new();
    for (user, want) in [("boss@example.com", 6), ("ann@example.com", 4), ("bob@example.com", 2)] {
        let send = || Mail::submitted(&table, user, &["far@other.example"]);
        assert_eq!(taken(&desk, 9, send).await, want, "{user}");
    }
}
