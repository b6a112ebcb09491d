//! Dates for templates: C's `strftime` on universal time.

use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A moment in the Gregorian calendar.
struct Date {
    year: u64,
    /// 0 is January.
    month: usize,
    day: u64,
    weekday: usize,
    day_of_year: u64,
    seconds: u64,
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

impl Date {
    /// Times before 1970 count as its beginning.
    fn new(now: SystemTime) -> Self {
        let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let days = seconds / 86_400;
        // Whole cycles of 400 years first, so that the loop below is short for any time.
        let (mut year, mut left) = (1970 + days / 146_097 * 400, days % 146_097);
        let year_length = |year| if is_leap(year) { 366 } else { 365 };
        while left >= year_length(year) {
            left -= year_length(year);
            year += 1;
        }
        let (day_of_year, mut month) = (left, 0);
        let month_length = |month| match month {
            1 => 28 + u64::from(is_leap(year)),
            3 | 5 | 8 | 10 => 30,
            _ => 31,
        };
        while left >= month_length(month) {
            left -= month_length(month);
            month += 1;
        }
        // The first day of 1970 was a Thursday.
        let weekday = ((days + 4) % 7) as usize;
        Self { year, month, day: left + 1, weekday, day_of_year, seconds: seconds % 86_400 }
    }

    fn field(&self, directive: char) -> Option<String> {
        let (hour, minute, second) = (self.seconds / 3600, self.seconds / 60 % 60, self.seconds % 60);
        let hour_12 = (hour + 11) % 12 + 1;
        let (month, day) = (self.month + 1, self.day);
        Some(match directive {
            'Y' => self.year.to_string(),
            'y' => format!("{:02}", self.year % 100),
            'm' => format!("{month:02}"),
            'd' => format!("{day:02}"),
            'e' => format!("{day:2}"),
            'B' => MONTHS[self.month].into(),
            'b' | 'h' => MONTHS[self.month][..3].into(),
            'A' => DAYS[self.weekday].into(),
            'a' => DAYS[self.weekday][..3].into(),
            'w' => self.weekday.to_string(),
            'j' => format!("{:03}", self.day_of_year + 1),
            'H' => format!("{hour:02}"),
            'I' => format!("{hour_12:02}"),
            'M' => format!("{minute:02}"),
            'S' => format!("{second:02}"),
            'p' => if hour < 12 { "AM" } else { "PM" }.into(),
            'Z' => "UTC".into(),
            'z' => "+0000".into(),
            'F' => format!("{}-{month:02}-{day:02}", self.year),
            'T' => format!("{hour:02}:{minute:02}:{second:02}"),
            'D' => format!("{month:02}/{day:02}/{:02}", self.year % 100),
            '%' => "%".into(),
            _ => return None,
        })
    }
}

/// `now` as `format` says.
///
/// # Errors
/// The first directive that is none of `strftime`'s common ones.
pub(super) fn strftime(now: SystemTime, format: &str) -> Result<String, String> {
    let date = Date::new(now);
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        // `%-d` is `%d` without padding.
        let directive = chars.next().unwrap_or(' ');
        let (bare, directive) = if directive == '-' { (true, chars.next().unwrap_or(' ')) } else { (false, directive) };
        let text = date.field(directive).ok_or_else(|| format!("strftime knows no directive `%{directive}`"))?;
        let unpadded = text.trim_start_matches([' ', '0']);
        let all_padding = unpadded.is_empty();
        out.push_str(if !bare {
            &text
        } else if all_padding {
            "0"
        } else {
            unpadded
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64, format: &str) -> String {
        strftime(UNIX_EPOCH + Duration::from_secs(seconds), format).unwrap()
    }

    #[test]
    fn known_dates() {
        assert_eq!(at(0, "%A %d %B %Y %H:%M:%S"), "Thursday 01 January 1970 00:00:00");
        assert_eq!(at(951_825_600, "%F %a %j"), "2000-02-29 Tue 060");
        assert_eq!(at(1_721_999_999, "%d %b %Y %I:%M %p"), "26 Jul 2024 01:19 PM");
        assert_eq!(at(4_107_542_400, "%F"), "2100-03-01");
        assert_eq!(at(1_704_067_200, "%-d/%-m/%y 100%%"), "1/1/24 100%");
        assert!(strftime(UNIX_EPOCH, "%Q").unwrap_err().contains("%Q"));
    }
}
