//! A decision in which nothing matches allocates nothing, at no stage and for no kind of rule.
#![expect(unsafe_code, reason = "a global allocator that counts is an unsafe trait; it only forwards")]

use crate::common::load;
use edict_table::decide::{Outcome, Ruling, Scratch, matching, signature, verdict};
use edict_table::fact::Fact;
use edict_table::facts::{BodyFacts, Direction, Facts, HeaderFacts, HeaderField, Slot};
use edict_table::load::{Loaded, RuleId};
use edict_table::model::*;
use edict_table::value::{Address, Domain};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    /// Bytes that are held.
    static HELD: Cell<i64> = const { Cell::new(0) };
}

fn hold(bytes: usize, sign: i64) {
    HELD.with(|held| held.set(held.get() + sign * bytes as i64));
}

// SAFETY: every call is forwarded to the system's allocator with the same arguments; counting touches
// thread-local cells that need no allocation and have no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        hold(layout.size(), 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        hold(layout.size(), -1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        hold(size, 1);
        hold(layout.size(), -1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Rules of every kind of index, none of which matches the mail below.
fn table() -> Table {
    let mut table = Table::default();
    table.profile.local_domains = vec!["in.example".to_owned()];
    let lists = [
        (ListKind::Mailbox, vec!["@.spam.example", "@spam.example", "bad@worse.example", "evil@"]),
        (ListKind::Network, vec!["10.0.0.0/8", "2001:db8::/32"]),
        (ListKind::Text, vec!["mallory"]),
    ];
    for (kind, entries) in lists {
        table.lists.push(List { name: None, kind, entries: entries.into_iter().collect() });
    }
    let tests = [
        (Fact::Sender, "", Test::InList(0)),
        (Fact::SenderDomain, "", Test::InList(0)),
        (Fact::Recipient, "", Test::InList(0)),
        (Fact::Helo, "", Test::InList(0)),
        (Fact::ClientIp, "", Test::InList(1)),
        (Fact::AuthUser, "", Test::InList(2)),
        (Fact::Direction, "", Test::OneOf(0b1000)),
        (Fact::Size, "", Test::More(1 << 40)),
        (Fact::Subject, "", Test::Contains(vec!["act now".to_owned(), "urgent wire".to_owned()])),
        (Fact::Header, "x-campaign", Test::Glob("spring-*".to_owned())),
        (Fact::Body, "", Test::Contains(vec!["viagra".to_owned()])),
        (Fact::Body, "", Test::Regex("inv[o0]ice number".to_owned())),
        (Fact::ClientUnverified, "", Test::Set),
        (Fact::ClientNameless, "", Test::Set),
    ];
    for (place, (fact, parameter, test)) in tests.into_iter().enumerate() {
        table.predicates.push(Predicate { fact, parameter: parameter.to_owned(), test });
        table.conditions.push(Condition::Test(place as u32));
        table.rules.push(Rule {
            name: format!("rule {place:03}"),
            priority: 100,
            mode: Mode::Enforce,
            condition: place as u32,
            action: Action::Verdict(Verdict {
                verb: Verb::Reject,
                reply: Some(Reply { code: 550, enhanced: (5, 7, 1), text: "no".to_owned() }),
            }),
        });
    }
    table
}

/// Decides at every stage, for two recipients, and asks every kind of rule.
fn decide(loaded: &Loaded, whole: &Facts<'_>, scratch: &mut Scratch, out: &mut Vec<RuleId>, want: Ruling) {
    let connect = Facts {
        client_ip: whole.client_ip,
        client_unverified: whole.client_unverified,
        client_nameless: whole.client_nameless,
        client_listed: whole.client_listed,
        ..Facts::default()
    };
    let mail =
        Facts { helo: whole.helo, auth_user: whole.auth_user, sender: whole.sender, ..connect.clone() };
    let rcpt = Facts { recipient: whole.recipient, direction: whole.direction, ..mail.clone() };
    let header = Facts { size: whole.size, header: whole.header, ..rcpt.clone() };
    scratch.begin(loaded);
    for facts in [&connect, &mail] {
        assert!(matches!(verdict(loaded, facts, scratch), Outcome::Need(_)));
    }
    for facts in [&rcpt, &header] {
        for _ in 0..2 {
            scratch.next_recipient();
            assert!(matches!(verdict(loaded, facts, scratch), Outcome::Need(_)));
            let _ = signature(loaded, facts, scratch);
        }
    }
    for _ in 0..2 {
        scratch.next_recipient();
        assert_eq!(verdict(loaded, whole, scratch), Outcome::Final(want));
        for kind in Kind::ALL {
            let open = matching(loaded, kind, whole, scratch, out);
            assert!(open.is_empty() || want == Ruling::Unknown);
            assert!(out.is_empty());
        }
    }
}

#[test]
fn nothing_matches_nothing_allocates() {
    let loaded = load(&table());
    let domain = Domain::parse("mail.good.example").unwrap();
    let sender = Address::parse("ann+news@mail.good.example").unwrap();
    // Inside, so that the address without its extension is looked up too.
    let recipient = Address::parse("bob+list@in.example").unwrap();
    let header = HeaderFacts {
        fields: vec![
            HeaderField { name: "subject".to_owned(), value: "hello there".to_owned() },
            HeaderField { name: "x-campaign".to_owned(), value: "autumn-1".to_owned() },
            // The literal that the glob requires is there, and the glob is asked.
            HeaderField { name: "x-campaign".to_owned(), value: "last spring-1".to_owned() },
        ],
        ..HeaderFacts::default()
    };
    // The literal that the regex requires is there, and the regex is run.
    let texts = vec!["nothing to see ".repeat(300), "no invoice, no ice number ice number".to_owned()];
    let body = BodyFacts { texts, ..BodyFacts::default() };
    let mut facts = Facts {
        client_ip: Slot::Known("192.0.2.7".parse().unwrap()),
        client_unverified: Slot::Known(false),
        client_nameless: Slot::Known(false),
        helo: Slot::Known(&domain),
        auth_user: Slot::Known("ann"),
        sender: Slot::Known(&sender),
        recipient: Slot::Known(&recipient),
        direction: Slot::Known(Direction::Inbound),
        size: Slot::Known(5000),
        header: Slot::Known(&header),
        body: Slot::Known(&body),
        ..Facts::default()
    };
    let mut scratch = Scratch::new();
    let mut out = Vec::new();
    for want in [Ruling::Default, Ruling::Unknown] {
        if want == Ruling::Unknown {
            facts.client_unverified = Slot::Unknown;
        }
        // The first message makes room.
        decide(&loaded, &facts, &mut scratch, &mut out, want);
        let before = COUNT.with(Cell::get);
        (0..100).for_each(|_| decide(&loaded, &facts, &mut scratch, &mut out, want));
        assert_eq!(COUNT.with(Cell::get) - before, 0, "{want:?}");
    }
    let regexes = loaded.sections().into_iter().find(|s| s.name.starts_with("compiled regexes"));
    assert!(regexes.is_some_and(|s| s.bytes > 0), "the regex was never run");
}

/// A list of a million senders and ten thousand rules, a tenth of them on literals: what is kept of it beside the file and the
/// automata is at most 10 MB.
#[test]
fn a_large_table_keeps_little_beside_its_file() {
    let mut table = Table::default();
    table.profile.local_domains = vec!["in.example".to_owned()];
    let entry = |i: usize| match i % 3 {
        0 => format!("user{i}@blocked{}.example", i % 1000),
        1 => format!("@blocked{i}.example"),
        _ => format!("@.blocked{i}.example"),
    };
    let entries = (0..1_000_000).map(entry).collect::<Entries>().sorted();
    table.lists.push(List { name: Some("blocked".to_owned()), kind: ListKind::Mailbox, entries });
    for place in 0..10_000u32 {
        let (fact, test) = match place {
            0 => (Fact::Sender, Test::InList(0)),
            _ if place % 10 == 0 => (Fact::Subject, Test::Contains(vec![format!("offer number {place}")])),
            _ => {
                let entries = [format!("bad{place}@worse.example")].iter().collect();
                table.lists.push(List { name: None, kind: ListKind::Mailbox, entries });
                (Fact::Sender, Test::InList(table.lists.len() as u32 - 1))
            }
        };
        table.predicates.push(Predicate { fact, parameter: String::new(), test });
        table.conditions.push(Condition::Test(place));
        let reply = Reply { code: 550, enhanced: (5, 7, 1), text: format!("not by rule {place}") };
        table.rules.push(Rule {
            name: format!("rule {place:05}"),
            priority: 100,
            mode: Mode::Enforce,
            condition: place,
            action: Action::Verdict(Verdict { verb: Verb::Reject, reply: Some(reply) }),
        });
    }
    table.canonical();
    let bytes = edict_table::emit::emit(&table);
    drop(table);
    let image = std::sync::Arc::new(bytes);
    let before = HELD.with(Cell::get);
    let loaded = Loaded::new(image).unwrap();
    let kept = HELD.with(Cell::get) - before;
    assert_eq!(loaded.rule_count(), 10_000);
    let automata: usize =
        loaded.sections().iter().filter(|s| s.name.starts_with("automaton")).map(|s| s.bytes).sum();
    assert!(automata > 100_000, "{automata}");
    let beside = kept - automata as i64;
    assert!(beside < 10_000_000, "{beside} bytes beside {automata} of automata");
    assert!(beside > 100_000, "{beside} bytes cannot be all: does the counter count?");
}
