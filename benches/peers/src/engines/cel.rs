//! CEL: a compiled program for each rule, one after the other until one holds. A list is a map in the context.

use crate::engines::facts;
use crate::mail::Mail;
use crate::rules::{Rule, Set, entry, literal, prefix, rule};
use crate::{Engine, timed};
use cel_interpreter::{Context, Program, Value};
use std::collections::HashMap;
use std::time::Duration;

struct Cel {
    programs: Vec<Program>,
    blocked: HashMap<String, bool>,
}

/// With so many rules or entries.
pub fn make(set: Set, size: usize) -> Option<Box<dyn Engine>> {
    let program = |text: String| Program::compile(&text).expect("a program");
    let mut blocked = HashMap::new();
    let programs = match set {
        Set::Mixed => (0..size).map(|i| program(condition(&rule(i)))).collect(),
        Set::Patterns => (0..size).map(|i| program(format!("subject.contains('{}')", literal(i)))).collect(),
        Set::Senders => {
            blocked = (0..size).map(|i| (entry(i).key(), true)).collect();
            vec![program("keys.exists(key, key in blocked)".to_owned())]
        }
        Set::Networks => return None,
    };
    Some(Box::new(Cel { programs, blocked }))
}

fn condition(rule: &Rule) -> String {
    match rule {
        Rule::Sender(who) => format!("sender == '{who}' && direction == 'inbound'"),
        Rule::Domain(d) => format!("sender_domain == '{d}' || sender_domain.endsWith('.{d}')"),
        Rule::Network(net) => format!("client.startsWith('{}') && login == ''", prefix(net)),
        Rule::Pair(to, from) => format!("recipient == '{to}' && sender_domain.endsWith('.{from}')"),
        Rule::Helo(helo) => format!("helo == '{helo}'"),
    }
}

impl Cel {
    fn context(&self, mail: &Mail) -> Context<'static> {
        let mut context = Context::default();
        context.add_variable("blocked", Value::from(self.blocked.clone())).expect("a variable");
        for (name, value) in facts(mail).as_object().expect("facts") {
            context.add_variable(name.clone(), value).expect("a variable");
        }
        context
    }

    fn refuses_one(&self, context: &Context<'_>) -> bool {
        self.programs.iter().any(|p| p.execute(context).expect("an answer") == Value::Bool(true))
    }
}

impl Engine for Cel {
    fn refuses(&mut self, mails: &[Mail]) -> Vec<bool> {
        mails.iter().map(|mail| self.refuses_one(&self.context(mail))).collect()
    }

    fn time(&mut self, mail: &Mail, count: u64) -> Duration {
        let context = self.context(mail);
        timed(count, || self.refuses_one(&context))
    }
}
