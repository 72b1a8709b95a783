//! Functions of VARCHAR and LIKE. Bytes are exact whatever they encode; what counts characters is
//! computed for ASCII and fails, for the client to see, where a text is not.

use super::build;
use super::math::{integer, text};
use super::numbers::{bounded, overflow};
use super::scalar::Scope;
use super::{Planner, dictionary};
use crate::plan::{
    Compare, Expr, ExprKind, Failure, LikePattern, LikeToken, Literal, TextFunction,
};
use crate::types::{NumberKind, Type};
use datafusion_expr::Expr as Logical;
use datafusion_expr::expr::Like;
use trine_proto::schema::VARCHAR_BYTES_MAX;
use trine_proto::status::{SqlError, sqlstate};

type Built = Result<Expr, SqlError>;

impl Planner<'_> {
    /// A function of texts; none if it is none of those that are computed.
    pub(super) fn text_function(
        &self,
        name: &str,
        args: &[Logical],
        scope: &Scope<'_>,
    ) -> Option<Built> {
        const KNOWN: [&str; 16] = [
            "substr",
            "left",
            "right",
            "lower",
            "upper",
            "character_length",
            "octet_length",
            "btrim",
            "ltrim",
            "rtrim",
            "concat",
            "strpos",
            "starts_with",
            "ends_with",
            "contains",
            "bit_length",
        ];
        if !KNOWN.contains(&name) {
            return None;
        }
        let first = args.first()?;
        let values = match self.all(args, scope) {
            Ok(values) => values,
            Err(error) => return Some(Err(error)),
        };
        let values: Vec<Expr> = values.into_iter().map(dictionary::to_text).collect();
        let value = values.first()?.clone();
        if !matches!(value.ty, Type::Text { .. }) {
            return None;
        }
        let built = match (name, args) {
            ("substr", [_, start]) => substring(value, integer(start)??, None),
            ("substr", [_, start, count]) => {
                substring(value, integer(start)??, Some(integer(count)??))
            }
            ("left", [_, count]) => substring(value, 1, Some(integer(count)??)),
            ("right", [_, count]) => right(value, integer(count)??),
            ("lower", [_]) => ascii_only(value, |x| same_length(x, TextFunction::Lower)),
            ("upper", [_]) => ascii_only(value, |x| same_length(x, TextFunction::Upper)),
            ("character_length", [_]) => ascii_only(value, length),
            ("octet_length", [_]) => length(value),
            ("bit_length", [_]) => length(value).and_then(|n| build::times(n, 8, NumberKind::Int)),
            ("btrim" | "ltrim" | "rtrim", [_]) => trimmed(value, name, b" "),
            ("btrim" | "ltrim" | "rtrim", [_, set]) if text(set)?.is_ascii() => {
                trimmed(value, name, text(set)?.as_bytes())
            }
            ("concat", _) => {
                // NULL counts as the empty text.
                let filled = values.into_iter().map(|v| {
                    if build::is_null_literal(&v) { Ok(build::text(b"")) } else { build::filled(v) }
                });
                filled.collect::<Result<Vec<Expr>, SqlError>>().and_then(|all| concatenated(&all))
            }
            ("strpos", [_, needle]) => {
                let needle = text(needle)?.to_owned();
                ascii_only(value, |x| position(x, needle.as_bytes()))
            }
            ("starts_with", [_, part]) => Ok(matches(value, &[text(part)?], true, false)),
            ("ends_with", [_, part]) => Ok(matches(value, &[text(part)?], false, true)),
            ("contains", [_, part]) => Ok(matches(value, &[text(part)?], false, false)),
            _ => return None,
        };
        Some(built.map_err(|e| self.put(e, first)))
    }

    /// x || y; NULL where a side is.
    pub(super) fn concatenation(
        &self,
        left: &Logical,
        right: &Logical,
        scope: &Scope<'_>,
    ) -> Option<Built> {
        let values = match self.all(&[left.clone(), right.clone()], scope) {
            Ok(values) => values,
            Err(error) => return Some(Err(error)),
        };
        let values: Vec<Expr> = values.into_iter().map(dictionary::to_text).collect();
        if values.iter().any(|v| !matches!(v.ty, Type::Text { .. })) {
            return None;
        }
        Some(concatenated(&values).map_err(|e| self.put(e, left)))
    }

    /// LIKE of a VARCHAR with a public pattern.
    pub(super) fn like_text(&self, like: &Like, scope: &Scope<'_>) -> Option<Built> {
        let Logical::Literal(pattern, _) = like.pattern.as_ref() else { return None };
        let value = match self.scalar(&like.expr, scope) {
            Ok(value) => dictionary::to_text(value),
            Err(error) => return Some(Err(error)),
        };
        if build::is_null_literal(&value) || pattern.is_null() {
            return Some(Ok(build::null(Type::Boolean)));
        }
        if !matches!(value.ty, Type::Text { .. }) {
            return None;
        }
        let pattern = text(&like.pattern)?;
        let found = matched(value, pattern, like.escape_char, like.case_insensitive);
        Some(found.map(|found| if like.negated { build::not(found) } else { found }))
    }
}

fn bytes_of(expr: &Expr) -> usize {
    match &expr.ty {
        Type::Text { bytes } => *bytes as usize,
        _ => 0,
    }
}

fn text_type(bytes: usize) -> Result<Type, SqlError> {
    let bytes = u32::try_from(bytes.max(1)).map_err(|_| overflow())?;
    if bytes > VARCHAR_BYTES_MAX {
        return Err(SqlError::new(
            sqlstate::LIMIT_EXCEEDED,
            format!("a text could be longer than {VARCHAR_BYTES_MAX} bytes"),
        )
        .hint("take a part of it with substring, or declare shorter columns"));
    }
    Ok(Type::Text { bytes })
}

fn function(function: TextFunction, arguments: Vec<Expr>, ty: Type) -> Expr {
    let nullable = arguments.iter().any(|a| a.nullable);
    Expr { kind: ExprKind::Text { function, arguments }, ty, nullable }
}

fn constant(expr: &Expr) -> Option<&[u8]> {
    match build::literal(expr)? {
        Literal::Text(text) => Some(text),
        _ => None,
    }
}

fn same_length(x: Expr, of: TextFunction) -> Built {
    let ty = x.ty.clone();
    Ok(function(of, vec![x], ty))
}

/// A function that is right for ASCII only.
fn ascii_only(value: Expr, make: impl FnOnce(Expr) -> Built) -> Built {
    if build::is_null_literal(&value) || constant(&value).is_some_and(<[u8]>::is_ascii) {
        return make(value);
    }
    build::bind(vec![value], |values| {
        let [x] = values else { return Err(overflow()) };
        Ok(only_if_ascii(make(x.clone())?, x.clone()))
    })
}

fn only_if_ascii(value: Expr, of: Expr) -> Expr {
    let ascii = function(TextFunction::IsAscii, vec![of], Type::Boolean);
    build::checked(value, build::not(ascii), Failure::NotAscii)
}

fn length(x: Expr) -> Built {
    let most = i128::try_from(bytes_of(&x)).map_err(|_| overflow())?;
    let ty = bounded(NumberKind::Int, Some(0), Some(most))?;
    Ok(function(TextFunction::Length, vec![x], ty))
}

/// Characters start.. of a text, `count` of them at most. Local, but for the check that what is
/// counted is ASCII.
fn substring(value: Expr, start: i128, count: Option<i128>) -> Built {
    if count.is_some_and(|count| count < 0) {
        return Err(SqlError::new("22011", "negative substring length not allowed"));
    }
    let bytes = i128::try_from(bytes_of(&value)).map_err(|_| overflow())?;
    let end = count.map_or(bytes + 1, |count| start.saturating_add(count)).min(bytes + 1);
    let start = start.max(1);
    if build::is_null_literal(&value) {
        return Ok(build::null(Type::Text { bytes: 1 }));
    }
    if end <= start {
        let ty = Type::Text { bytes: 1 };
        return Ok(function(TextFunction::Slice { start: VARCHAR_BYTES_MAX }, vec![value], ty));
    }
    if start == 1 && end == bytes + 1 && count.is_none() {
        return Ok(value);
    }
    let size = |n: i128| usize::try_from(n).map_err(|_| overflow());
    let (from, kept) = (size(start - 1)?, size(end - start)?);
    build::bind(vec![value], |values| {
        let [x] = values else { return Err(overflow()) };
        let slice = |from: usize, kept: usize| -> Built {
            let start = u32::try_from(from).map_err(|_| overflow())?;
            let ty = text_type(kept)?;
            Ok(function(TextFunction::Slice { start }, vec![x.clone()], ty))
        };
        Ok(only_if_ascii(slice(from, kept)?, slice(0, from + kept)?))
    })
}

fn right(value: Expr, count: i128) -> Built {
    let bytes = i128::try_from(bytes_of(&value)).map_err(|_| overflow())?;
    if count < 0 {
        return Err(SqlError::unsupported(
            "right with a negative length is not supported",
            "use substring with a start",
        ));
    }
    if count == 0 {
        return substring(value, 1, Some(0));
    }
    if count >= bytes {
        return Ok(value);
    }
    let kept = usize::try_from(count).map_err(|_| overflow())?;
    let number = u32::try_from(count).map_err(|_| overflow())?;
    ascii_only(value, |x| Ok(function(TextFunction::Right(number), vec![x], text_type(kept)?)))
}

fn trimmed(value: Expr, name: &str, set: &[u8]) -> Built {
    let mut value = value;
    if name != "ltrim" {
        value = same_length(value, TextFunction::TrimEnd(set.to_vec()))?;
    }
    if name != "rtrim" {
        value = same_length(value, TextFunction::TrimStart(set.to_vec()))?;
    }
    Ok(value)
}

fn concatenated(values: &[Expr]) -> Built {
    let mut all = values.iter().cloned();
    let Some(mut joined) = all.next() else { return Ok(build::text(b"")) };
    for next in all {
        if build::is_null_literal(&joined) || build::is_null_literal(&next) {
            return Ok(build::null(Type::Text { bytes: 1 }));
        }
        if let (Some(x), Some(y)) = (constant(&joined), constant(&next)) {
            joined = build::text(&[x, y].concat());
            continue;
        }
        if constant(&next).is_some_and(<[u8]>::is_empty) {
            continue;
        }
        if constant(&joined).is_some_and(<[u8]>::is_empty) {
            joined = next;
            continue;
        }
        let length = constant(&next).map_or_else(|| bytes_of(&next), <[u8]>::len);
        let ty = text_type(bytes_of(&joined) + length)?;
        joined = function(TextFunction::Concat, vec![joined, next], ty);
    }
    Ok(joined)
}

fn position(x: Expr, needle: &[u8]) -> Built {
    let most = i128::try_from(bytes_of(&x)).map_err(|_| overflow())?.max(1);
    let ty = bounded(NumberKind::Int, Some(0), Some(most))?;
    Ok(function(TextFunction::Position(needle.to_vec()), vec![x], ty))
}

/// Pieces in this order, at the start or the end if that is asked for.
fn matches(value: Expr, pieces: &[&str], at_start: bool, at_end: bool) -> Expr {
    let pieces: Vec<Vec<LikeToken>> = pieces
        .iter()
        .filter(|p| !p.is_empty())
        .map(|p| p.bytes().map(LikeToken::Byte).collect())
        .collect();
    if pieces.is_empty() {
        return present(value);
    }
    let pattern = LikePattern { pieces, at_start, at_end };
    function(TextFunction::Like(pattern), vec![value], Type::Boolean)
}

/// TRUE, or NULL where the value is.
fn present(value: Expr) -> Expr {
    if !value.nullable {
        return build::boolean(true);
    }
    let is_null = build::is_null(value);
    build::or(vec![build::not(is_null), build::null(Type::Boolean)])
}

fn matched(value: Expr, pattern: &str, escape: Option<char>, any_case: bool) -> Built {
    let (pattern, any) = parsed(pattern, escape, any_case)?;
    let pieces = &pattern.pieces;
    if pieces.is_empty() && !pattern.at_start {
        return Ok(present(value));
    }
    if any_case {
        return ascii_only(value, |x| {
            let lower = same_length(x, TextFunction::Lower)?;
            Ok(function(TextFunction::Like(pattern), vec![lower], Type::Boolean))
        });
    }
    if any {
        return ascii_only(value, |x| {
            Ok(function(TextFunction::Like(pattern), vec![x], Type::Boolean))
        });
    }
    let plain: Vec<u8> = pieces
        .iter()
        .flatten()
        .filter_map(|token| match token {
            LikeToken::Byte(byte) => Some(*byte),
            LikeToken::Any => None,
        })
        .collect();
    match (pattern.at_start, pattern.at_end, pieces.len()) {
        (true, true, 0 | 1) => build::compare(Compare::Eq, value, build::text(&plain)),
        (true, false, 1) => prefixed(value, &plain),
        _ => Ok(function(TextFunction::Like(pattern), vec![value], Type::Boolean)),
    }
}

/// Texts with a prefix: a comparison of the first bytes.
fn prefixed(value: Expr, prefix: &[u8]) -> Built {
    if prefix.len() > bytes_of(&value) {
        // FALSE, or NULL where the value is.
        let nothing = build::null(Type::Boolean);
        return Ok(build::and(vec![build::is_null(value), nothing]));
    }
    let ty = text_type(prefix.len())?;
    let front = function(TextFunction::Slice { start: 0 }, vec![value], ty);
    build::compare(Compare::Eq, front, build::text(prefix))
}

/// The pieces of a pattern, and whether one of them has an underscore.
fn parsed(
    pattern: &str,
    escape: Option<char>,
    lower: bool,
) -> Result<(LikePattern, bool), SqlError> {
    let escape = escape.unwrap_or('\\');
    let mut pieces: Vec<Vec<LikeToken>> = vec![Vec::new()];
    let mut any = false;
    let mut percent_first = false;
    let mut percent_last = false;
    let mut characters = pattern.chars();
    while let Some(next) = characters.next() {
        percent_last = false;
        let token = match next {
            '%' => {
                percent_first |= pieces.len() == 1 && pieces[0].is_empty();
                percent_last = true;
                if pieces.last().is_some_and(|p| !p.is_empty()) {
                    pieces.push(Vec::new());
                }
                continue;
            }
            '_' => None,
            c if c == escape => Some(characters.next().ok_or_else(|| {
                SqlError::new("22025", "LIKE pattern must not end with escape character")
            })?),
            c => Some(c),
        };
        let Some(piece) = pieces.last_mut() else { continue };
        match token {
            None => {
                any = true;
                piece.push(LikeToken::Any);
            }
            Some(c) => {
                let c = if lower { c.to_ascii_lowercase() } else { c };
                let mut bytes = [0; 4];
                piece.extend(c.encode_utf8(&mut bytes).bytes().map(LikeToken::Byte));
            }
        }
    }
    pieces.retain(|p| !p.is_empty());
    Ok((LikePattern { pieces, at_start: !percent_first, at_end: !percent_last }, any))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(pattern: &str) -> (Vec<usize>, bool, bool, bool) {
        let (p, any) = parsed(pattern, None, false).unwrap();
        (p.pieces.iter().map(Vec::len).collect(), p.at_start, p.at_end, any)
    }

    #[test]
    fn patterns_are_cut_at_percent_signs() {
        assert_eq!(shape("abc"), (vec![3], true, true, false));
        assert_eq!(shape("abc%"), (vec![3], true, false, false));
        assert_eq!(shape("%abc"), (vec![3], false, true, false));
        assert_eq!(shape("%%a%_b%%"), (vec![1, 2], false, false, true));
        assert_eq!(shape("a%b"), (vec![1, 1], true, true, false));
        assert_eq!(shape("%"), (vec![], false, false, false));
        assert_eq!(shape(""), (vec![], true, true, false));
        assert_eq!(shape("10\\%\\_"), (vec![4], true, true, false));
        assert!(parsed("a\\", None, false).is_err());
    }
}
