//! What all daemons that share their counters have used together, read from Redis.

use super::amount::Amount;
use super::shared::Shared;
use redis::RedisResult;
use std::collections::BTreeMap;

/// Counters asked for in one round trip.
const BATCH: usize = 200;
/// Keys that one listing looks at; a Redis with more is told of in the log.
const MAX_KEYS: usize = 200_000;

/// One counter: its slots of five minutes, and its days.
#[derive(Clone, Default, Debug)]
pub struct Counter {
    slots: BTreeMap<i64, Amount>,
    days: BTreeMap<i32, Amount>,
}

impl Counter {
    /// The fields `<slot>:<unit>` and `d<day>:<unit>`; others are none of ours.
    fn read(rows: Vec<(String, i64)>) -> Self {
        let mut counter = Self::default();
        for (field, value) in rows {
            let Some((time, unit)) = field.split_once(':') else { continue };
            let value = u64::try_from(value).unwrap_or(0);
            let value = match unit {
                "1" => Amount { messages: value, ..Amount::default() },
                "2" => Amount { recipients: value, ..Amount::default() },
                "3" => Amount { bytes: value, ..Amount::default() },
                _ => continue,
            };
            let sum = if let Some(day) = time.strip_prefix('d') {
                let Ok(day) = day.parse() else { continue };
                counter.days.entry(day).or_default()
            } else {
                let Ok(slot) = time.parse() else { continue };
                counter.slots.entry(slot).or_default()
            };
            *sum = sum.plus(value);
        }
        counter
    }

    /// What was used from this slot on.
    #[must_use]
    pub fn since(&self, first_slot: i64) -> Amount {
        self.slots.range(first_slot..).fold(Amount::default(), |sum, (_, amount)| sum.plus(*amount))
    }

    /// The days before one day, newest first, without those on which nothing was sent.
    pub fn days_before(&self, day: i32) -> impl Iterator<Item = (i32, Amount)> {
        self.days
            .range(..day)
            .rev()
            .map(|(day, amount)| (*day, *amount))
            .filter(|(_, amount)| !amount.is_zero())
    }
}

impl Shared {
    /// A counter.
    ///
    /// # Errors
    /// Redis does not answer.
    pub async fn counter(&self, key: &str) -> RedisResult<Counter> {
        Ok(self.counters(&[key.to_owned()]).await?.pop().unwrap_or_default())
    }

    /// Counters, in the order of their keys.
    ///
    /// # Errors
    /// Redis does not answer.
    pub async fn counters(&self, keys: &[String]) -> RedisResult<Vec<Counter>> {
        let mut connection = self.connection().await?;
        let mut counters = Vec::with_capacity(keys.len());
        for batch in keys.chunks(BATCH) {
            let mut ask = redis::pipe();
            for key in batch {
                ask.cmd("HGETALL").arg(self.key(key));
            }
            let rows: RedisResult<Vec<Vec<(String, i64)>>> = ask.query_async(&mut connection).await;
            match rows {
                Ok(rows) => counters.extend(rows.into_iter().map(Counter::read)),
                Err(error) => {
                    self.failed("usage", &error).await;
                    return Err(error);
                }
            }
        }
        Ok(counters)
    }

    /// The counters that were reset after a moment, and when.
    ///
    /// # Errors
    /// Redis does not answer.
    pub async fn resets_since(&self, moment: i64) -> RedisResult<Vec<(String, i64)>> {
        let mut connection = self.connection().await?;
        let mut ask = redis::cmd("ZRANGEBYSCORE");
        ask.arg(self.resets_key()).arg(format!("({moment}")).arg("+inf").arg("WITHSCORES");
        let found = ask.query_async(&mut connection).await;
        if let Err(error) = &found {
            self.failed("resets", error).await;
        }
        found
    }

    /// The keys of all counters that begin with these words, each once, in order.
    ///
    /// # Errors
    /// Redis does not answer.
    pub async fn keys(&self, prefix: &str) -> RedisResult<Vec<String>> {
        let mut connection = self.connection().await?;
        let all = self.key("");
        let pattern = format!("{}*", literal(&self.key(prefix)));
        let mut keys = std::collections::BTreeSet::new();
        let mut cursor = 0_u64;
        loop {
            let mut ask = redis::cmd("SCAN");
            ask.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(1000);
            let found: RedisResult<(u64, Vec<String>)> = ask.query_async(&mut connection).await;
            let (next, found) = match found {
                Ok(found) => found,
                Err(error) => {
                    self.failed("list", &error).await;
                    return Err(error);
                }
            };
            keys.extend(found.iter().filter_map(|key| key.strip_prefix(&all)).map(str::to_owned));
            cursor = next;
            if cursor == 0 {
                return Ok(keys.into_iter().collect());
            }
            if keys.len() > MAX_KEYS {
                tracing::warn!(keys = keys.len(), "redis holds more counters than a listing shows");
                return Ok(keys.into_iter().collect());
            }
        }
    }
}

/// A text as a pattern of Redis that matches it alone.
fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
