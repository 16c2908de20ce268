//! What must hold of the SMTP front whatever comes: a property for each of AUTH, BDAT, PROXY headers and whole sessions, on
//! any [`Ground`]. Shared by `fuzzed.rs`, `smtp_splits.rs` and the targets in `tests/fuzz`.

pub mod ground;

use edict_runtime::smtp::proxy::{Header, Progress, read};
use ground::{Came, Ground};

/// Whether a text begins with an enhanced status code of this class.
fn has_status(class: u8, text: &str) -> bool {
    let mut parts = text.split(' ').next().unwrap_or_default().split('.');
    let number = |part: &str| !part.is_empty() && part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit());
    parts.next().is_some_and(|first| first.as_bytes() == [class])
        && parts.by_ref().take(2).filter(|part| number(part)).count() == 2
        && parts.next().is_none()
}

/// Whatever came in: replies are replies, nothing is relayed, nothing leaves that two readers part differently.
pub fn sound(ground: Ground, came: &Came) {
    for line in came.said.lines() {
        assert!(line.len() <= 510, "{line:?}");
        let bytes = line.as_bytes();
        assert!(bytes.len() >= 3 && bytes[..3].iter().all(u8::is_ascii_digit), "{line:?}");
        assert!(matches!(bytes.get(3), None | Some(b' ' | b'-')), "{line:?}");
        assert!(bytes.iter().all(|b| (b' '..=b'~').contains(b)), "{line:?}");
        assert!(!line.starts_with("235"), "nobody has a password here");
        // RFC 2034 4: a status of the code's class everywhere but in the greeting and in what greets back.
        let text = line.get(4..).unwrap_or_default();
        let greets =
            matches!(bytes[0], b'2') && (text.starts_with("mx.example.com") || line.starts_with("250 SIZE "));
        let listed = line.starts_with("250-");
        assert!(bytes[0] == b'3' || greets || listed || has_status(bytes[0], text), "{line:?}");
    }
    for (sender, recipients, bytes) in &came.took {
        assert!(!sender.contains(['\r', '\n', '\0']));
        assert!(!recipients.is_empty() && recipients.len() <= ground.max_recipients());
        for recipient in recipients {
            assert!(!recipient.contains(['\r', '\n', '\0']), "{recipient:?}");
            let (local, domain) = recipient.rsplit_once('@').unwrap();
            if ground.xclient() {
                // It may have spoken for one of our users.
                continue;
            }
            assert!(domain.eq_ignore_ascii_case("example.com"), "relayed to {recipient}");
            assert!(!local.contains(['\r', '\n', '\0', '%', '!', '@']), "{recipient:?}");
        }
        assert!(bytes.len() <= ground.max_size());
        assert!(bytes.is_empty() || bytes.ends_with(b"\r\n"));
        let text: String = bytes.iter().map(|b| char::from(*b)).collect();
        assert!(!text.replace("\r\n", "").contains(['\r', '\n', '\0']), "{text:?}");
    }
}

/// Any bytes as a client's side of a session: replies are replies, nothing is relayed, and packets change nothing. The
/// first byte says on what ground, the second how long the packets are.
pub fn session(bytes: &[u8]) {
    let Some((&[ground, packet], bytes)) = bytes.split_first_chunk() else { return };
    let ground = Ground(ground);
    let whole = ground.play(bytes, |left| left);
    sound(ground, &whole);
    ground.play(bytes, |_| usize::from(packet) + 1).agrees(&whole);
    ground.play(bytes, |_| 1).agrees(&whole);
}

/// BDAT: chunks of any length and content in one transaction. What is taken is what the chunks held, no more and no
/// less, whatever the packets; and no octet of a chunk is ever read as a command. The first byte of each piece of
/// input says how long the chunk is; a length of 255 announces one octet too many.
pub fn bdat(bytes: &[u8]) {
    let mut wire = b"EHLO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<ann@example.com>\r\n".to_vec();
    let mut content = Vec::new();
    let (mut rest, mut short, mut chunks) = (bytes, false, 0);
    while let Some((&length, more)) = rest.split_first() {
        let take = usize::from(length).min(more.len());
        let (chunk, after) = more.split_at(take);
        let last = after.is_empty();
        short = length == 255 && last;
        let said = chunk.len() + usize::from(short);
        wire.extend_from_slice(format!("BDAT {said}{}\r\n", if last { " LAST" } else { "" }).as_bytes());
        wire.extend_from_slice(chunk);
        content.extend_from_slice(chunk);
        rest = after;
        chunks += 1;
    }
    let whole = Ground::PLAIN.play(&wire, |left| left);
    sound(Ground::PLAIN, &whole);
    let packet = bytes.first().map_or(1, |b| usize::from(*b) + 1);
    assert_eq!(Ground::PLAIN.play(&wire, |_| packet), whole);
    // Greeting, EHLO, MAIL, RCPT, then a reply to each BDAT and to nothing else.
    let replies = whole.said.lines().filter(|line| line.as_bytes().get(3) == Some(&b' ')).count();
    assert!(replies <= 4 + chunks + usize::from(whole.closed), "{}", whole.said);
    if let [(_, _, taken)] = whole.took.as_slice() {
        assert!(!short, "a chunk was taken before its end");
        if !content.is_empty() && !content.ends_with(b"\r\n") {
            content.extend_from_slice(b"\r\n");
        }
        assert_eq!(*taken, content);
    }
    assert!(whole.took.len() <= 1);
}

/// AUTH: any lines as the client's side of an exchange. Nobody gets in, the session stays a session.
pub fn auth(bytes: &[u8]) {
    let Some((&which, rest)) = bytes.split_first() else { return };
    let start: &[u8] = match which % 6 {
        0 => b"AUTH PLAIN\r\n",
        1 => b"AUTH LOGIN\r\n",
        2 => b"AUTH SCRAM-SHA-256\r\n",
        3 => b"AUTH PLAIN ",
        4 => b"AUTH SCRAM-SHA-256 ",
        _ => b"AUTH ",
    };
    let wire = [b"EHLO c.example\r\n", start, rest, b"\r\nMAIL FROM:<a@b.example>\r\n"].concat();
    let whole = Ground::PLAIN.play(&wire, |left| left);
    sound(Ground::PLAIN, &whole);
    assert_eq!(Ground::PLAIN.play(&wire, |_| usize::from(which) + 1), whole);
}

/// The longest PROXY header: the sixteen bytes of version 2 and what may follow them.
const LONGEST: usize = 16 + 4096;

/// Reads a header as the server does; what it says, and how many bytes it took.
fn header(bytes: &[u8]) -> Option<(Header, usize)> {
    let mut have = 0;
    loop {
        assert!(have <= LONGEST);
        match read(bytes.get(..have)?) {
            Ok(Progress::More(more)) => {
                assert!(more > 0 && have + more <= LONGEST);
                have += more;
            }
            Ok(Progress::Done(header)) => return Some((header, have)),
            Err(_) => return None,
        }
    }
}

/// Any bytes as the beginning of a connection from a proxy: never more is read than was asked for, no byte behind the
/// header, and there is an end within the bound. A header that was read is read the same again.
pub fn proxy(bytes: &[u8]) {
    // Most inputs begin as a header does, or few would get past the signature.
    let start: &[u8] = match bytes.first().map_or(0, |b| b % 4) {
        1 => b"\r\n\r\n\0\r\nQUIT\n",
        2 => b"PROXY TCP4 ",
        3 => b"PROXY TCP6 ",
        _ => b"",
    };
    let bytes = [start, bytes.get(1..).unwrap_or_default()].concat();
    let Some((found, used)) = header(&bytes) else { return };
    let behind = [&bytes[..used], b"EHLO x\r\n"].concat();
    assert_eq!(header(&behind), Some((found, used)));
}
