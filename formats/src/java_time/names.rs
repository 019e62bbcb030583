//! English names of months, days and zones, as Java's US locale has them.

use super::pattern::Field;

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
const SHORT_MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const SHORT_DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const ERAS: [&str; 2] = ["Before Christ", "Anno Domini"];
const SHORT_ERAS: [&str; 2] = ["BC", "AD"];
const HALVES: [&str; 2] = ["AM", "PM"];
const QUARTERS: [&str; 4] = ["1st quarter", "2nd quarter", "3rd quarter", "4th quarter"];
const SHORT_QUARTERS: [&str; 4] = ["Q1", "Q2", "Q3", "Q4"];

/// All names of a field in order, and the number of the first.
pub(super) fn of(field: Field, full: bool) -> (&'static [&'static str], i64) {
    match (field, full) {
        (Field::Month, true) => (&MONTHS, 1),
        (Field::Month, false) => (&SHORT_MONTHS, 1),
        (Field::DayOfWeek, true) => (&DAYS, 1),
        (Field::DayOfWeek, false) => (&SHORT_DAYS, 1),
        (Field::Era, true) => (&ERAS, 0),
        (Field::Era, false) => (&SHORT_ERAS, 0),
        (Field::AmPm, _) => (&HALVES, 0),
        (Field::Quarter, true) => (&QUARTERS, 1),
        (Field::Quarter, false) => (&SHORT_QUARTERS, 1),
        _ => (&[], 0),
    }
}

/// Full names of zones by the first part of their region and their abbreviation.
const ZONES: [(&str, &str, &str); 27] = [
    ("America", "PST", "Pacific Standard Time"),
    ("America", "PDT", "Pacific Daylight Time"),
    ("America", "MST", "Mountain Standard Time"),
    ("America", "MDT", "Mountain Daylight Time"),
    ("America", "CST", "Central Standard Time"),
    ("America", "CDT", "Central Daylight Time"),
    ("America", "EST", "Eastern Standard Time"),
    ("America", "EDT", "Eastern Daylight Time"),
    ("America", "AST", "Atlantic Standard Time"),
    ("America", "ADT", "Atlantic Daylight Time"),
    ("Europe", "CET", "Central European Standard Time"),
    ("Europe", "CEST", "Central European Summer Time"),
    ("Europe", "EET", "Eastern European Standard Time"),
    ("Europe", "EEST", "Eastern European Summer Time"),
    ("Europe", "WET", "Western European Standard Time"),
    ("Europe", "WEST", "Western European Summer Time"),
    ("Europe", "GMT", "Greenwich Mean Time"),
    ("Europe", "BST", "British Summer Time"),
    ("Europe", "MSK", "Moscow Standard Time"),
    ("Asia", "IST", "India Standard Time"),
    ("Asia", "JST", "Japan Standard Time"),
    ("Asia", "KST", "Korean Standard Time"),
    ("Asia", "CST", "China Standard Time"),
    ("Asia", "HKT", "Hong Kong Standard Time"),
    ("Australia", "AEST", "Australian Eastern Standard Time"),
    ("Australia", "AEDT", "Australian Eastern Daylight Time"),
    ("Pacific", "NZST", "New Zealand Standard Time"),
];

/// The full name of a region's time, if it is one of the common ones.
pub(super) fn full_zone(region: &str, abbreviation: &str) -> Option<&'static str> {
    if matches!(region, "UTC" | "UT" | "Z" | "Etc/UTC") {
        return Some("Coordinated Universal Time");
    }
    if region == "GMT" {
        return Some("Greenwich Mean Time");
    }
    let continent = region.split('/').next()?;
    ZONES.iter().find(|(c, a, _)| *c == continent && *a == abbreviation).map(|(_, _, name)| *name)
}
