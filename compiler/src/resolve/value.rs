//! Values of every type: from what was written to the normal form, or a message that says what to write.

use super::Context;
use super::named::kept_by_quotes;
use crate::ast::{Class, Value, Word};
use crate::data::{looks_like_one, network_fault};
use crate::diag::Diagnostic;
use crate::span::Span;
use edict_table::value::domain::DomainError;
use edict_table::value::{AddressError, Domain, NetworkError, Pattern, parse_network};
use ipnet::IpNet;

/// What to write in place of a domain that is none under IDNA.
const IDNA_HELP: &str =
    "correct the part that begins with `xn--`, or write the name in its own letters, as `bücher.example`";

/// What a value looks like, for messages.
pub fn shape(value: &Value) -> &'static str {
    match value.class {
        Class::Text => "a text",
        Class::Number(_) => "a number",
        Class::Size(_) => "a size",
        Class::Duration(_) => "a duration",
        Class::Word if value.text.contains('@') => "an address",
        Class::Word if parse_network(&value.text).is_ok() => {
            if value.text.contains('/') {
                "a network"
            } else {
                "an IP address"
            }
        }
        Class::Word if is_dotted(&value.text) => "a malformed IP address",
        Class::Word if value.text.contains('.') => "a domain",
        Class::Word => "a word",
    }
}

/// What a bare domain is where addresses are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Bare {
    /// Every address there.
    Taken,
    /// A mistake, in a test on this fact.
    Test(&'static str),
    /// A mistake, elsewhere.
    Entry,
}

/// Numbers and dots, as an IP address is written.
fn is_dotted(text: &str) -> bool {
    text.contains('.') && text.split('.').all(|p| p.parse::<u64>().is_ok())
}

/// What other systems write with a star, as Edict writes it.
fn wildcard(text: &str) -> Option<String> {
    let meant = match text.strip_prefix("*@") {
        Some(domain) => match domain.strip_prefix("*.") {
            Some(above) => format!("@.{above}"),
            None => format!("@{domain}"),
        },
        None => match text.strip_suffix("@*") {
            Some(local) => format!("{local}@"),
            None => format!("@.{}", text.strip_prefix("*.").or_else(|| text.strip_prefix("@*."))?),
        },
    };
    Pattern::parse(&meant).is_ok().then_some(meant)
}

/// What to write in place of an address that cannot be read.
pub(super) fn address_help(error: &AddressError) -> &'static str {
    match error {
        AddressError::LocalDots => "take a dot out",
        AddressError::Domain(DomainError::Idna) => IDNA_HELP,
        AddressError::TwoAts => "write one address, as `ann@example.com`",
        AddressError::LocalCharacter(_) => "correct it, or put that part in quotes: `\"a b\"@example.com`",
        _ => "write `ann@example.com`, `@example.com`, `@.example.com` or `ann@`",
    }
}

/// Nothing between quotes, where an absent value is meant.
pub(super) fn nothing(diagnostic: Diagnostic, fact: &str, span: Span) -> Diagnostic {
    match fact {
        "sender" => diagnostic
            .help("the null sender of bounces is an absent one: write `sender is absent` for them, `sender is present` for all others")
            .fix("write `absent`", span, "absent"),
        "recipient" | "recipient.domain" => {
            diagnostic.help("every message has a recipient: write which one is meant")
        }
        _ => diagnostic.help(format!("write `{fact} is absent` for what is not there, `{fact} is present` for the opposite")).fix(
            "write `absent`",
            span,
            "absent",
        ),
    }
}

/// How the rules say what a list cannot leave out. Which fact they ask of it, the list does not know.
fn left_out(one: &str) -> String {
    format!(
        "take it out, and say in the rules what is left out, in place of `FACT in LIST`: `(FACT in LIST and not FACT is {one})`"
    )
}

/// A word as a value.
pub fn of_word(word: &Word) -> Value {
    Value { text: word.value.clone(), class: Class::Word, span: word.span }
}

impl Context<'_> {
    /// An address of any of the four shapes. A bare domain is one only where it is taken so.
    pub(super) fn pattern(&mut self, value: &Value, domains: Bare) -> Option<Pattern> {
        let text = value.text.as_str();
        let bare = !text.contains('@');
        if self.left_out("E1110", value, left_out) {
            return None;
        }
        // A local part that is `*` is legal, and never what is meant; in quotes it is taken.
        if let Some(meant) = wildcard(text).filter(|_| value.class == Class::Word) {
            self.report(
                Diagnostic::error("E1110", format!("`{text}` is no address"), value.span)
                    .label("`*` is no wildcard here")
                    .help(format!("write `{meant}`"))
                    .fix(format!("write `{meant}`"), value.span, meant),
            );
            return None;
        }
        if !matches!(value.class, Class::Word)
            || (bare && domains != Bare::Taken)
            || (bare && parse_network(text).is_ok())
        {
            let fixed = text.trim_start_matches('.');
            let domain =
                bare && fixed.contains('.') && Domain::parse(fixed).is_ok() && parse_network(text).is_err();
            let message = if text.is_empty() {
                "an empty text is no address".to_owned()
            } else {
                format!("`{text}` is {}, not an address", shape(value))
            };
            let mut diagnostic =
                Diagnostic::error("E1110", message, value.span).label("an address is expected here");
            diagnostic = if let (true, Bare::Test(fact)) = (text.is_empty(), domains) {
                nothing(diagnostic, fact, value.span)
            } else if value.class == Class::Text && names_file(text) {
                diagnostic.help(format!(
                    "a file of entries is read with `from`: `list NAME: address from \"{text}\"`"
                ))
            } else if value.class == Class::Text && Pattern::parse(text).is_ok() && !bare {
                diagnostic.help("addresses stand without quotes").fix(
                    "take the quotes away",
                    value.span,
                    text,
                )
            } else if domain {
                let asked = match domains {
                    Bare::Test(fact @ ("sender" | "recipient")) => {
                        format!(", or ask the domain alone: `{fact}.domain is {text}`")
                    }
                    Bare::Entry => {
                        "; in a list of domains, `list NAME: domain`, it can stand as it is".to_owned()
                    }
                    _ => String::new(),
                };
                diagnostic.help(format!("write `@{text}` for every address there{asked}")).fix(
                    format!("write `@{text}`"),
                    value.span,
                    format!("@{text}"),
                )
            } else {
                diagnostic.help("write `ann@example.com`, `@example.com`, `@.example.com` or `ann@`")
            };
            self.report(diagnostic);
            return None;
        }
        match Pattern::parse(text) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                self.report(
                    Diagnostic::error("E1110", format!("`{text}` is no address"), value.span)
                        .help(address_help(&error))
                        .label(error.to_string()),
                );
                None
            }
        }
    }

    /// A domain, or `.domain` where `below` says so.
    pub(super) fn domain(&mut self, value: &Value, below: bool) -> Option<Pattern> {
        let text = value.text.as_str();
        let word = matches!(value.class, Class::Word) || kept_by_quotes(self, value);
        let network = parse_network(text).is_ok() && !text.starts_with('[');
        if self.left_out("E1111", value, left_out) {
            return None;
        }
        if !word || text.contains('@') || network {
            let mut diagnostic =
                Diagnostic::error("E1111", format!("`{text}` is {}, not a domain", shape(value)), value.span)
                    .label("a domain is expected here");
            diagnostic = match text.rsplit_once('@') {
                Some(("", domain)) if word && !domain.is_empty() => diagnostic
                    .help(format!("write `{domain}`"))
                    .fix(format!("write `{domain}`"), value.span, domain),
                // No fix: one address is less than its whole domain.
                Some((_, domain)) if word && !domain.is_empty() => diagnostic
                    .help(format!("a domain is all addresses there: write `{domain}` where all are meant; this one alone is asked of a whole address, as in `sender {} {text}`", self.is())),
                _ if value.class == Class::Text && Pattern::parse(text).is_ok() => diagnostic
                    .help("domains stand without quotes")
                    .fix("take the quotes away", value.span, text),
                _ if network => diagnostic.help(format!(
                    "write a domain; to ask for this client write `client.ip {} {text}`, or put it into `list NAME: network = [{text}]`", self.is()
                )),
                _ if below => diagnostic.help("write `example.com`, or `.example.com` for its subdomains"),
                _ => diagnostic.help("write one domain, as `example.com`"),
            };
            self.report(diagnostic);
            return None;
        }
        if text.starts_with('.') && !below {
            self.report(
                Diagnostic::error("E1111", format!("`{text}` stands for many domains"), value.span)
                    .label("one domain is expected here")
                    .help(format!("write each domain by itself, as `{}`", text.trim_start_matches('.'))),
            );
            return None;
        }
        match Pattern::parse(text) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                let above = text.strip_prefix("*.").filter(|a| Domain::parse(a).is_ok());
                if let Some(above) = above.filter(|_| !below) {
                    self.report(
                        Diagnostic::error("E1111", format!("`{text}` stands for many domains"), value.span)
                            .label("one domain is expected here, and `*` is no wildcard")
                            .help(format!("write each domain by itself, as `{above}`")),
                    );
                    return None;
                }
                if let Some(above) = above {
                    self.report(
                        Diagnostic::error("E1111", format!("`{text}` is no domain"), value.span)
                            .label("`*` is no wildcard here")
                            .help(format!("write `.{above}` for its subdomains"))
                            .fix(format!("write `.{above}`"), value.span, format!(".{above}")),
                    );
                    return None;
                }
                self.report(
                    Diagnostic::error("E1111", format!("`{text}` is no domain"), value.span)
                        .label(error.to_string())
                        .help(if error == AddressError::Domain(DomainError::Idna) {
                            IDNA_HELP
                        } else if below {
                            "write letters, digits and hyphens: `example.com`, or `.example.com` for its subdomains"
                        } else {
                            "write letters, digits and hyphens, as `example.com`"
                        }),
                );
                None
            }
        }
    }

    /// One exact domain.
    pub(super) fn one_domain(&mut self, word: &Word) -> Option<Domain> {
        match self.domain(&of_word(word), false)? {
            Pattern::Domain(domain) => Some(domain),
            _ => None,
        }
    }

    /// An address or a network; `trusted` where the profile names those it trusts.
    pub(super) fn network(&mut self, value: &Value, trusted: bool) -> Option<IpNet> {
        let text = value.text.as_str();
        if self.left_out(
            "E1112",
            value,
            |one| if trusted { format!("no network can be left out of `trusted-networks`: write the networks that remain without `{one}`") } else { left_out(one) },
        ) {
            return None;
        }
        match parse_network(text) {
            Ok(network) if value.class == Class::Word => Some(network),
            Ok(_) => {
                self.report(
                    Diagnostic::error(
                        "E1112",
                        format!("`{text}` is {}, not a network", shape(value)),
                        value.span,
                    )
                    .label("a network is expected here")
                    .help("networks stand without quotes")
                    .fix("take the quotes away", value.span, text),
                );
                None
            }
            Err(NetworkError::HostBits(network)) => {
                self.report(
                    Diagnostic::error(
                        "E1113",
                        format!("`{text}` has bits set beyond its prefix"),
                        value.span,
                    )
                    .label(format!("the network is `{network}`"))
                    // No fix: which of the two is meant, only the writer knows.
                    .help(format!("write `{network}`, or `{}` for that one address", one_of(text))),
                );
                None
            }
            Err(NetworkError::Syntax) => {
                let fault = network_fault(text);
                self.report(if looks_like_one(text) && value.class == Class::Word {
                    Diagnostic::error("E1112", format!("`{text}` is no IP address or network"), value.span)
                        .label(fault.label)
                        .help(fault.help)
                } else {
                    let message = format!("`{text}` is {}, not a network", shape(value));
                    Diagnostic::error("E1112", message, value.span)
                        .label("an address or a network is expected here")
                        .help(if shape(value) == "a domain" {
                            format!("to ask for the client's host name write `client.name {} {text}` (`.{text}` for all hosts below it); a network is written `192.0.2.7` or `192.0.2.0/24`", self.is())
                        } else {
                            fault.help
                        })
                });
                None
            }
        }
    }
}

/// The address of a network as it was written.
fn one_of(text: &str) -> &str {
    text.split('/').next().unwrap_or(text)
}

/// Whether a text ends as the names of files do that hold entries.
fn names_file(text: &str) -> bool {
    [".txt", ".list", ".lst", ".csv", ".map"].iter().any(|end| text.ends_with(end))
}
