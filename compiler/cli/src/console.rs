//! Standard output for results, standard error for remarks, and what can fail on the way.
//!
//! Colour only on a terminal, and never against `NO_COLOR`. Text of others (rule names, file names,
//! messages) passes through [`clean`] before a terminal sees it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Wrong use, or a failure of input or output: exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A file or folder could not be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// What was to be read.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write `{}`: {source}", path.display())]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The rule folder is not one that can be read whole.
    #[error(transparent)]
    Folder(#[from] crate::folder::FolderError),
    /// Anything else that was used wrongly; says what, and what to do instead.
    #[error("{0}")]
    Use(String),
    /// Our output is no longer read.
    #[error("standard output is closed")]
    Closed,
    /// Our output cannot be written.
    #[error("cannot write standard output: {0}")]
    Output(#[source] io::Error),
}

impl Failure {
    /// A file or folder could not be read.
    pub fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }

    /// A file could not be written.
    pub fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }
}

impl From<io::Error> for Failure {
    /// Only writing to the console gives bare errors; files carry their path.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Output(error),
        }
    }
}

/// Where a command prints.
pub struct Console {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    out_colour: bool,
    err_colour: bool,
}

impl Console {
    /// The process's own streams.
    pub fn real() -> Self {
        let (out, err) = (io::stdout(), io::stderr());
        let colour = |choice| choice != anstream::ColorChoice::Never;
        Self {
            out_colour: colour(anstream::AutoStream::choice(&out)),
            err_colour: colour(anstream::AutoStream::choice(&err)),
            out: Box::new(io::BufWriter::with_capacity(1 << 16, out)),
            err: Box::new(err),
        }
    }

    /// Where results go.
    pub fn out(&mut self) -> &mut dyn Write {
        &mut self.out
    }

    /// Where remarks go.
    pub fn err(&mut self) -> &mut dyn Write {
        &mut self.err
    }

    /// Whether results may be coloured.
    pub fn out_colour(&self) -> bool {
        self.out_colour
    }

    /// Whether remarks may be coloured.
    pub fn err_colour(&self) -> bool {
        self.err_colour
    }

    /// A line of remark. Standard error being gone is nothing to fail for.
    pub fn remark(&mut self, line: &str) {
        let _ = self.out.flush();
        let _ = writeln!(self.err, "{}", clean(line));
    }

    /// Says what went wrong.
    pub fn failure(&mut self, failure: &Failure) {
        let _ = self.out.flush();
        let text = failure.to_string();
        let text = clean(&text);
        let _ = if self.err_colour {
            writeln!(self.err, "\u{1b}[1m\u{1b}[91merror\u{1b}[0m: {text}")
        } else {
            writeln!(self.err, "error: {text}")
        };
    }

    /// Writes out what is still buffered.
    pub fn finish(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }
}

/// Makes control characters visible, so that no file can speak to the terminal. Line ends stay.
pub fn clean(text: &str) -> Cow<'_, str> {
    let bad = |c: char| {
        (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(bad) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if bad(c) {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_file_speaks_to_the_terminal() {
        assert_eq!(super::clean("a\u{1b}[31mb\nc\u{202e}"), "a\\u{1b}[31mb\nc\\u{202e}");
        assert_eq!(super::clean("bücher"), "bücher");
    }
}
