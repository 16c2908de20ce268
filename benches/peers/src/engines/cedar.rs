//! Cedar: a `forbid` for each rule and one `permit` for the rest. A list is an entity that its entries are members of.

use crate::engines::facts;
use crate::mail::Mail;
use crate::rules::{Rule, Set, entry, literal, rule};
use crate::{Engine, timed};
use cedar_policy::{Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request};
use serde_json::{Value, json};
use std::str::FromStr;
use std::time::Duration;

struct Cedar {
    policies: PolicySet,
    entities: Entities,
    authorizer: Authorizer,
}

/// With so many rules or entries. Networks and patterns are said one by one, and so tell nothing that the mixed set does not.
pub fn make(set: Set, size: usize) -> Option<Box<dyn Engine>> {
    let mut text = String::from("permit(principal, action, resource);\n");
    let mut entities = Entities::empty();
    let mut forbid =
        |when: String| text.push_str(&format!("forbid(principal, action, resource) when {{ {when} }};\n"));
    match set {
        Set::Mixed => (0..size).for_each(|i| forbid(condition(&rule(i)))),
        Set::Patterns => {
            (0..size).for_each(|i| forbid(format!(r#"context.subject like "*{}*""#, literal(i))))
        }
        Set::Senders => {
            // Of a mail there are at most this many keys; what is missing is a key that no list holds.
            for key in 0..KEYS {
                forbid(format!(r#"context.key{key} in List::"blocked""#));
            }
            let member = |i| {
                json!({ "uid": { "type": "Key", "id": entry(i).key() }, "attrs": {},
                    "parents": [{ "type": "List", "id": "blocked" }] })
            };
            let all: Vec<Value> = (0..size).map(member).collect();
            entities = Entities::from_json_value(Value::Array(all), None).expect("entities");
        }
        Set::Networks => return None,
    }
    let policies = PolicySet::from_str(&text).expect("policies");
    Some(Box::new(Cedar { policies, entities, authorizer: Authorizer::new() }))
}

const KEYS: usize = 6;

fn condition(rule: &Rule) -> String {
    match rule {
        Rule::Sender(who) => format!(r#"context.sender == "{who}" && context.direction == "inbound""#),
        Rule::Domain(d) => {
            format!(r#"context.sender_domain == "{d}" || context.sender_domain like "*.{d}""#)
        }
        Rule::Network(net) => format!(r#"context.client.isInRange(ip("{net}")) && context.login == """#),
        Rule::Pair(to, from) => {
            format!(r#"context.recipient == "{to}" && context.sender_domain like "*.{from}""#)
        }
        Rule::Helo(helo) => format!(r#"context.helo == "{helo}""#),
    }
}

impl Cedar {
    fn request(&self, mail: &Mail) -> Request {
        let mut context = facts(mail);
        context["client"] = json!({ "__extn": { "fn": "ip", "arg": mail.client.to_string() } });
        let keys = mail.keys();
        assert!(keys.len() <= KEYS, "{keys:?}");
        for place in 0..KEYS {
            let key = keys.get(place).map_or("", String::as_str);
            context[format!("key{place}")] = json!({ "__entity": { "type": "Key", "id": key } });
        }
        let uid = |text: &str| EntityUid::from_str(text).expect("a name");
        Request::new(
            uid(r#"Client::"x""#),
            uid(r#"Action::"send""#),
            uid(r#"Server::"mx""#),
            Context::from_json_value(context, None).expect("a context"),
            None,
        )
        .expect("a request")
    }

    fn refuses_one(&self, request: &Request) -> bool {
        let answer = self.authorizer.is_authorized(request, &self.policies, &self.entities);
        assert!(answer.diagnostics().errors().next().is_none(), "{answer:?}");
        answer.decision() == Decision::Deny
    }
}

impl Engine for Cedar {
    fn refuses(&mut self, mails: &[Mail]) -> Vec<bool> {
        mails.iter().map(|mail| self.refuses_one(&self.request(mail))).collect()
    }

    fn time(&mut self, mail: &Mail, count: u64) -> Duration {
        let request = self.request(mail);
        timed(count, || self.refuses_one(&request))
    }
}
