//! The log: one line an event, `name=value` fields, to standard error or to a file.
//!
//! Every value has one form: bare where it is one plain word, else in double quotes with `\"` and `\\`. Lines
//! hold no control character, whatever a client sent. `RUST_LOG` chooses more or less than `info`.

use jiff::Timestamp;
use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FormatFields, MakeWriter};

/// Where lines go.
#[derive(Clone, Debug)]
pub struct Log(Option<Arc<(PathBuf, Mutex<File>)>>);

fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

/// Begins to log, to this file or to standard error.
///
/// # Errors
/// The file cannot be opened.
pub fn start(file: Option<&Path>) -> io::Result<Log> {
    let log = match file {
        Some(path) => Log(Some(Arc::new((path.to_owned(), Mutex::new(open(path)?))))),
        None => Log(None),
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let colour = file.is_none() && io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // A second daemon in one process (tests) keeps the first one's.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(log.clone())
        .with_ansi(colour)
        .with_target(false)
        .with_timer(Clock)
        .fmt_fields(Fields)
        .try_init();
    Ok(log)
}

impl Log {
    /// Opens the file anew, for whoever moved it away. Where that fails the old one stays.
    pub fn reopen(&self) {
        let Some(file) = &self.0 else {
            tracing::info!("the log goes to standard error, there is nothing to reopen");
            return;
        };
        match open(&file.0) {
            Ok(new) => {
                *file.1.lock().unwrap_or_else(PoisonError::into_inner) = new;
                tracing::info!("log reopened");
            }
            Err(error) => tracing::error!(path = %file.0.display(), %error, "the log cannot be reopened"),
        }
    }
}

/// A line on its way out.
pub enum Line<'a> {
    /// To standard error.
    Stderr(io::Stderr),
    /// To a file.
    File(MutexGuard<'a, File>),
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stderr(to) => to.write(bytes),
            Self::File(to) => to.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stderr(to) => to.flush(),
            Self::File(to) => to.flush(),
        }
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        match &self.0 {
            Some(file) => Line::File(file.1.lock().unwrap_or_else(PoisonError::into_inner)),
            None => Line::Stderr(io::stderr()),
        }
    }
}

/// `2026-11-30T12:00:00.000000Z`.
struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        thread_local! {
            /// The last second and its text: a busy server writes thousands of lines in one.
            static LAST: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        LAST.with_borrow_mut(|(second, text)| {
            if text.is_empty() || *second != since.as_secs() {
                *second = since.as_secs();
                let at = i64::try_from(*second).ok().and_then(|second| Timestamp::from_second(second).ok());
                *text = at.unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%S").to_string();
            }
            write!(writer, "{text}.{:06}Z", since.subsec_micros())
        })
    }
}

/// What the fields of a line take, in bytes; longer ones take more.
const USUAL: usize = 512;

/// Writes the fields of an event.
struct Fields;

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        // Put together first: each piece would be a call of its own to the writer.
        let mut visitor = Values { line: String::with_capacity(USUAL), shown: String::new() };
        fields.record(&mut visitor);
        writer.write_str(&visitor.line)
    }
}

struct Values {
    line: String,
    /// A value as text, before its form is known.
    shown: String,
}

impl Values {
    /// Begins a field. False for the message of an event, which has no name and stands as it is.
    fn begin(&mut self, field: &Field) -> bool {
        if !self.line.is_empty() {
            self.line.push(' ');
        }
        let named = field.name() != "message";
        if named {
            self.line.push_str(field.name());
            self.line.push('=');
        }
        named
    }

    fn write(&mut self, field: &Field, text: &str) {
        match self.begin(field) {
            true => push_value(&mut self.line, text),
            false => self.line.push_str(text),
        }
    }
}

impl Visit for Values {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.begin(field);
        // Writing into a string cannot fail.
        let _ = write!(self.line, "{value}");
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut shown = std::mem::take(&mut self.shown);
        shown.clear();
        // Writing into a string cannot fail.
        let _ = write!(shown, "{value:?}");
        self.write(field, &shown);
        self.shown = shown;
    }
}

/// Whether a value is one plain word.
fn is_plain(text: &str) -> bool {
    let ascii = |b: u8| b.is_ascii_graphic() & !matches!(b, b'"' | b'=' | b'\\');
    if text.is_ascii() {
        // No stop at the first odd one: the compiler can compare many at once.
        return !text.is_empty() && text.bytes().fold(true, |all, b| all & ascii(b));
    }
    text.chars().all(|c| u8::try_from(c).ok().filter(u8::is_ascii).map_or(c.is_alphanumeric(), ascii))
}

/// Adds a value in its one form.
fn push_value(line: &mut String, text: &str) {
    if is_plain(text) {
        line.push_str(text);
        return;
    }
    line.push('"');
    let special = |b: u8| !(b' '..=b'~').contains(&b) || matches!(b, b'"' | b'\\');
    let mut rest = text;
    while let Some(place) = rest.bytes().position(special) {
        // Everything before it is ASCII, so that it begins a character.
        let (plain, from) = rest.split_at_checked(place).unwrap_or((rest, ""));
        line.push_str(plain);
        let mut chars = from.chars();
        match chars.next() {
            Some(c) if c.is_control() => line.extend(c.escape_unicode()),
            Some(c @ ('"' | '\\')) => line.extend(['\\', c]),
            Some(c) => line.push(c),
            None => {}
        }
        rest = chars.as_str();
    }
    line.push_str(rest);
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_begin_with_the_time() {
        let shown = || {
            let mut text = String::new();
            Clock.format_time(&mut Writer::new(&mut text)).unwrap();
            assert_eq!(text.len(), "2026-11-30T12:00:00.000000Z".len(), "{text}");
            text.parse::<Timestamp>().unwrap()
        };
        let before = Timestamp::now().as_microsecond();
        let (first, second) = (shown().as_microsecond(), shown().as_microsecond());
        let after = Timestamp::now().as_microsecond();
        assert!(before <= first && first <= second && second <= after);
    }

    #[test]
    fn values_have_one_form() {
        for (value, shown) in [
            ("", "\"\""),
            ("6H0R9WZ4R0000", "6H0R9WZ4R0000"),
            ("<eve@elsewhere.example>", "<eve@elsewhere.example>"),
            ("550 5.7.1 We do not play", "\"550 5.7.1 We do not play\""),
            ("\"no lottery\" main.edict:13", "\"\\\"no lottery\\\" main.edict:13\""),
            ("a=b", "\"a=b\""),
            ("a\\b", "\"a\\\\b\""),
            ("jörg", "jörg"),
            ("jörg ß\u{85}", "\"jörg ß\\u{85}\""),
            ("a\nid=forged", "\"a\\u{a}id=forged\""),
        ] {
            let mut line = String::new();
            push_value(&mut line, value);
            assert_eq!(line, shown, "{value:?}");
        }
    }
}
