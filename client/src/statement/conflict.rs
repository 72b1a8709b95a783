//! INSERT … VALUES … ON CONFLICT. The client knows the rows, and says nothing of them: an INSERT … SELECT
//! of secret parameters adds those whose key the table does not have, and before it, in the same
//! transaction, an UPDATE by secret keys changes those that it has. What is known here, such as which
//! rows repeat a key of the statement itself, travels as one more secret parameter.

use super::Statement;
use super::insert::{Given, Insert};
use super::lexer::Fragment;
use super::parser::Parser;
use super::write::{Parameter, Redactor, Target, Template, Write};
use crate::catalog::TableDefinition;
use crate::encode::{Cell, ColumnEncoder};
use crate::upload::arrange;
use sqlparser::tokenizer::Token as Sql;
use std::fmt;
use trine_proto::catalog::in_schema;
use trine_proto::schema::{ColumnType, TableSchema};
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire::WriteKind;

/// Rows of a statement at most: each is a part of its text.
const ROWS_MAX: usize = 256;

/// An INSERT with ON CONFLICT. The cells are data: [`fmt::Debug`] shows shapes only.
#[derive(Clone, PartialEq)]
pub struct Upsert {
    insert: Insert,
    /// What the table is called in SET and WHERE.
    alias: String,
    arbiter: Arbiter,
    /// Position of ON CONFLICT.
    position: u32,
    /// DO UPDATE; none: DO NOTHING.
    update: Option<Update>,
}

/// Which conflicts are meant.
#[derive(Clone, PartialEq)]
enum Arbiter {
    /// With any key.
    Any,
    /// With the key of just these columns.
    Columns(Vec<(String, u32)>),
    /// With the constraint of this name.
    Constraint(String, u32),
}

#[derive(Clone, PartialEq)]
struct Update {
    /// Column, position of its name, new value.
    assignments: Vec<(String, u32, Template)>,
    condition: Option<Template>,
}

impl fmt::Debug for Upsert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.update.is_some() { "DO UPDATE" } else { "DO NOTHING" };
        write!(f, "Upsert({:?}, {what})", self.insert)
    }
}

/// ON CONFLICT, if it follows the rows of an INSERT.
pub(super) fn parse(
    p: &mut Parser<'_>,
    fragment: &Fragment<'_>,
    insert: Insert,
    alias: Option<String>,
) -> Result<Statement, SqlError> {
    let position = p.position();
    p.expect_word("ON")?;
    p.expect_word("CONFLICT")?;
    let arbiter = arbiter(p)?;
    p.expect_word("DO")?;
    let update = if p.word("NOTHING") {
        None
    } else {
        let at = p.position();
        p.expect_word("UPDATE")?;
        p.expect_word("SET")?;
        if arbiter == Arbiter::Any {
            return Err(SqlError::new(
                sqlstate::SYNTAX_ERROR,
                "ON CONFLICT DO UPDATE requires inference specification or constraint name",
            )
            .hint("for example, ON CONFLICT (column_name)")
            .at(at));
        }
        Some(update(p, fragment)?)
    };
    let at = p.position();
    if p.word("RETURNING") {
        return Err(SqlError::unsupported(
            "RETURNING beside ON CONFLICT is not supported",
            "SELECT the rows afterwards",
        )
        .at(at));
    }
    p.end()?;
    let alias = alias.unwrap_or_else(|| in_schema(&insert.table).1.to_owned());
    Ok(Statement::Upsert(Upsert { insert, alias, arbiter, position, update }))
}

fn arbiter(p: &mut Parser<'_>) -> Result<Arbiter, SqlError> {
    if p.words(&["ON", "CONSTRAINT"]) {
        let at = p.position();
        return Ok(Arbiter::Constraint(p.identifier()?, at));
    }
    if p.peek() != Some(&Sql::LParen) {
        return Ok(Arbiter::Any);
    }
    let columns = p.name_list()?;
    if p.words_follow(&["WHERE"]) {
        return Err(SqlError::unsupported(
            "ON CONFLICT over some of the rows is not supported",
            "leave WHERE out: a key holds for all rows",
        )
        .at(p.position()));
    }
    Ok(Arbiter::Columns(columns))
}

fn update(p: &mut Parser<'_>, fragment: &Fragment<'_>) -> Result<Update, SqlError> {
    let ends = ["WHERE", "RETURNING"];
    let template = |(from, to): (usize, usize), target: &Target| {
        let mut redactor = Redactor::new(fragment);
        redactor.template(from, to, target)
    };
    let mut assignments = Vec::new();
    loop {
        let at = p.position();
        if p.peek() == Some(&Sql::LParen) {
            let columns = p.name_list()?;
            p.expect_symbol(&Sql::Eq)?;
            let _ = p.word("ROW");
            p.expect_symbol(&Sql::LParen)?;
            for (index, (column, at)) in columns.into_iter().enumerate() {
                if index > 0 {
                    p.expect_symbol(&Sql::Comma)?;
                }
                let value = template(p.expression(&[])?, &Target::Column(column.clone()))?;
                assignments.push((column, at, value));
            }
            p.expect_symbol(&Sql::RParen)?;
        } else {
            let column = p.identifier()?;
            p.expect_symbol(&Sql::Eq)?;
            let value = template(p.expression(&ends)?, &Target::Column(column.clone()))?;
            assignments.push((column, at, value));
        }
        if !p.symbol(&Sql::Comma) {
            break;
        }
    }
    let condition = if p.word("WHERE") {
        Some(template(p.expression(&["RETURNING"])?, &Target::Expression)?)
    } else {
        None
    };
    Ok(Update { assignments, condition })
}

impl Upsert {
    /// The table.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.insert.table
    }

    /// Whether there are two statements, which have to be one transaction.
    #[must_use]
    pub const fn needs_transaction(&self) -> bool {
        self.update.is_some()
    }

    /// An error of the nodes at the place of the clause: the text that they planned is none that the
    /// user wrote.
    #[must_use]
    pub fn placed(&self, error: SqlError) -> SqlError {
        if error.position == 0 { error.at(self.position) } else { error }
    }

    /// What to run, in order.
    ///
    /// # Errors
    /// Those of the values; 42P10 where no key fits, 42703 and 42704 for unknown names, 21000 for a row
    /// that would be changed twice.
    pub fn statements(&self, table: &TableDefinition) -> Result<Vec<Statement>, SqlError> {
        let rows = arrange(table, &self.insert)?;
        if rows.len() > ROWS_MAX {
            let message = format!("ON CONFLICT of more than {ROWS_MAX} rows");
            return Err(SqlError::new(sqlstate::LIMIT_EXCEEDED, message)
                .hint("write several statements")
                .at(self.position));
        }
        let keys = self.keys(table)?;
        if keys.is_empty() {
            return Ok(vec![Statement::Insert(self.insert.clone())]);
        }
        let kept = self.kept(&table.schema, &keys, &rows)?;
        let mut statements = Vec::with_capacity(2);
        if let (Some(update), [key, ..]) = (&self.update, keys.as_slice()) {
            statements.push(Statement::Write(self.update(table, update, key, &rows)?));
        }
        statements.push(Statement::Write(self.insertion(&table.schema, &keys, rows, &kept)));
        Ok(statements)
    }

    /// The keys whose conflicts are meant.
    fn keys(&self, table: &TableDefinition) -> Result<Vec<Vec<usize>>, SqlError> {
        match &self.arbiter {
            Arbiter::Any => Ok(table.keys.iter().map(|(_, columns)| columns.clone()).collect()),
            Arbiter::Constraint(name, at) => {
                let found = table.keys.iter().find(|(key, _)| key == name);
                found.map(|(_, columns)| vec![columns.clone()]).ok_or_else(|| {
                    let table = &table.schema.name;
                    SqlError::new(
                        sqlstate::UNDEFINED_OBJECT,
                        format!("constraint \"{name}\" for table \"{table}\" does not exist"),
                    )
                    .at(*at)
                })
            }
            Arbiter::Columns(names) => {
                let mut wanted = Vec::with_capacity(names.len());
                for (name, at) in names {
                    let column = table.schema.position(name).ok_or_else(|| {
                        let message = format!("column \"{name}\" does not exist");
                        SqlError::new(sqlstate::UNDEFINED_COLUMN, message).at(*at)
                    })?;
                    if !wanted.contains(&column) {
                        wanted.push(column);
                    }
                }
                let same = |key: &[usize]| {
                    key.len() == wanted.len() && key.iter().all(|c| wanted.contains(c))
                };
                if table.keys.iter().any(|(_, key)| same(key)) {
                    return Ok(vec![wanted]);
                }
                Err(SqlError::new(
                    sqlstate::INVALID_COLUMN_REFERENCE,
                    "there is no unique or exclusion constraint matching the ON CONFLICT specification",
                )
                .at(self.position))
            }
        }
    }

    /// For each row whether none before it has its key.
    fn kept(
        &self,
        schema: &TableSchema,
        keys: &[Vec<usize>],
        rows: &[Vec<Cell>],
    ) -> Result<Vec<bool>, SqlError> {
        let encoders: Vec<ColumnEncoder> = schema.columns.iter().map(ColumnEncoder::new).collect();
        let same = |a: &[Cell], b: &[Cell], key: &[usize]| {
            key.iter().all(|c| {
                let encoded = |row: &[Cell]| row.get(*c) == Some(&Cell::Null);
                let null = encoded(a) || encoded(b);
                !null && encoders[*c].cell(&a[*c]) == encoders[*c].cell(&b[*c])
            })
        };
        let mut kept = vec![true; rows.len()];
        for (index, row) in rows.iter().enumerate() {
            for before in &rows[..index] {
                let meets = keys.iter().filter(|key| same(before, row, key)).count();
                if meets > 0 && self.update.is_some() {
                    return Err(SqlError::new(
                        sqlstate::CARDINALITY_VIOLATION,
                        "ON CONFLICT DO UPDATE command cannot affect row a second time",
                    )
                    .hint("no two rows of the statement may have one key")
                    .at(self.position));
                }
                if meets > 0 && meets < keys.len() {
                    // Whether the first is inserted depends on the table.
                    return Err(SqlError::unsupported(
                        "rows of one statement that meet in some of several keys are not supported",
                        "write one statement for each row, or name the key after ON CONFLICT",
                    )
                    .at(self.position));
                }
                kept[index] &= meets == 0;
            }
        }
        Ok(kept)
    }

    /// The UPDATE of the rows that are there.
    fn update(
        &self,
        table: &TableDefinition,
        update: &Update,
        key: &[usize],
        rows: &[Vec<Cell>],
    ) -> Result<Write, SqlError> {
        let schema = &table.schema;
        let mut writer = Writer { schema, sql: String::new(), parameters: Vec::new() };
        let equal: Vec<String> =
            rows.iter().map(|row| writer.key_is(&self.alias, key, row, self.position)).collect();
        writer.sql = format!("UPDATE {} AS {} SET ", quoted(&schema.name), quoted(&self.alias));
        for (index, (name, at, value)) in update.assignments.iter().enumerate() {
            let column = schema.position(name).ok_or_else(|| {
                let table = &schema.name;
                let message = format!("column \"{name}\" of relation \"{table}\" does not exist");
                SqlError::new(sqlstate::UNDEFINED_COLUMN, message).at(*at)
            })?;
            if key.contains(&column) {
                return Err(SqlError::unsupported(
                    "ON CONFLICT DO UPDATE of a column of the key is not supported",
                    "UPDATE the key in a statement of its own",
                )
                .at(*at));
            }
            writer.sql.push_str(if index > 0 { ", " } else { "" });
            writer.sql.push_str(&format!("{} = ", quoted(name)));
            let one = rows.len() == 1;
            writer.sql.push_str(if one { "" } else { "CASE " });
            for (row, equal) in rows.iter().zip(&equal) {
                if !one {
                    writer.sql.push_str(&format!("WHEN {equal} THEN "));
                }
                writer.template(value, row)?;
            }
            if !one {
                let old = format!("ELSE {}.{} END ", quoted(&self.alias), quoted(name));
                writer.sql.push_str(&old);
            }
        }
        writer.sql.push_str(" WHERE ");
        for (index, (row, equal)) in rows.iter().zip(&equal).enumerate() {
            writer.sql.push_str(if index > 0 { " OR (" } else { "(" });
            writer.sql.push_str(equal);
            if let Some(condition) = &update.condition {
                writer.sql.push_str(" AND (");
                writer.template(condition, row)?;
                writer.sql.push(')');
            }
            writer.sql.push(')');
        }
        Ok(self.whole(WriteKind::Rewrite, writer))
    }

    /// The INSERT of the others.
    fn insertion(
        &self,
        schema: &TableSchema,
        keys: &[Vec<usize>],
        rows: Vec<Vec<Cell>>,
        kept: &[bool],
    ) -> Write {
        let mut writer = Writer { schema, sql: String::new(), parameters: Vec::new() };
        let names: Vec<String> = schema.columns.iter().map(|c| quoted(&c.name)).collect();
        let list = names.join(", ");
        let table = quoted(&schema.name);
        writer.sql = format!("INSERT INTO {table} ({list}) SELECT {list} FROM (");
        for (index, (row, kept)) in rows.into_iter().zip(kept).enumerate() {
            writer.sql.push_str(if index > 0 { " UNION ALL SELECT " } else { "SELECT " });
            for ((column, name), cell) in schema.columns.iter().zip(&names).zip(row) {
                let target = Target::Column(column.name.clone());
                let place = writer.parameter(Given::Cell(cell), target, self.position);
                writer.sql.push_str(&format!("{place} AS {name}, "));
            }
            let kept = Given::Cell(Cell::Bool(*kept));
            let place = writer.parameter(kept, Target::Type(ColumnType::Boolean), self.position);
            writer.sql.push_str(&format!("{place} AS \"$kept\""));
        }
        writer.sql.push_str(") AS \"$new\" WHERE \"$kept\"");
        for key in keys {
            let equal: Vec<String> = key
                .iter()
                .filter_map(|c| names.get(*c))
                .map(|name| format!("\"$old\".{name} = \"$new\".{name}"))
                .collect();
            let equal = equal.join(" AND ");
            writer.sql.push_str(&format!(
                " AND NOT EXISTS (SELECT 1 FROM {table} AS \"$old\" WHERE {equal})"
            ));
        }
        self.whole(WriteKind::Insert, writer)
    }

    fn whole(&self, kind: WriteKind, writer: Writer<'_>) -> Write {
        let (table, position) = (self.insert.table.clone(), self.insert.position);
        let mut write = Write::whole("INSERT", kind, table, position, writer.sql);
        write.parameters = writer.parameters;
        write
    }
}

/// A statement that is being written.
struct Writer<'a> {
    schema: &'a TableSchema,
    sql: String,
    parameters: Vec<Parameter>,
}

impl Writer<'_> {
    /// A secret parameter: how it is called.
    fn parameter(&mut self, given: Given, target: Target, position: u32) -> String {
        self.parameters.push(Parameter { given, target, position });
        format!("${}", self.parameters.len())
    }

    /// The condition that a row of the table has the key of this row.
    fn key_is(&mut self, alias: &str, key: &[usize], row: &[Cell], position: u32) -> String {
        let mut equal = Vec::with_capacity(key.len());
        for column in key {
            let (Some(definition), Some(cell)) =
                (self.schema.columns.get(*column), row.get(*column))
            else {
                continue;
            };
            let target = Target::Column(definition.name.clone());
            let place = self.parameter(Given::Cell(cell.clone()), target, position);
            equal.push(format!("{}.{} = {place}", quoted(alias), quoted(&definition.name)));
        }
        format!("({})", equal.join(" AND "))
    }

    /// An expression for one of the rows, in parentheses.
    fn template(&mut self, template: &Template, row: &[Cell]) -> Result<(), SqlError> {
        self.sql.push('(');
        for (text, parameter) in template.pieces() {
            self.sql.push_str(text);
            let Some(parameter) = parameter else { continue };
            let (given, target) = match &parameter.target {
                Target::Excluded(name) => {
                    let column = self.schema.position(name).ok_or_else(|| {
                        let message = format!("column excluded.{name} does not exist");
                        SqlError::new(sqlstate::UNDEFINED_COLUMN, message).at(parameter.position)
                    })?;
                    let cell = row.get(column).cloned().unwrap_or(Cell::Null);
                    (Given::Cell(cell), Target::Column(name.clone()))
                }
                target => (parameter.given.clone(), target.clone()),
            };
            let place = self.parameter(given, target, parameter.position);
            self.sql.push_str(&format!("{place} "));
        }
        self.sql.push(')');
        Ok(())
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
