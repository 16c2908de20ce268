//! The house rules that a compiler cannot check: stages import only from stages above them, files say
//! what they are for and stay short, and the core reads no disk.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};

/// Leaves first, then the stages in order.
const ORDER: &[&str] = &[
    "span", "source", "diag", "codes", "ast", "lex", "tree", "parse", "fmt", "data", "gather", "model",
    "resolve", "check", "lower", "prove",
];
const MAX_LINES: usize = 800;

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

#[test]
fn stages_import_upwards_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    files(&root, &mut all);
    for path in all {
        let relative = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        let module = relative.split(['/', '.']).next().unwrap().to_owned();
        if module == "lib" || relative.ends_with("tests.rs") {
            continue;
        }
        let own = ORDER.iter().position(|m| *m == module);
        assert!(own.is_some(), "{relative}: which stage is `{module}`?");
        let text = std::fs::read_to_string(&path).unwrap();
        // Tests within a file may use what they like.
        let body = text.split("#[cfg(test)]").next().unwrap();
        for line in body.lines().filter(|l| !l.trim_start().starts_with("//")) {
            for used in line.split("crate::").skip(1) {
                let name: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let place = ORDER.iter().position(|m| *m == name);
                assert!(place.is_some() && place <= own, "{relative} imports from a later stage: {line}");
            }
        }
    }
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let mut all = Vec::new();
    files(Path::new(env!("CARGO_MANIFEST_DIR")), &mut all);
    for path in all {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{} does not say what it is for", path.display());
        assert!(text.lines().count() <= MAX_LINES, "{} is too long", path.display());
        let core = path.starts_with(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
        let disk = ["std::fs", "std::net::Tcp", "SystemTime", "println!"];
        let used = disk.iter().find(|word| core && text.contains(**word));
        assert!(used.is_none(), "{} uses {used:?}", path.display());
    }
}
