//! `edict explain`: what happens to a mail, and why.

use crate::args::{CheckResult, ExplainArgs, ResultFormat};
use crate::console::{Console, Failure};
use crate::explained::Shown;
use crate::files::{one_dash, read_whole};
use crate::flow::{self, Dns, Mail};
use crate::table;
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
    let mail = Mail {
        client: args.client,
        client_name: args.client_name.clone(),
        helo: args.helo.clone().or_else(|| args.client_name.clone()),
        tls: args.tls,
        login: args.auth.clone(),
        sender: args.sender.clone(),
        recipients: args.recipient.clone(),
        message,
        whole: args.message.is_some(),
        size: None,
        time: flow::now(),
        spf: args.spf.map_or(0, place),
        dmarc: args.dmarc.map_or(0, place),
        dkim: args.dkim.clone(),
        dns: Dns::default(),
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
