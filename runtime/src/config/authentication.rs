//! `authentication`: what is told of the authenticity of strangers' mail.

use crate::smtp::settings::Results;
use serde::Deserialize;

/// `Authentication-Results` (RFC 8601).
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthenticationConfig {
    /// When it is written.
    pub results: When,
    /// Our name in it; the name of this host where absent. Fields of strangers that claim it are removed.
    pub id: Option<String>,
}

/// When the field is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// It tells what rules had found out.
    #[default]
    AsComputed,
    /// SPF, DKIM and DMARC are asked of each message.
    Always,
    /// Never.
    Never,
}

impl From<When> for Results {
    fn from(when: When) -> Self {
        match when {
            When::AsComputed => Self::AsComputed,
            When::Always => Self::Always,
            When::Never => Self::Never,
        }
    }
}

impl AuthenticationConfig {
    /// What reads well but cannot be meant.
    pub(super) fn check(&self) -> Result<(), String> {
        let Some(id) = &self.id else { return Ok(()) };
        edict_table::value::Domain::parse(id).map_err(|e| format!("authentication.id `{id}`: {e}"))?;
        Ok(())
    }
}
