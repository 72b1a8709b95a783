//! Names in the SQL texts that the catalog keeps (CHECK, views). The nodes' planner parses them; here it
//! is enough to know which words are names, so that renaming and dropping columns finds them.

use std::ops::Range;

/// Words that are no names unless quoted, as far as they occur in conditions.
const KEYWORDS: [&str; 30] = [
    "all",
    "and",
    "any",
    "as",
    "between",
    "case",
    "cast",
    "distinct",
    "else",
    "end",
    "escape",
    "false",
    "from",
    "ilike",
    "in",
    "is",
    "isnull",
    "like",
    "not",
    "notnull",
    "null",
    "or",
    "select",
    "similar",
    "some",
    "symmetric",
    "then",
    "true",
    "when",
    "where",
];

/// A word of a text, folded like a name.
struct Word {
    place: Range<usize>,
    name: String,
    quoted: bool,
    /// The character before it that is no space, and the one behind it.
    around: (Option<char>, Option<char>),
    /// Whether `AS` or `::` stands before it: it names a type or a result.
    labels: bool,
}

impl Word {
    /// Whether it can be the name of a column.
    fn is_column(&self) -> bool {
        let call = self.around.1 == Some('(');
        let typed_literal = self.around.1 == Some('\'');
        let keyword = KEYWORDS.contains(&self.name.as_str());
        (self.quoted || !(call || typed_literal || keyword)) && !self.labels
    }
}

/// Whether a column of this name may be meant in a text, by its name or by `*`.
pub(super) fn mentions(text: &str, column: &str) -> bool {
    let words = words(text);
    words.iter().any(|w| w.name == column && w.is_column()) || has_wildcard(text, &words)
}

/// The text with the column under another name.
pub(super) fn rename_column(text: &str, from: &str, to: &str) -> String {
    replace(text, to, |w| w.name == from && w.is_column() && w.around.1 != Some('.'))
}

/// The text with the table that qualifies columns under another name.
pub(super) fn rename_table(text: &str, from: &str, to: &str) -> String {
    replace(text, to, |w| w.name == from && w.around.1 == Some('.'))
}

fn replace(text: &str, to: &str, matches: impl Fn(&Word) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for word in words(text).into_iter().filter(|w| matches(w)) {
        out.push_str(&text[done..word.place.start]);
        out.push('"');
        out.push_str(&to.replace('"', "\"\""));
        out.push('"');
        done = word.place.end;
    }
    out.push_str(&text[done..]);
    out
}

/// `SELECT *`, `, *` or `t.*`, which stands for every column.
fn has_wildcard(text: &str, words: &[Word]) -> bool {
    let code = code(text);
    code.iter().enumerate().filter(|(_, (_, c))| *c == '*').any(|(i, (at, _))| {
        match code[..i].iter().rev().find(|(_, c)| !c.is_whitespace()) {
            Some((_, ',' | '.')) => true,
            Some((_, '(')) | None => false,
            Some(_) => words
                .iter()
                .rev()
                .find(|w| w.place.end <= *at)
                .filter(|w| text[w.place.end..*at].trim().is_empty() && !w.quoted)
                .is_some_and(|w| ["select", "distinct", "all"].contains(&w.name.as_str())),
        }
    })
}

/// The characters outside of strings and comments, with their places; a string is one `'`, a quoted
/// name is kept.
fn code(text: &str) -> Vec<(usize, char)> {
    let mut out = Vec::with_capacity(text.len());
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => {
                out.push((at, c));
                while let Some((_, c)) = chars.next() {
                    if c == '\'' && chars.next_if(|(_, next)| *next == '\'').is_none() {
                        break;
                    }
                }
            }
            '-' if chars.peek().is_some_and(|(_, next)| *next == '-') => {
                for (_, c) in chars.by_ref() {
                    if c == '\n' {
                        break;
                    }
                }
            }
            '/' if chars.peek().is_some_and(|(_, next)| *next == '*') => {
                let mut before = ' ';
                for (_, c) in chars.by_ref().skip(1) {
                    if before == '*' && c == '/' {
                        break;
                    }
                    before = c;
                }
            }
            '"' => {
                out.push((at, c));
                while let Some((at, c)) = chars.next() {
                    out.push((at, c));
                    if c != '"' {
                        continue;
                    }
                    match chars.next_if(|(_, next)| *next == '"') {
                        Some(doubled) => out.push(doubled),
                        None => break,
                    }
                }
            }
            _ => out.push((at, c)),
        }
    }
    out
}

fn words(text: &str) -> Vec<Word> {
    let code = code(text);
    let mut words: Vec<Word> = Vec::new();
    let mut i = 0;
    while i < code.len() {
        let (start, first) = code[i];
        let begin = i;
        let quoted = first == '"';
        if quoted {
            i += 1;
            while i < code.len() {
                if code[i].1 != '"' {
                    i += 1;
                } else if code.get(i + 1).is_some_and(|(_, c)| *c == '"') {
                    i += 2;
                } else {
                    break;
                }
            }
            i = (i + 1).min(code.len());
        } else if first.is_alphanumeric() || first == '_' {
            while i < code.len() && (code[i].1.is_alphanumeric() || "_$".contains(code[i].1)) {
                i += 1;
            }
        } else {
            i += 1;
            continue;
        }
        let number = first.is_ascii_digit();
        let end = code.get(i - 1).map_or(text.len(), |(at, c)| at + c.len_utf8());
        let raw = &text[start..end];
        let name = if quoted {
            let inner = raw.strip_prefix('"').unwrap_or(raw);
            inner.strip_suffix('"').unwrap_or(inner).replace("\"\"", "\"")
        } else {
            raw.to_lowercase()
        };
        let before = code[..begin].iter().rev().map(|(_, c)| *c).find(|c| !c.is_whitespace());
        let behind = code[i..].iter().map(|(_, c)| *c).find(|c| !c.is_whitespace());
        let adjacent = words.last().is_some_and(|w| {
            !w.quoted && w.name == "as" && text[w.place.end..start].trim().is_empty()
        });
        let labels = adjacent || before == Some(':');
        if !number {
            words.push(Word { place: start..end, name, quoted, around: (before, behind), labels });
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_their_names() {
        assert!(mentions("a > 0 and B < 3", "b"));
        assert!(mentions("t.a > 0", "a"));
        assert!(mentions("\"A b\" > 0", "A b"));
        for (text, column) in [
            ("a > 'b'", "b"),
            ("abs(a) > 0", "abs"),
            ("cast(a as date) > date '2024-01-01'", "date"),
            ("a::date > '2024-01-01'", "date"),
            ("a > 0 -- b\n", "b"),
            ("a > 0 /* b */", "b"),
            ("a > 0 and c < 1", "and"),
            ("a * 2 > 0", "b"),
            ("SELECT count(*) FROM t", "b"),
            ("\"B\" > 0", "b"),
        ] {
            assert!(!mentions(text, column), "{text}");
        }
        for text in ["SELECT * FROM t", "select distinct *", "SELECT a, * FROM t", "SELECT t.*"] {
            assert!(mentions(text, "b"), "{text}");
        }
    }

    #[test]
    fn names_change_and_literals_stay() {
        assert_eq!(
            rename_column("a > 0 AND t.a <> 'a'", "a", "b c"),
            "\"b c\" > 0 AND t.\"b c\" <> 'a'"
        );
        assert_eq!(rename_column("\"a\"\"b\" = a(a)", "a\"b", "x"), "\"x\" = a(a)");
        assert_eq!(rename_table("t.a > t", "t", "u"), "\"u\".a > t");
    }
}
