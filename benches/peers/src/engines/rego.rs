//! Rego (regorus), in the ways that it can be run and written: a policy with a rule for each rule, by the interpreter and by the
//! virtual machine, both compiled; and one small policy over the rules as data, which is an index made by hand.

use crate::engines::facts;
use crate::mail::Mail;
use crate::rules::{Rule, Set, entry, literal, prefix, rule};
use crate::{Engine, timed};
use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::RegoVM;
use regorus::{CompiledPolicy, PolicyLengthConfig, Value};
use serde_json::{Map, json};
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

const ENTRY: &str = "data.mail.reject";

/// By the interpreter.
pub fn interpreter(set: Set, size: usize) -> Option<Box<dyn Engine>> {
    Some(Box::new(compiled(policy(set, size)?, Value::new_object())))
}

/// By the virtual machine. It takes no policy of more than some thousand rules.
pub fn machine(set: Set, size: usize) -> Option<Box<dyn Engine>> {
    vm(policy(set, size)?, Value::new_object())
}

/// Rules as data, by the interpreter.
pub fn data(set: Set, size: usize) -> Option<Box<dyn Engine>> {
    let (policy, data) = over_data(set, size)?;
    Some(Box::new(compiled(policy, data)))
}

/// Rules as data, by the virtual machine.
pub fn data_machine(set: Set, size: usize) -> Option<Box<dyn Engine>> {
    let (policy, data) = over_data(set, size)?;
    vm(policy, data)
}

/// A rule for each rule; the first that holds is enough.
fn policy(set: Set, size: usize) -> Option<String> {
    let mut text = String::from("package mail\nimport rego.v1\n");
    let bodies: Box<dyn Iterator<Item = String>> = match set {
        Set::Mixed => Box::new((0..size).map(|i| condition(&rule(i)))),
        Set::Patterns => Box::new((0..size).map(|i| format!(r#"contains(input.subject, "{}")"#, literal(i)))),
        Set::Senders | Set::Networks => return None,
    };
    bodies.for_each(|body| text.push_str(&format!("reject if {{ {body} }}\n")));
    Some(text)
}

fn condition(rule: &Rule) -> String {
    match rule {
        Rule::Sender(who) => format!(r#"input.sender == "{who}"; input.direction == "inbound""#),
        Rule::Domain(d) => format!(r#"endswith(concat("", [".", input.sender_domain]), ".{d}")"#),
        Rule::Network(net) => format!(r#"startswith(input.client, "{}"); input.login == """#, prefix(net)),
        Rule::Pair(to, from) => {
            format!(r#"input.recipient == "{to}"; endswith(input.sender_domain, ".{from}")"#)
        }
        Rule::Helo(helo) => format!(r#"input.helo == "{helo}""#),
    }
}

fn over_data(set: Set, size: usize) -> Option<(String, Value)> {
    let (rules, data) = match set {
        Set::Mixed => (MIXED, mixed(size)),
        Set::Senders => {
            let all: Map<String, serde_json::Value> =
                (0..size).map(|i| (entry(i).key(), json!(true))).collect();
            ("reject if { some key in input.keys; data.blocked[key] }\n", json!({ "blocked": all }))
        }
        Set::Networks | Set::Patterns => return None,
    };
    let data = Value::from_json_str(&data.to_string()).expect("data");
    Some((format!("package mail\nimport rego.v1\n{rules}"), data))
}

const MIXED: &str = r#"
reject if { data.senders[input.sender]; input.direction == "inbound" }
reject if data.domains[input.sender_domain]
reject if { some parent in input.parents; data.domains[parent] }
reject if { data.nets[input.net]; input.login == "" }
reject if { some parent in input.parents; data.pairs[input.recipient] == parent }
reject if data.helos[input.helo]
"#;

fn mixed(size: usize) -> serde_json::Value {
    let mut all = json!({ "senders": {}, "domains": {}, "nets": {}, "pairs": {}, "helos": {} });
    let mut put = |map: &str, key: String, value: serde_json::Value| all[map][key] = value;
    for i in 0..size {
        match rule(i) {
            Rule::Sender(who) => put("senders", who, json!(true)),
            Rule::Domain(d) => put("domains", d, json!(true)),
            Rule::Network(net) => put("nets", prefix(&net), json!(true)),
            Rule::Pair(to, from) => put("pairs", to, json!(from)),
            Rule::Helo(helo) => put("helos", helo, json!(true)),
        }
    }
    all
}

fn compiled(policy: String, data: Value) -> Interpreter {
    let mut engine = regorus::Engine::new();
    engine.set_policy_length_config(PolicyLengthConfig {
        max_col: NonZeroU32::new(4096).expect("a number"),
        max_file_bytes: NonZeroUsize::new(1 << 30).expect("a number"),
        max_lines: NonZeroUsize::new(1 << 24).expect("a number"),
    });
    engine.add_policy("mail.rego".to_owned(), policy).expect("a policy");
    engine.add_data(data).expect("data");
    Interpreter(engine.compile_with_entrypoint(&ENTRY.into()).expect("a compiled policy"))
}

struct Interpreter(CompiledPolicy);

fn input(mail: &Mail) -> Value {
    Value::from_json_str(&facts(mail).to_string()).expect("facts")
}

impl Interpreter {
    fn refuses_one(&self, input: Value) -> bool {
        self.0.eval_with_input(input).expect("an answer") == Value::Bool(true)
    }
}

impl Engine for Interpreter {
    fn refuses(&mut self, mails: &[Mail]) -> Vec<bool> {
        mails.iter().map(|mail| self.refuses_one(input(mail))).collect()
    }

    fn time(&mut self, mail: &Mail, count: u64) -> Duration {
        let input = input(mail);
        timed(count, || self.refuses_one(input.clone()))
    }
}

fn vm(policy: String, data: Value) -> Option<Box<dyn Engine>> {
    let program = match Compiler::compile_from_policy(&compiled(policy, data.clone()).0, &[ENTRY]) {
        Ok(program) => program,
        Err(error) => {
            eprintln!("regorus' machine does not take it: {error}");
            return None;
        }
    };
    let mut vm = RegoVM::new();
    vm.load_program(program);
    vm.set_max_instructions(usize::MAX);
    vm.set_data(data).expect("data");
    Some(Box::new(Machine(vm)))
}

struct Machine(RegoVM);

impl Machine {
    fn refuses_one(&mut self, input: Value) -> bool {
        self.0.set_input(input);
        self.0.execute().expect("an answer") == Value::Bool(true)
    }
}

impl Engine for Machine {
    fn refuses(&mut self, mails: &[Mail]) -> Vec<bool> {
        mails.iter().map(|mail| self.refuses_one(input(mail))).collect()
    }

    fn time(&mut self, mail: &Mail, count: u64) -> Duration {
        let input = input(mail);
        timed(count, || self.refuses_one(input.clone()))
    }
}
