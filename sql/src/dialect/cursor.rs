//! Steps through a statement's tokens and says what it missed.

use sqlparser::tokenizer::{Location, Token};

use super::error::{SyntaxError, nearest};
use super::lexer::Lexeme;
use super::statement::Name;

/// A place in a list of tokens.
pub(super) struct Cursor<'a> {
    lexemes: &'a [Lexeme],
    at: usize,
    end: Location,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(lexemes: &'a [Lexeme]) -> Self {
        let end = lexemes.last().map_or(Location::new(1, 1), |last| last.span.end);
        Self { lexemes, at: 0, end }
    }

    pub(super) fn peek(&self) -> Option<&'a Token> {
        self.peek_nth(0)
    }

    pub(super) fn peek_nth(&self, nth: usize) -> Option<&'a Token> {
        self.lexemes.get(self.at + nth).map(|lexeme| &lexeme.token)
    }

    pub(super) fn location(&self) -> Location {
        self.lexemes.get(self.at).map_or(self.end, |lexeme| lexeme.span.start)
    }

    pub(super) fn rest(&self) -> &'a [Lexeme] {
        &self.lexemes[self.at..]
    }

    pub(super) fn skip_rest(&mut self) {
        self.at = self.lexemes.len();
    }

    pub(super) fn next(&mut self) -> Option<&'a Lexeme> {
        let lexeme = self.lexemes.get(self.at)?;
        self.at += 1;
        Some(lexeme)
    }

    /// Whether an unquoted `word` stands `nth` tokens ahead.
    pub(super) fn is_word(&self, nth: usize, word: &str) -> bool {
        self.peek_nth(nth).is_some_and(|token| is_word(token, word))
    }

    /// Takes these words if all of them stand here.
    pub(super) fn take_words(&mut self, words: &[&str]) -> bool {
        let are_here = words.iter().enumerate().all(|(nth, word)| self.is_word(nth, word));
        if are_here {
            self.at += words.len();
        }
        are_here
    }

    pub(super) fn take(&mut self, token: &Token) -> bool {
        let is_here = self.peek() == Some(token);
        self.at += usize::from(is_here);
        is_here
    }

    pub(super) fn expect(&mut self, token: &Token) -> Result<(), SyntaxError> {
        if self.take(token) { Ok(()) } else { Err(self.missed(&token.to_string())) }
    }

    pub(super) fn expect_word(&mut self, word: &str) -> Result<(), SyntaxError> {
        if self.take_words(&[word]) { Ok(()) } else { Err(self.missed_one_of(&[word])) }
    }

    /// The error for a token that does not belong here.
    pub(super) fn missed(&self, expected: &str) -> SyntaxError {
        SyntaxError::expected(self.location(), &self.found(), expected)
    }

    /// The same, where one of several keywords should stand: the nearest is named.
    pub(super) fn missed_one_of(&self, keywords: &[&str]) -> SyntaxError {
        let mut error = self.missed(&keywords.join(", "));
        if let Some(Token::Word(word)) = self.peek()
            && let Some(meant) = nearest(&word.value, keywords)
        {
            error.message += &format!("; did you mean {meant}?");
        }
        error
    }

    fn found(&self) -> String {
        self.peek().map_or("the end of the statement".to_string(), |token| format!("'{token}'"))
    }

    pub(super) fn expect_end(&self) -> Result<(), SyntaxError> {
        if self.at == self.lexemes.len() { Ok(()) } else { Err(self.missed("the end of the statement")) }
    }

    pub(super) fn identifier(&mut self, what: &str) -> Result<String, SyntaxError> {
        match self.peek() {
            Some(Token::Word(word)) => {
                self.at += 1;
                Ok(word.value.clone())
            }
            _ => Err(self.missed(what)),
        }
    }

    pub(super) fn string(&mut self, what: &str) -> Result<String, SyntaxError> {
        match self.peek() {
            Some(Token::SingleQuotedString(value)) => {
                self.at += 1;
                Ok(value.clone())
            }
            _ => Err(self.missed(what)),
        }
    }

    pub(super) fn name(&mut self, what: &str) -> Result<Name, SyntaxError> {
        let location = self.location();
        let mut parts = vec![self.identifier(what)?];
        while self.take(&Token::Period) {
            parts.push(self.identifier(what)?);
        }
        Ok(Name { parts, location })
    }

    /// `(a, b, …)`.
    pub(super) fn identifiers_in_parentheses(&mut self, what: &str) -> Result<Vec<String>, SyntaxError> {
        self.expect(&Token::LParen)?;
        let mut names = vec![self.identifier(what)?];
        while self.take(&Token::Comma) {
            names.push(self.identifier(what)?);
        }
        self.expect(&Token::RParen)?;
        Ok(names)
    }

    /// What stands between the parenthesis here and its partner, and moves past it.
    pub(super) fn parenthesized(&mut self) -> Result<&'a [Lexeme], SyntaxError> {
        self.expect(&Token::LParen)?;
        let start = self.at;
        let mut depth = 1;
        while let Some(lexeme) = self.next() {
            match lexeme.token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(&self.lexemes[start..self.at - 1]);
            }
        }
        Err(self.missed(")"))
    }
}

/// Whether a token is this word, unquoted, in any case.
pub(super) fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}
