//! The client's side of SMTP and LMTP against scripted next hops, polite and hostile.
//!
//! A dialogue is a file in `next_hops/`; its format stands in the README there.

#[cfg(test)]
mod tests {
    use edict_runtime::deliver::client::{Session, Timeouts, Trouble};
    use edict_runtime::deliver::send::Sent;
    use edict_runtime::deliver::{Letter, Outcome, Pace, Reason};
    use edict_runtime::envelope::{Body, Dispatch, DispatchKind, MessageId, Notify, Ret, Submitted, Target};
    use std::fmt::Write as _;
    use std::future::poll_fn;
    use std::path::Path;
    use std::pin::Pin;
    use std::task::Poll;
    use std::time::Duration;
    use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
    use tokio::task::{unconstrained, yield_now};

    /// How long a next hop may be silent in a dialogue. None is silent that should not be, however busy the machine is.
    const PATIENCE: Duration = Duration::from_secs(5);

    /// One line of a dialogue.
    #[derive(Clone, Debug)]
    enum Line {
        /// The next hop writes this.
        Says(Vec<u8>),
        /// The client's next line, without its line end.
        Hears(String),
        /// The client's next bytes.
        Takes(Vec<u8>),
        /// The next hop hangs up.
        Close,
        /// It says nothing more, and reads on.
        Silent,
        /// It never stops saying this.
        Endless(Vec<u8>),
        /// The client has heard all that it waits for.
        Rests,
        /// The client sends the same letter again, not before this.
        Again,
    }

    /// Where one side waits for the other: a word for each letter that is done, or that may be sent again. Who is gone is
    /// waited for no longer.
    type Waits = (UnboundedSender<()>, UnboundedReceiver<()>);

    /// Those of the hop and of the client.
    fn waits() -> (Waits, Waits) {
        let ((again, may_go), (done, rests)) = (unbounded_channel(), unbounded_channel());
        ((again, rests), (done, may_go))
    }

    #[derive(Clone, Debug)]
    struct Dialogue {
        lmtp: bool,
        dispatch: Dispatch,
        message: Vec<u8>,
        lines: Vec<Line>,
        want: String,
    }

    /// `\r \n \t \e \0 \\ \xHH` and `{text*count}`.
    fn unescape(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let after = &rest[c.len_utf8()..];
            rest = after;
            if c == '{' {
                let (inner, more) = after.split_once('}').unwrap();
                let (what, count) = inner.rsplit_once('*').unwrap();
                out.extend(unescape(what).repeat(count.parse().unwrap()));
                rest = more;
            } else if c == '\\' {
                let kind = after.chars().next().unwrap();
                rest = &after[1..];
                out.push(match kind {
                    'r' => b'\r',
                    'n' => b'\n',
                    't' => b'\t',
                    'e' => 27,
                    '0' => 0,
                    'x' => {
                        rest = &after[3..];
                        u8::from_str_radix(&after[1..3], 16).unwrap()
                    }
                    other => u8::try_from(other).unwrap(),
                });
            } else {
                out.extend_from_slice(c.to_string().as_bytes());
            }
        }
        out
    }

    fn target(text: &str) -> Target {
        let mut words = text.split(' ');
        let address = String::from_utf8(unescape(words.next().unwrap())).unwrap();
        let mut target =
            Target { address, given: None, inside: false, notify: Notify::default(), orcpt: None };
        for word in words {
            let (name, value) = word.split_once('=').unwrap();
            match name {
                "NOTIFY" => {
                    target.notify = Notify {
                        given: true,
                        success: value.contains("SUCCESS"),
                        failure: value.contains("FAILURE"),
                        delay: value.contains("DELAY"),
                    };
                }
                "ORCPT" => target.orcpt = Some(value.to_owned()),
                other => panic!("unknown {other}"),
            }
        }
        target
    }

    fn read(text: &str) -> Dialogue {
        let mut dialogue = Dialogue {
            lmtp: false,
            dispatch: Dispatch {
                kind: DispatchKind::Message,
                sender: "ann@us.example".to_owned(),
                recipients: Vec::new(),
                variant: 0,
                body: Body::SevenBit,
                smtputf8: false,
                ret: None,
                envid: None,
                hold: false,
                client_ip: "192.0.2.1".parse().unwrap(),
                auth_user: None,
                submitted: Submitted::No,
            },
            message: b"Subject: x\r\n\r\nhi\r\n".to_vec(),
            lines: Vec::new(),
            want: String::new(),
        };
        let crlf = |text: &str| [unescape(text), b"\r\n".to_vec()].concat();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (word, value) = line.split_once(' ').unwrap_or((line, ""));
            let dispatch = &mut dialogue.dispatch;
            match word {
                "lmtp" => dialogue.lmtp = true,
                "from" => dispatch.sender = String::from_utf8(unescape(value)).unwrap(),
                "to" => dispatch.recipients.push(target(value)),
                "message" => dialogue.message = unescape(value),
                "body" => dispatch.body = Body::EightBitMime,
                "smtputf8" => dispatch.smtputf8 = true,
                "ret" => dispatch.ret = Some(if value == "FULL" { Ret::Full } else { Ret::Headers }),
                "envid" => dispatch.envid = Some(value.to_owned()),
                "offers" => {
                    let verb = if dialogue.lmtp { "LHLO" } else { "EHLO" };
                    dialogue.lines.push(Line::Says(crlf("220 hop")));
                    dialogue.lines.push(Line::Hears(format!("{verb} us.example")));
                    let offers = value.split('|').filter(|o| !o.is_empty());
                    let all: Vec<&str> = ["hop"].into_iter().chain(offers).collect();
                    for (place, offer) in all.iter().enumerate() {
                        let dash = if place + 1 == all.len() { ' ' } else { '-' };
                        dialogue.lines.push(Line::Says(crlf(&format!("250{dash}{offer}"))));
                    }
                }
                "S:" => dialogue.lines.push(Line::Says(crlf(value))),
                "S|" => dialogue.lines.push(Line::Says(unescape(value))),
                "C:" => dialogue.lines.push(Line::Hears(value.to_owned())),
                "C|" => dialogue.lines.push(Line::Takes(unescape(value))),
                "close" => dialogue.lines.push(Line::Close),
                "silent" => dialogue.lines.push(Line::Silent),
                "endless" => dialogue.lines.push(Line::Endless(unescape(value))),
                "rests" => dialogue.lines.push(Line::Rests),
                "again" => dialogue.lines.push(Line::Again),
                "=" => {
                    dialogue.want.push_str(value);
                    dialogue.want.push('\n');
                }
                other => panic!("unknown word {other}"),
            }
        }
        if dialogue.dispatch.recipients.is_empty() {
            dialogue.dispatch.recipients.push(target("bob@hop.example"));
        }
        dialogue
    }

    /// What the client sent beyond all that was heard.
    async fn beyond(stream: &mut BufReader<DuplexStream>) -> String {
        // All share a thread: by then the client has said all that it says before it hears more.
        for _ in 0..4 {
            yield_now().await;
        }
        let more = poll_fn(|context| match Pin::new(&mut *stream).poll_fill_buf(context) {
            Poll::Ready(Ok(more)) => Poll::Ready(String::from_utf8_lossy(more).into_owned()),
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(String::new()),
        });
        unconstrained(more).await
    }

    /// Plays the next hop. Says what went against the script.
    async fn hop(stream: DuplexStream, lines: Vec<Line>, (again, mut rests): Waits) -> Result<(), String> {
        let mut stream = BufReader::new(stream);
        let (mut pipelining, mut heard) = (false, false);
        for line in lines {
            let hears = matches!(line, Line::Hears(_) | Line::Takes(_));
            // Before it is answered, nothing follows a command.
            if std::mem::replace(&mut heard, hears) && !hears && !pipelining {
                let more = beyond(&mut stream).await;
                if !more.is_empty() {
                    return Err(format!("sent without waiting, though PIPELINING is not offered: {more:?}"));
                }
            }
            if let Line::Says(bytes) = &line {
                pipelining |= bytes.windows(10).any(|word| word.eq_ignore_ascii_case(b"PIPELINING"));
            }
            match line {
                // The client may have given up on us; what it then sees is what is tested.
                Line::Says(bytes) => drop(stream.write_all(&bytes).await),
                Line::Hears(want) => {
                    let mut got = Vec::new();
                    let read = stream.read_until(b'\n', &mut got).await;
                    let got = String::from_utf8_lossy(&got).into_owned();
                    if read.is_err() || got != format!("{want}\r\n") {
                        return Err(format!("expected {want:?}, got {got:?}"));
                    }
                }
                Line::Takes(want) => {
                    let mut got = vec![0; want.len()];
                    let read = stream.read_exact(&mut got).await;
                    if read.is_err() || got != want {
                        let (want, got) = (String::from_utf8_lossy(&want), String::from_utf8_lossy(&got));
                        return Err(format!("expected {want:?}, got {got:?}"));
                    }
                }
                Line::Close => return Ok(()),
                Line::Silent => {
                    let _ = stream.read_to_end(&mut Vec::new()).await;
                    return Ok(());
                }
                Line::Endless(bytes) => while stream.write_all(&bytes).await.is_ok() {},
                Line::Rests => drop(rests.recv().await),
                Line::Again => drop(again.send(())),
            }
        }
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        match rest.as_slice() {
            b"" | b"QUIT\r\n" => Ok(()),
            rest => Err(format!("more than expected: {:?}", String::from_utf8_lossy(rest))),
        }
    }

    fn status(reason: &Reason) -> String {
        let (class, subject, detail) = reason.status;
        assert!(reason.text.len() < 1200 && !reason.text.contains(char::is_control), "{:?}", reason.text);
        format!("{class}.{subject}.{detail} {}", reason.text)
    }

    fn told(sent: &Sent) -> String {
        let mut out = String::new();
        for outcome in &sent.outcomes {
            let _ = match outcome {
                Outcome::Delivered { by_hop } => writeln!(out, "delivered {by_hop:?}"),
                Outcome::Deferred(reason) => writeln!(out, "deferred {}", status(reason)),
                Outcome::Failed(reason) => writeln!(out, "failed {}", status(reason)),
            };
        }
        if sent.stale {
            out.push_str("stale\n");
        }
        out
    }

    async fn client(dialogue: &Dialogue, stream: DuplexStream, (done, mut may_go): Waits) -> String {
        let timeouts = Timeouts { connect: PATIENCE, command: PATIENCE, data: PATIENCE, end: PATIENCE };
        let mut session = Session::new(Box::new(stream), "hop".to_owned(), dialogue.lmtp, timeouts);
        let greeted = async {
            session.greeting().await?;
            session.hello("us.example").await
        };
        if let Err(trouble) = greeted.await {
            return format!("no talk {}\n", status(&trouble.reason()));
        }
        let targets: Vec<u16> =
            (0..dialogue.dispatch.recipients.len()).map(|n| u16::try_from(n).unwrap()).collect();
        let letter = Letter {
            id: MessageId(1),
            received: 0,
            place: 0,
            dispatch: &dialogue.dispatch,
            targets: &targets,
            bytes: &dialogue.message,
            again: false,
            pace: Pace::Whole,
        };
        let again = dialogue.lines.iter().filter(|line| matches!(line, Line::Again)).count();
        let mut out = String::new();
        for nth in 0..=again {
            if nth > 0 {
                let _ = done.send(());
                may_go.recv().await;
            }
            let sent = session.send(&letter).await;
            assert_eq!(sent.outcomes.len(), targets.len(), "each recipient gets its outcome");
            assert!(sent.trouble.is_none() || !session.usable());
            out.push_str(&told(&sent));
            if let Some(trouble) = &sent.trouble {
                assert!(
                    !matches!(trouble, Trouble::Never(..)),
                    "a next hop's words never end hope: {trouble}"
                );
            }
        }
        out.push_str(if session.usable() { "kept\n" } else { "dropped\n" });
        session.quit().await;
        out
    }

    #[tokio::test]
    async fn dialogues() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/next_hops");
        let mut played = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "txt") {
                continue;
            }
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            for (number, part) in text.split("\n---\n").enumerate() {
                let (what, dialogue) = (format!("{name} {number}"), read(part));
                // All at the same time: silence takes as long as it may.
                played.push(tokio::spawn(async move {
                    let (ours, theirs) = tokio::io::duplex(1 << 20);
                    let (its, ours_too) = waits();
                    let script = tokio::spawn(hop(theirs, dialogue.lines.clone(), its));
                    let got = client(&dialogue, ours, ours_too).await;
                    (what, dialogue, got, script.await.unwrap())
                }));
            }
        }
        assert!(played.len() >= 40, "{} dialogues were found", played.len());
        let mut wrong = String::new();
        for one in played {
            let (what, dialogue, got, heard) = one.await.unwrap();
            let matches = got.lines().count() == dialogue.want.lines().count()
                && got.lines().zip(dialogue.want.lines()).all(|(got, want)| got.starts_with(want));
            if let Err(why) = heard {
                let _ = writeln!(wrong, "{what}: {why}\n{got}");
            } else if !matches {
                let _ = writeln!(wrong, "{what}:\n{got}-- not\n{}", dialogue.want);
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
    }
}
