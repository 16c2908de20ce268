//! Counters that several daemons share, in Redis.
//!
//! Each step is one script, atomic there: reserve checks all bounds of a message and counts it or nothing,
//! under the message's name; confirm makes it final; refund takes it back; settle counts what was taken
//! while Redis could not be asked. Each may come twice and works once. A reservation whose daemon died is
//! found again by that daemon, which asks its own log whether the message became durable.
//!
//! No policy: what happens when Redis is down is decided by the caller. Limits: one Redis, no cluster (the
//! scripts touch several keys); sums up to 2^53.

use super::amount::{Amount, Day, SLOTS_KEPT, day_of, slot_of};
use super::book::{Bound, Need, Over, Warning};
use super::disk::HISTORY_DAYS;
use super::together::RESETS_KEPT;
use crate::envelope::{MessageId, Usage};
use jiff::tz::TimeZone;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult, Script};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// After a failure Redis is left alone for so long.
const REST: Duration = Duration::from_secs(1);
/// What a script that was settled leaves behind, in seconds: longer than anything waits.
const REMEMBERED: u64 = 14 * 24 * 3600;
/// Seconds after which a counter is forgotten that nothing was added to: as long as its history is told.
const IDLE: i64 = (HISTORY_DAYS as i64 + 2) * 86_400;

/// What happens to mail while Redis cannot be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum WhenDown {
    /// 451: the client comes back.
    #[default]
    Defer,
    /// Counted here alone, against the same bounds, and brought to Redis later.
    CountLocally,
}

/// Where the shared counters are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SharedSettings {
    /// `redis://host:port/db`, or `unix:///path`.
    pub url: String,
    /// Before the name of every key, so that several services may share one Redis.
    pub prefix: String,
    /// Without it.
    pub down: WhenDown,
    /// For a connection, and for each answer.
    pub timeout: Duration,
}

/// A connection that is made when it is needed.
pub struct Shared {
    client: Client,
    settings: SharedSettings,
    node: String,
    link: Mutex<Link>,
    scripts: Scripts,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("node", &self.node).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Link {
    connection: Option<MultiplexedConnection>,
    rest_until: Option<Instant>,
}

struct Scripts {
    reserve: Script,
    confirm: Script,
    refund: Script,
    settle: Script,
    reset: Script,
}

/// Why a reservation was not made.
#[derive(Debug)]
pub enum Refused {
    /// A bound would be exceeded.
    Over(Over),
    /// Redis was not asked: nothing is counted.
    Unasked,
    /// No answer, or none that makes sense. Whether it was counted is not known.
    Unknown,
}

impl Shared {
    /// Prepares it; nothing is connected yet. `node` names this daemon, and is the same after a restart.
    ///
    /// # Errors
    /// The address cannot be read.
    pub fn new(settings: SharedSettings, node: String) -> RedisResult<Self> {
        let client = Client::open(settings.url.as_str())?;
        let scripts = Scripts {
            reserve: Script::new(include_str!("lua/reserve.lua")),
            confirm: Script::new(include_str!("lua/confirm.lua")),
            refund: Script::new(include_str!("lua/refund.lua")),
            settle: Script::new(include_str!("lua/settle.lua")),
            reset: Script::new(include_str!("lua/reset.lua")),
        };
        Ok(Self { client, settings, node, link: Mutex::default(), scripts })
    }

    /// What to do while it cannot be asked.
    #[must_use]
    pub fn when_down(&self) -> WhenDown {
        self.settings.down
    }

    pub(super) async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        let mut link = self.link.lock().await;
        if let Some(connection) = &link.connection {
            return Ok(connection.clone());
        }
        let down = || RedisError::from((redis::ErrorKind::Io, "resting after a failure"));
        if link.rest_until.is_some_and(|until| Instant::now() < until) {
            return Err(down());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.settings.timeout))
            .set_response_timeout(Some(self.settings.timeout));
        match self.client.get_multiplexed_async_connection_with_config(&config).await {
            Ok(connection) => {
                link.connection = Some(connection.clone());
                link.rest_until = None;
                Ok(connection)
            }
            Err(error) => {
                link.rest_until = Some(Instant::now() + REST);
                Err(error)
            }
        }
    }

    pub(super) async fn failed(&self, what: &str, error: &RedisError) {
        tracing::error!(what, %error, "redis does not answer");
        let mut link = self.link.lock().await;
        link.connection = None;
        link.rest_until = Some(Instant::now() + REST);
    }

    fn open_key(&self) -> String {
        format!("{}open:{}", self.settings.prefix, self.node)
    }

    pub(super) fn resets_key(&self) -> String {
        format!("{}resets", self.settings.prefix)
    }

    pub(super) fn key(&self, key: &str) -> String {
        format!("{}use:{key}", self.settings.prefix)
    }

    /// Counts all needs of a message under its name, or none of them.
    ///
    /// # Errors
    /// A bound would be exceeded, or Redis does not answer.
    pub async fn reserve(
        &self,
        id: MessageId,
        needs: &[Need],
        now: i64,
        today: Day,
    ) -> Result<Vec<Warning>, Refused> {
        let slot = slot_of(now);
        let mut call = self.scripts.reserve.prepare_invoke();
        call.key(self.open_key());
        call.arg(id.to_string()).arg(slot).arg(slot - SLOTS_KEPT).arg(IDLE);
        call.arg(today.number).arg(today.number.saturating_sub(HISTORY_DAYS)).arg(needs.len());
        let mut bounds: Vec<(usize, Bound, u64)> = Vec::new();
        for need in needs {
            call.key(self.key(&need.key));
            let Amount { messages, recipients, bytes } = need.add;
            call.arg(messages).arg(recipients).arg(bytes).arg(need.bounds.len());
            for (rule, bound) in &need.bounds {
                let first = bound.window.first_slot(now, today);
                call.arg(bound.unit as i64 + 1).arg(bound.most).arg(first);
                bounds.push((*rule, *bound, need.add.of(bound.unit)));
            }
        }
        let answer: RedisResult<Vec<i64>> = match self.connection().await {
            Ok(mut connection) => call.invoke_async(&mut connection).await,
            Err(_) => return Err(Refused::Unasked),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.failed("reserve", &error).await;
                return Err(Refused::Unknown);
            }
        };
        // First the place of the bound that does not hold, from 1, or 0; then what each had before.
        let (over, before) = answer.split_first().ok_or(Refused::Unknown)?;
        if *over != 0 {
            let place = usize::try_from(*over - 1).map_err(|_| Refused::Unknown)?;
            let (rule, bound, _) = bounds.get(place).ok_or(Refused::Unknown)?;
            return Err(Refused::Over(Over::Bound(*rule, bound.unit)));
        }
        let mut warnings = Vec::new();
        for ((rule, bound, add), before) in bounds.into_iter().zip(before) {
            let before = u64::try_from(*before).unwrap_or(0);
            let used = before.saturating_add(add);
            if bound.warn_from.is_some_and(|from| before < from && from <= used) {
                warnings.push(Warning { rule, unit: bound.unit, used, most: bound.most });
            }
        }
        Ok(warnings)
    }

    /// The message is durable: what it reserved is final.
    ///
    /// # Errors
    /// Redis does not answer.
    pub async fn confirm(&self, id: MessageId) -> RedisResult<()> {
        let mut call = self.scripts.confirm.prepare_invoke();
        call.key(self.open_key()).arg(id.to_string());
        self.invoke("confirm", &call).await
    }

    /// The message came to nothing: what it reserved is taken back.
    ///
    /// # Errors
    /// Redis does not answer.
    pub async fn refund(&self, id: MessageId) -> RedisResult<()> {
        let mut call = self.scripts.refund.prepare_invoke();
        call.key(self.open_key()).arg(id.to_string());
        self.invoke("refund", &call).await
    }

    /// Counts a message that was taken without asking, for the days of a time zone.
    ///
    /// # Errors
    /// Redis does not answer.
    pub async fn settle(&self, id: MessageId, usage: &[Usage], zone: &TimeZone) -> RedisResult<()> {
        let mut call = self.scripts.settle.prepare_invoke();
        call.key(format!("{}done:{id}", self.settings.prefix)).arg(REMEMBERED).arg(IDLE);
        for usage in usage {
            call.key(self.key(&usage.key));
            call.arg(slot_of(usage.at)).arg(day_of(usage.at, zone).number);
            call.arg(usage.messages).arg(usage.recipients).arg(usage.bytes);
        }
        self.invoke("settle", &call).await
    }

    /// Sets a key back to nothing, also for what is reserved. Days before today stay in its history.
    ///
    /// # Errors
    /// Redis does not answer.
    pub async fn reset(&self, key: &str, today: Day, now: i64) -> RedisResult<()> {
        let mut call = self.scripts.reset.prepare_invoke();
        call.key(self.key(key)).key(self.resets_key()).arg(IDLE).arg(today.number);
        call.arg(key).arg(now).arg(now.saturating_sub(RESETS_KEPT));
        self.invoke("reset", &call).await
    }

    /// The reservations of this daemon that are neither confirmed nor taken back.
    ///
    /// # Errors
    /// Redis does not answer.
    pub async fn open(&self) -> RedisResult<Vec<MessageId>> {
        let mut connection = self.connection().await?;
        let names: RedisResult<Vec<String>> =
            redis::cmd("HKEYS").arg(self.open_key()).query_async(&mut connection).await;
        match names {
            Ok(names) => Ok(names.iter().filter_map(|name| name.parse().ok()).collect()),
            Err(error) => {
                self.failed("open", &error).await;
                Err(error)
            }
        }
    }

    async fn invoke(&self, what: &str, call: &redis::ScriptInvocation<'_>) -> RedisResult<()> {
        let mut connection = self.connection().await?;
        let answer: RedisResult<i64> = call.invoke_async(&mut connection).await;
        match answer {
            Ok(_) => Ok(()),
            Err(error) => {
                self.failed(what, &error).await;
                Err(error)
            }
        }
    }
}
