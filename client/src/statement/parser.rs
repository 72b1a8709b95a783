//! A cursor over the tokens of one statement.

use super::lexer::{Fragment, Token, is_word};
use sqlparser::tokenizer::Token as Sql;
use trine_proto::status::{SqlError, sqlstate};

/// Words that are no names unless quoted (PostgreSQL's reserved words, as far as they start or join
/// clauses): a table or column of that name could not be queried.
const RESERVED: [&str; 62] = [
    "ALL",
    "ANALYSE",
    "ANALYZE",
    "AND",
    "ANY",
    "AS",
    "ASC",
    "BOTH",
    "CASE",
    "CAST",
    "CHECK",
    "COLLATE",
    "CONSTRAINT",
    "CREATE",
    "CROSS",
    "DEFAULT",
    "DESC",
    "DISTINCT",
    "ELSE",
    "END",
    "EXCEPT",
    "FALSE",
    "FETCH",
    "FOR",
    "FOREIGN",
    "FROM",
    "FULL",
    "GRANT",
    "GROUP",
    "HAVING",
    "IN",
    "INNER",
    "INTERSECT",
    "INTO",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NATURAL",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "PRIMARY",
    "REFERENCES",
    "RIGHT",
    "SELECT",
    "TABLE",
    "THEN",
    "TO",
    "TRUE",
    "UNION",
    "UNIQUE",
    "USING",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
];

/// See the module. Nothing is copied; refused tokens are not consumed.
#[derive(Clone)]
pub(crate) struct Parser<'a> {
    fragment: &'a Fragment<'a>,
    tokens: &'a [Token],
    next: usize,
    end_position: u32,
}

impl<'a> Parser<'a> {
    /// At the first token.
    pub(crate) fn new(fragment: &'a Fragment<'a>) -> Self {
        let end_position = fragment.end_position();
        Self { fragment, tokens: fragment.tokens(), next: 0, end_position }
    }

    /// Over some of the tokens, by their places.
    pub(crate) fn between(fragment: &'a Fragment<'a>, from: usize, to: usize) -> Self {
        let tokens = fragment.tokens().get(from..to).unwrap_or_default();
        let end =
            fragment.tokens().get(to).map_or_else(|| fragment.end_position(), Token::position);
        Self { fragment, tokens, next: 0, end_position: end }
    }

    /// Takes an expression: everything up to a comma, a closing parenthesis or one of these words
    /// outside parentheses. Gives the places of its first token and of the one behind it.
    ///
    /// # Errors
    /// `42601` if there is none.
    pub(crate) fn expression(&mut self, ends: &[&str]) -> Result<(usize, usize), SqlError> {
        let from = self.next;
        let mut open = 0_usize;
        while let Some(token) = self.peek() {
            match token {
                Sql::LParen | Sql::LBracket => open += 1,
                Sql::RParen | Sql::RBracket if open == 0 => break,
                Sql::RParen | Sql::RBracket => open -= 1,
                Sql::Comma if open == 0 => break,
                token if open == 0 && ends.iter().any(|w| is_word(token, w)) => break,
                _ => {}
            }
            self.next += 1;
        }
        if self.next == from {
            return Err(self.unexpected("an expression is expected"));
        }
        Ok((from, self.next))
    }

    /// The text from a token, by its place among the tokens, up to the next one.
    pub(crate) fn text_since(&self, mark: usize) -> &'a str {
        self.fragment.text_of(mark, self.next)
    }

    /// The text from the next token to the end; everything is taken.
    pub(crate) fn rest(&mut self) -> &'a str {
        let mark = self.next;
        self.next = self.tokens.len();
        self.fragment.text_of(mark, self.next)
    }

    /// Takes a string if it is next.
    pub(crate) fn string(&mut self) -> Option<String> {
        let text = match self.peek()? {
            Sql::SingleQuotedString(s)
            | Sql::EscapedStringLiteral(s)
            | Sql::UnicodeStringLiteral(s) => s.clone(),
            Sql::DollarQuotedString(s) => s.value.clone(),
            _ => return None,
        };
        self.next += 1;
        Some(text)
    }

    /// Whether these unquoted words stand next.
    pub(crate) fn words_follow(&self, words: &[&str]) -> bool {
        let next = self.tokens.get(self.next..).unwrap_or_default();
        next.len() >= words.len() && next.iter().zip(words).all(|(t, w)| is_word(&t.sql, w))
    }

    /// Takes these words if they stand next, in this order.
    pub(crate) fn words(&mut self, words: &[&str]) -> bool {
        let found = self.words_follow(words);
        self.next += if found { words.len() } else { 0 };
        found
    }

    /// Whether a parenthesis is next that holds a query.
    pub(crate) fn query_in_parentheses(&self) -> bool {
        let mut next = self.tokens.get(self.next..).unwrap_or_default().iter();
        let first = next.find(|t| t.sql != Sql::LParen);
        self.peek() == Some(&Sql::LParen)
            && first
                .is_some_and(|t| ["SELECT", "WITH", "VALUES"].iter().any(|w| is_word(&t.sql, w)))
    }

    /// IF EXISTS.
    pub(crate) fn if_exists(&mut self) -> bool {
        self.words(&["IF", "EXISTS"])
    }

    /// IF NOT EXISTS.
    pub(crate) fn if_not_exists(&mut self) -> bool {
        self.words(&["IF", "NOT", "EXISTS"])
    }

    /// CASCADE (true), RESTRICT or nothing.
    pub(crate) fn cascade(&mut self) -> bool {
        let cascade = self.word("CASCADE");
        let _ = !cascade && self.word("RESTRICT");
        cascade
    }

    /// Names in parentheses, with their positions; `(` is next.
    ///
    /// # Errors
    /// `42601`.
    pub(crate) fn name_list(&mut self) -> Result<Vec<(String, u32)>, SqlError> {
        self.expect_symbol(&Sql::LParen)?;
        let mut names = Vec::new();
        loop {
            let at = self.position();
            names.push((self.identifier()?, at));
            if !self.symbol(&Sql::Comma) {
                break;
            }
        }
        self.expect_symbol(&Sql::RParen)?;
        Ok(names)
    }

    /// The text between the parentheses that begin next; they are taken.
    ///
    /// # Errors
    /// `42601`: no parenthesis, nothing in it, or it does not end.
    pub(crate) fn parenthesised(&mut self) -> Result<&'a str, SqlError> {
        self.expect_symbol(&Sql::LParen)?;
        let mark = self.next;
        let mut open = 1_usize;
        loop {
            match self.peek() {
                None => return Err(self.unexpected("\")\" is expected")),
                Some(Sql::LParen) => open += 1,
                Some(Sql::RParen) => open -= 1,
                Some(_) => {}
            }
            if open == 0 {
                break;
            }
            self.next += 1;
        }
        if self.next == mark {
            return Err(self.unexpected("an expression is expected"));
        }
        let text = self.text_since(mark);
        self.next += 1;
        Ok(text)
    }

    /// The statement.
    pub(crate) const fn fragment(&self) -> &'a Fragment<'a> {
        self.fragment
    }

    /// The next token, `None` at the end.
    pub(crate) fn peek(&self) -> Option<&'a Sql> {
        self.tokens.get(self.next).map(|t| &t.sql)
    }

    /// The token after the next one.
    pub(crate) fn peek_second(&self) -> Option<&'a Sql> {
        self.tokens.get(self.next + 1).map(|t| &t.sql)
    }

    /// Takes the next token.
    pub(crate) fn advance(&mut self) {
        self.next += 1;
    }

    /// 1-based position of the next token.
    pub(crate) fn position(&self) -> u32 {
        self.tokens.get(self.next).map_or(self.end_position, Token::position)
    }

    /// The next token in capitals if it is an unquoted word or a symbol; empty for a literal, which
    /// must not get into a message.
    pub(crate) fn keyword_text(&self) -> String {
        match self.peek() {
            Some(Sql::Word(w)) => w.value.to_uppercase(),
            Some(token) if is_literal(token) => String::new(),
            Some(token) => token.to_string(),
            None => String::new(),
        }
    }

    /// Takes the word if it is next.
    pub(crate) fn word(&mut self, word: &str) -> bool {
        let found = self.peek().is_some_and(|t| is_word(t, word));
        self.next += usize::from(found);
        found
    }

    /// Takes the word.
    ///
    /// # Errors
    /// `42601` if something else is next.
    pub(crate) fn expect_word(&mut self, word: &str) -> Result<(), SqlError> {
        if self.word(word) { Ok(()) } else { Err(self.unexpected(&format!("{word} is expected"))) }
    }

    /// Takes the symbol if it is next.
    pub(crate) fn symbol(&mut self, symbol: &Sql) -> bool {
        let found = self.peek() == Some(symbol);
        self.next += usize::from(found);
        found
    }

    /// Takes the symbol.
    ///
    /// # Errors
    /// `42601` if something else is next.
    pub(crate) fn expect_symbol(&mut self, symbol: &Sql) -> Result<(), SqlError> {
        if self.symbol(symbol) {
            Ok(())
        } else {
            Err(self.unexpected(&format!("\"{symbol}\" is expected")))
        }
    }

    /// A name: unquoted ones become lower case.
    ///
    /// # Errors
    /// `42601` if none is next, or an unquoted reserved word.
    pub(crate) fn identifier(&mut self) -> Result<String, SqlError> {
        match self.peek() {
            Some(Sql::Word(w)) if w.quote_style.is_some() => {
                self.next += 1;
                Ok(w.value.clone())
            }
            Some(Sql::Word(w)) if RESERVED.contains(&w.value.to_uppercase().as_str()) => {
                Err(self.unexpected(&format!("write \"{}\" to use it as a name", w.value)))
            }
            Some(Sql::Word(w)) => {
                self.next += 1;
                Ok(w.value.to_lowercase())
            }
            _ => Err(self.unexpected("a name is expected")),
        }
    }

    /// Name of a relation; its schema may stand before it. In `public` it has no dot.
    ///
    /// # Errors
    /// `42601`; `0A000` for a dot inside a name.
    pub(crate) fn name(&mut self) -> Result<String, SqlError> {
        let position = self.position();
        let first = self.identifier()?;
        if !self.symbol(&Sql::Period) {
            undotted(&first, position)?;
            return Ok(first);
        }
        let name = self.identifier()?;
        if self.peek() == Some(&Sql::Period) {
            return Err(SqlError::unsupported(
                "a name of three parts is not supported",
                "there is one database: write schema.table",
            )
            .at(position));
        }
        undotted(&first, position)?;
        undotted(&name, position)?;
        Ok(if first == "public" { name } else { format!("{first}.{name}") })
    }

    /// Name of a principal: a word or a string.
    ///
    /// # Errors
    /// `42601`.
    pub(crate) fn principal_name(&mut self) -> Result<String, SqlError> {
        if let Some(Sql::SingleQuotedString(name)) = self.peek() {
            self.next += 1;
            return Ok(name.clone());
        }
        self.identifier()
    }

    /// A comma here would start a list, which the statement does not take.
    ///
    /// # Errors
    /// `0A000`.
    pub(crate) fn refuse_list(&self, statement: &str) -> Result<(), SqlError> {
        if self.peek() == Some(&Sql::Comma) {
            return Err(SqlError::unsupported(
                format!("{statement} takes one name"),
                "write one statement for each",
            )
            .at(self.position()));
        }
        Ok(())
    }

    /// Nothing may follow.
    ///
    /// # Errors
    /// `42601`.
    pub(crate) fn end(&self) -> Result<(), SqlError> {
        if self.peek().is_none() { Ok(()) } else { Err(self.unexpected("")) }
    }

    /// `42601` at the next token. The message never quotes a literal.
    pub(crate) fn unexpected(&self, hint: &str) -> SqlError {
        let message = match self.peek() {
            None => "syntax error at end of input".to_owned(),
            Some(token) if is_literal(token) => "syntax error at a literal".to_owned(),
            Some(Sql::Word(w)) => format!("syntax error at or near \"{}\"", w.value),
            Some(token) => format!("syntax error at or near \"{token}\""),
        };
        SqlError::new(sqlstate::SYNTAX_ERROR, message).hint(hint).at(self.position())
    }
}

/// A dot separates a schema from what is in it.
fn undotted(name: &str, position: u32) -> Result<(), SqlError> {
    if !name.contains('.') {
        return Ok(());
    }
    Err(SqlError::unsupported("a dot in the name of a relation is not supported", "write another")
        .at(position))
}

/// Whether a token may hold data.
pub(crate) fn is_literal(token: &Sql) -> bool {
    !matches!(
        token,
        Sql::Word(_)
            | Sql::Comma
            | Sql::LParen
            | Sql::RParen
            | Sql::Period
            | Sql::Minus
            | Sql::Plus
            | Sql::Mul
            | Sql::Div
            | Sql::Mod
            | Sql::Eq
            | Sql::Lt
            | Sql::Gt
            | Sql::LtEq
            | Sql::GtEq
            | Sql::Neq
            | Sql::DoubleColon
            | Sql::Colon
            | Sql::LBracket
            | Sql::RBracket
    )
}
