//! A diagnostic is data; each output is a renderer in the command line tool.

use crate::span::Span;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// The rule set is refused.
    Error,
    /// It stands, but somebody should look.
    Warning,
    /// Told by the way.
    Note,
}

/// One thing that the compiler has to say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// Stable, never reused: `E0xxx` syntax, `E1xxx` names and types, `E2xxx` proofs, `Wxxxx` lints.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// One terse lower-case phrase, the user's words in backticks, no full stop.
    pub message: String,
    /// Where.
    pub span: Span,
    /// What to say at that place; may be empty.
    pub label: String,
    /// Other places that matter, each with a phrase.
    pub labels: Vec<(Span, String)>,
    /// What to write instead.
    pub help: Option<String>,
    /// Edits of which each mends it by itself, likeliest first. A single one leaves no choice, and
    /// `check --fix` applies it.
    pub fixes: Vec<Fix>,
    /// An example message that shows it, as lines of `field value`; proofs fill it in.
    pub example: Vec<String>,
}

/// An edit that mends a diagnostic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fix {
    /// What it does: `write \`reject\``.
    pub title: String,
    /// What is replaced.
    pub span: Span,
    /// What stands there then.
    pub text: String,
}

impl Diagnostic {
    /// A bare error.
    #[must_use]
    pub fn error(code: &'static str, message: impl Into<String>, span: Span) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            span,
            label: String::new(),
            labels: Vec::new(),
            help: None,
            fixes: Vec::new(),
            example: Vec::new(),
        }
    }

    /// A bare warning.
    #[must_use]
    pub fn warning(code: &'static str, message: impl Into<String>, span: Span) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message, span) }
    }

    /// Sets what stands at the span.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds another place.
    #[must_use]
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.labels.push((span, label.into()));
        self
    }

    /// Sets the help line.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds an edit.
    #[must_use]
    pub fn fix(mut self, title: impl Into<String>, span: Span, text: impl Into<String>) -> Self {
        self.fixes.push(Fix { title: title.into(), span, text: text.into() });
        self
    }

    /// Sets the example message.
    #[must_use]
    pub fn example(mut self, lines: Vec<String>) -> Self {
        self.example = lines;
        self
    }
}
