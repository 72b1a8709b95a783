//! UPDATE, DELETE and INSERT … SELECT: secret parameters are uploaded as one row of shares, then the
//! signed statement takes its turn at the nodes. How many rows it wrote, and which constraint refused
//! it, comes in shares that only this client opens.

use trine_proto::ids::{JobId, TransactionId};
use trine_proto::schema::{Column, ColumnType, Secrecy, TableSchema};
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire::client_command::Command;
use trine_proto::wire::{self, ParameterSet, SubmitWrite};

use crate::block::TransactionBlock;
use crate::catalog::TableDefinition;
use crate::client::Client;
use crate::cut::{NodePart, cut_rows};
use crate::encode::{Cell, ColumnEncoder};
use crate::random::random_id;
use crate::statement::{
    Asked, Given, Parameter, REFRESH, TRUNCATE, Target, Write, refresh_of_table,
};
use crate::upload::{placed, send_parts};
use crate::value::{Answer, Table, Value};

/// Bytes of a text parameter at least: its type must not tell its length.
const TEXT_BYTES_MIN: u32 = 64;
/// Digits of a DECIMAL parameter.
const DECIMAL_DIGITS: u8 = 18;

/// Types and values of a statement's secret parameters: one row of a table of its own.
#[derive(Clone, PartialEq)]
pub struct ParameterRow {
    /// Columns "1", "2", ….
    pub schema: TableSchema,
    /// Their values.
    pub cells: Vec<Cell>,
}

impl std::fmt::Debug for ParameterRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ParameterRow({} values)", self.cells.len())
    }
}

/// The parameters of a statement against the table it writes to; none if it has none.
///
/// # Errors
/// A value that does not fit its column, at its place.
pub fn parameter_row(
    table: &TableDefinition,
    write: &Write,
) -> Result<Option<ParameterRow>, SqlError> {
    if write.parameters.is_empty() {
        return Ok(None);
    }
    row_of(&write.parameters, |parameter| typed(table, write, parameter)).map(Some)
}

/// The parameters of a query over these tables (those whose columns it may compare them with).
///
/// # Errors
/// A value that does not fit its type, at its place.
pub fn query_parameters(tables: &[TableSchema], asked: &Asked) -> Result<ParameterRow, SqlError> {
    let tables: Vec<&TableSchema> = tables.iter().collect();
    row_of(&asked.parameters, |parameter| {
        let cell = match &parameter.given {
            Given::Cell(cell) => cell.clone(),
            Given::Default => Cell::Null,
        };
        compared(&tables, parameter, &cell).map(|column| (column, cell))
    })
}

/// One row of values with a type each.
fn row_of(
    parameters: &[Parameter],
    typed: impl Fn(&Parameter) -> Result<(Column, Cell), SqlError>,
) -> Result<ParameterRow, SqlError> {
    let mut columns = Vec::with_capacity(parameters.len());
    let mut cells = Vec::with_capacity(parameters.len());
    for (index, parameter) in parameters.iter().enumerate() {
        let (column, cell) = typed(parameter)?;
        let column = Column { name: (index + 1).to_string(), ..column };
        let fits = ColumnEncoder::new(&column).cell(&cell).map(drop);
        fits.map_err(|e| SqlError::new(e.sqlstate, e.reason).at(parameter.position))?;
        columns.push(column);
        cells.push(cell);
    }
    let schema = TableSchema { name: "parameters".into(), columns, primary_key: Vec::new() };
    Ok(ParameterRow { schema, cells })
}

/// The type of a value that goes to no column: the declared one, that of the columns it is compared
/// with if it fits there, else its own.
fn compared(
    tables: &[&TableSchema],
    parameter: &Parameter,
    cell: &Cell,
) -> Result<Column, SqlError> {
    let plain = |ty: ColumnType| {
        let name = String::new();
        Column { name, ty, nullable: true, secrecy: Secrecy::Secret, range: None }
    };
    let name = match &parameter.target {
        Target::Type(ty) => return Ok(plain(ty.clone())),
        Target::Like(name) => name,
        _ => return natural(cell, parameter.position),
    };
    let mut types = tables
        .iter()
        .flat_map(|table| &table.columns)
        .filter(|c| c.name == *name)
        .map(|c| c.ty.clone());
    let Some(ty) = types.next().filter(|ty| types.all(|other| other == *ty)) else {
        return natural(cell, parameter.position);
    };
    let column = plain(ty);
    // What is no label, no date or no boolean is a mistake; numbers and texts may be out of reach.
    let fixed = matches!(
        column.ty,
        ColumnType::Enum { .. } | ColumnType::Date | ColumnType::Timestamp | ColumnType::Boolean
    );
    if fixed || ColumnEncoder::new(&column).cell(cell).is_ok() {
        return Ok(column);
    }
    natural(cell, parameter.position)
}

/// The column that holds a parameter, and its value.
fn typed(
    table: &TableDefinition,
    write: &Write,
    parameter: &Parameter,
) -> Result<(Column, Cell), SqlError> {
    let schema = &table.schema;
    let position = match &parameter.target {
        Target::Column(name) => schema.position(name),
        Target::Place(place) => match &write.columns {
            Some(columns) => columns.get(*place).and_then(|(name, _)| schema.position(name)),
            None => Some(*place),
        },
        Target::Expression | Target::Like(_) | Target::Type(_) | Target::Excluded(_) => None,
    };
    let cell = match (&parameter.given, position) {
        (Given::Cell(cell), _) => cell.clone(),
        (Given::Default, Some(p)) => table.defaults.get(&p).cloned().unwrap_or(Cell::Null),
        (Given::Default, None) => Cell::Null,
    };
    let column = match position.and_then(|p| schema.columns.get(p)) {
        Some(column) => {
            if cell == Cell::Null && !column.nullable {
                return Err(SqlError::new(
                    sqlstate::NOT_NULL_VIOLATION,
                    format!("column \"{}\": NULL in a column that is NOT NULL", column.name),
                )
                .at(parameter.position));
            }
            Column { secrecy: Secrecy::Secret, nullable: true, ..column.clone() }
        }
        None => compared(&[schema], parameter, &cell)?,
    };
    Ok((column, cell))
}

/// The type of a value that goes to no column.
fn natural(cell: &Cell, position: u32) -> Result<Column, SqlError> {
    let untyped = || {
        SqlError::unsupported("the type of this value is not known", "CAST(… AS type) gives it one")
            .at(position)
    };
    let ty = match cell {
        Cell::Null => return Err(untyped()),
        Cell::Bool(_) => ColumnType::Boolean,
        Cell::Date(_) => ColumnType::Date,
        Cell::Text(text) => {
            let bytes = u32::try_from(text.len()).map_err(|_| untyped())?;
            ColumnType::Varchar { bytes_max: bytes.next_power_of_two().max(TEXT_BYTES_MIN) }
        }
        Cell::Number(digits) => match digits.split_once('.') {
            None if digits.parse::<i32>().is_ok() => ColumnType::Int,
            None => ColumnType::BigInt,
            Some((_, fraction)) => {
                let scale = u8::try_from(fraction.len()).map_err(|_| untyped())?;
                ColumnType::Decimal { precision: DECIMAL_DIGITS, scale }
            }
        },
    };
    let name = String::new();
    Ok(Column { name, ty, nullable: true, secrecy: Secrecy::Secret, range: None })
}

/// The table that CREATE TABLE … AS makes of a described result.
///
/// # Errors
/// `42601` for more names than columns, `42701` for a name given twice.
pub fn named_result(
    mut result: TableSchema,
    table: &str,
    columns: &[String],
) -> Result<TableSchema, SqlError> {
    if columns.len() > result.columns.len() {
        return Err(SqlError::new(
            sqlstate::SYNTAX_ERROR,
            "CREATE TABLE AS specifies more column names than columns",
        ));
    }
    table.clone_into(&mut result.name);
    for (column, name) in result.columns.iter_mut().zip(columns) {
        column.name.clone_from(name);
    }
    TableSchema::try_from(&wire::TableSchema::from(&result))
}

/// The rows that a statement wrote.
///
/// # Errors
/// `XX001` for a report of another shape.
pub fn rows_written(report: &Table) -> Result<u64, SqlError> {
    match report.rows.first().and_then(|row| row.first()) {
        Some(Value::Int(rows)) => u64::try_from(*rows).ok(),
        _ => None,
    }
    .ok_or_else(|| SqlError::new(sqlstate::DATA_CORRUPTED, "the nodes report no count of rows"))
}

/// A refusal in the words of the constraint that the report names; as it is if it names none.
#[must_use]
pub fn explained(error: SqlError, report: &Table) -> SqlError {
    let values = report.rows.first().map_or(&[][..], Vec::as_slice);
    let violated = report.columns.iter().zip(values).find(|(_, v)| **v == Value::Bool(true));
    let Some((kind, name)) = violated.and_then(|(column, _)| column.name.split_once(':')) else {
        return error;
    };
    let (state, message) = match kind {
        "unique" => (
            sqlstate::UNIQUE_VIOLATION,
            format!("duplicate key value violates unique constraint \"{name}\""),
        ),
        "check" => {
            (sqlstate::CHECK_VIOLATION, format!("new row violates check constraint \"{name}\""))
        }
        "reference" => (
            sqlstate::FOREIGN_KEY_VIOLATION,
            format!("insert, update or delete violates foreign key constraint \"{name}\""),
        ),
        "range" => (
            sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("column \"{name}\": outside of the declared range"),
        ),
        "column" => (
            sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("column \"{name}\": a value is out of range, too long or NULL"),
        ),
        "failure" => match name.split_once(':') {
            Some((state, message)) => {
                return SqlError::new(state, message).hint("nothing was changed");
            }
            None => return error,
        },
        _ => return error,
    };
    SqlError::new(state, message).hint("nothing was changed; the nodes do not know which it was")
}

impl Client {
    /// Runs one statement that writes.
    pub(crate) async fn write(
        &self,
        write: Write,
        block: &mut TransactionBlock,
        within: Option<wire::Within>,
    ) -> Result<Answer, SqlError> {
        let parameters = self.shared_parameters(&write).await?;
        let (sql, table) = (write.sql.clone(), write.table.clone());
        let mut command = SubmitWrite { sql, table, kind: 0, parameters, within };
        command.set_kind(write.kind);
        let (id, signed) = self.sign(Command::SubmitWrite(command))?;
        block.running = Some(TransactionId(id));
        self.propose_signed(signed).await.map_err(|e| write.placed(e))?;
        let outcome = self.final_state(TransactionId(id), None).await;
        let report = || self.fetch(JobId(id));
        match outcome {
            Ok(_) => {
                let counts = ![TRUNCATE, REFRESH].contains(&write.tag);
                let rows = Some(rows_written(&report().await?)?).filter(|_| counts);
                Ok(Answer::Done { tag: write.tag.into(), rows, notice: None })
            }
            Err(error) if error.sqlstate == sqlstate::INTEGRITY_VIOLATION => {
                Err(report().await.map_or_else(|_| error.clone(), |r| explained(error.clone(), &r)))
            }
            Err(error) => Err(write.placed(error)),
        }
    }

    /// Refreshes the shares of every table that this principal may write, one after the other.
    pub(crate) async fn refresh_all(
        &self,
        block: &mut TransactionBlock,
    ) -> Result<Answer, SqlError> {
        let (mut refreshed, mut denied) = (0_usize, None);
        for table in self.tables("").await? {
            let Some(schema) = table.schema else { continue };
            let statement = refresh_of_table(schema.name, 0);
            match Box::pin(self.write(statement, block, None)).await {
                Ok(_) => refreshed += 1,
                Err(error) if error.sqlstate == sqlstate::INSUFFICIENT_PRIVILEGE => {
                    denied = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        match denied {
            Some(error) if refreshed == 0 => Err(error),
            _ => {
                let notice = format!("tables refreshed: {refreshed}");
                Ok(Answer::done(REFRESH, Some(notice)))
            }
        }
    }

    /// What the nodes would do for a statement that writes; nothing is written.
    pub(crate) async fn explain(
        &self,
        write: &Write,
        within: Option<wire::Within>,
    ) -> Result<Table, SqlError> {
        let parameters = self.shared_parameters(write).await?;
        let job = self.submit_with(&write.sql, parameters, within).await;
        let job = job.map_err(|e| write.placed(e))?;
        self.wait(job, None).await.map_err(|e| write.placed(e))?;
        self.fetch(job).await
    }

    /// Uploads the values of a statement that writes.
    async fn shared_parameters(&self, write: &Write) -> Result<Option<ParameterSet>, SqlError> {
        let mut known =
            self.definition(&write.table).await.map_err(|e| placed(e, write.position))?;
        if !write.parameters.is_empty() {
            // The types of the parameters follow the table's; another client may have changed it.
            known = self.fresh_definition(&write.table).await?;
        }
        match parameter_row(&known, write)? {
            Some(row) => Ok(Some(self.upload_parameters(&row).await?)),
            None => Ok(None),
        }
    }

    /// Creates a table with the columns of a SELECT and fills it. Two steps in the log: a table that
    /// cannot be filled is dropped again.
    pub(crate) async fn create_table_as(
        &self,
        table: &str,
        columns: &[String],
        sql: &str,
        if_not_exists: bool,
    ) -> Result<Answer, SqlError> {
        let schema = named_result(self.describe(sql).await?, table, columns)?;
        let created = self.create_table(&schema, if_not_exists).await?;
        if let Answer::Done { notice: Some(_), .. } = created {
            return Ok(created);
        }
        let mut alone = TransactionBlock::default();
        let filled = Box::pin(self.write(Write::filling(table, sql), &mut alone, None)).await;
        if filled.is_err() {
            let drop = wire::DropTable { table: table.to_owned(), ..Default::default() };
            self.propose(Command::DropTable(drop)).await?;
        }
        // The text that the nodes planned began elsewhere.
        filled.map_err(|e| SqlError { position: 0, ..e })
    }

    /// The columns of a query's result, alike at all three nodes.
    async fn describe(&self, sql: &str) -> Result<TableSchema, SqlError> {
        let answers = futures::future::try_join_all(self.nodes.iter().map(|node| {
            let question = wire::DescribeQuery { sql: sql.to_owned() };
            node.call(|channel| async move {
                wire::query_client::QueryClient::new(channel).describe(question).await
            })
        }))
        .await?;
        let mut results = answers.into_iter().map(|answer| answer.result);
        let first = results.next().flatten();
        match first {
            Some(schema) if results.all(|other| other.as_ref() == Some(&schema)) => {
                TableSchema::try_from(&schema)
            }
            _ => Err(SqlError::new(
                sqlstate::SERIALIZATION_FAILURE,
                "the nodes describe the result differently",
            )
            .hint("a table changed meanwhile: try again")),
        }
    }

    /// Shares the parameters of a query and hands it to the nodes.
    ///
    /// # Errors
    /// As [`Self::submit`]; a value that does not fit its type.
    pub async fn submit_asked(&self, asked: &Asked) -> Result<JobId, SqlError> {
        self.submit_asked_in(asked, None).await
    }

    /// The same inside an open transaction, with what its block gave.
    ///
    /// # Errors
    /// As [`Self::submit_asked`].
    pub async fn submit_asked_in(
        &self,
        asked: &Asked,
        within: Option<wire::Within>,
    ) -> Result<JobId, SqlError> {
        let row = query_parameters(&self.schemas_in(&asked.sql).await?, asked)?;
        let set = self.upload_parameters(&row).await?;
        self.submit_with(&asked.sql, Some(set), within).await.map_err(|e| asked.placed(e))
    }

    /// The tables whose names occur in a statement.
    async fn schemas_in(&self, sql: &str) -> Result<Vec<TableSchema>, SqlError> {
        let text = sql.to_lowercase();
        let tables = self.tables("").await?.into_iter().filter_map(|t| t.schema);
        tables
            .filter(|schema| text.contains(&schema.name.to_lowercase()))
            .map(|schema| TableSchema::try_from(&schema))
            .collect()
    }

    /// Stages one row of shares; nothing but the statement that names it can use it.
    async fn upload_parameters(&self, row: &ParameterRow) -> Result<ParameterSet, SqlError> {
        let id = TransactionId(random_id()?);
        let schema = wire::TableSchema::from(&row.schema);
        let mut parts =
            cut_rows(&row.schema, std::slice::from_ref(&row.cells), self.config.cluster_id, id)?;
        for NodePart { header, .. } in &mut parts {
            header.parameters = Some(schema.clone());
            header.table.clear();
        }
        self.stage(move |streams| send_parts(parts, &streams)).await?;
        Ok(ParameterSet { id: id.0.to_vec(), schema: Some(schema) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::{Statement, parse_all};
    use crate::value::OutputColumn;

    fn table() -> TableDefinition {
        let sql = "create table t (a int range (0, 9) default 7, b varchar(20), c decimal(8,2) not \
                   null, d date)";
        match parse_all(sql).unwrap().remove(0) {
            Statement::CreateTable { schema, rules, .. } => {
                TableDefinition::new(schema, &rules).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    fn row(sql: &str) -> Result<Option<ParameterRow>, SqlError> {
        match parse_all(sql).unwrap().remove(0) {
            Statement::Write(write) => parameter_row(&table(), &write),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_parameter_has_the_type_of_its_column() {
        let all = "update t set a = default, b = 'x', c = 1, d = '2020-02-29' where a = 5";
        let found = row(all).unwrap().unwrap();
        let types: Vec<String> = found.schema.columns.iter().map(|c| c.ty.sql_name()).collect();
        assert_eq!(types, ["INT", "VARCHAR(20)", "DECIMAL(8,2)", "DATE"]);
        let names: Vec<&str> = found.schema.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["1", "2", "3", "4"]);
        assert!(found.cells[0] == Cell::Number("7".into()));
        assert!(!format!("{found:?}").contains("2020"));
        let inner = "insert into t (c, b) select 2.5, 'y' || b, 'z' from t";
        let found = row(inner).unwrap().unwrap();
        let types: Vec<String> = found.schema.columns.iter().map(|c| c.ty.sql_name()).collect();
        assert_eq!(types, ["DECIMAL(8,2)", "VARCHAR(64)"]);
        let computed = "update t set a = a + 5, c = c * 1.250 + 5000000000";
        let found = row(computed).unwrap().unwrap();
        let types: Vec<String> = found.schema.columns.iter().map(|c| c.ty.sql_name()).collect();
        assert_eq!(types, ["INT", "DECIMAL(18,3)", "BIGINT"]);
        assert_eq!(row("delete from t where a = 5").unwrap(), None);
    }

    #[test]
    fn a_value_that_does_not_fit_is_refused_at_its_place() {
        let refused = |sql: &str| {
            let e = row(sql).unwrap_err();
            assert!(!e.message.contains("secret"), "{e}");
            (e.sqlstate, e.position)
        };
        assert_eq!(refused("update t set a = 10"), ("22003".into(), 18));
        assert_eq!(refused("update t set d = 'secret'"), ("22007".into(), 18));
        assert_eq!(refused("update t set c = null"), ("23502".into(), 18));
        assert_eq!(refused("update t set b = 'a secret of more than twenty bytes'").0, "22001");
    }

    #[test]
    fn a_report_names_the_constraint() {
        let report = |name: &str| Table {
            columns: vec![OutputColumn::integer("rows"), OutputColumn::text(name)],
            rows: vec![vec![Value::Int(3), Value::Bool(true)]],
            explain: None,
        };
        let general = SqlError::new(sqlstate::INTEGRITY_VIOLATION, "some constraint");
        let said = |name: &str| {
            let e = explained(general.clone(), &report(name));
            (e.sqlstate, e.message)
        };
        for (name, state, message) in [
            ("unique:t_pkey", "23505", "duplicate key value violates unique constraint \"t_pkey\""),
            ("check:positive", "23514", "new row violates check constraint \"positive\""),
            (
                "reference:t_fkey",
                "23503",
                "insert, update or delete violates foreign key constraint \"t_fkey\"",
            ),
            ("range:a", "22003", "column \"a\": outside of the declared range"),
            ("column:a", "22003", "column \"a\": a value is out of range, too long or NULL"),
            ("failure:22012:division by zero", "22012", "division by zero"),
            ("nix", "23000", "some constraint"),
        ] {
            assert_eq!(said(name), (state.to_owned(), message.to_owned()));
        }
        assert_eq!(rows_written(&report("x")), Ok(3));
        let none = Table { columns: vec![], rows: vec![], explain: None };
        assert_eq!(rows_written(&none).unwrap_err().sqlstate, sqlstate::DATA_CORRUPTED);
    }
}
