//! ALTER TABLE. Constants (defaults, what rows that are there get for a new column) are computed here, as
//! in CREATE TABLE; conditions of CHECK go on as text.

use super::Statement;
use super::constant::{constant, literal_text};
use super::create::{self, Draft};
use super::parser::Parser;
use crate::catalog::TableDefinition;
use crate::encode::{Cell, ColumnEncoder, Encoded};
use sqlparser::tokenizer::Token as Sql;
use trine_proto::schema::Column;
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire::{self, add_constraint::Rule, alter_action::Action};

/// An ALTER TABLE; all of it is public.
#[derive(Clone, Debug, PartialEq)]
pub struct Alter {
    /// What the nodes are told.
    pub command: wire::AlterTable,
    /// Of the table's name in the whole text.
    position: u32,
    /// Of what each action names.
    places: Vec<u32>,
    /// New defaults of columns that are there, with their positions.
    defaults: Vec<(String, DefaultCell, u32)>,
}

/// A constant of a statement that is public as a whole.
#[derive(Clone, PartialEq)]
struct DefaultCell(Cell);

impl std::fmt::Debug for DefaultCell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&literal_text(&self.0))
    }
}

impl Alter {
    /// The table.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.command.table
    }

    /// The name that the table gets.
    #[must_use]
    pub fn new_name(&self) -> Option<&str> {
        match self.command.actions.first()?.action.as_ref()? {
            Action::RenameTable(to) => Some(to),
            _ => None,
        }
    }

    /// Whether the definition of the table is needed before the nodes are asked.
    #[must_use]
    pub const fn sets_defaults(&self) -> bool {
        !self.defaults.is_empty()
    }

    /// Whether new defaults fit their columns.
    ///
    /// # Errors
    /// As an INSERT of the value would be refused, at its place.
    pub fn check_defaults(&self, table: &TableDefinition) -> Result<(), SqlError> {
        for (name, DefaultCell(cell), at) in &self.defaults {
            let columns = &table.schema.columns;
            if let Some(column) = columns.iter().find(|c| c.name == *name) {
                fits(column, cell).map_err(|e| e.at(*at))?;
            }
        }
        Ok(())
    }

    /// An error of the nodes at the place of what it is about: the only action, or the table.
    #[must_use]
    pub fn placed(&self, error: SqlError) -> SqlError {
        if error.position > 0 {
            // It would count in a text that the nodes made.
            return SqlError { position: 0, ..error };
        }
        let table = [sqlstate::UNDEFINED_TABLE, sqlstate::INSUFFICIENT_PRIVILEGE];
        match self.places.as_slice() {
            [only] if !table.contains(&error.sqlstate.as_str()) => error.at(*only),
            _ => error.at(self.position),
        }
    }
}

fn fits(column: &Column, cell: &Cell) -> Result<(), SqlError> {
    let encoder = ColumnEncoder::new(&Column { nullable: true, ..column.clone() });
    encoder.cell(cell).map(drop).map_err(|e| e.of_column(&column.name))
}

/// ALTER begins next.
pub(super) fn parse(p: &mut Parser<'_>) -> Result<Statement, SqlError> {
    p.expect_word("ALTER")?;
    let (at, word) = (p.position(), p.keyword_text());
    if !p.word("TABLE") {
        let hint = match word.as_str() {
            "VIEW" => "DROP VIEW and CREATE VIEW, or CREATE OR REPLACE VIEW",
            "INDEX" => "DROP INDEX and CREATE INDEX",
            _ => "Trine has ALTER TABLE",
        };
        return Err(SqlError::unsupported(format!("ALTER {word} is not supported"), hint).at(at));
    }
    let if_exists = p.if_exists();
    let _ = p.word("ONLY");
    let position = p.position();
    let table = p.name()?;
    let _ = p.symbol(&Sql::Mul);
    let command = wire::AlterTable { table, if_exists, actions: Vec::new() };
    let mut alter = Alter { command, position, places: Vec::new(), defaults: Vec::new() };
    if p.word("RENAME") {
        rename(p, &mut alter)?;
    } else {
        loop {
            action(p, &mut alter)?;
            if !p.symbol(&Sql::Comma) {
                break;
            }
        }
    }
    p.end()?;
    Ok(Statement::AlterTable(alter))
}

impl Alter {
    fn push(&mut self, action: Action, place: u32) {
        self.command.actions.push(wire::AlterAction { action: Some(action) });
        self.places.push(place);
    }
}

fn rename(p: &mut Parser<'_>, alter: &mut Alter) -> Result<(), SqlError> {
    if p.word("TO") {
        let at = p.position();
        let to = p.identifier()?;
        alter.push(Action::RenameTable(to), at);
        return Ok(());
    }
    let constraint = p.word("CONSTRAINT");
    let _ = !constraint && p.word("COLUMN");
    let at = p.position();
    let from = p.identifier()?;
    p.expect_word("TO")?;
    let names = wire::Rename { from, to: p.identifier()? };
    let action =
        if constraint { Action::RenameConstraint(names) } else { Action::RenameColumn(names) };
    alter.push(action, at);
    Ok(())
}

fn action(p: &mut Parser<'_>, alter: &mut Alter) -> Result<(), SqlError> {
    let at = p.position();
    if p.word("ADD") {
        return add(p, alter);
    }
    if p.word("DROP") {
        let constraint = p.word("CONSTRAINT");
        let _ = !constraint && p.word("COLUMN");
        let if_exists = p.if_exists();
        let at = p.position();
        let name = p.identifier()?;
        let part = wire::DropPart { name, if_exists, cascade: p.cascade() };
        let action =
            if constraint { Action::DropConstraint(part) } else { Action::DropColumn(part) };
        alter.push(action, at);
        return Ok(());
    }
    if p.word("ALTER") {
        let _ = p.word("COLUMN");
        return alter_column(p, alter);
    }
    let word = p.keyword_text();
    let hint = match word.as_str() {
        "OWNER" => "a table belongs to who created it",
        "RENAME" => "RENAME stands alone in its statement",
        "SET" | "RESET" | "ENABLE" | "DISABLE" | "INHERIT" | "CLUSTER" | "REPLICA" | "FORCE"
        | "ATTACH" | "DETACH" | "VALIDATE" | "NO" | "OF" | "NOT" => {
            "ALTER TABLE has RENAME, ADD, DROP and ALTER COLUMN"
        }
        _ => return Err(p.unexpected("RENAME, ADD, DROP or ALTER is expected")),
    };
    Err(SqlError::unsupported(format!("ALTER TABLE … {word} is not supported"), hint).at(at))
}

fn alter_column(p: &mut Parser<'_>, alter: &mut Alter) -> Result<(), SqlError> {
    let place = p.position();
    let column = p.identifier()?;
    let at = p.position();
    let not_null = |not_null| wire::SetNotNull { column: column.clone(), not_null };
    if p.words(&["SET", "NOT", "NULL"]) {
        alter.push(Action::SetNotNull(not_null(true)), place);
    } else if p.words(&["DROP", "NOT", "NULL"]) {
        alter.push(Action::SetNotNull(not_null(false)), place);
    } else if p.words(&["DROP", "DEFAULT"]) {
        alter.push(Action::SetDefault(wire::SetDefault { column, sql: String::new() }), place);
    } else if p.words(&["SET", "DEFAULT"]) {
        let at = p.position();
        let cell = constant(p)?;
        // DEFAULT NULL is none.
        let sql = if cell == Cell::Null { String::new() } else { literal_text(&cell) };
        alter.defaults.push((column.clone(), DefaultCell(cell), at));
        alter.push(Action::SetDefault(wire::SetDefault { column, sql }), place);
    } else if p.word("TYPE") || p.words(&["SET", "DATA", "TYPE"]) {
        return Err(SqlError::unsupported(
            "ALTER COLUMN … TYPE is not supported",
            "add a column of that type, fill it with UPDATE, and drop the old one",
        )
        .at(at));
    } else {
        let word = p.keyword_text();
        if ["ADD", "SET", "RESET", "DROP", "RESTART"].contains(&word.as_str()) {
            return Err(SqlError::unsupported(
                "this ALTER COLUMN is not supported",
                "there are SET and DROP of DEFAULT and NOT NULL",
            )
            .at(at));
        }
        return Err(p.unexpected("SET or DROP is expected"));
    }
    Ok(())
}

fn add(p: &mut Parser<'_>, alter: &mut Alter) -> Result<(), SqlError> {
    let place = p.position();
    let mut draft = Draft::default();
    let column = p.word("COLUMN");
    let if_not_exists = p.if_not_exists();
    if column || if_not_exists || !create::table_constraint(p, &mut draft)? {
        let place = p.position();
        create::column(p, &mut draft)?;
        alter.push(Action::AddColumn(added(&draft, if_not_exists)?), place);
        if p.words_follow(&["FIRST"]) || p.words_follow(&["AFTER"]) {
            return Err(SqlError::unsupported(
                "the place of a column is not supported",
                "it comes behind the others",
            )
            .at(p.position()));
        }
    }
    if p.words(&["NOT", "VALID"]) {
        return Err(SqlError::unsupported("NOT VALID is not supported", "leave it out").at(place));
    }
    let names = |names: Vec<(String, u32)>| names.into_iter().map(|(name, _)| name).collect();
    if let Some((columns, at)) = draft.key.take() {
        let rule = Rule::PrimaryKey(wire::ColumnNames { names: names(columns) });
        alter.push(constraint(String::new(), rule), at);
    }
    for (name, sql) in draft.checks {
        alter.push(constraint(name, Rule::Check(sql)), place);
    }
    for (name, columns) in draft.uniques {
        let rule = Rule::Unique(wire::ColumnNames { names: names(columns) });
        alter.push(constraint(name, rule), place);
    }
    for (name, columns, (table, targets)) in draft.references {
        let key = wire::ForeignKey { columns: names(columns), table, targets };
        alter.push(constraint(name, Rule::ForeignKey(key)), place);
    }
    Ok(())
}

fn constraint(name: String, rule: Rule) -> Action {
    Action::AddConstraint(wire::AddConstraint { name, rule: Some(rule) })
}

/// The column, its default, and what rows that are there get: the default too.
fn added(draft: &Draft, if_not_exists: bool) -> Result<wire::AddColumn, SqlError> {
    let missing = || SqlError::new(sqlstate::SYNTAX_ERROR, "a column is expected");
    let column = draft.columns.first().ok_or_else(missing)?;
    let schema = trine_proto::schema::TableSchema {
        name: "t".into(),
        columns: vec![column.clone()],
        primary_key: Vec::new(),
    };
    let wire_schema = wire::TableSchema::from(&schema);
    let default = draft.cells.first();
    let fill = match default {
        None => None,
        Some(cell) => {
            let encoder = ColumnEncoder::new(&Column { nullable: true, ..column.clone() });
            let value = match encoder.cell(cell).map_err(|e| e.of_column(&column.name))? {
                Encoded::Null => None,
                Encoded::Integer(v) => Some(wire::column_fill::Value::Number(v)),
                Encoded::Bytes(text) => {
                    let text = String::from_utf8_lossy(text).into_owned();
                    Some(wire::column_fill::Value::Text(text))
                }
            };
            value.map(|value| wire::ColumnFill { value: Some(value) })
        }
    };
    let default_sql = default.filter(|c| **c != Cell::Null).map(literal_text);
    Ok(wire::AddColumn {
        column: wire_schema.columns.into_iter().next(),
        if_not_exists,
        default_sql: default_sql.unwrap_or_default(),
        fill,
    })
}
