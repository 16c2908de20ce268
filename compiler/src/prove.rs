//! Proofs over a table: rules that can never match, rules that are always overruled, rules between
//! which nothing decides.
//!
//! Works on any table, one read back from an artifact too. A finding is told only once the emitted table
//! itself confirmed it: each message found here is decided by [`edict_table::decide`] before anybody sees
//! it, and a no is told only where every step of it was exact. What hangs on a regex may stay untold.

mod delays;
pub mod describe;
mod early;
mod equals;
mod lits;
mod meeting;
pub mod query;
pub mod report;
pub mod stages;
pub mod theory;
pub mod world;

use edict_table::decide::{self, Scratch};
use edict_table::load::{Loaded, RuleId};
use edict_table::model::{Action, ConditionId, Kind, Mode, Rule, Table};
use meeting::Meeting;
use query::{Question, Reply, Say, ask};
use std::collections::{BTreeSet, HashSet};
use theory::{Directions, GIVEN, Space};
use world::World;

/// What `reject` and `defer` say where a rule writes no text.
pub const DEFAULT_TEXTS: [&str; 2] = ["Rejected by policy", "Not accepted now, try again later"];

/// Something that was proved. Rules are places in [`Table::rules`].
#[derive(Clone, Debug)]
pub enum Finding {
    /// No message matches the rule.
    Never {
        /// Which.
        rule: usize,
        /// Tests that can not be so together, in words; may be empty.
        clash: Vec<describe::Told>,
        /// Names of the empty lists that the rule asks.
        empty: Vec<String>,
        /// Messages match its condition, of directions in which such a rule is not asked.
        elsewhere: bool,
    },
    /// Whatever it matches, others decide.
    Overruled {
        /// Which.
        rule: usize,
        /// By which together; at least one.
        by: Vec<usize>,
        /// A message that it matches and one of these decides; empty where none was found.
        example: Vec<String>,
    },
    /// Both match one message, and nothing decides between them.
    Undecided {
        /// One.
        first: usize,
        /// The other.
        second: usize,
        /// A message that both match.
        example: Vec<String>,
    },
    /// Both match one message; the name decides which reply is sent.
    ByName {
        /// The one whose reply is sent.
        first: usize,
        /// The other.
        second: usize,
        /// A message that both match and the first decides; empty where none was found.
        example: Vec<String>,
    },
    /// An allow on content goes before refusals that could be told earlier, and both can match.
    Delays {
        /// The allow.
        allow: usize,
        /// The refusals, in their order; at least one.
        refusals: Vec<usize>,
        /// These are all; else nobody asked about the rest.
        all: bool,
    },
    /// What else there is to find about these rules was not looked for to the end.
    Unfinished {
        /// Which; at least one.
        rules: Vec<usize>,
    },
}

struct Prover<'t> {
    table: &'t Table,
    loaded: &'t Loaded,
    scratch: Scratch,
    matched: Vec<RuleId>,
    /// How many of [`delays::MAX_MORE`] are left.
    more: usize,
    /// How many of [`equals::MAX_MORE_ROUNDS`] are left.
    rounds: usize,
    /// Rules about which a bound was met before all was asked.
    unfinished: BTreeSet<usize>,
}

/// Proves what can be proved about a table. Empty where the table cannot be loaded.
#[must_use]
pub fn prove(table: &Table) -> Vec<Finding> {
    prove_in(&Space::new(table))
}

/// The same with a space of the caller, which counts what is done.
#[must_use]
pub fn prove_in(space: &Space<'_>) -> Vec<Finding> {
    let table = space.table;
    let Some(loaded) = space.loaded() else { return Vec::new() };
    let mut prover = Prover {
        table,
        loaded,
        scratch: Scratch::new(),
        matched: Vec::new(),
        more: delays::MAX_MORE,
        rounds: equals::MAX_MORE_ROUNDS,
        unfinished: BTreeSet::new(),
    };
    let mut out = Vec::new();
    let mut silent = HashSet::new();
    for place in 0..table.rules.len() {
        let found = prover.rule(space, place);
        if matches!(found, Some(Finding::Never { .. } | Finding::Overruled { .. })) {
            silent.insert(place);
        }
        out.extend(found);
    }
    let meeting = Meeting::new(space);
    for place in (0..table.rules.len()).filter(|place| !silent.contains(place)) {
        out.extend(prover.equals(space, &meeting, place));
        out.extend(prover.delays(space, &meeting, place));
    }
    if !prover.unfinished.is_empty() {
        out.push(Finding::Unfinished { rules: prover.unfinished.into_iter().collect() });
    }
    out
}

const INBOUND: Directions = 1;
const OUTBOUND: Directions = 2;
const INTERNAL: Directions = 4;
const FORWARDED: Directions = 8;
const EVERY: Directions = INBOUND | OUTBOUND | INTERNAL | FORWARDED;

/// The directions in which a rule is asked (verdicts see recipients as given, which are
/// never forwarded; quotas count what goes out; routes see inside recipients only on request).
fn directions(rule: &Rule) -> Directions {
    match &rule.action {
        Action::Verdict(_) | Action::Limit(_) => INBOUND | OUTBOUND | INTERNAL | GIVEN,
        Action::Quota(_) => OUTBOUND,
        Action::Bcc(_) | Action::Disclaimer(_) => EVERY,
        Action::Route(route) if route.local => EVERY,
        Action::Route(_) => OUTBOUND | FORWARDED,
    }
}

/// The directions of a rule in parts, in each of which the same rules of its kind are asked.
fn parts(rule: &Rule) -> impl Iterator<Item = Directions> {
    let cut = match rule.kind() {
        Kind::Route => [INBOUND | INTERNAL, OUTBOUND | FORWARDED],
        _ => [EVERY | GIVEN, 0],
    };
    let own = directions(rule);
    cut.into_iter().map(move |part| part & own).filter(|part| *part != 0)
}

/// Whether a rule is asked in one of these directions.
fn is_asked(rule: &Rule, part: Directions) -> bool {
    directions(rule) & part != 0
}

/// Whether equals of a kind are a finding of their own.
fn has_ties(kind: Kind) -> bool {
    matches!(kind, Kind::Quota | Kind::Disclaimer | Kind::Route)
}

/// Whether a rule that matches keeps those behind it from deciding.
fn blocks(better: &Rule, rule: &Rule) -> bool {
    if better.mode != Mode::Enforce || better.kind() != rule.kind() {
        return false;
    }
    match (&better.action, &rule.action) {
        (Action::Verdict(_), _) | (Action::Route(_), _) => true,
        (Action::Quota(a), Action::Quota(b)) => a.per == b.per,
        (Action::Disclaimer(a), _) => !a.proceed,
        _ => false,
    }
}

impl Prover<'_> {
    fn rule_at(&self, id: RuleId) -> Option<&Rule> {
        self.table.rules.get(id.0 as usize)
    }

    /// The rules of a kind that match a message, by the table itself.
    fn matching(&mut self, kind: Kind, world: &World) {
        let Self { loaded, scratch, matched, .. } = self;
        scratch.begin(loaded);
        world.facts(|facts| {
            decide::matching(loaded, kind, facts, scratch, matched);
        });
    }

    /// Whether a rule can match, and whether it can decide.
    fn rule(&mut self, space: &Space<'_>, place: usize) -> Option<Finding> {
        let table = self.table;
        let rule = table.rules.get(place)?;
        let kind = rule.kind();
        let ties = has_ties(kind);
        let must = [rule.condition];
        let question = Question { must: &must, any: &[], directions: directions(rule) };
        let mut blamed: Vec<(Directions, Vec<ConditionId>)> = Vec::new();
        let mut last = Vec::new();
        for part in parts(rule) {
            let reply = ask(space, &Question { directions: part, ..question }, |world| {
                self.matching(kind, world);
                let mut own = false;
                let mut better: Option<ConditionId> = None;
                for id in &self.matched {
                    if id.0 as usize == place {
                        own = true;
                        break;
                    }
                    let Some(other) = self.rule_at(*id) else { continue };
                    let equal = ties && other.priority == rule.priority;
                    if better.is_none() && !equal && is_asked(other, part) && blocks(other, rule) {
                        better = Some(other.condition);
                    }
                }
                match (own, better) {
                    // The table must agree that the rule matches at all.
                    (false, _) => Say::Stop,
                    (true, Some(condition)) if rule.mode == Mode::Enforce => Say::Avoid(condition),
                    (true, _) => Say::Take,
                }
            });
            let Reply::Never { blame, clash } = reply else {
                if matches!(reply, Reply::Unfinished) {
                    self.unfinished.insert(place);
                }
                return None;
            };
            last = clash;
            if !blame.is_empty() {
                blamed.push((part, blame));
            }
        }
        if !blamed.is_empty() {
            return self.overruled(space, place, &blamed);
        }
        Some(Finding::Never {
            rule: place,
            clash: match query::contradiction(space, rule.condition) {
                parts if parts.is_empty() => describe::told_claims(table, &last),
                parts => describe::told_conditions(table, &parts),
            },
            empty: describe::empty_lists(table, rule.condition),
            // Verdicts are asked of all but forwarded mail: only who names that meant it.
            elsewhere: (!matches!(rule.action, Action::Verdict(_) | Action::Limit(_))
                || describe::names_forwarded(table, rule.condition))
                && {
                    let question = Question { directions: EVERY | question.directions, ..question };
                    matches!(ask(space, &question, |_| Say::Take), Reply::Found(_))
                },
        })
    }

    /// By whom, in each part of its directions in which it matches at all.
    fn overruled(
        &mut self,
        space: &Space<'_>,
        place: usize,
        blamed: &[(Directions, Vec<ConditionId>)],
    ) -> Option<Finding> {
        let table = self.table;
        let rule = table.rules.get(place)?;
        let kind = rule.kind();
        let at_fault = |other: &Rule| {
            let blames = |(part, blame): &(Directions, Vec<ConditionId>)| {
                is_asked(other, *part) && blame.contains(&other.condition)
            };
            // Of equals neither comes first, whatever else goes by the same condition.
            let first = !has_ties(kind) || other.priority < rule.priority;
            first && blocks(other, rule) && blamed.iter().any(blames)
        };
        let others = table.rules.iter().enumerate().take(place);
        let by: Vec<usize> = others.filter(|(_, other)| at_fault(other)).map(|(at, _)| at).collect();
        if by.is_empty() {
            return None;
        }
        let must = [rule.condition];
        let part = blamed.first()?.0;
        let question = Question { must: &must, any: &[], directions: part };
        // Whether a mail with the rule and one of these was seen at all: the table confirms the finding.
        let mut seen = false;
        let reply = ask(space, &question, |world| {
            self.matching(kind, world);
            let places = self.matched.iter().map(|id| id.0 as usize);
            if !places.clone().any(|at| at == place) || !places.clone().any(|at| by.contains(&at)) {
                return Say::Stop;
            }
            seen = true;
            let better = |at: &usize| {
                table.rules.get(*at).is_some_and(|other| {
                    let first = !has_ties(kind) || other.priority < rule.priority;
                    first && is_asked(other, part) && blocks(other, rule)
                })
            };
            let decides = places.take_while(|at| *at != place).find(better);
            match decides.and_then(|at| table.rules.get(at).map(|third| (at, third))) {
                // A third one decides this mail: it would show nothing.
                Some((at, third)) if !by.contains(&at) => Say::Avoid(third.condition),
                Some(_) => Say::Take,
                None => Say::Stop,
            }
        });
        let example = match reply {
            Reply::Found(world) => world.example(&table.profile.time_zone),
            _ if seen => Vec::new(),
            _ => return None,
        };
        Some(Finding::Overruled { rule: place, by, example })
    }
}
