//! Values as the recordings write them, compared as values: `1.50` is `1.5`, `…T00:00:00Z` is `… 00:00:00.000000`, and a
//! null field is the same as an absent one.

use std::fmt::Write;

use serde_json::Value;

/// A text that two values have in common when, and only when, they are the same.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_value(value, &mut text);
    text
}

/// The canonical rows; sorted, unless their order counts.
pub fn canonical_rows(rows: &[Value], in_order: bool) -> Vec<String> {
    let mut rows: Vec<String> = rows.iter().map(canonical).collect();
    if !in_order {
        rows.sort_unstable();
    }
    rows
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => match n.as_i64() {
            Some(n) => out.push_str(&number(&n.to_string())),
            // Twelve digits: sums of doubles depend on their order.
            None => out.push_str(&number(&format!("{:.11e}", n.as_f64().unwrap_or(f64::NAN)))),
        },
        Value::String(text) => match timestamp_micros(text) {
            Some(micros) => {
                let _ = write!(out, "t{micros}");
            }
            None if is_decimal(text) => out.push_str(&number(text)),
            None => {
                let _ = write!(out, "{text:?}");
            }
        },
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_value(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().filter(|(_, value)| !value.is_null()).collect();
            fields.sort_by(|a, b| a.0.cmp(b.0));
            out.push('{');
            for (name, value) in fields {
                let _ = write!(out, "{name:?}:");
                write_value(value, out);
                out.push(',');
            }
            out.push('}');
        }
    }
}

/// A decimal number as its digits without zeros at either end, and the power of ten they are multiplied with.
fn number(text: &str) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return "n0".to_string();
    }
    let power = exponent - fraction.len() as i64 + (digits.len() - significant.len()) as i64;
    format!("n{sign}{significant}e{power}")
}

fn is_decimal(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.split_once('.').is_some_and(|(whole, fraction)| is_digits(whole) && is_digits(fraction))
}

/// Microseconds since the epoch of `2024-01-01T00:00:00.5Z` and its kin; `None` for any other text.
pub fn timestamp_micros(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', ' '])?;
    let mut parts = date.rsplitn(3, '-');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let plain = |part: &str, least: usize| -> Option<i64> {
        (part.len() >= least && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse().ok()).flatten()
    };
    let (sign, year) = year.strip_prefix('-').map_or((1, year), |rest| (-1, rest));
    let days = days_since_epoch(sign * plain(year, 4)?, plain(month, 2)?, plain(day, 2)?)?;
    let time = time.strip_suffix('Z').or_else(|| time.strip_suffix("+00:00")).unwrap_or(time);
    let (hours, rest) = time.split_once(':')?;
    let (minutes, seconds) = rest.split_once(':').unwrap_or((rest, "0"));
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let micros: i64 = if fraction.is_empty() { 0 } else { plain(format!("{fraction:0<6}").get(..6)?, 6)? };
    let seconds = (days * 24 + plain(hours, 2)?) * 3600 + plain(minutes, 2)? * 60 + plain(seconds, 1)?;
    seconds.checked_mul(1_000_000)?.checked_add(micros)
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar.
fn days_since_epoch(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that start in March: the leap day is their last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    Some(year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468)
}
