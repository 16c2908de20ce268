//! A stranger's first five minutes: the embedded table, swaks, smtplib, a Maildir.

mod support;

use std::process::Command;
use support::daemon::Daemon;

#[test]
fn mail_of_swaks_and_smtplib_arrives_in_a_maildir() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), &[]);
    let swaks = Command::new("swaks")
        .args(["--server", &daemon.address.to_string(), "--from", "bob@example.com"])
        .args(["--to", "alice@example.com", "--header", "Subject: from swaks", "--body", "hello"])
        .output()
        .expect("swaks is installed by tests/run");
    let dialogue = String::from_utf8_lossy(&swaks.stdout);
    assert!(swaks.status.success(), "{dialogue}");
    assert!(dialogue.contains("ENHANCEDSTATUSCODES"), "{dialogue}");

    let script = format!(
        "import smtplib, email.message\n\
         m = email.message.EmailMessage()\n\
         m['Subject'] = 'from smtplib: Grüße'\n\
         m['From'] = 'bob@example.com'\n\
         m['To'] = 'alice@example.com'\n\
         m.set_content('Äpfel und Öl\\n')\n\
         with smtplib.SMTP('127.0.0.1', {}) as s:\n\
         \x20   assert s.send_message(m) == {{}}\n\
         \x20   dots = b'Subject: dots\\r\\n\\r\\n.\\r\\n..two\\r\\n'\n\
         \x20   assert s.sendmail('bob@example.com', ['alice@example.com'], dots) == {{}}\n",
        daemon.address.port()
    );
    let python = Command::new("python3").args(["-c", &script]).output().unwrap();
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));

    let mail = daemon.wait_for_mail("alice@example.com", 3);
    let of_swaks = mail.iter().find(|m| m.contains("Subject: from swaks")).unwrap();
    assert!(of_swaks.contains("\n\nhello\n"), "{of_swaks}");
    assert!(of_swaks.starts_with("Return-Path: <bob@example.com>"), "{of_swaks}");
    assert!(of_swaks.contains("Received: from "), "{of_swaks}");
    assert!(mail.iter().any(|m| m.contains("from smtplib")), "{mail:?}");
    assert!(mail.iter().any(|m| m.ends_with("\n\n.\n..two\n")), "dots are as sent: {mail:?}");

    daemon.wait_for_log(&["alice@example.com", "bob@example.com", "250"]);
}

#[test]
fn nothing_leaves_by_default_and_strangers_are_no_relay() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(folder.path(), &[]);
    let mut client = support::client::Client::hello(daemon.address).unwrap();
    // Loopback is trusted and may send out; without a relay that lands in a Maildir here.
    let reply = client.message("bob@example.com", &["eve@elsewhere.example"], "Subject: out\n\nx").unwrap();
    assert!(reply.starts_with("250 2."), "{reply}");
    daemon.wait_for_mail("eve@elsewhere.example", 1);
    assert!(daemon.stop(), "SIGTERM ends it well");
}
