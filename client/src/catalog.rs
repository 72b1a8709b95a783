//! What tables there are. What rows are cut by must be said by all three nodes alike: a schema from
//! one node alone could declare a secret column PUBLIC.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use futures::future::join_all;
use trine_proto::schema::{Form, Secrecy, TableSchema};
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire::catalog_client::CatalogClient;
use trine_proto::wire::{DescribeTables, TableDescription, TableDescriptions, TableRules};

use crate::client::Client;
use crate::encode::Cell;
use crate::statement::constant::parse_literal;
use crate::value::{OutputColumn, Table, Value};

/// How long the three nodes may take to agree on the newest log position that this client saw.
const AGREE_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between two questions.
const AGREE_PAUSE: Duration = Duration::from_millis(20);

impl Client {
    /// Descriptions of a table, or of all that this principal may see (empty name), from any node
    /// that has applied what this client has seen.
    ///
    /// # Errors
    /// `42P01`, or none of the nodes answers.
    pub async fn tables(&self, table: &str) -> Result<Vec<TableDescription>, SqlError> {
        let started = Instant::now();
        loop {
            let question = DescribeTables { table: table.to_owned() };
            let answer = self
                .any(|channel| {
                    let question = question.clone();
                    async move { CatalogClient::new(channel).describe(question).await }
                })
                .await;
            let late = started.elapsed() > AGREE_TIMEOUT;
            match answer {
                Ok(answer) if answer.log_index >= self.seen() || late => {
                    if answer.tables.is_empty() && !table.is_empty() {
                        return Err(undefined(table));
                    }
                    return Ok(answer.tables);
                }
                Err(e) if e.sqlstate != sqlstate::UNDEFINED_TABLE || late || self.seen() == 0 => {
                    return Err(e);
                }
                _ => tokio::time::sleep(AGREE_PAUSE).await,
            }
        }
    }

    /// The schema of a table, alike at all three nodes.
    ///
    /// # Errors
    /// `42P01`; a node's failure; `XX001` if the nodes do not come to agree.
    pub async fn schema(&self, table: &str) -> Result<TableSchema, SqlError> {
        self.definition(table).await.map(|table| table.schema)
    }

    /// Schema and defaults of a table, alike at all three nodes.
    ///
    /// # Errors
    /// As [`Self::schema`].
    pub async fn definition(&self, table: &str) -> Result<TableDefinition, SqlError> {
        let known = self.schemas.lock().unwrap_or_else(PoisonError::into_inner).get(table).cloned();
        match known {
            Some(definition) => Ok(definition),
            None => self.fresh_definition(table).await,
        }
    }

    /// The same, asked anew.
    pub(crate) async fn fresh_definition(&self, table: &str) -> Result<TableDefinition, SqlError> {
        let started = Instant::now();
        loop {
            let question = DescribeTables { table: table.to_owned() };
            let answers = join_all(self.nodes.iter().map(|node| {
                let question = question.clone();
                node.call(
                    |channel| async move { CatalogClient::new(channel).describe(question).await },
                )
            }))
            .await;
            let late = started.elapsed() > AGREE_TIMEOUT;
            match agreed(answers, table, self.seen()) {
                Agreement::Table(table) => {
                    let mut schemas = self.schemas.lock().unwrap_or_else(PoisonError::into_inner);
                    schemas.insert(table.schema.name.clone(), (*table).clone());
                    return Ok(*table);
                }
                Agreement::Failed(error) => return Err(error),
                Agreement::Behind(error) if late => return Err(error),
                Agreement::Behind(_) => tokio::time::sleep(AGREE_PAUSE).await,
            }
        }
    }
}

/// What a client must know of a table to write rows of it. The defaults are public, like the schema.
#[derive(Clone, Debug, PartialEq)]
pub struct TableDefinition {
    /// Columns and primary key.
    pub schema: TableSchema,
    /// DEFAULT by column position.
    pub defaults: BTreeMap<usize, Cell>,
    /// Name and columns of the primary key, if there is one, and of what else is unique.
    pub keys: Vec<(String, Vec<usize>)>,
}

impl TableDefinition {
    /// From what nodes describe or CREATE TABLE says.
    ///
    /// # Errors
    /// A default that is no constant.
    pub fn new(schema: TableSchema, rules: &TableRules) -> Result<Self, SqlError> {
        let mut defaults = BTreeMap::new();
        for rule in &rules.defaults {
            let column = usize::try_from(rule.column).unwrap_or(usize::MAX);
            defaults.insert(column, parse_literal(&rule.sql)?);
        }
        let place = |c: &u32| usize::try_from(*c).ok().filter(|c| *c < schema.columns.len());
        let mut keys = Vec::new();
        if !schema.primary_key.is_empty() {
            keys.push((format!("{}_pkey", schema.name), schema.primary_key.clone()));
        }
        for index in rules.indexes.iter().filter(|i| i.unique) {
            let columns = index.columns.iter().filter_map(place).collect();
            keys.push((index.name.clone(), columns));
        }
        Ok(Self { schema, defaults, keys })
    }
}

enum Agreement {
    Table(Box<TableDefinition>),
    Failed(SqlError),
    /// A node has not applied all that was seen: worth asking again; else this is the error.
    Behind(SqlError),
}

fn undefined(table: &str) -> SqlError {
    SqlError::new(sqlstate::UNDEFINED_TABLE, format!("table \"{table}\" does not exist"))
}

fn agreed(answers: Vec<Result<TableDescriptions, SqlError>>, table: &str, seen: u64) -> Agreement {
    let mut schemas = Vec::with_capacity(3);
    let mut behind = false;
    let mut missing = None;
    let mut positions = Vec::with_capacity(3);
    for answer in answers {
        match answer {
            Ok(answer) => {
                behind |= answer.log_index < seen;
                positions.push(answer.log_index);
                let found = answer.tables.into_iter().find_map(|t| {
                    let schema = t.schema.filter(|s| s.name == table)?;
                    Some((schema, t.rules.unwrap_or_default()))
                });
                let define = |(schema, rules): &(_, TableRules)| {
                    TableSchema::try_from(schema).and_then(|s| TableDefinition::new(s, rules))
                };
                match found.as_ref().map(define) {
                    Some(Ok(schema)) => schemas.push(schema),
                    Some(Err(e)) => return Agreement::Failed(e),
                    None => missing = Some(undefined(table)),
                }
            }
            // A node says nothing about its position with this error: ask again if it may be late.
            Err(e) if e.sqlstate == sqlstate::UNDEFINED_TABLE => {
                behind |= seen > 0;
                missing = Some(e);
            }
            Err(e) => return Agreement::Failed(e),
        }
    }
    match (schemas.pop(), missing) {
        (Some(schema), None) if !behind && schemas.iter().all(|s| *s == schema) => {
            Agreement::Table(Box::new(schema))
        }
        // Absent everywhere: a table that was never there is the common case and worth no wait.
        (None, Some(error)) => Agreement::Failed(error),
        (Some(_), None) if !behind => {
            let error = SqlError::new(
                sqlstate::DATA_CORRUPTED,
                format!("the nodes describe table \"{table}\" differently"),
            )
            .hint("nothing was sent; tell the operators of the three nodes");
            // At one and the same position there is nothing to wait for.
            if positions.iter().all(|p| *p == positions[0]) {
                Agreement::Failed(error)
            } else {
                Agreement::Behind(error)
            }
        }
        (_, Some(error)) => Agreement::Behind(error),
        (_, None) => Agreement::Behind(SqlError::new(
            sqlstate::NODE_UNAVAILABLE,
            "a node has not caught up with the others",
        )),
    }
}

/// A table's columns, as `\d TABLE` shows them: types with their ranges, encodings, who may read.
#[must_use]
pub fn describe_table(description: &TableDescription) -> Option<Table> {
    let schema = TableSchema::try_from(description.schema.as_ref()?).ok()?;
    let stored = schema.stored_columns();
    let columns = ["column", "type", "null", "at the nodes", "key"];
    let rows = schema
        .columns
        .iter()
        .enumerate()
        .map(|(i, c)| {
            let range = c.range.map_or_else(String::new, |(low, high)| {
                format!(" RANGE ({}, {})", bound(&c.ty, low), bound(&c.ty, high))
            });
            let encodings: Vec<String> = stored
                .iter()
                .filter(|s| s.column == i)
                .map(|s| match s.form {
                    Form::Boolean => format!("{} bits", s.bits),
                    Form::Arithmetic => "64-bit ring".to_owned(),
                })
                .collect();
            let secrecy = match c.secrecy {
                Secrecy::Public => "PUBLIC, plain".to_owned(),
                Secrecy::Secret => format!("shares: {}", encodings.join(" + ")),
            };
            let key = schema.primary_key.iter().position(|&k| k == i);
            [
                c.name.clone(),
                format!("{}{range}", c.ty.sql_name()),
                if c.nullable { String::new() } else { "NOT NULL".to_owned() },
                secrecy,
                key.map_or_else(String::new, |_| "PRIMARY KEY".to_owned()),
            ]
            .map(Value::Text)
            .to_vec()
        })
        .collect();
    Some(Table { columns: columns.map(OutputColumn::text).to_vec(), rows, explain: None })
}

/// A table's defaults, indexes and constraints, as lines below its columns.
#[must_use]
pub fn describe_rules(description: &TableDescription) -> Vec<String> {
    let Some(schema) = &description.schema else { return Vec::new() };
    let quoted = |name: &str| format!("\"{name}\"");
    let columns = |positions: &[u32]| {
        let name = |p: &u32| schema.columns.get(*p as usize).map_or("?", |c| c.name.as_str());
        positions.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    let rules = description.rules.clone().unwrap_or_default();
    let mut lines = Vec::new();
    let mut section = |title: &str, mut entries: Vec<String>| {
        if !entries.is_empty() {
            lines.push(format!("{title}:"));
            lines.append(&mut entries);
        }
    };
    let defaults =
        rules.defaults.iter().map(|d| format!("    {}: {}", columns(&[d.column]), d.sql));
    section("Defaults", defaults.collect());
    let mut indexes = Vec::new();
    if !schema.primary_key.is_empty() {
        let name = quoted(&format!("{}_pkey", schema.name));
        indexes.push(format!("    {name} PRIMARY KEY ({})", columns(&schema.primary_key)));
    }
    indexes.extend(rules.indexes.iter().map(|index| {
        let kind = match (index.unique, index.constraint) {
            (_, true) => " UNIQUE CONSTRAINT",
            (true, _) => " UNIQUE",
            _ => "",
        };
        format!("    {}{kind} ({})", quoted(&index.name), columns(&index.columns))
    }));
    section("Indexes", indexes);
    let checks = rules.checks.iter().map(|c| format!("    {} CHECK ({})", quoted(&c.name), c.sql));
    section("Check constraints", checks.collect());
    let references = rules.references.iter().map(|r| {
        let targets = match r.targets.as_slice() {
            [] => String::new(),
            targets => format!(" ({})", targets.join(", ")),
        };
        let from = columns(&r.columns);
        format!("    {} FOREIGN KEY ({from}) REFERENCES {}{targets}", quoted(&r.name), r.table)
    });
    section("Foreign-key constraints", references.collect());
    lines
}

/// An end of a declared range as SQL writes it.
pub(crate) fn bound(ty: &trine_proto::schema::ColumnType, encoded: i64) -> String {
    use trine_proto::schema::ColumnType;
    match ty {
        ColumnType::Decimal { scale, .. } => {
            Value::Decimal { unscaled: encoded.into(), scale: u32::from(*scale) }.to_string()
        }
        ColumnType::Double { fraction_bits } => {
            Value::Double(crate::open::shortest(encoded.into(), u32::from(*fraction_bits)))
                .to_string()
        }
        ColumnType::Timestamp => format!("'{}'", Value::Timestamp(encoded)),
        ColumnType::Date => match i32::try_from(encoded) {
            Ok(days) => format!("'{}'", Value::Date(days)),
            Err(_) => encoded.to_string(),
        },
        _ => encoded.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::{Statement, parse_all};
    use trine_proto::wire;

    fn schema(sql: &str) -> TableSchema {
        match parse_all(sql).unwrap().remove(0) {
            Statement::CreateTable { schema, .. } => schema,
            other => panic!("{other:?}"),
        }
    }

    fn said(sql: &str, log_index: u64) -> Result<TableDescriptions, SqlError> {
        let schema = Some(wire::TableSchema::from(&schema(sql)));
        let table = TableDescription { schema, ..Default::default() };
        Ok(TableDescriptions { tables: vec![table], log_index, views: vec![] })
    }

    #[test]
    fn one_node_cannot_make_a_secret_column_public() {
        let honest = || said("create table t (a int)", 5);
        let lying = |at| said("create table t (a int public)", at);
        assert!(matches!(agreed(vec![honest(), honest(), honest()], "t", 5), Agreement::Table(_)));
        assert!(matches!(
            agreed(vec![honest(), lying(5), honest()], "t", 5),
            Agreement::Failed(e) if e.sqlstate == sqlstate::DATA_CORRUPTED
        ));
        assert!(matches!(agreed(vec![honest(), lying(6), honest()], "t", 5), Agreement::Behind(_)));
        let late = said("create table t (a int)", 4);
        assert!(matches!(agreed(vec![honest(), late, honest()], "t", 5), Agreement::Behind(_)));
        let none = || Ok(TableDescriptions { tables: vec![], log_index: 5, views: vec![] });
        assert!(matches!(agreed(vec![honest(), none(), honest()], "t", 5), Agreement::Behind(_)));
        assert!(matches!(
            agreed(vec![none(), none(), none()], "t", 5),
            Agreement::Failed(e) if e.sqlstate == sqlstate::UNDEFINED_TABLE
        ));
    }

    #[test]
    fn a_table_describes_itself() {
        let sql = "create table t (id int range (0, 9) primary key, d date range ('1970-01-01', \
                   '1970-01-31'), p decimal(6,2) public)";
        let description = TableDescription {
            schema: Some(wire::TableSchema::from(&schema(sql))),
            ..Default::default()
        };
        let table = describe_table(&description).unwrap();
        let shown: Vec<Vec<String>> =
            table.rows.iter().map(|r| r.iter().map(ToString::to_string).collect()).collect();
        assert_eq!(
            shown,
            [
                [
                    "id",
                    "INT RANGE (0, 9)",
                    "NOT NULL",
                    "shares: 4 bits + 64-bit ring",
                    "PRIMARY KEY"
                ],
                ["d", "DATE RANGE ('1970-01-01', '1970-01-31')", "", "shares: 6 bits", ""],
                ["p", "DECIMAL(6,2)", "", "PUBLIC, plain", ""],
            ]
        );
    }
}
