//! UPDATE, DELETE and INSERT … SELECT: the nodes plan them, so that their text goes on, but values that
//! are written do not: the literals of SET, and constants in the select list of an INSERT, become
//! secret parameters `$1`, `$2`, …. Conditions are public, as in any SELECT.

use super::Statement;
use super::constant::constant;
use super::insert::Given;
use super::lexer::{Fragment, is_word};
use super::parser::{Parser, is_literal};
use super::prepare;
use super::returning;
use crate::encode::{Cell, parse_date};
use sqlparser::tokenizer::Token as Sql;
use std::fmt;
use trine_proto::catalog::in_schema;
use trine_proto::schema::ColumnType;
use trine_proto::status::SqlError;
use trine_proto::wire::WriteKind;

/// A statement that writes, without the values it writes.
#[derive(Clone, PartialEq)]
pub struct Write {
    /// INSERT, UPDATE, DELETE, TRUNCATE TABLE or REFRESH SHARES.
    pub tag: &'static str,
    /// Adds rows, or takes the place of all of them.
    pub kind: WriteKind,
    /// The table written to.
    pub table: String,
    /// Position of the table's name.
    pub position: u32,
    /// Target columns of an INSERT, if a list was written.
    pub columns: Option<Vec<(String, u32)>>,
    /// The text for the nodes.
    pub sql: String,
    /// The values of `$1`, `$2`, ….
    pub parameters: Vec<Parameter>,
    /// Where pieces of `sql` stand in the text given: (characters before in `sql`, in the text).
    places: Vec<(u32, u32)>,
}

/// A value that no node sees.
#[derive(Clone, PartialEq)]
pub struct Parameter {
    /// The value.
    pub given: Given,
    /// What column of the table it goes to; its type is the column's then.
    pub target: Target,
    /// Where it stood.
    pub position: u32,
}

/// See [`Parameter`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// This column.
    Column(String),
    /// The column at this place of an INSERT.
    Place(usize),
    /// None: a part of an expression.
    Expression,
    /// None, but it is compared with a column of this name.
    Like(String),
    /// None, but its type is declared.
    Type(ColumnType),
    /// The value that `excluded` has of this column: that of the row which is inserted.
    Excluded(String),
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Write({:?}, {} secret parameters)", self.sql, self.parameters.len())
    }
}

impl Write {
    /// An error whose position counts in `sql`, moved to where it belongs in the text given.
    #[must_use]
    pub fn placed(&self, error: SqlError) -> SqlError {
        placed(&self.places, error)
    }
}

/// A position in a rewritten text as one in the text given.
pub(super) fn placed(places: &[(u32, u32)], mut error: SqlError) -> SqlError {
    if let Some(before) = error.position.checked_sub(1) {
        let piece = places.iter().rev().find(|(start, _)| *start <= before);
        error.position = piece.map_or(0, |(start, origin)| before - start + origin + 1);
    }
    error
}

impl Write {
    /// A statement without parameters and with a text of our own.
    pub(super) fn whole(
        tag: &'static str,
        kind: WriteKind,
        table: String,
        position: u32,
        sql: String,
    ) -> Self {
        let (columns, parameters, places) = (None, Vec::new(), Vec::new());
        Self { tag, kind, table, position, columns, sql, parameters, places }
    }

    /// The INSERT that fills a table from a SELECT.
    #[must_use]
    pub fn filling(table: &str, sql: &str) -> Self {
        let sql = format!("INSERT INTO \"{}\" {sql}", table.replace('"', "\"\""));
        Self::whole("SELECT", WriteKind::Insert, table.to_owned(), 0, sql)
    }
}

/// DELETE FROM …: goes on as it is, up to RETURNING.
pub(super) fn delete(p: &mut Parser<'_>, fragment: &Fragment<'_>) -> Result<Statement, SqlError> {
    p.expect_word("DELETE")?;
    p.expect_word("FROM")?;
    let _ = p.word("ONLY");
    let position = p.position();
    let table = p.name()?;
    let mut redactor = Redactor::new(fragment);
    let returning = returning::place(fragment);
    redactor.end = returning.unwrap_or(redactor.end);
    let write = redactor.finish(("DELETE", WriteKind::Rewrite), table, position, None);
    match returning {
        Some(at) => returning::of_delete(write, fragment, at),
        None => Ok(Statement::Write(write)),
    }
}

/// TRUNCATE [TABLE] t: a DELETE of all rows.
pub(super) fn truncate(p: &mut Parser<'_>) -> Result<Write, SqlError> {
    p.expect_word("TRUNCATE")?;
    let _ = p.word("TABLE");
    let _ = p.word("ONLY");
    let position = p.position();
    let table = p.name()?;
    p.refuse_list("TRUNCATE")?;
    let _ = p.words(&["CONTINUE", "IDENTITY"]) || p.words(&["RESTART", "IDENTITY"]);
    let at = p.position();
    if p.cascade() {
        return Err(SqlError::unsupported(
            "TRUNCATE … CASCADE is not supported",
            "TRUNCATE the tables that refer to this one first",
        )
        .at(at));
    }
    p.end()?;
    let sql = format!("DELETE FROM \"{}\"", table.replace('"', "\"\""));
    Ok(Write::whole(TRUNCATE, WriteKind::Rewrite, table, position, sql))
}

/// What a TRUNCATE is answered with; the number of rows stays untold, as in PostgreSQL.
pub(crate) const TRUNCATE: &str = "TRUNCATE TABLE";

/// UPDATE … SET …: every literal of SET becomes a parameter.
pub(super) fn update(p: &mut Parser<'_>, fragment: &Fragment<'_>) -> Result<Statement, SqlError> {
    p.expect_word("UPDATE")?;
    let _ = p.word("ONLY");
    let position = p.position();
    let table = p.name()?;
    let mut alias = in_schema(&table).1.to_owned();
    if !p.words_follow(&["SET"]) {
        let _ = p.word("AS");
        alias = p.identifier()?;
    }
    p.expect_word("SET")?;
    let mut redactor = Redactor::new(fragment);
    let returning = returning::place(fragment);
    redactor.end = returning.unwrap_or(redactor.end);
    // What each column is set to, as a part of the text for the nodes.
    let mut assigned = Some(Vec::new());
    loop {
        if p.peek() == Some(&Sql::LParen) {
            assign_several(p, &mut redactor)?;
            assigned = None;
        } else {
            let column = p.identifier()?;
            p.expect_symbol(&Sql::Eq)?;
            let (from, to) = p.expression(&["WHERE", "FROM", "RETURNING", "ORDER", "LIMIT"])?;
            redactor.copy(from);
            let start = redactor.sql.len();
            redactor.expression(from, to, &Target::Column(column.clone()))?;
            redactor.copy(to);
            if let Some(assigned) = &mut assigned {
                assigned.push((column, start..redactor.sql.len()));
            }
        }
        if !p.symbol(&Sql::Comma) {
            break;
        }
    }
    let tail = redactor.sql.len();
    let write = redactor.finish(("UPDATE", WriteKind::Rewrite), table, position, None);
    match returning {
        Some(at) => {
            let changed = assigned.map(|assigned| returning::Changed::new(alias, assigned, tail));
            returning::of_update(write, fragment, at, changed)
        }
        None => Ok(Statement::Write(write)),
    }
}

/// `(a, b) = (…, …)`, `ROW (…, …)` or a subquery.
fn assign_several(p: &mut Parser<'_>, redactor: &mut Redactor<'_>) -> Result<(), SqlError> {
    let columns = p.name_list()?;
    p.expect_symbol(&Sql::Eq)?;
    if p.query_in_parentheses() {
        let (from, to) = p.expression(&["WHERE", "FROM", "RETURNING"])?;
        return redactor.expression(from, to, &Target::Expression);
    }
    let _ = p.word("ROW");
    let at = p.position();
    p.expect_symbol(&Sql::LParen)?;
    let mut given = 0;
    loop {
        let target = columns.get(given).map(|(name, _)| Target::Column(name.clone()));
        let (from, to) = p.expression(&[])?;
        redactor.expression(from, to, &target.unwrap_or(Target::Expression))?;
        given += 1;
        if !p.symbol(&Sql::Comma) {
            break;
        }
    }
    p.expect_symbol(&Sql::RParen)?;
    if given == columns.len() {
        return Ok(());
    }
    let message = "number of columns does not match number of values";
    Err(SqlError::new(trine_proto::status::sqlstate::SYNTAX_ERROR, message).at(at))
}

/// Words that end a select list.
const AFTER_LIST: [&str; 12] = [
    "FROM",
    "WHERE",
    "GROUP",
    "HAVING",
    "WINDOW",
    "UNION",
    "INTERSECT",
    "EXCEPT",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "FETCH",
];

/// The SELECT of an INSERT begins next: constants in its select lists become parameters.
pub(super) fn insert(
    p: &mut Parser<'_>,
    fragment: &Fragment<'_>,
    table: (String, u32),
    columns: Option<Vec<(String, u32)>>,
) -> Result<Write, SqlError> {
    let mut redactor = Redactor::new(fragment);
    let mut open = 0_usize;
    let mut around = 0_usize;
    let mut begun = false;
    while let Some(token) = p.peek() {
        match token {
            Sql::LParen if !begun => around += 1,
            Sql::LParen => open += 1,
            Sql::RParen if open > 0 => open -= 1,
            Sql::RParen => around = around.saturating_sub(1),
            token if open == 0 && is_word(token, "SELECT") => {
                begun = true;
                p.advance();
                let _ =
                    p.word("ALL") || (!p.words_follow(&["DISTINCT", "ON"]) && p.word("DISTINCT"));
                select_list(p, &mut redactor)?;
                continue;
            }
            _ => begun = true,
        }
        p.advance();
    }
    Ok(redactor.finish(("INSERT", WriteKind::Insert), table.0, table.1, columns))
}

/// INSERT … VALUES of what is no constant: every row becomes a SELECT, every literal in it a parameter.
/// The next token is the first parenthesis.
pub(super) fn insert_expressions(
    p: &mut Parser<'_>,
    fragment: &Fragment<'_>,
    table: (String, u32),
    columns: Option<Vec<(String, u32)>>,
) -> Result<Write, SqlError> {
    let mut redactor = Redactor::new(fragment);
    let tokens = fragment.tokens();
    let values = tokens.iter().position(|t| is_word(&t.sql, "VALUES")).unwrap_or(tokens.len());
    redactor.copy(values);
    let mut width = None;
    loop {
        let start = p.position();
        p.expect_symbol(&Sql::LParen)?;
        redactor.push(if width.is_none() { "SELECT " } else { "UNION ALL SELECT " });
        let mut cells = 0;
        loop {
            let (from, to) = p.expression(&[])?;
            if cells == 0 {
                // Without the parenthesis, and the comma before it.
                redactor.next = from;
            }
            if to == from + 1 && is_word(&tokens[from].sql, "DEFAULT") {
                return Err(SqlError::unsupported(
                    "DEFAULT beside values that are no constants is not supported",
                    "name the other columns only",
                )
                .at(tokens[from].position()));
            }
            redactor.expression(from, to, &Target::Place(cells))?;
            redactor.copy(to);
            redactor.end = to;
            cells += 1;
            if !p.symbol(&Sql::Comma) {
                break;
            }
        }
        p.expect_symbol(&Sql::RParen)?;
        if *width.get_or_insert(cells) != cells {
            let message = "VALUES lists must all be the same length";
            return Err(
                SqlError::new(trine_proto::status::sqlstate::SYNTAX_ERROR, message).at(start)
            );
        }
        if !p.symbol(&Sql::Comma) {
            break;
        }
    }
    let after = p.position();
    if let Some(word) = ["ON", "RETURNING"].into_iter().find(|w| p.word(w)) {
        let message =
            format!("INSERT … {word} is not supported beside values that are no constants");
        return Err(SqlError::unsupported(message, "leave the clause out").at(after));
    }
    p.end()?;
    Ok(redactor.finish(("INSERT", WriteKind::Insert), table.0, table.1, columns))
}

fn select_list(p: &mut Parser<'_>, redactor: &mut Redactor<'_>) -> Result<(), SqlError> {
    let mut place = Some(0);
    loop {
        let (from, mut to) = p.expression(&AFTER_LIST)?;
        let tokens = redactor.fragment.tokens();
        if to >= from + 2 && is_word(&tokens[to - 2].sql, "AS") {
            to -= 2;
        }
        if tokens[from..to].iter().any(|t| t.sql == Sql::Mul) && to - from <= 3 {
            // A wildcard: how many columns it stands for only the nodes know.
            place = None;
        } else if let Some(cell) = redactor.whole(from, to) {
            let target = place.map_or(Target::Expression, Target::Place);
            redactor.replace(from, to, Given::Cell(cell), target);
        }
        place = place.map(|n| n + 1);
        if !p.symbol(&Sql::Comma) {
            return Ok(());
        }
    }
}

/// Rewrites a statement from left to right.
pub(super) struct Redactor<'a> {
    fragment: &'a Fragment<'a>,
    sql: String,
    /// Characters of `sql`.
    written: u32,
    /// First token that is not copied yet.
    next: usize,
    /// The token behind the last one that belongs to the statement.
    end: usize,
    parameters: Vec<Parameter>,
    places: Vec<(u32, u32)>,
    /// Where the parameters stand in `sql`.
    marks: Vec<std::ops::Range<usize>>,
    /// Whether `excluded` stands for the row that is inserted.
    excluded: bool,
}

/// An expression with places for its values.
#[derive(Clone, PartialEq)]
pub(super) struct Template {
    /// The texts before, between and behind the parameters.
    texts: Vec<String>,
    parameters: Vec<Parameter>,
}

impl Template {
    /// Each text with the parameter behind it; the last has none.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (&str, Option<&Parameter>)> {
        let parameters = self.parameters.iter().map(Some).chain(std::iter::once(None));
        self.texts.iter().map(String::as_str).zip(parameters)
    }
}

impl<'a> Redactor<'a> {
    pub(super) fn new(fragment: &'a Fragment<'a>) -> Self {
        let (sql, parameters, places) = (String::new(), Vec::new(), Vec::new());
        let end = fragment.tokens().len();
        let marks = Vec::new();
        Self { fragment, sql, written: 0, next: 0, end, parameters, places, marks, excluded: false }
    }

    fn push(&mut self, text: &str) {
        self.sql.push_str(text);
        let more = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        self.written = self.written.saturating_add(more);
    }

    /// Copies what stands before a token; parameters that have values become secret ones.
    fn copy(&mut self, to: usize) {
        while let Some(index) = self.bound_before(to) {
            self.copy_text(index);
            if let Some(parameter) = prepare::parameter(self.fragment, index) {
                self.put(index + 1, parameter);
            }
            self.next = index + 1;
        }
        self.copy_text(to);
    }

    /// The next parameter that has a value.
    fn bound_before(&self, to: usize) -> Option<usize> {
        self.fragment.bindings()?;
        let tokens = self.fragment.tokens().get(self.next..to)?;
        let at = tokens.iter().position(|t| prepare::placeholder(&t.sql).is_some())?;
        Some(self.next + at)
    }

    fn copy_text(&mut self, to: usize) {
        if self.next < to {
            if let Some(first) = self.fragment.tokens().get(self.next) {
                self.places.push((self.written, first.position() - 1));
            }
            let text = self.fragment.text_of(self.next, to);
            self.push(text);
            self.push(" ");
            self.next = to;
        }
    }

    fn replace(&mut self, from: usize, to: usize, given: Given, target: Target) {
        self.copy(from);
        let position = self.fragment.tokens().get(from).map_or(0, super::lexer::Token::position);
        self.put(to, Parameter { given, target, position });
    }

    fn put(&mut self, to: usize, parameter: Parameter) {
        self.places.push((self.written, parameter.position.saturating_sub(1)));
        self.parameters.push(parameter);
        let name = format!("${} ", self.parameters.len());
        let start = self.sql.len();
        self.push(&name);
        self.marks.push(start..self.sql.len());
        self.next = to;
    }

    /// The tokens as one constant, if they are one.
    fn whole(&self, from: usize, to: usize) -> Option<Cell> {
        let mut p = Parser::between(self.fragment, from, to);
        let cell = constant(&mut p).ok()?;
        p.end().ok()?;
        Some(cell)
    }

    /// An expression alone, in which every literal and what is said of `excluded` is a value.
    pub(super) fn template(
        &mut self,
        from: usize,
        to: usize,
        target: &Target,
    ) -> Result<Template, SqlError> {
        (self.next, self.excluded) = (from, true);
        self.expression(from, to, target)?;
        self.copy(to);
        let mut texts = Vec::with_capacity(self.marks.len() + 1);
        let mut done = 0;
        for mark in &self.marks {
            texts.push(self.sql.get(done..mark.start).unwrap_or_default().to_owned());
            done = mark.end;
        }
        texts.push(self.sql.get(done..).unwrap_or_default().to_owned());
        Ok(Template { texts, parameters: std::mem::take(&mut self.parameters) })
    }

    /// An expression whose every literal is a value.
    fn expression(&mut self, from: usize, to: usize, target: &Target) -> Result<(), SqlError> {
        let tokens = self.fragment.tokens();
        if to == from + 1 && is_word(&tokens[from].sql, "DEFAULT") {
            self.replace(from, to, Given::Default, target.clone());
            return Ok(());
        }
        if let Some(cell) = self.whole(from, to) {
            self.replace(from, to, Given::Cell(cell), target.clone());
            return Ok(());
        }
        let mut at = from;
        while at < to {
            let token = &tokens[at];
            let follows = tokens.get(at + 1).map(|t| &t.sql).filter(|_| at + 1 < to);
            match &token.sql {
                sql if self.excluded
                    && is_word(sql, "EXCLUDED")
                    && follows == Some(&Sql::Period) =>
                {
                    if let Some(Sql::Word(name)) = tokens.get(at + 2).map(|t| &t.sql) {
                        let quoted = name.quote_style.is_some();
                        let name =
                            if quoted { name.value.clone() } else { name.value.to_lowercase() };
                        self.replace(at, at + 3, Given::Default, Target::Excluded(name));
                        at += 2;
                    }
                }
                Sql::Word(w) if w.quote_style.is_none() && follows == Some(&Sql::LParen) => {
                    // Digits of a type are no data.
                    if TYPES_WITH_DIGITS.contains(&w.value.to_uppercase().as_str()) {
                        while at + 1 < to && tokens[at].sql != Sql::RParen {
                            at += 1;
                        }
                    }
                }
                sql if is_word(sql, "INTERVAL") && follows.is_some_and(is_literal) => {
                    return Err(no_parameter("an INTERVAL", token.position()));
                }
                sql if is_word(sql, "TIMESTAMP") && follows.is_some_and(is_literal) => {
                    return Err(no_parameter("a TIMESTAMP", token.position()));
                }
                sql if is_word(sql, "DATE") => {
                    if let Some(Sql::SingleQuotedString(text)) = follows {
                        let days = parse_date(text.as_bytes()).map_err(|e| {
                            SqlError::new(e.sqlstate, e.reason).at(token.position())
                        })?;
                        let given = Given::Cell(Cell::Date(days));
                        self.replace(at, at + 2, given, Target::Expression);
                        at += 1;
                    }
                }
                // Copying takes care of it.
                sql if prepare::placeholder(sql).is_some() => {}
                sql => match self.whole(at, at + 1).filter(|_| is_literal(sql)) {
                    Some(cell) => {
                        self.replace(at, at + 1, Given::Cell(cell), Target::Expression);
                    }
                    None if is_literal(sql) && !OPERATORS.contains(sql) => {
                        return Err(no_parameter("this literal", token.position()));
                    }
                    None => {}
                },
            }
            at += 1;
        }
        Ok(())
    }

    /// The whole statement as it is but for its parameters: text, values, places.
    pub(super) fn all(mut self) -> (String, Vec<Parameter>, Vec<(u32, u32)>) {
        self.copy(self.end);
        (self.sql, self.parameters, self.places)
    }

    fn finish(
        mut self,
        (tag, kind): (&'static str, WriteKind),
        table: String,
        position: u32,
        columns: Option<Vec<(String, u32)>>,
    ) -> Write {
        self.copy(self.end);
        let Self { sql, parameters, places, .. } = self;
        Write { tag, kind, table, position, columns, sql, parameters, places }
    }
}

/// Types whose numbers in parentheses belong to the type.
const TYPES_WITH_DIGITS: [&str; 6] = ["DECIMAL", "NUMERIC", "DEC", "VARCHAR", "CHAR", "CHARACTER"];

/// Symbols that may hold no data, beyond those that the parser knows.
const OPERATORS: [Sql; 1] = [Sql::StringConcat];

fn no_parameter(what: &str, position: u32) -> SqlError {
    SqlError::unsupported(
        format!("{what} cannot stand in SET"),
        "literals of SET are secret: numbers, 'text' and DATE '2024-12-31' can be",
    )
    .at(position)
}
