//! The admin pages: what users have sent out, day by day, and the reset of today.
//!
//! Served on the unix socket (for a tunnel) and, where configured, on a TCP port of this machine. A reset is a
//! form that carries a key which only our own pages show; afterwards the browser is sent on, so that a
//! reload repeats nothing.

use super::client::escape;
use super::html;
use crate::daemon::Control;
use crate::quota::together::SharedError;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path as Segment, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The longest form taken, in bytes.
const MAX_FORM: usize = 4_096;

/// What the pages act on, and the key of their forms.
pub struct Pages {
    control: Arc<Control>,
    key: String,
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pages")
    }
}

type Shown = State<Arc<Pages>>;

/// The routes of the pages.
pub fn routes(control: Arc<Control>) -> Router {
    let key = blake3::hash(&fresh()).to_hex().to_string();
    Router::new()
        .route("/", get(|| async { Redirect::to("/pages/usage") }))
        .route("/pages/style.css", get(style))
        .route("/pages/usage", get(usage))
        .route("/pages/usage/{user}", get(usage_of))
        .route("/pages/usage/{user}/reset", post(reset))
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .with_state(Arc::new(Pages { control, key }))
}

/// Bytes that nobody can guess.
pub fn fresh() -> [u8; 32] {
    let mut bytes = [0; 32];
    let random = ring::rand::SystemRandom::new();
    // It fails where the kernel has no randomness; TLS would not work there either.
    if ring::rand::SecureRandom::fill(&random, &mut bytes).is_err() {
        tracing::error!("the system gives no random bytes");
        bytes = [0; 32].map(|_: u8| fastrand::u8(..));
    }
    bytes
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("style.css")).into_response()
}

fn failed(code: StatusCode, why: &str) -> Response {
    (code, Html(html::failed(why))).into_response()
}

#[derive(serde::Deserialize)]
struct Wanted {
    user: Option<String>,
}

async fn usage(State(pages): Shown, Query(wanted): Query<Wanted>) -> Response {
    if let Some(user) = wanted.user.as_deref().map(str::trim).filter(|user| !user.is_empty()) {
        return Redirect::to(&format!("/pages/usage/{}", escape(user))).into_response();
    }
    let control = Arc::clone(&pages.control);
    match control.quotas.usage_of_all_everywhere(&control.live.current(), now()).await {
        Ok(users) => Html(html::all(&users, escape)).into_response(),
        Err(error) => failed(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

#[derive(serde::Deserialize)]
struct After {
    done: Option<String>,
}

async fn usage_of(
    State(pages): Shown,
    Segment(user): Segment<String>,
    Query(after): Query<After>,
) -> Response {
    let control = &pages.control;
    match control.quotas.usage_everywhere(&control.live.current(), &user, now()).await {
        Ok(usage) => {
            let action = format!("/pages/usage/{}/reset", escape(&usage.user));
            Html(html::one(&usage, &action, &pages.key, after.done.is_some())).into_response()
        }
        Err(error) => failed(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn reset(State(pages): Shown, Segment(user): Segment<String>, form: Bytes) -> Response {
    // The key is hexadecimal: nothing in it is ever escaped.
    let given = form.split(|b| *b == b'&').find_map(|pair| pair.strip_prefix(b"key="));
    if !given.is_some_and(|given| blake3::hash(given) == blake3::hash(pages.key.as_bytes())) {
        return failed(
            StatusCode::FORBIDDEN,
            "This form was not made by this daemon, or by an earlier run of it. Go back, load the page again, and retry.",
        );
    }
    let control = &pages.control;
    match control.quotas.reset_everywhere(&control.live.current(), &user, now()).await {
        Ok(_) => Redirect::to(&format!("/pages/usage/{}?done=1", escape(&user))).into_response(),
        Err(error @ SharedError::Nobody(_)) => failed(StatusCode::NOT_FOUND, &error.to_string()),
        Err(error) => failed(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}
