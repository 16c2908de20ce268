//! Conditions: `when` and `unless`.

use super::{Entries, Spanned, Text, Value, Word};
use crate::span::Span;

/// A condition. Nesting is bounded by [`MAX_NESTING`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expr {
    /// All of them; at least two.
    And(Vec<Expr>, Span),
    /// Any of them; at least two.
    Or(Vec<Expr>, Span),
    /// The opposite.
    Not(Box<Expr>, Span),
    /// A test.
    Test(FactTest),
}

/// The deepest nesting of `and`, `or`, `not` that the parser lets through. The table takes a few more,
/// for what `when` and `unless` add.
pub const MAX_NESTING: usize = 60;

impl Expr {
    /// Where it stands.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Self::And(_, span) | Self::Or(_, span) | Self::Not(_, span) => *span,
            Self::Test(test) => test.span,
        }
    }
}

/// A test of a fact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FactTest {
    /// What is asked.
    pub fact: FactRef,
    /// `is not` or `not in`: the whole test turns round.
    pub negated: bool,
    /// How.
    pub op: Op,
    /// From the fact to the last operand.
    pub span: Span,
}

/// A fact's name as written: `client.ip`, `message`, `header("X-Spam")`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FactRef {
    /// The word.
    pub name: Word,
    /// What stands in parentheses behind it.
    pub parameter: Option<Text>,
    /// Both.
    pub span: Span,
}

/// The operator of a test with its operand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// The fact alone: `submitted`, `client.tls`.
    Holds,
    /// `is V`. Words of state are values too: `helo is malformed`, `message is signed`; the registry
    /// of facts knows them by the whole phrase.
    Is(Value),
    /// `is present`
    Present,
    /// `is absent`
    Absent,
    /// `is listed in "zone"`
    ListedIn(Text),
    /// `in …`
    In(Set),
    /// `contains V`, `contains any of L`
    Contains(Needles),
    /// `starts with V`, `starts with any of L`
    StartsWith(Needles),
    /// `ends with V`, `ends with any of L`
    EndsWith(Needles),
    /// `matches "glob"`
    Glob(Text),
    /// `matches /regex/`: what stands between the slashes, `\/` read as `/`.
    Regex(Word),
    /// `<`, `<=`, `>`, `>=`
    Compare(Spanned<Comparison>, Value),
}

/// What `in` looks into.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Set {
    /// A list by name.
    List(Word),
    /// `group NAME`
    Group(Word),
    /// `[a, b]`
    Inline(Entries),
}

/// What a text is searched for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Needles {
    /// One value.
    One(Value),
    /// `any of NAME`
    List(Word),
    /// `any of […]`
    Inline(Entries),
}

/// An order of numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
}

impl Comparison {
    /// As written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
        }
    }
}
