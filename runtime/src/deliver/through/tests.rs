//! What a next hop says unasked while a message goes along in steps.

mod ends;

use super::super::client::Timeouts;
use super::*;
use crate::spool::test_record;
use ends::WAITS;
use std::future::Future;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};

type Hop = BufReader<DuplexStream>;

/// Does this while the hop hears so many lines and says something then.
async fn beside<T>(work: impl Future<Output = T>, hop: &mut Hop, lines: usize, says: &str) -> T {
    let hop = async {
        for _ in 0..lines {
            hop.read_line(&mut String::new()).await.unwrap();
        }
        hop.write_all(says.as_bytes()).await.unwrap();
    };
    tokio::join!(work, hop).0
}

/// A connection at rest, the hop at its end, and an envelope.
async fn at_rest() -> (Session, Hop, Dispatch) {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let (mut session, mut hop) =
        (Session::new(Box::new(ours), "hop".to_owned(), false, Timeouts::default()), BufReader::new(theirs));
    beside(session.greeting(), &mut hop, 0, "220 hop\r\n").await.unwrap();
    let offers = "250-hop\r\n250-PIPELINING\r\n250 8BITMIME\r\n";
    beside(session.hello("us.example"), &mut hop, 1, offers).await.unwrap();
    let dispatch = test_record(1, Vec::new()).dispatches.remove(0);
    (session, hop, dispatch)
}

/// The same with a message whose front is out.
async fn under_way() -> (Session, Hop) {
    let (mut session, mut hop, dispatch) = at_rest().await;
    let expected = Expected { size: None, last: false };
    let open = session.open(&dispatch, &dispatch.recipients[0], expected);
    assert_eq!(beside(open, &mut hop, 2, "250 ok\r\n250 ok\r\n").await, Ok(None));
    let front = session.send_part(b"Subject: x\r\n\r\n");
    assert_eq!(beside(front, &mut hop, 1, "354 go\r\n").await, Ok(None));
    (session, hop)
}

/// All that the hop was sent since it heard something last.
async fn rest(session: Session, mut hop: Hop) -> String {
    drop(session);
    let mut all = String::new();
    hop.read_to_string(&mut all).await.unwrap();
    all
}

#[tokio::test]
async fn what_is_said_at_rest_answers_no_command() {
    for said in ["250 by the way\r\n", "550 by the way\r\n", "25"] {
        let (mut session, mut hop, dispatch) = at_rest().await;
        hop.write_all(said.as_bytes()).await.unwrap();
        let expected = Expected { size: None, last: true };
        let opened = session.open(&dispatch, &dispatch.recipients[0], expected).await;
        assert_eq!(opened, Err(ReplyError::Unasked.into()), "{said}");
        assert!(!session.usable());
        assert_eq!(rest(session, hop).await, "", "nothing went out");
    }
}

#[tokio::test]
async fn consent_before_the_end_of_a_message_is_none() {
    let (mut session, mut hop) = under_way().await;
    hop.write_all(b"250 taken before it was sent\r\n").await.unwrap();
    let handed = session.hand_over(b"hi\r\n", &WAITS).await;
    assert_eq!(handed, Handed::Unsent(ReplyError::Unasked.into()));
    assert!(!session.usable());
    assert_eq!(rest(session, hop).await, "Subject: x\r\n\r\n", "its end did not go out");

    // Nor while more of it is to follow.
    let (mut session, mut hop) = under_way().await;
    hop.write_all(b"250 taken before it was sent\r\n").await.unwrap();
    assert_eq!(session.send_part(b"hi\r\n").await, Err(ReplyError::Unasked.into()));
}

#[tokio::test]
async fn a_refusal_before_the_end_of_a_message_is_one() {
    for code in [452, 552] {
        let (mut session, mut hop) = under_way().await;
        hop.write_all(format!("{code} no room\r\n").as_bytes()).await.unwrap();
        let Handed::Refused(reply) = session.hand_over(b"hi\r\n", &WAITS).await else { panic!("{code}") };
        assert_eq!(reply.code, code);
        assert!(!session.usable(), "it waits for the rest of the message");
        assert_eq!(rest(session, hop).await, "Subject: x\r\n\r\n", "its end did not go out");
    }
}

/// A long one comes in pieces.
#[tokio::test]
async fn half_of_a_refusal_is_waited_for() {
    let (mut session, mut hop) = under_way().await;
    hop.write_all(b"552-5.3.4 too\r\n552 5.3.4").await.unwrap();
    let handed = beside(session.hand_over(b"hi\r\n", &WAITS), &mut hop, 0, " big\r\n").await;
    let Handed::Refused(reply) = handed else { panic!("{handed:?}") };
    assert_eq!((reply.code, session.usable()), (552, false));
    assert_eq!(rest(session, hop).await, "Subject: x\r\n\r\n", "its end did not go out");
}

#[tokio::test]
async fn the_word_on_a_message_is_the_one_behind_its_end() {
    let (mut session, mut hop) = under_way().await;
    let handed = beside(session.hand_over(b"hi\r\n", &WAITS), &mut hop, 4, "250 2.0.0 taken\r\n").await;
    let Handed::Taken(reply) = handed else { panic!("{handed:?}") };
    assert_eq!((reply.code, session.usable()), (250, true));
}
