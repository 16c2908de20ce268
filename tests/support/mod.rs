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

pub mod browser;
pub mod client;
pub mod counting_sink;
pub mod daemon;
pub mod dns;
pub mod dovecot;
pub mod kill_campaign;
pub mod kill_load;
pub mod life_sink;
pub mod port;
pub mod postfix;
pub mod sink;
pub mod taker;

pub use port::free_port;

use edict_compiler::source::Sources;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
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

/// Compiles rule text into a table file.
pub fn build_text(text: &str, to: &Path) {
    let mut sources = Sources::default();
    sources.insert("main.edict", text);
    let compilation = edict_compiler::compile(&sources, &edict_compiler::Options { proofs: false });
    let table = compilation.table.unwrap_or_else(|| panic!("{text}\n{:#?}", compilation.diagnostics));
    std::fs::write(to, edict_table::emit::emit(&table)).unwrap();
}

fn read_folder(folder: &Path, prefix: &str, sources: &mut Sources) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}{}", entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            read_folder(&entry.path(), &format!("{path}/"), sources);
        } else if path == "main.edict" {
            sources.insert(path, at_noon(&std::fs::read_to_string(entry.path()).unwrap()));
        } else {
            sources.insert(path, std::fs::read(entry.path()).unwrap());
        }
    }
}

/// Rules with a zone in which it is about noon: no test of what is counted for a day runs into the next one.
pub fn at_noon(rules: &str) -> String {
    static ZONE: LazyLock<String> = LazyLock::new(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let hour = now.as_secs() / 3600 % 24;
        // Their signs are those of POSIX: west of Greenwich is more.
        if hour < 12 { format!("Etc/GMT-{}", 12 - hour) } else { format!("Etc/GMT+{}", hour - 12) }
    });
    rules.replace("Europe/Berlin", &ZONE)
}

/// The password of everybody in tests, `secret`.
pub const SECRET: &str =
    "$6$edictedict$tAyI5n6DrZybiBM/tHQxCKOrkdBWMwbqzqdEQGblaLPXYSWvI6/8yuIjhdxkgE3Tumq5lb03hr22cG0pl2Tr8/";

/// A daemon with the rules of `tests/rules/actions` and its users, who all have the password `secret`. Mail that
/// leaves goes to `relay`. `keys` are further keys of its configuration, each ended by a comma.
pub fn start_actions(folder: &Path, relay: SocketAddr, keys: &str) -> daemon::Daemon {
    let table = folder.join("edict.table");
    build_table("actions", &table, |_| ());
    start_with_users(folder, &table, relay, keys)
}

/// The same with a table that the test has built.
pub fn start_with_users(folder: &Path, table: &Path, relay: SocketAddr, keys: &str) -> daemon::Daemon {
    let names = [
        "ann",
        "bob",
        "boss",
        "both",
        "admin",
        "archive",
        "catch",
        "owner",
        "real@example.org",
        "real@example.edu",
        "dora@example.org",
    ];
    let line =
        |name: &str| format!("{name}{}:{SECRET}\n", if name.contains('@') { "" } else { "@example.com" });
    std::fs::write(folder.join("users"), names.map(line).concat()).unwrap();
    let config = folder.join("edictd.ron");
    std::fs::write(&config, format!("(users: \"users\", {keys})")).unwrap();
    let arguments = ["--table", table.to_str().unwrap(), "--config", config.to_str().unwrap()];
    daemon::Daemon::start(folder, &[&arguments[..], &["--relay", &relay.to_string()]].concat())
}

/// Waits until `done`, or fails naming what was waited for.
pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
