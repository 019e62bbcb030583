//! Days and microseconds to years, months, days and back: the proleptic Gregorian calendar, without tables.
//!
//! The day arithmetic is the well-known "civil" algorithm: years start in March, so that the leap day comes last, and 400
//! years are one cycle of 146,097 days.

/// Microseconds in a second.
pub(crate) const SECOND_US: i64 = 1_000_000;
/// Microseconds in a day.
pub(crate) const DAY_US: i64 = 86_400 * SECOND_US;

/// A date and time of day without a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    pub(crate) month: u32,
    pub(crate) day: u32,
    pub(crate) hour: u32,
    pub(crate) minute: u32,
    pub(crate) second: u32,
    pub(crate) micros: u32,
    /// Days since 1970-01-01.
    pub(crate) days: i64,
}

impl Civil {
    /// The wall clock time that is `local_us` after 1970-01-01 00:00.
    pub(crate) fn from_micros(local_us: i64) -> Self {
        let (days, in_day) = (local_us.div_euclid(DAY_US), local_us.rem_euclid(DAY_US));
        let (year, month, day) = date_from_days(days);
        let (seconds, micros) = (in_day / SECOND_US, in_day % SECOND_US);
        Self {
            year,
            month,
            day,
            hour: (seconds / 3600) as u32,
            minute: (seconds / 60 % 60) as u32,
            second: (seconds % 60) as u32,
            micros: micros as u32,
            days,
        }
    }

    /// 1 to 366.
    pub(crate) fn day_of_year(&self) -> u32 {
        (self.days - days_from_date(self.year, 1, 1) + 1) as u32
    }

    /// 1 (Monday) to 7.
    pub(crate) fn day_of_week(&self) -> u32 {
        (self.days + 3).rem_euclid(7) as u32 + 1
    }
}

/// Days since 1970-01-01. The date must exist.
pub(crate) fn days_from_date(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day, the reverse of [`days_from_date`].
pub(crate) fn date_from_days(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 } as u32;
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// Microseconds since the epoch of a day and a time of day, if they fit.
pub(crate) fn micros(days: i64, time_us: i64) -> Option<i64> {
    i64::try_from(i128::from(days) * i128::from(DAY_US) + i128::from(time_us)).ok()
}

pub(crate) fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub(crate) fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 => 28 + u32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 if the date exists and fits DATE.
pub(crate) fn checked_days(year: i64, month: u32, day: u32) -> Option<i64> {
    let exists = (1..=12).contains(&month) && day >= 1 && (day <= 28 || day <= days_in_month(year, month));
    let fits = (-5_877_641..=5_881_580).contains(&year);
    (exists && fits).then(|| days_from_date(year, month, day))
}
