//! SARIF by its own schema: what `edict check --format sarif` prints of every golden case is valid SARIF 2.1.0.
//!
//! The schema is OASIS's, as the crate `serde-sarif` ships it; where that crate lies, cargo says.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use crate::kit::{data, edict, golden};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

fn schema() -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    // Packages of other systems were perhaps never fetched.
    let told = Command::new("rustc").arg("-vV").output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let host = told.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let args = ["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", host];
    let told = Command::new(cargo).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let metadata: Value = serde_json::from_slice(&told.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let found = packages.iter().find(|p| p["name"] == "serde-sarif").unwrap();
    let folder = Path::new(found["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned();
    serde_json::from_slice(&std::fs::read(folder.join("src/schema.json")).unwrap()).unwrap()
}

#[test]
fn every_diagnostic_is_valid_sarif() {
    let schema = schema();
    assert!(schema["title"].as_str().unwrap().contains("Version 2.1.0"));
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    let valid = |name: &str, text: &str| -> Value {
        let document: Value = serde_json::from_str(text).unwrap();
        let wrong: Vec<String> =
            validator.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:#?}\n{text}");
        document
    };
    let mut results = 0;
    for (name, folder) in golden() {
        let text = edict(folder.path(), &["check", "--format", "sarif"]).out;
        // A folder without `main.edict` is no rule set: there is nothing to scan.
        if !text.is_empty() {
            results += valid(&name, &text)["runs"][0]["results"].as_array().unwrap().len();
        }
    }
    assert!(results > 150, "{results} results are not all there is to say");
    let mut document = valid("broken", &edict(&data("broken"), &["check", "--format", "sarif"]).out);
    // The schema refuses what is wrong, so that it can be believed where it does not.
    document["runs"][0]["results"][0]["level"] = "fatal".into();
    assert!(!validator.is_valid(&document));
    document["runs"][0]["results"][0]["level"] = "error".into();
    assert!(validator.is_valid(&document));
    document["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"] = 0.into();
    assert!(!validator.is_valid(&document));
}
