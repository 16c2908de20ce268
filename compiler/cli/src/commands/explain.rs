//! `edict explain`: what happens to a mail, and why.

use crate::args::{CheckResult, ExplainArgs, ResultFormat};
use crate::console::{Console, Failure};
use crate::explained::Shown;
use crate::files::{one_dash, read_whole};
use crate::flow::{self, ClientName, Dns, Mail};
use crate::table;
use crate::testing::dns_clause;
use edict_compiler::ast::Moment;
use edict_compiler::lex::leaf;
use edict_compiler::resolve::unix;
use edict_runtime::quota::Amount;
use edict_table::load::Loaded;
use edict_table::value::canonical_ip;
use std::sync::Arc;

/// The place of a result in the registry of facts.
fn place(result: CheckResult) -> u8 {
    result as u8
}

/// SPF and DMARC are asked of strangers alone: no mail of anybody else has a result of them.
fn unchecked(args: &ExplainArgs, table: &Loaded) -> Result<(), Failure> {
    let who = match &args.auth {
        Some(_) => "a client that logs in (`--auth`)".to_owned(),
        None if table.is_trusted(canonical_ip(args.client)) => {
            format!("the client {}, which is in `trusted-networks`", args.client)
        }
        None => return Ok(()),
    };
    for (flag, result) in [("spf", args.spf), ("dmarc", args.dmarc)] {
        if result.is_some_and(|result| place(result) != 0) {
            return Err(Failure::Use(format!(
                "`--{flag}`: strangers alone are checked, and for {who} the result is `none`; leave `--{flag}` out"
            )));
        }
    }
    Ok(())
}

/// A moment as tests write it, in the zone of the profile, or as RFC 3339 has it; Unix milliseconds.
fn time(text: &str, table: &Loaded) -> Result<i64, Failure> {
    let of_rules = || {
        let (year, month, day, time) = leaf::date(text)?;
        let seconds = unix(&table.profile().time_zone, Moment { year, month, day, time }, false)?;
        i64::try_from(seconds).ok()?.checked_mul(1000)
    };
    let absolute = || text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
    of_rules().or_else(absolute).ok_or_else(|| {
        Failure::Use(format!(
            "`--time {text}`: this is no date; write `2026-12-01` or `2026-12-01T10:30`, in the time zone of the profile"
        ))
    })
}

/// Explains one mail.
pub fn run(args: &ExplainArgs, console: &mut Console) -> Result<bool, Failure> {
    one_dash((&args.table, "the table"), args.message.as_deref().map(|path| (path, "the message")))?;
    let Some(loaded) = table::open(&args.table, console)? else {
        return Ok(false);
    };
    let table = Arc::new(loaded);
    unchecked(args, &table)?;
    let message = match &args.message {
        Some(path) => flow::crlf(&read_whole(path)?),
        None => b"\r\n".to_vec(),
    };
    let mut dns = Dns::default();
    for clause in &args.dns {
        dns_clause(&mut dns, clause).map_err(|why| Failure::Use(format!("`--dns {clause}`: {why}")))?;
    }
    let mail = Mail {
        client: args.client,
        client_name: ClientName::or_asked(args.client_name.clone()),
        helo: args.helo.clone().or_else(|| args.client_name.clone()),
        tls: args.tls,
        login: args.auth.clone(),
        sender: args.sender.clone(),
        recipients: args.recipient.clone(),
        message,
        whole: args.message.is_some(),
        size: None,
        time: args.time.as_deref().map_or(Ok(flow::now()), |text| time(text, &table))?,
        spf: args.spf.map_or(0, place),
        dmarc: args.dmarc.map_or(0, place),
        dkim: args.dkim.clone(),
        dns,
        usage: args.used.iter().fold(Amount::default(), |sum, used| sum.plus(*used)),
    };
    let (happening, known) = flow::happen(&table, &mail).map_err(|e| Failure::Use(e.to_string()))?;
    let shown = Shown { table: &table, model: &table.to_table(), all: args.all };
    match args.format {
        ResultFormat::Human => console.out().write_all(shown.human(&happening, &known).as_bytes())?,
        ResultFormat::Json => writeln!(console.out(), "{}", shown.json(&happening, &known))?,
    }
    // The question was answered, whatever the answer is.
    Ok(true)
}
