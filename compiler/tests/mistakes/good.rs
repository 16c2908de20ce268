//! Good rule sets, to make mistakes in: those of the tests, of the tool and of the documentation.

use edict_compiler::source::Sources;
use std::path::Path;

/// A rule set: its name, and its files by their paths.
pub struct Good {
    pub name: String,
    pub files: Vec<(String, Vec<u8>)>,
}

impl Good {
    pub fn sources(&self) -> Sources {
        self.with("", "")
    }

    /// Its rule files, each with its text.
    pub fn rule_files(&self) -> impl Iterator<Item = (&str, &str)> {
        let rules = self.files.iter().filter(|(path, _)| path.ends_with(".edict"));
        rules.map(|(path, bytes)| (path.as_str(), std::str::from_utf8(bytes).unwrap()))
    }

    /// The rule set with another text in one file.
    pub fn with(&self, changed: &str, text: &str) -> Sources {
        let mut sources = Sources::default();
        for (path, bytes) in &self.files {
            let bytes = if path == changed { text.as_bytes() } else { bytes.as_slice() };
            sources.insert(path.as_str(), bytes);
        }
        sources
    }
}

/// All of them.
pub fn sets() -> Vec<Good> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut out = Vec::new();
    let mut folders = vec!["rules".to_owned(), "compiler/cli/tests/data/policy/rules".to_owned()];
    for entry in std::fs::read_dir(root.join("tests/rules")).unwrap() {
        folders.push(format!("tests/rules/{}", entry.unwrap().file_name().to_str().unwrap()));
    }
    folders.sort();
    for folder in folders {
        let mut files = Vec::new();
        collect(&root.join(&folder), "", &mut files);
        out.push(Good { name: folder, files });
    }
    let page = std::fs::read_to_string(root.join("docs/language.md")).unwrap();
    let chapter = page.split("\n## Cookbook\n").nth(1).unwrap().split("\n## ").next().unwrap();
    for recipe in chapter.split("\n### ").skip(1) {
        out.push(Good { name: recipe.lines().next().unwrap().to_owned(), files: blocks(recipe) });
    }
    for name in ["fine-default-style", "fine-language-page"] {
        let path = root.join("compiler/tests/golden").join(name).with_extension("edict");
        let files = super::split(&std::fs::read(path).unwrap());
        out.push(Good { name: name.to_owned(), files });
    }
    out
}

fn collect(folder: &Path, under: &str, out: &mut Vec<(String, Vec<u8>)>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = format!("{under}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            collect(&path, &format!("{name}/"), out);
        } else {
            out.push((name, std::fs::read(path).unwrap()));
        }
    }
}

/// The fenced blocks of a recipe; what stands behind the fence is a file's name.
fn blocks(text: &str) -> Vec<(String, Vec<u8>)> {
    let mut out: Vec<(String, Vec<u8>)> = Vec::new();
    let mut open = false;
    for line in text.split_inclusive('\n') {
        if let Some(info) = line.strip_prefix("```") {
            open = !open;
            if open {
                let name = info.trim().split(' ').nth(1).unwrap_or("main.edict");
                out.push((name.to_owned(), Vec::new()));
            }
        } else if open {
            out.last_mut().unwrap().1.extend_from_slice(line.as_bytes());
        }
    }
    out
}
