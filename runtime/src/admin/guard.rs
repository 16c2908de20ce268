//! Who may speak to the admin server, before any page or command looks at a request.
//!
//! Three attacks come through the browser of somebody who may: a foreign site whose name is pointed at this
//! machine (DNS rebinding: the Host must be ours), a foreign site that posts a form to us (Origin and
//! Sec-Fetch-Site must be ours, and forms carry a key that only our pages show), and a frame around a page (the
//! headers forbid it). On the unix socket the file's mode says who may; on TCP a password does.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::net::SocketAddr;
use std::sync::Arc;

/// How a request came in.
#[derive(Clone, Debug)]
pub enum Door {
    /// Through the unix socket.
    Socket,
    /// Through this TCP address, with a password.
    Tcp(SocketAddr, Secret),
}

/// A password, kept as its hash.
#[derive(Clone)]
pub struct Secret(blake3::Hash);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Of a password.
    #[must_use]
    pub fn new(password: &str) -> Self {
        Self(blake3::hash(password.as_bytes()))
    }

    /// Whether this is it. blake3's own comparison is of constant time.
    fn is(&self, given: &[u8]) -> bool {
        self.0 == blake3::hash(given)
    }
}

impl Door {
    fn is_ours(&self, host: &str) -> bool {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
            _ => (host, None),
        };
        let known = ["localhost", "127.0.0.1", "[::1]"].contains(&name);
        match self {
            // Whoever tunnels to the socket chooses the port.
            Self::Socket => name == "edictd" || known,
            Self::Tcp(address, _) => {
                let own = match address.ip() {
                    std::net::IpAddr::V4(ip) => ip.to_string(),
                    std::net::IpAddr::V6(ip) => format!("[{ip}]"),
                };
                let number = port.map_or(Ok(80), str::parse::<u16>);
                (known || name == own) && number == Ok(address.port())
            }
        }
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let Self::Tcp(_, secret) = self else { return true };
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let basic = given.and_then(|text| {
            let (scheme, rest) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("basic").then_some(rest.trim())
        });
        let decoded = basic.and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
        // The name before the colon is anybody's.
        let password = decoded.iter().position(|b| *b == b':').and_then(|at| decoded.get(at + 1..));
        password.is_some_and(|password| secret.is(password))
    }
}

/// One value of a field; none where it is absent, an error where it stands twice or is no text.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut all = headers.get_all(name).iter();
    let (first, second) = (all.next(), all.next());
    if second.is_some() {
        return Err(());
    }
    first.map(|value| value.to_str().map_err(|_| ())).transpose()
}

/// Whether a request that changes something comes from a page of ours, or from no page at all.
fn is_own(headers: &HeaderMap, host: &str) -> bool {
    static SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    let origin = match single(headers, &ORIGIN) {
        Ok(None) => true,
        Ok(Some(origin)) => origin.strip_prefix("http://").is_some_and(|of| of.eq_ignore_ascii_case(host)),
        Err(()) => false,
    };
    origin && matches!(single(headers, &SITE), Ok(None | Some("same-origin" | "none")))
}

/// Lets a request through, or says why not; adds what keeps browsers from misusing the answer.
pub async fn guard(State(door): State<Arc<Door>>, request: Request<Body>, next: Next) -> Response {
    let mut response = match verdict(&door, &request) {
        Ok(()) => next.run(request).await,
        Err(refused) => *refused,
    };
    for (name, value) in [
        (
            "content-security-policy",
            "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        // Stricter ones take the Origin off our own forms.
        ("referrer-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

fn verdict(door: &Door, request: &Request<Body>) -> Result<(), Box<Response>> {
    let headers = request.headers();
    let refused = |code: StatusCode, why: &'static str| Err(Box::new((code, why).into_response()));
    let host = match single(headers, &HOST) {
        Ok(Some(host)) if door.is_ours(&host.to_ascii_lowercase()) => host,
        _ => return refused(StatusCode::MISDIRECTED_REQUEST, "this server has another name\n"),
    };
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads && !is_own(headers, host) {
        return refused(StatusCode::FORBIDDEN, "this request comes from another site\n");
    }
    if !door.admits(headers) {
        let mut response = (StatusCode::UNAUTHORIZED, "a password is needed\n").into_response();
        let realm = HeaderValue::from_static("Basic realm=\"edictd\", charset=\"UTF-8\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, realm);
        return Err(Box::new(response));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_ours() {
        let tcp = |address: &str| Door::Tcp(address.parse().unwrap(), Secret::new("x"));
        for (door, host, want) in [
            (tcp("127.0.0.1:8025"), "127.0.0.1:8025", true),
            (tcp("127.0.0.1:8025"), "localhost:8025", true),
            (tcp("127.9.0.1:8025"), "127.9.0.1:8025", true),
            (tcp("[::1]:8025"), "[::1]:8025", true),
            (tcp("127.0.0.1:80"), "localhost", true),
            (tcp("127.0.0.1:8025"), "localhost", false),
            (tcp("127.0.0.1:8025"), "localhost:8026", false),
            (tcp("127.0.0.1:8025"), "evil.example:8025", false),
            (tcp("127.0.0.1:8025"), "127.0.0.1.evil.example:8025", false),
            (tcp("127.0.0.1:8025"), "edictd", false),
            (tcp("127.0.0.1:8025"), "", false),
            (Door::Socket, "edictd", true),
            (Door::Socket, "localhost:1234", true),
            (Door::Socket, "[::1]", true),
            (Door::Socket, "evil.example", false),
        ] {
            assert_eq!(door.is_ours(host), want, "{door:?} {host}");
        }
    }

    #[test]
    fn changes_come_from_our_own_pages() {
        for (origin, site, want) in [
            (None, None, true),
            (Some("http://localhost:1"), Some("same-origin"), true),
            (Some("http://LOCALHOST:1"), None, true),
            (None, Some("none"), true),
            (Some("http://evil.example"), None, false),
            (Some("https://localhost:1"), None, false),
            (Some("http://localhost:2"), Some("same-site"), false),
            (Some("null"), None, false),
            (None, Some("cross-site"), false),
            (None, Some("same-site"), false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            if let Some(site) = site {
                headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            }
            assert_eq!(is_own(&headers, "localhost:1"), want, "{origin:?} {site:?}");
        }
    }
}
