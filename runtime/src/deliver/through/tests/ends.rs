//! Handing over to hops that take so many bytes, at their own pace.

use super::super::*;
use crate::deliver::client::Timeouts;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

pub(super) const WAITS: Waits =
    Waits { piece: Duration::from_secs(10), all: Duration::from_secs(240), word: Duration::from_secs(300) };
const DATA: usize = b"DATA\r\n".len();

/// What a hop does once it takes no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Then {
    Breaks,
    Hangs,
}

/// A hop, with all that it heard.
struct Hop {
    heard: Arc<Mutex<Vec<u8>>>,
    /// So many bytes it takes.
    most: usize,
    then: Then,
    /// What was taken goes out when it is flushed, and that comes to nothing: a record of TLS.
    keeps: bool,
    /// How long it takes over a write.
    pause: Duration,
    /// What it says: once it heard so many bytes, and after this time.
    says: Vec<(usize, Duration, &'static str)>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Hop {
    fn new(most: usize, then: Then) -> Self {
        let says = vec![(DATA, Duration::ZERO, "354 go on\r\n")];
        let (heard, pause) = (Arc::default(), Duration::ZERO);
        Self { heard, most, then, keeps: false, pause, says, timer: None }
    }

    /// One that takes all of a message of so many bytes, and says this to it after a while.
    fn that_says(word: &'static str, after: Duration, length: usize) -> Self {
        let mut hop = Self::new(usize::MAX, Then::Hangs);
        hop.says.push((DATA + length, after, word));
        hop
    }

    fn wait(&mut self, pause: Duration, context: &mut Context<'_>) -> Poll<()> {
        if !pause.is_zero() {
            ready!(self.timer.get_or_insert_with(|| Box::pin(sleep(pause))).as_mut().poll(context));
            self.timer = None;
        }
        Poll::Ready(())
    }

    fn heard(&self) -> usize {
        self.heard.lock().unwrap().len()
    }
}

impl AsyncWrite for Hop {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let pause = if self.heard() < DATA { Duration::ZERO } else { self.pause };
        ready!(self.wait(pause, context));
        match (self.most - self.heard()).min(bytes.len()) {
            0 if self.then == Then::Hangs => Poll::Pending,
            0 => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            room => {
                self.heard.lock().unwrap().extend_from_slice(&bytes[..room]);
                Poll::Ready(Ok(room))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.then {
            _ if !self.keeps || self.heard() <= DATA => Poll::Ready(Ok(())),
            Then::Hangs => Poll::Pending,
            Then::Breaks => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Hop {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.says.first().copied() {
            Some((from, after, text)) if self.heard() >= from => {
                ready!(self.wait(after, context));
                self.says.remove(0);
                into.put_slice(text.as_bytes());
                Poll::Ready(Ok(()))
            }
            _ if self.then == Then::Breaks && self.heard() >= self.most => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }
}

/// Hands a message over. What becomes of it, what was heard of it, and how long that took.
async fn hand_over(hop: Hop, message: &[u8]) -> (Handed, Vec<u8>, Duration) {
    let heard = Arc::clone(&hop.heard);
    let mut session = Session::new(Box::new(hop), "hop".to_owned(), false, Timeouts::default());
    let began = Instant::now();
    let handed = session.hand_over(message, &WAITS).await;
    let is_word = matches!(handed, Handed::Taken(_) | Handed::Refused(_));
    assert_eq!(session.usable(), is_word, "{handed:?}");
    let heard = heard.lock().unwrap().split_off(DATA);
    (handed, heard, began.elapsed())
}

/// So many whole lines.
fn lines(count: usize) -> Vec<u8> {
    [b"Subject: long\r\n\r\n".to_vec(), b"a line of thirty bytes and two.\r\n".repeat(count)].concat()
}

/// RFC 5321 4.1.1.4: what has no end is nobody's. Who got the dot may have the message, whatever he got behind it.
#[tokio::test(start_paused = true)]
async fn nobody_has_a_message_whose_end_did_not_go_out() {
    let short = b"Subject: x\r\n\r\nshort\r\n".to_vec();
    for message in [short, lines(1000), lines(5000)] {
        let (dot, all) = (message.len(), message.len() + stuff::END.len());
        for most in [0, 1, dot / 2, dot - 1, dot, dot + 1, dot + 2, all] {
            for then in [Then::Breaks, Then::Hangs] {
                let (handed, heard, _) = hand_over(Hop::new(DATA + most, then), &message).await;
                assert_eq!(heard.len(), most);
                let trouble = match handed {
                    Handed::Unsent(trouble) if most <= dot => trouble,
                    Handed::Unknown(trouble) if most > dot => trouble,
                    other => panic!("{most} of {all}, {then:?}: {other:?}"),
                };
                assert_eq!(trouble == Trouble::Silent, then == Then::Hangs, "{trouble}");
            }
        }
        // Half a record of TLS is none.
        for then in [Then::Breaks, Then::Hangs] {
            let hop = Hop { keeps: true, ..Hop::new(usize::MAX, then) };
            let (handed, ..) = hand_over(hop, &message).await;
            assert!(matches!(handed, Handed::Unsent(_)), "{then:?}: {handed:?}");
        }
    }
}

/// A slow line has the time for a piece as often as there are pieces, as long as the client waits; the word has a time of its own.
#[tokio::test(start_paused = true)]
async fn slow_lines_have_their_time() {
    let long = lines(40_000);
    let all = long.len() + stuff::END.len();
    // The end goes along with the last one, which is small.
    let pieces = u32::try_from(long.len().div_ceil(PIECE)).unwrap();
    for (seconds, sent) in [(0, true), (9, true), (11, false)] {
        let pause = Duration::from_secs(seconds);
        let word = Duration::from_secs(299);
        let hop = Hop { pause, ..Hop::that_says("250 2.0.0 taken\r\n", word, all) };
        let (handed, heard, took) = hand_over(hop, &long).await;
        if sent {
            assert!(matches!(handed, Handed::Taken(_)), "{seconds}: {handed:?}");
            assert_eq!((heard.len(), took.as_secs()), (all, (pieces * pause + word).as_secs()), "{seconds}");
        } else {
            assert_eq!((handed, took.as_secs()), (Handed::Unsent(Trouble::Silent), WAITS.piece.as_secs()));
        }
    }
    let hop = Hop { pause: Duration::from_secs(9), ..Hop::new(usize::MAX, Then::Hangs) };
    let (handed, heard, took) = hand_over(hop, &lines(100_000)).await;
    assert_eq!(handed, Handed::Unsent(Trouble::Silent));
    assert!(!heard.ends_with(b"\r\n.\r\n") && took <= WAITS.all + WAITS.piece, "{took:?}");
}

/// RFC 5321 4.2.1, 3.8: 421 says that it takes nothing, and what came before the end is no word on it.
#[tokio::test(start_paused = true)]
async fn only_a_word_on_the_message_says_who_has_it() {
    let message = lines(10);
    let all = message.len() + stuff::END.len();
    for (word, want) in [
        ("250 2.0.0 taken\r\n", "Taken"),
        ("451 4.3.0 not now\r\n", "Refused"),
        ("554 5.6.0 not this\r\n", "Refused"),
        ("421 4.3.2 not now\r\n", "Unsent"),
        ("354 what\r\n", "Unknown"),
        ("no reply\r\n", "Unknown"),
    ] {
        let (handed, ..) = hand_over(Hop::that_says(word, Duration::ZERO, all), &message).await;
        assert!(format!("{handed:?}").starts_with(want), "{word}: {handed:?}");
    }
    for early in ["354 go on\r\n250 2.0.0 taken\r\n", "354 go on\r\n421 4.4.2 too late\r\n"] {
        let mut hop = Hop::new(usize::MAX, Then::Hangs);
        hop.says[0].2 = early;
        let (handed, heard, _) = hand_over(hop, &message).await;
        assert!(matches!(handed, Handed::Unsent(_)), "{early}: {handed:?}");
        assert_eq!(heard, b"", "{early}");
    }
}
