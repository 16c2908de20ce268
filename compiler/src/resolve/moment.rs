//! When a rule is in force: dates and times of day, put into the profile's zone.

use super::Context;
use crate::ast::{Active, Moment, Spanned};
use crate::diag::Diagnostic;
use crate::model::{Cond, Op, Test};
use crate::span::Span;
use edict_table::fact::Fact;

/// The days of a rule as a condition on the time. A date alone begins at midnight, and as the end it is
/// the last day in force; with a time of day the end is that moment. None where it is wrong.
pub(super) fn active(ctx: &mut Context<'_>, active: Option<&Active>) -> Option<Vec<Cond>> {
    let Some(active) = active else { return Some(Vec::new()) };
    let from = active.from.as_ref().map(|m| seconds(ctx, m, false));
    let until = active.until.as_ref().map(|m| seconds(ctx, m, true));
    let mut out = Vec::new();
    if let (Some(from), Some(until)) = (from, until)
        && from >= until
    {
        ctx.report(never(active));
        return None;
    }
    let test = |op: Op, span: Span| {
        Cond::Test(Box::new(Test { fact: Fact::Time, parameter: String::new(), op, span }))
    };
    if let Some(from) = from {
        out.push(test(Op::Less(from), active.span).negate());
    }
    if let Some(until) = until {
        out.push(test(Op::Less(until), active.span));
    }
    Some(out)
}

/// What is wrong with a span of time in which nothing lies.
fn never(active: &Active) -> Diagnostic {
    let place = |moment: &Option<Spanned<Moment>>, end: bool| {
        // A day as the end is the whole of it.
        moment.as_ref().map(|m| {
            let day = (m.value.year, m.value.month, m.value.day);
            (day, m.value.time.unwrap_or(if end { (24, 0, 0) } else { (0, 0, 0) }))
        })
    };
    let (from, until) = (place(&active.from, false), place(&active.until, true));
    let (text, help) = if from == until {
        (
            "the rule ends when it begins",
            "with a time of day `until` is the moment at which the rule ends: write a later one; a day alone is in force to its end",
        )
    } else if from < until {
        (
            "no time passes between the two",
            "clocks are set forward between them in the profile's `time-zone`: write a later end, or an earlier begin",
        )
    } else {
        (
            "the rule ends before it begins",
            "write the earlier time after `from`; where clocks are set forward between the two, a later end as well",
        )
    };
    Diagnostic::error("E1310", text, active.span).label("never in force").help(help)
}

/// Unix seconds of a moment in the profile's zone; the end of the day where `end` asks for it. Dates
/// come checked against the calendar; what lies beyond its last day never comes.
fn seconds(ctx: &Context<'_>, moment: &Spanned<Moment>, end: bool) -> u64 {
    unix(&ctx.model.profile.time_zone, moment.value, end).unwrap_or(i64::MAX as u64)
}

/// Unix seconds of a moment in a zone; of a bare date the start of that day, or with `end` of the next.
#[must_use]
pub fn unix(zone: &str, moment: Moment, end: bool) -> Option<u64> {
    let zone = jiff::tz::TimeZoneDatabase::bundled().get(zone).unwrap_or(jiff::tz::TimeZone::UTC);
    let (year, month, day) =
        (i16::try_from(moment.year).ok()?, i8::try_from(moment.month).ok()?, i8::try_from(moment.day).ok()?);
    let mut date = jiff::civil::Date::new(year, month, day).ok()?;
    let time = match moment.time {
        Some((hour, minute, second)) => jiff::civil::Time::new(
            i8::try_from(hour).ok()?,
            i8::try_from(minute).ok()?,
            i8::try_from(second).ok()?,
            0,
        )
        .ok()?,
        None => {
            if end {
                date = date.tomorrow().ok()?;
            }
            jiff::civil::Time::midnight()
        }
    };
    let at = zone.to_timestamp(date.to_datetime(time)).ok()?;
    // The first hours of 1970 lie before the epoch in zones east of it.
    Some(u64::try_from(at.as_second()).unwrap_or(0))
}
