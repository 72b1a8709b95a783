//! REFRESH SHARES [TABLE] t, or ALL: every row of a table as it is, in fresh shares.

use super::Statement;
use super::parser::Parser;
use super::write::Write;
use trine_proto::status::SqlError;
use trine_proto::wire::WriteKind;

/// What it is answered with; no row is counted, because none is changed.
pub(crate) const REFRESH: &str = "REFRESH SHARES";

/// REFRESH begins next.
pub(super) fn parse(p: &mut Parser<'_>) -> Result<Statement, SqlError> {
    p.expect_word("REFRESH")?;
    p.expect_word("SHARES")?;
    if p.word("ALL") {
        p.end()?;
        return Ok(Statement::RefreshAll);
    }
    let _ = p.word("TABLE");
    let position = p.position();
    let table = p.name()?;
    p.refuse_list("REFRESH SHARES")?;
    p.end()?;
    Ok(Statement::Write(of_table(table, position)))
}

/// The statement for one table; `position`: where its name stands.
pub(crate) fn of_table(table: String, position: u32) -> Write {
    let sql = format!("REFRESH SHARES \"{}\"", table.replace('"', "\"\""));
    Write::whole(REFRESH, WriteKind::Refresh, table, position, sql)
}
