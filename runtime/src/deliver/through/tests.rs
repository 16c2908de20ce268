//! What a next hop says unasked while a message goes along in steps.

mod ends;

use super::super::client::Timeouts;
use super::*;
use crate::spool::test_record;
use ends::WAITS;
use std::future::Future;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::task::{unconstrained, yield_now};

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

/// Does this while the hop hears these, and says something to each. Nothing more is sent before it does.
async fn one_by_one<T>(work: impl Future<Output = T>, hop: &mut Hop, script: &[(&str, &str)]) -> T {
    let hop = async {
        for (want, says) in script {
            let mut line = String::new();
            hop.read_line(&mut line).await.unwrap();
            assert!(line.starts_with(want), "{line:?}, not {want}");
            // What is sent at once is there by now; `work` goes on before this does.
            yield_now().await;
            let more = tokio::select! {
                biased;
                more = unconstrained(hop.fill_buf()) => String::from_utf8_lossy(more.unwrap()).into_owned(),
                () = std::future::ready(()) => String::new(),
            };
            assert_eq!(more, "", "behind {want}");
            hop.write_all(says.as_bytes()).await.unwrap();
        }
    };
    tokio::join!(work, hop).0
}

/// A connection at rest, the hop at its end, and an envelope.
async fn at_rest() -> (Session, Hop, Dispatch) {
    at_rest_with("250-hop\r\n250-PIPELINING\r\n250 8BITMIME\r\n").await
}

/// The same with a hop that says this to EHLO.
async fn at_rest_with(offers: &str) -> (Session, Hop, Dispatch) {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let (mut session, mut hop) =
        (Session::new(Box::new(ours), "hop".to_owned(), false, Timeouts::default()), BufReader::new(theirs));
    beside(session.greeting(), &mut hop, 0, "220 hop\r\n").await.unwrap();
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

/// RFC 5321 4.3.1, RFC 2920 3.1: behind a transaction that came to nothing RSET waits for its reply, too, unless PIPELINING is offered.
#[tokio::test]
async fn what_is_not_pipelined_waits_for_each_reply() {
    let (mut session, mut hop, dispatch) = at_rest_with("250-hop\r\n250 8BITMIME\r\n").await;
    let expected = Expected { size: None, last: true };
    let to = &dispatch.recipients[0];
    let (mail, rcpt, reset) = (("MAIL", "250 ok\r\n"), ("RCPT", "250 ok\r\n"), ("RSET", "250 ok\r\n"));
    let script = [mail, ("RCPT", "550 5.1.1 gone\r\n")];
    let refused = one_by_one(session.open(&dispatch, to, expected), &mut hop, &script).await;
    assert_eq!(refused.unwrap().unwrap().code, 550);
    let opened = one_by_one(session.open(&dispatch, to, expected), &mut hop, &[reset, mail, rcpt]).await;
    assert_eq!(opened, Ok(None));
    // DATA put off leaves the transaction open.
    let part = session.send_part(b"Subject: x\r\n\r\n");
    let refused = one_by_one(part, &mut hop, &[("DATA", "451 4.3.0 not now\r\n")]).await;
    assert_eq!(refused.unwrap().unwrap().code, 451);
    assert!(session.usable());
    let opened = one_by_one(session.open(&dispatch, to, expected), &mut hop, &[reset, mail, rcpt]).await;
    assert_eq!(opened, Ok(None));
    // One that takes no RSET is left.
    let script = [("RSET", "502 5.5.1 what?\r\n")];
    let opened = one_by_one(session.open(&dispatch, to, expected), &mut hop, &script).await;
    assert!(matches!(opened, Err(Trouble::Refused(_))) && !session.usable(), "{opened:?}");
}

/// RFC 2920 3.1: where PIPELINING is offered RSET goes out along with what follows it.
#[tokio::test]
async fn reset_costs_no_round_trip_where_commands_are_pipelined() {
    let (mut session, mut hop, dispatch) = at_rest().await;
    let expected = Expected { size: None, last: false };
    let to = &dispatch.recipients[0];
    let open = session.open(&dispatch, to, expected);
    beside(open, &mut hop, 2, "250 ok\r\n550 5.1.1 gone\r\n").await.unwrap().unwrap();
    let open = session.open(&dispatch, to, expected);
    assert_eq!(beside(open, &mut hop, 3, "250 ok\r\n250 ok\r\n250 ok\r\n").await, Ok(None));
}
