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
pub(crate) struct Parser<'a> {
    tokens: &'a [Token],
    next: usize,
    end_position: u32,
}

impl<'a> Parser<'a> {
    /// At the first token.
    pub(crate) fn new(fragment: &'a Fragment<'_>) -> Self {
        Self { tokens: fragment.tokens(), next: 0, end_position: fragment.end_position() }
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

    /// Name of a table; `public.` may stand before it.
    ///
    /// # Errors
    /// `42601`; `0A000` for another schema.
    pub(crate) fn name(&mut self) -> Result<String, SqlError> {
        let position = self.position();
        let first = self.identifier()?;
        if !self.symbol(&Sql::Period) {
            return Ok(first);
        }
        if first != "public" {
            return Err(SqlError::unsupported(
                format!("schema \"{first}\" does not exist: there are no schemas"),
                "write the table's name alone",
            )
            .at(position));
        }
        self.identifier()
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

/// Whether a token may hold data.
fn is_literal(token: &Sql) -> bool {
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
