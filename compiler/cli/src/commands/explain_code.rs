//! `edict explain-code`: the page behind a code.

use crate::args::{ExplainCodeArgs, ResultFormat};
use crate::console::{Console, Failure};
use edict_compiler::codes;
use serde_json::json;

/// Prints one page, or lists all codes with their first lines.
pub fn run(args: &ExplainCodeArgs, console: &mut Console) -> Result<bool, Failure> {
    let Some(code) = &args.code else {
        for (code, page) in codes::PAGES {
            match args.format {
                ResultFormat::Human => writeln!(console.out(), "{code}  {}", title(page))?,
                ResultFormat::Json => {
                    writeln!(console.out(), "{}", json!({ "code": code, "title": title(page) }))?
                }
            }
        }
        return Ok(true);
    };
    let Some(page) = codes::page(code) else {
        return Err(Failure::Use(format!("there is no code `{code}`; `edict explain-code` lists them all")));
    };
    match args.format {
        ResultFormat::Human => writeln!(console.out(), "{}", page.trim_end())?,
        ResultFormat::Json => {
            writeln!(console.out(), "{}", json!({ "code": code, "title": title(page), "page": page }))?
        }
    }
    Ok(true)
}

/// The first line, without the marks of a heading and the code itself.
fn title(page: &str) -> &str {
    let line = page.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let line = line.trim_start_matches('#').trim();
    match line.split_once(": ") {
        Some((code, rest)) if code.len() <= 6 => rest,
        _ => line,
    }
}
