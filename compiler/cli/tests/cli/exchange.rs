//! Import and export: round trips, reports, and what no format holds.

use crate::kit::{copy, edict, edict_with};
use crate::postfix::{folder, import_some};
use std::path::Path;

#[test]
fn maps_come_back() {
    for (format, of, map) in [
        ("virtual", "", "ann@home.example\tann@x.example, bob@x.example\n"),
        ("aliases", "", "list: a@x.example, b@x.example\nowner-list: ann@x.example, bob@x.example\n"),
        (
            "csv",
            "client",
            "client,action,reply\n.x.example,reject,554 5.7.1 no\n10.1.0.0/16,reject,554 5.7.1 no\n10.2.3.4,discard,\n\
             10.3.0.0/16,dunno,\n10.0.0.0/8,defer,450 4.7.1 later\n",
        ),
        (
            "csv",
            "sender",
            "sender,action,reply\n.x.example,dunno,\nann@y.example,hold,\n.example,reject,550 5.7.1 no\n",
        ),
        ("csv", "", "alias,member\nlist@home.example,a@x.example\nlist@home.example,b@x.example\n"),
        ("sender_bcc_maps", "", "@x.example\tarchive@home.example\nann@x.example\tann@home.example\n"),
        ("recipient_bcc_maps", "", "ann@home.example\tarchive@home.example\n"),
        (
            "transport",
            "",
            "*\tsmtp:[hub.example]:2525\n.x.example\tsmtp:\nx.example\tsmtp:[mx.x.example]:25\n",
        ),
        ("header_checks", "", "/^subject:.*viagra/\tREJECT 5.7.1 no\n/^x-spam:/\tDISCARD\n"),
        ("pcre", "recipient", "/^ann@/\tOK\n/^a\\w+@x\\.example$/\t550 5.7.1 no $$ here\n/\\/b/\tDISCARD\n"),
        (
            "regexp",
            "sender",
            "/^ann@/\t450 4.7.1 later\n/^[[:alpha:]]+@x\\.example$/\tHOLD\n/^<>$/\tDISCARD\n",
        ),
        ("regexp", "helo", "/^dsl-[0-9]+\\./\t554 5.7.1 dynamic\n"),
        ("pcre", "client", "/\\.dyn\\.example$/\t554 5.7.1 dynamic\n"),
        ("access", "recipient", ".x.example\tOK\nann@x.example\t550 5.7.1 no\nbob@\tDISCARD\n"),
        ("access", "client", ".x.example\t554 5.7.1 no\nx.example\t554 5.7.1 no\n"),
        ("cidr", "", "10.1.0.0/16\tOK\n10.0.0.0/8\t554 5.7.1 no\n2001:db8::/32\tDISCARD\n"),
    ] {
        let of: Vec<&str> = if of.is_empty() { Vec::new() } else { vec!["--of", of] };
        let mut args = vec![format, "-", "--name", "old"];
        args.extend(&of);
        args.extend((format == "access").then_some("--dotted"));
        let done = import_some(&args, map);
        assert_eq!(done.code, 0, "{format}: {}", done.err);
        let dir = folder(&done.out);
        let mut args = vec!["export", format, "."];
        args.extend(&of);
        let back = edict(dir.path(), &args);
        assert_eq!(back.code, 0, "{format}: {}\n{}", back.err, done.out);
        let sorted = |text: &str| {
            let lines = text.lines().filter(|l| !l.starts_with('#'));
            let mut lines: Vec<String> = lines.map(|l| l.replace(":[[:space:]]*", ":")).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&back.out), sorted(map), "{format}\n{}", done.out);
    }
}

#[test]
fn all_or_nothing() {
    let map = b"ann: bob\nfiles: /dev/null\n";
    let some = edict_with(Path::new("."), &["import", "aliases", "-"], map);
    assert_eq!((some.code, some.out.contains("alias ann = [bob]")), (1, true));
    assert!(some.err.contains("-:2: refused: `files: /dev/null`"), "{}", some.err);
    let none = edict_with(Path::new("."), &["import", "aliases", "-", "--all-or-nothing"], map);
    assert_eq!((none.code, none.out.as_str()), (1, ""));
    assert!(none.err.contains("nothing was imported"), "{}", none.err);
    let json = edict_with(Path::new("."), &["import", "aliases", "-", "--format", "json"], map);
    let object: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(object["lines"][1]["fate"], "refused");
}

#[test]
fn what_a_format_cannot_hold_is_named() {
    let dir = copy("policy");
    let done = edict(dir.path(), &["export", "aliases"]);
    assert_eq!(done.code, 1, "{}", done.err);
    assert!(done.err.contains("there is none for list@example.org; export `virtual`"), "{}", done.err);
    let main = dir.path().join("rules/main.edict");
    let rules = std::fs::read_to_string(&main).unwrap();
    std::fs::write(&main, rules.replace("[example.com, example.org]", "[example.com]")).unwrap();
    let done = edict(dir.path(), &["export", "aliases"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.out.contains("owner-list: ann@example.com"), "{}", done.out);
    let done = edict(dir.path(), &["export", "virtual"]);
    assert_eq!(done.code, 1);
    assert!(done.err.contains("alias list@example.com: its `owner`"), "{}", done.err);
    let done = edict(dir.path(), &["export", "sender_bcc_maps"]);
    assert!(done.err.contains("1 rules are about something else"), "{}", done.err);
    let done = edict(dir.path(), &["export", "header_checks"]);
    assert!(done.err.contains("rule \"campaign\""), "{}", done.err);
}

#[test]
fn what_people_write_in_tables() {
    let csv = "sender,action,reply\na@b.example,reject,550 no\nx,OK\n@c.example,REJECT,\"5.7.1 no, thanks\"\n\
               d.example,defer,550 no\n.e.example,hold\n";
    let done = import_some(&["csv", "-", "--name", "old"], csv);
    assert!(done.out.contains("when  sender is a@b.example\n    reply 550 5.7.1 \"no\""), "{}", done.out);
    assert!(done.out.contains("reply 554 5.7.1 \"no, thanks\""), "{}", done.out);
    assert!(
        done.err.contains("-:3: refused: `x,OK`: write `x@` for that name at any domain"),
        "{}",
        done.err
    );
    assert!(done.err.contains("-:5: refused") && done.err.contains("begins with 4"), "{}", done.err);
    let done = import_some(&["csv", "-", "--name", "old", "--domain", "home.example"], csv);
    assert!(done.out.contains("sender is x@home.example\n    when spf is pass"), "{}", done.out);
    let clients = "client,action\n192.0.2.0/24,reject\nmx.x.example,OK\n192.0.2.1/24,reject\n";
    let done = import_some(&["csv", "-", "--name", "old"], clients);
    assert!(done.out.contains("client.ip in [192.0.2.0/24]"), "{}", done.out);
    assert!(done.err.contains("-:4: refused"), "{}", done.err);
}

#[test]
fn local_parts_that_need_quotes() {
    let map = "\"a b\"@x.example REJECT\n\"c d@x.example\" REJECT\nx.example OK\n#e@x.example REJECT\n";
    let done = import_some(&["access", "-", "--of", "recipient", "--name", "old"], map);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.out.contains("recipient in [\"a b\"@x.example, \"c d\"@x.example]"), "{}", done.out);
}

/// What a map would say otherwise than the rules is refused, and quotes stand where Postfix needs them.
#[test]
fn maps_say_what_rules_do() {
    let rules = r#"edict 1

profile {
    hostname      mx.example.com
    local-domains [example.com]
    relay-domains [br.example via b, mx.example]
}

relay b {
    host [hub.br.example:25]
}

relay out {
    host [out.example:25]
}

alias "a b"@example.com = [ann@example.com, "c d"@x.example]

reject "quoted" {
    when recipient is "a b"@q.example
}

bcc "first" {
    when sender is ann@example.com
    to   [one@example.com]
}

bcc "second" {
    when sender is ann@example.com
    to   [two@example.com]
}

route "rest" {
    via out
}

reject "digits" {
    when sender matches /^a\d+@/
}

reject "either" {
    when sender matches /x@|@y$/
}

reject "words" {
    when subject matches /win|lottery$/
}

reject "first words" {
    when subject matches /^win|lottery$/
}
"#;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("main.edict"), rules).unwrap();
    let done = edict(dir.path(), &["export", "transport", "."]);
    assert_eq!(
        done.out,
        "*\tsmtp:[out.example]:25\nbr.example\tsmtp:[hub.br.example]:25\nexample.com\t:\nmx.example\t:\n",
        "{}",
        done.err
    );
    let done = edict(dir.path(), &["export", "sender_bcc_maps", "."]);
    assert_eq!(done.out, "ann@example.com\tone@example.com\n");
    assert!(
        done.code == 1 && done.err.contains("rule \"second\": ann@example.com has another copy"),
        "{}",
        done.err
    );
    let done = edict(dir.path(), &["export", "virtual", "."]);
    assert_eq!(done.out, "\"a b\"@example.com\tann@example.com, \"c d\"@x.example\n");
    let back = import_some(&["virtual", "-", "--name", "old"], &done.out);
    assert!(
        back.out.contains("alias \"a b\"@example.com = [ann@example.com, \"c d\"@x.example]"),
        "{}",
        back.out
    );
    let done = edict(dir.path(), &["export", "access", ".", "--of", "recipient"]);
    assert!(done.out.contains("\n\"a b\"@q.example\t550 5.7.1 Rejected by policy\n"), "{}", done.out);
    let done = edict(dir.path(), &["export", "regexp", ".", "--of", "sender"]);
    assert_eq!(done.out, "/x@|@y$/\t550 5.7.1 Rejected by policy\n", "{}", done.err);
    assert!(done.err.contains("rule \"digits\": regexp(5) has no `\\d`; export `pcre`"), "{}", done.err);
    let done = edict(dir.path(), &["export", "pcre", ".", "--of", "sender"]);
    assert_eq!((done.code, done.out.lines().count()), (0, 2), "{}{}", done.out, done.err);
    let done = edict(dir.path(), &["export", "header_checks", "."]);
    assert_eq!(done.out, "/^subject:.*(win|lottery$)/\tREJECT 5.7.1 Rejected by policy\n", "{}", done.err);
    assert!(done.err.contains("rule \"first words\": a `^` or `|` in it"), "{}", done.err);
    let rules = rules.replace("/win|lottery$/", "/\\d{5}/");
    std::fs::write(dir.path().join("main.edict"), rules).unwrap();
    let done = edict(dir.path(), &["export", "header_checks", "."]);
    let first = "# header_checks = pcre:FILE, since regexp(5) has no `\\d`\n/^subject:.*\\d{5}/\t";
    assert!(done.out.starts_with(first), "{}", done.out);
}

#[test]
fn tables_take_the_words_of_rules() {
    let csv = "client,action,reply\n192.0.2.0/24,reject,\"no, never\"\nmail.x.example,allow,\n192.0.2.4,Allow\n\
               192.0.2.5,DUNNO\n192.0.2.6,let,\n";
    let done = import_some(&["csv", "-", "--name", "old"], csv);
    assert!(
        done.out.contains("allow \"old allow\" {\n    when client.name is mail.x.example"),
        "{}",
        done.out
    );
    assert!(done.out.contains("client.ip in [192.0.2.4]"), "{}", done.out);
    assert!(done.err.contains("`let` is no action; a table takes `allow`, `reject`"), "{}", done.err);
    assert!(done.err.ends_with("1 refused\n"), "{}", done.err);
    let help = edict(Path::new("."), &["import", "--help"]);
    assert!(help.out.contains("discard and dunno (no decision), or those of access(5)"), "{}", help.out);
}

#[test]
fn tables_of_clients_and_lists() {
    let dir = tempfile::tempdir().unwrap();
    let rules = r#"edict 1

profile {
    local-domains [example.com]
}

list nets: network = [192.0.2.0/24, 198.51.100.7]

list partners: domain = [partner.example, .partner.example]

list vip: address = [ann@example.com, @board.example.com, abuse@]

list words: text = ["act now"]

reject "nets" {
    when  client.ip in nets
    reply 554 5.7.1 "no nets"
}

allow "partners" {
    priority 10
    when     client.name in partners
}

discard "vip" { when sender in vip }

reject "words" { when subject in words }
"#;
    let write = |rules: &str| std::fs::write(dir.path().join("main.edict"), rules).unwrap();
    write(rules);
    let done = edict(dir.path(), &["export", "csv", ".", "--of", "client"]);
    let want = "client,action,reply\n.partner.example,allow,\npartner.example,allow,\n198.51.100.7,reject,554 5.7.1 no nets\n\
                192.0.2.0/24,reject,554 5.7.1 no nets\n";
    assert_eq!((done.code, done.out.as_str()), (0, want), "{}", done.err);
    assert!(done.err.contains("2 rules are about something else"), "{}", done.err);
    // A table asks for the name first: what has the worse rank there is told.
    write(&rules.replace("priority 10", "priority 110"));
    let done = edict(dir.path(), &["export", "csv", ".", "--of", "client"]);
    assert_eq!(done.code, 1);
    let why = "refused: .partner.example from 198.51.100.7/32: 554 5.7.1 no nets here, but a table asks for the name first and says OK";
    assert!(done.err.contains(why), "{}", done.err);
    write(rules);
    let done = edict(dir.path(), &["export", "csv", ".", "--lists"]);
    let want = "list,entry\nnets,192.0.2.0/24\nnets,198.51.100.7\npartners,.partner.example\npartners,partner.example\n\
                vip,@board.example.com\nvip,abuse@\nvip,ann@example.com\n";
    assert_eq!((done.code, done.out.as_str()), (1, want), "{}", done.err);
    assert!(done.err.contains("refused: list words: it holds texts"), "{}", done.err);
    let back = edict_with(Path::new("."), &["import", "csv", "-"], done.out.as_bytes());
    assert!(back.out.contains("list partners: domain = [.partner.example, partner.example]"), "{}", back.out);
    assert!(
        back.out.contains("list vip: address = [@board.example.com, abuse@, ann@example.com]"),
        "{}",
        back.out
    );
    assert_eq!(edict(dir.path(), &["export", "access", ".", "--lists"]).code, 2);
    assert_eq!(edict(dir.path(), &["export", "csv", ".", "--lists", "--of", "client"]).code, 2);
}

/// A refusal that says what matched is a refusal still, and the lines behind it stay in force.
#[test]
fn replies_that_say_what_matched() {
    let map = "/name=x/ REJECT bad $1\n/^Subject:.*(cheap)/ REJECT no $1 here\n/^Subject: b/ REJECT x\n";
    let done = import_some(&["header_checks", "-", "--name", "old"], map);
    assert!(!done.out.contains("audit"), "{}", done.out);
    let reply = "when  subject matches /(cheap)/\n    reply 550 5.7.1 \"Message content rejected\"";
    assert!(done.out.contains(reply), "{}", done.out);
    assert!(
        done.err.contains("-:2: changed") && done.err.contains("what the pattern matched, and is left out")
    );
    let map = "/(a)(?=x)/ 550 5.1.1 no $1\n/^(b)@/ 554 5.1.1 no ${1}\n/^c/ REJECT\n/^(d)/ $1\n";
    let done = import_some(&["pcre", "-", "--of", "sender", "--name", "old"], map);
    assert!(!done.out.contains("audit"), "{}", done.out);
    assert!(done.out.contains("554 5.1.1 \"Access denied\""), "{}", done.out);
    assert!(
        done.err.contains("-:4: refused: `/^(d)/ $1`: its action uses what the pattern matched"),
        "{}",
        done.err
    );
}

/// The owner of a list is an address in Postfix: the sender of what the list sends on.
#[test]
fn owners_are_addresses() {
    let map = "staff: ann, bob\nowner-staff: carl, dora\nowner-none: ann\nlone: ann\nowner-lone: /dev/null\n";
    let done = import_some(&["aliases", "-"], map);
    assert!(done.out.contains("alias staff = [ann, bob] {\n    owner owner-staff\n}"), "{}", done.out);
    assert!(done.out.contains("alias owner-staff = [carl, dora]\n"), "{}", done.out);
    assert!(
        done.out.contains("alias owner-none = [ann]\n") && done.out.contains("alias lone = [ann]\n"),
        "{}",
        done.out
    );
    let done = import_some(&["aliases", "-", "--domain", "home.example"], map);
    assert!(done.out.contains("    owner owner-staff@home.example\n"), "{}", done.out);
    let dir = tempfile::tempdir().unwrap();
    let rules = "edict 1\nprofile { local-domains [example.com] }\nalias owner-b = [ann]\n\
                 alias a = [ann] { owner owner-a }\nalias b = [ann] { owner bob }\nalias c = [ann] { owner bob }\n";
    std::fs::write(dir.path().join("main.edict"), rules).unwrap();
    let done = edict(dir.path(), &["export", "aliases", "."]);
    let want = "a: ann@example.com\nowner-a: \\owner-a\nb: ann@example.com\nc: ann@example.com\n\
                owner-c: bob@example.com\nowner-b: ann@example.com\n";
    assert_eq!(done.out, want);
    assert!(
        done.err.contains("alias b@example.com: its `owner`, since owner-b leads elsewhere"),
        "{}",
        done.err
    );
}

#[test]
fn keys_that_a_map_does_not_have() {
    let done = import_some(&["virtual", "-"], ".sub.example ann@x.example\n@.b.example ann@x.example\n");
    let why = ".sub.example ann@x.example`: aliases hold addresses and whole domains: write a line for each domain below";
    assert!(done.err.contains(why), "{}", done.err);
    assert!(done.err.contains("@.b.example ann@x.example`: aliases hold addresses"), "{}", done.err);
    let done = import_some(
        &["transport", "-"],
        "user@ smtp:z.example\n<> smtp:[bounce.example]\n@x.example smtp:\n",
    );
    assert_eq!(
        done.err.matches("transport(5) holds `user@domain`, `domain`, `.domain` and `*`").count(),
        3,
        "{}",
        done.err
    );
    // `@domain` as a member is the same user there.
    let done =
        import_some(&["virtual", "-"], "sub@home.example @other.example\n@home.example x@out.example\n");
    assert!(done.out.contains("alias sub@home.example = [sub@other.example]"), "{}", done.out);
    assert!(done.out.contains("alias @home.example = [x@out.example]"), "{}", done.out);
}
