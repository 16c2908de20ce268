//! What a next hop offers in its reply to EHLO or LHLO (RFC 5321 4.1.1.1).
//!
//! What is not known is passed over; a value that makes no sense counts as absent.

use super::reply::Reply;

/// What EHLO offered.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Offers {
    /// RFC 2920
    pub pipelining: bool,
    /// RFC 1870: `Some(0)` is offered without a limit.
    pub size: Option<u64>,
    /// RFC 6152
    pub eight_bit: bool,
    /// RFC 3030
    pub binary: bool,
    /// RFC 3030
    pub chunking: bool,
    /// RFC 6531
    pub smtputf8: bool,
    /// RFC 3461
    pub dsn: bool,
    /// RFC 3207
    pub starttls: bool,
    /// RFC 4954: mechanisms, in capitals.
    pub auth: Vec<String>,
}

impl Offers {
    pub(super) fn read(reply: &Reply) -> Self {
        let mut offers = Self::default();
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split_ascii_whitespace().map(str::to_ascii_uppercase);
            match words.next().as_deref() {
                Some("PIPELINING") => offers.pipelining = true,
                Some("SIZE") => {
                    // A limit that is no number is none.
                    offers.size = Some(words.next().and_then(|n| n.parse().ok()).unwrap_or(0));
                }
                Some("8BITMIME") => offers.eight_bit = true,
                Some("BINARYMIME") => offers.binary = true,
                Some("CHUNKING") => offers.chunking = true,
                Some("SMTPUTF8") => offers.smtputf8 = true,
                Some("DSN") => offers.dsn = true,
                Some("STARTTLS") => offers.starttls = true,
                Some("AUTH") => offers.auth = words.take(16).collect(),
                _ => {}
            }
        }
        offers
    }
}
