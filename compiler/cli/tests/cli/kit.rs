//! Runs the command as its users do.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What a run came to.
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
    pub bytes: Vec<u8>,
}

/// Runs `edict` in a folder, without colour.
pub fn edict(folder: &Path, args: &[&str]) -> Done {
    done(command(folder, args).output().unwrap())
}

/// The same with standard input.
pub fn edict_with(folder: &Path, args: &[&str], input: &[u8]) -> Done {
    use std::io::Write;
    let mut child = command(folder, args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    done(child.wait_with_output().unwrap())
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edict"));
    command.args(args).current_dir(folder).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

fn done(output: Output) -> Done {
    Done {
        code: output.status.code().unwrap(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8(output.stderr).unwrap(),
        bytes: output.stdout,
    }
}

/// A folder of `tests/data`.
pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// A copy of a folder of `tests/data` that a test may change.
pub fn copy(name: &str) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    copy_into(&data(name), to.path());
    to
}

fn copy_into(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy_into(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every golden case of the compiler as a folder with `rules` in it.
pub fn golden() -> Vec<(String, tempfile::TempDir)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "edict") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let to = tempfile::tempdir().unwrap();
        let mut file = to.path().join("rules/main.edict");
        for line in text.split_inclusive('\n') {
            if let Some(next) = line.strip_prefix("=== ") {
                file = to.path().join("rules").join(next.trim().trim_end_matches(" latin-1"));
                continue;
            }
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            let mut whole = std::fs::read_to_string(&file).unwrap_or_default();
            whole.push_str(line);
            std::fs::write(&file, whole).unwrap();
        }
        std::fs::create_dir_all(to.path().join("rules")).unwrap();
        out.push((path.file_stem().unwrap().to_string_lossy().into_owned(), to));
    }
    out
}
