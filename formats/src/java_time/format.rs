//! Printing a date and time by a compiled pattern.

use super::calendar::{Civil, SECOND_US};
use super::cast::write_padded;
use super::names;
use super::pattern::{DateTimeFormat, Field, Item, OffsetStyle, Part, Sign};
use super::zone::Zone;

/// What is known of the value being printed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) civil: Civil,
    /// The zone and the offset in force, for values that have one.
    pub(crate) zone: Option<(Zone, i32)>,
    /// False for a DATE.
    pub(crate) has_time: bool,
}

impl Moment {
    pub(crate) fn timestamp(utc_us: i64, offset_us: i64, zone: Zone) -> Self {
        let civil = Civil::from_micros(utc_us.saturating_add(offset_us));
        Self { civil, zone: Some((zone, (offset_us / SECOND_US) as i32)), has_time: true }
    }

    pub(crate) fn timestamp_ntz(local_us: i64) -> Self {
        Self { civil: Civil::from_micros(local_us), zone: None, has_time: true }
    }

    pub(crate) fn date(days: i64) -> Self {
        let mut civil = Civil::from_micros(0);
        (civil.year, civil.month, civil.day) = super::calendar::date_from_days(days);
        civil.days = days;
        Self { civil, zone: None, has_time: false }
    }
}

/// The value has no such part (a DATE has no hour), or the pattern has no room for it.
#[derive(Debug)]
pub(crate) struct Unprintable;

impl DateTimeFormat {
    /// Appends the value's text; what was appended before a failure stays.
    pub(crate) fn write(&self, moment: &Moment, out: &mut Vec<u8>) -> Result<(), Unprintable> {
        let mut at = 0;
        // Where the innermost optional section began, and where it ends.
        let mut sections: Vec<(usize, usize)> = Vec::new();
        while let Some(item) = self.items.get(at) {
            at += 1;
            match item {
                Item::Optional { end } => sections.push((out.len(), *end)),
                Item::OptionalEnd => {
                    sections.pop();
                }
                item => {
                    if write_item(item, moment, out).is_err() {
                        // An optional section that cannot be printed is left out.
                        let (len, end) = sections.pop().ok_or(Unprintable)?;
                        out.truncate(len);
                        at = end;
                    }
                }
            }
        }
        Ok(())
    }
}

fn write_item(item: &Item, moment: &Moment, out: &mut Vec<u8>) -> Result<(), Unprintable> {
    match item {
        Item::Literal(text) => out.extend_from_slice(text.as_bytes()),
        Item::Number { field, min, sign, max, .. } => write_number(value_of(*field, moment)?, *min, *max, *sign, out)?,
        Item::ShortYear { field, .. } => write_padded(value_of(*field, moment)?.unsigned_abs() % 100, 2, out),
        Item::Text { field, full } => {
            let (names, first) = names::of(*field, *full);
            let index = usize::try_from(value_of(*field, moment)? - first).map_err(|_| Unprintable)?;
            out.extend_from_slice(names.get(index).ok_or(Unprintable)?.as_bytes());
        }
        Item::Fraction { max, .. } => {
            if !moment.has_time {
                return Err(Unprintable);
            }
            let start = out.len();
            write_padded(u64::from(moment.civil.micros), 6, out);
            out.resize(start + *max, b'0');
        }
        Item::Offset(style) => write_offset(moment.zone.ok_or(Unprintable)?.1, *style, out),
        Item::LocalizedOffset { full } => write_localized_offset(moment.zone.ok_or(Unprintable)?.1, *full, out),
        Item::ZoneId => out.extend_from_slice(moment.zone.ok_or(Unprintable)?.0.id().as_bytes()),
        Item::ZoneName { full } => {
            let (zone, offset) = moment.zone.ok_or(Unprintable)?;
            let local = moment.civil.days * 86_400
                + i64::from(moment.civil.hour * 3600 + moment.civil.minute * 60 + moment.civil.second);
            let id = zone.id();
            let short = zone.abbreviation(local - i64::from(offset)).unwrap_or_else(|| id.clone());
            let name = if *full { names::full_zone(&id, &short).map(str::to_owned).unwrap_or(id) } else { short };
            out.extend_from_slice(name.as_bytes());
        }
        Item::Optional { .. } | Item::OptionalEnd => {}
    }
    Ok(())
}

fn value_of(field: Field, moment: &Moment) -> Result<i64, Unprintable> {
    let c = &moment.civil;
    let time = |value: u32| {
        if moment.has_time { Ok(i64::from(value)) } else { Err(Unprintable) }
    };
    match field {
        Field::Era => Ok(i64::from(c.year > 0)),
        Field::Year => Ok(c.year),
        Field::YearOfEra => Ok(if c.year > 0 { c.year } else { 1 - c.year }),
        Field::Quarter => Ok(i64::from(c.month.div_ceil(3))),
        Field::Month => Ok(i64::from(c.month)),
        Field::Day => Ok(i64::from(c.day)),
        Field::DayOfYear => Ok(i64::from(c.day_of_year())),
        Field::DayOfWeek => Ok(i64::from(c.day_of_week())),
        Field::AlignedDayInMonth => Ok(i64::from((c.day - 1) % 7 + 1)),
        Field::AmPm => time(c.hour / 12),
        Field::Hour => time(c.hour),
        Field::ClockHour => time(if c.hour == 0 { 24 } else { c.hour }),
        Field::HourOfHalf => time(c.hour % 12),
        Field::ClockHourOfHalf => time((c.hour + 11) % 12 + 1),
        Field::Minute => time(c.minute),
        Field::Second => time(c.second),
    }
}

fn write_number(value: i64, min: usize, max: usize, sign: Sign, out: &mut Vec<u8>) -> Result<(), Unprintable> {
    let magnitude = value.unsigned_abs();
    if value < 0 {
        if sign == Sign::Never {
            return Err(Unprintable);
        }
        out.push(b'-');
    } else if sign == Sign::ExceedsPad && magnitude >= 10u64.pow(min.min(19) as u32) {
        out.push(b'+');
    }
    let start = out.len();
    write_padded(magnitude, min, out);
    if out.len() - start > max { Err(Unprintable) } else { Ok(()) }
}

fn write_offset(seconds: i32, style: OffsetStyle, out: &mut Vec<u8>) {
    let abs = seconds.unsigned_abs();
    let (h, m, s) = (abs / 3600, abs / 60 % 60, abs % 60);
    let show = |part: Part, value: u32| part == Part::Always || (part == Part::NotZero && value != 0);
    let (show_m, show_s) = (show(style.minutes, m), show(style.seconds, s));
    let prints_zero = h == 0 && (m == 0 || !show_m) && (s == 0 || !show_s);
    if let Some(text) = style.zero
        && prints_zero
    {
        return out.extend_from_slice(text.as_bytes());
    }
    out.push(if seconds < 0 { b'-' } else { b'+' });
    write_padded(u64::from(h), 2, out);
    for (shown, value) in [(show_m, m), (show_s, s)] {
        if shown {
            if style.colon {
                out.push(b':');
            }
            write_padded(u64::from(value), 2, out);
        }
    }
}

fn write_localized_offset(seconds: i32, full: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"GMT");
    if seconds == 0 {
        return;
    }
    let abs = seconds.unsigned_abs();
    let (h, m, s) = (abs / 3600, abs / 60 % 60, abs % 60);
    out.push(if seconds < 0 { b'-' } else { b'+' });
    write_padded(u64::from(h), if full { 2 } else { 1 }, out);
    if full || m != 0 || s != 0 {
        out.push(b':');
        write_padded(u64::from(m), 2, out);
    }
    if s != 0 {
        out.push(b':');
        write_padded(u64::from(s), 2, out);
    }
}
