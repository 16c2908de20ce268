//! Settings of one value: names, numbers, sizes, words to choose from.

use crate::ast::{Value, Word};
use crate::diag::Diagnostic;
use crate::parse::opposite::Likely as _;
use crate::resolve::Context;
use crate::span::Span;
use edict_table::model::{Auth, Profile, SenderMust};

/// The largest message that the spool can store, with room for what belongs to it.
const LARGEST: u64 = 2 << 30;

pub(super) fn hostname(ctx: &mut Context<'_>, word: &Word) {
    if let Some(domain) = ctx.one_domain(word) {
        if domain.as_str().contains('.') && !domain.is_literal() {
            ctx.model.profile.hostname = Some(domain.as_str().to_owned());
        } else {
            ctx.report(
                Diagnostic::error("E1211", format!("`{}` is no full host name", word.value), word.span)
                    .label("other servers refuse a name without a domain")
                    .help("write the name that DNS knows, as `mx.example.com`"),
            );
        }
    }
}

pub(super) fn time_zone(ctx: &mut Context<'_>, name: &str, span: Span) {
    // The bundled data, so that every host compiles the same.
    let zones = jiff::tz::TimeZoneDatabase::bundled();
    match zones.get(name) {
        Ok(zone) => {
            ctx.model.profile.time_zone = zone.iana_name().unwrap_or(name).to_owned();
        }
        Err(_) => {
            let all: Vec<String> = zones.available().map(|z| z.to_string()).collect();
            let meant = crate::parse::words::nearest(name, all.iter().map(String::as_str));
            let mut diagnostic = Diagnostic::error("E1210", format!("no time zone is named `{name}`"), span)
                .label("not in the IANA time zone database");
            diagnostic = match meant {
                Some(meant) => diagnostic.help(format!("did you mean `\"{meant}\"`?")).nearest(
                    name,
                    meant,
                    span,
                    &format!("\"{meant}\""),
                ),
                None => diagnostic.help("write a name as `\"Europe/Berlin\"` or `\"UTC\"`"),
            };
            ctx.report(diagnostic);
        }
    }
}

/// A number of 32 bits.
pub fn small(ctx: &mut Context<'_>, number: u64, span: Span) -> Option<u32> {
    let out = u32::try_from(number).ok();
    if out.is_none() {
        ctx.report(
            Diagnostic::error("E1312", format!("{number} is too large"), span)
                .label(format!("at most {}", u32::MAX))
                .help("write a smaller number"),
        );
    }
    out
}

pub(super) fn amount(ctx: &mut Context<'_>, name: &str, value: &Value) {
    match name {
        "max-message-size" => {
            let Some(bytes) = ctx.size(value) else { return };
            ctx.model.profile.max_message_size = bytes;
            if bytes > LARGEST {
                ctx.report(
                    Diagnostic::error("E1312", format!("no message can be as large as {}", value.text), value.span)
                        .label("at most 2 GiB")
                        .help("write a size up to `2 GiB`; what is on its way in is held in memory, as `clients.memory_mib` in `edictd.ron` allows"),
                );
            }
        }
        "max-attachment-size" => {
            if let Some(bytes) = ctx.size(value) {
                ctx.model.profile.max_attachment_size = Some(bytes);
            }
        }
        _ => {
            let Some(number) = ctx.count(value).and_then(|n| small(ctx, n, value.span)) else { return };
            let profile = &mut ctx.model.profile;
            match name {
                "max-recipients" => profile.max_recipients = number,
                "max-hops" => profile.max_hops = number,
                "junk-commands" => profile.junk_commands = number,
                _ => {}
            }
        }
    }
}

pub(super) fn choice(profile: &mut Profile, name: &str, word: &str) {
    match name {
        "auth" => {
            profile.auth = match word {
                "off" => Auth::Off,
                "optional" => Auth::Optional,
                _ => Auth::Required,
            };
        }
        "auth-without-tls" => profile.auth_without_tls = word == "allowed",
        "auth-for-trusted" => profile.auth_for_trusted_skipped = word == "skipped",
        "sender-must" => {
            profile.sender_must = match word {
                "be-anything" => SenderMust::BeAnything,
                "equal-login" => SenderMust::EqualLogin,
                _ => SenderMust::OwnAddress,
            };
        }
        "forward-sender" => profile.forward_sender_srs = word == "srs",
        "helo" => profile.helo_required = word == "required",
        "vrfy" => profile.vrfy = word == "on",
        "envelope-syntax" => profile.strict_envelope = word == "strict",
        "pipelining" => profile.strict_pipelining = word == "strict",
        _ => {}
    }
}
