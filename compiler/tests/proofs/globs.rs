//! Globs on a whole address beside tests on its parts and what lists hold of it.

use super::{found, table};
use edict_compiler::prove::{Finding, prove};

const HEAD: &str = "edict 1\nprofile { local-domains [in.example] }\n\
    list some: address = [ann@a.example, bob@b.example, @.c.example]\n\
    group staff = [ann@in.example, bob@in.example]\n";

#[test]
fn globs_and_parts() {
    for (condition, never) in [
        ("sender matches \"*@a.example\" and sender.domain is b.example", true),
        ("sender matches \"*@a.example\" and sender.domain is a.example", false),
        ("sender matches \"*@*.example\" and sender.domain is b.example", false),
        ("sender matches \"*a.example\" and sender.domain is ba.example", false),
        ("sender matches \"ann@*\" and sender.local is \"bob\"", true),
        ("sender matches \"ann*\" and sender.local is \"bob\"", true),
        ("sender matches \"?nn@*\" and sender.local is \"ann\"", false),
        // The local part may hold an `@`, in quotes.
        ("sender matches \"ann@*\" and sender.local contains \"@\"", false),
        ("sender matches \"ann@*\" and sender.local matches \"????\"", false),
        ("sender matches \"ann@?\" and sender.local matches \"????\"", true),
        ("sender matches \"a*@x.example\" and sender matches \"b*\"", true),
        ("sender matches \"a*@x.example\" and sender matches \"*b@*\"", false),
        ("sender matches \"*@x.example\" and sender matches \"*@y.example\"", true),
        ("sender matches \"*@*x.example\" and sender matches \"*@y*\"", false),
        ("sender matches \"no-reply@*\" unless sender.local is \"no-reply\"", false),
        ("sender matches \"*@a.example\" unless sender.domain is a.example", true),
        ("sender matches \"*@a.example\" unless sender is @a.example", true),
        ("sender matches \"*@*.a.example\" unless sender is @.a.example", true),
        ("sender matches \"*.a.example\" unless sender is @.a.example", true),
        ("sender matches \"*a.example\" unless sender is @.a.example", false),
        ("sender is @a.example unless sender matches \"*@a.example\"", true),
        ("sender is @a.example unless sender matches \"?*@a.example\"", true),
        ("sender is @a.example unless sender matches \"??*@a.example\"", false),
        ("sender in some and sender matches \"*@in.example\"", true),
        ("sender in some and sender matches \"bob@*\"", false),
        ("sender in some and sender matches \"carl@?.example\"", true),
        ("sender in some and sender matches \"carl@*.c.example\"", false),
        ("sender in group staff and sender matches \"*@out.example\"", true),
        ("sender in group staff and sender matches \"carl*\"", true),
        ("sender in group staff and sender matches \"*+x@*\"", false),
        ("sender matches \"?@[*\" and sender.domain matches \"*example\"", false),
        (
            "sender matches \"?@[*\" and sender.domain matches \"*example\" and sender.local matches \"?\"",
            true,
        ),
        ("sender matches \"*@[*\"", false),
        ("sender matches \"*@*@*\"", false),
        ("sender.domain matches \"*@*\"", true),
        ("sender.domain matches \"-*\"", true),
        ("sender.domain matches \"a..b\"", true),
        ("sender matches \"*@a.example\" and sender.domain is unqualified", true),
        ("recipient matches \"ann@*\" and recipient.local is \"bob\"", true),
        ("recipient matches \"ann@*\" and recipient.local is \"ann\"", false),
        ("recipient matches \"*@out.example\" and direction is inbound", true),
        ("recipient matches \"*@in.*\" and direction is inbound", false),
        ("recipient matches \"*@in.example\" and direction is outbound", true),
        ("recipient in group staff and recipient matches \"bob*@*\"", false),
        ("recipient in group staff and recipient matches \"bobby*@*\"", true),
        ("from matches \"*@a.example\" unless from is @a.example", true),
        ("from matches \"*@a.example\" unless from is bob@a.example", false),
    ] {
        let dead = found(&table(HEAD, &[(condition.to_owned(), 1, 100)])).unwrap().0;
        assert_eq!(dead.len(), usize::from(never), "{condition}");
    }
}

/// A glob that says the same as a domain overrules it, and is overruled by it.
#[test]
fn globs_overrule() {
    for (first, second, overruled) in [
        ("sender matches \"*@a.example\"", "sender.domain is a.example", true),
        ("sender is @a.example", "sender matches \"ann*@a.example\"", true),
        ("sender is @.a.example", "sender matches \"*.a.example\"", true),
        ("sender is @.a.example", "sender matches \"*a.example\"", false),
        ("sender matches \"ann*@*\"", "sender is ann@", true),
        // At inside domains `ann@` is her extensions, too.
        ("sender matches \"ann@*\"", "sender is ann@", false),
        ("sender matches \"ann@*\"", "sender is ann@ and sender.domain is a.example", true),
        ("sender matches \"ann@*\"", "sender.local starts with \"ann\"", false),
        ("recipient matches \"*@in.example\"", "recipient in group staff", true),
        ("recipient matches \"ann@*\"", "recipient in group staff", false),
    ] {
        let rules = [(first.to_owned(), 1, 50), (second.to_owned(), 1, 100)];
        let (never, later) = found(&table(HEAD, &rules)).unwrap();
        assert!(never.is_empty(), "{first}, {second}");
        assert_eq!(later.len(), usize::from(overruled), "{first}, {second}");
    }
}

/// Two quotas of one rank leave a choice open only where both can count one message.
#[test]
fn globs_leave_a_choice_open() {
    for (one, other, open) in [
        ("recipient matches \"*@a.example\"", "recipient.domain is b.example", false),
        ("recipient matches \"*@*.example\"", "recipient.domain is b.example", true),
        ("recipient matches \"ann@*\"", "recipient.local is \"bob\"", false),
        ("recipient matches \"a*\"", "recipient matches \"*a.example\"", true),
        ("recipient matches \"a*@a.example\"", "recipient matches \"*@b.example\"", false),
    ] {
        let text = format!(
            "edict 1\nprofile {{ local-domains [in.example] }}\n\
             quota \"one\" {{ per user when {one} at most 5 messages per day }}\n\
             quota \"other\" {{ per user when {other} at most 9 messages per day }}\n"
        );
        let undecided = |finding: &Finding| matches!(finding, Finding::Undecided { .. });
        assert_eq!(prove(&super::compiled(&text)).iter().any(undecided), open, "{one}, {other}");
    }
}
