//! The admin pages on a TCP port of this machine.

use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where the pages are served, and who may see them.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminHttp {
    /// A loopback address and port.
    pub address: SocketAddr,
    /// File whose first line is the password; made where it is missing. `admin.token` in the data folder where
    /// absent.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
}

impl AdminHttp {
    /// What reads well but cannot be meant.
    pub(super) fn check(&self) -> Result<(), String> {
        let address = self.address;
        if !address.ip().is_loopback() {
            return Err(format!(
                "`admin_http` is for this machine alone: `{address}` is no loopback address, put a proxy with TLS before it"
            ));
        }
        if address.port() == 0 { Err("`admin_http` needs a port".to_owned()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::parse;
    use std::path::Path;

    #[test]
    fn only_this_machine_is_served() {
        let read = |address: &str| {
            let text = format!("(admin_http: (address: \"{address}\", token_file: \"token\"))");
            parse(&text, Path::new("etc/edictd.ron"))
        };
        for good in ["127.0.0.1:8025", "[::1]:8025", "127.9.0.1:1"] {
            let http = read(good).unwrap().admin_http.unwrap();
            assert_eq!(http.token_file.as_deref(), Some(Path::new("etc/token")));
        }
        for bad in ["0.0.0.0:8025", "192.0.2.1:8025", "[::]:8025"] {
            assert!(read(bad).unwrap_err().to_string().contains("no loopback"), "{bad}");
        }
        assert!(read("127.0.0.1:0").unwrap_err().to_string().contains("port"));
    }
}
