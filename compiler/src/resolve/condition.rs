//! Conditions: each test gets its fact, its type and its operand in normal form.
//!
//! `is absent` is the opposite of present, `>` on a single number the opposite of at most, so that the
//! table has few kinds of test.

use super::fact::fact;
use super::named::Place;
use super::operand::{kind_of, one_value, word};
use super::set::{numbers, search, within};
use super::wording::{example, type_name};
use super::{Context, joined, pattern};
use crate::ast::{self, Comparison, Expr, FactTest, Value};
use crate::diag::Diagnostic;
use crate::model::{Cond, Op, Set, Test};
use edict_table::fact::{Row, Type};
use edict_table::model::ListKind;

/// Resolves a condition. None where something in it is wrong, which is told.
pub fn condition(ctx: &mut Context<'_>, expr: &Expr) -> Option<Cond> {
    match expr {
        Expr::And(parts, _) => Some(Cond::all(joined::every(ctx, parts, "and")?)),
        Expr::Or(parts, _) => Some(Cond::any(joined::every(ctx, parts, "or")?)),
        Expr::Not(inner, _) => {
            ctx.turned = matches!(**inner, Expr::Test(_));
            condition(ctx, inner).map(Cond::negate)
        }
        Expr::Test(test) => {
            ctx.negated = test.negated;
            let found = resolve(ctx, test);
            // Values outside of tests are asked by nobody.
            (ctx.negated, ctx.turned) = (false, false);
            found
        }
    }
}

/// Resolves all of them, so that each one's mistakes are told.
pub fn every(ctx: &mut Context<'_>, parts: &[Expr]) -> Option<Vec<Cond>> {
    let all: Vec<Option<Cond>> = parts.iter().map(|part| condition(ctx, part)).collect();
    all.into_iter().collect()
}

fn resolve(ctx: &mut Context<'_>, test: &FactTest) -> Option<Cond> {
    let (row, parameter) = fact(ctx, test)?;
    let make = |op: Op| {
        Cond::Test(Box::new(Test { fact: row.fact, parameter: parameter.clone(), op, span: test.span }))
    };
    let cond = match &test.op {
        // A state, `helo is malformed`, is a flag of its own.
        _ if row.ty == Type::Flag => flag(ctx, test, row).then(|| make(Op::Set))?,
        ast::Op::Holds => {
            ctx.report(
                Diagnostic::error("E1122", format!("`{}` alone is no test", test.fact.name.value), test.span)
                    .label(format!("this is {}, not a yes or no", type_name(row.ty)))
                    .help(example(row)),
            );
            return None;
        }
        ast::Op::Present | ast::Op::Absent => {
            if !row.optional {
                let name = &test.fact.name.value;
                let present = matches!(test.op, ast::Op::Present) != test.negated;
                let (label, help) = if present {
                    let instead = example(row);
                    (
                        "always true",
                        format!(
                            "every message has one: {instead}, or take the test out where others are joined with `and`, else the rule"
                        ),
                    )
                } else {
                    (
                        "never true",
                        "every message has one, so this never holds: in an `or` take this part out, else take the rule out; only facts that can be missing are asked so".to_owned(),
                    )
                };
                ctx.report(
                    Diagnostic::error("E1123", format!("`{name}` is always there"), test.span)
                        .label(label)
                        .help(help),
                );
                return None;
            }
            match test.op {
                ast::Op::Absent => make(Op::Present).negate(),
                _ => make(Op::Present),
            }
        }
        ast::Op::ListedIn(_) => return None,
        ast::Op::Is(value) => make(is(ctx, row, value, test)?),
        ast::Op::In(ast::Set::Inline(entries)) if matches!(row.ty, Type::Count | Type::Size) => {
            Cond::any(numbers(ctx, row, entries)?.into_iter().map(|number| make(Op::Equal(number))))
        }
        ast::Op::In(set) => make(within(ctx, row, set, test)?),
        ast::Op::Contains(needles) => make(search(ctx, row, needles, test, "contains")?),
        ast::Op::StartsWith(needles) => make(search(ctx, row, needles, test, "starts with")?),
        ast::Op::EndsWith(needles) => make(search(ctx, row, needles, test, "ends with")?),
        ast::Op::Glob(text) => make(pattern::glob(ctx, row, text, test)?),
        ast::Op::Regex(word) => make(pattern::regex(ctx, row, word, test)?),
        ast::Op::Compare(order, value) => {
            let number = match row.ty {
                Type::Count => ctx.count(value)?,
                Type::Size => ctx.size(value)?,
                _ => return unfit(ctx, row, test, order.value.name()),
            };
            match order.value {
                Comparison::Less => make(Op::Less(number)),
                Comparison::AtMost => make(Op::AtMost(number)),
                // Of several values any may pass, which is not the opposite of none passing.
                Comparison::More if row.many || row.optional => make(Op::More(number)),
                Comparison::AtLeast if row.many || row.optional => match number.checked_sub(1) {
                    Some(below) => make(Op::More(below)),
                    None => make(Op::Present),
                },
                Comparison::More => make(Op::AtMost(number)).negate(),
                Comparison::AtLeast => make(Op::Less(number)).negate(),
            }
        }
    };
    cond.visit(&mut |test, _| ctx.tests.push(test.clone()));
    Some(if test.negated { cond.negate() } else { cond })
}

/// Whether a test on a flag is written as one.
fn flag(ctx: &mut Context<'_>, test: &FactTest, row: &Row) -> bool {
    let phrase = row.name.contains(" is ");
    match &test.op {
        ast::Op::Holds if !phrase => true,
        ast::Op::Is(_) | ast::Op::ListedIn(_) if phrase => true,
        _ => {
            let name = row.name;
            ctx.report(
                Diagnostic::error(
                    "E1122",
                    format!("`{name}` is a yes or no, with nothing to compare"),
                    test.span,
                )
                .label("it holds or it does not")
                .help(format!("write `{name}` or `not {name}`")),
            );
            false
        }
    }
}

pub(super) fn unfit<T>(ctx: &mut Context<'_>, row: &Row, test: &FactTest, operator: &str) -> Option<T> {
    let name = &test.fact.name.value;
    ctx.report(
        Diagnostic::error("E1118", format!("`{operator}` cannot be asked of `{name}`"), test.span)
            .label(format!("`{name}` is {}", type_name(row.ty)))
            .help(example(row)),
    );
    None
}

fn values(kind: ListKind, value: String) -> Op {
    Op::In(Set::Values(kind, vec![value]))
}

fn is(ctx: &mut Context<'_>, row: &Row, value: &Value, test: &FactTest) -> Option<Op> {
    Some(match row.ty {
        Type::Address | Type::Domain | Type::Network | Type::Text => {
            values(kind_of(row.ty), one_value(ctx, row, value, Place::Is(row, test))?)
        }
        Type::Count => Op::Equal(ctx.count(value)?),
        Type::Size => Op::Equal(ctx.size(value)?),
        Type::Enum(words) => Op::OneOf(1 << word(ctx, row, words, value)?),
        Type::Flag | Type::Time => return None,
    })
}
