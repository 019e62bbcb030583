//! `CAST(string AS TIMESTAMP)` and its kin: the lenient forms Spark takes, and the text it gives back.
//!
//! | form | example |
//! |---|---|
//! | date, any part of it | `2024`, `2024-5`, `2024-05-01` |
//! | date and time, `T` or a space between | `2024-01-01 1:2:3.456789` |
//! | time alone, on today's date | `12:30`, `T12:30:15` |
//! | a zone at the end | `…Z`, `…+02:00`, `… Europe/Berlin` |

use super::calendar::{Civil, DAY_US, SECOND_US, checked_days, micros};
use super::zone::Zone;

/// A parsed timestamp whose date may be missing.
#[derive(Debug, Clone, Copy)]
struct Parsed {
    /// Year, month, day, hour, minute, second, microsecond.
    segments: [i64; 7],
    zone: Option<Zone>,
    time_only: bool,
}

/// TIMESTAMP from text: microseconds UTC. A text without a zone is in `zone`; `today` supplies the date (days since the
/// epoch, in `zone`) of a text that is only a time.
pub fn parse_timestamp(text: &str, zone: Zone, today: impl FnOnce() -> i64) -> Option<i64> {
    if let Some((local_us, offset_us)) = parse_plain(text.as_bytes()) {
        return match offset_us {
            Some(offset_us) => Some(local_us - offset_us),
            None => zone.to_utc(local_us),
        };
    }
    let parsed = parse_segments(text)?;
    let zone = parsed.zone.unwrap_or(zone);
    let days = if parsed.time_only { today() } else { parsed.days()? };
    zone.to_utc(micros(days, parsed.time_us()?)?)
}

/// TIMESTAMP_NTZ from text. A zone is ignored if `allow_zone`, refused otherwise; a text that is only a time is refused.
pub fn parse_timestamp_ntz(text: &str, allow_zone: bool) -> Option<i64> {
    if let Some((local_us, offset_us)) = parse_plain(text.as_bytes()) {
        return (offset_us.is_none() || allow_zone).then_some(local_us);
    }
    let parsed = parse_segments(text)?;
    if parsed.time_only || (parsed.zone.is_some() && !allow_zone) {
        return None;
    }
    micros(parsed.days()?, parsed.time_us()?)
}

/// DATE from text: days since the epoch. What follows a space or `T` after a whole date is ignored.
pub fn parse_date(text: &str) -> Option<i32> {
    let bytes = trim(text.as_bytes());
    let (sign, digits) = match bytes.first()? {
        b'-' => (-1, &bytes[1..]),
        b'+' => (1, &bytes[1..]),
        _ => (1, bytes),
    };
    let mut segments = [1i64; 3];
    let (mut i, mut value, mut width) = (0, 0i64, 0);
    for b in digits {
        match b {
            b'0'..=b'9' => {
                width += 1;
                value = value.checked_mul(10)?.checked_add(i64::from(b - b'0'))?;
            }
            b'-' if i < 2 => {
                date_segment(i, width)?;
                segments[i] = value;
                (i, value, width) = (i + 1, 0, 0);
            }
            b' ' | b'T' if i == 2 => break,
            _ => return None,
        }
    }
    date_segment(i, width)?;
    segments[i] = value;
    let month = u32::try_from(segments[1]).ok()?;
    let day = u32::try_from(segments[2]).ok()?;
    checked_days(sign * segments[0], month, day).and_then(|days| i32::try_from(days).ok())
}

/// A date's year has 4 to 7 digits, its other parts 1 or 2.
fn date_segment(i: usize, width: usize) -> Option<()> {
    let fits = if i == 0 { (4..=7).contains(&width) } else { (1..=2).contains(&width) };
    fits.then_some(())
}

/// The usual forms, `YYYY-MM-DD[ |T]HH:MM:SS[.f…][Z|±HH:MM]`, without looking left or right: local microseconds and the offset.
fn parse_plain(b: &[u8]) -> Option<(i64, Option<i64>)> {
    if b.len() < 19
        || b[4] != b'-'
        || b[7] != b'-'
        || (b[10] != b'T' && b[10] != b' ')
        || b[13] != b':'
        || b[16] != b':'
    {
        return None;
    }
    let two = |at: usize| -> Option<i64> {
        let (x, y) = (b[at].wrapping_sub(b'0'), b[at + 1].wrapping_sub(b'0'));
        (x < 10 && y < 10).then(|| i64::from(x) * 10 + i64::from(y))
    };
    let year = two(0)? * 100 + two(2)?;
    let days = checked_days(year, two(5)? as u32, two(8)? as u32)?;
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut rest = &b[19..];
    let mut micros = 0;
    if let [b'.', fraction @ ..] = rest {
        let width = fraction.iter().position(|c| !c.is_ascii_digit()).unwrap_or(fraction.len());
        if width == 0 {
            return None;
        }
        let zeros = std::iter::repeat(&b'0');
        for digit in fraction[..width].iter().chain(zeros).take(6) {
            micros = micros * 10 + i64::from(digit - b'0');
        }
        rest = &fraction[width..];
    }
    let local_us = days * DAY_US + ((hour * 60 + minute) * 60 + second) * SECOND_US + micros;
    let offset_us = match rest {
        [] => None,
        [b'Z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] if [h1, h2, m1, m2].iter().all(|c| c.is_ascii_digit()) => {
            let digit = |c: &u8| i64::from(c - b'0');
            let minutes = (digit(h1) * 10 + digit(h2)) * 60 + digit(m1) * 10 + digit(m2);
            if minutes > 18 * 60 || *m1 > b'5' {
                return None;
            }
            Some(minutes * 60 * SECOND_US * if *sign == b'-' { -1 } else { 1 })
        }
        _ => return None,
    };
    Some((local_us, offset_us))
}

impl Parsed {
    fn days(&self) -> Option<i64> {
        let [year, month, day, ..] = self.segments;
        checked_days(year, u32::try_from(month).ok()?, u32::try_from(day).ok()?)
    }

    fn time_us(&self) -> Option<i64> {
        let [_, _, _, hour, minute, second, micros] = self.segments;
        (hour < 24 && minute < 60 && second < 60).then(|| ((hour * 60 + minute) * 60 + second) * SECOND_US + micros)
    }
}

/// How many digits a part may have. The fraction may have any number, of which six count.
fn segment_width(i: usize, width: usize) -> Option<()> {
    let fits = match i {
        0 => (4..=6).contains(&width),
        6 => true,
        7 => width <= 2,
        _ => (1..=2).contains(&width),
    };
    fits.then_some(())
}

/// Reads the text part by part: 0 year … 5 second, 6 fraction, 7 what follows a zone.
fn parse_segments(text: &str) -> Option<Parsed> {
    let bytes = trim(text.as_bytes());
    let mut parsed = Parsed { segments: [1, 1, 1, 0, 0, 0, 0], zone: None, time_only: false };
    let mut at = 0;
    let (mut i, mut value, mut width, mut fraction_digits) = (0usize, 0i64, 0usize, 0u32);
    let mut sign = None;
    match bytes.first()? {
        b'-' => sign = Some(-1),
        b'+' => sign = Some(1),
        _ => {}
    }
    at += usize::from(sign.is_some());
    let mut segments = [1i64, 1, 1, 0, 0, 0, 0, 0, 0];
    while at < bytes.len() {
        let b = bytes[at];
        if b.is_ascii_digit() {
            if i == 6 {
                fraction_digits += 1;
            }
            if i != 6 || width < 6 {
                value = value.checked_mul(10)?.checked_add(i64::from(b - b'0'))?;
            }
            width += 1;
            at += 1;
            continue;
        }
        if at == 0 && b == b'T' {
            parsed.time_only = true;
            i = 3;
            at += 1;
            continue;
        }
        let next = match (i, b) {
            (0 | 1, b'-') => i + 1,
            (0, b':') if sign.is_none() => {
                parsed.time_only = true;
                i = 3;
                4
            }
            (2, b' ' | b'T') | (3 | 4, b':') => i + 1,
            (5, b'.') => 6,
            // Anything else after the seconds is a zone, up to the end.
            (5 | 6, _) => {
                let name = std::str::from_utf8(&bytes[at..]).ok()?;
                parsed.zone = Some(Zone::find(name.trim())?);
                at = bytes.len();
                7
            }
            _ => return None,
        };
        segment_width(i, width)?;
        segments[i] = value;
        (i, value, width) = (next, 0, 0);
        at += 1;
    }
    segment_width(i, width)?;
    segments[i] = value;
    for _ in fraction_digits..6 {
        segments[6] *= 10;
    }
    segments[0] *= sign.unwrap_or(1);
    parsed.segments.copy_from_slice(&segments[..7]);
    Some(parsed)
}

/// Spark's `trimAll`: white space and control characters.
fn trim(mut bytes: &[u8]) -> &[u8] {
    let blank = |b: &u8| *b <= b' ' || *b == 0x7f;
    while let [first, rest @ ..] = bytes
        && blank(first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && blank(last)
    {
        bytes = rest;
    }
    bytes
}

/// Appends `2024-01-01 00:00:10.5`: local microseconds, zeros at the end of the fraction left out.
pub(crate) fn write_timestamp(local_us: i64, out: &mut Vec<u8>) {
    let civil = Civil::from_micros(local_us);
    write_ymd(civil.year, civil.month, civil.day, out);
    out.push(b' ');
    write_hms(&civil, out);
    if civil.micros != 0 {
        out.push(b'.');
        let start = out.len();
        write_padded(u64::from(civil.micros), 6, out);
        while out.len() > start && out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

/// Appends `2024-01-01`.
pub(crate) fn write_date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = super::calendar::date_from_days(days);
    write_ymd(year, month, day, out);
}

/// Appends `HH:MM:SS`.
pub(crate) fn write_hms(civil: &Civil, out: &mut Vec<u8>) {
    write_padded(u64::from(civil.hour), 2, out);
    out.push(b':');
    write_padded(u64::from(civil.minute), 2, out);
    out.push(b':');
    write_padded(u64::from(civil.second), 2, out);
}

/// Four digits at least; years beyond them carry a sign.
fn write_ymd(year: i64, month: u32, day: u32, out: &mut Vec<u8>) {
    if year > 9999 {
        out.push(b'+');
    } else if year < 0 {
        out.push(b'-');
    }
    write_padded(year.unsigned_abs(), 4, out);
    out.push(b'-');
    write_padded(u64::from(month), 2, out);
    out.push(b'-');
    write_padded(u64::from(day), 2, out);
}

/// Appends a number with at least `width` digits.
pub(crate) fn write_padded(value: u64, width: usize, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value).as_bytes();
    for _ in digits.len()..width {
        out.push(b'0');
    }
    out.extend_from_slice(digits);
}
