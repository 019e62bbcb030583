//! A rewrite of tokens, first half: literals and types that sqlparser would read otherwise than Spark.
//!
//! | written | handed to sqlparser |
//! |---|---|
//! | `INTERVAL 1 DAY 2 HOURS` | `` `$interval`('0', '93600000000', 'DAY', 'HOUR') `` |
//! | `TIMESTAMP_NTZ '…'` | `` `$literal`('TIMESTAMP_NTZ', '…') `` |
//! | `CAST(x AS ARRAY<INT>)`, `x::INT` | the type as one quoted name, so that our grammar of types reads it |
//! | `'a' 'b'` | `'ab'` |
//! | `ceil(…)`, `exists(a, x -> …)` | the name without its keyword: a plain function |
//!
//! A name with `$` cannot be written without backquotes, and these are taken only where the rewrite put them.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, Word};

use super::cursor::{Cursor, is_word};
use super::error::SyntaxError;
use super::interval::{self, Interval, IntervalField};
use super::lexer::Lexeme;
use super::parser::ddl_text;

/// The name that carries an interval.
pub(super) const INTERVAL: &str = "$interval";
/// The name that carries a typed literal.
pub(super) const LITERAL: &str = "$literal";

/// Words that sqlparser gives a syntax of its own where Spark has a plain function.
const PLAIN_FUNCTIONS: &[Keyword] = &[Keyword::CEIL, Keyword::FLOOR, Keyword::CONVERT];

pub(super) fn rewrite(lexemes: &[Lexeme]) -> Result<Vec<Lexeme>, SyntaxError> {
    let mut output = Vec::with_capacity(lexemes.len());
    let mut cursor = Cursor::new(lexemes);
    // For each open parenthesis: whether it is a cast's.
    let mut casts: Vec<bool> = Vec::new();
    while let Some(token) = cursor.peek() {
        match token {
            Token::Word(word) if word.quote_style.is_none() => {
                if is_word(token, "INTERVAL") && starts_interval(&cursor) {
                    output.extend(read_interval(&mut cursor)?);
                    continue;
                }
                if let Some(Token::SingleQuotedString(_)) = cursor.peek_nth(1)
                    && ["DATE", "TIMESTAMP", "TIMESTAMP_NTZ", "TIMESTAMP_LTZ"].iter().any(|name| is_word(token, name))
                {
                    output.extend(read_typed_literal(&mut cursor));
                    continue;
                }
                if is_word(token, "SOME") && output.last().is_some_and(|last: &Lexeme| is_word(&last.token, "LIKE")) {
                    let at = cursor.next();
                    output.extend(at.map(|at| at.with_token(Token::make_keyword("ANY"))));
                    continue;
                }
                if is_extract(&cursor) {
                    output.extend(read_extract(&mut cursor));
                    casts.push(false);
                    continue;
                }
                if let Some(name) = one_sided_trim(&cursor) {
                    let at = cursor.next().cloned();
                    output.extend(at.map(|at| at.with_token(Token::make_word(name, None))));
                    output.extend(cursor.next().cloned());
                    casts.push(false);
                    cursor.next();
                    cursor.next();
                    continue;
                }
                if is_word(token, "AS") && casts.last() == Some(&true) {
                    output.extend(cursor.next().cloned());
                    output.push(read_cast_type(&mut cursor)?);
                    continue;
                }
            }
            Token::Minus if is_negative_cast(&cursor, output.last()) => {
                cursor.next();
                if let Some(number) = cursor.next() {
                    output.push(number.with_token(Token::Number(format!("-{}", number.token), false)));
                }
                continue;
            }
            Token::SingleQuotedString(_) => {
                output.extend(read_strings(&mut cursor));
                continue;
            }
            Token::DoubleColon => {
                output.extend(cursor.next().cloned());
                output.push(read_suffix_type(&mut cursor)?);
                continue;
            }
            Token::LParen => casts.push(
                output
                    .last()
                    .is_some_and(|last: &Lexeme| is_word(&last.token, "CAST") || is_word(&last.token, "TRY_CAST")),
            ),
            Token::RParen => {
                casts.pop();
            }
            _ => {}
        }
        let is_plain = is_plain_function(&cursor);
        if let Some(lexeme) = cursor.next() {
            output.push(if is_plain { without_keyword(lexeme) } else { lexeme.clone() });
        }
    }
    Ok(output)
}

/// Quoted tokens around arguments: `` `$name`('a', 'b') ``, all at one place.
pub(super) fn marker(at: &Lexeme, name: &str, arguments: Vec<Vec<Lexeme>>) -> Vec<Lexeme> {
    let mut output = vec![at.with_token(Token::make_word(name, Some('`'))), at.with_token(Token::LParen)];
    for (nth, argument) in arguments.into_iter().enumerate() {
        if nth > 0 {
            output.push(at.with_token(Token::Comma));
        }
        output.extend(argument);
    }
    output.push(at.with_token(Token::RParen));
    output
}

/// A string argument of a marker.
pub(super) fn text_argument(at: &Lexeme, value: impl Into<String>) -> Vec<Lexeme> {
    vec![at.with_token(Token::SingleQuotedString(value.into()))]
}

fn is_plain_function(cursor: &Cursor<'_>) -> bool {
    let Some(Token::Word(word)) = cursor.peek() else { return false };
    if cursor.peek_nth(1) != Some(&Token::LParen) {
        return false;
    }
    if word.keyword == Keyword::STRUCT {
        return !names_an_argument(cursor);
    }
    let is_predicate = || {
        ["SELECT", "WITH", "VALUES", "FROM"].iter().any(|query| cursor.is_word(2, query))
            || cursor.peek_nth(2) == Some(&Token::LParen)
    };
    PLAIN_FUNCTIONS.contains(&word.keyword) || (word.keyword == Keyword::EXISTS && !is_predicate())
}

/// `-1::STRING`: the sign belongs to the number, and the cast to both.
fn is_negative_cast(cursor: &Cursor<'_>, before: Option<&Lexeme>) -> bool {
    let is_operand = before.is_some_and(|before| match &before.token {
        Token::Word(word) => word.quote_style.is_some() || word.keyword == Keyword::NoKeyword,
        Token::Number(..) | Token::SingleQuotedString(_) | Token::RParen | Token::RBracket => true,
        _ => false,
    });
    !is_operand
        && matches!(cursor.peek_nth(1), Some(Token::Number(..)))
        && cursor.peek_nth(2) == Some(&Token::DoubleColon)
}

/// `extract(field FROM time)`; sqlparser does not know all of Spark's fields.
fn is_extract(cursor: &Cursor<'_>) -> bool {
    cursor.is_word(0, "EXTRACT") && cursor.peek_nth(1) == Some(&Token::LParen) && cursor.is_word(3, "FROM")
}

/// `` `extract`('field', ``: a function of two arguments, the second of which follows.
fn read_extract(cursor: &mut Cursor<'_>) -> Vec<Lexeme> {
    let [Some(name), Some(open), Some(field), Some(from)] =
        [cursor.next(), cursor.next(), cursor.next(), cursor.next()]
    else {
        return Vec::new();
    };
    let text = match &field.token {
        Token::SingleQuotedString(text) => text.clone(),
        token => token.to_string().replace('`', ""),
    };
    vec![
        name.with_token(Token::make_word("extract", Some('`'))),
        open.clone(),
        field.with_token(Token::SingleQuotedString(text)),
        from.with_token(Token::Comma),
    ]
}

/// `trim(LEADING FROM s)` has no characters: it is `ltrim(s)`.
fn one_sided_trim(cursor: &Cursor<'_>) -> Option<&'static str> {
    if !cursor.is_word(0, "TRIM") || cursor.peek_nth(1) != Some(&Token::LParen) || !cursor.is_word(3, "FROM") {
        return None;
    }
    let sides = [("LEADING", "ltrim"), ("TRAILING", "rtrim"), ("BOTH", "trim")];
    sides.iter().find(|(side, _)| cursor.is_word(2, side)).map(|(_, name)| *name)
}

/// `struct(a AS b)`, which is not a plain function's form.
fn names_an_argument(cursor: &Cursor<'_>) -> bool {
    let mut depth = 0;
    for lexeme in &cursor.rest()[1..] {
        match &lexeme.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            token if depth == 1 && is_word(token, "AS") => return true,
            _ => {}
        }
        if depth == 0 {
            return false;
        }
    }
    false
}

fn without_keyword(lexeme: &Lexeme) -> Lexeme {
    match &lexeme.token {
        Token::Word(word) => lexeme.with_token(Token::Word(Word { keyword: Keyword::NoKeyword, ..word.clone() })),
        token => lexeme.with_token(token.clone()),
    }
}

/// One string, or several that stand side by side and are one.
fn read_strings(cursor: &mut Cursor<'_>) -> Option<Lexeme> {
    let first = cursor.next()?;
    let Token::SingleQuotedString(value) = &first.token else { return Some(first.clone()) };
    let mut value = value.clone();
    while let Some(Token::SingleQuotedString(next)) = cursor.peek() {
        value += next;
        cursor.next();
    }
    Some(first.with_token(Token::SingleQuotedString(value)))
}

fn read_typed_literal(cursor: &mut Cursor<'_>) -> Vec<Lexeme> {
    let Some(name) = cursor.next() else { return Vec::new() };
    let value: Vec<Lexeme> = read_strings(cursor).into_iter().collect();
    marker(name, LITERAL, vec![text_argument(name, name.token.to_string().to_uppercase()), value])
}

/// After `INTERVAL`: a value and a unit, or a string alone.
fn starts_interval(cursor: &Cursor<'_>) -> bool {
    let sign = usize::from(matches!(cursor.peek_nth(1), Some(Token::Minus | Token::Plus)));
    match cursor.peek_nth(1 + sign) {
        Some(Token::SingleQuotedString(_)) => true,
        Some(Token::Number(..)) => {
            matches!(cursor.peek_nth(2 + sign), Some(Token::Word(word)) if interval::is_unit(&word.value))
        }
        _ => false,
    }
}

fn read_interval(cursor: &mut Cursor<'_>) -> Result<Vec<Lexeme>, SyntaxError> {
    let Some(start) = cursor.next() else { return Ok(Vec::new()) };
    let interval = read_interval_value(cursor).map_err(|reason| SyntaxError::new(start.span.start, reason))?;
    let values = [
        interval.months.to_string(),
        interval.micros.to_string(),
        interval.first.name().to_string(),
        interval.last.name().to_string(),
    ];
    Ok(marker(start, INTERVAL, values.into_iter().map(|value| text_argument(start, value)).collect()))
}

fn read_interval_value(cursor: &mut Cursor<'_>) -> Result<Interval, String> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    while let Some((value, is_text)) = peek_interval_value(cursor) {
        let sign = usize::from(matches!(cursor.peek(), Some(Token::Minus | Token::Plus)));
        let unit = match cursor.peek_nth(1 + sign) {
            Some(Token::Word(word)) if interval::is_unit(&word.value) => Some(word.value.to_uppercase()),
            _ => None,
        };
        let Some(unit) = unit else {
            if pairs.is_empty() && is_text {
                cursor.next();
                return interval::parse_interval(&value);
            }
            break;
        };
        for _ in 0..2 + sign {
            cursor.next();
        }
        let first = IntervalField::of_name(unit.trim_end_matches('S'));
        if pairs.is_empty() && is_text && cursor.take_words(&["TO"]) {
            let Some(Token::Word(word)) = cursor.next().map(|lexeme| &lexeme.token) else {
                return Err("a unit is missing after TO".to_string());
            };
            let last = IntervalField::of_name(word.value.to_uppercase().trim_end_matches('S'));
            let (Some(first), Some(last)) = (first, last) else {
                return Err(format!("an interval from {unit} to {} makes no sense", word.value));
            };
            return interval::from_range(&value, first, last);
        }
        pairs.push((value, unit));
    }
    interval::from_units(&pairs)
}

fn peek_interval_value(cursor: &Cursor<'_>) -> Option<(String, bool)> {
    let (sign, nth) = match cursor.peek() {
        Some(Token::Minus) => ("-", 1),
        Some(Token::Plus) => ("", 1),
        _ => ("", 0),
    };
    match cursor.peek_nth(nth)? {
        Token::SingleQuotedString(value) => Some((negated(sign, value), true)),
        Token::Number(value, _) => Some((format!("{sign}{value}"), false)),
        _ => None,
    }
}

fn negated(sign: &str, value: &str) -> String {
    match (sign, value.trim().strip_prefix('-')) {
        ("-", Some(positive)) => positive.to_string(),
        _ => format!("{sign}{}", value.trim()),
    }
}

/// From after a cast's `AS` to before its closing parenthesis: one name.
fn read_cast_type(cursor: &mut Cursor<'_>) -> Result<Lexeme, SyntaxError> {
    let mut depth = 0;
    let start = cursor.rest();
    let mut length = 0;
    for lexeme in start {
        match lexeme.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => break,
            Token::RParen => depth -= 1,
            _ => {}
        }
        length += 1;
    }
    take_type(cursor, length)
}

/// After `::`: a word, then what belongs to it in `(…)` or `<…>`.
fn read_suffix_type(cursor: &mut Cursor<'_>) -> Result<Lexeme, SyntaxError> {
    let mut depth = 0;
    let mut length = 0;
    for lexeme in cursor.rest() {
        match lexeme.token {
            Token::Lt if length > 0 => depth += 1,
            Token::LParen if length > 0 => depth += 1,
            Token::Gt | Token::RParen if depth > 0 => depth -= 1,
            Token::ShiftRight if depth > 1 => depth -= 2,
            Token::Word(_) if length == 0 || depth > 0 => {}
            Token::Comma | Token::Colon | Token::Number(..) if depth > 0 => {}
            _ => break,
        }
        length += 1;
    }
    take_type(cursor, length)
}

fn take_type(cursor: &mut Cursor<'_>, length: usize) -> Result<Lexeme, SyntaxError> {
    let lexemes = &cursor.rest()[..length];
    let Some(first) = lexemes.first() else { return Err(cursor.missed("a type")) };
    for _ in 0..length {
        cursor.next();
    }
    Ok(first.with_token(Token::make_word(&ddl_text(lexemes), Some('`'))))
}
