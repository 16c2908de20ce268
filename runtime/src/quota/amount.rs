//! Amounts of mail, and the stretches of time over which they are summed.
//!
//! Time is cut into slots of five minutes of UTC. Every zone in use is a multiple of fifteen minutes
//! from UTC, so a calendar day is a whole number of slots, 23- and 25-hour days included. A rolling day
//! takes its first, partly elapsed slot in full: it errs on the strict side, by five minutes at most.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Milliseconds of a slot.
pub const SLOT_MS: i64 = 5 * 60 * 1000;
/// Slots that may still count: a day of 25 hours, and an hour for a clock that was set.
pub const SLOTS_KEPT: i64 = 26 * 12;

/// So much mail.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Amount {
    /// Messages.
    pub messages: u64,
    /// Final outbound recipients.
    pub recipients: u64,
    /// Bytes as received, once a message.
    pub bytes: u64,
}

impl Amount {
    /// The sum. Saturates: a counter never wraps to nothing.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_add(other.messages),
            recipients: self.recipients.saturating_add(other.recipients),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    /// The difference, not below zero.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_sub(other.messages),
            recipients: self.recipients.saturating_sub(other.recipients),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    /// The value in one unit.
    #[must_use]
    pub fn of(self, unit: Unit) -> u64 {
        match unit {
            Unit::Messages => self.messages,
            Unit::Recipients => self.recipients,
            Unit::Bytes => self.bytes,
        }
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }
}

/// What a quota counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Accepted messages.
    Messages,
    /// Their final outbound recipients.
    Recipients,
    /// Their bytes as received.
    Bytes,
}

impl Unit {
    /// The word that rules write.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Recipients => "recipients",
            Self::Bytes => "bytes",
        }
    }
}

/// The slot of a moment in Unix milliseconds.
#[must_use]
pub fn slot_of(at: i64) -> i64 {
    at.div_euclid(SLOT_MS)
}

/// The calendar day of a moment: days since 1970-01-01 in the zone, and the slot with which it began.
/// A moment outside the calendar of jiff (years -9999 to 9999) is day 0.
#[must_use]
pub fn day_of(at: i64, zone: &TimeZone) -> Day {
    let begun = Timestamp::from_millisecond(at).ok().and_then(|moment| {
        let zoned = moment.to_zoned_datetime(zone.clone());
        let start = zoned.start_of_day().ok()?;
        let epoch = jiff::civil::date(1970, 1, 1);
        let number = epoch.until(zoned.date()).ok()?.get_days();
        Some(Day { number, first_slot: slot_of(start.timestamp().as_millisecond()) })
    });
    begun.unwrap_or(Day { number: 0, first_slot: slot_of(at) })
}

/// The date of a day number, as `2026-11-24`.
#[must_use]
pub fn date_text(number: i32) -> String {
    let epoch = jiff::civil::date(1970, 1, 1);
    epoch.checked_add(jiff::Span::new().days(number)).unwrap_or(epoch).to_string()
}

/// A calendar day in some zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Day {
    /// Days since 1970-01-01.
    pub number: i32,
    /// Its first slot.
    pub first_slot: i64,
}

/// The time over which a bound sums.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Window {
    /// Since midnight in the profile's zone.
    CalendarDay,
    /// The last 24 hours.
    Rolling,
}

impl Window {
    /// The first slot that counts at a moment.
    #[must_use]
    pub fn first_slot(self, now: i64, today: Day) -> i64 {
        match self {
            Self::CalendarDay => today.first_slot,
            Self::Rolling => slot_of(now.saturating_sub(24 * 60 * 60 * 1000)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    /// pains.md 1.3: "when does it reset? rolling window vs calendar day".
    #[test]
    fn days_begin_at_midnight_of_the_zone_also_when_clocks_change() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        for (moment, date, begins, slots) in [
            ("2026-11-24T23:30:00Z", "2026-11-25", "2026-11-24T23:00:00Z", 24 * 12),
            // Spring forward: 23 hours.
            ("2026-03-29T12:00:00Z", "2026-03-29", "2026-03-28T23:00:00Z", 23 * 12),
            // Fall back: 25 hours.
            ("2026-10-25T22:59:00Z", "2026-10-25", "2026-10-24T22:00:00Z", 25 * 12),
        ] {
            let day = day_of(at(moment), &berlin);
            assert_eq!(date_text(day.number), date);
            assert_eq!(day.first_slot, slot_of(at(begins)), "{moment}");
            let next = day_of((day.first_slot + slots) * SLOT_MS, &berlin);
            assert_eq!(next.number, day.number + 1);
            assert_eq!(next.first_slot, day.first_slot + slots);
            assert_eq!(day_of((day.first_slot + slots) * SLOT_MS - 1, &berlin), day);
        }
    }

    #[test]
    fn zones_with_odd_offsets_begin_their_day_on_a_slot() {
        for name in ["Asia/Kathmandu", "Pacific/Chatham", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"] {
            let zone = TimeZone::get(name).unwrap();
            for hour in 0..48 {
                let now = at("2026-04-04T00:00:00Z") + hour * 3_600_000;
                let start = day_of(now, &zone).first_slot * SLOT_MS;
                let before = Timestamp::from_millisecond(start - 1).unwrap();
                let first = Timestamp::from_millisecond(start).unwrap();
                let (before, first) =
                    (before.to_zoned_datetime(zone.clone()), first.to_zoned_datetime(zone.clone()));
                assert_ne!(before.date(), first.date(), "{name}");
            }
        }
    }

    #[test]
    fn moments_outside_the_calendar_do_not_panic() {
        for moment in [i64::MIN, i64::MAX] {
            assert_eq!(day_of(moment, &TimeZone::UTC).number, 0);
            assert!(Window::Rolling.first_slot(moment, day_of(moment, &TimeZone::UTC)) <= slot_of(moment));
        }
    }
}
