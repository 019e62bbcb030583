//! From a script's text to its statements.
//!
//! The statements that are ours are read here; what is a query goes to sqlparser, as tokens.

use sqlparser::ast;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token};

use super::cursor::{Cursor, is_word};
use super::error::{SyntaxError, nearest};
use super::lexer::{Lexeme, tokenize};
use super::relations;
use super::spark_dialect::SparkDialect;
use super::statement::{CreateTable, CreateView, DropKind, ParsedStatement, SqlQuery, Statement};

/// Splits a script at its semicolons and parses each statement; empty ones are left out.
///
/// # Errors
/// The first syntax error of the script, with its line and column.
pub fn parse_script(text: &str) -> Result<Vec<ParsedStatement>, SyntaxError> {
    let lexemes = tokenize(text)?;
    lexemes
        .split(|lexeme| lexeme.token == Token::SemiColon)
        .filter(|lexemes| !lexemes.is_empty())
        .map(|lexemes| {
            let statement = parse_statement(text, lexemes)?;
            Ok(ParsedStatement { statement, location: lexemes[0].span.start, text: source(text, lexemes).to_string() })
        })
        .collect()
}

/// Parses a text that is one expression, as in `expr("v + 1")`; `AS name` may follow it.
///
/// # Errors
/// A syntax error, with its line and column.
pub fn parse_expression(text: &str) -> Result<ast::SelectItem, SyntaxError> {
    let lexemes = relations::rewrite(tokenize(text)?)?;
    let dialect = SparkDialect;
    let mut parser = parser_of(&dialect, &lexemes);
    let parsed = parser.parse_select_item().and_then(|item| end_of(&mut parser).map(|()| item));
    parsed.map_err(|error| syntax_error(&error, &lexemes))
}

/// The first words of all statements.
const STATEMENTS: &[&str] = &[
    "SELECT", "WITH", "VALUES", "FROM", "CREATE", "INSERT", "SHOW", "DESCRIBE", "STOP", "AWAIT", "EXPLAIN", "SET",
    "RESET", "DROP",
];

fn parse_statement(text: &str, lexemes: &[Lexeme]) -> Result<Statement, SyntaxError> {
    let mut cursor = Cursor::new(lexemes);
    let Some(Token::Word(first)) = cursor.peek() else {
        return match cursor.peek() {
            Some(Token::LParen) => Ok(Statement::Query(query(text, &mut cursor)?)),
            _ => Err(cursor.missed_one_of(STATEMENTS)),
        };
    };
    let statement = match first.value.to_uppercase().as_str() {
        "SELECT" | "WITH" | "VALUES" | "FROM" | "TABLE" => Statement::Query(query(text, &mut cursor)?),
        "CREATE" => create(text, &mut cursor)?,
        "INSERT" => insert(text, &mut cursor)?,
        "SHOW" => show(&mut cursor)?,
        "DESCRIBE" | "DESC" => describe(&mut cursor)?,
        "STOP" if cursor.take_words(&["STOP", "STREAM"]) => Statement::StopStream(cursor.name("the name of a stream")?),
        "AWAIT" if cursor.take_words(&["AWAIT", "STREAM"]) => await_stream(&mut cursor)?,
        "EXPLAIN" => explain(text, &mut cursor)?,
        "SET" => set(text, &mut cursor)?,
        "RESET" => reset(&mut cursor)?,
        "DROP" => drop_statement(&mut cursor)?,
        "STOP" | "AWAIT" => {
            cursor.next();
            return Err(cursor.missed_one_of(&["STREAM"]));
        }
        _ => return Err(cursor.missed_one_of(STATEMENTS)),
    };
    cursor.expect_end()?;
    Ok(statement)
}

fn create(text: &str, cursor: &mut Cursor<'_>) -> Result<Statement, SyntaxError> {
    cursor.expect_word("CREATE")?;
    let or_replace = cursor.take_words(&["OR", "REPLACE"]);
    let temporary = cursor.take_words(&["TEMPORARY"]) || cursor.take_words(&["TEMP"]);
    if cursor.take_words(&["VIEW"]) {
        return create_view(text, cursor, or_replace, temporary);
    }
    if or_replace || temporary {
        return Err(cursor.missed_one_of(&["VIEW"]));
    }
    if cursor.take_words(&["TABLE"]) {
        return Ok(Statement::CreateTable(create_table(cursor)?));
    }
    if cursor.take_words(&["STREAMING", "TABLE"]) {
        let table = create_table(cursor)?;
        cursor.expect_word("AS")?;
        return Ok(Statement::CreateStreamingTable { table, query: query(text, cursor)? });
    }
    Err(cursor.missed_one_of(&["TABLE", "VIEW", "STREAMING", "TEMPORARY"]))
}

fn create_view(
    text: &str,
    cursor: &mut Cursor<'_>,
    or_replace: bool,
    temporary: bool,
) -> Result<Statement, SyntaxError> {
    let if_not_exists = cursor.take_words(&["IF", "NOT", "EXISTS"]);
    let name = cursor.name("the name of the view")?;
    let columns = match cursor.peek() {
        Some(Token::LParen) => cursor.identifiers_in_parentheses("the name of a column")?,
        _ => Vec::new(),
    };
    cursor.expect_word("AS")?;
    let query = query(text, cursor)?;
    Ok(Statement::CreateView(CreateView { name, or_replace, temporary, if_not_exists, columns, query }))
}

/// What follows `CREATE [STREAMING] TABLE`, up to `AS`.
fn create_table(cursor: &mut Cursor<'_>) -> Result<CreateTable, SyntaxError> {
    let if_not_exists = cursor.take_words(&["IF", "NOT", "EXISTS"]);
    let name = cursor.name("the name of the table")?;
    let columns = match cursor.peek() {
        Some(Token::LParen) => Some(ddl_text(cursor.parenthesized()?)),
        _ => None,
    };
    let mut table = CreateTable {
        name,
        if_not_exists,
        columns,
        connector: None,
        partitioned_by: Vec::new(),
        options: Vec::new(),
        comment: None,
    };
    loop {
        if cursor.take_words(&["USING"]) {
            table.connector = Some(connector(cursor)?);
        } else if cursor.take_words(&["PARTITIONED", "BY"]) {
            table.partitioned_by = cursor.identifiers_in_parentheses("the name of a column")?;
        } else if cursor.take_words(&["OPTIONS"]) {
            table.options.extend(options(cursor)?);
        } else if cursor.take_words(&["COMMENT"]) {
            table.comment = Some(cursor.string("a comment in quotes")?);
        } else if cursor.peek().is_none() || cursor.is_word(0, "AS") {
            return Ok(table);
        } else {
            return Err(cursor.missed_one_of(&["USING", "OPTIONS", "PARTITIONED", "COMMENT", "AS"]));
        }
    }
}

/// `json`, `rate-micro-batch`, `` `rate-micro-batch` ``, `org.example.format`.
fn connector(cursor: &mut Cursor<'_>) -> Result<String, SyntaxError> {
    let mut name = cursor.identifier("the name of a connector")?;
    loop {
        let separator = match (cursor.peek(), cursor.peek_nth(1)) {
            (Some(Token::Minus), Some(Token::Word(_))) => '-',
            (Some(Token::Period), Some(Token::Word(_))) => '.',
            _ => return Ok(name),
        };
        cursor.next();
        name.push(separator);
        name += &cursor.identifier("the name of a connector")?;
    }
}

/// `(path 'in', 'k' = 'v', kafka.acks 'all')`; also after `STREAM t WITH`.
pub(super) fn options(cursor: &mut Cursor<'_>) -> Result<Vec<(String, String)>, SyntaxError> {
    cursor.expect(&Token::LParen)?;
    let mut options: Vec<(String, String)> = Vec::new();
    while !cursor.take(&Token::RParen) {
        if !options.is_empty() {
            cursor.expect(&Token::Comma)?;
        }
        let at = cursor.location();
        let key = option_key(cursor)?;
        if options.iter().any(|(other, _)| other.eq_ignore_ascii_case(&key)) {
            return Err(SyntaxError::new(at, format!("[DUPLICATE_KEY] the option {key} is given twice")));
        }
        cursor.take(&Token::Eq);
        options.push((key, option_value(cursor)?));
    }
    Ok(options)
}

fn option_key(cursor: &mut Cursor<'_>) -> Result<String, SyntaxError> {
    if matches!(cursor.peek(), Some(Token::SingleQuotedString(_))) {
        return cursor.string("an option's name");
    }
    let mut key = cursor.identifier("an option's name")?;
    loop {
        let separator = match cursor.peek() {
            Some(Token::Period) => '.',
            Some(Token::Minus) => '-',
            _ => return Ok(key),
        };
        cursor.next();
        key.push(separator);
        key += &cursor.identifier("an option's name")?;
    }
}

fn option_value(cursor: &mut Cursor<'_>) -> Result<String, SyntaxError> {
    let sign = if cursor.take(&Token::Minus) { "-" } else { "" };
    match cursor.peek() {
        Some(Token::SingleQuotedString(value)) if sign.is_empty() => {
            cursor.next();
            Ok(value.clone())
        }
        Some(Token::Number(number, _)) => {
            cursor.next();
            Ok(format!("{sign}{number}"))
        }
        Some(token) if sign.is_empty() && (is_word(token, "true") || is_word(token, "false")) => {
            cursor.next();
            Ok(token.to_string().to_lowercase())
        }
        // It may be a secret.
        Some(Token::Word(_) | Token::DoubleQuotedString(_)) => {
            Err(SyntaxError::expected(cursor.location(), "something else", "an option's value in single quotes"))
        }
        _ => Err(cursor.missed("an option's value in quotes")),
    }
}

fn insert(text: &str, cursor: &mut Cursor<'_>) -> Result<Statement, SyntaxError> {
    cursor.expect_word("INSERT")?;
    cursor.expect_word("INTO")?;
    cursor.take_words(&["TABLE"]);
    let table = cursor.name("the name of a table")?;
    let has_columns = cursor.peek() == Some(&Token::LParen)
        && !["SELECT", "WITH", "VALUES", "FROM"].iter().any(|word| cursor.is_word(1, word))
        && cursor.peek_nth(1) != Some(&Token::LParen);
    let columns = if has_columns { cursor.identifiers_in_parentheses("the name of a column")? } else { Vec::new() };
    Ok(Statement::Insert { table, columns, query: query(text, cursor)? })
}

fn show(cursor: &mut Cursor<'_>) -> Result<Statement, SyntaxError> {
    cursor.expect_word("SHOW")?;
    if cursor.take_words(&["STREAMS"]) {
        Ok(Statement::ShowStreams)
    } else if cursor.take_words(&["TABLES"]) {
        Ok(Statement::ShowTables)
    } else {
        Err(cursor.missed_one_of(&["STREAMS", "TABLES"]))
    }
}

fn describe(cursor: &mut Cursor<'_>) -> Result<Statement, SyntaxError> {
    cursor.next();
    if cursor.is_word(0, "STREAM") && cursor.peek_nth(1).is_some() {
        cursor.next();
        return Ok(Statement::DescribeStream(cursor.name("the name of a stream")?));
    }
    for noise in ["TABLE", "EXTENDED", "FORMATTED"] {
        if cursor.is_word(0, noise) && cursor.peek_nth(1).is_some_and(|token| matches!(token, Token::Word(_))) {
            cursor.next();
        }
    }
    Ok(Statement::DescribeTable(cursor.name("the name of a table, or STREAM")?))
}

fn await_stream(cursor: &mut Cursor<'_>) -> Result<Statement, SyntaxError> {
    let name = cursor.name("the name of a stream")?;
    let timeout = match cursor.peek() {
        Some(_) => Some(cursor.string("a timeout in quotes, such as '10 seconds'")?),
        None => None,
    };
    Ok(Statement::AwaitStream { name, timeout })
}

fn explain(text: &str, cursor: &mut Cursor<'_>) -> Result<Statement, SyntaxError> {
    cursor.expect_word("EXPLAIN")?;
    let extended = cursor.take_words(&["EXTENDED"]) || cursor.take_words(&["FORMATTED"]);
    let stream = cursor.take_words(&["STREAM"]);
    Ok(Statement::Explain { extended, stream, query: query(text, cursor)? })
}

fn set(text: &str, cursor: &mut Cursor<'_>) -> Result<Statement, SyntaxError> {
    cursor.expect_word("SET")?;
    if cursor.take_words(&["TIME", "ZONE"]) {
        let zone = cursor.string("a time zone in quotes")?;
        return Ok(Statement::Set { key: Some("spark.sql.session.timeZone".to_string()), value: Some(zone) });
    }
    let lexemes = cursor.rest();
    cursor.skip_rest();
    if lexemes.is_empty() {
        return Ok(Statement::Set { key: None, value: None });
    }
    let is_assigned = lexemes.iter().position(|lexeme| lexeme.token == Token::Eq);
    let Some(equals) = is_assigned else {
        return Ok(Statement::Set { key: Some(config_text(text, lexemes)), value: None });
    };
    let (key, value) = (&lexemes[..equals], &lexemes[equals + 1..]);
    if key.is_empty() || value.is_empty() {
        let found = if key.is_empty() { "'='" } else { "the end of the statement" };
        return Err(SyntaxError::expected(lexemes[equals].span.start, found, "SET key = value"));
    }
    Ok(Statement::Set { key: Some(config_text(text, key)), value: Some(config_text(text, value)) })
}

fn reset(cursor: &mut Cursor<'_>) -> Result<Statement, SyntaxError> {
    cursor.expect_word("RESET")?;
    let key = if cursor.peek().is_some() { Some(option_key(cursor)?) } else { None };
    Ok(Statement::Reset { key })
}

fn drop_statement(cursor: &mut Cursor<'_>) -> Result<Statement, SyntaxError> {
    cursor.expect_word("DROP")?;
    let kinds = [("TABLE", DropKind::Table), ("VIEW", DropKind::View), ("STREAM", DropKind::Stream)];
    let kind = kinds.iter().find(|(word, _)| cursor.take_words(&[word]));
    let Some((_, kind)) = kind else {
        return Err(cursor.missed_one_of(&["TABLE", "VIEW", "STREAM"]));
    };
    let if_exists = cursor.take_words(&["IF", "EXISTS"]);
    Ok(Statement::Drop { kind: *kind, if_exists, name: cursor.name("a name")? })
}

/// Everything from here on is a query.
fn query(text: &str, cursor: &mut Cursor<'_>) -> Result<SqlQuery, SyntaxError> {
    let lexemes = cursor.rest();
    if lexemes.is_empty() {
        return Err(cursor.missed("a query"));
    }
    let location = cursor.location();
    cursor.skip_rest();
    let rewritten = relations::rewrite(lexemes.to_vec())?;
    let dialect = SparkDialect;
    let mut parser = parser_of(&dialect, &rewritten);
    let parsed = parser.parse_query().and_then(|query| end_of(&mut parser).map(|()| query));
    let ast = parsed.map_err(|error| syntax_error(&error, lexemes))?;
    Ok(SqlQuery { ast, text: source(text, lexemes).to_string(), location })
}

fn parser_of<'a>(dialect: &'a SparkDialect, lexemes: &[Lexeme]) -> Parser<'a> {
    Parser::new(dialect).with_tokens_with_locations(lexemes.iter().map(Lexeme::for_parser).collect())
}

fn end_of(parser: &mut Parser<'_>) -> Result<(), ParserError> {
    match parser.peek_token_ref().token {
        Token::EOF => Ok(()),
        _ => parser.expected_ref("the end of the statement", parser.peek_token_ref()),
    }
}

/// sqlparser writes the place at the end of its message; ours stands in front, and the nearest keyword is named.
fn syntax_error(error: &ParserError, lexemes: &[Lexeme]) -> SyntaxError {
    let message = match error {
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => message.clone(),
        ParserError::RecursionLimitExceeded => "the query is nested too deeply".to_string(),
    };
    let end = lexemes.last().map_or(Location::new(1, 1), |last| last.span.end);
    let (message, at) = split_place(&message).unwrap_or((&message, end));
    let (expected, found) = match message.strip_prefix("Expected: ").and_then(|rest| rest.rsplit_once(", found: ")) {
        Some((expected, found)) => {
            (expected, if found == "EOF" { "the end of the statement".into() } else { format!("'{found}'") })
        }
        None => return SyntaxError::new(at, message),
    };
    let mut error = SyntaxError::expected(at, &found, expected);
    let place = lexemes.iter().position(|lexeme| lexeme.span.start == at).unwrap_or(lexemes.len());
    let meant = lexemes[..lexemes.len().min(place + 1)].iter().rev().take(3).find_map(|lexeme| match &lexeme.token {
        Token::Word(word) if word.quote_style.is_none() => Some((&word.value, nearest(&word.value, KEYWORDS)?)),
        _ => None,
    });
    if let Some((written, meant)) = meant {
        error.message += &format!("; did you mean {meant} instead of '{written}'?");
    }
    error
}

/// `message at Line: 1, Column: 5`.
fn split_place(message: &str) -> Option<(&str, Location)> {
    let (text, place) = message.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    Some((text, Location::new(line.parse().ok()?, column.parse().ok()?)))
}

/// The words of a query that are worth suggesting.
const KEYWORDS: &[&str] = &[
    "SELECT",
    "DISTINCT",
    "FROM",
    "STREAM",
    "WHERE",
    "GROUP BY",
    "GROUP",
    "HAVING",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "JOIN",
    "LEFT",
    "RIGHT",
    "FULL",
    "OUTER",
    "INNER",
    "CROSS",
    "SEMI",
    "ANTI",
    "UNION",
    "INTERSECT",
    "EXCEPT",
    "WATERMARK",
    "DELAY",
    "INTERVAL",
    "WITHIN",
    "LATERAL",
    "VALUES",
    "USING",
    "BETWEEN",
    "RLIKE",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
];

/// The text that these tokens came from.
fn source<'a>(text: &'a str, lexemes: &[Lexeme]) -> &'a str {
    match (lexemes.first(), lexemes.last()) {
        (Some(first), Some(last)) => &text[first.start_byte..last.end_byte],
        _ => "",
    }
}

/// A key or value of `SET`: one string's value, or the words as they stand.
fn config_text(text: &str, lexemes: &[Lexeme]) -> String {
    match lexemes {
        [Lexeme { token: Token::SingleQuotedString(value), .. }] => value.clone(),
        [Lexeme { token: Token::Word(word), .. }] => word.value.clone(),
        _ => source(text, lexemes).to_string(),
    }
}

/// Tokens back to text, for the grammar of types and columns.
pub(super) fn ddl_text(lexemes: &[Lexeme]) -> String {
    let mut text = String::new();
    for lexeme in lexemes {
        if !text.is_empty() {
            text.push(' ');
        }
        match &lexeme.token {
            Token::SingleQuotedString(value) => {
                text += &format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
            }
            Token::Word(word) if word.quote_style.is_some() => text += &format!("`{}`", word.value.replace('`', "``")),
            token => text += &token.to_string(),
        }
    }
    text
}

#[cfg(test)]
mod tests;
