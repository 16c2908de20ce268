//! The daemon's end of the admin socket.

use super::guard::{Door, guard};
use super::pages;
use crate::daemon::Control;
use crate::daemon::reload::ReloadError;
use crate::envelope::MessageId;
use crate::queue::admin::{Done, QueueError};
use crate::queue::flush::{Destination, Flushed};
use crate::quota::together::SharedError;
use crate::smtp::Metrics;
use axum::Router;
use axum::extract::{Path as Segment, Query, State};
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

type Daemon = State<Arc<Control>>;

/// Listens on a unix socket that only its owner may open.
///
/// # Errors
/// The socket cannot be made, or a daemon answers there already.
pub fn start(path: &Path, control: Arc<Control>) -> io::Result<JoinHandle<()>> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "a daemon answers there already"));
    }
    // Nobody answers: what lies there is left over from a daemon that was killed.
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    let routes = Router::new()
        .route("/status", get(status))
        .route("/reload", post(reload))
        .route("/rollback", post(rollback))
        .route("/queue", get(queue))
        .route("/queue/retry", post(retry_many))
        .route("/queue/{id}", get(message).delete(remove))
        .route("/queue/{id}/hold", post(hold))
        .route("/queue/{id}/release", post(release))
        .route("/queue/{id}/retry", post(retry))
        .route("/usage", get(usage))
        .route("/usage/{user}", get(usage_of))
        .route("/usage/{user}/reset", post(reset_usage))
        .with_state(Arc::clone(&control))
        .merge(pages::routes(control))
        .layer(middleware::from_fn_with_state(Arc::new(Door::Socket), guard));
    Ok(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "the admin socket ended");
        }
    }))
}

fn fail(code: StatusCode, error: impl ToString) -> Response {
    (code, Json(json!({ "error": error.to_string() }))).into_response()
}

fn unix_seconds(time: SystemTime) -> Option<u64> {
    time.duration_since(UNIX_EPOCH).ok().map(|d| d.as_secs())
}

async fn status(State(control): Daemon) -> Json<Value> {
    let table = control.live.current();
    let metrics = &control.metrics;
    let counters = control.queue.counters();
    let built = control.reloader.source().written().and_then(unix_seconds);
    let built = built.and_then(|s| jiff::Timestamp::from_second(i64::try_from(s).ok()?).ok());
    Json(json!({
        "table": {
            "digest": table.digest(),
            "built": built.map(|t| t.to_string()),
            "source": control.reloader.source().name(),
            "rules": table.rule_count(),
        },
        "reloads": control.reloader.count(),
        "sessions": Metrics::get(&metrics.open),
        "connections": Metrics::get(&metrics.sessions),
        "accepted": Metrics::get(&metrics.accepted),
        "refused": Metrics::get(&metrics.refused),
        "discarded": Metrics::get(&metrics.discarded),
        "delivered": counters.delivered,
        "queued": counters.queued,
        "spool": control.queue.ready().map_or_else(|error| error.to_string(), |()| "in order".to_owned()),
        "uptime_s": control.started.elapsed().as_secs(),
    }))
}

/// 409 with the reason where it was refused.
fn swapped(result: Result<String, ReloadError>) -> Response {
    match result {
        Ok(digest) => Json(json!({ "table": digest })).into_response(),
        Err(error) => fail(StatusCode::CONFLICT, error),
    }
}

async fn reload(State(control): Daemon) -> Response {
    swapped(control.reload().await)
}

async fn rollback(State(control): Daemon) -> Response {
    match tokio::task::spawn_blocking(move || control.reloader.rollback()).await {
        Ok(result) => swapped(result),
        Err(error) => fail(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

/// The most messages in one answer to `/queue`, which says what to ask for next where there are more.
const PAGE: usize = 1000;

#[derive(serde::Deserialize)]
struct Page {
    /// Behind which message it begins.
    after: Option<String>,
    /// For which destination; for all of them where there is none.
    to: Option<String>,
}

impl Page {
    fn after(&self) -> Result<Option<MessageId>, &'static str> {
        let id = self.after.as_deref().map(str::parse::<MessageId>).transpose();
        id.map_err(|()| "`after` is no message id")
    }
}

async fn queue(State(control): Daemon, Query(page): Query<Page>) -> Response {
    match page.after() {
        Ok(after) => match control.queue.page(after, PAGE).await {
            Ok(page) => Json(page).into_response(),
            Err(error) => fail(StatusCode::INTERNAL_SERVER_ERROR, error),
        },
        Err(error) => fail(StatusCode::BAD_REQUEST, error),
    }
}

/// All at once, or a page of those for one destination, since each has to be read for that.
async fn retry_many(State(control): Daemon, Query(page): Query<Page>) -> Response {
    let after = match page.after() {
        Ok(after) => after,
        Err(error) => return fail(StatusCode::BAD_REQUEST, error),
    };
    let flushed = match &page.to {
        None => Flushed { messages: control.queue.retry_all().await, after: None },
        Some(to) => control.queue.retry_to(Destination::new(to), after, PAGE).await,
    };
    let after = flushed.after.map(|id| id.to_string());
    Json(json!({ "done": true, "messages": flushed.messages, "after": after })).into_response()
}

/// Finds the message of a path segment and does something to it.
async fn with_message<T: serde::Serialize, F>(id: &str, act: impl FnOnce(MessageId) -> F) -> Response
where
    F: Future<Output = Result<T, QueueError>>,
{
    let Ok(id) = id.parse() else {
        return fail(StatusCode::NOT_FOUND, format!("`{id}` is no message id"));
    };
    match act(id).await {
        Ok(done) => Json(done).into_response(),
        Err(error @ QueueError::Unknown(_)) => fail(StatusCode::NOT_FOUND, error),
        Err(error @ (QueueError::Held(_) | QueueError::Removed(_))) => fail(StatusCode::CONFLICT, error),
        Err(error @ QueueError::Ending(_)) => fail(StatusCode::SERVICE_UNAVAILABLE, error),
        Err(error @ QueueError::Disk(_)) => fail(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

/// Whether the attempt under way goes on all the same.
fn done(when: Done) -> Value {
    json!({ "done": true, "under_way": when == Done::AtEnd })
}

async fn message(State(control): Daemon, Segment(id): Segment<String>) -> Response {
    with_message(&id, |id| async move { control.queue.show(id).await }).await
}

async fn remove(State(control): Daemon, Segment(id): Segment<String>) -> Response {
    with_message(&id, |id| async move { control.queue.remove(id).await.map(done) }).await
}

async fn hold(State(control): Daemon, Segment(id): Segment<String>) -> Response {
    with_message(&id, |id| async move { control.queue.hold(id).await.map(done) }).await
}

async fn release(State(control): Daemon, Segment(id): Segment<String>) -> Response {
    with_message(&id, |id| async move { control.queue.release(id).await.map(done) }).await
}

async fn retry(State(control): Daemon, Segment(id): Segment<String>) -> Response {
    with_message(&id, |id| async move { control.queue.retry(id).await.map(done) }).await
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

async fn usage(State(control): Daemon) -> Response {
    match control.quotas.usage_of_all_everywhere(&control.live.current(), now()).await {
        Ok(all) => Json(all).into_response(),
        Err(error) => fail(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

async fn usage_of(State(control): Daemon, Segment(user): Segment<String>) -> Response {
    match control.quotas.usage_everywhere(&control.live.current(), &user, now()).await {
        Ok(usage) => Json(usage).into_response(),
        Err(error) => fail(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

async fn reset_usage(State(control): Daemon, Segment(user): Segment<String>) -> Response {
    match control.quotas.reset_everywhere(&control.live.current(), &user, now()).await {
        Ok(_) => Json(json!({ "done": true })).into_response(),
        Err(error @ SharedError::Nobody(_)) => fail(StatusCode::NOT_FOUND, error),
        Err(error) => fail(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}
