//! What to write in place of a bad entry of a list: most come from other systems' lists.

use super::network::{network_fault, shown_network};
use crate::ast::ListType;
use crate::diag::Diagnostic;
use crate::span::Span;
use edict_table::value::{Pattern, parse_network};
use ipnet::IpNet;

/// Why an entry is wrong.
pub(super) enum Why {
    /// A quoted text that does not close, or holds an escape that means nothing.
    Quotes,
    /// A text without anything in it.
    Empty,
    /// No network.
    Network,
    /// Bits beyond the prefix; the network that was probably meant.
    HostBits(IpNet),
    /// No `@` in an address.
    NoAt,
    /// `!…`, which means "not this one" in lists of other systems.
    Negated,
    /// `*@…`
    Star,
    /// An `@` in a domain.
    At,
    /// An IP address or a network in a list of domains.
    Ip,
    /// What the parser of addresses and domains says.
    Mailbox(String),
}

/// The longest entry that a message shows whole, in characters.
const SHOWN: usize = 60;

fn short(entry: &str) -> String {
    match entry.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", entry.get(..end).unwrap_or_default()),
        None => entry.to_owned(),
    }
}

/// An entry in normal form as rules write it.
pub(super) fn written(ty: ListType, key: &str) -> String {
    short(match ty {
        ListType::Domain => key.trim_start_matches('@'),
        ListType::Network => shown_network(key),
        _ => key,
    })
}

/// The diagnostic for a bad entry.
pub(super) fn wrong(ty: ListType, entry: &str, why: &Why, at: Span) -> Diagnostic {
    let shown = short(entry);
    let error = |message: String| Diagnostic::error("E1401", message, at);
    let no = || error(format!("`{shown}` is no {}", ty.name()));
    if matches!(why, Why::Network | Why::NoAt | Why::Star | Why::At | Why::Mailbox(_)) {
        if let Some(better) = meant(ty, entry) {
            return no()
                .label(format!("did you mean `{}`?", short(&better)))
                .help(format!("write `{}`", short(&better)))
                .fix(format!("write `{}`", short(&better)), at, better);
        }
        if entry.contains(char::is_whitespace) || entry.contains([',', ';']) {
            return no()
                .label("more than one word on this line")
                .help("one entry stands on a line, and nothing behind it but a `#` comment");
        }
    }
    match why {
        Why::Quotes => quotes(&error, entry),
        Why::Empty => error("an empty text would match everything".to_owned()).help("take the line out"),
        Why::Network => {
            let fault = network_fault(entry);
            no().label(fault.label).help(fault.help)
        }
        Why::HostBits(network) => error(format!("`{shown}` has bits set beyond its prefix"))
            .label(format!("the network is `{network}`"))
            // No fix: which of the two is meant, only the writer knows.
            .help(format!("write `{network}`, or the one address without a prefix")),
        Why::NoAt => {
            no().label("an address needs an `@`").help("write `ann@example.com`, `@example.com` or `ann@`")
        }
        Why::Negated => {
            let fact = match ty {
                ListType::Network => "client.ip",
                ListType::Domain => "sender.domain",
                _ => "sender",
            };
            let rest = short(entry.trim_start_matches('!'));
            let help = format!("take the line out, and say in the rules what is left out: `unless {fact} is {rest}`");
            no().label("there is no negation in lists").help(match rest.rsplit_once('@') {
                Some((local, domain)) if !local.is_empty() => {
                    format!("{help}; a name that begins with `!` stands in quotes: `\"!{local}\"@{domain}`")
                }
                _ => help,
            })
        }
        Why::Star => {
            no().label("`*` is no wildcard here").help("write `@example.com` for every address at a domain")
        }
        Why::At => error(format!("`{shown}` is an address, not a domain"))
            .label("this is a list of domains")
            .help("write the domain alone, or declare the list as one of addresses"),
        Why::Ip => error(format!("`{shown}` is an IP address, not a domain"))
            .label("this is a list of domains")
            .help("write a domain, or declare the list as one of networks, for `client.ip in`"),
        Why::Mailbox(says) => no().label(says.clone()).help(match ty {
            _ if says.contains("IDNA") => {
                "correct the part that begins with `xn--`, or write the name in its own letters, as `bücher.example`"
            }
            ListType::Domain => "write `example.com`, or `.example.com` for its subdomains",
            _ => "write `ann@example.com`, `@example.com`, `@.example.com` or `ann@`",
        }),
    }
}

/// What is wrong with a text in quotes.
fn quotes(error: &impl Fn(String) -> Diagnostic, entry: &str) -> Diagnostic {
    const INSIDE: &str =
        "write `\\\"` and `\\\\` for quotes and backslashes inside, or leave the outer quotes away";
    let inner = entry.strip_prefix('"').unwrap_or(entry);
    let mut escaped = false;
    let end = inner.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    match end.map(|end| inner.get(end + 1..).unwrap_or_default()) {
        None => error("this text is not closed".to_owned()).label("no `\"` ends it on its line").help(INSIDE),
        Some("") => error("an escape in this text means nothing".to_owned())
            .label("a backslash begins an escape in quotes")
            .help(INSIDE),
        Some(behind) => error(format!("`{}` stands behind the text", short(behind.trim())))
            .label("the text in quotes is the whole entry")
            .help(format!("one entry stands on a line: take it out; {INSIDE}")),
    }
}

/// The entry that another system's way of writing stands for.
fn meant(ty: ListType, entry: &str) -> Option<String> {
    let word = entry.trim_end_matches([',', ';']).trim_matches(['<', '>', '\'', '"']);
    match ty {
        ListType::Network => network(word),
        ListType::Address => {
            let word = word.strip_prefix("mailto:").unwrap_or(word);
            let word = word.replace("*@", "@").replace("@*.", "@.");
            let word = word.strip_prefix("*.").map(|rest| format!(".{rest}")).unwrap_or(word);
            let word = if word.contains('@') { word } else { format!("@{word}") };
            // A bare word is as likely a slip as a domain.
            let sure = word.trim_start_matches(['@', '.']).contains(['.', '@']);
            (sure && word != entry && Pattern::parse(&word).is_ok()).then_some(word)
        }
        ListType::Domain => {
            let word = word.strip_prefix("*@").or(word.strip_prefix('@')).unwrap_or(word);
            let word = word.strip_prefix("*.").map_or_else(|| word.to_owned(), |rest| format!(".{rest}"));
            let word = word.trim_end_matches('.').to_owned();
            (word != entry && !word.contains('@') && Pattern::parse(&word).is_ok()).then_some(word)
        }
        ListType::Text => None,
    }
}

/// `192.0.2.`, `192.0.2.*`, `192.0.2.0/255.255.255.0`. Parts alone, `192.0.2`, are as likely an address cut
/// short: which of the two, only the writer knows.
fn network(word: &str) -> Option<String> {
    if let Some((ip, mask)) = word.split_once('/')
        && let (Ok(ip), Ok(mask)) = (ip.parse(), mask.parse())
    {
        return IpNet::with_netmask(ip, mask).ok().map(|net| net.trunc().to_string());
    }
    let stem = word.trim_end_matches(".*").trim_end_matches('.');
    let parts = stem.split('.').count();
    if (1..4).contains(&parts) && stem.split('.').all(|p| p.parse::<u8>().is_ok()) && stem != word {
        let zeros = ".0".repeat(4 - parts);
        let net = format!("{stem}{zeros}/{}", parts * 8);
        return parse_network(&net).is_ok().then_some(net);
    }
    (stem != word && parse_network(stem).is_ok()).then(|| stem.to_owned())
}
