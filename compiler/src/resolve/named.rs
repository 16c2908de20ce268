//! Names of lists and groups where a value is meant. A host, a login or a mailbox of such a name would be taken for what
//! nobody means: `sender.domain is partners`, `to staff`. So such a word is told, with what names the list or group there,
//! and with how the value itself is written. Words with a dot, an `@`, a `/` or a `:` are values, whatever has that name.

use super::Context;
use super::names::{Declared, Sort};
use super::set::{elsewhere, suits, whole_address};
use crate::ast::{Ast, Class, FactTest, Item, Needles, Op, Set, Value};
use crate::diag::Diagnostic;
use crate::model::ListType;
use crate::resolve::data::list_type;
use edict_table::fact::{Fact, Row, Type};

/// Where a value stands.
#[derive(Clone, Copy)]
pub enum Place<'a> {
    /// Behind `is`.
    Is(&'a Row, &'a FactTest),
    /// In brackets behind `in`.
    Among(&'a Row, &'a FactTest),
    /// Behind `contains`, `starts with` or `ends with`.
    Search(&'a Row, &'a FactTest, &'static str),
    /// In a list of that type.
    List(ListType),
    /// Where mailboxes are named, `group NAME` among them or not.
    Mailboxes { groups: bool },
    /// Among the exceptions of forwarding.
    Exceptions,
    /// In a setting that holds domains or networks.
    Setting(&'static str),
}

/// Notes the names of all lists and groups, which are defined one after the other.
pub(super) fn declare(ctx: &mut Context<'_>, asts: &[Ast]) {
    for item in asts.iter().flat_map(|ast| &ast.items) {
        let (sort, name, ty) = match item {
            Item::List(list) => (Sort::List, &list.name, list.ty.as_ref().map(|ty| list_type(ty.value))),
            Item::Group(group) => (Sort::Group, &group.name, None),
            _ => continue,
        };
        let one = Declared { name: name.value.clone(), ty, span: Some(name.span) };
        ctx.names.declare(sort, one);
    }
}

/// Whether a text in quotes is a name of that kind: so the value itself is written.
pub(super) fn kept_by_quotes(ctx: &Context<'_>, value: &Value) -> bool {
    value.class == Class::Text
        && ([Sort::List, Sort::Group].iter().any(|sort| ctx.names.declared(*sort, &value.text).is_some())
            || Fact::by_name(&value.text).is_some_and(|fact| !fact.row().name.contains(['.', ' '])))
}

impl Context<'_> {
    /// Tells a word that names a list or group. False where it does not.
    pub(super) fn names_set(&mut self, value: &Value, place: Place<'_>) -> bool {
        if value.class != Class::Word || value.text.contains(['.', '@', '/', ':']) {
            return false;
        }
        let Some((sort, declared)) = found(self, &value.text, place) else { return false };
        let (is, also) = match sort {
            Sort::Group => ("a group", "the group is defined here"),
            _ => ("a list", "the list is defined here"),
        };
        let label = match place {
            Place::Mailboxes { .. } => "an address is expected here",
            _ => "a value is expected here",
        };
        let text = format!("`{}` is {is}, not a value", value.text);
        let mut diagnostic = Diagnostic::error("E1128", text, value.span).label(label);
        if let Some(span) = declared.span {
            diagnostic = diagnostic.also(span, also);
        }
        let help = match sort {
            Sort::Group => group_help(self, &declared.name, place),
            _ => list_help(self, &declared, place),
        };
        self.names.mention(sort, &declared.name);
        self.report(diagnostic.help(help));
        true
    }

    /// Counts what was named where a value is meant as used: the one message on it is enough.
    pub(super) fn use_mentioned(&mut self) {
        for (sort, place) in self.names.mentioned() {
            match sort {
                Sort::Group => self.model.groups.get_mut(place).map(|group| group.used = true),
                _ => self.model.lists.get_mut(place).map(|list| list.used = true),
            };
        }
    }
}

/// What a word names, the list or group first that can stand at such a place.
fn found(ctx: &Context<'_>, name: &str, place: Place<'_>) -> Option<(Sort, Declared)> {
    let list = ctx.names.declared(Sort::List, name).map(|one| (Sort::List, one.clone()));
    let group = ctx.names.declared(Sort::Group, name).map(|one| (Sort::Group, one.clone()));
    let group_first = match place {
        Place::Is(row, _) | Place::Among(row, _) | Place::Search(row, ..) => {
            let fits = |(_, one): &(Sort, Declared)| one.ty.is_some_and(|ty| suits(row.ty, ty));
            takes_groups(row) && !list.as_ref().is_some_and(fits)
        }
        Place::List(ty) => ty == ListType::Address,
        Place::Mailboxes { .. } | Place::Exceptions => true,
        Place::Setting(_) => return list,
    };
    if group_first { group.or(list) } else { list.or(group) }
}

fn takes_groups(row: &Row) -> bool {
    row.ty == Type::Address || row.fact == Fact::AuthUser
}

/// A fact as the rule asks it.
fn asked(test: &FactTest) -> String {
    match &test.fact.parameter {
        Some(field) => format!("{}(\"{}\")", test.fact.name.value, field.value),
        None => test.fact.name.value.clone(),
    }
}

fn not(test: &FactTest) -> &'static str {
    if test.negated { "not " } else { "" }
}

/// How the value of that name is written in a test.
fn itself(row: &Row, name: &str, alone: bool) -> String {
    match row.ty {
        Type::Domain => format!("; a host of that name stands in quotes: `\"{name}\"`"),
        Type::Text => format!("; the word itself stands in quotes: `\"{name}\"`"),
        Type::Address if !alone => format!("; every address at a host of that name is `@{name}`"),
        _ => String::new(),
    }
}

fn list_help(ctx: &Context<'_>, list: &Declared, place: Place<'_>) -> String {
    let name = list.name.as_str();
    match place {
        Place::Is(row, test) | Place::Among(row, test) => {
            let alone = matches!(place, Place::Is(..));
            let itself = itself(row, name, alone);
            match list.ty {
                Some(ty) if !suits(row.ty, ty) => format!("{}{itself}", elsewhere(row, ty, name, not(test))),
                _ if alone => format!("write `{} {}in {name}`{itself}", asked(test), not(test)),
                _ => {
                    let (fact, not) = (asked(test), not(test));
                    let alone = matches!(&test.op, Op::In(Set::Inline(all)) if all.entries.len() == 1);
                    let joined = if test.negated { "and" } else { "or" };
                    if alone {
                        format!(
                            "a list stands behind `in` without brackets: write `{fact} {not}in {name}`{itself}"
                        )
                    } else {
                        format!(
                            "a list stands behind `in` without brackets, in a test of its own beside the others: `({fact} {not}in {name} {joined} {fact} {not}in [...])`{itself}"
                        )
                    }
                }
            }
        }
        Place::Search(row, test, operator) => {
            let itself = itself(row, name, true);
            match list.ty {
                Some(ty) if ty != ListType::Text => {
                    format!("{}{itself}", elsewhere(row, ty, name, not(test)))
                }
                _ => match &test.op {
                    Op::Contains(Needles::Inline(all))
                    | Op::StartsWith(Needles::Inline(all))
                    | Op::EndsWith(Needles::Inline(all))
                        if all.entries.len() > 1 =>
                    {
                        let fact = asked(test);
                        format!(
                            "a list stands without brackets, in a test of its own beside the others: `({fact} {operator} any of {name} or {fact} {operator} any of [...])`{itself}"
                        )
                    }
                    _ => format!("write `{} {operator} any of {name}`{itself}", asked(test)),
                },
            }
        }
        Place::List(ty) => {
            let itself = match ty {
                ListType::Domain => format!("; a host of that name stands in quotes: `\"{name}\"`"),
                ListType::Text => format!("; the word itself stands in quotes: `\"{name}\"`"),
                ListType::Address => format!("; every address at a host of that name is `@{name}`"),
                ListType::Network => String::new(),
            };
            format!(
                "a list holds no other: write its entries here, or name both lists in the rule, with `or` between the tests{itself}"
            )
        }
        Place::Mailboxes { .. } if list.ty.is_some_and(|ty| ty != ListType::Address) => {
            format!(
                "addresses stand here, and this list holds none: write each address{}",
                mailbox(ctx, name)
            )
        }
        Place::Mailboxes { groups: true } => format!(
            "a list cannot stand here: make a group of its addresses, and write `group NAME`{}",
            mailbox(ctx, name)
        ),
        Place::Mailboxes { groups: false } => {
            format!("a list cannot stand here: write each address{}", mailbox(ctx, name))
        }
        Place::Exceptions => format!(
            "a list cannot stand here: write its addresses, or make a group of them and write `group NAME`; every address at a host of that name is `@{name}`"
        ),
        Place::Setting(setting) => {
            format!(
                "`{setting}` takes no lists: write what is in the list; where a value of this name is meant, give the list another name"
            )
        }
    }
}

fn group_help(ctx: &Context<'_>, name: &str, place: Place<'_>) -> String {
    match place {
        Place::Is(row, test) if takes_groups(row) => {
            format!("write `{} {}in group {name}`{}", asked(test), not(test), itself(row, name, true))
        }
        Place::Among(row, _) if takes_groups(row) => {
            format!("write `group {name}`{}", itself(row, name, false))
        }
        Place::Is(row, test) | Place::Among(row, test) | Place::Search(row, test, _) => {
            format!("{}{}", whole_address(row, name, not(test)), itself(row, name, true))
        }
        Place::List(ListType::Address) | Place::Exceptions => {
            format!("write `group {name}`; every address at a host of that name is `@{name}`")
        }
        Place::List(ty) => {
            let itself = match ty {
                ListType::Network => String::new(),
                ListType::Domain => format!("; a host of that name stands in quotes: `\"{name}\"`"),
                _ => format!("; the word itself stands in quotes: `\"{name}\"`"),
            };
            format!("a group holds mail addresses, and stands in lists of mail addresses alone{itself}")
        }
        Place::Mailboxes { groups: true } => format!("write `group {name}`{}", mailbox(ctx, name)),
        Place::Mailboxes { groups: false } => {
            format!("a group cannot stand here: write each address{}", mailbox(ctx, name))
        }
        Place::Setting(setting) => format!("`{setting}` takes no groups"),
    }
}

/// How a mailbox of that name is written.
fn mailbox(ctx: &Context<'_>, name: &str) -> String {
    let domain = ctx.model.first_local.as_deref().unwrap_or("example.com");
    format!("; a mailbox of that name is written with its domain: `{name}@{domain}`")
}
