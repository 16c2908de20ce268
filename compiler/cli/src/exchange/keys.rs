//! The keys of access(5) tables, and of tables of the same kind that somebody wrote for Edict.
//!
//! Postfix compares text, not addresses: it asks with `2001:db8:1` where an IPv6 address begins so, and never asks
//! with a prefix length. A key that it never asks with is no entry, whatever it seems to say.

use super::{Of, Wish};
use edict_table::value::domain::parents;
use edict_table::value::{Address, Domain, fold, parse_network};

/// The key of an absent value: the null sender, a client without a name.
pub const NULL: &str = "<>";
/// Deeper than any domain.
const WHOLE: usize = 1000;

/// A key in the form in which entries are ranked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key {
    /// `ann@b.example`, `b.example`, `.b.example`, `ann@`, a network, or [`NULL`].
    pub text: String,
    /// All of this class are asked before any of a later one.
    pub class: u8,
    /// Within a class, larger is asked first.
    pub depth: usize,
    /// What is different in Edict; empty where nothing is.
    pub note: &'static str,
}

impl Key {
    fn new(text: String, class: u8, depth: usize) -> Self {
        Self { text, class, depth, note: "" }
    }
}

/// Reads a key as Postfix does.
///
/// # Errors
/// Says why no mail has it, or why rules cannot say it.
pub fn postfix(wish: &Wish, of: Of, text: &str) -> Result<Key, String> {
    match of {
        // Postfix's name for a client without a name that holds.
        Of::Client if text.eq_ignore_ascii_case("unknown") => Ok(Key::new(NULL.to_owned(), 0, WHOLE)),
        Of::Client => match network(text)? {
            Some((network, note)) => Ok(Key { note, ..of_network(network) }),
            None => dotted(wish, text),
        },
        Of::Helo => dotted(wish, text),
        Of::Sender if text == NULL => Ok(Key::new(NULL.to_owned(), 0, WHOLE)),
        Of::Sender | Of::Recipient => match text.rsplit_once('@') {
            None => dotted(wish, text),
            Some(("", _)) => Err("Postfix asks for a domain without `@`, so this never matches".to_owned()),
            Some((name, "")) => local(name),
            Some(_) => whole(text),
        },
    }
}

/// Reads a key as somebody wrote it who thinks of mail and not of Postfix: `ann@b.example`, `@b.example` or
/// `b.example`, `.b.example`, `ann@`, `192.0.2.0/24`.
///
/// # Errors
/// Says what it could mean.
pub fn plain(wish: &Wish, of: Of, text: &str) -> Result<Key, String> {
    match of {
        Of::Client if text.eq_ignore_ascii_case("unknown") => Ok(Key::new(NULL.to_owned(), 0, WHOLE)),
        Of::Client => match parse_network(text) {
            Ok(network) => Ok(of_network(network)),
            Err(why) if text.contains(['/', ':']) => Err(why.to_string()),
            Err(_) => domain(text),
        },
        Of::Helo => domain(text),
        Of::Sender if text == NULL => Ok(Key::new(NULL.to_owned(), 0, WHOLE)),
        Of::Sender | Of::Recipient => match (text.rsplit_once('@'), &wish.domain) {
            (Some(("", rest)), _) => domain(rest),
            (Some((name, "")), _) => local(name),
            (Some(_), _) => whole(text),
            (None, _) if text.contains('.') => domain(text),
            (None, Some(home)) => whole(&format!("{text}@{home}")),
            (None, None) => Err(format!(
                "write `{text}@` for that name at any domain, `@{text}` for a domain, or give `--domain`"
            )),
        },
    }
}

fn of_network(network: ipnet::IpNet) -> Key {
    Key::new(network.to_string(), 1, usize::from(network.prefix_len()))
}

fn local(name: &str) -> Result<Key, String> {
    let name = fold(name).into_owned();
    if name.contains(char::is_control) {
        return Err("a control character stands in it".to_owned());
    }
    let depth = usize::from(base(&name).is_some());
    Ok(Key::new(format!("{name}@"), 1, depth))
}

fn whole(text: &str) -> Result<Key, String> {
    let address = mailbox(text)?;
    let depth = WHOLE + usize::from(base(address.local()).is_some());
    Ok(Key::new(address.to_string(), 0, depth))
}

/// An address whose local part stands in quotes where it must, or as it is, since Postfix writes both.
///
/// # Errors
/// Says what is wrong with it.
pub fn mailbox(text: &str) -> Result<Address, String> {
    Address::parse(text).or_else(|error| {
        let bare = text.rsplit_once('@').filter(|(name, _)| !name.is_empty() && !name.starts_with('"'));
        let (name, domain) = bare.ok_or_else(|| error.to_string())?;
        if name.len() > edict_table::value::address::MAX_LOCAL || name.contains(char::is_control) {
            return Err(error.to_string());
        }
        Ok(Address::new(name, &Domain::parse(domain).map_err(|e| e.to_string())?))
    })
}

fn dotted(wish: &Wish, text: &str) -> Result<Key, String> {
    if text.starts_with('.') && !wish.dotted {
        return Err(
            "Postfix asks for `.domain` only without parent matching; give `--dotted` then".to_owned()
        );
    }
    domain(text)
}

fn domain(text: &str) -> Result<Key, String> {
    let (dot, rest) = match text.strip_prefix('.') {
        Some(rest) => (".", rest),
        None => ("", text),
    };
    let domain = Domain::parse(rest).map_err(|e| e.to_string())?;
    if domain.is_literal() {
        return Err("rules take no address literal for a domain".to_owned());
    }
    if STATES.contains(&domain.as_str()) {
        return Err(format!("rules take the word `{domain}` for a state of what is asked, and for no name"));
    }
    if is_number(domain.as_str()) {
        return Err("it is a number or an address, and no domain (RFC 5321 4.1.3)".to_owned());
    }
    let labels = domain.as_str().split('.').count();
    Ok(Key::new(format!("{dot}{domain}"), 0, 2 * labels + usize::from(dot.is_empty())))
}

/// What a fact can be beside equal to a value.
const STATES: &[&str] = &[
    "absent",
    "listed",
    "malformed",
    "nameless",
    "not",
    "present",
    "unknown",
    "unqualified",
    "unresolvable",
    "unverified",
];

/// Whether a name ends in a number, as no domain does.
pub fn is_number(name: &str) -> bool {
    name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
}

/// `192.168.1`, `10`, `2001:db8`: a network by whole octets or groups, or a whole address; none where it is a name.
fn network(text: &str) -> Result<Option<(ipnet::IpNet, &'static str)>, String> {
    let octets = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if let Some((net, _)) = text.split_once('/')
        && (octets || net.contains(':') || net.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
    {
        return Err("Postfix never asks with a prefix length; that is for `cidr:` tables".to_owned());
    }
    if text.contains(':') {
        return six(text).map(Some);
    }
    let count = text.split('.').count();
    if !octets || text.is_empty() {
        return Ok(None);
    }
    // One group of an IPv6 address looks like an octet.
    if let Ok(group) = text.parse::<u16>()
        && group > 255
    {
        return six(text).map(Some);
    }
    let whole = format!("{text}{}", ".0".repeat(4usize.saturating_sub(count)));
    match parse_network(&format!("{whole}/{}", 8 * count)) {
        Ok(net) if count <= 4 => Ok(Some((net, ""))),
        _ => Err("it is no address and no network of whole octets".to_owned()),
    }
}

fn six(text: &str) -> Result<(ipnet::IpNet, &'static str), String> {
    let text = text.to_ascii_lowercase();
    if let Ok(ip) = text.parse::<std::net::Ipv6Addr>() {
        if ip.to_string() != text {
            return Err(format!("Postfix compares text, and writes this address `{ip}`"));
        }
        let note = if text.contains("::") && !text.ends_with("::") {
            "the address alone; Postfix compares text, so that longer ones that begin like it match there too"
        } else {
            ""
        };
        return Ok((std::net::IpAddr::V6(ip).into(), note));
    }
    let groups: Vec<&str> = text.split(':').collect();
    let canonical = |group: &&str| u16::from_str_radix(group, 16).is_ok_and(|n| format!("{n:x}") == **group);
    if groups.len() >= 8 || !groups.iter().all(canonical) {
        return Err("Postfix compares text: groups without leading zeros, and no `:` at the end".to_owned());
    }
    let zeros = groups.windows(2).any(|two| two == ["0", "0"]) || groups.last() == Some(&"0");
    if zeros {
        return Err("Postfix compares text, and writes zeros as `::`; use a `cidr:` table".to_owned());
    }
    let net = parse_network(&format!("{}::/{}", groups.join(":"), 16 * groups.len()));
    net.map(|net| (net, "")).map_err(|e| e.to_string())
}

/// What stands before the `+extension` of a local part.
pub fn base(name: &str) -> Option<&str> {
    name.split_once('+').map(|(base, _)| base).filter(|base| !base.is_empty())
}

/// The keys that hold all that this one holds wherever it is, nearest first.
pub fn covers(dotted: bool, key: &str) -> Vec<String> {
    if let Ok(net) = parse_network(key) {
        let up = std::iter::successors(net.supernet(), ipnet::IpNet::supernet);
        return up.map(|net| net.to_string()).collect();
    }
    let (domain, whole) = match key.rsplit_once('@') {
        Some((_, "")) => return Vec::new(),
        Some((_, domain)) => (domain, true),
        None => (key.trim_start_matches('.'), false),
    };
    let dot = if dotted { "." } else { "" };
    let own = whole.then(|| domain.to_owned());
    own.into_iter().chain(parents(domain).map(|up| format!("{dot}{up}"))).collect()
}

/// The same, and the key without its `+extension`, which holds it at inside domains.
pub fn above(dotted: bool, key: &str) -> Vec<String> {
    let short = key.rsplit_once('@').and_then(|(name, domain)| Some(format!("{}@{domain}", base(name)?)));
    short.into_iter().chain(covers(dotted, key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Format;

    fn wish(domain: Option<&str>) -> Wish {
        let domain = domain.map(str::to_owned);
        Wish { format: Format::Access, of: None, name: String::new(), domain, priority: 100, dotted: false }
    }

    fn shown(key: Result<Key, String>) -> String {
        key.map_or_else(|why| format!("! {why}"), |key| key.text)
    }

    #[test]
    fn what_postfix_asks_with() {
        for (text, want) in [
            ("10", "10.0.0.0/8"),
            ("192.168.7", "192.168.7.0/24"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("2001", "2001::/16"),
            ("2001:DB8", "2001:db8::/32"),
            ("2001:db8::7", "2001:db8::7/128"),
            ("unknown", "<>"),
            ("Mx.Example", "mx.example"),
        ] {
            assert_eq!(shown(postfix(&wish(None), Of::Client, text)), want, "{text}");
        }
        for text in [
            "10.0.0.0/8",
            "2001:db8::/32",
            "10.1.2.3.4",
            "300.1",
            "2001:0db8",
            "2001:db8:",
            "2001:db8:0",
            "::0",
        ] {
            assert!(postfix(&wish(None), Of::Client, text).is_err(), "{text}");
        }
        for (text, want) in
            [("a b@x.example", "a b@x.example"), ("\"a b\"@x.example", "a b@x.example"), ("A+B@", "a+b@")]
        {
            assert_eq!(shown(postfix(&wish(None), Of::Sender, text)), want, "{text}");
        }
    }

    #[test]
    fn what_people_write() {
        for (of, domain, text, want) in [
            (Of::Sender, None, "@b.example", "b.example"),
            (Of::Sender, None, "b.example", "b.example"),
            (Of::Sender, None, "@.b.example", ".b.example"),
            (Of::Sender, Some("b.example"), "x", "x@b.example"),
            (Of::Recipient, None, "x@", "x@"),
            (Of::Client, None, "192.0.2.0/24", "192.0.2.0/24"),
            (Of::Client, None, "mx.example", "mx.example"),
            (Of::Helo, None, "localhost", "localhost"),
        ] {
            assert_eq!(shown(plain(&wish(domain), of, text)), want, "{text}");
        }
        assert!(shown(plain(&wish(None), Of::Sender, "x")).contains("`x@`"));
        assert!(plain(&wish(None), Of::Client, "192.0.2.1/24").is_err());
    }
}
