//! Test blocks: the names and values in them. Whether an expectation is met is for `edict test` to say; here
//! is told what no mail could ever make right.

use super::Context;
use super::value::{of_word, shape};
use super::{contradiction, expect};
use crate::ast::{Answer, Class, Dns, Record, RecordKind, Sender, Test, Text, Value, Word};
use crate::data::{looks_like_one, network_fault};
use crate::diag::Diagnostic;
use crate::parse::opposite::certain;
use crate::span::{FileId, Span};
use edict_table::fact::RESULTS;
use edict_table::value::{Address, Domain, canonical_ip, parse_network};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Resolves what stands in a test.
pub fn test(ctx: &mut Context<'_>, file: FileId, test: &Test) {
    let before = ctx.errors();
    if let Some(path) = &test.message {
        // Not part of the policy: the file is looked for, and not counted among the sources.
        let known = ctx.files.clone();
        ctx.data_file(file, path);
        ctx.files = known;
    }
    if let Some(client) = &test.client {
        self::client(ctx, client);
    }
    for name in test.client_name.iter().chain(&test.dkim) {
        domain(ctx, name);
    }
    if let Some(Sender::Address(sender)) = &test.sender {
        address(ctx, &of_word(sender), "; for a bounce write `sender <>`");
    }
    let recipients: Vec<Option<Address>> =
        test.recipients.iter().map(|word| address(ctx, &of_word(word), "")).collect();
    for header in &test.headers {
        self::header(ctx, header);
    }
    if !test.broken {
        for clause in &test.dns {
            dns(ctx, clause);
        }
        dns_twice(ctx, &test.dns);
        lacks(ctx, test);
        unchecked(ctx, test);
    }
    let mut strangers: BTreeMap<String, Vec<&Word>> = BTreeMap::new();
    for expect in &test.expects {
        if let Some(word) = &expect.recipient {
            let wanted = address(ctx, &of_word(word), "");
            // What could not be read may have been the one.
            let sure = !test.broken && recipients.iter().all(Option::is_some) && sound_aliases(ctx);
            if let Some(wanted) = wanted.filter(|_| sure)
                && !recipients.contains(&Some(wanted.clone()))
            {
                strangers.entry(wanted.as_str().to_owned()).or_default().push(word);
            }
        }
        expect::expect(ctx, expect, test.broken);
    }
    // What is wrong in one of them is told before they are compared.
    if !test.broken && ctx.errors() == before {
        contradiction::check(ctx, test);
    }
    for words in strangers.values() {
        stranger(ctx, test, words);
    }
}

/// Whether every domain alias stands for a domain that there is: else an address may be another than was meant.
fn sound_aliases(ctx: &Context<'_>) -> bool {
    let profile = &ctx.model.profile;
    let inside = |name: &str| {
        profile.local_domains.iter().any(|d| d == name)
            || profile.relay_domains.iter().any(|d| d.domain == name)
    };
    !ctx.model.faulty.contains("domain-aliases") && profile.domain_aliases.iter().all(|(_, to)| inside(to))
}

/// SPF and DMARC are asked of strangers alone: for anybody else the result is `none`.
fn unchecked(ctx: &mut Context<'_>, test: &Test) {
    let trusted = |word: &&Word| {
        word.value.parse::<IpAddr>().map(canonical_ip).is_ok_and(|ip| {
            let networks = &ctx.model.profile.trusted_networks;
            networks.iter().any(|network| parse_network(network).is_ok_and(|n| n.contains(&ip)))
        })
    };
    // A faulty profile may trust others than it seems to.
    let client = test.client.as_ref().filter(|_| !ctx.model.faulty.contains("trusted-networks"));
    let (span, label, ours) = match (&test.login, client.filter(trusted)) {
        (Some(login), _) => (login.span, "a client that logs in", "login"),
        (None, Some(client)) => (client.span, "a client in `trusted-networks`", "client"),
        (None, None) => return,
    };
    for (name, result) in [("spf", test.spf), ("dmarc", test.dmarc)] {
        let word = result.and_then(|r| RESULTS.get(usize::from(r.value)).filter(|word| **word != "none"));
        let (Some(result), Some(word)) = (result, word) else { continue };
        ctx.report(
            Diagnostic::error("E1805", format!("no mail of this client has `{name} {word}`"), result.span)
                .label("strangers alone are checked: here it is `none`")
                .also(span, label)
                .help(if ours == "login" {
                    format!("take `{name} {word}` out, or the `login`")
                } else {
                    format!("take `{name} {word}` out, or write a client outside of `trusted-networks`")
                }),
        );
    }
}

/// A mail has a sender and somebody whom it is for.
fn lacks(ctx: &mut Context<'_>, test: &Test) {
    let (what, help) = match (&test.sender, test.recipients.as_slice()) {
        (None, []) => {
            ("sender and no recipient", "write `sender bob@partner.example` and `recipient ann@example.com`")
        }
        (None, _) => ("sender", "write `sender bob@partner.example`, or `sender <>` for a bounce"),
        (_, []) => ("recipient", "write `recipient ann@example.com`, or several as `recipient [...]`"),
        _ => return,
    };
    ctx.report(
        Diagnostic::error(
            "E1806",
            format!("test `{}` has no {what}", test.name.value.trim()),
            test.name.span,
        )
        .label("no mail without it")
        .help(help),
    );
}

fn client(ctx: &mut Context<'_>, word: &Word) {
    let text = word.value.as_str();
    if text.parse::<IpAddr>().is_ok() {
        return;
    }
    let value = of_word(word);
    let help = match shape(&value) {
        "a domain" if Domain::parse(text).is_ok() => format!(
            "write one address, as `client 203.0.113.9`; the client's name stands in a line of its own, `client-name {text}`"
        ),
        "a network" => match parse_network(text) {
            Ok(network) => format!("write one address of it, as `client {}`", network.addr()),
            Err(_) => "write one address, as `client 203.0.113.9`".to_owned(),
        },
        _ => "write one address, as `client 203.0.113.9` or `client 2001:db8::7`".to_owned(),
    };
    ctx.report(
        Diagnostic::error("E1112", format!("`{text}` is {}, not an IP address", shape(&value)), word.span)
            .label("the address of one client is expected here")
            .help(help),
    );
}

fn domain(ctx: &mut Context<'_>, word: &Word) {
    if word.value.parse::<IpAddr>().is_ok() {
        ctx.report(
            Diagnostic::error("E1111", format!("`{}` is an IP address, not a domain", word.value), word.span)
                .label("a name is expected here")
                .help(format!(
                    "write a name, as `mail.example.com`; the address stands in `client {}`",
                    word.value
                )),
        );
        return;
    }
    if ctx.one_domain(word).is_some_and(|domain| domain.is_literal()) {
        ctx.report(
            Diagnostic::error("E1111", format!("`{}` is an address, not a domain", word.value), word.span)
                .label("a domain is expected here")
                .help("write a name, as `mail.example.com`"),
        );
    }
}

/// One whole address, a domain alias replaced: a bare name is nobody here.
pub(super) fn address(ctx: &mut Context<'_>, value: &Value, also: &str) -> Option<Address> {
    if value.class == Class::Text || value.text.contains('@') {
        return ctx.mailbox(value).map(|mailbox| mailbox.address);
    }
    let text = value.text.as_str();
    let known = |domain: &str| {
        let profile = &ctx.model.profile;
        let mut inside =
            profile.local_domains.iter().chain(profile.relay_domains.iter().map(|relay| &relay.domain));
        inside.any(|other| other == domain)
    };
    let meant = if text.contains('.') && (known(text) || Domain::parse(text).is_ok()) {
        format!("ann@{text}")
    } else {
        format!("{text}@{}", ctx.model.first_local.as_deref().unwrap_or("example.com"))
    };
    ctx.report(
        Diagnostic::error("E1110", format!("`{text}` is {}, not an address", shape(value)), value.span)
            .label("an address with its domain is expected here")
            .help(format!("write the whole, as `{meant}`{also}")),
    );
    None
}

fn header(ctx: &mut Context<'_>, text: &Text) {
    let written = text.value.trim_end_matches(['\r', '\n']);
    let (name, colon) = written.split_once(':').map_or((written, false), |(name, _)| (name, true));
    let fine = !name.is_empty() && name.bytes().all(|b| (33..=126).contains(&b));
    if fine && colon {
        return;
    }
    let field = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let meant = match written.trim().split_once(char::is_whitespace) {
        Some((name, value)) if !colon && field(name.trim_end_matches(':')) && !written.contains('\n') => {
            let value = value.trim().trim_start_matches(':').trim();
            format!("{}: {value}", name.trim_end_matches(':'))
        }
        _ if colon && field(&name.split_whitespace().collect::<Vec<_>>().join("-")) => {
            let value = written.split_once(':').map_or("", |(_, value)| value);
            format!("{}:{value}", name.split_whitespace().collect::<Vec<_>>().join("-"))
        }
        None if !colon && field(written) => format!("{written}: ..."),
        _ => "Subject: hello".to_owned(),
    };
    let label = match (colon, name.is_empty()) {
        (false, _) => "no colon stands behind the name of the field",
        (true, true) => "no name stands before the colon",
        (true, false) => "the name before the colon holds a space, or what is no printable ASCII",
    };
    ctx.report(
        Diagnostic::error("E1802", "this is no header field", text.span)
            .label(label)
            .help(format!("name, colon and value stand in one text: `header \"{meant}\"`")),
    );
}

/// Tells a second answer for one name: only one could be given.
fn dns_twice(ctx: &mut Context<'_>, all: &[Dns]) {
    let mut first: BTreeMap<String, Span> = BTreeMap::new();
    for one in all {
        let name = one.name.value.trim().trim_end_matches('.');
        let key = match (name.parse::<IpAddr>(), Domain::parse(name)) {
            (Ok(ip), _) => ip.to_canonical().to_string(),
            (_, Ok(domain)) => domain.as_str().to_owned(),
            _ => continue,
        };
        let Some(known) = first.get(&key) else {
            first.insert(key, one.span);
            continue;
        };
        ctx.report(
            Diagnostic::error("E1105", format!("DNS answers twice for `{name}`"), one.span)
                .label("the second answer")
                .also(*known, "the first one")
                .help("keep one of them; several records stand in one answer, as `answers [192.0.2.1, mx mail.example.com]`"),
        );
    }
}

fn dns(ctx: &mut Context<'_>, dns: &Dns) {
    let name = dns.name.value.trim();
    if name.parse::<IpAddr>().is_err() && Domain::parse(name.trim_end_matches('.')).is_err() {
        ctx.report(
            Diagnostic::error("E1801", format!("nobody asks DNS for `{name}`"), dns.name.span)
                .label("neither a domain nor an IP address")
                .help("write a domain, as `\"partner.example\"`, or for the name of a client its address, as `\"203.0.113.9\"`"),
        );
    }
    if let Answer::Records(records) = &dns.answer {
        for one in records {
            record(ctx, one);
        }
    }
}

/// What others call the two answers that are no records.
const FAILURES: &[&str] = &["servfail", "timeout", "tempfail", "temperror", "fail", "error", "refused"];
const NOTHINGS: &[&str] = &["nxdomain", "nodata", "none", "empty", "noerror", "no", "absent"];

fn record(ctx: &mut Context<'_>, record: &Record) {
    let value = &record.value;
    let text = value.text.as_str();
    let error = |label: &str| {
        Diagnostic::error("E1801", format!("`{text}` is no answer of DNS"), value.span).label(label)
    };
    match record.kind {
        RecordKind::Address if text.parse::<IpAddr>().is_ok() && value.class == Class::Word => {}
        RecordKind::Address => {
            let lower = text.to_lowercase();
            let known = [("failure", FAILURES), ("nothing", NOTHINGS)]
                .into_iter()
                .find(|(_, words)| words.contains(&lower.as_str()))
                .map(|(word, _)| word);
            let word = known.or_else(|| crate::parse::words::nearest(&lower, ["failure", "nothing"]));
            let diagnostic = match word {
                Some("failure") => error("DNS that fails is written `failure`").help("write `failure`"),
                Some(_) => error("a name that does not exist is written `nothing`").help("write `nothing`"),
                None if value.class == Class::Text => error("a text alone").help(format!("write `txt \"{text}\"`")),
                None if looks_like_one(text) => {
                    let fault = network_fault(text);
                    error(&fault.label).help("write one whole address, as `192.0.2.1` or `2001:db8::7`")
                }
                None if Domain::parse(text).is_ok() && text.contains('.') => error("a domain alone")
                    .help(format!("say what it is: `mx {text}` for a mail host, `ptr {text}` for the name of a client")),
                None => error("not an IP address").help(
                    "write `nothing`, `failure`, an address as `192.0.2.1`, `mx HOST`, `ptr HOST` or `txt \"...\"`",
                ),
            };
            ctx.report(match word {
                Some(word) if known.is_some() || certain(&lower, word) => {
                    diagnostic.fix(format!("write `{word}`"), value.span, word)
                }
                _ => diagnostic,
            });
        }
        RecordKind::Mx if text == "." => {}
        RecordKind::Mx | RecordKind::Ptr => {
            let host = Domain::parse(text.trim_end_matches('.')).is_ok_and(|domain| !domain.is_literal());
            if !host || value.class != Class::Word || text.parse::<IpAddr>().is_ok() {
                let (word, more) = if record.kind == RecordKind::Mx {
                    ("mx", ", or `mx .` for a domain that takes no mail")
                } else {
                    ("ptr", "")
                };
                ctx.report(
                    error("a host name is expected here")
                        .help(format!("write `{word} mail.example.com`{more}")),
                );
            }
        }
        RecordKind::Txt => {
            if value.class != Class::Text {
                ctx.report(
                    error("a text is expected here").help(format!("put it in quotes: `txt \"{text}\"`")),
                );
            }
        }
    }
}

fn stranger(ctx: &mut Context<'_>, test: &Test, words: &[&Word]) {
    let Some((word, others)) = words.split_first() else { return };
    let named: Vec<String> = test.recipients.iter().map(|one| format!("`{}`", one.value)).collect();
    let mut diagnostic =
        Diagnostic::error("E1804", format!("`{}` is no recipient of this test", word.value), word.span)
            .label("nothing happens to this one")
            .help(match named.as_slice() {
                [] => format!("add it: `recipient {}`", word.value),
                all => format!(
                    "name one of {}, or add `recipient {}`",
                    all.iter().take(5).cloned().collect::<Vec<_>>().join(", "),
                    word.value
                ),
            });
    if let Some(first) = test.recipients.first() {
        diagnostic = diagnostic.also(first.span, "the mail is for this one");
    }
    for other in others.iter().take(3) {
        diagnostic = diagnostic.also(other.span, "named here too");
    }
    ctx.report(diagnostic);
}
