//! Tests of a passwd-file: what it holds, how it is changed, and that strangers are treated as users are.

use super::*;

#[test]
fn reads_and_answers() {
    let users = Users::parse("# people\n\nAnn@Example.com:!\nbob:\ncarl\n").unwrap();
    assert_eq!(users.len(), 3);
    for (address, want) in [
        ("ann@example.com", true),
        ("ann+x@example.com", true),
        ("ann@example.org", false),
        ("bob@anything.example", true),
        ("carl@example.com", true),
        ("dan@example.com", false),
    ] {
        assert_eq!(users.exists(&Address::parse(address).unwrap()), want, "{address}");
    }
}

#[test]
fn passwords_of_every_kind() {
    // From glibc's crypt(3) test suite.
    let crypt = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1";
    let mut text = format!("crypt@example.com:{crypt}\n");
    // m=8, t=1, p=1: as cheap as argon2 gets.
    text +=
        &format!("argon@example.com:{}\n", secret::argon2id("Hello world!", &[7; 16], (8, 1, 1)).unwrap());
    text += &entry("scram", "Hello world!", Scheme::ScramSha256, &[7; 16]).unwrap();
    text += "\n";
    text += &entry("own@example.com", "Hello world!", Scheme::Sha512Crypt, &[7; 16]).unwrap();
    text += "\nnologin:\n";
    let users = Users::parse(&text).unwrap();
    for name in ["crypt@example.com", "CRYPT@Example.COM", "argon@example.com", "scram", "own@example.com"] {
        assert!(users.verify(name, "Hello world!"), "{name}");
        assert!(!users.verify(name, "Hello world"), "{name}");
    }
    for name in ["nologin", "nobody", "nobody@example.com", "", "a b", "crypt"] {
        assert!(!users.verify(name, "") && !users.verify(name, "Hello world!"), "{name}");
    }
    assert!(!format!("{users:?}").contains("saltstring"));
}

#[test]
fn edits_keep_what_is_not_theirs() {
    let text = "# people\nann@example.com:!\n\n bob : old\nbob:old\n#bob:x";
    let edited = |name, entry| edit(text, name, entry);
    let bob = "# people\nann@example.com:!\n\n bob : old\nbob:new\n#bob:x\n".to_owned();
    assert_eq!(edited("BOB", Some("bob:new")), (bob, true));
    let carl = format!("{text}\ncarl:new\n");
    assert_eq!(edited("carl", Some("carl:new")), (carl, false));
    let gone = "# people\n\n bob : old\nbob:old\n#bob:x\n".to_owned();
    assert_eq!(edited("ANN@Example.com", None), (gone, true));
    assert_eq!(edited("nobody", None), (format!("{text}\n"), false));
    assert_eq!(edit("", "a", Some("a:b")), ("a:b\n".to_owned(), false));
}

fn challenged(users: &Users, name: &str) -> Challenge {
    let first = ClientFirst::parse(&format!("n,,n={name},r=x")).unwrap();
    users.challenge(first, &[1; 18])
}

/// An entry of so many iterations with a salt of so many bytes.
fn scram_entry(name: &str, iterations: u32, salt: usize) -> String {
    let keys = ScramKeys::derive("x", &vec![7; salt], iterations.try_into().unwrap());
    format!("{name}:{{SCRAM-SHA-256}}{}\n", keys.entry())
}

/// AUTH guessing: who is not there looks like who is.
/// AUTH guessing and timing.
#[test]
fn scram_tells_nobody_who_exists() {
    let users = Users::parse(&entry("scram", "x", Scheme::ScramSha256, &[7; 16]).unwrap()).unwrap();
    let message = |name: &str| challenged(&users, name).message().to_owned();
    assert_eq!(message("nobody"), message("nobody"));
    assert_ne!(message("nobody"), message("somebody"));
    assert_eq!(message("nobody").len(), message("scram").len());
    let long = Users::parse(&scram_entry("scram", 5000, 64)).unwrap();
    let message = |name: &str| challenged(&long, name).message().to_owned();
    assert_eq!(message("nobody").len(), message("scram").len(), "a salt as long as any");
}

/// AUTH guessing and timing: a stranger's salt is what it was after a reload, as a user's is.
#[test]
fn strangers_salts_outlive_changes_of_the_file() {
    let text = scram_entry("ann", 5000, 16);
    let before = Users::parse(&text).unwrap().seeded(b"secret");
    let more = text + &scram_entry("bob", 5000, 16);
    let restarted = Users::parse(&more).unwrap().seeded(b"secret");
    let reloaded = Users::parse(&more).unwrap().seeded_as(&before);
    for name in ["ann", "carl", "nobody@example.com"] {
        let want = challenged(&before, name).message().to_owned();
        assert_eq!(challenged(&restarted, name).message(), want, "{name}");
        assert_eq!(challenged(&reloaded, name).message(), want, "{name}");
    }
    let other = Users::parse(&more).unwrap().seeded(b"another secret");
    assert_ne!(challenged(&other, "carl").message(), challenged(&before, "carl").message());
    assert_eq!(challenged(&other, "ann").message(), challenged(&before, "ann").message());
}

/// AUTH guessing and timing: no load of a file whose entries differ chooses another entry to look like.
#[test]
fn strangers_look_like_most_entries() {
    let shown = |text: &str| {
        let message = challenged(&Users::parse(text).unwrap(), "nobody").message().to_owned();
        let (front, iterations) = message.rsplit_once(",i=").unwrap();
        (iterations.parse::<u32>().unwrap(), front.rsplit_once(",s=").unwrap().1.len())
    };
    let mut text: String = (0..20_u32).map(|n| scram_entry(&format!("u{n}"), 5000 + n, 16)).collect();
    for _ in 0..20 {
        assert_eq!(shown(&text), (5000, 24), "as frequent as others, and the smallest");
    }
    text += &scram_entry("v", 5007, 16);
    for _ in 0..20 {
        assert_eq!(shown(&text), (5007, 24));
    }
    text += &(scram_entry("w", 5003, 32) + &scram_entry("x", 5003, 32) + &scram_entry("y", 5003, 32));
    assert_eq!(shown(&text), (5003, 44));
}

/// AUTH guessing and timing: the work of a login is the same, whoever it is and however many there are.
#[test]
fn a_login_costs_as_much_for_strangers() {
    let users = Users::parse(&(scram_entry("ann", 5000, 16) + "bob:\n")).unwrap();
    let costs = |name: &str| {
        let before = scram::SIGNED.get();
        let challenge = challenged(&users, name);
        let nonce = challenge.message().split_once(',').unwrap().0.to_owned();
        // 32 bytes that are no proof.
        let last = format!("c=biws,{nonce},p={}=", "A".repeat(43));
        assert_eq!(challenge.finish(&last), None);
        scram::SIGNED.get() - before
    };
    let known = costs("ann");
    assert!(known > 0);
    for name in ["nobody", "bob", "nobody@example.com", "a b"] {
        assert_eq!(costs(name), known, "{name}");
    }
}

/// Users with entries of every kind, and two of one kind that cost differently. Each one's password is `right`.
fn mixed() -> Vec<(&'static str, String, Cost)> {
    let argon = |parameters| secret::argon2id("right", &[7; 16], parameters).unwrap();
    let scram = ScramKeys::derive("right", &[7; 16], 3000.try_into().unwrap()).entry();
    [
        ("argon", argon((8, 1, 1)), Cost::Argon2(8, 1, 1)),
        ("costly", argon((64, 2, 2)), Cost::Argon2(64, 2, 2)),
        ("crypt", secret::sha512_crypt("right", &[7; 16], 1000).unwrap(), Cost::Sha512Crypt(1000)),
        ("scram", format!("{{SCRAM-SHA-256}}{scram}"), Cost::Scram(3000)),
    ]
    .map(|(name, hash, cost)| (name, format!("{name}:{hash}\n"), cost))
    .into()
}

/// What a check of this password is made with.
fn checked_with(users: &Users, name: &str, password: &str) -> Vec<Cost> {
    secret::CHECKED.take();
    let right = users.verify(name, password);
    assert_eq!(right, password == "right" && mixed().iter().any(|(user, ..)| *user == name), "{name}");
    secret::CHECKED.take().into_iter().collect()
}

/// AUTH guessing and timing: one hash function runs once, with the same parameters, whether the password is right or
/// wrong, of somebody or of nobody.
#[test]
fn a_password_costs_as_much_for_strangers() {
    for (user, entry, cost) in mixed() {
        let users = Users::parse(&format!("nologin:\n{entry}")).unwrap().seeded(b"secret");
        for name in [user, "nologin", "nobody", "nobody@example.com", "a b", ""] {
            for password in ["right", "wrong", ""] {
                assert_eq!(checked_with(&users, name, password), [cost], "{name} beside {user}");
            }
        }
    }
    let none = Users::parse("nologin:\n").unwrap();
    assert_eq!(checked_with(&none, "nobody", "wrong"), []);
    assert_eq!(checked_with(&none, "nologin", "wrong"), []);
}

/// AUTH guessing and timing: in a file of several kinds of hashes each stranger costs what somebody costs, always the
/// same, and of each cost there are as many strangers as there are users.
#[test]
fn strangers_cost_what_users_cost() {
    let mut text = "nologin:\n".to_owned();
    let mut shares = Vec::new();
    for (place, (user, entry, cost)) in mixed().into_iter().enumerate() {
        // One, two, four and eight of fifteen.
        text += &entry;
        for copy in 1..1 << place {
            text += &entry.replacen(':', &format!("{copy}:"), 1);
        }
        assert_eq!(text.lines().filter(|line| line.starts_with(user)).count(), 1 << place);
        shares.push((cost, f64::from(1 << place) / 15.0));
    }
    let users = Users::parse(&text).unwrap().seeded(b"secret");
    for (user, _, cost) in mixed() {
        assert_eq!(checked_with(&users, user, "right"), [cost]);
        assert_eq!(checked_with(&users, user, "wrong"), [cost]);
    }
    for number in 0..40 {
        let name = format!("nobody{number}@example.com");
        let once = checked_with(&users, &name, "wrong");
        assert!(matches!(once.as_slice(), [one] if shares.iter().any(|(cost, _)| cost == one)), "{once:?}");
        assert_eq!(checked_with(&users, &name.to_uppercase(), "other"), once, "{name}");
    }
    let mut count: HashMap<Cost, u32> = HashMap::new();
    for number in 0..6000 {
        let decoy = users.decoys.of(&format!("nobody{number}"), &users.seed).unwrap();
        *count.entry(decoy.cost().unwrap()).or_default() += 1;
    }
    for (cost, share) in shares {
        let is = f64::from(count[&cost]) / 6000.0;
        assert!((is - share).abs() < 0.03, "{cost:?}: {is} instead of {share}");
    }
}

#[test]
fn mistakes_name_their_line() {
    for (text, line) in [("a:\na:\n", 2), ("x y:\n", 1), ("\n@example.com:\n", 2), ("a:$1$x$y\n", 1)] {
        assert_eq!(Users::parse(text).unwrap_err().line, line, "{text:?}");
    }
}
