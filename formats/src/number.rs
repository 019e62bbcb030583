//! Numbers as Java prints and reads them: `1.0E10`, `0E-18`, decimals rounded half up.

use std::io::Write as _;

/// Appends a double as `Double.toString` does: `1.0`, `1.0E10`, `-0.0`, `NaN`, `Infinity`.
///
/// Between 10⁻³ and 10⁷ plainly, otherwise with an exponent; the digits are the shortest that read back the same.
pub fn write_f64(value: f64, out: &mut Vec<u8>) {
    if !value.is_finite() {
        return write_not_finite(value.is_nan(), value > 0.0, out);
    }
    if value == 0.0 {
        return out.extend_from_slice(if value.is_sign_negative() { b"-0.0" } else { b"0.0" });
    }
    // ryu gives the shortest digits; where the point goes is decided here.
    let mut buffer = ryu::Buffer::new();
    // The smallest numbers have one digit that says it all; Java wants the best two.
    if value.abs() < 1e-322 {
        return java_notation(&format!("{value:.1e}"), out);
    }
    java_notation(buffer.format_finite(value), out);
}

/// Appends a float as `Float.toString` does.
pub fn write_f32(value: f32, out: &mut Vec<u8>) {
    if !value.is_finite() {
        return write_not_finite(value.is_nan(), value > 0.0, out);
    }
    if value == 0.0 {
        return out.extend_from_slice(if value.is_sign_negative() { b"-0.0" } else { b"0.0" });
    }
    let mut buffer = ryu::Buffer::new();
    if value.abs() < 1e-43 {
        return java_notation(&format!("{value:.1e}"), out);
    }
    java_notation(buffer.format_finite(value), out);
}

fn write_not_finite(nan: bool, positive: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(match (nan, positive) {
        (true, _) => b"NaN".as_slice(),
        (_, true) => b"Infinity",
        (_, false) => b"-Infinity",
    });
}

/// From ryu's `123.45` or `1.2345e-7` to Java's notation.
fn java_notation(text: &str, out: &mut Vec<u8>) {
    let text = match text.strip_prefix('-') {
        Some(rest) => {
            out.push(b'-');
            rest
        }
        None => text,
    };
    let (mantissa, exponent) = match text.split_once('e') {
        Some((m, e)) => (m, e.parse::<i32>().unwrap_or(0)),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = [0u8; 64];
    let mut len = 0;
    for b in whole.bytes().chain(fraction.bytes()) {
        digits[len] = b;
        len += 1;
    }
    let leading = digits[..len].iter().take_while(|b| **b == b'0').count();
    let mut digits = &digits[leading..len];
    while let [rest @ .., b'0'] = digits
        && !rest.is_empty()
    {
        digits = rest;
    }
    // The value is 0.DIGITS × 10^point.
    let point = whole.len() as i32 - leading as i32 + exponent;
    write_java_digits(digits, point, out);
}

/// Writes 0.DIGITS × 10^point.
fn write_java_digits(digits: &[u8], point: i32, out: &mut Vec<u8>) {
    let or_zero = |d: &[u8], out: &mut Vec<u8>| {
        if d.is_empty() { out.push(b'0') } else { out.extend_from_slice(d) }
    };
    if (-2..=7).contains(&point) {
        if point <= 0 {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + (-point) as usize, b'0');
            out.extend_from_slice(digits);
        } else {
            let split = digits.len().min(point as usize);
            out.extend_from_slice(&digits[..split]);
            out.resize(out.len() + point as usize - split, b'0');
            out.push(b'.');
            or_zero(&digits[split..], out);
        }
    } else {
        out.push(digits[0]);
        out.push(b'.');
        or_zero(&digits[1..], out);
        out.push(b'E');
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{}", point - 1);
    }
}

/// Appends a decimal plainly, with all digits of its scale: `1.50`, `0.0000001`. This is `CAST(… AS STRING)`.
pub fn write_decimal_plain(value: i128, scale: i8, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value.unsigned_abs()).as_bytes();
    let scale = usize::try_from(scale).unwrap_or(0);
    if scale == 0 {
        return out.extend_from_slice(digits);
    }
    if digits.len() <= scale {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + scale - digits.len(), b'0');
        out.extend_from_slice(digits);
    } else {
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
}

/// Appends a decimal as `BigDecimal.toString` does: plainly, unless it is smaller than 10⁻⁶: `1E-7`, `0E-18`.
pub(crate) fn write_big_decimal(value: i128, scale: i8, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value.unsigned_abs()).as_bytes();
    let exponent = digits.len() as i32 - 1 - i32::from(scale);
    if scale <= 0 || exponent >= -6 {
        return write_decimal_plain(value, scale, out);
    }
    if value < 0 {
        out.push(b'-');
    }
    out.push(digits[0]);
    if digits.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&digits[1..]);
    }
    // Writing to a Vec cannot fail.
    let _ = write!(out, "E{exponent}");
}

/// A decimal from text such as `-12.345e2`, rounded half up to `scale`; nothing if it is no number or has more than `precision` digits.
pub(crate) fn parse_decimal(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let exponent_at = rest.iter().position(|b| matches!(b, b'e' | b'E'));
    let (mantissa, exponent) = match exponent_at {
        Some(at) => (&rest[..at], parse_exponent(&rest[at + 1..])?),
        None => (rest, 0),
    };
    let point = mantissa.iter().position(|b| *b == b'.').unwrap_or(mantissa.len());
    let digits = || mantissa.iter().filter(|b| **b != b'.');
    if digits().next().is_none()
        || !digits().all(u8::is_ascii_digit)
        || mantissa.iter().filter(|b| **b == b'.').count() > 1
    {
        return None;
    }
    // Digits kept: those before the point, moved by the exponent and the scale.
    let keep = point as i64 + exponent + i64::from(scale);
    let mut value: i128 = 0;
    let mut taken = 0i64;
    let mut round_up = false;
    for b in digits() {
        if taken < keep {
            value = value.checked_mul(10)?.checked_add(i128::from(b - b'0'))?;
        } else {
            round_up = taken == keep && *b >= b'5';
            break;
        }
        taken += 1;
    }
    if keep < 0 {
        (value, round_up) = (0, false);
    }
    while taken < keep && value != 0 {
        value = value.checked_mul(10)?;
        taken += 1;
    }
    value = value.checked_add(i128::from(round_up))?;
    let limit = 10i128.checked_pow(u32::from(precision))?;
    (value < limit).then_some(if negative { -value } else { value })
}

/// A decimal from a string, where commas may group the digits: they count for nothing.
pub(crate) fn parse_decimal_text(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    if text.contains(&b',') {
        let digits: Vec<u8> = text.iter().copied().filter(|b| *b != b',').collect();
        return parse_decimal(&digits, precision, scale);
    }
    parse_decimal(text, precision, scale)
}

fn parse_exponent(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    text.strip_prefix('+').filter(|t| !t.starts_with('-')).unwrap_or(text).parse::<i32>().ok().map(i64::from)
}

/// An integer from ASCII digits with an optional minus sign.
#[inline]
pub(crate) fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if digits.is_empty() {
        return None;
    }
    if digits.len() <= 18 {
        let mut value = 0i64;
        for b in digits {
            let d = b.wrapping_sub(b'0');
            if d > 9 {
                return None;
            }
            value = value * 10 + i64::from(d);
        }
        return Some(if negative { -value } else { value });
    }
    std::str::from_utf8(text).ok().filter(|_| digits.iter().all(u8::is_ascii_digit))?.parse().ok()
}

/// A float from the text of a JSON number.
pub(crate) fn parse_float<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
