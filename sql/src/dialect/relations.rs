//! A rewrite of tokens, second half: `STREAM t`, `WATERMARK … DELAY OF …` and `WITHIN WATERMARK`.
//!
//! sqlparser has no place for them, but a relation has a sample: the clauses ride there, behind the alias.
//!
//! | written | handed to sqlparser |
//! |---|---|
//! | `STREAM t WITH ('a' = 'b') WATERMARK ts DELAY OF INTERVAL 1 MINUTE AS x` | ``t AS x TABLESAMPLE (`$relation`('stream', 'a', 'b', `$watermark`(ts, '', '60000')))`` |
//! | `(SELECT …) WATERMARK e AS n DELAY OF …` | ``(SELECT …) TABLESAMPLE (`$relation`('', `$watermark`(e, 'n', '…')))`` |
//! | `DISTINCT ON (a) WITHIN WATERMARK` | ``DISTINCT ON (a, `$within_watermark`)`` |
//!
//! Spans stay those of the text.

use sqlparser::ast;
use sqlparser::keywords::RESERVED_FOR_TABLE_ALIAS;
use sqlparser::tokenizer::Token;

use super::cursor::{Cursor, is_word};
use super::error::SyntaxError;
use super::lexer::Lexeme;
use super::literals::{self, marker, text_argument};
use super::parser::options;

const RELATION: &str = "$relation";
const WATERMARK: &str = "$watermark";
const WITHIN_WATERMARK: &str = "$within_watermark";

/// What a query says about a relation beyond its name and alias.
#[derive(Clone, Debug, Default)]
pub struct StreamRelation {
    /// `STREAM`: read as a stream.
    pub is_stream: bool,
    /// `WITH (…)`: options of the source, in the order and case written.
    pub options: Vec<(String, String)>,
    /// `WATERMARK`.
    pub watermark: Option<WatermarkClause>,
}

/// `WATERMARK expr [AS name] DELAY OF INTERVAL …`.
#[derive(Clone, Debug)]
pub struct WatermarkClause {
    /// The event time.
    pub expr: ast::Expr,
    /// The column that an expression becomes; none for a column.
    pub name: Option<String>,
    /// How late rows may be, in milliseconds.
    pub delay_ms: i64,
}

/// Applies both halves of the rewrite.
pub(super) fn rewrite(lexemes: Vec<Lexeme>) -> Result<Vec<Lexeme>, SyntaxError> {
    let lexemes = literals::rewrite(&lexemes)?;
    let mut rewrite = Rewrite {
        cursor: Cursor::new(&lexemes),
        output: Vec::with_capacity(lexemes.len()),
        depths: vec![Place::Elsewhere],
    };
    while rewrite.step()? {}
    Ok(rewrite.output)
}

/// Where in a query a level of parentheses is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// After `FROM`, `JOIN` or a comma among relations: a relation comes.
    BeforeRelation,
    /// After a relation.
    AfterRelation,
    /// Where no relation can stand.
    Elsewhere,
}

struct Rewrite<'a> {
    cursor: Cursor<'a>,
    output: Vec<Lexeme>,
    depths: Vec<Place>,
}

impl Rewrite<'_> {
    /// Copies or rewrites what stands here; false at the end.
    fn step(&mut self) -> Result<bool, SyntaxError> {
        let Some(token) = self.cursor.peek() else { return Ok(false) };
        let place = self.depths.last().copied().unwrap_or(Place::Elsewhere);
        match token {
            Token::Word(word) if word.quote_style.is_none() => {
                if place == Place::BeforeRelation && self.is_stream() {
                    self.stream()?;
                    return Ok(true);
                }
                if place == Place::AfterRelation && self.is_watermark() {
                    self.clauses(false, Vec::new())?;
                    return Ok(true);
                }
                if is_word(token, "WITHIN") && self.cursor.is_word(1, "WATERMARK") {
                    self.within_watermark()?;
                    return Ok(true);
                }
                self.set_place(next_place(place, &word.value.to_uppercase()));
            }
            Token::Word(_) if place == Place::BeforeRelation => self.set_place(Place::AfterRelation),
            Token::Comma if place == Place::AfterRelation => self.set_place(Place::BeforeRelation),
            Token::LParen => {
                // What stands in `FROM (` may be a relation again; the level outside has its relation.
                let inside = if place == Place::BeforeRelation { Place::BeforeRelation } else { Place::Elsewhere };
                if place == Place::BeforeRelation {
                    self.set_place(Place::AfterRelation);
                }
                self.depths.push(inside);
            }
            Token::RParen if self.depths.len() > 1 => {
                self.depths.pop();
            }
            _ => {}
        }
        self.output.extend(self.cursor.next().cloned());
        Ok(true)
    }

    fn set_place(&mut self, place: Place) {
        if let Some(last) = self.depths.last_mut() {
            *last = place;
        }
    }

    /// `STREAM name` or `STREAM(name)`, not a table called `stream`.
    fn is_stream(&self) -> bool {
        self.cursor.is_word(0, "STREAM")
            && match (self.cursor.peek_nth(1), self.cursor.peek_nth(2)) {
                (Some(Token::LParen), Some(Token::Word(_))) => true,
                (Some(Token::Word(word)), _) => {
                    word.quote_style.is_some()
                        || (!RESERVED_FOR_TABLE_ALIAS.contains(&word.keyword)
                            && !word.value.eq_ignore_ascii_case("AS")
                            && !word.value.eq_ignore_ascii_case("WATERMARK"))
                }
                _ => false,
            }
    }

    fn stream(&mut self) -> Result<(), SyntaxError> {
        self.cursor.next();
        let in_parentheses = self.cursor.take(&Token::LParen);
        self.copy_name()?;
        if in_parentheses {
            self.cursor.expect(&Token::RParen)?;
        }
        let options = if self.cursor.take_words(&["WITH"]) { options(&mut self.cursor)? } else { Vec::new() };
        self.clauses(true, options)
    }

    fn copy_name(&mut self) -> Result<(), SyntaxError> {
        loop {
            match self.cursor.peek() {
                Some(Token::Word(_)) => self.output.extend(self.cursor.next().cloned()),
                _ => return Err(self.cursor.missed("the name of a table")),
            }
            if self.cursor.peek() != Some(&Token::Period) {
                return Ok(());
            }
            self.output.extend(self.cursor.next().cloned());
        }
    }

    /// `WATERMARK`, with its `DELAY OF` before the relation ends; otherwise it is a name.
    fn is_watermark(&self) -> bool {
        if !self.cursor.is_word(0, "WATERMARK") {
            return false;
        }
        let mut depth = 0;
        for lexeme in &self.cursor.rest()[1..] {
            match &lexeme.token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                Token::Comma if depth == 0 => return false,
                token if depth == 0 && is_word(token, "DELAY") => return true,
                token
                    if depth == 0
                        && ["WHERE", "JOIN", "GROUP", "SELECT", "WATERMARK", "UNION"]
                            .iter()
                            .any(|word| is_word(token, word)) =>
                {
                    return false;
                }
                _ => {}
            }
            if depth < 0 {
                return false;
            }
        }
        false
    }

    /// `[WATERMARK …] [[AS] alias [(columns)]]`, handed on as alias and sample.
    fn clauses(&mut self, is_stream: bool, options: Vec<(String, String)>) -> Result<(), SyntaxError> {
        let Some(here) = self.output.last().cloned() else { return Err(self.cursor.missed("the name of a table")) };
        let mut arguments = vec![text_argument(&here, if is_stream { "stream" } else { "" })];
        for (key, value) in options {
            arguments.extend([text_argument(&here, key), text_argument(&here, value)]);
        }
        if self.cursor.take_words(&["WATERMARK"]) {
            arguments.push(self.watermark()?);
        }
        self.copy_alias();
        self.output.extend([here.with_token(Token::make_keyword("TABLESAMPLE")), here.with_token(Token::LParen)]);
        self.output.extend(marker(&here, RELATION, arguments));
        self.output.push(here.with_token(Token::RParen));
        self.set_place(Place::AfterRelation);
        Ok(())
    }

    fn copy_alias(&mut self) {
        let is_explicit = self.cursor.is_word(0, "AS");
        let nth = usize::from(is_explicit);
        let is_alias = match self.cursor.peek_nth(nth) {
            Some(Token::Word(word)) => {
                is_explicit || word.quote_style.is_some() || !RESERVED_FOR_TABLE_ALIAS.contains(&word.keyword)
            }
            _ => false,
        };
        if !is_alias {
            return;
        }
        for _ in 0..=nth {
            self.output.extend(self.cursor.next().cloned());
        }
        if self.cursor.peek() == Some(&Token::LParen) {
            while let Some(lexeme) = self.cursor.next() {
                self.output.push(lexeme.clone());
                if lexeme.token == Token::RParen {
                    break;
                }
            }
        }
    }

    /// From after `WATERMARK` to the end of the interval.
    fn watermark(&mut self) -> Result<Vec<Lexeme>, SyntaxError> {
        let mut expr = Vec::new();
        let mut name = String::new();
        let mut depth = 0;
        loop {
            let Some(token) = self.cursor.peek() else { return Err(self.cursor.missed_one_of(&["DELAY"])) };
            match token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                token if depth == 0 && is_word(token, "DELAY") => break,
                token if depth == 0 && is_word(token, "AS") => {
                    self.cursor.next();
                    name = self.cursor.identifier("the name of the event time")?;
                    if !self.cursor.is_word(0, "DELAY") {
                        return Err(self.cursor.missed_one_of(&["DELAY"]));
                    }
                    break;
                }
                _ => {}
            }
            if depth < 0 {
                return Err(self.cursor.missed_one_of(&["DELAY"]));
            }
            expr.extend(self.cursor.next().cloned());
        }
        let Some(first) = expr.first().cloned() else { return Err(self.cursor.missed("the column of the event time")) };
        let is_column = expr.iter().all(|lexeme| matches!(lexeme.token, Token::Word(_) | Token::Period));
        if name.is_empty() && !is_column {
            let message = "[REQUIRES_EXPLICIT_NAME_IN_WATERMARK_CLAUSE] the event time is an expression: name it, as in WATERMARK expr AS name DELAY OF …";
            return Err(SyntaxError::new(first.span.start, message));
        }
        self.cursor.expect_word("DELAY")?;
        self.cursor.expect_word("OF")?;
        let delay_ms = match name.is_empty() {
            true => self.delay(&expr.iter().map(|lexeme| lexeme.token.to_string()).collect::<String>())?,
            false => self.delay(&name)?,
        };
        Ok(marker(
            &first,
            WATERMARK,
            vec![expr, text_argument(&first, name), text_argument(&first, delay_ms.to_string())],
        ))
    }

    /// The interval that the first half of the rewrite left here.
    fn delay(&mut self, column: &str) -> Result<i64, SyntaxError> {
        let at = self.cursor.location();
        if !matches!(self.cursor.peek(), Some(Token::Word(word)) if word.value == literals::INTERVAL) {
            return Err(self.cursor.missed("INTERVAL n UNIT, such as INTERVAL 10 MINUTES"));
        }
        self.cursor.next();
        let values: Vec<i64> = self
            .cursor
            .parenthesized()?
            .iter()
            .filter_map(|lexeme| match &lexeme.token {
                Token::SingleQuotedString(value) => value.parse().ok(),
                _ => None,
            })
            .collect();
        let delay_ms = match values[..] {
            [months, micros] => {
                months.checked_mul(31 * 86_400_000).and_then(|ms| ms.checked_add(micros.div_euclid(1000)))
            }
            _ => None,
        };
        match delay_ms {
            Some(delay_ms) if delay_ms >= 0 => Ok(delay_ms),
            Some(_) => {
                let why =
                    format!("the delay of WATERMARK {column} must not be negative: write INTERVAL 0 SECONDS or more");
                Err(SyntaxError::new(at, why))
            }
            None => {
                let why = format!("[ARITHMETIC_OVERFLOW] the delay of WATERMARK {column} is too long");
                Err(SyntaxError::new(at, why))
            }
        }
    }

    /// Puts the mark into the list that `DISTINCT ON (…)` has just closed.
    fn within_watermark(&mut self) -> Result<(), SyntaxError> {
        match self.output.pop() {
            Some(close) if close.token == Token::RParen => {
                self.output.extend([
                    close.with_token(Token::Comma),
                    close.with_token(Token::make_word(WITHIN_WATERMARK, Some('`'))),
                ]);
                self.output.push(close);
            }
            _ => return Err(self.cursor.missed("DISTINCT ON (columns) before WITHIN WATERMARK")),
        }
        self.cursor.next();
        self.cursor.next();
        Ok(())
    }
}

fn next_place(place: Place, word: &str) -> Place {
    match word {
        "FROM" | "JOIN" => Place::BeforeRelation,
        "SELECT" | "WHERE" | "GROUP" | "HAVING" | "ORDER" | "LIMIT" | "ON" | "USING" | "UNION" | "INTERSECT"
        | "EXCEPT" | "MINUS" | "WINDOW" | "SORT" | "CLUSTER" | "DISTRIBUTE" | "QUALIFY" | "OFFSET" | "VALUES" => {
            Place::Elsewhere
        }
        "LATERAL" => place,
        _ if place == Place::BeforeRelation => Place::AfterRelation,
        _ => place,
    }
}

impl StreamRelation {
    /// Takes the clauses out of a relation's sample.
    ///
    /// # Errors
    /// A real `TABLESAMPLE`, which we do not have.
    pub(super) fn of_sample(sample: Option<&ast::TableSampleKind>) -> Result<Self, SyntaxError> {
        let Some(ast::TableSampleKind::AfterTableAlias(sample) | ast::TableSampleKind::BeforeTableAlias(sample)) =
            sample
        else {
            return Ok(Self::default());
        };
        // sqlparser takes an OFFSET right behind a sample for the sample's own.
        if sample.offset.is_some() {
            let message = "OFFSET is not supported over a stream: leave it out".to_string();
            return Err(SyntaxError { line: 0, column: 0, message });
        }
        let arguments = match sample.quantity.as_ref().map(|quantity| &quantity.value) {
            Some(expr) => marker_arguments(expr, RELATION),
            None => None,
        };
        let Some((is_stream, rest)) = arguments.as_deref().and_then(<[ast::Expr]>::split_first) else {
            return Err(SyntaxError { line: 0, column: 0, message: "TABLESAMPLE is not supported".to_string() });
        };
        let mut relation = Self { is_stream: string_value(is_stream) == Some("stream"), ..Self::default() };
        let mut rest = rest.iter();
        while let Some(argument) = rest.next() {
            if let Some(watermark) = marker_arguments(argument, WATERMARK) {
                relation.watermark = WatermarkClause::of_arguments(&watermark);
            } else if let (Some(key), Some(value)) = (string_value(argument), rest.next().and_then(string_value)) {
                relation.options.push((key.to_string(), value.to_string()));
            }
        }
        Ok(relation)
    }
}

impl WatermarkClause {
    fn of_arguments(arguments: &[ast::Expr]) -> Option<Self> {
        let [expr, name, delay_ms] = arguments else { return None };
        let name = string_value(name).filter(|name| !name.is_empty()).map(str::to_string);
        Some(Self { expr: expr.clone(), name, delay_ms: string_value(delay_ms)?.parse().ok()? })
    }
}

/// The columns of `DISTINCT ON`, and whether `WITHIN WATERMARK` follows.
pub(super) fn distinct_on(exprs: &[ast::Expr]) -> (&[ast::Expr], bool) {
    match exprs.split_last() {
        Some((ast::Expr::Identifier(last), columns)) if last.value == WITHIN_WATERMARK => (columns, true),
        _ => (exprs, false),
    }
}

/// The arguments of one of our marks.
pub(super) fn marker_arguments(expr: &ast::Expr, name: &str) -> Option<Vec<ast::Expr>> {
    let ast::Expr::Function(function) = expr else { return None };
    let is_marker = matches!(&function.name.0[..], [ast::ObjectNamePart::Identifier(ident)] if ident.value == name && ident.quote_style.is_some());
    let ast::FunctionArguments::List(list) = &function.args else { return None };
    let arguments = list.args.iter().filter_map(|argument| match argument {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    });
    is_marker.then(|| arguments.collect())
}

/// The text of a string literal.
pub(super) fn string_value(expr: &ast::Expr) -> Option<&str> {
    match expr {
        ast::Expr::Value(ast::ValueWithSpan { value: ast::Value::SingleQuotedString(value), .. }) => Some(value),
        _ => None,
    }
}
