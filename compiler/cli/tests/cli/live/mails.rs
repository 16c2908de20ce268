//! Mails as dice throw them: clients, logins, senders, recipients, messages and what was used up.

use edict_runtime::quota::Amount;

/// A mail and who brings it.
#[derive(Debug)]
pub(super) struct Mail {
    pub(super) client: &'static str,
    pub(super) helo: &'static str,
    pub(super) login: Option<&'static str>,
    pub(super) sender: &'static str,
    pub(super) recipients: Vec<&'static str>,
    pub(super) message: String,
    /// What the sender has used up.
    pub(super) used: Amount,
}

/// Small, and the same on each run.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }
}

pub(super) fn mail(dice: &mut Dice) -> Mail {
    let clients =
        ["203.0.113.9", "203.0.113.9", "203.0.113.9", "198.51.100.7", "198.51.100.200", "10.1.2.3", "::1"];
    let login = (dice.roll(3) == 0).then_some("ann@example.com");
    let sender = match login {
        Some(_) => dice.pick(&[
            "ann@example.com",
            "ann@example.com",
            "ann@example.com",
            "Ann@Example.NET",
            "ann+x@example.com",
            "support@example.com",
            "sales@example.com",
            "bob@example.com",
            "carl@other.example",
            "<>",
        ]),
        None => dice.pick(&[
            "carl@other.example",
            "friend@bad.example",
            "eve@bad.example",
            "eve@sub.bad.example",
            "slow@other.example",
            "noisy@other.example",
            "odd@other.example",
            "many@other.example",
            "ann@example.com",
            "ann@example.org",
            "ann@example.net",
            "ann@passed.example",
            "zoe@passed.example",
            "<>",
        ]),
    };
    let pool = [
        "ann@example.com",
        "bob@example.com",
        "Ann+list@Example.COM",
        "ann@example.net",
        "ann@example.org",
        "sales@example.com",
        "team@example.com",
        "postmaster@example.com",
        "ann@passed.example",
        "zoe@passed.example",
        "anybody@open.example",
        "far@elsewhere.example",
        "far@elsewhere.example",
        "off@third.example",
        "far%elsewhere.example@example.com",
        "elsewhere.example!far@example.com",
        "\"far@elsewhere.example\"@example.com",
        "far@[192.0.2.1]",
    ];
    let client = dice.pick(&clients);
    let ours = login.is_some() || client.starts_with("10.") || client == "::1";
    let count = dice.pick(&[1, 1, 1, 1, 2, 2, 3, 4]);
    let mut recipients: Vec<&str> = Vec::new();
    for _ in 0..count {
        // Half of what our users write leaves.
        let leaves = login.is_some() && dice.roll(2) == 0;
        let one =
            if leaves { dice.pick(&["far@elsewhere.example", "team@example.com"]) } else { dice.pick(&pool) };
        // The guard keeps these from strangers; to our own they are mailboxes that only the daemon knows not to be there.
        let odd = ours && one.rsplit_once('@').is_some_and(|(local, _)| local.contains(['%', '!', '@']));
        if !odd && !recipients.contains(&one) {
            recipients.push(one);
        }
    }
    if recipients.is_empty() {
        recipients.push("ann@example.com");
    }
    let from = match login {
        Some(_) => {
            dice.pick(&["ann@example.com", "ann@example.com", "Ann <ann+x@example.com>", "bob@example.com"])
        }
        None => "carl@other.example",
    };
    let used = Amount {
        messages: dice.pick(&[0, 0, 9, 10, 11, 12, 12]),
        recipients: dice.pick(&[0, 0, 18, 19, 20]),
        bytes: dice.pick(&[0, 0, 97 << 10, 100 << 10]),
    };
    let subject = dice.pick(&[
        "hello",
        "minutes",
        "minutes",
        "monthly report",
        "your invoice",
        "lottery",
        "monthly report",
        "Re: INVOICE 7",
        "=?utf-8?q?inv=6Fice?=",
    ]);
    let mut message = format!("From: {from}\r\nSubject: {subject}\r\n");
    let hops = dice.pick(&[0, 0, 0, 1, 3, 4]);
    message.push_str(&"Received: from a by b\r\n".repeat(hops));
    message.push_str(dice.pick(&[
        "",
        "",
        "",
        "X-Campaign: spring-7\r\n",
        "Auto-Submitted: auto-forwarded\r\n",
    ]));
    let text = dice.pick(&["text", "to the casino", "nothing of note"]);
    match dice.roll(6) {
        0 => {
            let name = dice.pick(&["a.exe", "a.pdf"]);
            let long = "x".repeat(dice.pick(&[10, 1500]));
            message.push_str(&format!(
                "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{text}\r\n--b\r\n\
                 Content-Type: application/octet-stream; name={name}\r\nContent-Disposition: attachment; \
                 filename={name}\r\n\r\n{long}\r\n--b--\r\n"
            ));
        }
        1 => message.push_str(&format!(
            "\r\n{text}\r\n{}",
            "0123456789abcde\r\n".repeat(dice.pick(&[100, 200, 300]))
        )),
        _ => message.push_str(&format!("\r\n{text}\r\n")),
    }
    let helo = dice.pick(&["client.example", "client.example", "localhost", "[192.0.2.1]"]);
    Mail { client, helo, login, sender, recipients, message, used }
}
