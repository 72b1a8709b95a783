//! From lines and columns of the parser to the 1-based character positions of an error.

use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Token, Tokenizer};

/// Positions in one statement text.
pub(crate) struct Positions<'a> {
    sql: &'a str,
}

impl<'a> Positions<'a> {
    pub(crate) const fn new(sql: &'a str) -> Self {
        Self { sql }
    }

    /// 1-based character position of a 1-based line and column; 0 when there is no such place.
    pub(crate) fn character(&self, line: u64, column: u64) -> u32 {
        if line == 0 || column == 0 {
            return 0;
        }
        let (mut l, mut c) = (1_u64, 1_u64);
        for (index, ch) in self.sql.chars().enumerate() {
            if l == line && c == column {
                return u32::try_from(index + 1).unwrap_or(0);
            }
            if ch == '\n' {
                l += 1;
                c = 1;
            } else {
                c += 1;
            }
        }
        if l == line && c == column { self.end() } else { 0 }
    }

    /// Position just behind the last character.
    pub(crate) fn end(&self) -> u32 {
        u32::try_from(self.sql.chars().count() + 1).unwrap_or(0)
    }

    /// Position of the first identifier token with this value (as SQL folds it); 0 when none.
    pub(crate) fn identifier(&self, name: &str) -> u32 {
        self.token(|token| match token {
            Token::Word(word) if word.quote_style.is_some() => word.value == name,
            Token::Word(word) => word.value.to_lowercase() == name,
            _ => false,
        })
    }

    /// Position of the first token that `wanted` accepts; 0 when none.
    pub(crate) fn token(&self, wanted: impl Fn(&Token) -> bool) -> u32 {
        let dialect = PostgreSqlDialect {};
        let Ok(tokens) = Tokenizer::new(&dialect, self.sql).tokenize_with_location() else {
            return 0;
        };
        tokens
            .iter()
            .find(|t| wanted(&t.token))
            .map_or(0, |t| self.character(t.span.start.line, t.span.start.column))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_over_lines() {
        let p = Positions::new("select 'é',\n  nosuch\nfrom t");
        assert_eq!(p.character(1, 1), 1);
        assert_eq!(p.character(2, 3), 15);
        assert_eq!(p.identifier("nosuch"), 15);
        assert_eq!(p.identifier("absent"), 0);
        assert_eq!(p.character(9, 1), 0);
    }
}
