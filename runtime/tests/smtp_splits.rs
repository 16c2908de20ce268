//! Any split of the same bytes into packets gives the same replies and the same messages: generated sessions, sound
//! and broken, fed whole and in pieces, on any ground: strict and lenient pipelining, with and without logins, TLS and
//! XCLIENT, small limits. `EDICT_LONG=n` tries n of them.
//!
//! That commands came too early is the one thing that hangs on packets by its nature (`smtp/pipelining.txt`): with
//! `pipelining strict` all is the same up to there.

#[cfg(test)]
#[path = "fuzzed/front.rs"]
#[expect(dead_code, reason = "shared with the targets of fuzzing")]
mod front;

#[cfg(test)]
mod tests {
    use super::front::ground::{Ground, TLS_BEGINS};
    use super::front::sound;
    use proptest::prelude::*;

    fn piece() -> impl Strategy<Value = Vec<u8>> {
        let text = |text: &'static str| Just(text.as_bytes().to_vec());
        prop_oneof![
            4 => text("EHLO client.example\r\n"),
            4 => text("MAIL FROM:<carl@other.example>\r\n"),
            4 => text("RCPT TO:<ann@example.com>\r\n"),
            6 => text("EHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.com>\r\nDATA\r\n"),
            4 => text("Subject: hello\r\n\r\n..text\r\n.\r\n"),
            2 => text("MAIL FROM:<a@b.example> SIZE=10 BODY=8BITMIME\r\nRCPT TO:<bob@example.com>\r\n"),
            2 => text("casino\r\n.\r\n"),
            2 => text("BDAT 5\r\nhello"),
            2 => text("BDAT 7 LAST\r\nRSET\r\n."),
            2 => text("BDAT 3\r\nA\rB"),
            1 => text("BDAT x\r\n"),
            2 => text("DATA\r\n"),
            2 => text("\r\n.\r\n"),
            1 => text("\n.\n"),
            1 => text("\r.\r"),
            1 => text("a\rb\r\n"),
            2 => text("RSET\r\n"),
            1 => text("NOOP x\r\n"),
            1 => text("AUTH PLAIN AGEAYg==\r\n"),
            1 => text("AUTH LOGIN\r\nYQ==\r\nYg==\r\n"),
            1 => text("AUTH SCRAM-SHA-256 biwsbj1hLHI9Yg==\r\n*\r\n"),
            1 => Just([vec![b'x'; 5000], b"\r\n".to_vec()].concat()),
            1 => Just([b"MAIL FROM:<".to_vec(), vec![b'y'; 300], b"@example.com>\r\n".to_vec()].concat()),
            1 => Just([b"x: ".to_vec(), vec![b'z'; 300], b"\r\n".to_vec()].concat()),
            1 => text("QUIT\r\n"),
            2 => text("XCLIENT ADDR=198.51.100.7 NAME=mail.other.example HELO=other.example\r\n"),
            1 => text("XCLIENT ADDR=10.0.0.7\r\nEHLO inside.example\r\nMAIL FROM:<ann@example.com>\r\n"),
            1 => text("XCLIENT ADDR=IPV6:2001:db8::7 LOGIN=ann@example.com PROTO=ESMTP\r\n"),
            1 => text("XCLIENT NAME=mail.other.example\r\n"),
            3 => text("STARTTLS\r\n"),
            1 => text("STARTTLS\r\nEHLO early.example\r\nMAIL FROM:<early@other.example>\r\n"),
            2 => Just(vec![TLS_BEGINS]),
            1 => text("RCPT TO:<carl@elsewhere.example>\r\nRCPT TO:<carl@example.com>\r\n"),
            1 => text("MAIL FROM:carl@other.example\r\n"),
            1 => text("HELO client.example\r\n"),
            1 => proptest::collection::vec(any::<u8>(), 0..12),
        ]
    }

    fn cases() -> u32 {
        std::env::var("EDICT_LONG").map_or(400, |n| n.parse().unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

        /// RFC 5321 4.2, 4.2.1, 4.3.1, 4.5.3.1.5: replies of 512 octets at most, in order.
        #[test]
        fn packets_change_nothing(
            ground in any::<u8>().prop_map(Ground),
            pieces in proptest::collection::vec(piece(), 1..24),
            mut cuts in proptest::collection::vec(1..300_usize, 0..24),
        ) {
            let bytes = pieces.concat();
            let whole = ground.play(&bytes, |left| left);
            sound(ground, &whole);
            ground.play(&bytes, |left| cuts.pop().unwrap_or(left)).agrees(&whole);
            ground.play(&bytes, |_| 1).agrees(&whole);
        }
    }
    /// Or the property would hold of refusals alone.
    #[test]
    fn mail_gets_through_on_every_ground() {
        for ground in (0..=u8::MAX).map(Ground) {
            let mut wire = Vec::new();
            if ground.tls() {
                wire.extend_from_slice(b"EHLO client.example\r\nSTARTTLS\r\n");
                wire.push(TLS_BEGINS);
            }
            if ground.xclient() {
                wire.extend_from_slice(b"XCLIENT ADDR=198.51.100.7 LOGIN=ann@example.com\r\n");
            }
            wire.extend_from_slice(b"EHLO client.example\r\nMAIL FROM:<ann@example.com>\r\n");
            wire.extend_from_slice(b"RCPT TO:<bob@example.com>\r\nRCPT TO:<ann@example.com>\r\nDATA\r\n");
            wire.extend_from_slice(b"From: ann@example.com\r\n\r\n..Hi\r\n.\r\nQUIT\r\n");
            let came = ground.play(&wire, |_| 1);
            sound(ground, &came);
            if ground.needs_login() && !ground.xclient() {
                assert!(came.said.contains("530 5.7.0 log in first\n"), "{ground:?}: {came:?}");
                assert!(came.took.is_empty());
            } else {
                assert!(came.closed && came.said.ends_with("221 2.0.0 Bye\n"), "{ground:?}: {came:?}");
                let [(sender, recipients, bytes)] = came.took.as_slice() else {
                    panic!("{ground:?}: {came:?}")
                };
                assert_eq!(
                    (sender.as_str(), recipients.as_slice()),
                    ("ann@example.com", &["ann@example.com".to_owned()][..])
                );
                assert_eq!(bytes, b"From: ann@example.com\r\n\r\n.Hi\r\n");
            }
        }
    }
}
