//! The mail of a test block.

use crate::flow::now;
use crate::flow::{Answer, ClientName, Dns, Mail, Record, crlf};
use edict_compiler::ast::{self, QuotaOf, RecordKind, Sender, Test};
use edict_compiler::diag::Severity;
use edict_compiler::parse::parse;
use edict_compiler::resolve::unix;
use edict_compiler::source::Sources;
use edict_compiler::span::Span;
use edict_compiler::{Options, compile};
use edict_runtime::quota::Amount;
use edict_table::load::Loaded;
use edict_table::value::Domain;
use std::net::IpAddr;

/// Puts the mail together.
///
/// # Errors
/// Where something cannot be read, and why.
pub fn mail(sources: &Sources, test: &Test, table: &Loaded) -> Result<Mail, (Span, String)> {
    let client = match &test.client {
        None => IpAddr::from([203, 0, 113, 1]),
        Some(word) => word
            .value
            .parse()
            .map_err(|_| (word.span, format!("`{}` is no address of a client", word.value)))?,
    };
    let time = match &test.time {
        None => now(),
        Some(moment) => unix(&table.profile().time_zone, moment.value, false)
            .and_then(|seconds| i64::try_from(seconds).ok())
            .and_then(|seconds| seconds.checked_mul(1000))
            .ok_or((moment.span, "this is no date of the calendar".to_owned()))?,
    };
    let sender = match &test.sender {
        Some(Sender::Address(word)) => word.value.clone(),
        Some(Sender::Null(_)) => String::new(),
        None => {
            return Err((test.name.span, "it names no sender; write `sender <>` for a bounce".to_owned()));
        }
    };
    let mut usage = Amount::default();
    for used in &test.usage {
        match used.of {
            QuotaOf::Messages => usage.messages = used.count.value,
            QuotaOf::Recipients => usage.recipients = used.count.value,
            QuotaOf::Bytes => usage.bytes = used.count.value,
        }
    }
    Ok(Mail {
        client,
        client_name: ClientName::or_asked(test.client_name.as_ref().map(|word| word.value.clone())),
        helo: test.helo.as_ref().or(test.client_name.as_ref()).map(|word| word.value.clone()),
        tls: test.tls.is_some_and(|tls| tls.value),
        login: test.login.as_ref().map(|value| value.text.clone()),
        sender,
        recipients: test.recipients.iter().map(|word| word.value.clone()).collect(),
        message: message(sources, test)?,
        whole: test.message.is_some(),
        size: test.size.map(|size| size.value),
        time,
        spf: test.spf.map_or(0, |result| result.value),
        dmarc: test.dmarc.map_or(0, |result| result.value),
        dkim: dkim(test)?,
        dns: dns(test)?,
        usage,
    })
}

/// The bytes: a file, with the headers of the test in front, or headers and body alone.
fn message(sources: &Sources, test: &Test) -> Result<Vec<u8>, (Span, String)> {
    let mut out = Vec::new();
    for header in &test.headers {
        let line = header.value.trim_end_matches(['\r', '\n']);
        let name = line.split(':').next().unwrap_or_default();
        if !line.contains(':') || name.is_empty() || name.contains(char::is_whitespace) {
            return Err((header.span, "a header is written `\"Subject: hello\"`".to_owned()));
        }
        // White space in front of a further line keeps it in this header.
        out.extend_from_slice(line.replace('\n', "\n ").as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    match &test.message {
        Some(path) => {
            let file = edict_compiler::gather::join(sources.path(path.span.file), path.value.trim());
            let found = file.as_deref().and_then(|file| sources.find(file));
            let found = found.ok_or_else(|| (path.span, format!("there is no file `{}`", path.value)))?;
            out.extend_from_slice(sources.bytes(found));
        }
        None => out.extend_from_slice(b"\r\n"),
    }
    if let Some(body) = &test.body {
        out.extend_from_slice(body.value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    Ok(crlf(&out))
}

fn dkim(test: &Test) -> Result<Vec<Domain>, (Span, String)> {
    let read = |word: &ast::Word| {
        Domain::parse(&word.value).map_err(|e| (word.span, format!("`{}` is no domain: {e}", word.value)))
    };
    test.dkim.iter().map(read).collect()
}

fn dns(test: &Test) -> Result<Dns, (Span, String)> {
    let mut dns = Dns::default();
    for clause in &test.dns {
        add(&mut dns, clause)?;
    }
    Ok(dns)
}

/// Gives the answer of a clause.
fn add(dns: &mut Dns, clause: &ast::Dns) -> Result<(), (Span, String)> {
    let answer = match &clause.answer {
        ast::Answer::Nothing => Answer::Nothing,
        ast::Answer::Failure => Answer::Failure,
        ast::Answer::Records(records) => {
            Answer::Records(records.iter().map(record).collect::<Result<Vec<Record>, _>>()?)
        }
    };
    if dns.set(&clause.name.value, answer) {
        Ok(())
    } else {
        Err((
            clause.name.span,
            format!("`{}` has an answer already; several records stand in one `[…]`", clause.name.value),
        ))
    }
}

/// Reads what stands behind `dns` in a test, wherever else it is written.
///
/// # Errors
/// Says what is wrong with it.
pub fn dns_clause(dns: &mut Dns, text: &str) -> Result<(), String> {
    const HEAD: &str = "edict 1\nprofile { local-domains [a.example] }\ntest \"t\" {\nsender <>\nrecipient a@a.example\ndns ";
    let whole = format!("{HEAD}{text}\nexpect accept\n}}\n");
    let mut sources = Sources::default();
    sources.insert("main.edict", whole.as_str());
    let done = compile(&sources, &Options { proofs: false });
    if let Some(error) = done.diagnostics.iter().find(|d| d.severity == Severity::Error) {
        let help = error.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
        return Err(format!("{}{help}", error.message));
    }
    let only = |item: &ast::Item| match item {
        ast::Item::Test(test) if test.dns.len() == 1 => test.dns.first().cloned(),
        _ => None,
    };
    let clause = sources
        .find("main.edict")
        .and_then(|file| parse(file, whole.as_bytes()).ast.items.iter().find_map(only));
    // Nothing may stand behind it that is read as something else.
    let end = HEAD.len() + text.trim_end().len();
    match clause.filter(|clause| clause.span.end as usize == end) {
        Some(clause) => add(dns, &clause).map_err(|(_, why)| why),
        None => Err("write one name and its answer, as in `\"partner.example\" answers nothing`".to_owned()),
    }
}

fn record(record: &ast::Record) -> Result<Record, (Span, String)> {
    let text = record.value.text.as_str();
    Ok(match record.kind {
        RecordKind::Address => {
            Record::Address(text.parse().map_err(|_| (record.value.span, format!("`{text}` is no address")))?)
        }
        RecordKind::Mx => Record::Mx(text.to_owned()),
        RecordKind::Ptr => Record::Ptr(text.to_owned()),
        RecordKind::Txt => Record::Txt,
    })
}
