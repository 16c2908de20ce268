//! Tests of the counters: what a window holds, what a full table forgets, what comes back.

use super::*;

const RATE: Rate = Rate { count: 3, seconds: 60 };

fn key(ip: &str) -> Key {
    Key::new("rule", Some(ip.parse().unwrap()))
}

#[test]
fn no_window_holds_more_than_stated() {
    let limits = Limits::default();
    let mut taken = Vec::new();
    let mut now = 1_000_000;
    for step in 0..2000 {
        now += 700 + (step * 7919) % 900;
        if limits.take(key("192.0.2.1"), Counter::Messages, RATE, now) {
            taken.push(now);
        }
    }
    assert!(taken.len() > 50);
    for window in taken.windows(RATE.count as usize + 1) {
        assert!(window[window.len() - 1] - window[0] >= 60_000, "{window:?}");
    }
}

#[test]
fn refusals_do_not_count_and_keys_are_apart() {
    let limits = Limits::default();
    let now = 5_000_000;
    for _ in 0..3 {
        assert!(limits.take(key("2001:db8::1"), Counter::Connections, RATE, now));
    }
    for _ in 0..10 {
        assert!(!limits.take(key("2001:db8::2"), Counter::Connections, RATE, now), "the same /64");
    }
    assert!(limits.take(key("2001:db8:0:1::1"), Counter::Connections, RATE, now));
    assert!(limits.take(key("2001:db8::1"), Counter::Messages, RATE, now));
    assert!(limits.take(key("2001:db8::1"), Counter::Connections, RATE, now + 64_000));
}

/// A client by number, each in a /64 of its own.
fn client(number: u32) -> Key {
    key(&format!("2001:db8:{:x}:{:x}::1", number >> 16, number & 0xffff))
}

fn kept(limits: &Limits) -> usize {
    let windows = lock(&limits.windows);
    assert_eq!(windows.places.len(), windows.slots.len());
    windows.slots.len()
}

/// Connection and command exhaustion: a crowd that fills the table lets nobody back in who is shut out.
#[test]
fn a_full_table_keeps_those_who_are_shut_out() {
    let limits = Limits::with_room(64);
    let all = Key::new("rule", None);
    let now = 1_000_000;
    let shut: Vec<Key> = (0..8).map(client).collect();
    for key in &shut {
        for _ in 0..RATE.count {
            assert!(limits.take(*key, Counter::Logins, RATE, now));
        }
    }
    assert!(limits.take(all, Counter::Messages, Rate { count: 2, seconds: 60 }, now));
    // Each counts twice, so that no window is worth nothing.
    for number in 100..1_000 {
        assert!(limits.take(client(number), Counter::Logins, RATE, now));
        assert!(limits.take(client(number), Counter::Logins, RATE, now));
        assert!(kept(&limits) <= 64);
    }
    for key in &shut {
        assert!(!limits.has_room(*key, Counter::Logins, RATE, now));
        assert!(!limits.take(*key, Counter::Logins, RATE, now));
    }
    let rate = Rate { count: 2, seconds: 60 };
    assert!(limits.take(all, Counter::Messages, rate, now));
    assert!(!limits.take(all, Counter::Messages, rate, now), "the count of all is not forgotten");
    // The window over, they come in as ever, and their places go to others.
    let later = now + 64_000;
    assert!(shut.iter().all(|key| limits.has_room(*key, Counter::Logins, RATE, later)));
    for number in 2_000..2_200 {
        assert!(limits.take(client(number), Counter::Logins, RATE, later));
    }
    assert_eq!(kept(&limits), 64);
}

/// A guess that is being checked keeps its place, or a crowd could let the same client guess at will.
#[test]
fn a_full_table_keeps_reservations() {
    let limits = Arc::new(Limits::with_room(16));
    let now = 1_000_000;
    let held: Vec<Room> =
        (0..RATE.count).map(|_| limits.reserve(client(1), Counter::Logins, RATE, now)).collect();
    assert!(held.iter().all(|room| matches!(room, Room::Taken(_))));
    for number in 100..200 {
        assert!(limits.take(client(number), Counter::Logins, RATE, now));
    }
    assert!(matches!(limits.reserve(client(1), Counter::Logins, RATE, now), Room::Later));
    drop(held);
    assert!(matches!(limits.reserve(client(1), Counter::Logins, RATE, now), Room::Taken(_)));
    assert_eq!(kept(&limits), 16);
}

#[test]
fn those_who_count_least_are_forgotten_first() {
    let limits = Limits::with_room(16);
    let now = 1_000_000;
    for number in 0..16 {
        for _ in 0..=u32::from(number % 4 == 0) {
            assert!(limits.take(client(number), Counter::Messages, RATE, now));
        }
    }
    for number in 100..112 {
        assert!(limits.take(client(number), Counter::Messages, RATE, now));
    }
    for number in [0, 4, 8, 12] {
        assert!(limits.take(client(number), Counter::Messages, RATE, now));
        assert!(!limits.has_room(client(number), Counter::Messages, RATE, now), "counted three");
    }
}

#[test]
fn a_table_of_those_who_are_shut_out_shuts_out_nobody_else() {
    let limits = Limits::with_room(32);
    let now = 1_000_000;
    for number in 0..32 {
        for _ in 0..RATE.count {
            assert!(limits.take(client(number), Counter::Messages, RATE, now));
        }
    }
    for _ in 0..10 {
        assert!(limits.take(client(100), Counter::Messages, RATE, now));
    }
    assert!((0..32).all(|number| !limits.has_room(client(number), Counter::Messages, RATE, now)));
    assert_eq!(kept(&limits), 32);
    // A rule that takes nothing takes nothing, and one for all clients together is counted nevertheless.
    assert!(!limits.take(client(101), Counter::Messages, Rate { count: 0, seconds: 60 }, now));
    let taken = (0..10).filter(|_| limits.take(Key::new("rule", None), Counter::Messages, RATE, now));
    assert_eq!(taken.count(), 3);
}

#[test]
fn reservations_are_counted_or_given_back() {
    let limits = Arc::new(Limits::default());
    let reserve = || limits.reserve(key("192.0.2.1"), Counter::Logins, RATE, 5_000_000);
    let mut taken = Vec::new();
    for _ in 0..3 {
        match reserve() {
            Room::Taken(reserved) => taken.push(reserved),
            room => panic!("{room:?}"),
        }
    }
    assert!(matches!(reserve(), Room::Later));
    taken.pop();
    assert!(matches!(reserve(), Room::Taken(_)), "and back at once");
    taken.into_iter().for_each(|reserved| reserved.count(5_000_000));
    let Room::Taken(last) = reserve() else { panic!("one was given back") };
    last.count(5_000_000);
    assert!(matches!(reserve(), Room::None));
}

#[test]
fn places_come_back() {
    let limits = Arc::new(Limits::default());
    let first = limits.hold(key("192.0.2.1"), 1);
    assert!(first.is_some());
    assert!(limits.hold(key("192.0.2.1"), 1).is_none());
    assert!(limits.hold(key("192.0.2.2"), 1).is_some());
    drop(first);
    assert!(limits.hold(key("192.0.2.1"), 1).is_some());
    assert!(lock(&limits.open).len() <= 1);
}
