//! ZEN: a decision table with a row for each rule, the first hit wins; compiled, with its own index over equalities.

use crate::engines::facts;
use crate::mail::Mail;
use crate::rules::{Entry, Rule, Set, entry, literal, prefix, rule};
use crate::{Engine, timed};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

struct Zen {
    decision: zen_engine::Decision,
    runtime: Runtime,
}

/// With so many rows.
pub fn make(set: Set, size: usize) -> Option<Box<dyn Engine>> {
    let cells: fn(usize, &mut Value) = match set {
        Set::Mixed => |i, row| of_rule(&rule(i), row),
        Set::Senders => |i, row| match entry(i) {
            Entry::Address(who) => row["s"] = json!(format!("\"{who}\"")),
            Entry::Domain(d) => row["d"] = json!(format!("\"{d}\"")),
            Entry::Below(d) => row["d"] = json!(format!("endsWith($, \".{d}\")")),
        },
        Set::Patterns => |i, row| row["x"] = json!(format!("contains($, \"{}\")", literal(i))),
        Set::Networks => return None,
    };
    let rows: Vec<Value> = (0..size)
        .map(|i| {
            let mut row = json!({ "_id": format!("r{i}"), "o": "\"reject\"" });
            cells(i, &mut row);
            row
        })
        .collect();
    let input = |id: &str, field: &str| json!({ "id": id, "name": field, "field": field });
    let inputs = [
        input("s", "sender"),
        input("d", "sender_domain"),
        input("c", "client"),
        input("t", "recipient"),
        input("h", "helo"),
        input("r", "direction"),
        input("l", "login"),
        input("x", "subject"),
    ];
    let graph = json!({
        "nodes": [
            { "id": "in", "name": "in", "type": "inputNode" },
            { "id": "dt", "name": "dt", "type": "decisionTableNode", "content": {
                "hitPolicy": "first", "inputs": inputs, "rules": rows,
                "outputs": [{ "id": "o", "name": "verdict", "field": "verdict" }]
            } },
            { "id": "out", "name": "out", "type": "outputNode" }
        ],
        "edges": [
            { "id": "e1", "sourceId": "in", "targetId": "dt" },
            { "id": "e2", "sourceId": "dt", "targetId": "out" }
        ]
    });
    let content: zen_engine::model::GraphContent = serde_json::from_value(graph).expect("a graph");
    let mut decision = zen_engine::Decision::from(Arc::new(content));
    decision.compile();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    Some(Box::new(Zen { decision, runtime }))
}

fn of_rule(rule: &Rule, row: &mut Value) {
    match rule {
        Rule::Sender(who) => {
            row["s"] = json!(format!("\"{who}\""));
            row["r"] = json!("\"inbound\"");
        }
        Rule::Domain(d) => row["d"] = json!(format!("$ == \"{d}\" or endsWith($, \".{d}\")")),
        Rule::Network(net) => {
            row["c"] = json!(format!("startsWith($, \"{}\")", prefix(net)));
            row["l"] = json!("\"\"");
        }
        Rule::Pair(to, from) => {
            row["t"] = json!(format!("\"{to}\""));
            row["d"] = json!(format!("endsWith($, \".{from}\")"));
        }
        Rule::Helo(helo) => row["h"] = json!(format!("\"{helo}\"")),
    }
}

impl Zen {
    fn refuses_one(&self, facts: zen_engine::Variable) -> bool {
        let answer = self.runtime.block_on(self.decision.evaluate(facts)).expect("an answer");
        let verdict = answer.result.dot("verdict");
        verdict.is_some_and(|verdict| verdict.as_str() == Some("reject"))
    }
}

impl Engine for Zen {
    fn refuses(&mut self, mails: &[Mail]) -> Vec<bool> {
        mails.iter().map(|mail| self.refuses_one(facts(mail).into())).collect()
    }

    fn time(&mut self, mail: &Mail, count: u64) -> Duration {
        let facts: zen_engine::Variable = facts(mail).into();
        timed(count, || self.refuses_one(facts.shallow_clone()))
    }
}
