//! Columns, tests and conditions.
//!
//! A column is evaluated when it is first asked for and its fact is final: all tests on it that hold
//! fire in one pass over the value.

use super::scratch::{ColumnMark, Scratch, State};
use super::truth::Truth;
use super::values::{Value, read};
use crate::fact::Fact;
use crate::facts::{FactSet, Facts, Slot};
use crate::format::{PredicateRec, op, tag};
use crate::index::probe;
use crate::index::text::{Role, Use};
use crate::load::view::{View, networks, piece, range, texts_index};
use crate::load::{Class, Column, Loaded};
use crate::value::Address;

/// What an evaluation works with.
pub(super) struct Eval<'a, 'f> {
    pub(super) table: &'a Loaded,
    pub(super) view: View<'a>,
    pub(super) facts: &'a Facts<'f>,
    pub(super) scratch: &'a mut Scratch,
}

impl<'a, 'f> Eval<'a, 'f> {
    /// None where the image is not what was checked.
    pub(super) fn new(table: &'a Loaded, facts: &'a Facts<'f>, scratch: &'a mut Scratch) -> Option<Self> {
        if scratch.table != table.id {
            scratch.begin(table);
        }
        Some(Self { table, view: table.view()?, facts, scratch })
    }

    /// The state of a column, evaluated if its fact is final.
    #[inline]
    pub(super) fn column(&mut self, place: u32) -> ColumnMark {
        let table = self.table;
        let Some(column) = table.columns.get(place as usize) else {
            self.scratch.corrupt = true;
            return ColumnMark::default();
        };
        let mark = self.scratch.mark(column.recipient);
        match self.scratch.columns.get(place as usize) {
            Some(known) if known.mark == mark && known.state != State::Open => *known,
            _ => self.evaluate(place, column, mark),
        }
    }

    fn evaluate(&mut self, place: u32, column: &'a Column, mark: u32) -> ColumnMark {
        let which = usize::from(column.recipient);
        let length = |scratch: &Scratch| scratch.fired.get(which).map_or(0, |f| f.len() as u32);
        let from = length(self.scratch);
        let state = match read(column.fact, &column.parameter, self.facts) {
            Slot::Pending => State::Open,
            Slot::Unknown => State::Unknown,
            Slot::Absent => State::Done,
            Slot::Known(value) => {
                if let Some(test) = column.present {
                    self.scratch.fire(test, column.recipient);
                }
                self.look_up(column, value);
                State::Done
            }
        };
        let now = ColumnMark { mark, state, from, to: length(self.scratch) };
        if let Some(slot) = self.scratch.columns.get_mut(place as usize) {
            *slot = now;
        }
        now
    }

    /// Fires every test of a column that holds for a value.
    fn look_up(&mut self, column: &'a Column, value: Value<'_>) {
        match value {
            Value::Flag(_) | Value::Number(_) | Value::Word(_) => self.direct(column, value),
            Value::Ip(ip) => match networks(self.table.bytes(), &self.table.places) {
                Some(networks) => self.fire_set(column, networks.set(ip)),
                None => self.scratch.corrupt = true,
            },
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

    /// Tests that compare: those under which rules are posted fire; the rest is compared when asked.
    fn direct(&mut self, column: &'a Column, value: Value<'_>) {
        for test in &column.posted {
            let holds = self.view.predicates.get(*test as usize).is_some_and(|p| compare(p, value));
            if holds {
                self.scratch.fire(*test, column.recipient);
            }
        }
    }

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

    fn domain(&mut self, column: &'a Column, domain: &str) {
        if column.lists {
            let keys = self.view.mailboxes;
            probe::domain(&keys, domain, column.shapes, |set| self.fire_set(column, set));
        }
        if column.text.is_some() {
            self.scan(column, domain);
        }
    }

    fn address(&mut self, column: &'a Column, address: &Address) {
        if column.lists {
            let keys = self.view.mailboxes;
            let bare = self.table.bare(address);
            probe::address(&keys, address, bare, column.shapes, |set| self.fire_set(column, set));
        }
        if column.text.is_some() {
            self.scan(column, address.as_str());
        }
    }

    fn text(&mut self, column: &'a Column, text: &str) {
        // Entries are at most 65,535 bytes long.
        if column.lists
            && text.len() <= usize::from(u16::MAX)
            && let Some(index) = texts_index(self.table.bytes(), &self.table.places)
            && let Some(set) = index.get(text.as_bytes())
        {
            self.fire_set(column, set);
        }
        if column.text.is_some() {
            self.scan(column, text);
        }
    }

    /// One pass over a text.
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
            match table.matchers.get(place as usize).and_then(|(_, matcher)| matcher.matches(text)) {
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
        match self.column(column_place).state {
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
        let matcher = column.lazy.get(found).and_then(|l| self.table.matchers.get(l.1 as usize));
        let (Some((_, matcher)), Slot::Known(value)) =
            (matcher, read(column.fact, &column.parameter, self.facts))
        else {
            return false;
        };
        let mut corrupt = false;
        let mut one = |text: &str| {
            let answer = matcher.matches(text);
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
                if let Some(column) = column.and_then(|c| self.table.columns.get(c as usize)) {
                    facts.insert(column.fact);
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
