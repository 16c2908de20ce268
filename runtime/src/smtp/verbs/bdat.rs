//! BDAT (RFC 3030): chunks whose length is told. BINARYMIME is not offered.
//!
//! The bytes of a chunk are read whatever the answer is, so that none is taken for a command; where the
//! length cannot be read, the connection ends.

use super::data::may_begin;
use super::{Flow, Turn};
use crate::envelope::Refusal;
use crate::smtp::log;
use crate::smtp::receiver::Receiver;
use crate::smtp::session::{NO_MAIL, Session};

pub(super) fn check(_: &Session, _: &Turn<'_>) -> Result<(), &'static str> {
    // Every answer but one is given behind the chunk.
    Ok(())
}

pub(super) fn run(session: &mut Session, turn: &Turn<'_>) -> Flow {
    let Some((length, last)) = parse(turn.args) else {
        session.hang_up("501 5.5.4 BDAT needs a length, and nothing but LAST behind it");
        return Flow::Done;
    };
    if session.is_turned() {
        session.swallow(length, NO_MAIL.to_owned());
        return Flow::Done;
    }
    // It would keep a message open and bring nothing of it.
    if length == 0 && !last && session.is_too_much_junk() {
        return Flow::Done;
    }
    let receiver = match session.chunks.take() {
        Some(receiver) => Ok(receiver),
        None => begin(session),
    };
    match receiver {
        Ok(receiver) => session.receive_chunk(receiver, length, last),
        Err(refusal) => {
            session.end_transaction();
            session.swallow(length, refusal.reply);
        }
    }
    Flow::Done
}

fn begin(session: &mut Session) -> Result<Box<Receiver>, Refusal> {
    let refuse = |reply: &str| Err(Refusal { reply: reply.to_owned(), rule: None });
    let Some(transaction) = &session.transaction else {
        return refuse("503 5.5.1 say MAIL first");
    };
    if transaction.accepted() == 0 && !transaction.surplus {
        return refuse("554 5.5.1 no valid recipients");
    }
    let max = transaction.table.profile().max_message_size;
    let announced = transaction.announced;
    may_begin(session).inspect_err(|refusal| {
        log::refused(session, &session.table(), "data", None, refusal);
    })?;
    Ok(Box::new(Receiver::new(max, announced)))
}

/// Length and whether it is the last.
fn parse(args: &str) -> Option<(u64, bool)> {
    let (digits, last) = match args.split_once(' ') {
        Some((digits, word)) if word.eq_ignore_ascii_case("LAST") => (digits, true),
        Some(_) => return None,
        None => (args, false),
    };
    let number = !digits.is_empty() && digits.len() <= 19 && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| number).map(|length| (length, last))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn lengths() {
        assert_eq!(parse("0 last"), Some((0, true)));
        assert_eq!(parse("86"), Some((86, false)));
        for text in ["", "-1", "+1", "1 2", "LAST", "1  LAST", "1 LAST x", "0x1", "99999999999999999999"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
