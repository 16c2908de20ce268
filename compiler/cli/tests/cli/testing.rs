//! `edict test` and `edict explain`.

use crate::kit::{copy, data, edict, edict_with};
use serde_json::Value;

/// The digest changes with the table's format, which is not what these snapshots are about.
fn without_digest(text: &str) -> String {
    text.lines().filter(|line| !line.contains("table ")).collect::<Vec<_>>().join("\n")
}

#[test]
fn good_tests_pass_and_gaps_are_named() {
    let done = edict(&data("policy"), &["test", "--coverage"]);
    assert_eq!(done.code, 0, "{}", done.out);
    insta::assert_snapshot!("policy", done.out);
}

#[test]
fn failures_say_what_was_found_and_why() {
    let done = edict(&data("failing"), &["test"]);
    assert_eq!(done.code, 1);
    insta::assert_snapshot!("failing", without_digest(&done.out));
    assert!(done.err.contains("2 tests, 2 failed"), "{}", done.err);
}

#[test]
fn machines_read_results() {
    let dir = copy("failing");
    let done = edict(dir.path(), &["test", "--format", "json", "--junit", "junit.xml"]);
    let first: Value = serde_json::from_str(done.out.lines().next().unwrap()).unwrap();
    assert_eq!((&first["ok"], &first["line"]), (&Value::Bool(false), &Value::from(3)));
    assert!(first["failures"].as_array().unwrap().len() > 5);
    let xml = std::fs::read_to_string(dir.path().join("junit.xml")).unwrap();
    let report = quick_junit::Report::deserialize_from_str(&xml).unwrap();
    assert_eq!((report.tests, report.failures), (2, 2));
}

/// `-` is standard output, as everywhere.
#[test]
fn results_on_standard_output() {
    let dir = copy("failing");
    let done = edict(dir.path(), &["test", "--junit", "-"]);
    assert_eq!(done.code, 1);
    let report = quick_junit::Report::deserialize_from_str(&done.out).unwrap();
    assert_eq!((report.tests, report.failures), (2, 2));
    assert!(done.err.contains("2 tests, 2 failed"), "{}", done.err);
    // Two results do not share it.
    for more in [&["--format", "json"][..], &["--coverage"]] {
        let both = edict(dir.path(), &[&["test", "--junit", "-"], more].concat());
        assert_eq!((both.code, both.out.as_str()), (2, ""), "{}", both.err);
    }
    // A private key is never sent there; a table and a public key are.
    let none = edict(dir.path(), &["keygen", "-"]);
    assert!(none.code == 2 && none.err.contains("goes into a file"), "{}", none.err);
    let made = edict(dir.path(), &["keygen", "table.key"]);
    let key = std::fs::read(dir.path().join("table.key")).unwrap();
    assert_eq!(edict_with(dir.path(), &["keygen", "--public", "-"], &key).out, made.out);
    assert!(!dir.path().join("-").exists());
}

#[test]
fn a_rule_set_with_mistakes_is_not_tested() {
    let done = edict(&data("broken"), &["test"]);
    assert_eq!(done.code, 1);
    assert!(done.err.contains("error[E") && done.out.is_empty());
}

#[test]
fn explain_tells_people() {
    let mail = [
        "explain",
        "rules",
        "--client",
        "192.0.2.7",
        "--sender",
        "bob@other.example",
        "--recipient",
        "sales@example.com",
    ];
    insta::assert_snapshot!("explain_refused", without_digest(&edict(&data("policy"), &mail).out));
    let outbound = [
        "explain",
        "rules",
        "--auth",
        "ann@example.com",
        "--sender",
        "ann@example.com",
        "--recipient",
        "far@other.example",
        "--recipient",
        "list@example.com",
        "--message",
        "own.eml",
        "--used",
        "9 messages",
    ];
    let dir = copy("policy");
    let mail = std::fs::read_to_string(dir.path().join("rules/mail/invoice.eml")).unwrap();
    let own = mail.replacen("bob@other.example", "ann@example.com", 1);
    std::fs::write(dir.path().join("own.eml"), &own).unwrap();
    insta::assert_snapshot!("explain_outbound", without_digest(&edict(dir.path(), &outbound).out));
    // The same with one message more than the day has, then without an address of his own.
    let with = |last: &str| edict(dir.path(), &[&outbound[..outbound.len() - 1], &[last]].concat()).out;
    insta::assert_snapshot!("explain_used_up", without_digest(&with("10 messages")));
    std::fs::write(dir.path().join("own.eml"), &mail).unwrap();
    let foreign = with("0 messages");
    assert!(foreign.starts_with("reject at end-of-data: 550 5.7.1 From must hold"), "{foreign}");
}

/// Who may not send at all is told so, not what rules would do with his mail.
/// Whether somebody without an alias is a user the daemon alone knows, and that is said.
#[test]
fn explain_says_whom_it_takes_for_a_user() {
    let dir = tempfile::tempdir().unwrap();
    let rules = "edict 1\n\nprofile {\n    local-domains [example.com]\n    recipients    known in people\n}\n\n\
                 list people: address = [ann@example.com]\nalias sales@example.com = [ann@example.com]\n";
    std::fs::write(dir.path().join("main.edict"), rules).unwrap();
    for (who, assumed) in [
        ("ann@example.com", false),
        ("ann+x@example.com", false),
        ("sales@example.com", false),
        ("postmaster@example.com", false),
        ("nobody@example.com", true),
    ] {
        let mail = ["explain", ".", "--sender", "bob@other.example", "--recipient", who];
        let told = edict(dir.path(), &mail).out;
        assert_eq!(told.contains("taken for a user of edictd"), assumed, "{told}");
        let json = edict(dir.path(), &[&mail[..], &["--format", "json"]].concat()).out;
        let object: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(object["recipients"][0]["assumed_user"], assumed, "{json}");
    }
}

#[test]
fn explain_tells_who_may_not_send() {
    let stranger = ["explain", "rules", "--sender", "a@b.example", "--recipient", "far@other.example"];
    insta::assert_snapshot!("explain_relay", without_digest(&edict(&data("policy"), &stranger).out));
    let foreign = [
        "explain",
        "rules",
        "--auth",
        "ann@example.com",
        "--sender",
        "bob@example.com",
        "--recipient",
        "ann@example.com",
    ];
    insta::assert_snapshot!("explain_foreign", without_digest(&edict(&data("policy"), &foreign).out));
    let wrong = edict(&data("policy"), &[&foreign[..], &["--used", "9 mesages"]].concat());
    assert!(wrong.code == 2 && wrong.err.contains("write `499 messages`"), "{}", wrong.err);
    // Standard input is read once.
    let both = [&foreign[..], &["--message", "-"]].concat();
    let both: Vec<&str> = both.into_iter().map(|arg| if arg == "rules" { "-" } else { arg }).collect();
    let both = edict_with(&data("policy"), &both, b"");
    assert!(both.code == 2 && both.err.contains("cannot both come from standard input"), "{}", both.err);
}

#[test]
fn explain_tells_machines() {
    let dir = copy("policy");
    edict(dir.path(), &["build", "-o", "x.table"]);
    for table in ["rules", "x.table"] {
        let done = edict(
            dir.path(),
            &[
                "explain",
                table,
                "--client",
                "192.0.2.7",
                "--sender",
                "bob@other.example",
                "--recipient",
                "ann@example.com",
                "--format",
                "json",
            ],
        );
        let object: Value = serde_json::from_str(&done.out).unwrap();
        for key in ["verdict", "reply", "stage", "rule", "recipients", "tests", "table"] {
            assert!(object.get(key).is_some(), "{key}");
        }
        assert_eq!(object["verdict"], "reject");
        assert_eq!(object["stage"], "mail");
        assert_eq!(object["rule"]["name"], "bad networks");
        assert_eq!(object["rule"]["file"], "main.edict");
        assert_eq!(object["recipients"][0]["verdict"], "reject");
    }
}

/// A check that fails for now has no result: a verdict that hangs on it waits, in tests as in the daemon.
#[test]
fn a_check_that_fails_for_now_defers() {
    let dir = tempfile::tempdir().unwrap();
    let rules = "edict 1\nprofile { local-domains [example.com] recipients any }\n\
                 reject \"forged\" { when spf is fail or dmarc is fail }\n\
                 test \"later\" { sender a@b.example recipient ann@example.com spf temperror expect defer 451 }\n\
                 test \"alias\" { sender a@b.example recipient ann@example.com dmarc temperror expect defer 451 }\n";
    std::fs::write(dir.path().join("main.edict"), rules).unwrap();
    let done = edict(dir.path(), &["test", "."]);
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
}

/// What no mail has is not explained: the daemon checks strangers alone.
#[test]
fn explain_takes_no_result_where_nothing_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let rules = "edict 1\nprofile { local-domains [example.com] recipients any trusted-networks [10.0.0.0/8] }\n\
                 reject \"forged\" { when spf is fail or dmarc is fail }\n";
    std::fs::write(dir.path().join("main.edict"), rules).unwrap();
    let explain = |more: &[&str]| {
        let args = ["explain", ".", "--sender", "a@b.example", "--recipient", "ann@example.com"];
        edict(dir.path(), &[&args[..], more].concat())
    };
    for (who, said) in [
        (["--auth", "ann"], "a client that logs in (`--auth`)"),
        (["--client", "10.1.0.5"], "the client 10.1.0.5, which is in `trusted-networks`"),
        (["--client", "::ffff:10.1.0.5"], "which is in `trusted-networks`"),
    ] {
        for result in [["--spf", "fail"], ["--dmarc", "pass"]] {
            let done = explain(&[who, result].concat());
            assert_eq!(done.code, 2, "{}{}", done.out, done.err);
            assert!(done.err.contains(result[0]) && done.err.contains(said), "{}", done.err);
        }
        assert_eq!(explain(&[who, ["--spf", "none"]].concat()).code, 0);
    }
    let done = explain(&["--client", "192.0.2.1", "--spf", "fail"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.out.contains("forged"), "{}", done.out);
}

/// Recipients stand in tests as senders write them: a domain alias is the domain that it stands for.
#[test]
fn domain_aliases_in_expectations() {
    let dir = tempfile::tempdir().unwrap();
    let rules = "edict 1\nprofile { local-domains [example.com] domain-aliases [example.net is example.com] }\n\
                 alias sales@example.com = [ann@example.com]\n\
                 test \"alias\" { sender a@b.example recipient sales@example.net\n\
                 expect accept recipients [ann@example.net] for sales@example.net }\n";
    std::fs::write(dir.path().join("main.edict"), rules).unwrap();
    let done = edict(dir.path(), &["test", "."]);
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
}

const SHARED: &str = r#"edict 1

profile {
    hostname mx.example.com
    local-domains [example.com]
}

alias sales@example.com = [ann@example.com, ext@other.example]
alias all@example.com = [sales@example.com, bob@example.com]

bcc "a" {
    when recipient is ann@example.com
    to   arch@example.com
    copy modified
}

bcc "b" {
    when   direction is inbound
    to     arch@example.com
    record envelope
}

bcc "c" {
    when recipient is ann@example.com
    to   ARCH@example.com
    copy original
}

test "one copy for several rules, one delivery for several recipients" {
    sender    x@other.example
    recipient [ann@example.com, all@example.com, sales@example.com]
    expect    bcc [arch@example.com]
    expect    bcc ["a", "b", "c"]
    expect    recipients [ann@example.com] for ann@example.com
    expect    recipients [ann@example.com, ext@other.example, bob@example.com] for all@example.com
    expect    recipients [ann@example.com, ext@other.example] for sales@example.com
}
"#;

/// Who gets mail through several recipients gets it once, and a target of several rules one copy: each of them is told so.
#[test]
fn what_is_shared_is_told_to_each() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("main.edict"), SHARED).unwrap();
    let done = edict(dir.path(), &["test", "."]);
    assert_eq!(done.code, 0, "{}\n{}", done.out, done.err);
    let mail =
        ["--sender", "x@other.example", "--recipient", "ann@example.com", "--recipient", "sales@example.com"];
    let told = edict(dir.path(), &[&["explain", "."][..], &mail].concat()).out;
    assert_eq!(told.matches("delivered to ann@example.com (inbound) via local").count(), 1, "{told}");
    assert!(told.contains("delivered to ann@example.com, once for this and for ann@example.com"), "{told}");
    let copy =
        "blind copy to arch@example.com by bcc \"a\", also by \"b\", \"c\" (copy original, record envelope)";
    assert!(told.contains(copy), "{told}");
    let json = edict(dir.path(), &[&["explain", ".", "--format", "json"][..], &mail].concat()).out;
    let json: Value = serde_json::from_str(&json).unwrap();
    let one = &json["copies"][0];
    assert_eq!((&one["copy"], &one["record"]), (&Value::from("original"), &Value::from("envelope")), "{one}");
    assert_eq!(json["recipients"][1]["final"][0]["served_with"], "ann@example.com");
}

/// A bare postmaster is one on the wire, too.
#[test]
fn postmaster_needs_no_domain() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("main.edict"), SHARED).unwrap();
    let done =
        edict(dir.path(), &["explain", ".", "--sender", "x@other.example", "--recipient", "Postmaster"]);
    assert!(
        done.code == 0 && done.out.contains("Postmaster@example.com (inbound)"),
        "{}{}",
        done.out,
        done.err
    );
    let done =
        edict(dir.path(), &["explain", ".", "--sender", "x@other.example", "--recipient", "webmaster"]);
    assert!(done.code != 0 && done.err.contains("no address"), "{}{}", done.out, done.err);
}

/// A route that matches and is not asked says why.
#[test]
fn a_route_that_is_passed_over_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let rules = r#"edict 1

profile {
    hostname mx.example.com
    local-domains [example.com]
}

relay store {
    host store.example:25
}

relay provider {
    host provider.example:25
}

route "inside to the store" {
    local yes
    when  recipient.domain in local-domains
    via   store
}

route "the rest" {
    priority 50
    via      provider
}
"#;
    std::fs::write(dir.path().join("main.edict"), rules).unwrap();
    let explain = |sender: &str, recipient: &str| {
        let sender = ["--client", "127.0.0.1", "--sender", sender];
        edict(dir.path(), &[&["explain", ".", "--recipient", recipient][..], &sender].concat()).out
    };
    let inside = explain("x@other.example", "ann@example.com");
    assert!(
        inside.contains("route \"the rest\" (main.edict:22), passed over: without `local yes`"),
        "{inside}"
    );
    let outside = explain("ann@example.com", "x@other.example");
    assert!(outside.contains("route \"the rest\"") && !outside.contains("passed over"), "{outside}");
}

/// Most mail programs say an address literal.
#[test]
fn helo_takes_an_address_literal() {
    let dir = tempfile::tempdir().unwrap();
    let rules = r#"edict 1
profile { hostname mx.example.com   local-domains [example.com] }
reject "no name" { when helo is absent }
test "v4" { helo [192.0.2.1]   sender x@y.example   recipient ann@example.com   expect reject by "no name" }
test "v6" { helo [IPv6:2001:db8::1]   sender x@y.example   recipient ann@example.com   expect reject by "no name" }
test "name" { helo mx.y.example   sender x@y.example   recipient ann@example.com   expect accept }
"#;
    std::fs::write(dir.path().join("main.edict"), rules).unwrap();
    let done = edict(dir.path(), &["test", "."]);
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    std::fs::write(dir.path().join("main.edict"), rules.replace("[192.0.2.1]", "[]")).unwrap();
    let done = edict(dir.path(), &["test", "."]);
    assert!(
        done.code != 0 && done.err.contains("or an address as `[192.0.2.1]`"),
        "{}{}",
        done.out,
        done.err
    );
}

/// What is known of a client's name is one world: nobody is nameless and verified at once.
#[test]
fn clients_have_a_name_unless_dns_says_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let rules = r#"edict 1

profile { local-domains [example.com] }

reject "nameless" {
    when   client is nameless
    unless submitted
}

reject "unverified" {
    priority 110
    when     client is unverified
    unless   submitted
}

reject "elsewhere" {
    priority 120
    when     client.name in [.dsl.example]
    unless   submitted
}

test "nothing said"      { sender x@y.example   recipient a@example.com   expect accept }
test "a name"            { client-name mx.y.example   sender x@y.example   recipient a@example.com   expect accept }
test "another name"      { client-name a.dsl.example   sender x@y.example   recipient a@example.com   expect reject by "elsewhere" }
test "no name"           { client 192.0.2.9   dns "192.0.2.9" answers nothing
                           sender x@y.example   recipient a@example.com   expect reject by "nameless" }
test "no name, asked for" { client 192.0.2.9   dns "9.2.0.192.in-addr.arpa" answers nothing
                           sender x@y.example   recipient a@example.com   expect reject by "nameless" }
test "does not lead back" { client 192.0.2.9   dns "192.0.2.9" answers ptr mx.y.example
                           dns "mx.y.example" answers 192.0.2.10
                           sender x@y.example   recipient a@example.com   expect reject by "unverified" }
test "leads back"        { client 192.0.2.9   dns "9.2.0.192.in-addr.arpa" answers ptr a.dsl.example
                           dns "a.dsl.example" answers 192.0.2.9
                           sender x@y.example   recipient a@example.com   expect reject by "elsewhere" }
test "nobody can tell"   { client 192.0.2.9   dns "192.0.2.9" answers failure
                           sender x@y.example   recipient a@example.com   expect defer 451 }
test "forward fails"     { client 192.0.2.9   dns "192.0.2.9" answers ptr mx.y.example
                           dns "mx.y.example" answers failure
                           sender x@y.example   recipient a@example.com   expect defer 451 }
test "our own"           { client 192.0.2.9   login ann   dns "192.0.2.9" answers nothing
                           sender ann@example.com   recipient a@example.com   expect accept }
"#;
    std::fs::write(dir.path().join("main.edict"), rules).unwrap();
    let done = edict(dir.path(), &["test", "."]);
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    let told = |more: &[&str]| {
        let args = [
            "explain",
            ".",
            "--client",
            "192.0.2.9",
            "--sender",
            "x@y.example",
            "--recipient",
            "a@example.com",
        ];
        edict(dir.path(), &[&args[..], more].concat())
    };
    let nothing = told(&[]);
    assert!(nothing.out.starts_with("accept"), "{}", nothing.out);
    let none = told(&["--dns", "\"192.0.2.9\" answers nothing"]);
    assert!(none.out.contains("by reject \"nameless\""), "{}", none.out);
    let both = told(&[
        "--dns",
        "\"192.0.2.9\" answers ptr a.y.example",
        "--dns",
        "\"a.y.example\" answers [192.0.2.8, mx b.example]",
    ]);
    assert!(both.out.contains("by reject \"unverified\""), "{}", both.out);
    let twice = told(&[
        "--dns",
        "\"192.0.2.9\" answers nothing",
        "--dns",
        "\"9.2.0.192.in-addr.arpa\" answers failure",
    ]);
    assert!(twice.code == 2 && twice.err.contains("has an answer already"), "{}", twice.err);
    for (wrong, why) in [
        ("192.0.2.9 answers nothing", "expected the name that is asked for in quotes"),
        ("\"192.0.2.9\" answers nxdomain", "write `nothing`"),
        ("\"not a name\" answers nothing", "nobody asks DNS for `not a name`"),
        ("\"a.example\" answers nothing dns \"b.example\" answers nothing", "write one name and its answer"),
        ("\"a.example\" answers nothing login ann", "write one name and its answer"),
        ("\"a.example\" answers nothing }", "--dns"),
        ("", "--dns"),
    ] {
        let done = told(&["--dns", wrong]);
        assert!(
            done.code == 2 && done.err.contains(why) && done.out.is_empty(),
            "{wrong}: {}{}",
            done.out,
            done.err
        );
    }
}

/// The time that a finding shows is one that `explain` and a test take.
#[test]
fn explain_takes_the_time_that_a_finding_shows() {
    let dir = tempfile::tempdir().unwrap();
    let rules = r#"edict 1

profile { local-domains [example.com]   time-zone "Europe/Berlin" }

quota "march" { per user   at most 5 messages per day   active from 2027-03-01T00:30 until 2027-04-01 }

quota "spring" { per user   at most 9 messages per day   active from 2027-02-01 until 2027-06-01 }
"#;
    std::fs::write(dir.path().join("main.edict"), rules).unwrap();
    let found = edict(dir.path(), &["check", "."]);
    let time = |text: &str| {
        let at = text.find("time ").unwrap() + 5;
        text[at..].split_whitespace().next().unwrap().to_owned()
    };
    assert!(found.out.contains("E2003") || found.err.contains("E2003"), "{}{}", found.out, found.err);
    let shown = time(&format!("{}{}", found.out, found.err));
    assert!(shown.starts_with("2027-03-") && !shown.ends_with('Z'), "{shown}");
    let rules = rules
        .replace("at most 9 messages per day   active", "priority 110   at most 9 messages per day   active");
    let test = format!(
        "{rules}\ntest \"t\" {{ login ann   sender ann@example.com   recipient x@y.example   time {shown}   expect quota \"march\" }}\n"
    );
    std::fs::write(dir.path().join("main.edict"), test).unwrap();
    assert_eq!(edict(dir.path(), &["test", "."]).code, 0);
    let at = |time: &str| {
        let args =
            ["explain", ".", "--auth", "ann", "--sender", "ann@example.com", "--recipient", "x@y.example"];
        edict(dir.path(), &[&args[..], &["--time", time]].concat())
    };
    for (time, quota) in [
        (shown.as_str(), "march"),
        ("2027-03-01T00:30", "march"),
        ("2027-03-01T00:29:59", "spring"),
        ("2027-02-28T23:30:00Z", "march"),
        ("2027-02-28T23:29:59Z", "spring"),
        ("2027-04-01", "march"),
        ("2027-04-02", "spring"),
    ] {
        let done = at(time);
        assert!(
            done.code == 0 && done.out.contains(&format!("\"{quota}\"")),
            "{time}: {}{}",
            done.out,
            done.err
        );
    }
    for wrong in ["tomorrow", "2027-02-30", "2027-02-28T25:00", ""] {
        let done = at(wrong);
        assert!(
            done.code == 2 && done.err.contains("this is no date; write `2026-12-01`"),
            "{wrong}: {}",
            done.err
        );
    }
}
