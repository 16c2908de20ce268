//! Keys for DKIM: which domain is signed with which key under which selector.

use serde::Deserialize;
use std::path::PathBuf;

/// One key. A domain may have several, for a change of keys or for both kinds; each makes a signature.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DkimKey {
    /// `d=`: mail from it and from the domains below it is signed.
    pub domain: String,
    /// `s=`: the public half stands in DNS at `selector._domainkey.domain`.
    pub selector: String,
    /// PEM file with the private key, RSA or Ed25519.
    pub key_file: PathBuf,
}

/// What reads well but cannot be meant.
pub(super) fn check(keys: &[DkimKey]) -> Result<(), String> {
    for (place, key) in keys.iter().enumerate() {
        edict_table::value::Domain::parse(&key.domain)
            .map_err(|e| format!("dkim domain `{}`: {e}", key.domain))?;
        let same = |other: &&DkimKey| {
            other.domain.eq_ignore_ascii_case(&key.domain)
                && other.selector.eq_ignore_ascii_case(&key.selector)
        };
        if keys.iter().take(place).any(|other| same(&other)) {
            return Err(format!("`dkim` names {}._domainkey.{} twice", key.selector, key.domain));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::parse;
    use std::path::Path;

    #[test]
    fn keys_are_read_and_twice_the_same_is_refused() {
        let one = r#"(domain: "example.com", selector: "one", key_file: "one.pem")"#;
        let config = parse(&format!("(dkim: [{one}])"), Path::new("etc/edictd.ron")).unwrap();
        assert_eq!(config.dkim[0].key_file, Path::new("etc/one.pem"));
        for (keys, told) in [
            (format!("{one}, {}", one.replace("example.com", "Example.COM")), "twice"),
            (one.replace("example.com", "exa mple"), "dkim domain"),
            (one.replace("key_file", "key"), "key"),
        ] {
            let error = parse(&format!("(dkim: [{keys}])"), Path::new("edictd.ron")).unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
        }
    }
}
