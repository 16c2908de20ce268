//! Cases as data. The format stands in `README`.

use std::net::IpAddr;

/// Whether a line belongs to both runs of a case or to one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Run {
    /// What the case is about is there.
    With,
    /// It is not.
    Without,
}

impl Run {
    /// Both, in order.
    pub const BOTH: [Self; 2] = [Self::With, Self::Without];

    /// How lines of this run alone begin.
    pub fn mark(self) -> char {
        match self {
            Self::With => '+',
            Self::Without => '-',
        }
    }
}

/// What happens in a run, in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// Somebody connects, to the submission port or not; the second flag: and says EHLO.
    Connect(IpAddr, bool, bool),
    /// Logs in.
    Login(String),
    /// Begins TLS and says EHLO again.
    Tls,
    /// Sends a line.
    Send(String),
    /// A reply, or the end of the connection.
    Reply(String),
    Closed,
    /// Sends a message: from, to, text.
    Message(String, Vec<String>, String),
    /// A message in a mailbox that holds all of these: here, at the hub, at the bare hop.
    Mail(char, String, Vec<String>),
    /// No message in a mailbox here holds all of these.
    NoMail(String, Vec<String>),
    /// A line of the log holds all of these.
    Log(Vec<String>),
    /// The last reply took so many milliseconds at least.
    Took(u64),
    /// So many milliseconds pass.
    Pause(u64),
    /// `edictd` says this when it is asked: words, then what is in the answer.
    Ask(Vec<String>, String),
}

/// One run of a case.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// Keys of the configuration besides the daemon's own.
    pub keys: Vec<String>,
    pub profile: Vec<String>,
    pub rules: String,
    /// Further files of the rule set.
    pub files: Vec<(String, String)>,
    pub steps: Vec<Step>,
}

/// A case: what it shows, and its lines.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    lines: Vec<String>,
}

/// Reads the cases of a file; `=== each NAME: a b c` repeats one with `{kind}` put in.
pub fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for block in text.split("\n=== ").skip(1) {
        let (name, rest) = block.split_once('\n').unwrap_or((block, ""));
        let lines = rest.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        match name.strip_prefix("each ").and_then(|name| name.split_once(": ")) {
            None => cases.push(Case { name: name.to_owned(), lines }),
            Some((name, kinds)) => cases.extend(kinds.split(' ').map(|kind| Case {
                name: format!("{kind} {name}"),
                lines: lines.iter().map(|line| of_kind(line, kind)).collect(),
            })),
        }
    }
    cases
}

/// A line for one kind of verdict: the kind, how the log calls what it gave, and the rule that it stands beside.
fn of_kind(line: &str, kind: &str) -> String {
    let rival = if kind == "allow" { "reject" } else { "allow" };
    line.replace("{kind}", kind).replace("{rival}", rival)
}

impl Case {
    /// One of its runs. `put` puts values into names in braces.
    pub fn script(&self, run: Run, put: &dyn Fn(&str) -> String) -> Script {
        let mut script = Script::default();
        for line in &self.lines {
            let line = match line.strip_prefix(['+', '-']) {
                Some(rest) if line.starts_with(run.mark()) => rest,
                Some(_) => continue,
                None => line,
            };
            script.line(&put(line)).unwrap_or_else(|| panic!("{}: {line:?}", self.name));
        }
        script
    }

    /// All rule text and settings of both runs.
    pub fn language(&self) -> String {
        let own = |run| {
            let script = self.script(run, &str::to_owned);
            format!("{} {}", script.profile.join(" "), script.rules)
        };
        Run::BOTH.map(own).concat()
    }
}

/// `a ; b` as its parts.
fn parts(text: &str) -> Vec<String> {
    text.split(" ; ").map(|part| part.replace("\\n", "\n")).collect()
}

impl Script {
    fn line(&mut self, line: &str) -> Option<()> {
        let (mark, rest) = line.split_at_checked(1)?;
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        match mark {
            "D" => self.keys.push(rest.to_owned()),
            "P" => self.profile.push(rest.to_owned()),
            "R" => self.rules += &format!("{rest}\n"),
            "F" => {
                let (name, text) = rest.split_once(": ")?;
                match self.files.iter_mut().find(|(have, _)| have == name) {
                    Some((_, so_far)) => *so_far += &format!("{text}\n"),
                    None => self.files.push((name.to_owned(), format!("{text}\n"))),
                }
            }
            "K" | "k" => {
                let (ip, port) = rest.split_once(' ').unwrap_or((rest, ""));
                self.steps.push(Step::Connect(ip.parse().ok()?, port == "submission", mark == "K"));
            }
            "U" => self.steps.push(Step::Login(rest.to_owned())),
            "T" => self.steps.push(Step::Tls),
            "C" => self.steps.push(Step::Send(rest.replace("\\r\\n", "\r\n"))),
            "S" => self.steps.push(Step::Reply(rest.to_owned())),
            "X" => self.steps.push(Step::Closed),
            "M" => {
                let (from, to) = rest.split_once(" -> ")?;
                let to = to.split(", ").map(str::to_owned).collect();
                self.steps.push(Step::Message(from.to_owned(), to, String::new()));
            }
            "|" => match self.steps.last_mut()? {
                Step::Message(_, _, text) => *text += &format!("{rest}\r\n"),
                _ => return None,
            },
            "B" | "H" | "G" => {
                let (mailbox, text) = rest.split_once(": ")?;
                self.steps.push(Step::Mail(mark.chars().next()?, mailbox.to_owned(), parts(text)));
            }
            "N" => {
                let (mailbox, text) = rest.split_once(": ")?;
                self.steps.push(Step::NoMail(mailbox.to_owned(), parts(text)));
            }
            "L" => self.steps.push(Step::Log(parts(rest))),
            "Z" => self.steps.push(Step::Took(rest.parse().ok()?)),
            "W" => self.steps.push(Step::Pause(rest.parse().ok()?)),
            "Q" => {
                let (words, text) = rest.split_once(": ")?;
                let words = words.split(' ').map(str::to_owned).collect();
                self.steps.push(Step::Ask(words, text.to_owned()));
            }
            _ => return None,
        }
        Some(())
    }
}
