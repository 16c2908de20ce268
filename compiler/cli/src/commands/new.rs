//! `edict new`: a rule repository that checks, tests and formats clean.
//!
//! The files stand in `new/template`. Writes into an empty or new folder only.

use crate::args::{NewArgs, ResultFormat};
use crate::console::{Console, Failure};
use crate::files::write_whole;
use serde_json::json;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

const FILES: &[(&str, &str)] = &[
    ("README.md", include_str!("new/template/README.md")),
    (".gitattributes", include_str!("new/template/gitattributes")),
    (".github/workflows/edict.yml", include_str!("new/template/workflow.yml")),
    (HOOK, include_str!("new/template/pre-commit")),
    ("rules/main.edict", include_str!("new/template/main.edict")),
    ("rules/people.edict", include_str!("new/template/people.edict")),
    ("rules/access/lists.edict", include_str!("new/template/lists.edict")),
    ("rules/access/bad-nets.txt", include_str!("new/template/bad-nets.txt")),
    ("rules/outbound.edict", include_str!("new/template/outbound.edict")),
    ("rules/disclaimers/legal.txt", include_str!("new/template/legal.txt")),
    ("rules/disclaimers/legal.html", include_str!("new/template/legal.html")),
    ("rules/mail/program.eml", include_str!("new/template/program.eml")),
    ("rules/tests.edict", include_str!("new/template/tests.edict")),
];

const HOOK: &str = ".githooks/pre-commit";

/// Makes the repository.
pub fn run(args: &NewArgs, console: &mut Console) -> Result<bool, Failure> {
    let root = &args.dir;
    match fs::read_dir(root) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(Failure::Use(format!("`{}` is not empty", root.display())));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Failure::read(root, error)),
    }
    for (name, text) in FILES {
        let path = root.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|e| Failure::write(folder, e))?;
        }
        write_whole(&path, text.as_bytes())?;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let hook = root.join(HOOK);
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755))
            .map_err(|e| Failure::write(&hook, e))?;
    }
    let inside = git(root, &["rev-parse", "--is-inside-work-tree"]);
    let hooked =
        !inside && git(root, &["init", "--quiet"]) && git(root, &["config", "core.hooksPath", ".githooks"]);
    if args.format == ResultFormat::Json {
        let files: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        let object = json!({ "dir": root.display().to_string(), "files": files, "hook_in_force": hooked });
        writeln!(console.out(), "{object}")?;
        return Ok(true);
    }
    if inside {
        // `core.hooksPath` of a repository that is there already would turn its own hooks off.
        console.remark(
            "this folder lies in a git repository already, whose settings stay as they are: the pre-commit hook waits in .githooks, the workflow in .github",
        );
    } else if !hooked {
        console.remark("git is not at hand: the pre-commit hook waits in .githooks");
    }
    let dir = root.display();
    console.remark(&format!("made {dir}. Next:\n  cd {dir}\n  edict check\n  edict test"));
    Ok(true)
}

/// Whether a git command did well.
fn git(root: &Path, args: &[&str]) -> bool {
    let mut command = Command::new("git");
    command.arg("-C").arg(root).args(args).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
