//! Logins as somebody tries them who has no password: bounded over all his connections, and the same whomever he names.

#[cfg(test)]
#[path = "smtp/support.rs"]
#[expect(dead_code, reason = "shared with the tests of dialogues")]
mod support;

#[cfg(test)]
mod tests {
    use crate::support::{USERS, context, table};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use edict_runtime::smtp::{Checked, Context, Endpoint, Session, Settings, Step};
    use std::sync::Arc;

    const NOW: i64 = 1_700_000_000_000;

    fn new(cx: &Arc<Context>) -> Session {
        let mut session = Session::new(Arc::clone(cx), Endpoint::default(), "203.0.113.9".parse().unwrap());
        session.step(b"EHLO client.example\r\n", NOW);
        session.output().clear();
        session
    }

    /// A challenge of SCRAM with what differs from one to the next taken out: of nonce and salt the lengths alone.
    fn shape(challenge: &str) -> String {
        let parts = challenge.split(',').map(|part| match part.split_at(2) {
            ("r=" | "s=", value) => format!("{}{}", &part[..2], value.len()),
            _ => part.to_owned(),
        });
        parts.collect::<Vec<_>>().join(",")
    }

    /// Everything that a failed login shows: each step, how long it waits, each reply.
    fn failed(cx: &Arc<Context>, mechanism: &str, name: &str) -> Vec<String> {
        let mut session = new(cx);
        let coded = |text: &str| format!("{}\r\n", STANDARD.encode(text));
        let mut lines = match mechanism {
            "PLAIN at once" => vec![format!("AUTH PLAIN {}", coded(&format!("\0{name}\0wrong")))],
            "PLAIN" => vec!["AUTH PLAIN\r\n".to_owned(), coded(&format!("\0{name}\0wrong"))],
            "LOGIN" => vec!["AUTH LOGIN\r\n".to_owned(), coded(name), coded("wrong")],
            _ => vec![format!("AUTH SCRAM-SHA-256 {}", coded(&format!("n,,n={name},r=abc")))],
        };
        lines.reverse();
        let (mut waiting, mut shown) = (Vec::new(), Vec::new());
        loop {
            let (used, step) = session.step(&waiting, NOW);
            waiting.drain(..used);
            // As the driver does: what is held back is not written before the wait is over.
            let held = matches!(step, Step::Wait(_));
            let said = if held { Vec::new() } else { std::mem::take(session.output()) };
            let said = String::from_utf8(said).unwrap();
            if mechanism == "SCRAM"
                && let Some(text) = said.strip_prefix("334 ")
            {
                let challenge = String::from_utf8(STANDARD.decode(text.trim_end()).unwrap()).unwrap();
                shown.push(shape(&challenge));
                let nonce = challenge.split(',').next().unwrap();
                lines.push(coded(&format!("c=biws,{nonce},p={}=", "A".repeat(43))));
            } else if !said.is_empty() {
                shown.push(said);
            }
            match step {
                Step::Read => match lines.pop() {
                    Some(line) => waiting.extend_from_slice(line.as_bytes()),
                    None => return shown,
                },
                Step::Verify { name, password } => {
                    shown.push("checks a password".to_owned());
                    let fits = cx.users.load().verify(&name, &password.0);
                    session.verified(if fits { Checked::Right(name) } else { Checked::Wrong }, NOW);
                }
                Step::Wait(pause) => shown.push(format!("waits {pause:?}")),
                step => panic!("{step:?}"),
            }
        }
    }

    /// AUTH guessing and timing: the same steps, the same pause and the same replies, whether a name is somebody's or
    /// nobody's, and however his password is kept.
    #[test]
    fn a_failure_is_the_same_for_strangers() {
        // As cheap as each kind gets.
        let users = "nolo@example.com:\n\
            argo@example.com:$argon2id$v=19$m=8,t=1,p=1$BwcHBwcHBwcHBwcHBwcHBw$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n\
            cryp@example.com:$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1\n\
            scra@example.com:{SCRAM-SHA-256}1,MDEyMzQ1Njc4OWFiY2RlZg==,\
            MKG5kW+STbrffPRvjy1s3AajDGDg4IBSmRSRmQIoQ3Y=,lRHtdUSleirTXqak7yFtR+uyMo2M1cvucMGUEvsbQSM=\n";
        let delay = Settings::default().error_delay;
        for mechanism in ["PLAIN at once", "PLAIN", "LOGIN", "SCRAM"] {
            let mut first: Option<Vec<String>> = None;
            for name in ["nobo", "argo", "scra", "cryp", "nolo"] {
                let table = table("auth optional\nauth-without-tls allowed", "");
                let (cx, _memory) = context(table, users, Settings::default());
                let shown = failed(&cx, mechanism, &format!("{name}@example.com"));
                assert!(shown.contains(&format!("waits {delay:?}")), "{shown:?}");
                assert_eq!(shown.last().unwrap(), "535 5.7.8 user name or password is wrong\r\n");
                assert_eq!(&shown, first.get_or_insert_with(|| shown.clone()), "{mechanism}, {name}");
            }
        }
    }

    /// RFC 5321 4.2: one reply to each command. Errors and failed logins that end a session together have one last word.
    #[test]
    fn the_last_word_is_said_once() {
        let profile = "auth optional\nauth-without-tls allowed\nerrors slow after 1, close after 2";
        let (cx, _memory) = context(table(profile, ""), USERS, Settings::default());
        let mut session = new(&cx);
        let mut waiting = Vec::new();
        let mut said = Vec::new();
        loop {
            let (used, step) = session.step(&waiting, NOW);
            waiting.drain(..used);
            said.append(session.output());
            match step {
                Step::Read => waiting.extend_from_slice(b"AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBndWVzcw==\r\n"),
                Step::Verify { .. } => session.verified(Checked::Wrong, NOW),
                Step::Wait(_) => {}
                Step::Close => break,
                step => panic!("{step:?}"),
            }
        }
        let failed = "535 5.7.8 user name or password is wrong\r\n";
        let last = "421 4.7.0 too many errors\r\n";
        assert_eq!(String::from_utf8(said).unwrap(), failed.repeat(3) + last);
    }

    /// AUTH guessing and timing: logins of one client at once are bounded as those one after the other are; the
    /// others wait for what comes of these.
    #[test]
    fn guesses_at_once_are_counted_before_they_are_checked() {
        let (cx, _memory) =
            context(table("auth optional\nauth-without-tls allowed", ""), USERS, Settings::default());
        let checked = |session: &mut Session| match session.step(&[], 1_700_000_000_000).1 {
            Step::Verify { .. } => true,
            Step::Wait(_) => false,
            step => panic!("{step:?}"),
        };
        let (mut checks, mut waiting) = (Vec::new(), Vec::new());
        for _ in 0..30 {
            let ip = "203.0.113.9".parse().unwrap();
            let mut session = Session::new(Arc::clone(&cx), Endpoint::default(), ip);
            session.step(b"EHLO client.example\r\n", 1_700_000_000_000);
            let line = b"AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBndWVzcw==\r\n";
            let (used, step) = session.step(line, 1_700_000_000_000);
            assert_eq!(used, line.len());
            match step {
                Step::Verify { .. } => checks.push(session),
                Step::Wait(_) => waiting.push(session),
                step => panic!("{step:?}"),
            }
        }
        assert_eq!((checks.len(), waiting.len()), (20, 10));
        // One that was right, or that could not be checked, makes room for another.
        checks.pop().unwrap().verified(Checked::Right("ann@example.com".to_owned()), 1_700_000_000_000);
        checks.pop().unwrap().verified(Checked::Unknown, 1_700_000_000_000);
        let more = waiting.iter_mut().map(checked).filter(|checked| *checked).count();
        assert_eq!(more, 2);
        for session in &mut checks {
            session.verified(Checked::Wrong, 1_700_000_000_000);
        }
        // Eighteen failed, two are under way.
        assert!(!checked(waiting.last_mut().unwrap()));
        for session in &mut waiting[..2] {
            session.verified(Checked::Wrong, 1_700_000_000_000);
        }
        let last = waiting.last_mut().unwrap();
        assert!(matches!(last.step(&[], 1_700_000_000_000).1, Step::Close));
        assert!(
            String::from_utf8_lossy(last.output())
                .ends_with("421 4.7.0 too many failed logins, try again later\r\n")
        );
    }
}
