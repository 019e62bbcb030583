//! Intervals as text: `INTERVAL '1 02:03:04.5' DAY TO SECOND`, as Spark's JSON and CSV hold them.

use crate::java_time::calendar::{DAY_US, SECOND_US};
use crate::java_time::cast::write_padded;

/// Microseconds of `1 02:03:04.5`, alone or inside `INTERVAL '…' DAY TO SECOND`.
pub(crate) fn parse_day_time(text: &str) -> Option<i64> {
    let text = inside(text, "DAY TO SECOND")?;
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (days, time) = text.split_once(' ')?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let parts: Vec<i64> = clock.split(':').map(number).collect::<Option<_>>()?;
    let [hours, minutes, seconds] = parts[..] else {
        return None;
    };
    if hours > 23 || minutes > 59 || seconds > 59 || fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let micros = if fraction.is_empty() { 0 } else { number(&format!("{fraction:0<6}")[..6])? };
    let total =
        number(days)?.checked_mul(DAY_US)?.checked_add(((hours * 60 + minutes) * 60 + seconds) * SECOND_US + micros)?;
    Some(if negative { -total } else { total })
}

/// Months of `1-2`, alone or inside `INTERVAL '…' YEAR TO MONTH`.
pub(crate) fn parse_year_month(text: &str) -> Option<i32> {
    let text = inside(text, "YEAR TO MONTH")?;
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (years, months) = text.split_once('-')?;
    let months = number(months).filter(|m| *m < 12)?;
    let total = i32::try_from(number(years)?.checked_mul(12)?.checked_add(months)?).ok()?;
    Some(if negative { -total } else { total })
}

/// Appends `INTERVAL '1 02:03:04.5' DAY TO SECOND`.
pub(crate) fn write_day_time(us: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"INTERVAL '");
    if us < 0 {
        out.push(b'-');
    }
    let abs = us.unsigned_abs();
    let (days, in_day) = (abs / DAY_US as u64, abs % DAY_US as u64);
    write_padded(days, 1, out);
    let (seconds, micros) = (in_day / SECOND_US as u64, in_day % SECOND_US as u64);
    for (separator, value) in [(b' ', seconds / 3600), (b':', seconds / 60 % 60), (b':', seconds % 60)] {
        out.push(separator);
        write_padded(value, 2, out);
    }
    if micros > 0 {
        out.push(b'.');
        write_padded(micros, 6, out);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
    out.extend_from_slice(b"' DAY TO SECOND");
}

/// Appends `INTERVAL '1-2' YEAR TO MONTH`.
pub(crate) fn write_year_month(months: i32, out: &mut Vec<u8>) {
    out.extend_from_slice(b"INTERVAL '");
    if months < 0 {
        out.push(b'-');
    }
    write_padded(u64::from(months.unsigned_abs() / 12), 1, out);
    out.push(b'-');
    write_padded(u64::from(months.unsigned_abs() % 12), 1, out);
    out.extend_from_slice(b"' YEAR TO MONTH");
}

/// What stands in the quotes of an interval literal; a text without `INTERVAL` stands for itself.
fn inside<'a>(text: &'a str, fields: &str) -> Option<&'a str> {
    let text = text.trim();
    let Some(rest) = text.get(..8).filter(|t| t.eq_ignore_ascii_case("INTERVAL")).map(|_| text[8..].trim_start())
    else {
        return Some(text);
    };
    let (negative, rest) = rest.strip_prefix('-').map_or((false, rest), |r| (true, r));
    let (inner, after) = rest.strip_prefix('\'')?.split_once('\'')?;
    (!negative && after.trim().eq_ignore_ascii_case(fields)).then_some(inner)
}

fn number(text: &str) -> Option<i64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}
