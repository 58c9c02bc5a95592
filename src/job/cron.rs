//! Quartz expressions: seconds, minutes, hours, day of month, month, day of week and perhaps the year.
//!
//! Fields are checked one by one: `*`, numbers or names, ranges `a-b` (which may wrap around, except years),
//! steps `a/n`, lists of these; `?` for one of the two day fields; `L` for the last day of the month,
//! `L`, `nL` and `n#k` for Saturday, the last and the k-th weekday n. Days of the week count from 1, Sunday.

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

impl Field {
    fn value(&self, text: &str) -> Option<u32> {
        let named = self.names.iter().zip(self.min..).find(|(name, _)| name.eq_ignore_ascii_case(text));
        let value = named.map(|(_, value)| value).or_else(|| number(text))?;
        (self.min..=self.max).contains(&value).then_some(value)
    }
}

/// Digits only: no sign.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
