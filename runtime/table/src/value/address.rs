//! Mailbox addresses in policy form, and the patterns that lists hold.
//!
//! Policy form: local part unquoted, folded, NFC; domain as [`Domain`]. The wire keeps its own form;
//! this one is only compared. Comparing local parts without case is a decision of the language.

use super::domain::{Domain, DomainError};
use super::text::fold;
use std::fmt;

/// The longest local part taken, in bytes. RFC 5321 4.5.3.1.1 says 64; real lists go further.
pub const MAX_LOCAL: usize = 256;

/// An address in policy form. Shape: `local@domain`, the last `@` parts them.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    text: Box<str>,
    at: u16,
    /// Where the `+` of its extension stands; 0 where it has none or nothing stands before it. Every decision asks.
    plus: u16,
}

/// Why a text is no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AddressError {
    /// No `@`.
    #[error("an address needs an `@`")]
    NoAt,
    /// Nothing stands before the `@`.
    #[error("nothing stands before the `@`")]
    LocalEmpty,
    /// Longer than [`MAX_LOCAL`].
    #[error("the part before the `@` is longer than {MAX_LOCAL} bytes")]
    LocalLong,
    /// Two dots in a row, or one at an end.
    #[error("two dots in a row, or one at an end, before the `@`")]
    LocalDots,
    /// A second `@`.
    #[error("two `@` in one address")]
    TwoAts,
    /// What stands in quotes only, or nowhere.
    #[error("{0:?} before the `@` needs quotes around that part, or is not allowed at all")]
    LocalCharacter(char),
    /// A quoted part that does not close, or has quotes or a control character inside.
    #[error("the quotes before the `@` do not close, or hold what they cannot")]
    LocalQuotes,
    /// The domain is wrong.
    #[error("{0}")]
    Domain(#[from] DomainError),
}

impl Address {
    /// Reads `local@domain`; the local part may be a quoted string (RFC 5321 4.1.2).
    ///
    /// # Errors
    /// Says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (local, domain) = text.rsplit_once('@').ok_or(AddressError::NoAt)?;
        Ok(Self::new(&parse_local(local)?, &Domain::parse(domain)?))
    }

    /// Puts a bare (unquoted) local part and a domain together. The local part is folded, and cut
    /// at [`MAX_LOCAL`] bytes should a caller not have bounded it.
    #[must_use]
    pub fn new(local: &str, domain: &Domain) -> Self {
        let folded = fold(local);
        let mut end = folded.len().min(4 * MAX_LOCAL);
        while !folded.is_char_boundary(end) {
            end -= 1;
        }
        let local = folded.get(..end).unwrap_or_default();
        let mut text = String::with_capacity(local.len() + 1 + domain.as_str().len());
        text.extend([local, "@", domain.as_str()]);
        let at = u16::try_from(local.len()).unwrap_or(u16::MAX);
        let plus = local.find('+').and_then(|plus| u16::try_from(plus).ok()).unwrap_or(0);
        Self { text: text.into_boxed_str(), at, plus }
    }

    /// The whole, `local@domain`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The folded local part, without quotes.
    #[must_use]
    pub fn local(&self) -> &str {
        self.text.get(..usize::from(self.at)).unwrap_or_default()
    }

    /// The domain in normal form.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.text.get(usize::from(self.at) + 1..).unwrap_or_default()
    }

    /// The local part before its `+extension`, where it has one and something stands before it.
    #[must_use]
    #[inline]
    pub fn base(&self) -> Option<&str> {
        if self.plus == 0 { None } else { self.text.get(..usize::from(self.plus)) }
    }

    /// The same address without its `+extension`, where it has one and something stands before it.
    #[must_use]
    pub fn without_extension(&self) -> Option<Self> {
        let base = self.base()?;
        let text = format!("{base}@{}", self.domain());
        Some(Self { text: text.into_boxed_str(), at: self.plus, plus: 0 })
    }
}

/// Reads a local part: a dot-atom (any UTF-8 beyond ASCII), or a quoted string, which loses its quotes.
///
/// # Errors
/// Says why, where RFC 5321 4.1.2 and RFC 6531 3.3 allow neither.
pub fn parse_local(text: &str) -> Result<String, AddressError> {
    if text.len() > MAX_LOCAL {
        return Err(AddressError::LocalLong);
    }
    if text.is_empty() {
        return Err(AddressError::LocalEmpty);
    }
    let Some(inner) = text.strip_prefix('"') else {
        return match text.chars().find(|c| *c != '.' && !is_atext(*c)) {
            Some('@') => Err(AddressError::TwoAts),
            Some(c) => Err(AddressError::LocalCharacter(c)),
            None if text.split('.').any(str::is_empty) => Err(AddressError::LocalDots),
            None => Ok(text.to_owned()),
        };
    };
    let inner = inner.strip_suffix('"').ok_or(AddressError::LocalQuotes)?;
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => chars.next().ok_or(AddressError::LocalQuotes)?,
            '"' => return Err(AddressError::LocalQuotes),
            c => c,
        };
        if c.is_control() {
            return Err(AddressError::LocalQuotes);
        }
        out.push(c);
    }
    if out.is_empty() { Err(AddressError::LocalEmpty) } else { Ok(out) }
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(c, '!' | '#'..='\'' | '*' | '+' | '-' | '/' | '=' | '?' | '^'..='`' | '{'..='~')
        || (!c.is_ascii() && !c.is_control())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One entry of an address or domain list.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Pattern {
    /// `ann@example.com`
    Exact(Address),
    /// `example.com` and `@example.com`: any address at the domain, the domain itself.
    Domain(Domain),
    /// `.example.com` and `@.example.com`: any subdomain, not the domain itself.
    Subdomains(Domain),
    /// `ann@`: that local part at any domain.
    Local(String),
}

impl Pattern {
    /// Reads an entry of any of the four shapes.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let Some((local, domain)) = text.rsplit_once('@') else {
            return Self::domain(text);
        };
        match (local.is_empty(), domain.is_empty()) {
            (true, _) => Self::domain(domain),
            (false, true) => Ok(Self::Local(fold(&parse_local(local)?).into_owned())),
            (false, false) => Ok(Self::Exact(Address::parse(text)?)),
        }
    }

    fn domain(text: &str) -> Result<Self, AddressError> {
        Ok(match text.strip_prefix('.') {
            Some(rest) => Self::Subdomains(Domain::parse(rest)?),
            None => Self::Domain(Domain::parse(text)?),
        })
    }

    /// The key under which indexes hold the entry: `ann@example.com`, `@example.com`,
    /// `@.example.com`, `ann@`. No two patterns share one.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Exact(address) => address.as_str().to_owned(),
            Self::Domain(domain) => format!("@{domain}"),
            Self::Subdomains(domain) => format!("@.{domain}"),
            Self::Local(local) => format!("{local}@"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_form() {
        for (text, want) in [
            ("Ann@Example.COM", "ann@example.com"),
            ("\"ann\"@example.com", "ann@example.com"),
            ("\"a b\"@example.com", "a b@example.com"),
            ("JÖRG@bücher.example", "jörg@xn--bcher-kva.example"),
            ("\"a@b\"@example.com", "a@b@example.com"),
        ] {
            let a = Address::parse(text).unwrap();
            assert_eq!(a.as_str(), want);
            assert_eq!(format!("{}@{}", a.local(), a.domain()), want);
        }
    }

    #[test]
    fn refusals() {
        for text in [
            "",
            "ann",
            "@x",
            "ann@",
            "a..b@x",
            ".a@x",
            "a b@x",
            "\"a@x",
            "a\"@x",
            "\"\"@x",
            "a\r@x",
            "\"a\n\"@x",
        ] {
            assert!(Address::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn extension() {
        let a = Address::parse("ann+list+x@example.com").unwrap();
        assert_eq!(a.without_extension().unwrap().as_str(), "ann@example.com");
        assert!(Address::parse("+x@example.com").unwrap().without_extension().is_none());
    }

    #[test]
    fn keys() {
        for (text, want) in [
            ("ann@example.com", "ann@example.com"),
            ("example.com", "@example.com"),
            ("@example.com", "@example.com"),
            (".example.com", "@.example.com"),
            ("@.example.com", "@.example.com"),
            ("Abuse@", "abuse@"),
        ] {
            assert_eq!(Pattern::parse(text).unwrap().key(), want);
        }
    }
}
