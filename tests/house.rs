//! The rules of the house that a compiler does not keep.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') && name != "edict-data" {
                rust_files(&path, out);
            }
        } else if name.ends_with(".rs") {
            out.push(path);
        }
    }
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut files = Vec::new();
    rust_files(&root(), &mut files);
    assert!(files.len() > 50, "the walk found the sources");
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//!"), "{} opens with what it is", path.display());
        let lines = text.lines().count();
        assert!(lines <= 800, "{} has {lines} lines", path.display());
        let ignored = concat!("#[", "ignore");
        assert!(!text.contains(ignored), "{} ignores a test", path.display());
    }
}

#[test]
fn the_top_level_is_fixed() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "build.rs",
        "compiler",
        "runtime",
        "rules",
        "benches",
        "tests",
        "docs",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
    ];
    // What building and README's five minutes leave there: git passes over it, too.
    let ignored = std::fs::read_to_string(root().join(".gitignore")).unwrap();
    let ignored: Vec<&str> = ignored.lines().filter_map(|line| line.strip_prefix('/')).collect();
    for entry in std::fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name.starts_with('.') || allowed.contains(&name.as_str()) || ignored.contains(&name.as_str()),
            "{name} does not belong at the top"
        );
    }
}

/// The packages that a manifest depends on, outside of tests.
fn dependencies(manifest: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(manifest)).unwrap();
    let section = text.split("\n[").find(|s| s.starts_with("dependencies]")).unwrap_or_default().to_owned();
    section.lines().filter_map(|line| line.split(['.', ' ', '=']).next()).map(str::to_owned).collect()
}

#[test]
fn packages_know_only_what_they_may() {
    for (manifest, forbidden) in [
        ("runtime/table/Cargo.toml", &["tokio", "mail-parser", "nom", "edict-message", "edict-compiler"][..]),
        ("runtime/message/Cargo.toml", &["tokio", "mail-auth", "nom", "edict-compiler", "edict-runtime"]),
        ("compiler/Cargo.toml", &["tokio", "edict-runtime", "edict-message", "clap"]),
        ("compiler/cli/Cargo.toml", &["tokio", "mail-auth", "hickory-resolver"]),
        ("runtime/Cargo.toml", &["edict-compiler", "nom"]),
        ("Cargo.toml", &["edict-compiler", "nom", "tokio"]),
    ] {
        let known = dependencies(manifest);
        assert!(!known.is_empty(), "{manifest} was read");
        for name in forbidden {
            assert!(!known.iter().any(|k| k == name), "{manifest} must not know {name}");
        }
    }
}
