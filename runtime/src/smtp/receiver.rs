//! Takes a message: after DATA it finds the end and removes stuffed dots; chunks of BDAT it takes as they
//! are. Counts, and bounds memory.
//!
//! Only CRLF.CRLF ends data (RFC 5321 4.1.1.4), only CRLF ends a line. A bare CR, a bare LF or a NUL
//! spoils the message: it is read to its end and refused there, so that nothing which some other
//! server could read as two messages ever leaves this one. Docs/threat-model.md argues it.

use memchr::memchr3;

/// Why a message cannot be taken, whatever the rules say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flaw {
    /// CR without LF.
    BareCr,
    /// LF without CR.
    BareLf,
    /// A zero byte.
    Nul,
    /// Longer than the profile allows.
    TooLong,
    /// The server's memory for messages is used up.
    NoMemory,
}

impl Flaw {
    /// The reply to the end of data.
    pub(super) fn reply(self) -> &'static str {
        match self {
            Self::BareCr => "554 5.6.0 the message holds a CR without LF (RFC 5321 2.3.8)",
            Self::BareLf => "554 5.6.0 the message holds a LF without CR (RFC 5321 2.3.8)",
            Self::Nul => "554 5.6.0 the message holds a NUL",
            Self::TooLong => "552 5.3.4 the message is longer than this server takes",
            Self::NoMemory => "452 4.3.1 too many messages at once, try again later",
        }
    }
}

/// Where in a line the next byte stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    /// At its start.
    Start,
    /// Within.
    Within,
    /// After a CR.
    Cr,
    /// After a dot at its start.
    Dot,
    /// After a dot at its start and a CR.
    DotCr,
}

/// Bytes that are looked at at once. Tests see the ends of pieces, too.
const PIECE: usize = if cfg!(test) { 4 } else { 512 };

/// A message on its way in.
#[derive(Debug)]
pub(super) struct Receiver {
    bytes: Vec<u8>,
    at: At,
    size: u64,
    max: u64,
    flaw: Option<Flaw>,
}

impl Receiver {
    /// For a message of at most `max` bytes, of which the client announced `hint`.
    pub(super) fn new(max: u64, hint: Option<u64>) -> Self {
        // An announcement is believed up to 64 KiB; beyond, memory is taken for bytes that came.
        let capacity = usize::try_from(hint.unwrap_or(0).min(max).min(64 << 10)).unwrap_or(0);
        Self { bytes: Vec::with_capacity(capacity), at: At::Start, size: 0, max, flaw: None }
    }

    /// What is wrong with it so far.
    pub(super) fn flaw(&self) -> Option<Flaw> {
        self.flaw
    }

    /// Bytes so far, without stuffed dots, also of a message that is not kept.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The most that may come, in bytes.
    pub(super) fn max(&self) -> u64 {
        self.max
    }

    /// Memory held, in bytes.
    pub(super) fn memory(&self) -> u64 {
        self.bytes.capacity() as u64
    }

    /// The message as received.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Hands the message over.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Spoils the message; its bytes are let go. The first flaw stays.
    pub(super) fn spoil(&mut self, flaw: Flaw) {
        if self.flaw.is_none() {
            self.flaw = Some(flaw);
        }
        self.bytes = Vec::new();
    }

    fn keep(&mut self, part: &[u8]) {
        self.size = self.size.saturating_add(part.len() as u64);
        if self.size > self.max {
            self.spoil(Flaw::TooLong);
        }
        if self.flaw.is_none() {
            self.grow(part.len());
            self.bytes.extend_from_slice(part);
        }
    }

    /// Makes room for so many bytes more: twice what there is, but no more than may come.
    fn grow(&mut self, more: usize) {
        let needed = self.bytes.len().saturating_add(more);
        if needed > self.bytes.capacity() {
            let most = usize::try_from(self.max).unwrap_or(usize::MAX).max(needed);
            let room = self.bytes.capacity().saturating_mul(2).max(4 << 10).clamp(needed, most);
            self.bytes.reserve_exact(room - self.bytes.len());
        }
    }

    /// Takes part of a chunk (RFC 3030). Lines end as they do in data: BINARYMIME is not offered.
    pub(super) fn feed_chunk(&mut self, input: &[u8]) {
        let mut rest = input;
        while let Some(&byte) = rest.first() {
            if self.at == At::Cr {
                if byte == b'\n' {
                    self.at = At::Start;
                    self.keep(b"\n");
                    rest = rest.get(1..).unwrap_or_default();
                    continue;
                }
                self.spoil(Flaw::BareCr);
            }
            self.at = At::Within;
            let Some(found) = memchr3(b'\r', b'\n', 0, rest) else {
                self.keep(rest);
                return;
            };
            let (line, after) = rest.split_at_checked(found + 1).unwrap_or((rest, &[]));
            self.keep(line);
            match line.last() {
                Some(b'\r') => self.at = At::Cr,
                Some(b'\n') => self.spoil(Flaw::BareLf),
                _ => self.spoil(Flaw::Nul),
            }
            rest = after;
        }
    }

    /// The last chunk is there. A last line without an end gets one, as no next hop could be sent it
    /// otherwise.
    pub(super) fn last_chunk(&mut self) {
        match self.at {
            At::Cr => self.spoil(Flaw::BareCr),
            At::Start => {}
            _ => self.keep(b"\r\n"),
        }
    }

    /// So far beyond what may come that the rest is not worth reading.
    pub(super) fn is_hopeless(&self) -> bool {
        self.size > self.max.saturating_mul(2).saturating_add(1 << 20)
    }

    /// Takes bytes up to the end of data. Returns how many were used, and whether the end was among them.
    pub(super) fn feed(&mut self, input: &[u8]) -> (usize, bool) {
        // Bytes before `kept` are dealt with; those up to `next` are seen and wait to be kept.
        let mut kept = 0;
        let mut next = 0;
        // Up to here lines are looked at one by one.
        let mut odd = 0;
        while let Some(&byte) = input.get(next) {
            match self.at {
                At::Start => {
                    // Not at each of many lines that are short and odd.
                    if next >= odd {
                        let plain = plain_lines(input.get(next..).unwrap_or_default());
                        if plain > 0 {
                            next += plain;
                            continue;
                        }
                        odd = next + PIECE;
                    }
                    if byte == b'.' {
                        self.keep(input.get(kept..next).unwrap_or_default());
                        next += 1;
                        kept = next;
                        self.at = At::Dot;
                    } else {
                        self.at = At::Within;
                    }
                }
                At::Within => {
                    let rest = input.get(next..).unwrap_or_default();
                    let Some(found) = memchr3(b'\r', b'\n', 0, rest) else {
                        next = input.len();
                        break;
                    };
                    next += found + 1;
                    let flaw = match rest.get(found) {
                        Some(b'\r') => {
                            self.at = At::Cr;
                            continue;
                        }
                        Some(b'\n') => Flaw::BareLf,
                        _ => Flaw::Nul,
                    };
                    // Counted first, so that the same flaw comes first however the bytes are split.
                    self.keep(input.get(kept..next).unwrap_or_default());
                    kept = next;
                    self.spoil(flaw);
                }
                At::Cr => {
                    // The byte after a stray CR is looked at again, as any byte within a line.
                    if byte == b'\n' {
                        next += 1;
                        self.at = At::Start;
                    } else {
                        self.keep(input.get(kept..next).unwrap_or_default());
                        kept = next;
                        self.spoil(Flaw::BareCr);
                        self.at = At::Within;
                    }
                }
                At::Dot => {
                    if byte == b'\r' {
                        // Kept back: it is part of the message only if no LF follows.
                        next += 1;
                        kept = next;
                        self.at = At::DotCr;
                    } else {
                        self.at = At::Within;
                    }
                }
                At::DotCr => {
                    if byte == b'\n' {
                        return (next + 1, true);
                    }
                    self.spoil(Flaw::BareCr);
                    self.at = At::Within;
                }
            }
        }
        self.keep(input.get(kept..next).unwrap_or_default());
        (input.len(), false)
    }
}

/// So many bytes at the front are whole lines of which none has anything out of the ordinary, without a dot at its
/// start. In pieces, each without a branch: the compiler makes wide compares of it. Few bytes are left to be looked at
/// one by one.
fn plain_lines(input: &[u8]) -> usize {
    let behind = input.get(1..).unwrap_or_default();
    if matches!(input.first(), None | Some(b'.' | b'\n')) {
        return 0;
    }
    let odd =
        |(a, b): (&u8, &u8)| ((*a == b'\r') != (*b == b'\n')) | ((*a == b'\n') & (*b == b'.')) | (*a == 0);
    let pieces = input.chunks_exact(PIECE).zip(behind.chunks_exact(PIECE));
    let plain = pieces
        .take_while(|(these, next)| !these.iter().zip(*next).fold(false, |found, pair| found | odd(pair)));
    let seen = input.get(..plain.count() * PIECE).unwrap_or_default();
    memchr::memrchr(b'\n', seen).map_or(0, |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(input: &[u8], split: &[usize]) -> (Vec<u8>, Option<Flaw>, u64, Option<usize>) {
        let mut receiver = Receiver::new(1000, None);
        let mut used = 0;
        let mut cuts: Vec<usize> = split.iter().map(|s| s % (input.len() + 1)).collect();
        cuts.push(input.len());
        cuts.sort_unstable();
        for cut in cuts {
            let (more, done) = receiver.feed(&input[used..cut.max(used)]);
            used += more;
            if done {
                return (receiver.take(), receiver.flaw(), receiver.size(), Some(used));
            }
        }
        (receiver.take(), receiver.flaw(), receiver.size(), None)
    }

    /// RFC 5321 4.5.2.
    #[test]
    fn ends_and_dots() {
        for (input, bytes, rest) in [
            (&b".\r\n"[..], &b""[..], &b""[..]),
            (b"a\r\n.\r\nQUIT", b"a\r\n", b"QUIT"),
            (b"..\r\n.\r\n", b".\r\n", b""),
            (b"..a\r\n...\r\n.\r\n", b".a\r\n..\r\n", b""),
            (b".a\r\n.\r\n", b"a\r\n", b""),
            (b"a.\r\n.b\r\n\r\n.\r\n", b"a.\r\nb\r\n\r\n", b""),
        ] {
            let (got, flaw, size, used) = run(input, &[]);
            assert_eq!((got.as_slice(), flaw), (bytes, None), "{input:?}");
            assert_eq!(size, bytes.len() as u64);
            assert_eq!(&input[used.unwrap()..], rest);
        }
    }

    /// SMTP smuggling, inbound: CVE-2023-51764 Postfix, -51765 sendmail, -51766 Exim,
    /// CVE-2024-27305 aiosmtpd, go-smtp PR 246. No sequence but CRLF.CRLF ends data.
    /// RFC 5321 2.3.8, 4.1.1.4.
    #[test]
    fn smuggling_sequences_do_not_end_data() {
        for end in [
            &b"\n.\n"[..],
            b"\n.\r\n",
            b"\r\n.\n",
            b"\r.\r",
            b"\r.\r\n",
            b"\r\n.\r",
            b"\n.\r",
            b"\r.\n",
            b"\r\n\0.\r\n",
            b"\r\n.\0\r\n",
            b"\r\n.\r\0\n",
            b"\r\r\n.\r\r\n",
        ] {
            let mut input = b"Subject: a\r\n\r\nb".to_vec();
            input.extend_from_slice(end);
            input.extend_from_slice(b"MAIL FROM:<x@example.com>\r\n");
            let before = input.len();
            input.extend_from_slice(b"\r\n.\r\n");
            let (_, flaw, _, used) = run(&input, &[]);
            assert!(flaw.is_some(), "{end:?}");
            assert!(used.unwrap() > before, "{end:?} ended the data");
        }
    }

    /// BDAT state and memory (CVE-2017-16943 Exim, Postfix 2026-08-06).
    #[test]
    fn chunks() {
        let run = |chunks: &[&[u8]]| {
            let mut receiver = Receiver::new(1000, None);
            chunks.iter().for_each(|c| receiver.feed_chunk(c));
            receiver.last_chunk();
            (receiver.take(), receiver.flaw())
        };
        assert_eq!(run(&[b".\r\n..\r", b"\n", b"a"]), (b".\r\n..\r\na\r\n".to_vec(), None));
        assert_eq!(run(&[]), (Vec::new(), None));
        for (chunks, flaw) in [
            (&[&b"a\r"[..]][..], Flaw::BareCr),
            (&[b"a\r", b"b"], Flaw::BareCr),
            (&[b"a\n"], Flaw::BareLf),
            (&[b"\r\n", b"\n"], Flaw::BareLf),
            (&[b"\0"], Flaw::Nul),
            (&[&[b'x'; 999], b"xx"], Flaw::TooLong),
        ] {
            assert_eq!(run(chunks), (Vec::new(), Some(flaw)), "{chunks:?}");
        }
    }

    #[test]
    fn too_long_is_read_to_its_end_and_not_kept() {
        let mut receiver = Receiver::new(10, Some(u64::MAX));
        assert_eq!(receiver.feed(b"0123456789\r\nmore\r\n.\r\nX"), (21, true));
        assert_eq!(receiver.flaw(), Some(Flaw::TooLong));
        assert_eq!((receiver.size(), receiver.memory()), (18, 0));
    }

    proptest! {
        /// Any split of the bytes gives the same message, flaw and end; and what is taken without a
        /// flaw holds CRs and LFs in pairs only.
        #[test]
        fn splits_change_nothing(
            input in proptest::collection::vec(
                prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'a'), Just(0u8)], 0..40),
            pairs in proptest::collection::vec(prop_oneof![Just(&b"\r\n"[..]), Just(&b"."[..]), Just(&b"ab"[..])], 0..30),
            split in proptest::collection::vec(any::<usize>(), 0..8),
        ) {
            for bytes in [input.clone(), pairs.concat()] {
                let whole = run(&bytes, &[]);
                prop_assert_eq!(&run(&bytes, &split), &whole);
                // Byte by byte, no piece is looked at as a whole.
                prop_assert_eq!(&run(&bytes, &Vec::from_iter(0..bytes.len())), &whole);
                if whole.1.is_none() && whole.3.is_some() {
                    let text = whole.0.iter().map(|b| char::from(*b)).collect::<String>();
                    prop_assert!(!text.replace("\r\n", "").contains(['\r', '\n', '\0']));
                }
            }
        }

        /// Stuffing, as a client does it, is undone.
        #[test]
        fn unstuffing_undoes_stuffing(lines in proptest::collection::vec("[.a]{0,4}", 0..12)) {
            let mut message = String::new();
            let mut wire = String::new();
            for line in &lines {
                message += &format!("{line}\r\n");
                wire += &format!("{}{line}\r\n", if line.starts_with('.') { "." } else { "" });
            }
            wire += ".\r\n";
            let (bytes, flaw, _, used) = run(wire.as_bytes(), &[]);
            prop_assert_eq!(bytes, message.into_bytes());
            prop_assert_eq!((flaw, used), (None, Some(wire.len())));
        }
    }
}
