//! Settings, items and clauses: each case of the data files against a daemon, with what it is about and without. What
//! there is to show is read from the parser's own lists and from the grammar in docs/language.md.

use crate::client::{Client, trusting};
use crate::script::{Case, Run, Script, Step, cases};
use crate::support::daemon::Daemon;
use crate::support::taker::Taker;
use crate::support::{PATIENCE, SECRET, free_port};
use crate::{certificate, data, name_server};
use edict_compiler::parse::words::{ITEMS, SETTINGS, clauses};
use edict_compiler::source::Sources;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The data files.
const FILES: [&str; 4] = ["settings.txt", "verdicts.txt", "bounds.txt", "actions.txt"];
/// Who logs in or has a mailbox besides each run's own user.
const USERS: [&str; 5] = ["ann", "bob", "carl", "archive", "dora"];
/// What a profile says where a case does not.
const PROFILE: [&str; 5] = [
    "hostname mx.example.com",
    "local-domains [example.com]",
    "auth optional",
    "auth-without-tls allowed",
    "sender-must be-anything",
];
const ZONE: &str = "
hub.example    A  127.0.0.1
wrong.example  A  127.0.0.1
mxed.example   MX hub.example
";
/// The rules of the hub, which knows Eve alone at branch.example and passes on what it gets.
const HUB: &str = "edict 1
profile {
    hostname         hub.example
    local-domains    [branch.example]
    recipients       known in [known]
    auth             optional
    auth-without-tls allowed
    sender-must      be-anything
}
list known: address = [eve@branch.example]
";

/// The daemon under test and what it sends to.
struct World {
    daemon: Daemon,
    mx: SocketAddr,
    submission: SocketAddr,
    hub: Daemon,
    implicit: SocketAddr,
    bare: Taker,
    /// The configuration without what runs add.
    config: String,
    tls: Arc<rustls::ClientConfig>,
    folder: tempfile::TempDir,
}

fn compile(sources: &Sources, to: &Path) -> Result<(), String> {
    let done = edict_compiler::compile(sources, &edict_compiler::Options { proofs: false });
    let table = done.table.ok_or_else(|| format!("{:#?}", done.diagnostics))?;
    std::fs::write(to, edict_table::emit::emit(&table)).map_err(|e| e.to_string())
}

fn one_file(text: &str) -> Sources {
    let mut sources = Sources::default();
    sources.insert("main.edict", text);
    sources
}

impl World {
    fn start(cases: &[Case]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own");
        let other = folder.path().join("hub");
        for folder in [&own, &other] {
            std::fs::create_dir(folder).unwrap();
        }
        let (hub, implicit) = (free_port(), free_port());
        let pem = certificate(&other, "hub", &["hub.example"]);
        compile(&one_file(HUB), &other.join("edict.table")).unwrap();
        std::fs::write(other.join("users"), format!("hubuser@branch.example:{SECRET}\n")).unwrap();
        let config = format!(
            "(table: \"edict.table\", users: \"users\", \
             tls: (certificates: [(certificate: \"hub.pem\", key: \"hub.key\")]), \
             listeners: [(address: \"{hub}\"), (address: \"{implicit}\", role: submissions)])"
        );
        let hub = Daemon::configured(&other, hub, &config);

        let tls = trusting(&certificate(&own, "mx", &["mx.example.com"]));
        std::fs::write(own.join("roots.pem"), pem).unwrap();
        std::fs::write(own.join("password"), "secret\n").unwrap();
        let mut users = String::new();
        for user in USERS {
            writeln!(users, "{user}@example.com:{SECRET}").unwrap();
        }
        for id in (0..cases.len()).flat_map(|place| Run::BOTH.map(|run| id(place, run))) {
            writeln!(users, "{id}@example.com:{SECRET}").unwrap();
        }
        std::fs::write(own.join("users"), users).unwrap();
        compile(&one_file("edict 1\n"), &own.join("edict.table")).unwrap();
        let (mx, submission, dns) = (free_port(), free_port(), name_server(ZONE.to_owned()));
        let config = format!(
            "table: \"edict.table\", users: \"users\", \
             tls: (certificates: [(certificate: \"mx.pem\", key: \"mx.key\")]), \
             listeners: [(address: \"{mx}\", proxy_from: [\"127.0.0.1\"]), \
             (address: \"{submission}\", role: submission, proxy_from: [\"127.0.0.1\"])], \
             credentials: {{ \"hub\": (login: \"hubuser@branch.example\", password_file: \"password\") }}, \
             next_hops: (name_servers: [\"{dns}\"], mx_port: {}, roots: \"roots.pem\"),",
            hub.address.port()
        );
        let daemon = Daemon::configured(&own, mx, &format!("({config})"));
        let bare = Taker::start(&["8BITMIME"]);
        Self { daemon, mx, submission, hub, implicit, bare, config, tls, folder }
    }

    /// A line with values for the names in braces.
    fn put(&self, line: &str, id: &str) -> String {
        let mut line = line
            .replace("{id}", id)
            .replace("{hub}", &self.hub.address.to_string())
            .replace("{port}", &self.hub.address.port().to_string())
            .replace("{implicit}", &format!("hub.example:{}", self.implicit.port()))
            .replace("{bare}", &self.bare.address.to_string());
        if line.contains("{now}") {
            let now = std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M"]).output().unwrap();
            line = line.replace("{now}", String::from_utf8(now.stdout).unwrap().trim());
        }
        while let Some((before, rest)) = line.split_once("{x") {
            let (count, after) = rest.split_once('}').unwrap();
            line = format!("{before}{}{after}", "x".repeat(count.parse().unwrap()));
        }
        line
    }

    fn play(&self, case: &Case, run: Run, id: &str) -> Result<(), String> {
        let script = case.script(run, &|line| self.put(line, id));
        self.take_over(&script)?;
        let mut player = Player {
            world: self,
            id: id.to_owned(),
            clients: Vec::new(),
            replies: Vec::new(),
            took: Duration::ZERO,
            log: self.daemon.read_log().len(),
        };
        for step in &script.steps {
            player.step(step).map_err(|e| format!("{step:?}: {e}"))?;
        }
        match player.replies.is_empty() {
            true => Ok(()),
            false => Err(format!("nobody wanted to see {:?}", player.replies)),
        }
    }

    /// Puts the rule set of a run in force.
    fn take_over(&self, script: &Script) -> Result<(), String> {
        let setting = |line: &str| line.split(' ').next().unwrap().to_owned();
        let mut own: Vec<String> = script.profile.iter().map(|line| setting(line)).collect();
        if script.profile.iter().any(|line| line == "auth off") {
            // Nothing may be said of logins then.
            own.extend(["auth-without-tls", "sender-must"].map(str::to_owned));
        }
        let mut text = "edict 1\nprofile {\n".to_owned();
        for line in PROFILE.iter().filter(|line| !own.contains(&setting(line))) {
            writeln!(text, "{line}").unwrap();
        }
        writeln!(text, "{}\n}}\n{}", script.profile.join("\n"), script.rules).unwrap();
        let mut sources = one_file(&text);
        for (name, text) in &script.files {
            sources.insert(name.clone(), text.clone());
        }
        compile(&sources, &self.folder.path().join("own/edict.table")).map_err(|e| format!("{text}{e}"))?;
        let config = format!("({} {})", self.config, script.keys.join(", "));
        std::fs::write(self.folder.path().join("own/edictd.ron"), config).map_err(|e| e.to_string())?;
        match self.daemon.ask(&["reload"]) {
            (0, _) => Ok(()),
            (_, said) => Err(said),
        }
    }
}

/// One run under way.
struct Player<'a> {
    world: &'a World,
    id: String,
    clients: Vec<Client>,
    /// Replies that no line has asked for yet.
    replies: Vec<String>,
    took: Duration,
    /// How long the log was at the beginning.
    log: usize,
}

/// Tries again until something is there.
fn wait(mut look: impl FnMut() -> Result<(), String>) -> Result<(), String> {
    let start = Instant::now();
    loop {
        match look() {
            Ok(()) => return Ok(()),
            Err(error) if start.elapsed() > PATIENCE => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn fine(reply: Option<String>, code: &str) -> Result<(), String> {
    match reply {
        Some(reply) if reply.starts_with(code) => Ok(()),
        other => Err(format!("{other:?} in place of {code}")),
    }
}

impl Player<'_> {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        if !self.replies.is_empty() && !matches!(step, Step::Reply(_) | Step::Took(_)) {
            return Err(format!("nobody wanted to see {:?}", self.replies));
        }
        match step {
            Step::Mail(..) | Step::NoMail(..) | Step::Log(_) | Step::Ask(..) => return self.look(step),
            Step::Pause(ms) => std::thread::sleep(Duration::from_millis(*ms)),
            Step::Took(ms) if self.took < Duration::from_millis(*ms) => {
                return Err(format!("it took {:?}", self.took));
            }
            Step::Took(_) => {}
            _ => return self.talk(step).map_err(|e| e.to_string())?,
        }
        Ok(())
    }

    fn talk(&mut self, step: &Step) -> std::io::Result<Result<(), String>> {
        if let Step::Connect(ip, submission, greeted) = step {
            let to = if *submission { self.world.submission } else { self.world.mx };
            let mut client = Client::connect(to, *ip)?;
            let greeting = client.reply()?;
            if *greeted {
                let fit = fine(greeting, "220").and(fine(client.command("EHLO client.example")?, "250"));
                self.clients.push(client);
                return Ok(fit);
            }
            self.clients.push(client);
            self.replies.extend(greeting);
            return Ok(Ok(()));
        }
        let Some(client) = self.clients.last_mut() else { return Ok(Err("nobody is there".to_owned())) };
        let began = Instant::now();
        let done = match step {
            Step::Login(user) => fine(client.login(user)?, "235"),
            Step::Tls => {
                let ready = fine(client.command("STARTTLS")?, "220");
                if ready.is_ok() {
                    client.encrypt(&self.world.tls)?;
                }
                ready.and(fine(client.command("EHLO client.example")?, "250"))
            }
            Step::Send(line) => {
                client.send(format!("{line}\r\n").as_bytes())?;
                let count = line.matches("\r\n").count() + 1;
                for _ in 0..count {
                    self.replies.extend(client.reply()?);
                }
                Ok(())
            }
            Step::Message(from, to, text) => {
                let text =
                    if text.is_empty() { format!("From: {from}\r\n\r\nHello\r\n") } else { text.clone() };
                let text = format!("X-Case: {}\r\n{text}", self.id);
                self.replies.push(client.message(from, to, text.as_bytes())?);
                Ok(())
            }
            Step::Reply(wanted) => {
                if self.replies.is_empty() {
                    self.replies.extend(client.reply()?);
                }
                if self.replies.is_empty() {
                    return Ok(Err("the server has closed".to_owned()));
                }
                let reply = self.replies.remove(0);
                let fits = match wanted.strip_suffix('*') {
                    Some(front) => reply.starts_with(front),
                    None => reply == *wanted,
                };
                return Ok(if fits { Ok(()) } else { Err(format!("it said {reply}")) });
            }
            Step::Closed => match client.reply()? {
                None => Ok(()),
                Some(reply) => Err(format!("it said {reply}")),
            },
            other => Err(format!("{other:?} is nothing to say")),
        };
        self.took = began.elapsed();
        Ok(done)
    }

    /// The messages of this run in a mailbox.
    fn mailbox(&self, of: char, mailbox: &str) -> Vec<String> {
        let mut mail = match of {
            'B' => self.world.daemon.mailbox(mailbox),
            'H' => self.world.hub.mailbox(mailbox),
            _ => {
                let taken = self.world.bare.messages().into_iter().filter(|taken| taken.is_to(mailbox));
                taken.map(|taken| taken.text()).collect()
            }
        };
        mail.retain(|mail| mail.contains(&format!("X-Case: {}", self.id)));
        mail
    }

    fn look(&self, step: &Step) -> Result<(), String> {
        let holds = |text: &str, all: &[String]| all.iter().all(|part| text.contains(part));
        match step {
            Step::Mail(of, mailbox, all) => wait(|| {
                let mail = self.mailbox(*of, mailbox);
                match mail.iter().any(|mail| holds(mail, all)) {
                    true => Ok(()),
                    false => Err(format!("there is {mail:?}; the log: {}", self.log())),
                }
            }),
            Step::NoMail(mailbox, all) => {
                match self.mailbox('B', mailbox).iter().find(|mail| holds(mail, all)) {
                    Some(mail) => Err(format!("there is {mail}")),
                    None => Ok(()),
                }
            }
            Step::Log(all) => wait(|| match self.log().lines().any(|line| holds(line, all)) {
                true => Ok(()),
                false => Err(self.log()),
            }),
            Step::Ask(words, wanted) => {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                wait(|| match self.world.daemon.ask(&words) {
                    (0, said) if said.contains(wanted) => Ok(()),
                    (_, said) => Err(said),
                })
            }
            _ => Ok(()),
        }
    }

    fn log(&self) -> String {
        self.world.daemon.read_log().get(self.log..).unwrap_or_default().to_owned()
    }
}

/// A word for one run.
fn id(place: usize, run: Run) -> String {
    format!("{}{place}", if run == Run::With { "yes" } else { "no" })
}

/// Plays all cases of a file.
fn play(name: &str) {
    let cases = cases(&data(name));
    let world = World::start(&cases);
    let mut wrong = Vec::new();
    for (place, case) in cases.iter().enumerate() {
        for run in Run::BOTH {
            if let Err(error) = world.play(case, run, &id(place, run)) {
                wrong.push(format!("{} ({}): {error}", case.name, run.mark()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} runs:\n{}", wrong.len(), 2 * cases.len(), wrong.join("\n\n"));
}

#[test]
fn settings() {
    play(FILES[0]);
}

#[test]
fn verdicts() {
    play(FILES[1]);
}

#[test]
fn bounds() {
    play(FILES[2]);
}

#[test]
fn actions() {
    play(FILES[3]);
}

/// The word of a token in quotes.
fn quoted(token: &str) -> Option<&str> {
    let word = token.strip_prefix('"')?.strip_suffix('"')?;
    word.starts_with(char::is_alphabetic).then_some(word)
}

/// `"name" ( "a" | "b" )` of the grammar as `name a` and `name b`; so does `( "one" | "two" ) ( "a" | "b" )`.
fn choices(grammar: &str) -> Vec<String> {
    // A production's quoted words and punctuation, one after the other.
    let mut tokens: Vec<String> = Vec::new();
    let mut rest = grammar;
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            '"' => rest[1..].find('"').unwrap() + 2,
            c if c.is_alphanumeric() => {
                rest.find(|c: char| !c.is_alphanumeric() && c != '-').unwrap_or(rest.len())
            }
            c => c.len_utf8(),
        };
        if !c.is_whitespace() {
            tokens.push(rest[..taken].to_owned());
        }
        rest = &rest[taken..];
    }
    // The words of a group that begins here, and where it ends.
    let group = |at: usize| -> Option<(Vec<&str>, usize)> {
        let (mut words, mut at) = (Vec::new(), at + 1);
        loop {
            words.push(quoted(tokens.get(at)?)?);
            match tokens.get(at + 1)?.as_str() {
                "|" => at += 2,
                ")" => return Some((words, at + 2)),
                _ => return None,
            }
        }
    };
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let heads = match (quoted(&tokens[at]), tokens[at].as_str()) {
            (Some(word), _) => Some((vec![word], at + 1)),
            (None, "(") => group(at),
            _ => None,
        };
        let Some((heads, next)) = heads else { continue };
        if tokens.get(next).is_none_or(|token| token != "(") {
            continue;
        }
        if let Some((values, _)) = group(next) {
            found.extend(
                heads.iter().flat_map(|head| values.iter().map(move |value| format!("{head} {value}"))),
            );
        }
    }
    found
}

#[test]
fn nothing_of_the_language_is_left_out() {
    let all: Vec<Case> = FILES.iter().flat_map(|file| cases(&data(file))).collect();
    let named =
        |name: &str| all.iter().any(|case| format!("{} ", case.name).starts_with(&format!("{name} ")));
    let mut missing: Vec<String> = Vec::new();
    missing.extend(SETTINGS.iter().filter(|setting| !named(setting)).map(|s| (*s).to_owned()));
    // Tests are run by `edict test`, and never reach a daemon.
    for item in ITEMS.iter().filter(|item| !["profile", "test"].contains(item)) {
        let all = clauses(item).iter().map(|clause| format!("{item} {clause}"));
        missing.extend(all.chain([(*item).to_owned()]).filter(|name| !named(name)));
    }
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/language.md")).unwrap();
    let grammar = page.split("```text\nfile ").nth(1).unwrap();
    let productions = grammar.split("\ntest-part").next().unwrap().split("\ncondition ");
    let text = all.iter().map(Case::language).collect::<Vec<_>>().concat();
    let choices = choices(productions.clone().next().unwrap());
    assert!(choices.len() > 40, "the grammar was read: {choices:?}");
    missing.extend(choices.into_iter().filter(|choice| !text.contains(choice)));
    assert!(missing.is_empty(), "without a case on the wire: {missing:#?}");
}
