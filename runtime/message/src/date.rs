//! Dates of header fields. Reads no clock: the caller brings Unix seconds.

use mail_parser::DateTime;
use std::cell::RefCell;

/// The years that are written: RFC 5322 3.3 asks for four digits.
const RANGE: std::ops::RangeInclusive<i64> = 0..=253_402_214_399;

/// `Thu, 1 Jan 1970 00:00:00 +0000` (RFC 5322 3.3), for Unix seconds and an offset to UTC in minutes.
/// Seconds outside 1970 to 9999 and offsets beyond a day are taken as the nearest allowed.
#[must_use]
pub fn rfc5322(unix_seconds: i64, offset_minutes: i32) -> String {
    thread_local! {
        /// The last one: a busy server writes thousands in a second.
        static LAST: RefCell<(i64, i32, String)> = const { RefCell::new((0, 0, String::new())) };
    }
    LAST.with_borrow_mut(|(seconds, offset, text)| {
        if text.is_empty() || (*seconds, *offset) != (unix_seconds, offset_minutes) {
            (*seconds, *offset, *text) =
                (unix_seconds, offset_minutes, written(unix_seconds, offset_minutes));
        }
        text.clone()
    })
}

fn written(unix_seconds: i64, offset_minutes: i32) -> String {
    let offset = offset_minutes.clamp(-23 * 60 - 59, 23 * 60 + 59);
    let shown = unix_seconds.clamp(*RANGE.start(), *RANGE.end()) + i64::from(offset) * 60;
    let mut date = DateTime::from_timestamp(shown.max(*RANGE.start()));
    let minutes = offset.unsigned_abs();
    date.tz_hour = u8::try_from(minutes / 60).unwrap_or(0);
    date.tz_minute = u8::try_from(minutes % 60).unwrap_or(0);
    date.tz_before_gmt = offset < 0;
    date.to_rfc822()
}

/// `2026-12-01`, for the `{date}` of a disclaimer.
#[must_use]
pub fn iso(unix_seconds: i64, offset_minutes: i32) -> String {
    let offset = offset_minutes.clamp(-23 * 60 - 59, 23 * 60 + 59);
    let shown = unix_seconds.clamp(*RANGE.start(), *RANGE.end()) + i64::from(offset) * 60;
    let date = DateTime::from_timestamp(shown.max(*RANGE.start()));
    format!("{:04}-{:02}-{:02}", date.year, date.month, date.day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(rfc5322(0, 0), "Thu, 1 Jan 1970 00:00:00 +0000");
        assert_eq!(rfc5322(1_700_000_000, 60), "Tue, 14 Nov 2023 23:13:20 +0100");
        assert_eq!(rfc5322(1_700_000_000, -210), "Tue, 14 Nov 2023 18:43:20 -0330");
        assert_eq!(iso(1_709_164_800, 0), "2024-02-29");
        for extreme in [i64::MIN, i64::MAX] {
            assert!(!rfc5322(extreme, i32::MAX).is_empty());
        }
        // Whatever was asked for before, and again.
        for _ in 0..2 {
            for (seconds, offset) in [(0, 60), (0, 0), (1, 0), (0, 60)] {
                assert_eq!(rfc5322(seconds, offset), written(seconds, offset));
            }
        }
    }
}
