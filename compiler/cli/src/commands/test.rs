//! `edict test`: runs the `test` blocks of a rule set through the table that would decide live mail.

use crate::args::{DiagnosticFormat, ResultFormat, TestArgs};
use crate::console::{Console, Failure, clean};
use crate::files::write_whole;
use crate::testing::{self, Coverage, Outcome};
use crate::{folder, progress, render, table};
use edict_compiler::source::Sources;
use edict_compiler::{Options, compile};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// Runs the tests.
pub fn run(args: &TestArgs, console: &mut Console) -> Result<bool, Failure> {
    let to_stdout = args.junit.as_deref() == Some(Path::new("-"));
    if to_stdout && (args.coverage || args.format == ResultFormat::Json) {
        return Err(Failure::Use(
            "`--junit -` has standard output to itself; give it a file to see other results too".to_owned(),
        ));
    }
    let root = &args.rules.rules;
    let sources = folder::read(root)?;
    let result = progress::during("reading rules", || compile(&sources, &Options { proofs: false }));
    let places = render::Places::new(&sources, root);
    let Some(built) = result.table.filter(|_| !render::failed(&result.diagnostics)) else {
        let styled = console.err_colour();
        render::diagnostics(console.err(), DiagnosticFormat::Human, &places, &result.diagnostics, styled)?;
        return Ok(false);
    };
    let loaded = Arc::new(table::load(&built)?);
    let mut coverage = args.coverage.then(Coverage::default);
    let outcomes = testing::run(&sources, &result.asts, &loaded, &mut coverage);
    let failed = outcomes.iter().filter(|outcome| !outcome.failures.is_empty()).count();
    match args.format {
        ResultFormat::Human if to_stdout => {}
        ResultFormat::Human => human(&outcomes, &places, console)?,
        ResultFormat::Json => json_lines(&outcomes, &places, console)?,
    }
    if let Some(coverage) = coverage {
        let gaps = coverage.gaps(&loaded, &built);
        let (decided, all) = coverage.count(&loaded);
        match args.format {
            ResultFormat::Human => {
                writeln!(console.out(), "\ncoverage: {decided} of {all} rules decided by a test")?;
                for gap in &gaps {
                    writeln!(console.out(), "  {}", clean(gap))?;
                }
            }
            ResultFormat::Json => {
                let object = json!({ "coverage": { "decided": decided, "rules": all, "gaps": gaps } });
                writeln!(console.out(), "{object}")?;
            }
        }
    }
    if let Some(path) = &args.junit {
        let xml = junit(&outcomes, &sources, &places)?;
        if to_stdout {
            console.out().write_all(xml.as_bytes())?;
        } else {
            write_whole(path, xml.as_bytes())?;
        }
    }
    console.remark(&format!("{} tests, {failed} failed", outcomes.len()));
    if outcomes.is_empty() {
        console.remark(&format!("`{}` has no `test` blocks", root.display()));
    }
    Ok(failed == 0)
}

fn human(outcomes: &[Outcome], places: &render::Places<'_>, console: &mut Console) -> Result<(), Failure> {
    let (good, bad, plain) =
        if console.out_colour() { ("\u{1b}[32m", "\u{1b}[1;31m", "\u{1b}[0m") } else { ("", "", "") };
    for outcome in outcomes {
        let name = clean(&outcome.name).into_owned();
        if outcome.failures.is_empty() {
            writeln!(console.out(), "{good}ok{plain}      {name}")?;
            continue;
        }
        writeln!(console.out(), "{bad}failed{plain}  {name}")?;
        for (span, why) in &outcome.failures {
            let line = places.region(*span).start.line;
            writeln!(console.out(), "  {}:{line}: {}", clean(&places.shown(span.file)), clean(why))?;
        }
        for line in outcome.explanation.lines() {
            writeln!(console.out(), "  | {line}")?;
        }
    }
    Ok(())
}

fn json_lines(
    outcomes: &[Outcome],
    places: &render::Places<'_>,
    console: &mut Console,
) -> Result<(), Failure> {
    for outcome in outcomes {
        let failures: Vec<_> = outcome
            .failures
            .iter()
            .map(|(span, why)| {
                json!({ "file": places.relative(span.file), "line": places.region(*span).start.line, "message": why })
            })
            .collect();
        let object = json!({
            "test": outcome.name,
            "file": places.relative(outcome.span.file),
            "line": places.region(outcome.span).start.line,
            "ok": outcome.failures.is_empty(),
            "failures": failures,
            "explanation": outcome.explanation,
        });
        writeln!(console.out(), "{object}")?;
    }
    Ok(())
}

/// JUnit's XML: one suite a file.
fn junit(outcomes: &[Outcome], sources: &Sources, places: &render::Places<'_>) -> Result<String, Failure> {
    let mut report = Report::new("edict");
    for (path, _) in sources.iter() {
        let Some(file) = sources.find(path) else { continue };
        let here: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.span.file == file).collect();
        if here.is_empty() {
            continue;
        }
        let mut suite = TestSuite::new(places.shown(file));
        for outcome in here {
            let status = if outcome.failures.is_empty() {
                TestCaseStatus::success()
            } else {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                let said: Vec<String> = outcome
                    .failures
                    .iter()
                    .map(|(span, why)| {
                        format!("{}:{}: {why}", places.shown(span.file), places.region(*span).start.line)
                    })
                    .collect();
                status.set_message(said.join("\n"));
                status.set_description(&outcome.explanation);
                status
            };
            suite.add_test_case(TestCase::new(outcome.name.as_str(), status));
        }
        report.add_test_suite(suite);
    }
    report.to_string().map_err(|e| Failure::write(Path::new("JUnit"), std::io::Error::other(e)))
}
