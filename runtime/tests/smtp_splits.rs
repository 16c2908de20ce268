//! Any split of the same bytes into packets gives the same replies and the same messages: generated sessions, sound
//! and broken, fed whole and in pieces. `EDICT_LONG=n` tries n of them.
//!
//! With `pipelining lenient`: that commands came too early is the one thing that hangs on packets by its nature
//! (`smtp/pipelining.txt`).

#[cfg(test)]
#[path = "smtp/support.rs"]
#[expect(dead_code, reason = "shared with the dialogues")]
mod support;

#[cfg(test)]
mod tests {
    use super::support::{Memory, USERS, context, table};
    use edict_runtime::smtp::{Checked, Context, Endpoint, Role, Session, Settings, Step};
    use edict_table::load::Loaded;
    use proptest::prelude::*;
    use std::sync::{Arc, OnceLock};

    /// What a session came to: everything it said, everything it took, and whether it ended.
    #[derive(PartialEq, Eq, Debug)]
    struct Came {
        said: String,
        took: Vec<(String, Vec<String>, Vec<u8>)>,
        closed: bool,
    }

    fn rules() -> Arc<Loaded> {
        static TABLE: OnceLock<Arc<Loaded>> = OnceLock::new();
        Arc::clone(TABLE.get_or_init(|| {
            table(
                "pipelining lenient\nmax-message-size 200 B\nauth optional\nauth-without-tls allowed\nerrors slow after 30, close after 60",
                "reject \"casino\" { when body contains \"casino\" }\nreject \"bob\" { priority 1  when recipient is bob@example.com }",
            )
        }))
    }

    /// Feeds a session; `cuts` says where packets end.
    fn play(bytes: &[u8], cuts: &[usize]) -> Came {
        let (cx, memory): (Arc<Context>, Arc<Memory>) = context(rules(), USERS, Settings::default());
        let mut session = Session::new(
            cx,
            Endpoint { role: Role::Mx, ..Endpoint::default() },
            "203.0.113.9".parse().unwrap(),
        );
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        let (mut waiting, mut sent, mut said, mut closed) = (Vec::new(), 0, Vec::new(), false);
        for end in ends {
            waiting.extend_from_slice(&bytes[sent..end.max(sent)]);
            sent = end.max(sent);
            loop {
                let (used, step) = session.step(&waiting, 1_700_000_000_000);
                waiting.drain(..used);
                said.append(session.output());
                match step {
                    Step::Read => break,
                    Step::Write | Step::Wait(_) => {}
                    Step::Accept(incoming) => {
                        memory.taken.lock().unwrap().push(*incoming);
                        session.accepted(Ok(edict_runtime::acceptor::Receipt::default()));
                    }
                    Step::Verify { .. } => session.verified(Checked::Wrong, 1_700_000_000_000),
                    Step::Look(questions) => {
                        session.answered(questions.into_iter().map(|q| q.unknown()).collect());
                    }
                    Step::StartTls | Step::Offer(..) => panic!("it is not offered"),
                    Step::Close => {
                        closed = true;
                        break;
                    }
                }
            }
            if closed {
                break;
            }
        }
        let taken = memory.taken.lock().unwrap();
        let took = taken
            .iter()
            .map(|m| {
                (
                    m.sender.wire.clone(),
                    m.recipients.iter().map(|r| r.wire.clone()).collect(),
                    m.bytes.clone(),
                )
            })
            .collect();
        // Nonces differ.
        let said: Vec<String> = String::from_utf8(said)
            .unwrap()
            .lines()
            .map(|line| if line.starts_with("334 ") { "334".to_owned() } else { line.to_owned() })
            .collect();
        Came { said: said.join("\n"), took, closed }
    }

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
            pieces in proptest::collection::vec(piece(), 1..24),
            cuts in proptest::collection::vec(any::<usize>(), 0..24),
        ) {
            let bytes = pieces.concat();
            let whole = play(&bytes, &[]);
            prop_assert_eq!(&play(&bytes, &cuts), &whole);
            let each: Vec<usize> = (0..bytes.len()).collect();
            prop_assert_eq!(&play(&bytes, &each), &whole);
            for line in whole.said.lines() {
                // RFC 5321 4.2: a code, and at most 512 octets with the CRLF.
                prop_assert!(line.len() <= 510 && line.bytes().take(3).all(|b| b.is_ascii_digit()), "{}", line);
                prop_assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)), "{}", line);
            }
            for (_, recipients, bytes) in &whole.took {
                prop_assert!(recipients.iter().all(|r| r.ends_with("@example.com")));
                let text = bytes.iter().map(|b| char::from(*b)).collect::<String>();
                prop_assert!(!text.replace("\r\n", "").contains(['\r', '\n', '\0']));
            }
        }
    }
}
