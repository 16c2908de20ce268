//! Sender rewriting for forwarded mail (SRS0 and SRS1), so that SPF at the next hop sees our domain and a
//! bounce finds its way back.
//!
//! `SRS0=hash=day=domain=local@ours` holds the foreign sender; a sender that another forwarder rewrote
//! becomes `SRS1=hash=host==rest@ours`, which leads back to that forwarder. The hash is keyed: only what
//! this daemon (or one with the same secret) wrote leads anywhere, and an SRS0 only for [`DAYS`] days.
//! Senders that do not fit into a reverse path, or need quotes, are kept as they are.

use edict_table::value::Domain;

/// How long a rewritten sender leads back. A queue gives up after five.
pub const DAYS: i64 = 21;
/// RFC 5321 4.5.3.1.3, without the angle brackets.
const MAX_PATH: usize = 254;
const DAY_MS: i64 = 24 * 3_600_000;
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// 40 bits: a guess is one in a million millions, and a right one sends a bounce to one address.
const HASH_LETTERS: usize = 8;

/// Rewrites senders and finds them again.
#[derive(Clone)]
pub struct Srs([u8; 32]);

impl std::fmt::Debug for Srs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Srs")
    }
}

impl Srs {
    /// Over a secret; the key for this purpose is derived from it.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(blake3::derive_key("edict 2026-11-24 sender rewriting", secret))
    }

    /// The sender under which mail of a foreign sender is passed on by one of our domains. None where
    /// it cannot be rewritten.
    #[must_use]
    pub fn forward(&self, sender: &str, ours: &str, now: i64) -> Option<String> {
        let (local, domain) = sender.rsplit_once('@')?;
        if local.is_empty() || domain.is_empty() || local.contains(['"', '@', ' ']) {
            return None;
        }
        let local = if let Some(rest) = tagged(local, "SRS0") {
            // Of another forwarder: back to him, with what he wrote.
            let rest = format!("{domain}=={rest}");
            format!("SRS1={}={rest}", self.hash(&["SRS1", &rest]))
        } else if let Some(rest) = tagged(local, "SRS1") {
            // The first forwarder stays the one to go back to.
            let (_, rest) = rest.split_once('=')?;
            rest.split_once("==")?;
            format!("SRS1={}={rest}", self.hash(&["SRS1", rest]))
        } else {
            let day = day(now);
            let hash = self.hash(&["SRS0", &day, domain, local]);
            format!("SRS0={hash}={day}={domain}={local}")
        };
        let path = format!("{local}@{ours}");
        (path.len() <= MAX_PATH).then_some(path)
    }

    /// Where mail to one of our rewritten senders goes. None where the address is none, or not by us.
    #[must_use]
    pub fn back(&self, address: &str, now: i64) -> Option<String> {
        let (local, _) = address.rsplit_once('@')?;
        if let Some(rest) = tagged(local, "SRS0") {
            let mut parts = rest.splitn(4, '=');
            let (hash, day, domain, local) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
            let fine = self.is_hash(hash, &["SRS0", day, domain, local]) && is_recent(day, now);
            return (fine && sound(domain, local)).then(|| format!("{local}@{domain}"));
        }
        let rest = tagged(local, "SRS1")?;
        let (hash, rest) = rest.split_once('=')?;
        let (domain, kept) = rest.split_once("==")?;
        let fine = self.is_hash(hash, &["SRS1", rest]) && sound(domain, kept);
        fine.then(|| format!("SRS0={kept}@{domain}"))
    }

    /// Case on the way may change, so that the hash is over lower case.
    fn hash(&self, parts: &[&str]) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in parts {
            hasher.update(part.to_lowercase().as_bytes());
            hasher.update(&[0]);
        }
        let bits =
            hasher.finalize().as_bytes().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        letters(bits, HASH_LETTERS)
    }

    fn is_hash(&self, given: &str, parts: &[&str]) -> bool {
        let own = self.hash(parts);
        let differ = own.bytes().zip(given.bytes()).fold(0, |all, (a, b)| all | (a ^ b.to_ascii_uppercase()));
        own.len() == given.len() && differ == 0
    }
}

/// What stands behind `SRS0=` (also `-` and `+`, which others write).
fn tagged<'a>(local: &'a str, tag: &str) -> Option<&'a str> {
    let (head, rest) = local.split_at_checked(tag.len())?;
    let rest = rest.strip_prefix(['=', '-', '+'])?;
    head.eq_ignore_ascii_case(tag).then_some(rest)
}

fn sound(domain: &str, local: &str) -> bool {
    Domain::parse(domain).is_ok() && !local.is_empty() && !local.chars().any(char::is_control)
}

/// Two letters for the day, which come round after 1,024.
fn day(now: i64) -> String {
    letters(u64::try_from(now.div_euclid(DAY_MS).rem_euclid(1024)).unwrap_or(0), 2)
}

fn is_recent(given: &str, now: i64) -> bool {
    // A day more, for a clock elsewhere that is ahead.
    (-1..=DAYS).any(|back| day(now.saturating_sub(back * DAY_MS)).eq_ignore_ascii_case(given))
}

fn letters(bits: u64, count: usize) -> String {
    (0..count)
        .rev()
        .map(|place| char::from(BASE32.get((bits >> (5 * place)) as usize & 31).copied().unwrap_or(b'A')))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_521_600_000;

    fn srs() -> Srs {
        Srs::new(b"secret")
    }

    #[test]
    fn there_and_back() {
        for sender in
            ["ann@far.example", "Ann.B+x=y@far.example", "o'hara@xn--bcher-kva.example", "jörg@far.example"]
        {
            let sent = srs().forward(sender, "example.com", NOW).unwrap();
            assert!(sent.starts_with("SRS0=") && sent.ends_with("@example.com"), "{sent}");
            assert_eq!(srs().back(&sent, NOW + DAYS * DAY_MS).as_deref(), Some(sender));
            // A hop that changes case changes nothing else.
            let low = sent.to_ascii_lowercase();
            assert_eq!(srs().back(&low, NOW).unwrap(), sender.to_ascii_lowercase());
        }
    }

    #[test]
    fn through_several_forwarders() {
        let (one, two, three) = (Srs::new(b"1"), Srs::new(b"2"), Srs::new(b"3"));
        let first = one.forward("ann@far.example", "one.example", NOW).unwrap();
        let second = two.forward(&first, "two.example", NOW).unwrap();
        let third = three.forward(&second, "three.example", NOW).unwrap();
        assert!(second.starts_with("SRS1=") && third.starts_with("SRS1="));
        // Bounces go straight to the first one, and from there to the sender.
        for bounced in [two.back(&second, NOW), three.back(&third, NOW)] {
            assert_eq!(bounced.as_deref(), Some(first.as_str()));
        }
        assert_eq!(one.back(&first, NOW).as_deref(), Some("ann@far.example"));
    }

    /// A forged address must not turn the daemon into a relay.
    #[test]
    fn what_we_did_not_write_leads_nowhere() {
        let sent = srs().forward("ann@far.example", "example.com", NOW).unwrap();
        let mut bad = vec![
            sent.replace("ann@", "bob@"),
            sent.replace("far.example", "own.example"),
            sent.replace("SRS0", "SRS1"),
            "SRS0=AAAAAAAA=AA=far.example=ann@example.com".to_owned(),
            "SRS0==AA=far.example=ann@example.com".to_owned(),
            "SRS0=@example.com".to_owned(),
            "SRS1=AAAAAAAA=far.example==x@example.com".to_owned(),
            "srs0@example.com".to_owned(),
            "ann@example.com".to_owned(),
            "SRS0=\u{e4}".to_owned(),
            String::new(),
        ];
        bad[0] = bad[0].replace("=ann", "=bob");
        for address in &bad {
            assert_eq!(srs().back(address, NOW), None, "{address}");
        }
        assert_eq!(Srs::new(b"other").back(&sent, NOW), None);
        assert_eq!(srs().back(&sent, NOW + (DAYS + 1) * DAY_MS), None, "too old");
        assert!(srs().back(&sent, NOW - DAY_MS).is_some(), "a clock a day behind");
    }

    #[test]
    fn what_does_not_fit_is_kept() {
        for sender in ["", "ann", "\"a b\"@far.example", &format!("{}@far.example", "a".repeat(240))] {
            assert_eq!(srs().forward(sender, "example.com", NOW), None);
        }
    }
}
