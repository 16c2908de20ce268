//! The mixed set in the terms of policy engines from crates.io.
//!
//! Where an engine knows no networks, a network of 256 addresses is a prefix of the text, which is faster.

use crate::rules::{CLIENT, Mail, Rule, rule};
use crate::time;
use cedar_policy::{Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request};
use serde_json::{Value, json};
use std::hint::black_box;
use std::str::FromStr;
use std::sync::Arc;

/// `11.0.0.` of 11.0.0.0/24.
fn prefix(net: &ipnet::Ipv4Net) -> String {
    let [a, b, c, _] = net.addr().octets();
    format!("{a}.{b}.{c}.")
}

fn facts(mail: &Mail) -> Value {
    json!({
        "sender": mail.sender.as_str(),
        "sender_domain": mail.sender.domain(),
        "recipient": mail.recipient.as_str(),
        "helo": mail.helo.as_str(),
        "client": CLIENT.to_string(),
        "direction": "inbound",
        "login": "",
    })
}

/// Cedar: a `forbid` for each rule, and one `permit` for the rest.
pub fn cedar(rules: usize, mail: &Mail) -> f64 {
    let mut text = String::from("permit(principal, action, resource);\n");
    for i in 0..rules {
        let when = match rule(i) {
            Rule::Sender(who) => format!(r#"context.sender == "{who}" && context.direction == "inbound""#),
            Rule::Domain(d) => {
                format!(r#"context.sender_domain == "{d}" || context.sender_domain like "*.{d}""#)
            }
            Rule::Network(net) => {
                format!(r#"context.client.isInRange(ip("{net}")) && context.login == """#)
            }
            Rule::Pair(to, from) => {
                format!(r#"context.recipient == "{to}" && context.sender_domain like "*.{from}""#)
            }
            Rule::Helo(helo) => format!(r#"context.helo == "{helo}""#),
        };
        text.push_str(&format!("forbid(principal, action, resource) when {{ {when} }};\n"));
    }
    let policies = PolicySet::from_str(&text).expect("policies");
    let mut context = facts(mail);
    context["client"] = json!({ "__extn": { "fn": "ip", "arg": CLIENT.to_string() } });
    let uid = |text: &str| EntityUid::from_str(text).expect("a name");
    let request = Request::new(
        uid(r#"Client::"x""#),
        uid(r#"Action::"send""#),
        uid(r#"Server::"mx""#),
        Context::from_json_value(context, None).expect("a context"),
        None,
    )
    .expect("a request");
    let (authorizer, entities) = (Authorizer::new(), Entities::empty());
    time(|| {
        let answer = authorizer.is_authorized(black_box(&request), &policies, &entities);
        assert_eq!(answer.decision(), Decision::Allow);
    })
}

/// Rego: a member of one set for each rule that matches.
pub fn rego(rules: usize, mail: &Mail) -> f64 {
    let mut text = String::from("package mail\nimport rego.v1\ndefault unused := false\n");
    for i in 0..rules {
        let body = match rule(i) {
            Rule::Sender(who) => format!(r#"input.sender == "{who}"; input.direction == "inbound""#),
            Rule::Domain(d) => format!(r#"endswith(concat("", [".", input.sender_domain]), ".{d}")"#),
            Rule::Network(net) => format!(r#"net.cidr_contains("{net}", input.client); input.login == """#),
            Rule::Pair(to, from) => {
                format!(r#"input.recipient == "{to}"; endswith(input.sender_domain, ".{from}")"#)
            }
            Rule::Helo(helo) => format!(r#"input.helo == "{helo}""#),
        };
        text.push_str(&format!("reject contains {i} if {{ {body} }}\n"));
    }
    let mut engine = regorus::Engine::new();
    engine.add_policy("mail.rego".to_owned(), text).expect("a policy");
    let input = regorus::Value::from_json_str(&facts(mail).to_string()).expect("facts");
    engine.set_input(input.clone());
    time(|| {
        engine.set_input(input.clone());
        let found = engine.eval_rule("data.mail.reject".to_owned()).expect("an answer");
        assert!(black_box(&found).as_set().map_or(true, |set| set.is_empty()), "{found}");
    })
}

/// ZEN: a decision table with a row for each rule, the first hit wins; compiled, with its own index.
pub fn zen(rules: usize, mail: &Mail) -> f64 {
    let rows: Vec<Value> = (0..rules)
        .map(|i| {
            let mut row = json!({ "_id": format!("r{i}"), "o": "\"reject\"" });
            match rule(i) {
                Rule::Sender(who) => {
                    row["s"] = json!(format!("\"{who}\""));
                    row["r"] = json!("\"inbound\"");
                }
                Rule::Domain(d) => row["d"] = json!(format!("$ == \"{d}\" or endsWith($, \".{d}\")")),
                Rule::Network(net) => {
                    row["c"] = json!(format!("startsWith($, \"{}\")", prefix(&net)));
                    row["l"] = json!("\"\"");
                }
                Rule::Pair(to, from) => {
                    row["t"] = json!(format!("\"{to}\""));
                    row["d"] = json!(format!("endsWith($, \".{from}\")"));
                }
                Rule::Helo(helo) => row["h"] = json!(format!("\"{helo}\"")),
            }
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
    let facts = facts(mail);
    let mut last = None;
    let ns = time(|| {
        let answer = runtime.block_on(decision.evaluate(facts.clone().into())).expect("an answer");
        last = Some(answer);
    });
    let said = format!("{:?}", last.map(|l| l.result));
    assert!(!said.contains("reject"), "{said}");
    ns
}

/// CEL: a program for each rule, one after the other.
pub fn cel(rules: usize, mail: &Mail) -> f64 {
    use cel_interpreter::{Context, Program};
    let programs: Vec<Program> = (0..rules)
        .map(|i| {
            let text = match rule(i) {
                Rule::Sender(who) => format!("sender == '{who}' && direction == 'inbound'"),
                Rule::Domain(d) => format!("sender_domain == '{d}' || sender_domain.endsWith('.{d}')"),
                Rule::Network(net) => format!("client.startsWith('{}') && login == ''", prefix(&net)),
                Rule::Pair(to, from) => format!("recipient == '{to}' && sender_domain.endsWith('.{from}')"),
                Rule::Helo(helo) => format!("helo == '{helo}'"),
            };
            Program::compile(&text).expect("a program")
        })
        .collect();
    let mut context = Context::default();
    for (name, value) in facts(mail).as_object().expect("facts") {
        context.add_variable_from_value(name.clone(), value.as_str().unwrap_or_default().to_owned());
    }
    let yes = cel_interpreter::Value::Bool(true);
    time(|| {
        let hit = programs.iter().position(|p| p.execute(&context).expect("an answer") == yes);
        assert_eq!(black_box(hit), None);
    })
}
