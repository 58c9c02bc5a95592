//! Quartz expressions: seconds, minutes, hours, day of month, month, day of week and perhaps the year.
//!
//! Fields are checked one by one: `*`, numbers or names, ranges `a-b` (which may wrap around, except years),
//! steps `a/n`, lists of these; `?` for one of the two day fields; `L` for the last day of the month,
//! `L`, `nL` and `n#k` for Saturday, the last and the k-th weekday n. Days of the week count from 1, Sunday.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    /// Names of the numbers from `min` on.
    names: &'static [&'static str],
}

const DAY_OF_MONTH: usize = 3;
const DAY_OF_WEEK: usize = 5;
const YEAR: usize = 6;

const FIELDS: [Field; 7] = [
    Field { name: "seconds", min: 0, max: 59, names: &[] },
    Field { name: "minutes", min: 0, max: 59, names: &[] },
    Field { name: "hours", min: 0, max: 23, names: &[] },
    Field { name: "day of month", min: 1, max: 31, names: &[] },
    Field {
        name: "month",
        min: 1,
        max: 12,
        names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    },
    Field { name: "day of week", min: 1, max: 7, names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"] },
    Field { name: "year", min: 1970, max: 2099, names: &[] },
];

/// `expression` with one space between its fields.
///
/// # Errors
/// What is wrong with which field.
pub(super) fn normalized(expression: &str) -> Result<String, String> {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    if !(6..=7).contains(&fields.len()) {
        return Err(format!("{} fields", fields.len()));
    }
    for (index, text) in fields.iter().enumerate() {
        let field = &FIELDS[index];
        for item in text.split(',') {
            if !is_item(index, item) || (item != *text && stands_alone(item)) {
                return Err(format!(
                    "the field for {} ({} to {}) cannot be {:?}",
                    field.name,
                    field.min,
                    field.max,
                    text.chars().take(40).collect::<String>()
                ));
            }
        }
    }
    match (fields[DAY_OF_MONTH], fields[DAY_OF_WEEK]) {
        ("?", "?") => Err("only one of day of month and day of week can be ?".to_string()),
        ("?" | "*", _) | (_, "?" | "*") => Ok(fields.join(" ")),
        _ => Err("one of day of month and day of week must be ?".to_string()),
    }
}

/// Whether an item has no meaning in a list.
fn stands_alone(item: &str) -> bool {
    item == "?" || item.ends_with('L') && item.len() <= 2 || item.contains('#')
}

fn is_item(index: usize, item: &str) -> bool {
    let field = &FIELDS[index];
    let (day_of_month, day_of_week) = (index == DAY_OF_MONTH, index == DAY_OF_WEEK);
    if item == "?" || item == "L" {
        return day_of_month || day_of_week;
    }
    if day_of_week {
        if let Some((day, nth)) = item.split_once('#') {
            return field.value(day).is_some() && matches!(nth, "1" | "2" | "3" | "4" | "5");
        }
        if let Some(day) = item.strip_suffix('L') {
            return field.value(day).is_some();
        }
    }
    let (range, step) = match item.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (item, None),
    };
    let valid_step = step.is_none_or(|step| number(step).is_some_and(|step| (1..=field.max).contains(&step)));
    let valid_range = range == "*"
        || match range.split_once('-') {
            Some((first, last)) => match (field.value(first), field.value(last)) {
                (Some(first), Some(last)) => index != YEAR || first <= last,
                _ => false,
            },
            None => field.value(range).is_some(),
        };
    valid_step && valid_range
}

/// The first time behind `after` at which an expression holds in `zone`; `None` when there is none before 2100.
///
/// A local time that a clock change skips counts as the time right behind the change, one that it repeats counts once.
pub(super) fn next(expression: &str, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let set = |index: usize| FIELDS[index].set(fields.get(index).copied().unwrap_or("*"));
    let [seconds, minutes, hours, months, years] = [0, 1, 2, 4, YEAR].map(set);
    let mut times = Vec::new();
    for hour in &hours {
        for minute in &minutes {
            times.extend(seconds.iter().map(|second| [hour, minute, second].map(|value| *value as i8)));
        }
    }
    let start = after.to_zoned_datetime(zone.clone()).datetime();
    let mut date = start.date();
    while u32::from(date.year().unsigned_abs()) <= FIELDS[YEAR].max {
        let day_matches = is_day(fields.get(DAY_OF_MONTH)?, fields.get(DAY_OF_WEEK)?, date)
            && months.contains(&u32::from(date.month().unsigned_abs()))
            && years.contains(&u32::from(date.year().unsigned_abs()));
        if day_matches {
            for [hour, minute, second] in &times {
                let time = date.at(*hour, *minute, *second, 0);
                // Most are told apart without a look at the zone.
                let found = (time > start).then(|| zone.to_ambiguous_timestamp(time).compatible().ok()).flatten();
                if let Some(found) = found.filter(|found| *found > after) {
                    return Some(found);
                }
            }
        }
        date = date.tomorrow().ok()?;
    }
    None
}

fn is_day(day_of_month: &str, day_of_week: &str, date: Date) -> bool {
    let month = match day_of_month {
        "?" | "*" => true,
        "L" => date.day() == date.days_in_month(),
        list => FIELDS[DAY_OF_MONTH].set(list).contains(&u32::from(date.day().unsigned_abs())),
    };
    let weekday = date.weekday().to_sunday_one_offset();
    let is = |text: &str| FIELDS[DAY_OF_WEEK].value(text) == Some(u32::from(weekday.unsigned_abs()));
    let week = match day_of_week {
        "?" | "*" => true,
        "L" => is("7"),
        item => match (item.split_once('#'), item.strip_suffix('L')) {
            (Some((day, nth)), _) => is(day) && number(nth) == Some(u32::from(date.day().unsigned_abs()).div_ceil(7)),
            (None, Some(day)) => is(day) && date.day() + 7 > date.days_in_month(),
            (None, None) => FIELDS[DAY_OF_WEEK].set(item).contains(&u32::from(weekday.unsigned_abs())),
        },
    };
    month && week
}

impl Field {
    fn value(&self, text: &str) -> Option<u32> {
        let named = self.names.iter().zip(self.min..).find(|(name, _)| name.eq_ignore_ascii_case(text));
        let value = named.map(|(_, value)| value).or_else(|| number(text))?;
        (self.min..=self.max).contains(&value).then_some(value)
    }

    /// The values that a list of plain items names, in order. What is not in order names none.
    fn set(&self, list: &str) -> Vec<u32> {
        let mut values: Vec<u32> = list.split(',').flat_map(|item| self.item(item).unwrap_or_default()).collect();
        values.sort_unstable();
        values.dedup();
        values
    }

    fn item(&self, item: &str) -> Option<Vec<u32>> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, number(step)?),
            None => (item, 1),
        };
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (self.value(first)?, self.value(last)?),
            None if range == "*" => (self.min, self.max),
            // `a/n` runs to the end of the field.
            None if step > 1 || item.contains('/') => (self.value(range)?, self.max),
            None => (self.value(range)?, self.value(range)?),
        };
        let count = self.max - self.min + 1;
        // A range may wrap around the end of its field.
        let length = if last >= first { last - first } else { last + count - first };
        Some((0..=length).step_by(step as usize).map(|i| (first - self.min + i) % count + self.min).collect())
    }
}

/// Digits only: no sign.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let expression = normalized(expression).unwrap();
        let zone = TimeZone::get(zone).unwrap();
        let mut time: Timestamp = after.parse().unwrap();
        let mut found = Vec::new();
        while found.len() < count {
            let Some(next) = next(&expression, time, &zone) else { break };
            assert!(next > time);
            time = next;
            found.push(time.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string());
        }
        found
    }

    #[test]
    fn expressions_name_their_times() {
        for (expression, expected) in [
            ("0 30 2 ? * MON-FRI", ["2026-01-02 02:30:00", "2026-01-05 02:30:00", "2026-01-06 02:30:00"]),
            ("0 0 0 L * ?", ["2026-01-31 00:00:00", "2026-02-28 00:00:00", "2026-03-31 00:00:00"]),
            ("0 0 12 ? * 6L", ["2026-01-30 12:00:00", "2026-02-27 12:00:00", "2026-03-27 12:00:00"]),
            ("0 0 12 ? * TUE#2", ["2026-01-13 12:00:00", "2026-02-10 12:00:00", "2026-03-10 12:00:00"]),
            ("0 0 12 ? * L", ["2026-01-03 12:00:00", "2026-01-10 12:00:00", "2026-01-17 12:00:00"]),
            ("*/20 59 23 31 DEC ?", ["2026-12-31 23:59:00", "2026-12-31 23:59:20", "2026-12-31 23:59:40"]),
            ("0 50/5 22-1/3 1 1 ? 2027", ["2027-01-01 01:50:00", "2027-01-01 01:55:00", "2027-01-01 22:50:00"]),
            ("0 0 0 29 2 ?", ["2028-02-29 00:00:00", "2032-02-29 00:00:00", "2036-02-29 00:00:00"]),
        ] {
            assert_eq!(runs(expression, "UTC", "2026-01-01T12:00:00Z", 3), expected, "{expression}");
        }
        assert!(runs("0 0 0 30 2 ?", "UTC", "2026-01-01T00:00:00Z", 1).is_empty());
        assert!(runs("0 0 0 1 1 ? 2020", "UTC", "2026-01-01T00:00:00Z", 1).is_empty());
    }

    /// Against the slowest way: every second is looked at.
    #[test]
    fn no_time_is_missed_or_made_up() {
        let start: Timestamp = "2026-02-27T22:00:00Z".parse().unwrap();
        for expression in ["0 0/7 * * * ?", "5,50 10-12 3/4 ? * SAT,1", "30 */25 22-2 28-1 * ?", "0 0 0 ? 3 *"] {
            let fields: Vec<&str> = expression.split(' ').collect();
            let by_hand: Vec<Timestamp> = (1..=3 * 86_400)
                .map(|second| start + jiff::SignedDuration::from_secs(second))
                .filter(|time| {
                    let at = time.to_zoned_datetime(TimeZone::UTC).datetime();
                    let holds = |index: usize, value: i8| FIELDS[index].set(fields[index]).contains(&(value as u32));
                    holds(0, at.second())
                        && holds(1, at.minute())
                        && holds(2, at.hour())
                        && holds(4, at.month())
                        && is_day(fields[3], fields[5], at.date())
                })
                .collect();
            let mut time = start;
            for expected in &by_hand {
                time = next(expression, time, &TimeZone::UTC).unwrap();
                assert_eq!(time, *expected, "{expression}");
            }
            assert!(!by_hand.is_empty());
        }
    }

    #[test]
    fn clock_changes_neither_lose_nor_double_a_daily_run() {
        // Berlin: 2026-03-29 has no 02:30, 2026-10-25 has two.
        assert_eq!(
            runs("0 30 2 * * ?", "Europe/Berlin", "2026-03-28T12:00:00Z", 2),
            ["2026-03-29 03:30:00", "2026-03-30 02:30:00"]
        );
        assert_eq!(
            runs("0 30 2 * * ?", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
            ["2026-10-25 02:30:00", "2026-10-26 02:30:00"]
        );
    }
}
