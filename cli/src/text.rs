//! Small things that people type.

pub(crate) mod time;

use std::time::Duration;

/// `host:port`.
pub(crate) fn address(text: &str) -> Result<String, String> {
    let (host, port) = text
        .rsplit_once(':')
        .ok_or("a port is missing: write HOST:PORT")?;
    if host.is_empty() {
        return Err("the host is missing: write HOST:PORT".to_owned());
    }
    port.parse::<u16>()
        .map_err(|_| format!("{port:?} is no port"))?;
    Ok(text.to_owned())
}

/// A whole number, and what is behind it.
fn number_and_unit(text: &str) -> Result<(u64, &str), String> {
    let split = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(split.unwrap_or(text.len()));
    let number = number.parse();
    let number = number.map_err(|_| format!("{text:?} does not start with a whole number"))?;
    Ok((number, unit))
}

/// A number with a unit: ms, s, m, h or d.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = number_and_unit(text)?;
    let ms = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    let ms = ms.ok_or_else(|| format!("the unit of {text:?} must be ms, s, m, h or d"))?;
    let ms = number
        .checked_mul(ms)
        .ok_or_else(|| format!("{text:?} is too long"))?;
    Ok(Duration::from_millis(ms))
}

/// Bytes a second: a number, with KB, MB, GB (thousands) or KiB, MiB, GiB behind it, or nothing.
pub(crate) fn rate(text: &str) -> Result<u64, String> {
    let (number, unit) = number_and_unit(text)?;
    let bytes = match unit {
        "" | "B" => Some(1),
        "KB" | "kB" => Some(1_000),
        "MB" => Some(1_000_000),
        "GB" => Some(1_000_000_000),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    let bytes =
        bytes.ok_or_else(|| format!("the unit of {text:?} must be KB, MB, GB, KiB, MiB or GiB"))?;
    let rate = number
        .checked_mul(bytes)
        .filter(|rate| i64::try_from(*rate).is_ok());
    match rate {
        Some(0) => Err("at 0 bytes a second no move would end".to_owned()),
        Some(rate) => Ok(rate),
        None => Err(format!("{text:?} is too much")),
    }
}

/// `NAME=VALUE`.
pub(crate) fn name_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} must have the form NAME=VALUE")),
    }
}

/// `TOPIC` or `TOPIC:PARTITION[,PARTITION..]`.
pub(crate) fn topic_partitions(text: &str) -> Result<(String, Option<Vec<i32>>), String> {
    let Some((topic, list)) = text.split_once(':') else {
        return Ok((text.to_owned(), None));
    };
    let number = |p: &str| {
        p.parse::<i32>()
            .map_err(|_| format!("{p:?} is no partition"))
    };
    let partitions = list.split(',').map(number).collect::<Result<_, _>>()?;
    Ok((topic.to_owned(), Some(partitions)))
}

/// A separator, in which `\t`, `\n` and `\\` may be written.
pub(crate) fn separator(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("a separator must not be empty".to_owned());
    }
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, letters.as_str().chars().next()) {
            ('\\', Some('t')) => plain.push('\t'),
            ('\\', Some('n')) => plain.push('\n'),
            ('\\', Some('\\')) => plain.push('\\'),
            _ => {
                plain.push(letter);
                continue;
            }
        }
        letters.next();
    }
    Ok(plain)
}

/// Bytes for people: 1.5 MiB.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut scaled = count as f64 / 1024.0;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{scaled:.1} {}", UNITS[unit])
}

/// A span of time in its largest unit, as [`duration`] reads it: 90s, 7m.
pub(crate) fn age(ms: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m")];
    // Below two of a unit the next smaller one says more.
    let large = UNITS.iter().find(|(unit, _)| ms >= 2 * unit);
    let (unit, name) = large.copied().unwrap_or((1000, "s"));
    format!("{}{name}", ms / unit)
}

/// Numbers with commas between; a dash for none.
pub(crate) fn ids(numbers: &[i32]) -> String {
    if numbers.is_empty() {
        return "-".to_owned();
    }
    let texts: Vec<_> = numbers.iter().map(ToString::to_string).collect();
    texts.join(",")
}

/// `1 record`, `2 records`.
pub(crate) fn count(number: u64, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for bad in ["", "5", "s", "5 s", "-1s", "99999999999999999d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates_may_have_a_unit() {
        for (typed, meant) in [
            ("7", 7),
            ("50MB", 50_000_000),
            ("2KiB", 2_048),
            ("3GB", 3_000_000_000),
        ] {
            assert_eq!(rate(typed), Ok(meant), "{typed}");
        }
        for bad in [
            "",
            "MB",
            "0",
            "0MB",
            "1.5MB",
            "5 MB",
            "5mb",
            "9999999999GiB",
            "-1",
        ] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn separators_are_read_from_left_to_right() {
        for (typed, meant) in [
            (r"\t", "\t"),
            (r"\\t", r"\t"),
            (r"\\\t", "\\\t"),
            (r"a\nb", "a\nb"),
            (r"\x\", r"\x\"),
            ("::", "::"),
        ] {
            assert_eq!(separator(typed).as_deref(), Ok(meant), "{typed}");
        }
        assert!(separator("").is_err());
    }

    #[test]
    fn addresses_need_a_port() {
        assert!(address("a:9092").is_ok() && address("[::1]:9092").is_ok());
        for bad in ["a", ":9092", "a:x", "a:99999"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn partitions_may_be_chosen() {
        assert_eq!(topic_partitions("t"), Ok(("t".into(), None)));
        assert_eq!(
            topic_partitions("t:0,2"),
            Ok(("t".into(), Some(vec![0, 2])))
        );
        assert!(topic_partitions("t:x").is_err());
    }

    #[test]
    fn values_may_hold_an_equals_sign() {
        assert_eq!(name_value("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(name_value("a").is_err() && name_value("=b").is_err());
    }

    #[test]
    fn ages_have_one_unit() {
        for (ms, shown) in [
            (999, "0s"),
            (119_999, "119s"),
            (120_000, "2m"),
            (7_199_999, "119m"),
            (7_200_000, "2h"),
            (3 * 86_400_000, "3d"),
        ] {
            assert_eq!(age(ms), shown, "{ms}");
        }
    }

    #[test]
    fn bytes_are_short() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(5 << 40), "5.0 TiB");
    }
}
