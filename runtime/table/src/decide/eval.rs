//! Columns, tests and conditions.
//!
//! A column is evaluated when it is first asked for and its fact is final: all tests on it that hold
//! fire in one pass over the value.

use super::scratch::{Scratch, State};
use super::truth::Truth;
use super::values::{Value, read};
use crate::fact::Fact;
use crate::facts::{FactSet, Facts, Slot};
use crate::format::{PredicateRec, op, tag};
use crate::index::probe::{self, Index};
use crate::index::text::{Role, Use};
use crate::load::view::{View, piece, range};
use crate::load::{Class, Column, Loaded};
use crate::value::{Address, Domain};
use std::net::IpAddr;
use std::ops::Range;

/// What an evaluation works with.
pub(super) struct Eval<'a, 'f> {
    pub(super) table: &'a Loaded,
    pub(super) view: &'a View<'a>,
    pub(super) facts: &'a Facts<'f>,
    pub(super) scratch: &'a mut Scratch,
}

impl<'a, 'f> Eval<'a, 'f> {
    /// Over a table and the facts of a message.
    pub(super) fn new(table: &'a Loaded, facts: &'a Facts<'f>, scratch: &'a mut Scratch) -> Self {
        if scratch.table != table.id {
            scratch.begin(table);
        }
        Self { table, view: table.view(), facts, scratch }
    }

    /// The state of a column, evaluated if its fact is final.
    #[inline]
    pub(super) fn column(&mut self, place: u32) -> State {
        let Some(column) = self.table.columns.get(place as usize) else {
            self.scratch.corrupt = true;
            return State::Open;
        };
        self.column_of(place, column).0
    }

    /// The same, where the column is at hand; and whether anything fired on it.
    #[inline(always)]
    pub(super) fn column_of(&mut self, place: u32, column: &'a Column) -> (State, bool) {
        let mark = self.scratch.mark(column.recipient);
        match self.scratch.columns.get(place as usize) {
            Some(known) if known.mark == mark && known.state != State::Open => {
                (known.state, known.from != known.to)
            }
            _ => self.evaluate(place, column, mark),
        }
    }

    /// What fired on a column, as a range of the list of its scope.
    pub(super) fn fired_on(&self, place: u32) -> Range<u32> {
        self.scratch.columns.get(place as usize).map_or(0..0, |known| known.from..known.to)
    }

    /// The facts that every message has are told apart here, one by one, and never put together as a [`Value`]:
    /// writing one down and reading it again would cost more than looking it up.
    #[inline(never)]
    fn evaluate(&mut self, place: u32, column: &'a Column, mark: u32) -> (State, bool) {
        let facts = self.facts;
        let from = self.fired_so_far(column);
        let address = || if column.recipient { facts.recipient } else { facts.sender };
        let state = match column.fact {
            Fact::ClientIp => match &facts.client_ip {
                Slot::Known(ip) => self.known(column, |this| this.network(column, ip)),
                open => state_of(open),
            },
            Fact::Sender | Fact::Recipient => match address() {
                Slot::Known(address) => self.known(column, |this| this.address(column, address)),
                open => state_of(&open),
            },
            Fact::SenderDomain | Fact::RecipientDomain | Fact::Helo => {
                let (state, domain) = match column.fact {
                    Fact::Helo => parted(facts.helo, Domain::as_str),
                    _ => parted(address(), Address::domain),
                };
                match domain {
                    Some(domain) => self.known(column, |this| this.domain(column, domain)),
                    None => state,
                }
            }
            Fact::Subject => match facts.header {
                Slot::Known(header) => match header.subject() {
                    Some(subject) => self.known(column, |this| this.text(column, subject)),
                    None => State::Done,
                },
                open => state_of(&open),
            },
            Fact::Header => match facts.header {
                Slot::Known(header) => {
                    // One look at the names, whether the field is there or not.
                    for field in header.fields.iter().filter(|f| f.name == column.parameter) {
                        self.known(column, |this| this.text(column, &field.value));
                    }
                    State::Done
                }
                open => state_of(&open),
            },
            _ => self.any(column),
        };
        let to = self.fired_so_far(column);
        if let Some(slot) = self.scratch.columns.get_mut(place as usize) {
            slot.mark = mark;
            slot.state = state;
            slot.from = from;
            slot.to = to;
        }
        (state, from != to)
    }

    #[inline]
    fn fired_so_far(&self, column: &Column) -> u32 {
        self.scratch.fired.get(usize::from(column.recipient)).map_or(0, |f| f.len() as u32)
    }

    /// A value is there: the test for that fires, then what it is.
    #[inline(always)]
    fn known(&mut self, column: &'a Column, look_up: impl FnOnce(&mut Self)) -> State {
        if let Some(test) = column.present {
            self.scratch.fire(test, column.recipient);
        }
        look_up(self);
        State::Done
    }

    /// Any other fact.
    #[inline(never)]
    fn any(&mut self, column: &'a Column) -> State {
        match read(column.fact, &column.parameter, self.facts) {
            Slot::Known(value) => self.known(column, |this| this.look_up(column, value)),
            open => state_of(&open),
        }
    }

    /// Fires every test of a column that holds for a value.
    fn look_up(&mut self, column: &'a Column, value: Value<'_>) {
        match value {
            Value::Flag(_) | Value::Number(_) | Value::Word(_) => self.direct(column, value),
            Value::Ip(ip) => self.network(column, ip),
            Value::Domain(domain) => self.domain(column, domain),
            Value::Domains(all) => all.iter().for_each(|domain| self.domain(column, domain.as_str())),
            Value::Address(address) => self.address(column, address),
            Value::Addresses(all) => all.iter().for_each(|address| self.address(column, address)),
            Value::Text(text) => self.text(column, text),
            Value::Texts(all) => all.iter().for_each(|text| self.text(column, text)),
            Value::Fields(header) => {
                for field in header.fields.iter().filter(|f| f.name == column.parameter) {
                    self.text(column, &field.value);
                }
            }
            Value::Attachments(all) => match column.fact {
                Fact::AttachmentName => {
                    all.iter().filter_map(|a| a.name.as_deref()).for_each(|name| self.text(column, name));
                }
                Fact::AttachmentType => all.iter().for_each(|a| self.text(column, &a.media_type)),
                _ => self.direct(column, value),
            },
        }
    }

    #[inline]
    fn network(&mut self, column: &Column, ip: &IpAddr) {
        if self.table.filters.networks.may_hold(ip) {
            let set = self.view.networks.set(*ip);
            self.fire_set(column, set);
        }
    }

    /// Tests that compare: those under which rules are posted fire; the rest is compared when asked.
    fn direct(&mut self, column: &'a Column, value: Value<'_>) {
        for test in &column.posted {
            let holds = self.view.predicates.get(*test as usize).is_some_and(|p| compare(p, value));
            if holds {
                self.scratch.fire(*test, column.recipient);
            }
        }
    }

    #[cold]
    fn fire_set(&mut self, column: &Column, set: u32) {
        let tests = piece(self.view.set_test_ends, self.view.set_tests, set);
        let first = if tests.len() > 16 { tests.partition_point(|t| t.get() < column.first) } else { 0 };
        for test in tests.get(first..).unwrap_or_default() {
            let test = test.get();
            if test >= column.end {
                return;
            }
            if test >= column.first {
                self.scratch.fire(test, column.recipient);
            }
        }
    }

    fn mailboxes(&self) -> Index<'a> {
        Index { keys: &self.view.mailboxes, filter: &self.table.filters.mailboxes }
    }

    fn texts(&self) -> Index<'a> {
        Index { keys: &self.view.texts_index, filter: &self.table.filters.texts }
    }

    #[inline(always)]
    fn domain(&mut self, column: &'a Column, domain: &str) {
        if column.lists {
            probe::domain(self.mailboxes(), domain, column.shapes, |set| self.fire_set(column, set));
        }
        if column.text.is_some() {
            self.scan(column, domain);
        }
    }

    #[inline(always)]
    fn address(&mut self, column: &'a Column, address: &Address) {
        if column.lists {
            probe::address(self.mailboxes(), address, column.shapes, |set| self.fire_set(column, set));
            if let Some(base) = self.table.base(address) {
                self.without_extension(column, base, address.domain());
            }
        }
        if column.text.is_some() {
            self.scan(column, address.as_str());
        }
    }

    /// An address without its `+ext`, put together in memory that is kept.
    #[inline(never)]
    fn without_extension(&mut self, column: &'a Column, base: &str, domain: &str) {
        let mut text = std::mem::take(&mut self.scratch.text);
        text.clear();
        text.extend([base, "@", domain]);
        probe::local(self.mailboxes(), &text, base.len(), column.shapes, &mut |set| {
            self.fire_set(column, set)
        });
        self.scratch.text = text;
    }

    fn text(&mut self, column: &'a Column, text: &str) {
        // Entries are at most 65,535 bytes long.
        if column.lists
            && text.len() <= usize::from(u16::MAX)
            && let Some(set) = self.texts().get(text.as_bytes())
        {
            self.fire_set(column, set);
        }
        if column.text.is_some() {
            self.scan(column, text);
        }
    }

    /// One pass over a text.
    #[inline(never)]
    fn scan(&mut self, column: &'a Column, text: &str) {
        let Some(index) = &column.text else { return };
        let value = self.scratch.next_value();
        let (table, scratch) = (self.table, &mut *self.scratch);
        index.scan(text, |one: &Use| {
            let Role::Ask(place) = one.role else {
                scratch.fire(one.predicate, column.recipient);
                return;
            };
            let asked = scratch.asked.get_mut(place as usize);
            if asked.is_none_or(|asked| std::mem::replace(asked, value) == value) {
                return;
            }
            match table.matchers.matches(place, text) {
                Some(true) => scratch.fire(one.predicate, column.recipient),
                Some(false) => {}
                None => scratch.corrupt = true,
            }
        });
    }

    /// The value of a test.
    #[inline]
    pub(super) fn test(&mut self, place: u32) -> Truth {
        let Some(record) = self.view.predicates.get(place as usize) else {
            self.scratch.corrupt = true;
            return Truth::No;
        };
        let column_place = record.column.get();
        match self.column(column_place) {
            State::Open => return Truth::Pending,
            State::Unknown => return Truth::Unknown,
            State::Done => {}
        }
        let Some(column) = self.table.columns.get(column_place as usize) else { return Truth::No };
        match self.scratch.fired(place, column.recipient) {
            Some(holds) => Truth::of(holds),
            None if column.class == Class::Number && record.tag.get() != tag::PRESENT => {
                match read(column.fact, &column.parameter, self.facts) {
                    Slot::Known(value) => Truth::of(compare(record, value)),
                    _ => Truth::No,
                }
            }
            None if !column.lazy.is_empty() => Truth::of(self.ask(column, place)),
            None => Truth::No,
        }
    }

    /// Asks a glob or regex that no index answers.
    fn ask(&mut self, column: &Column, test: u32) -> bool {
        let Ok(found) = column.lazy.binary_search_by_key(&test, |l| l.0) else { return false };
        let (Some((_, matcher)), Slot::Known(value)) =
            (column.lazy.get(found), read(column.fact, &column.parameter, self.facts))
        else {
            return false;
        };
        let matchers = &self.table.matchers;
        let mut corrupt = false;
        let mut one = |text: &str| {
            let answer = matchers.matches(*matcher, text);
            corrupt |= answer.is_none();
            answer.unwrap_or(false)
        };
        let holds = match value {
            Value::Domain(text) | Value::Text(text) => one(text),
            Value::Address(address) => one(address.as_str()),
            Value::Domains(all) => all.iter().any(|d| one(d.as_str())),
            Value::Addresses(all) => all.iter().any(|a| one(a.as_str())),
            Value::Texts(all) => all.iter().any(|t| one(t)),
            Value::Fields(header) => {
                header.fields.iter().any(|f| f.name == column.parameter && one(&f.value))
            }
            Value::Attachments(all) if column.fact == Fact::AttachmentName => {
                all.iter().filter_map(|a| a.name.as_deref()).any(one)
            }
            Value::Attachments(all) => all.iter().any(|a| one(&a.media_type)),
            Value::Flag(_) | Value::Number(_) | Value::Word(_) | Value::Ip(_) => false,
        };
        self.scratch.corrupt |= corrupt;
        self.scratch.note(test, column.recipient, holds);
        holds
    }

    /// The value of a condition. Stops at the first child that settles it.
    pub(super) fn node(&mut self, place: u32) -> Truth {
        let Some(node) = self.view.nodes.get(place as usize) else {
            self.scratch.corrupt = true;
            return Truth::No;
        };
        match node.op.get() {
            op::TRUE => Truth::Yes,
            op::TEST => self.test(node.a.get()),
            op::NOT => self.node(node.a.get()).negate(),
            op::ALL => {
                let mut out = Truth::Yes;
                for child in range(self.view.children, node.a, node.b) {
                    out = out.and(self.node(child.get()));
                    if out == Truth::No {
                        break;
                    }
                }
                out
            }
            _ => {
                let mut out = Truth::No;
                for child in range(self.view.children, node.a, node.b) {
                    out = out.or(self.node(child.get()));
                    if out == Truth::Yes {
                        break;
                    }
                }
                out
            }
        }
    }

    /// The facts that a condition of this value hangs on: those of its tests and parts of the same value.
    pub(super) fn hangs_on(&mut self, place: u32, value: Truth, facts: &mut FactSet) {
        if self.node(place) != value {
            return;
        }
        let Some(node) = self.view.nodes.get(place as usize) else { return };
        match node.op.get() {
            op::TEST => {
                let column = self.view.predicates.get(node.a.get() as usize).map(|p| p.column.get());
                match column.and_then(|c| self.table.columns.get(c as usize)) {
                    Some(asked) if asked.fact == Fact::ClientListed => {
                        facts.insert_zone(self.table.zone_place(&asked.parameter));
                    }
                    Some(column) => facts.insert(column.fact),
                    None => {}
                }
            }
            op::NOT => self.hangs_on(node.a.get(), value, facts),
            op::ALL | op::ANY => {
                for child in range(self.view.children, node.a, node.b) {
                    self.hangs_on(child.get(), value, facts);
                }
            }
            _ => {}
        }
    }

    /// The condition of a rule.
    pub(super) fn condition(&mut self, rule: u32) -> u32 {
        match self.view.rules.get(rule as usize) {
            Some(rule) => rule.condition.get(),
            None => {
                self.scratch.corrupt = true;
                0
            }
        }
    }

    /// What a rule comes to.
    pub(super) fn outcome(&self, rule: u32) -> u32 {
        let action = self.view.rules.get(rule as usize).map_or(u32::MAX, |r| r.action.get());
        self.table.outcome(action)
    }
}

/// A part of a value, where there is one; else the state of its column.
#[inline(always)]
fn parted<'v, T>(slot: Slot<&'v T>, part: impl FnOnce(&'v T) -> &'v str) -> (State, Option<&'v str>) {
    match slot {
        Slot::Known(value) => (State::Done, Some(part(value))),
        open => (state_of(&open), None),
    }
}

/// The state of a column whose fact has no value.
#[inline]
fn state_of<T>(slot: &Slot<T>) -> State {
    match slot {
        Slot::Pending => State::Open,
        Slot::Unknown => State::Unknown,
        Slot::Absent | Slot::Known(_) => State::Done,
    }
}

/// A test that compares, on its value.
fn compare(test: &PredicateRec, value: Value<'_>) -> bool {
    let number = |value: u64| match test.tag.get() {
        tag::LESS => value < test.number(),
        tag::AT_MOST => value <= test.number(),
        tag::EQUAL => value == test.number(),
        tag::MORE => value > test.number(),
        _ => false,
    };
    match value {
        Value::Flag(set) => set && test.tag.get() == tag::SET,
        Value::Word(word) => {
            test.tag.get() == tag::ONE_OF && test.a.get().checked_shr(u32::from(word)).unwrap_or(0) & 1 == 1
        }
        Value::Number(value) => number(value),
        Value::Attachments(all) => all.iter().any(|a| number(a.size)),
        _ => false,
    }
}
