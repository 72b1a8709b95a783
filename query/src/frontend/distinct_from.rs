//! `a IS DISTINCT FROM b AND c` is `(a IS DISTINCT FROM b) AND c`, but the parser takes everything
//! after FROM for the right side. Its tokens get the parentheses that PostgreSQL's grammar implies.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// Puts the right side of every IS [NOT] DISTINCT FROM in parentheses.
pub(super) fn parenthesise(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let starts = starts(&tokens);
    if starts.is_empty() {
        return tokens;
    }
    let mut out = Vec::with_capacity(tokens.len() + 2 * starts.len());
    // Ends of operands that are open, innermost last.
    let mut ends: Vec<usize> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        while ends.last() == Some(&at) {
            ends.pop();
            out.push(TokenWithSpan { token: Token::RParen, span: token.span });
        }
        if starts.binary_search(&at).is_ok() {
            out.push(TokenWithSpan { token: Token::LParen, span: token.span });
            ends.push(end(&tokens, at));
        }
        out.push(token.clone());
    }
    let last = tokens.last().map(|t| t.span);
    for span in ends.iter().filter_map(|_| last) {
        out.push(TokenWithSpan { token: Token::RParen, span });
    }
    out
}

fn keyword(token: &TokenWithSpan) -> Keyword {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

fn is_space(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(_))
}

/// Where the operands begin: after IS [NOT] DISTINCT FROM.
fn starts(tokens: &[TokenWithSpan]) -> Vec<usize> {
    let solid: Vec<usize> = (0..tokens.len()).filter(|&i| !is_space(&tokens[i])).collect();
    let word = |i: usize| solid.get(i).map_or(Keyword::NoKeyword, |&at| keyword(&tokens[at]));
    let begins = |i: usize| {
        let before = if i > 0 { word(i - 1) } else { Keyword::NoKeyword };
        let is =
            before == Keyword::IS || before == Keyword::NOT && i > 1 && word(i - 2) == Keyword::IS;
        is && word(i) == Keyword::DISTINCT && word(i + 1) == Keyword::FROM
    };
    let after = |i: usize| solid.get(i + 2).copied();
    (0..solid.len()).filter(|&i| begins(i)).filter_map(after).collect()
}

/// Where the operand that begins at `start` ends: before whatever binds less tightly.
fn end(tokens: &[TokenWithSpan], start: usize) -> usize {
    use Keyword as K;
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match (&token.token, keyword(token)) {
            (Token::LParen | Token::LBracket, _) | (_, K::CASE) => depth += 1,
            (Token::RParen | Token::RBracket, _) | (_, K::END) if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            // LEFT and RIGHT are functions, too.
            (_, K::LEFT | K::RIGHT) if is_call(tokens, at) => {}
            (Token::RParen | Token::RBracket | Token::Comma | Token::SemiColon | Token::EOF, _) => {
                return at;
            }
            (_, word) if LOOSER.contains(&word) => return at,
            _ => {}
        }
    }
    tokens.len()
}

fn is_call(tokens: &[TokenWithSpan], at: usize) -> bool {
    let next = tokens.iter().skip(at + 1).find(|t| !is_space(t));
    next.is_some_and(|t| t.token == Token::LParen)
}

/// Words that end an operand: operators that bind less tightly, and what follows an expression.
const LOOSER: [Keyword; 32] = [
    Keyword::AND,
    Keyword::OR,
    Keyword::IS,
    Keyword::THEN,
    Keyword::WHEN,
    Keyword::ELSE,
    Keyword::END,
    Keyword::AS,
    Keyword::FROM,
    Keyword::WHERE,
    Keyword::GROUP,
    Keyword::HAVING,
    Keyword::WINDOW,
    Keyword::ORDER,
    Keyword::LIMIT,
    Keyword::OFFSET,
    Keyword::FETCH,
    Keyword::UNION,
    Keyword::INTERSECT,
    Keyword::EXCEPT,
    Keyword::JOIN,
    Keyword::INNER,
    Keyword::LEFT,
    Keyword::RIGHT,
    Keyword::FULL,
    Keyword::CROSS,
    Keyword::NATURAL,
    Keyword::ON,
    Keyword::USING,
    Keyword::ASC,
    Keyword::DESC,
    Keyword::NULLS,
];

#[cfg(test)]
mod tests {
    use super::*;
    use sqlparser::dialect::PostgreSqlDialect;
    use sqlparser::parser::Parser;
    use sqlparser::tokenizer::Tokenizer;

    fn parsed(sql: &str) -> String {
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location().unwrap();
        let mut parser =
            Parser::new(&PostgreSqlDialect {}).with_tokens_with_locations(parenthesise(tokens));
        parser.parse_statements().unwrap()[0].to_string()
    }

    #[test]
    fn the_right_side_ends_where_something_looser_begins() {
        for (sql, expected) in [
            (
                "SELECT a IS DISTINCT FROM b AND c IS NOT DISTINCT FROM d + 1 OR e",
                "SELECT a IS DISTINCT FROM (b) AND c IS NOT DISTINCT FROM (d + 1) OR e",
            ),
            (
                "SELECT CASE WHEN a IS DISTINCT FROM f(b, c) THEN 1 END FROM t",
                "SELECT CASE WHEN a IS DISTINCT FROM (f(b, c)) THEN 1 END FROM t",
            ),
            (
                "SELECT a IS DISTINCT FROM CASE WHEN x AND y THEN 1 ELSE 2 END AS z",
                "SELECT a IS DISTINCT FROM (CASE WHEN x AND y THEN 1 ELSE 2 END) AS z",
            ),
            (
                "SELECT 1 WHERE NOT (a IS DISTINCT FROM (b IS DISTINCT FROM c AND d)) GROUP BY 1",
                "SELECT 1 WHERE NOT (a IS DISTINCT FROM ((b IS DISTINCT FROM (c) AND d))) GROUP BY 1",
            ),
            (
                "SELECT 1 FROM t JOIN u ON a IS DISTINCT FROM left(b, 2) LEFT JOIN v ON TRUE",
                "SELECT 1 FROM t JOIN u ON a IS DISTINCT FROM (left(b, 2)) LEFT JOIN v ON true",
            ),
            ("SELECT DISTINCT a FROM t", "SELECT DISTINCT a FROM t"),
        ] {
            assert_eq!(parsed(sql), expected);
        }
    }
}
