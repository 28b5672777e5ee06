//! Moments, as people type and read them.

use freshet_types::Timestamp;

use crate::text;

const DAY_MS: i64 = 86_400_000;

/// A moment: `2026-11-20`, `2026-11-20T10:30:00Z`, with fractions or an offset, milliseconds since
/// 1970 with `ms:` in front, or how long ago, as in `10m`.
pub(crate) fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Some(ms) = text.strip_prefix("ms:") {
        return ms
            .parse()
            .map(Timestamp)
            .map_err(|_| format!("{ms:?} is no number of milliseconds"));
    }
    if let Ok(ago) = text::duration(text) {
        let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
        return Ok(Timestamp(now.0.saturating_sub(ago).max(0)));
    }
    rfc3339(text).map(Timestamp).ok_or_else(|| {
        format!(
            "{text:?} is no time: write 2026-11-20T10:30:00Z, 2026-11-20, 10m (ago) or ms:NUMBER"
        )
    })
}

/// Milliseconds since 1970 as RFC 3339 in UTC.
pub(crate) fn show(time: Timestamp) -> String {
    if time == Timestamp::NONE {
        return "-".to_owned();
    }
    let (year, month, day) = civil(time.0.div_euclid(DAY_MS));
    let ms = time.0.rem_euclid(DAY_MS);
    let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z",
        ms % 1000
    )
}

fn rfc3339(text: &str) -> Option<i64> {
    let date = text.get(..10)?;
    let mut parts = date.split('-');
    let (year, month, day) = (
        number(parts.next()?)?,
        number(parts.next()?)?,
        number(parts.next()?)?,
    );
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let midnight = days(year, month, day) * DAY_MS;
    let Some(rest) = text[10..].strip_prefix(['T', ' ']) else {
        return text[10..].is_empty().then_some(midnight);
    };
    let zone_at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(zone_at);
    Some(midnight + clock_ms(clock)? - zone_ms(zone)?)
}

fn clock_ms(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (hour, minute) = (number(parts.next()?)?, number(parts.next()?)?);
    let seconds = parts.next().unwrap_or("0");
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let seconds = number(seconds)?;
    number(fraction)?;
    let ms: String = fraction.chars().chain("000".chars()).take(3).collect();
    let in_range = hour < 24 && minute < 60 && seconds < 61 && parts.next().is_none();
    in_range.then_some(((hour * 60 + minute) * 60 + seconds) * 1000 + number(&ms)?)
}

fn zone_ms(text: &str) -> Option<i64> {
    if text.is_empty() || text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    Some(sign * (number(hours)? * 60 + number(minutes)?) * 60_000)
}

fn number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Days since 1970 of a date. Years count from March, so that the leap day is a year's last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month < 3);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date of a day; the opposite of [`days`].
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = (shifted + 2) % 12 + 1;
    (
        year + era * 400 + i64::from(month < 3),
        month,
        of_year - (153 * shifted + 2) / 5 + 1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000_000);

    #[test]
    fn moments_have_many_forms() {
        for (text, ms) in [
            ("1970-01-01", 0),
            ("2026-11-20T10:30:00Z", 1_795_170_600_000),
            ("2026-11-20 10:30", 1_795_170_600_000),
            ("2026-11-20T11:30:00.25+01:00", 1_795_170_600_250),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000),
            ("ms:12", 12),
            ("10m", 1_000_000_000_000 - 600_000),
        ] {
            assert_eq!(moment(text, NOW), Ok(Timestamp(ms)), "{text}");
        }
        for bad in [
            "",
            "2026-13-01",
            "2026-11-20T25:00",
            "yesterday",
            "2026-11-20X",
            "ms:",
            "ü2345678901",
        ] {
            assert!(moment(bad, NOW).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_shown_can_be_typed() {
        for ms in [
            0,
            1,
            951_782_400_000,
            1_709_164_800_123,
            1_795_170_600_250,
            4_102_444_800_000,
        ] {
            assert_eq!(moment(&show(Timestamp(ms)), NOW), Ok(Timestamp(ms)));
        }
        assert_eq!(
            show(Timestamp(1_795_170_600_250)),
            "2026-11-20T10:30:00.250Z"
        );
        assert_eq!(show(Timestamp::NONE), "-");
    }
}
