//! Numbers as people read them. Sizes are decimal, as network rates are: 1 MB is 1,000,000 bytes.

use std::time::Duration;

/// `1,234,567`
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `512 B`, `1.5 KB`, `311.0 MB`, `2.0 GB`
pub fn size(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1e3;
    for unit in ["KB", "MB", "GB"] {
        // What would be rounded to 1000.0 belongs to the next unit.
        if value < 999.95 {
            return format!("{value:.1} {unit}");
        }
        value /= 1e3;
    }
    format!("{value:.1} TB")
}

/// A whole number a second: `12,345`.
pub fn per_second(number: u64, seconds: f64) -> u64 {
    if seconds > 0.0 { (number as f64 / seconds).round() as u64 } else { 0 }
}

/// `29.6 MB/s`; nothing to say of no time.
pub fn byte_rate(bytes: u64, seconds: f64) -> String {
    if bytes == 0 || seconds <= 0.0 {
        return "-".to_owned();
    }
    format!("{}/s", size(per_second(bytes, seconds)))
}

/// `0.42 s`, `12.3 s`, `4:05 min`, `2:03:04 h`
pub fn seconds(value: f64) -> String {
    if value < 9.995 {
        format!("{value:.2} s")
    } else if value < 99.95 {
        format!("{value:.1} s")
    } else {
        clock(Duration::from_secs_f64(value.min(1e9)))
    }
}

/// `0:05`, `4:05`, `2:03:04`
pub fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02} h")
    } else {
        format!("{minutes}:{seconds:02} min")
    }
}

/// Whole percents, never 100 before the end.
pub fn percent(part: u64, whole: u64) -> u64 {
    if whole == 0 || part >= whole {
        100
    } else {
        u64::try_from(u128::from(part) * 100 / u128::from(whole)).unwrap_or(100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_separators() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1234567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn sizes_are_decimal_and_never_show_a_thousand() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1500, "1.5 KB"),
            (999_949, "999.9 KB"),
            (999_950, "1.0 MB"),
            (311_000_000, "311.0 MB"),
            (2_000_000_000, "2.0 GB"),
            (5_000_000_000_000, "5.0 TB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn rates_of_no_time_are_no_number() {
        assert_eq!(byte_rate(100, 0.0), "-");
        assert_eq!(byte_rate(0, 1.0), "-");
        assert_eq!(byte_rate(30_000_000, 2.0), "15.0 MB/s");
        assert_eq!(per_second(10, 0.0), 0);
        assert_eq!(per_second(10, 4.0), 3);
    }

    #[test]
    fn durations_get_coarser() {
        for (value, text) in [
            (0.421, "0.42 s"),
            (9.999, "10.0 s"),
            (12.34, "12.3 s"),
            (245.0, "4:05 min"),
            (7384.0, "2:03:04 h"),
        ] {
            assert_eq!(seconds(value), text);
        }
        assert_eq!(clock(Duration::from_secs(5)), "0:05 min");
    }

    #[test]
    fn percents_end_at_the_end() {
        assert_eq!(percent(999, 1000), 99);
        assert_eq!(percent(1000, 1000), 100);
        assert_eq!(percent(0, 0), 100);
        assert_eq!(percent(u64::MAX - 1, u64::MAX), 99);
    }
}
