//! Through the SMTP front: what the two sides promise each other.

use crate::support::{Desk, NOON, Rules, When, envelopes, message, quota};
use arc_swap::ArcSwap;
use edict_runtime::live::Live;
use edict_runtime::smtp::{Context, Endpoint, Role, Settings, serve};
use edict_runtime::users::Users;
use edict_table::load::Loaded;
use edict_table::model::{Quota, QuotaPer};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Says each line and checks how each answer begins. `.` alone ends a message whose lines come before.
async fn talk(desk: &Desk, table: &Arc<Loaded>, dialogue: &[(&str, &str)]) -> Vec<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let users = Users::parse("ann@example.com:\nbob@example.com:\n").unwrap();
    let context = Arc::new(Context::new(
        Arc::new(Live::new(Arc::clone(table))),
        Arc::clone(&desk.pipeline) as _,
        Arc::new(ArcSwap::from_pointee(users)),
        Settings::default(),
    ));
    let (_stop, stopped) = watch::channel(false);
    let server =
        tokio::spawn(serve(listener, Endpoint { role: Role::Mx, ..Endpoint::default() }, context, stopped));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut answers = vec![answer(&mut stream).await];
    for (said, want) in dialogue {
        stream.write_all(format!("{said}\r\n").as_bytes()).await.unwrap();
        let got = answer(&mut stream).await;
        assert!(got.starts_with(want), "{said}: {got}");
        answers.push(got);
    }
    server.abort();
    answers
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut out = Vec::new();
    loop {
        let mut some = [0; 4096];
        let count = stream.read(&mut some).await.unwrap();
        out.extend_from_slice(&some[..count]);
        let text = String::from_utf8_lossy(&out);
        let last = text.trim_end().lines().last().unwrap_or_default();
        if count == 0 || (text.ends_with('\n') && last.as_bytes().get(3) != Some(&b'-')) {
            return text.into_owned();
        }
    }
}

const HELLO: (&str, &str) = ("EHLO client.example", "250");
const MAIL: &str = "Subject: x\r\n\r\nHi\r\n.";

#[tokio::test]
async fn a_bounce_of_forwarded_mail_comes_home() {
    let table = Rules::new()
        .profile(|p| p.trusted_networks.clear())
        .alias("one@example.com", &["far@other.example"], None)
        .load();
    let desk = Desk::new();
    let to = ("RCPT TO:<one@example.com>", "250");
    talk(&desk, &table, &[HELLO, ("MAIL FROM:<Bob@far.example>", "250"), to, ("DATA", "354"), (MAIL, "250")])
        .await;
    let sender = desk.last().dispatches[0].sender.clone();
    let bounce = format!("RCPT TO:<{sender}>");
    let forged = bounce.replace("Bob", "Eve");
    let dialogue = [
        HELLO,
        ("MAIL FROM:<x@far.example>", "250"),
        (bounce.as_str(), "550"),
        ("RSET", "250"),
        ("MAIL FROM:<>", "250"),
        (forged.as_str(), "550"),
        (bounce.as_str(), "250"),
        ("DATA", "354"),
        (MAIL, "250"),
    ];
    talk(&desk, &table, &dialogue).await;
    assert_eq!(envelopes(&desk.last()), format!("message v0 <>: ({sender}) Bob@far.example!\n"));
}

#[tokio::test]
async fn a_quota_refuses_first_at_the_end_of_data_and_then_at_rcpt() {
    let rule = Quota { messages: Some(2), recipients: Some(3), ..quota(QuotaPer::User) };
    let table = Rules::new().quota("q", 100, When::Always, rule).load();
    let desk = Desk::new();
    let from = ("MAIL FROM:<ann@example.com>", "250");
    let (far, near) = ("RCPT TO:<far@other.example>", "RCPT TO:<bob@example.com>");
    let two = "RCPT TO:<two@other.example>";
    let sent = [from, (far, "250"), (two, "250"), ("DATA", "354"), (MAIL, "250")];
    let crossing =
        [from, (far, "250"), (two, "250"), ("DATA", "354"), (MAIL, "452 4.7.1 Daily quota reached")];
    let fits = [from, (far, "250"), ("DATA", "354"), (MAIL, "250")];
    let over = [from, (far, "452 4.7.1 Daily quota reached"), (near, "250"), ("DATA", "354"), (MAIL, "250")];
    let dialogue: Vec<_> = [HELLO].into_iter().chain(sent).chain(crossing).chain(fits).chain(over).collect();
    talk(&desk, &table, &dialogue).await;
    assert_eq!(desk.shelf.records.lock().unwrap().len(), 3);
    assert_eq!(desk.quotas.usage_of_all(&table, desk.last().received)[0].today.recipients, 3);
    assert!(desk.last().received > NOON / 2);
}

/// "Edit has no effect until map rebuild + reload" (pains.md 1.2): the next transaction has the new rules.
#[tokio::test]
async fn a_new_table_decides_the_next_message() {
    let one = Rules::new().bcc("old", When::Always, &["a@archive.example"], "").load();
    let two = Rules::new().bcc("new", When::Always, &["b@archive.example"], "").load();
    let desk = Desk::new();
    let live = Arc::new(Live::new(one));
    for (table, want) in [(None, "a@archive.example"), (Some(two), "b@archive.example")] {
        if let Some(table) = table {
            live.publish(table);
        }
        let dialogue = [
            HELLO,
            ("MAIL FROM:<x@far.example>", "250"),
            ("RCPT TO:<bob@example.com>", "250"),
            ("DATA", "354"),
            (MAIL, "250"),
        ];
        talk(&desk, &live.current(), &dialogue).await;
        let record = desk.last();
        assert_eq!(record.dispatches[1].recipients[0].address, want);
        assert!(message(&record, 0).ends_with("\r\nSubject: x\r\n\r\nHi\r\n"));
    }
}
