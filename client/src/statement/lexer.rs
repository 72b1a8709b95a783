//! Text into tokens with character positions, and tokens into statements at semicolons.

use crate::encode::Cell;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Token as Sql, TokenWithSpan, Tokenizer};
use std::fmt;
use trine_proto::schema::ColumnType;
use trine_proto::status::{SqlError, sqlstate};

/// One token (white space and comments are left out) and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    /// What it is.
    pub(crate) sql: Sql,
    /// Characters before it in the whole text.
    start: usize,
    /// Byte range in the whole text.
    bytes: (usize, usize),
}

impl Token {
    /// 1-based character position in the whole text.
    pub(crate) fn position(&self) -> u32 {
        u32::try_from(self.start + 1).unwrap_or(u32::MAX)
    }
}

/// One statement of a text: its tokens, without the semicolon.
#[derive(Clone, Debug)]
pub struct Fragment<'a> {
    whole: &'a str,
    tokens: Vec<Token>,
    end: usize,
    bindings: Option<Bindings>,
}

/// What the parameters of a prepared statement stand for.
#[derive(Clone)]
pub(crate) struct Bindings {
    /// Values of `$1`, `$2`, ….
    pub(crate) values: Vec<Cell>,
    /// Their declared types, as far as declared.
    pub(crate) types: Vec<ColumnType>,
}

impl fmt::Debug for Bindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bindings({} values)", self.values.len())
    }
}

impl<'a> Fragment<'a> {
    /// The same statement with values for its parameters.
    pub(crate) fn bound(self, bindings: Bindings) -> Self {
        Self { bindings: Some(bindings), ..self }
    }
    /// Values of its parameters, if it has any.
    pub(crate) const fn bindings(&self) -> Option<&Bindings> {
        self.bindings.as_ref()
    }
    /// The statement's own text, from its first token to its last.
    #[must_use]
    pub fn text(&self) -> &'a str {
        match (self.tokens.first(), self.tokens.last()) {
            (Some(first), Some(last)) => &self.whole[first.bytes.0..last.bytes.1],
            _ => "",
        }
    }
    /// The text of the tokens from `first` up to, not including, `end`.
    pub(crate) fn text_of(&self, first: usize, end: usize) -> &'a str {
        match (self.tokens.get(first), end.checked_sub(1).and_then(|last| self.tokens.get(last))) {
            (Some(a), Some(b)) if first < end => &self.whole[a.bytes.0..b.bytes.1],
            _ => "",
        }
    }
    /// Characters of the whole text before the statement.
    #[must_use]
    pub fn offset(&self) -> u32 {
        self.tokens.first().map_or(0, |t| u32::try_from(t.start).unwrap_or(u32::MAX))
    }
    /// Tokens in order; never empty.
    pub(crate) fn tokens(&self) -> &[Token] {
        &self.tokens
    }
    /// 1-based character position behind the last token.
    pub(crate) fn end_position(&self) -> u32 {
        u32::try_from(self.end + 1).unwrap_or(u32::MAX)
    }
}

/// Whether a token is this unquoted word (given in capitals).
pub(crate) fn is_word(token: &Sql, word: &str) -> bool {
    matches!(token, Sql::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
}

/// Cuts a text into its statements at the semicolons outside strings and comments. Empty
/// statements are left out.
///
/// # Errors
/// `42601` with the position: a string, quoted name or comment that does not end.
pub fn split(text: &str) -> Result<Vec<Fragment<'_>>, SqlError> {
    let mut spans = Vec::new();
    let dialect = PostgreSqlDialect {};
    let outcome = Tokenizer::new(&dialect, text).tokenize_with_location_into_buf(&mut spans);
    if let Err(e) = outcome {
        // The tokenizer points behind what it read; the token that does not end starts before.
        let mut places = Places::new(text);
        let last = spans.last().map_or((1, 1), |t| (t.span.end.line, t.span.end.column));
        let (start, _) = places.find(last.0, last.1);
        let position = u32::try_from(start + 1).unwrap_or(u32::MAX);
        let message = e.message.split(':').next().unwrap_or_default().trim();
        let mut message = message.trim_end_matches(" at").to_owned();
        if let Some(first) = message.get_mut(0..1) {
            first.make_ascii_lowercase();
        }
        return Err(SqlError::new(sqlstate::SYNTAX_ERROR, message).at(position));
    }
    Ok(cut_at_semicolons(text, spans))
}

/// Whether a text ends with a semicolon outside strings and comments (or holds nothing at all), so
/// that it can be run; a shell goes on reading lines until then.
#[must_use]
pub fn is_complete(text: &str) -> bool {
    let dialect = PostgreSqlDialect {};
    match Tokenizer::new(&dialect, text).tokenize() {
        Ok(tokens) => tokens
            .iter()
            .rev()
            .find(|t| !matches!(t, Sql::Whitespace(_) | Sql::EOF))
            .is_none_or(|last| *last == Sql::SemiColon),
        Err(_) => false,
    }
}

fn cut_at_semicolons(text: &str, spans: Vec<TokenWithSpan>) -> Vec<Fragment<'_>> {
    let mut places = Places::new(text);
    let mut fragments = Vec::new();
    let mut tokens: Vec<Token> = Vec::new();
    let mut end = 0;
    for span in spans {
        if matches!(span.token, Sql::Whitespace(_) | Sql::EOF) {
            continue;
        }
        let (start, first) = places.find(span.span.start.line, span.span.start.column);
        if span.token == Sql::SemiColon {
            if !tokens.is_empty() {
                let tokens = std::mem::take(&mut tokens);
                fragments.push(Fragment { whole: text, tokens, end, bindings: None });
            }
            continue;
        }
        let (after, last) = places.find(span.span.end.line, span.span.end.column);
        end = after;
        tokens.push(Token { sql: span.token, start, bytes: (first, last) });
    }
    if !tokens.is_empty() {
        fragments.push(Fragment { whole: text, tokens, end, bindings: None });
    }
    fragments
}

/// Walks a text once, turning ascending (line, column) into character and byte offsets.
struct Places<'a> {
    text: &'a str,
    line: u64,
    column: u64,
    characters: usize,
    byte: usize,
}

impl<'a> Places<'a> {
    const fn new(text: &'a str) -> Self {
        Self { text, line: 1, column: 1, characters: 0, byte: 0 }
    }

    /// (characters before, bytes before) of a 1-based line and column; the end of the text for what
    /// lies behind it. Each call must not lie before the last one.
    fn find(&mut self, line: u64, column: u64) -> (usize, usize) {
        for c in self.text[self.byte..].chars() {
            if (self.line, self.column) >= (line, column) {
                break;
            }
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
            self.characters += 1;
            self.byte += c.len_utf8();
        }
        (self.characters, self.byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_in_strings_and_comments_do_not_split() {
        let text = "select ';' ; -- a;b\n /* ; */ select \"x;y\";; select 'ä', 3";
        let parts = split(text).unwrap();
        let texts: Vec<_> = parts.iter().map(Fragment::text).collect();
        assert_eq!(texts, ["select ';'", "select \"x;y\"", "select 'ä', 3"]);
        assert_eq!(parts[2].offset() as usize, text.chars().position(|c| c == 'ä').unwrap() - 8);
        assert!(split(" ; -- nothing\n;").unwrap().is_empty());
    }

    #[test]
    fn a_text_is_complete_at_its_semicolon() {
        for text in ["select 1;", "select ';' ; -- done", "", " -- x\n"] {
            assert!(is_complete(text), "{text}");
        }
        for text in ["select 1", "select ';", "select 1 -- ;", "select /* ; "] {
            assert!(!is_complete(text), "{text}");
        }
    }

    #[test]
    fn every_token_stands_where_it_says() {
        let text = "SELECT a,\r\n  'é''x' AS \"Ü b\" FROM t\n\tWHERE a >= -1.5e3 -- end";
        let parts = split(text).unwrap();
        let pieces: Vec<_> =
            parts[0].tokens().iter().map(|t| &text[t.bytes.0..t.bytes.1]).collect();
        let expected = [
            "SELECT", "a", ",", "'é''x'", "AS", "\"Ü b\"", "FROM", "t", "WHERE", "a", ">=", "-",
            "1.5e3",
        ];
        assert_eq!(pieces, expected);
        for t in parts[0].tokens() {
            assert_eq!(text[..t.bytes.0].chars().count() + 1, t.position() as usize);
        }
    }

    #[test]
    fn what_does_not_end_is_pointed_at() {
        let e = split("select 1;\nselect 'abc").unwrap_err();
        assert_eq!((e.sqlstate.as_str(), e.position), ("42601", 18));
        assert!(!e.message.contains("abc"), "{e}");
        assert_eq!(split("select /* x").unwrap_err().position, 8);
        assert_eq!(split("select \"x").unwrap_err().position, 8);
    }
}
