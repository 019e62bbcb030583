//! Compiling a pattern: letters to a list of items, with the restrictions that Spark puts on Java's letters.

use crate::error::{Error, Result};

/// A compiled date and time pattern, such as `yyyy-MM-dd'T'HH:mm:ss[.SSS][XXX]`.
#[derive(Debug, Clone)]
pub struct DateTimeFormat {
    pattern: String,
    pub(crate) items: Vec<Item>,
    /// Why the pattern cannot parse, if it can only format.
    parse_error: Option<Error>,
    /// The items for parsing: there a fraction may have fewer digits than the pattern has letters.
    pub(crate) parse_items: Vec<Item>,
}

/// What a number or a text stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Era,
    Year,
    YearOfEra,
    Quarter,
    Month,
    Day,
    DayOfYear,
    DayOfWeek,
    AlignedDayInMonth,
    AmPm,
    /// 0–23 (`H`).
    Hour,
    /// 1–24 (`k`).
    ClockHour,
    /// 0–11 (`K`).
    HourOfHalf,
    /// 1–12 (`h`).
    ClockHourOfHalf,
    Minute,
    Second,
}

/// How a number's sign is printed and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// A minus where it is negative.
    Normal,
    /// None.
    Never,
    /// A plus where the number is longer than its width.
    ExceedsPad,
}

/// How an offset from UTC is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OffsetStyle {
    pub(crate) colon: bool,
    pub(crate) minutes: Part,
    pub(crate) seconds: Part,
    /// What stands for no offset; `None` prints the digits.
    pub(crate) zero: Option<&'static str>,
}

/// Whether a part of an offset is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Never,
    NotZero,
    Always,
}

/// One step of formatting or parsing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    Literal(String),
    /// `reserved` digits are left for the fixed numbers that follow without a gap.
    Number {
        field: Field,
        min: usize,
        max: usize,
        sign: Sign,
        reserved: usize,
    },
    /// The last two digits of a year from 2000 to 2099.
    ShortYear {
        field: Field,
        reserved: usize,
    },
    /// A name, in full or abbreviated.
    Text {
        field: Field,
        full: bool,
    },
    /// Digits after the decimal point.
    Fraction {
        min: usize,
        max: usize,
    },
    Offset(OffsetStyle),
    /// `GMT+8` or `GMT+08:00`.
    LocalizedOffset {
        full: bool,
    },
    ZoneId,
    ZoneName {
        full: bool,
    },
    /// `[`, with the index of the item after its `]`.
    Optional {
        end: usize,
    },
    OptionalEnd,
}

impl DateTimeFormat {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for letters that Java does not know or that Spark refuses, naming the letter.
    pub fn compile(pattern: &str) -> Result<Self> {
        let refuse = |cause: String| {
            Error::invalid(format!("fail to recognize '{pattern}' pattern in the DateTimeFormatter: {cause}"))
        };
        check_letters(pattern).map_err(refuse)?;
        let parse_error = parts(pattern)
            .find_map(|part| part.chars().find(|c| "EFqQ".contains(*c)))
            .map(|c| refuse(format!("Illegal pattern character: {c} (it can be formatted, not parsed)")));
        let items = Compiler::new(pattern, false).run().map_err(refuse)?;
        let parse_items = Compiler::new(pattern, true).run().map_err(refuse)?;
        Ok(Self { pattern: pattern.to_owned(), items, parse_error, parse_items })
    }

    /// Compiles a pattern that is to parse.
    ///
    /// # Errors
    /// As [`DateTimeFormat::compile`], and for letters that can only be formatted.
    pub fn compile_for_parsing(pattern: &str) -> Result<Self> {
        let format = Self::compile(pattern)?;
        format.check_parses()?;
        Ok(format)
    }

    /// The pattern as it was given.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    pub(crate) fn check_parses(&self) -> Result<()> {
        self.parse_error.clone().map_or(Ok(()), Err)
    }
}

impl PartialEq for DateTimeFormat {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern
    }
}

/// The parts of a pattern outside quotes.
fn parts(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.split('\'').step_by(2)
}

/// The restrictions that are Spark's own: week-based letters, letters without a meaning in Spark 2, and widths that changed theirs.
fn check_letters(pattern: &str) -> Result<(), String> {
    for part in parts(pattern) {
        for c in part.chars() {
            if "YWwuec".contains(c) {
                return Err(format!(
                    "All week-based patterns are unsupported since Spark 3.0, detected: {c}, Please use the SQL function EXTRACT instead"
                ));
            }
            if "ABnNp".contains(c) {
                return Err(format!("Illegal pattern character: {c}"));
            }
        }
        for (letter, width) in [("G", 5), ("M", 5), ("L", 5), ("E", 5), ("Q", 5), ("q", 5), ("y", 7)] {
            if part.contains(&letter.repeat(width)) {
                return Err(format!("Too many pattern letters: {letter}"));
            }
        }
    }
    Ok(())
}

/// Reads the letters, keeping track of numbers that stand next to each other.
struct Compiler<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    items: Vec<Item>,
    open: Vec<usize>,
    /// The first of the numbers that stand without a gap before the current place.
    first_number: Option<usize>,
    has_era: bool,
    parsing: bool,
}

impl<'a> Compiler<'a> {
    fn new(pattern: &'a str, parsing: bool) -> Self {
        let has_era = parts(pattern).any(|p| p.contains('G'));
        Self {
            chars: pattern.chars().peekable(),
            items: Vec::new(),
            open: Vec::new(),
            first_number: None,
            has_era,
            parsing,
        }
    }

    fn run(mut self) -> Result<Vec<Item>, String> {
        while let Some(c) = self.chars.next() {
            match c {
                'a'..='z' | 'A'..='Z' => {
                    let mut count = 1;
                    while self.chars.next_if_eq(&c).is_some() {
                        count += 1;
                    }
                    self.letter(c, count)?;
                }
                '\'' => self.quoted()?,
                '[' => {
                    self.first_number = None;
                    self.open.push(self.items.len());
                    self.items.push(Item::Optional { end: 0 });
                }
                ']' => {
                    let start = self.open.pop().ok_or("Pattern invalid as it contains ] without previous [")?;
                    self.add(Item::OptionalEnd);
                    self.items[start] = Item::Optional { end: self.items.len() };
                }
                '{' | '}' | '#' => {
                    return Err(format!("Pattern includes reserved character: '{c}'"));
                }
                c => self.literal(c),
            }
        }
        // Java closes what is still open at the end.
        while let Some(start) = self.open.pop() {
            self.items.push(Item::OptionalEnd);
            self.items[start] = Item::Optional { end: self.items.len() };
        }
        Ok(self.items)
    }

    fn quoted(&mut self) -> Result<(), String> {
        if self.chars.next_if_eq(&'\'').is_some() {
            self.literal('\'');
            return Ok(());
        }
        loop {
            match self.chars.next() {
                Some('\'') if self.chars.next_if_eq(&'\'').is_some() => self.literal('\''),
                Some('\'') => return Ok(()),
                Some(c) => self.literal(c),
                None => return Err("Pattern ends with an incomplete string literal".to_owned()),
            }
        }
    }

    fn literal(&mut self, c: char) {
        self.first_number = None;
        match self.items.last_mut() {
            Some(Item::Literal(text)) => text.push(c),
            _ => self.items.push(Item::Literal(c.to_string())),
        }
    }

    fn add(&mut self, item: Item) {
        self.first_number = None;
        self.items.push(item);
    }

    /// A number; a fixed one that follows others reserves its digits with the first of them.
    fn number(&mut self, item: Item, fixed: Option<usize>) {
        let at = self.items.len();
        match (self.first_number, fixed) {
            (Some(first), Some(width)) => {
                if let Item::Number { reserved, .. } | Item::ShortYear { reserved, .. } = &mut self.items[first] {
                    *reserved += width;
                }
            }
            _ => self.first_number = Some(at),
        }
        self.items.push(item);
    }

    fn value(&mut self, field: Field, min: usize, max: usize, sign: Sign) {
        let fixed = (min == max && sign == Sign::Never).then_some(min);
        self.number(Item::Number { field, min, max, sign, reserved: 0 }, fixed);
    }

    fn letter(&mut self, c: char, count: usize) -> Result<(), String> {
        let too_many = || Err(format!("Too many pattern letters: {c}"));
        let year = if self.has_era { Field::YearOfEra } else { Field::Year };
        match (c, count) {
            ('y', 2) => self.number(Item::ShortYear { field: year, reserved: 0 }, Some(2)),
            ('y', 1 | 3) => self.value(year, count, 19, Sign::Normal),
            ('y', _) => self.value(year, count, 19, Sign::ExceedsPad),
            ('G', _) => self.add(Item::Text { field: Field::Era, full: count == 4 }),
            ('M' | 'L', 1 | 2) => self.one_or_two(Field::Month, count),
            ('M' | 'L', _) => self.add(Item::Text { field: Field::Month, full: count == 4 }),
            ('Q' | 'q', 1 | 2) => self.one_or_two(Field::Quarter, count),
            ('Q' | 'q', _) => self.add(Item::Text { field: Field::Quarter, full: count == 4 }),
            ('E', _) => self.add(Item::Text { field: Field::DayOfWeek, full: count == 4 }),
            ('F', 1) => self.one_or_two(Field::AlignedDayInMonth, 1),
            ('a', 1) => self.add(Item::Text { field: Field::AmPm, full: false }),
            ('D', 1) => self.one_or_two(Field::DayOfYear, 1),
            ('D', 2 | 3) => self.value(Field::DayOfYear, count, 3, Sign::Never),
            ('d', 1 | 2) => self.one_or_two(Field::Day, count),
            ('H', 1 | 2) => self.one_or_two(Field::Hour, count),
            ('k', 1 | 2) => self.one_or_two(Field::ClockHour, count),
            ('K', 1 | 2) => self.one_or_two(Field::HourOfHalf, count),
            ('h', 1 | 2) => self.one_or_two(Field::ClockHourOfHalf, count),
            ('m', 1 | 2) => self.one_or_two(Field::Minute, count),
            ('s', 1 | 2) => self.one_or_two(Field::Second, count),
            ('S', 1..=9) if self.parsing => self.add(Item::Fraction { min: 1, max: count }),
            ('S', 1..=9) => self.number(Item::Fraction { min: count, max: count }, Some(count)),
            ('S', _) => {
                return Err(format!("Maximum width must be from 1 to 9 inclusive but was {count}"));
            }
            ('V', 2) => self.add(Item::ZoneId),
            ('V', _) => return Err("Pattern letter count must be 2: V".to_owned()),
            ('v', 1 | 4) | ('z', 1..=4) => self.add(Item::ZoneName { full: count == 4 }),
            ('v', _) => return Err("Wrong number of pattern letters: v".to_owned()),
            ('O', 1 | 4) => self.add(Item::LocalizedOffset { full: count == 4 }),
            ('O', _) => return Err("Pattern letter count must be 1 or 4: O".to_owned()),
            ('Z', 4) => self.add(Item::LocalizedOffset { full: true }),
            ('Z', 1..=3) => self.offset(false, Part::Always, Part::Never, Some("+0000")),
            ('Z', 5) => self.offset(true, Part::Always, Part::NotZero, Some("Z")),
            ('X' | 'x', 1..=5) => {
                let zero = match (c, count) {
                    ('X', _) => "Z",
                    (_, 1) => "+00",
                    (_, 2 | 4) => "+0000",
                    _ => "+00:00",
                };
                let minutes = if count == 1 { Part::NotZero } else { Part::Always };
                let seconds = if count >= 4 { Part::NotZero } else { Part::Never };
                self.offset(count == 3 || count == 5, minutes, seconds, Some(zero));
            }
            ('F' | 'a' | 'D' | 'd' | 'H' | 'k' | 'K' | 'h' | 'm' | 's' | 'z' | 'Z' | 'X' | 'x', _) => {
                return too_many();
            }
            _ => return Err(format!("Unknown pattern letter: {c}")),
        }
        Ok(())
    }

    fn one_or_two(&mut self, field: Field, count: usize) {
        if count == 1 { self.value(field, 1, 19, Sign::Normal) } else { self.value(field, 2, 2, Sign::Never) }
    }

    fn offset(&mut self, colon: bool, minutes: Part, seconds: Part, zero: Option<&'static str>) {
        self.add(Item::Offset(OffsetStyle { colon, minutes, seconds, zero }));
    }
}
