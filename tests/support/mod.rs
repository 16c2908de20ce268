//! What the end-to-end tests share: a daemon in a folder of its own, Postfix's tools, a plain client.
//!
//! Each test file uses some of it; what one leaves unused is not dead.
#![expect(dead_code, reason = "every test file compiles this module for itself and uses a part of it")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

pub mod client;
pub mod counting_sink;
pub mod daemon;
pub mod sink;

use edict_compiler::source::Sources;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The longest that any one thing may take; generous, since test machines are shared.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Compiles a rule folder of `tests/rules` into a table file; `edit` may change the sources before.
pub fn build_table(name: &str, to: &Path, edit: impl FnOnce(&mut Sources)) {
    let mut sources = Sources::default();
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/rules").join(name);
    read_folder(&root, "", &mut sources);
    edit(&mut sources);
    let compilation = edict_compiler::compile(&sources, &edict_compiler::Options::default());
    let table = compilation.table.unwrap_or_else(|| panic!("{name}: {:#?}", compilation.diagnostics));
    let aside = to.with_extension("new");
    std::fs::write(&aside, edict_table::emit::emit(&table)).unwrap();
    std::fs::rename(&aside, to).unwrap();
}

fn read_folder(folder: &Path, prefix: &str, sources: &mut Sources) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}{}", entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            read_folder(&entry.path(), &format!("{path}/"), sources);
        } else {
            sources.insert(path, std::fs::read(entry.path()).unwrap());
        }
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Waits until `done`, or fails naming what was waited for.
pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
