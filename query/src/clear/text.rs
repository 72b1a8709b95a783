//! Functions of texts, byte by byte.

use super::Beyond;
use crate::plan::{LikePattern, LikeToken, Literal, TextFunction};
use crate::types::Type;

/// NULL where an argument is.
pub(super) fn apply(
    function: &TextFunction,
    arguments: &[Literal],
    ty: &Type,
) -> Result<Literal, Beyond> {
    if let (TextFunction::Decimal { scale }, [Literal::Number(v)]) = (function, arguments) {
        return Ok(Literal::Text(decimal(*v, *scale as usize).into_bytes()));
    }
    let mut texts = Vec::with_capacity(arguments.len());
    for argument in arguments {
        match argument {
            Literal::Text(text) => texts.push(text.as_slice()),
            Literal::Null => {}
            _ => return Err(Beyond),
        }
    }
    if texts.len() < arguments.len() {
        return Ok(Literal::Null);
    }
    let x = *texts.first().ok_or(Beyond)?;
    let number = |n: usize| i128::try_from(n).map(Literal::Number).map_err(|_| Beyond);
    Ok(match function {
        TextFunction::Slice { start } => {
            let Type::Text { bytes } = ty else { return Err(Beyond) };
            let start = (*start as usize).min(x.len());
            let end = start.saturating_add(*bytes as usize).min(x.len());
            Literal::Text(x[start..end].to_vec())
        }
        TextFunction::Lower => Literal::Text(x.to_ascii_lowercase()),
        TextFunction::Upper => Literal::Text(x.to_ascii_uppercase()),
        TextFunction::IsAscii => Literal::Boolean(x.is_ascii()),
        TextFunction::Length => number(x.len())?,
        TextFunction::Like(pattern) => Literal::Boolean(like(x, pattern)),
        TextFunction::Position(needle) => number(place(x, needle, 0).map_or(0, |found| found + 1))?,
        TextFunction::TrimStart(set) => {
            let kept = x.iter().position(|b| !set.contains(b)).unwrap_or(x.len());
            Literal::Text(x[kept..].to_vec())
        }
        TextFunction::TrimEnd(set) => {
            let kept = x.iter().rposition(|b| !set.contains(b)).map_or(0, |last| last + 1);
            Literal::Text(x[..kept].to_vec())
        }
        TextFunction::Right(count) => {
            Literal::Text(x[x.len().saturating_sub(*count as usize)..].to_vec())
        }
        TextFunction::Decimal { .. } => return Err(Beyond),
        TextFunction::Concat => {
            let second = texts.get(1).ok_or(Beyond)?;
            Literal::Text([x, second].concat())
        }
    })
}

/// A number with `scale` digits behind the point.
fn decimal(value: i128, scale: usize) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let digits = format!("{:0>1$}", value.unsigned_abs(), scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// First place of a text from `from` on.
fn place(x: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let last = x.len().checked_sub(needle.len())?;
    (from..=last).find(|start| x[*start..].starts_with(needle))
}

fn stands(x: &[u8], piece: &[LikeToken], start: usize) -> bool {
    x.get(start..start + piece.len()).is_some_and(|bytes| {
        bytes.iter().zip(piece).all(|(byte, token)| match token {
            LikeToken::Byte(wanted) => byte == wanted,
            LikeToken::Any => true,
        })
    })
}

/// Each piece where it first fits behind the one before it; the last at the end, if that is asked for.
fn like(x: &[u8], pattern: &LikePattern) -> bool {
    let mut pieces = pattern.pieces.as_slice();
    let mut from = 0;
    if pattern.at_start {
        let Some((first, rest)) = pieces.split_first() else {
            return !pattern.at_end || x.is_empty();
        };
        if !stands(x, first, 0) {
            return false;
        }
        from = first.len();
        pieces = rest;
        if rest.is_empty() {
            return !pattern.at_end || from == x.len();
        }
    }
    let last = if pattern.at_end { pieces.split_last() } else { None };
    let (last, between) = last.map_or((None, pieces), |(last, between)| (Some(last), between));
    for piece in between {
        let Some(found) = (from..=x.len()).find(|start| stands(x, piece, *start)) else {
            return false;
        };
        from = found + piece.len();
    }
    last.is_none_or(|last| {
        x.len().checked_sub(last.len()).is_some_and(|start| start >= from && stands(x, last, start))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> LikePattern {
        let token = |c: u8| if c == b'_' { LikeToken::Any } else { LikeToken::Byte(c) };
        let pieces = text.split('%').filter(|p| !p.is_empty());
        LikePattern {
            pieces: pieces.map(|p| p.bytes().map(token).collect()).collect(),
            at_start: !text.starts_with('%'),
            at_end: !text.ends_with('%'),
        }
    }

    #[test]
    fn patterns_match_from_both_ends() {
        for (text, like_text, expected) in [
            ("abcabc", "a%c", true),
            ("abcabc", "%bc%bc", true),
            ("abc", "%bc%bc", false),
            ("abc", "a_c", true),
            ("abc", "a_", false),
            ("abc", "a_%", true),
            ("", "%", true),
            ("", "_%", false),
            ("aab", "%ab", true),
            ("ab", "ab%b", false),
        ] {
            assert_eq!(like(text.as_bytes(), &pattern(like_text)), expected, "{text} {like_text}");
        }
    }

    #[test]
    fn numbers_are_shown_with_their_digits() {
        for (value, scale, shown) in
            [(0, 0, "0"), (-7, 0, "-7"), (5, 2, "0.05"), (-1234, 2, "-12.34"), (100, 1, "10.0")]
        {
            assert_eq!(decimal(value, scale), shown);
        }
    }

    #[test]
    fn bytes_are_cut_and_put_together() {
        let text = |t: &str| Literal::Text(t.as_bytes().to_vec());
        let ty = Type::Text { bytes: 3 };
        let run = |f: &TextFunction, t: &str| apply(f, &[text(t)], &ty).unwrap();
        assert_eq!(run(&TextFunction::Slice { start: 2 }, "abcdefg"), text("cde"));
        assert_eq!(run(&TextFunction::Slice { start: 9 }, "abc"), text(""));
        assert_eq!(run(&TextFunction::Right(2), "abc"), text("bc"));
        assert_eq!(run(&TextFunction::TrimStart(b" x".to_vec()), " x a "), text("a "));
        assert_eq!(run(&TextFunction::TrimEnd(b" ".to_vec()), " a  "), text(" a"));
        assert_eq!(run(&TextFunction::Position(b"c".to_vec()), "abc"), Literal::Number(3));
        assert_eq!(run(&TextFunction::Position(b"z".to_vec()), "abc"), Literal::Number(0));
        let both = [text("a"), Literal::Null];
        assert_eq!(apply(&TextFunction::Concat, &both, &ty), Ok(Literal::Null));
    }
}
