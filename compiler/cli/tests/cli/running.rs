//! A running Postfix beside imported maps: what smtpd answers, and where the queue sends mail.
//!
//! The order in which Postfix asks for keys is written out in `postfix.rs` after its manual pages; here it is Postfix's
//! own. Postfix starts as root alone, so these tests must run as root.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use crate::agreement::{Case, cases, key};
use crate::agreement_maps::explained;
use crate::postfix::{ACTIONS, Dice, decided, import, stranger, table};
use edict_table::facts::{Facts, HeaderFacts, HeaderField, Slot};
use edict_table::value::{Address, fold_text};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

#[path = "../../../../tests/support/port.rs"]
mod port;
#[expect(dead_code, reason = "the daemon's tests use the rest of it")]
#[path = "../../../../tests/support/postfix.rs"]
mod server;

use port::free_port;
use server::Postfix;

/// Waits until `done`, or fails naming what was waited for.
fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(120), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What all of them have: nothing leaves, our two domains, extensions, and clients that err a lot.
const MAIN: &str = "mydestination = home.example, second.example\nmyorigin = home.example\nmynetworks = 0.0.0.0/0, [::]/0\n\
    recipient_delimiter = +\npropagate_unmatched_extensions =\ndefault_transport = discard\n\
    local_transport = discard\nsmtpd_relay_restrictions = permit_mynetworks, reject\nenable_long_queue_ids = yes\nsmtpd_authorized_xclient_hosts = 0.0.0.0/0, [::]/0\n\
    smtpd_error_sleep_time = 0\nsmtpd_soft_error_limit = 100000\nsmtpd_hard_error_limit = 100000\n\
    smtpd_junk_command_limit = 100000\n";

/// Writes a map as something that Postfix takes for settled.
fn write_map(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
}

/// A client of smtpd.
struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    fn connect(postfix: &Postfix) -> Self {
        let stream = TcpStream::connect(postfix.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut client = Self { reader: BufReader::new(stream) };
        let greeting = client.reply();
        assert!(greeting.starts_with("220"), "{greeting}");
        client
    }

    /// The last line of a reply.
    fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.reader.read_line(&mut line).unwrap() > 0, "the connection ended");
            if line.as_bytes().get(3) == Some(&b' ') {
                return line.trim_end().to_owned();
            }
        }
    }

    fn say(&mut self, line: &str) -> String {
        self.reader.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
        self.reply()
    }

    /// What RCPT is told when all that is asked of is this.
    fn rcpt(&mut self, case: &Case, of: &str) -> String {
        let who = || case.address.as_ref().map_or("<>".to_owned(), |a| format!("<{}>", a.as_str()));
        let (mut name, mut ip) = ("neutral.invalid", "198.51.100.7".to_owned());
        if of == "client" {
            name = case.name.as_ref().map_or("[UNAVAILABLE]", |name| name.as_str());
            let own = case.ip.unwrap();
            ip = if own.is_ipv6() { format!("IPV6:{own}") } else { own.to_string() };
        }
        let said = self.say(&format!("XCLIENT NAME={name} ADDR={ip}"));
        assert!(said.starts_with("220"), "{said}");
        let helo = if of == "helo" { case.name.as_ref().unwrap().as_str() } else { "neutral.invalid" };
        assert!(self.say(&format!("HELO {helo}")).starts_with("250"));
        let sender = if of == "sender" { who() } else { "<neutral@neutral.invalid>".to_owned() };
        assert!(self.say(&format!("MAIL FROM:{sender}")).starts_with("250"));
        let recipient = if of == "recipient" { who() } else { "<neutral@neutral.invalid>".to_owned() };
        let told = self.say(&format!("RCPT TO:{recipient}"));
        assert!(self.say("RSET").starts_with("250"));
        told
    }

    /// Sends a message; the reply to its end.
    fn message(&mut self, sender: &str, recipient: &str, text: &str) -> String {
        for line in [format!("MAIL FROM:<{sender}>"), format!("RCPT TO:<{recipient}>")] {
            let told = self.say(&line);
            assert!(told.starts_with("250"), "{line}: {told}");
        }
        assert!(self.say("DATA").starts_with("354"));
        self.say(&format!("{text}\r\n."))
    }
}

/// Whether a reply of smtpd is what Edict would say; the texts around the one of the map are Postfix's.
fn same(told: &str, verdict: Option<&edict_table::model::Verdict>) -> bool {
    let reply =
        verdict.filter(|v| ["reject", "defer"].contains(&v.verb.name())).and_then(|v| v.reply.as_ref());
    match reply {
        None => told.starts_with("250"),
        Some(reply) => told.starts_with(&reply.code.to_string()) && told.ends_with(&reply.text),
    }
}

#[test]
fn smtpd_answers_as_rules_do() {
    for seed in 1..=3 {
        let mut dice = Dice(seed);
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().display().to_string();
        let mut rules = BTreeMap::new();
        let dotted = seed == 2;
        for of in ["client", "helo", "sender", "recipient"] {
            let map: BTreeMap<String, &str> =
                (0..14).map(|_| (key(&mut dice, of, dotted), dice.roll(&ACTIONS))).collect();
            let text: String = map.iter().map(|(key, action)| format!("{key} {action}\n")).collect();
            write_map(dir.path(), of, &text);
            let mut args = vec!["access", "-", "--of", of, "--name", "old"];
            args.extend(dotted.then_some("--dotted"));
            rules.insert(of, (table(&import(&args, &text)), text));
        }
        let parents = if dotted { "parent_domain_matches_subdomains =\n" } else { "" };
        let postfix = Postfix::start(
            dir.path(),
            &format!(
                "{MAIN}inet_protocols = all\n{parents}smtpd_client_restrictions = check_client_access texthash:{here}/client\n\
                 smtpd_helo_restrictions = check_helo_access texthash:{here}/helo\n\
                 smtpd_sender_restrictions = check_sender_access texthash:{here}/sender\n\
                 smtpd_recipient_restrictions = check_recipient_access texthash:{here}/recipient\n"
            ),
        );
        let mut client = Client::connect(&postfix);
        let mut refused = 0;
        for of in ["helo", "sender", "recipient", "client"] {
            let (table, text) = &rules[of];
            for case in cases(of, dotted) {
                let told = client.rcpt(&case, of);
                let verdict = decided(table, &case.facts());
                refused += usize::from(!told.starts_with("250"));
                assert!(same(&told, verdict.as_ref()), "{of} {}: {told}\n{verdict:?}\n{text}", case.keys[0]);
            }
        }
        assert!(refused > 10, "{refused}");
    }
}

#[test]
fn smtpd_answers_as_patterns_and_networks_do() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().display().to_string();
    let senders = "if /example$/\n/^bob@/ OK\n!/^[a-c]/ REJECT not you\nendif\n/@(a|c)\\./ 450 later\n/^<>$/ REJECT none\n";
    let names = "/\\.a\\.example$/ REJECT\n/^unknown$/ 450 no name\n";
    let nets = "if 10.0.0.0/8\n!10.1.0.0/16 REJECT outside\n10.1.2.3 OK\nendif\n10.1.2.0/24 450 soon\n2001:db8::/32 REJECT six\n";
    for (name, text) in [("senders", senders), ("names", names), ("nets", nets)] {
        write_map(dir.path(), name, text);
    }
    let postfix = Postfix::start(
        dir.path(),
        &format!(
            "{MAIN}inet_protocols = all\nsmtpd_sender_restrictions = check_sender_access regexp:{here}/senders\n\
             smtpd_helo_restrictions = check_helo_access pcre:{here}/names\n\
             smtpd_client_restrictions = check_client_access cidr:{here}/nets\n"
        ),
    );
    let mut client = Client::connect(&postfix);
    let tables = [
        ("sender", table(&import(&["regexp", "-", "--of", "sender", "--name", "old"], senders))),
        ("helo", table(&import(&["pcre", "-", "--of", "helo", "--name", "old"], names))),
        ("client", table(&import(&["cidr", "-", "--name", "old"], nets))),
    ];
    for (of, table) in &tables {
        let mut seen = BTreeSet::new();
        for case in cases(of, false) {
            let told = client.rcpt(&case, of);
            let verdict = decided(table, &case.facts());
            assert!(
                same(&told, verdict.as_ref()),
                "{of} {} {:?}: {told}\n{verdict:?}",
                case.keys[0],
                case.ip
            );
            seen.insert(told.rsplit(": ").next().unwrap().to_owned());
        }
        assert!(seen.len() >= 2, "{seen:?}");
    }
}

#[test]
fn cleanup_refuses_as_rules_do() {
    let dir = tempfile::tempdir().unwrap();
    let map = "/^Subject:.*\\[list\\]/ DUNNO\n/^Subject:.*cheap/ REJECT 5.7.1 no thanks\n/^X-Spam:/ REJECT\n\
               /^(To|Cc):.*undisclosed/ DISCARD\n/^From:.*@a\\./ HOLD\n";
    write_map(dir.path(), "headers", map);
    let main = format!("{MAIN}header_checks = regexp:{}/headers\n", dir.path().display());
    let postfix = Postfix::start(dir.path(), &main);
    let table = table(&import(&["header_checks", "-", "--name", "old"], map));
    let mut client = Client::connect(&postfix);
    assert!(client.say("HELO neutral.invalid").starts_with("250"));
    for (fields, log) in [
        (&["Subject: cheap pills"][..], ""),
        (&["Subject: [list] cheap pills"], ""),
        (&["Subject: hello", "X-Spam: yes"], ""),
        (&["subject: Very\r\n cheap"], ""),
        (&["To: undisclosed recipients:;"], "discard: header To"),
        (&["From: x@a.example", "Subject: hello"], "hold: header From"),
        (&["From: x@b.example", "Subject: hello"], ""),
    ] {
        let told =
            client.message("x@out.example", "y@out.example", &format!("{}\r\n\r\nhi", fields.join("\r\n")));
        let header = HeaderFacts {
            fields: fields
                .iter()
                .map(|field| field.split_once(": ").unwrap())
                .map(|(name, value)| HeaderField {
                    name: name.to_lowercase(),
                    value: fold_text(value).into_owned(),
                })
                .collect(),
            ..HeaderFacts::default()
        };
        let verdict = decided(&table, &Facts { header: Slot::Known(&header), ..stranger() });
        let said = verdict.as_ref().and_then(|v| v.reply.as_ref()).map(|r| r.line().to_lowercase());
        match said {
            Some(said) => assert_eq!(told.to_lowercase(), said, "{fields:?}"),
            None => assert!(told.starts_with("250"), "{fields:?}: {told}"),
        }
        let verb = verdict.map_or("accept", |v| v.verb.name());
        wait_for("cleanup to log", || postfix.log().contains(log));
        assert_eq!(
            log.split(':').next().unwrap_or_default(),
            if said_nothing(verb) { "" } else { verb },
            "{fields:?}"
        );
    }
}

/// Whether cleanup logs no action of its own.
fn said_nothing(verb: &str) -> bool {
    ["accept", "reject"].contains(&verb)
}

/// The name that Postfix gave a message.
fn queued(told: &str) -> String {
    told.split_once("queued as ").unwrap_or_else(|| panic!("{told}")).1.to_owned()
}

/// Where a message went in the end, with those that it was forwarded as.
fn finals(log: &str, id: &str) -> Option<BTreeSet<String>> {
    let own: Vec<&str> = log.lines().filter(|line| line.contains(&format!(": {id}: "))).collect();
    if !own.iter().any(|line| line.ends_with(&format!("{id}: removed"))) {
        return None;
    }
    let mut out = BTreeSet::new();
    for line in own.iter().filter(|line| line.contains("status=")) {
        let to = line.split_once("to=<").and_then(|(_, rest)| rest.split_once('>')).unwrap().0;
        match line.split_once("forwarded as ") {
            Some((_, next)) => out.extend(finals(log, next.trim_end_matches(')'))?),
            None => {
                assert!(line.contains("status=sent"), "{line}");
                out.insert(to.to_owned());
            }
        }
    }
    Some(out)
}

/// Sends a message to each and tells where each went.
fn deliver(postfix: &Postfix, mails: &[(String, String)]) -> Vec<BTreeSet<String>> {
    let mut client = Client::connect(postfix);
    assert!(client.say("HELO neutral.invalid").starts_with("250"));
    let send = |(from, to): &(String, String)| queued(&client.message(from, to, "Subject: x\r\n\r\nx"));
    let ids: Vec<String> = mails.iter().map(send).collect();
    wait_for("Postfix to deliver", || {
        let log = postfix.log();
        ids.iter().all(|id| finals(&log, id).is_some())
    });
    let log = postfix.log();
    ids.iter().map(|id| finals(&log, id).unwrap()).collect()
}

#[test]
fn mail_goes_where_alias_maps_say() {
    let map = "ann@home.example bob@home.example, x@out.example\nbob@home.example bob, y@out.example\n\
               carl+x@home.example z@out.example\ncarl@home.example carl@second.example\n\
               @second.example catch@out.example\nlist@second.example ann, dora@second.example\ndora ann+q@home.example\n";
    let dir = tempfile::tempdir().unwrap();
    write_map(dir.path(), "virtual", map);
    let main = format!("{MAIN}virtual_alias_maps = texthash:{}/virtual\n", dir.path().display());
    let postfix = Postfix::start(dir.path(), &main);
    let done = crate::postfix::import_some(&["virtual", "-", "--name", "old"], map);
    let locals = ["ann", "ann+x", "bob", "carl", "carl+x", "carl+y", "dora", "list", "emil"];
    let all: Vec<String> =
        locals.iter().flat_map(|l| ["home.example", "second.example"].map(|d| format!("{l}@{d}"))).collect();
    let told = explained(&done.out, &all);
    let mails: Vec<(String, String)> =
        all.iter().map(|to| ("s@out.example".to_owned(), to.clone())).collect();
    for ((_, to), went) in mails.iter().zip(deliver(&postfix, &mails)) {
        assert_eq!(went, told[to], "{to}\n{}", done.out);
    }
}

/// What leads in a circle is put off, whatever a catch-all would take; an extension is taken off at other domains too.
#[test]
fn circles_are_put_off_and_extensions_followed() {
    let map = "ann@second.example bob@second.example\nbob@second.example ann@second.example\n\
               list@second.example ann@second.example, y@out.example\nann+own@second.example z@out.example\n\
               @second.example catch@out.example\n@one.example x@two.example\n@two.example x@one.example\n\
               round@home.example x@one.example\nback@home.example bob@third.example\n@third.example back@home.example\nfay@else.example x@out.example\n\
               gus@home.example fay+news@else.example, hal+news@else.example\n";
    let dir = tempfile::tempdir().unwrap();
    write_map(dir.path(), "virtual", map);
    let main = format!("{MAIN}virtual_alias_maps = texthash:{}/virtual\n", dir.path().display());
    let postfix = Postfix::start(dir.path(), &main);
    let done = crate::postfix::import_some(&["virtual", "-", "--name", "old"], map);
    let rules = table(&done.out);
    let mut client = Client::connect(&postfix);
    assert!(client.say("HELO neutral.invalid").starts_with("250"));
    let (mut mails, mut put_off) = (Vec::new(), 0);
    for to in [
        "ann@second.example",
        "ann+x@second.example",
        "ann+own@second.example",
        "bob@second.example",
        "list@second.example",
        "list+x@second.example",
        "emil@second.example",
        "round@home.example",
        "back@home.example",
        "x@third.example",
        "gus@home.example",
    ] {
        let told = client.message("s@out.example", to, "Subject: x\r\n\r\nx");
        let address = Address::parse(to).unwrap();
        let verdict = decided(&rules, &Facts { recipient: Slot::Known(&address), ..stranger() });
        match verdict.and_then(|v| v.reply) {
            Some(reply) => {
                assert!(told.starts_with(&format!("{} 4.6.0", reply.code)), "{to}: {told}\n{}", done.out);
                put_off += 1;
            }
            None => {
                assert!(told.starts_with("250"), "{to}: {told}\n{}", done.out);
                mails.push(("s@out.example".to_owned(), to.to_owned()));
            }
        }
    }
    assert_eq!(put_off, 8);
    let all: Vec<String> = mails.iter().map(|(_, to)| to.clone()).collect();
    let told = explained(&done.out, &all);
    for ((_, to), went) in mails.iter().zip(deliver(&postfix, &mails)) {
        assert_eq!(went, told[to], "{to}\n{}", done.out);
    }
}

#[test]
fn mail_goes_where_local_aliases_say() {
    let map = "ann: \\ann, x@out.example\nbob: ann, y@out.example\nlist: bob, carl\ncarl+x: z@out.example\n\
               staff: list, ann, \"dora\"\nduo: ann dora\nlong: ann@home.example dora\n  emil carl+x\n\
               named: Ann Smith <dora@home.example>, bob\n";
    let dir = tempfile::tempdir().unwrap();
    write_map(dir.path(), "aliases", map);
    let file = format!("hash:{}/aliases", dir.path().display());
    let conf = dir.path().join("empty");
    fs::create_dir(&conf).unwrap();
    fs::write(conf.join("main.cf"), "compatibility_level = 3.6\nmyhostname = mx.home.example\n").unwrap();
    let made = std::process::Command::new("postalias").arg("-c").arg(&conf).arg(&file).status().unwrap();
    assert!(made.success());
    let main = format!(
        "{MAIN}alias_maps = {file}\nlocal_transport = local\nfallback_transport = discard:\nmailbox_transport = discard:\n"
    );
    let postfix = Postfix::start(dir.path(), &main);
    let done = crate::postfix::import_some(&["aliases", "-", "--name", "old"], map);
    let locals =
        ["ann", "bob", "carl", "carl+x", "carl+y", "list", "list+a", "staff", "Emil", "duo", "long", "named"];
    let all: Vec<String> =
        locals.iter().flat_map(|l| ["home.example", "second.example"].map(|d| format!("{l}@{d}"))).collect();
    let told = explained(&done.out, &all);
    let mails: Vec<(String, String)> =
        all.iter().map(|to| ("s@out.example".to_owned(), to.clone())).collect();
    // Bare members are at `myorigin` here and at the first local domain there; the mailbox of a name is the same for
    // all local domains here.
    let same = |all: &BTreeSet<String>| -> BTreeSet<String> {
        all.iter().map(|a| a.to_lowercase().replace("second.example", "home.example")).collect()
    };
    for ((_, to), went) in mails.iter().zip(deliver(&postfix, &mails)) {
        assert_eq!(same(&went), same(&told[to]), "{to}\n{}", done.out);
    }
}

#[test]
fn copies_go_where_maps_say() {
    let senders = "ann@out.example one@copy.example\n@out.example two@copy.example\n";
    let recipients = "ann@home.example one@copy.example\nann+x@home.example three@copy.example\n\
                      @home.example two@copy.example\n@second.example three@copy.example\nbob@second.example three@copy.example\n";
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().display();
    write_map(dir.path(), "senders", senders);
    write_map(dir.path(), "recipients", recipients);
    let postfix = Postfix::start(
        dir.path(),
        &format!(
            "{MAIN}sender_bcc_maps = texthash:{here}/senders\nrecipient_bcc_maps = texthash:{here}/recipients\n"
        ),
    );
    let from_senders = table(&import(&["sender_bcc_maps", "-", "--name", "old"], senders));
    let from_recipients = table(&import(&["recipient_bcc_maps", "-", "--name", "old"], recipients));
    let mut mails = Vec::new();
    for from in ["ann@out.example", "bob@out.example", "ann@else.example"] {
        for to in ["ann@home.example", "ann+x@home.example", "ann+y@home.example", "bob@home.example"] {
            mails.push((from.to_owned(), to.to_owned()));
        }
        mails.push((from.to_owned(), "bob@second.example".to_owned()));
        mails.push((from.to_owned(), "bob@else.example".to_owned()));
    }
    for ((from, to), went) in mails.iter().zip(deliver(&postfix, &mails)) {
        let (sender, recipient) = (Address::parse(from).unwrap(), Address::parse(to).unwrap());
        let facts = Facts { sender: Slot::Known(&sender), recipient: Slot::Known(&recipient), ..stranger() };
        let mut want = crate::agreement_maps::copies(&from_senders, &facts);
        want.extend(crate::agreement_maps::copies(&from_recipients, &facts));
        want.insert(to.clone());
        assert_eq!(went, want, "{from} to {to}");
    }
}

/// trivial-rewrite's choice, as RCPT is told it: an `error:` transport refuses at once, with its text.
#[test]
fn transports_are_chosen_as_rules_do() {
    let map = "example error:exact example\n.example error:below example\na.example :\n.b.a.example error:below b\n\
               ann@a.example error:5.1.6 ann has moved\nann+x@home.example error:extended\nbob@home.example error:bob\n\
               ok.example smtp:[one.example]\n";
    let dir = tempfile::tempdir().unwrap();
    write_map(dir.path(), "transport", map);
    let main = format!("{MAIN}transport_maps = texthash:{}/transport\n", dir.path().display());
    let postfix = Postfix::start(dir.path(), &main);
    let rules = table(&import(&["transport", "-", "--name", "old"], map));
    let mut client = Client::connect(&postfix);
    let mut refused = 0;
    let more = ["x@ok.example", "x@sub.ok.example", "x@c.b.a.example"].map(|who| (who.to_owned(), ()));
    let everyone = crate::postfix::everyone().into_iter().map(|who| (who, ()));
    for (who, ()) in everyone.chain(more) {
        let address = Address::parse(&who).unwrap();
        let facts = Facts { recipient: Slot::Known(&address), ..stranger() };
        let verdict = decided(&rules, &facts);
        client.say("HELO neutral.invalid");
        client.say("MAIL FROM:<s@out.example>");
        let told = client.say(&format!("RCPT TO:<{who}>"));
        refused += usize::from(told.starts_with("550"));
        assert!(same(&told, verdict.as_ref()), "{who}: {told}\n{verdict:?}");
    }
    assert!(refused > 15, "{refused}");
}
