//! When pods may be restarted for changes.

use freshet_api::{MaintenanceWindow, Weekday};
use k8s_openapi::jiff::Timestamp;

const DAY: i64 = 24 * 60;
const WEEK: i64 = 7 * DAY;

/// Whether one of the windows is open; without any there is no closed time.
pub(super) fn open(windows: &[MaintenanceWindow], now: Timestamp) -> bool {
    // The epoch began on a Thursday: three days after a Monday.
    let minute = (now.as_second().div_euclid(60) + 3 * DAY).rem_euclid(WEEK);
    windows.is_empty() || windows.iter().any(|window| is_open(window, minute))
}

/// `minute` counts from Monday, 00:00 UTC.
fn is_open(window: &MaintenanceWindow, minute: i64) -> bool {
    let Some(start) = start(&window.start) else {
        return false;
    };
    let lasts = i64::from(window.minutes);
    let begun = |day: i64| (minute - day * DAY - start).rem_euclid(WEEK) < lasts;
    if window.days.is_empty() {
        return (0..7).any(begun);
    }
    window.days.iter().any(|day| begun(number(*day)))
}

fn start(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    Some(hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?)
}

fn number(day: Weekday) -> i64 {
    match day {
        Weekday::Monday => 0,
        Weekday::Tuesday => 1,
        Weekday::Wednesday => 2,
        Weekday::Thursday => 3,
        Weekday::Friday => 4,
        Weekday::Saturday => 5,
        Weekday::Sunday => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(days: &[Weekday], start: &str, minutes: i32) -> MaintenanceWindow {
        MaintenanceWindow {
            days: days.to_vec(),
            start: start.to_owned(),
            minutes,
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_window_is_open_on_its_days() {
        let sunday = [window(&[Weekday::Sunday], "22:00", 240)];
        // 2026-11-22 is a Sunday.
        assert!(!open(&sunday, at("2026-11-22T21:59:59Z")));
        assert!(open(&sunday, at("2026-11-22T22:00:00Z")));
        assert!(
            open(&sunday, at("2026-11-23T01:59:59Z")),
            "over midnight, into the next week"
        );
        assert!(!open(&sunday, at("2026-11-23T02:00:00Z")));
        assert!(!open(&sunday, at("2026-11-23T22:30:00Z")));
    }

    #[test]
    fn without_days_it_is_every_day_and_without_windows_always() {
        let nights = [window(&[], "23:30", 60)];
        assert!(open(&nights, at("2026-11-25T00:15:00Z")));
        assert!(!open(&nights, at("2026-11-25T00:30:00Z")));
        assert!(open(&[], at("2026-11-25T12:00:00Z")));
    }
}
