//! BEGIN, COMMIT, ROLLBACK and their synonyms, and the words about isolation: those are accepted that
//! are true of every transaction here, which reads the snapshot of its BEGIN.

use super::Statement;
use super::parser::Parser;
use sqlparser::tokenizer::Token as Sql;
use trine_proto::status::SqlError;

/// What BEGIN or SET TRANSACTION says beside the level of isolation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionModes {
    /// READ ONLY (true) or READ WRITE (false), if it was written.
    pub read_only: Option<bool>,
}

/// BEGIN … or START TRANSACTION ….
pub(super) fn begin(p: &mut Parser<'_>) -> Result<Statement, SqlError> {
    if p.word("START") {
        p.expect_word("TRANSACTION")?;
    } else {
        p.expect_word("BEGIN")?;
        noise(p);
    }
    Ok(Statement::Begin(modes(p)?))
}

/// COMMIT or END.
pub(super) fn commit(p: &mut Parser<'_>) -> Result<Statement, SqlError> {
    p.advance();
    if p.word("PREPARED") {
        return Err(SqlError::unsupported("COMMIT PREPARED is not supported", "write COMMIT"));
    }
    noise(p);
    no_chain(p)?;
    p.end()?;
    Ok(Statement::Commit)
}

/// ROLLBACK or ABORT.
pub(super) fn rollback(p: &mut Parser<'_>) -> Result<Statement, SqlError> {
    p.advance();
    noise(p);
    let position = p.position();
    if p.word("TO") {
        return Err(savepoint(position));
    }
    if p.word("PREPARED") {
        return Err(SqlError::unsupported("ROLLBACK PREPARED is not supported", "write ROLLBACK"));
    }
    no_chain(p)?;
    p.end()?;
    Ok(Statement::Rollback)
}

/// The refusal of SAVEPOINT and what belongs to it.
pub(super) fn savepoint(position: u32) -> SqlError {
    SqlError::unsupported(
        "savepoints are not supported",
        "ROLLBACK gives the whole transaction up; a smaller transaction is the way to keep a part",
    )
    .at(position)
}

/// SET TRANSACTION …, behind those words; also SET SESSION CHARACTERISTICS AS TRANSACTION.
pub(super) fn set(p: &mut Parser<'_>) -> Result<Statement, SqlError> {
    if p.peek().is_none() {
        return Err(p.unexpected("ISOLATION LEVEL, READ ONLY or READ WRITE is expected"));
    }
    Ok(Statement::SetTransaction(modes(p)?))
}

fn noise(p: &mut Parser<'_>) {
    let _ = p.word("WORK") || p.word("TRANSACTION");
}

fn no_chain(p: &mut Parser<'_>) -> Result<(), SqlError> {
    let position = p.position();
    if p.words(&["AND", "CHAIN"]) {
        return Err(SqlError::unsupported("AND CHAIN is not supported", "write BEGIN").at(position));
    }
    let _ = p.words(&["AND", "NO", "CHAIN"]);
    Ok(())
}

fn modes(p: &mut Parser<'_>) -> Result<TransactionModes, SqlError> {
    let mut modes = TransactionModes::default();
    while p.peek().is_some() {
        let position = p.position();
        if p.words(&["ISOLATION", "LEVEL"]) {
            level(p)?;
        } else if p.words(&["READ", "ONLY"]) {
            modes.read_only = Some(true);
        } else if p.words(&["READ", "WRITE"]) {
            modes.read_only = Some(false);
        } else if p.word("DEFERRABLE") {
            return Err(SqlError::unsupported("DEFERRABLE is not supported", "leave the word out")
                .at(position));
        } else if !p.words(&["NOT", "DEFERRABLE"]) {
            return Err(p.unexpected("ISOLATION LEVEL, READ ONLY or READ WRITE is expected"));
        }
        if p.symbol(&Sql::Comma) && p.peek().is_none() {
            return Err(p.unexpected("ISOLATION LEVEL, READ ONLY or READ WRITE is expected"));
        }
    }
    Ok(modes)
}

/// A level of isolation that a snapshot with first-committer-wins gives.
fn level(p: &mut Parser<'_>) -> Result<(), SqlError> {
    let position = p.position();
    let given = [&["REPEATABLE", "READ"][..], &["READ", "COMMITTED"], &["READ", "UNCOMMITTED"]];
    if given.iter().any(|words| p.words(words)) {
        return Ok(());
    }
    if p.word("SERIALIZABLE") {
        return Err(serializable(position));
    }
    Err(p.unexpected("REPEATABLE READ is expected"))
}

/// The refusal of the one level that is not given.
pub(super) fn serializable(position: u32) -> SqlError {
    SqlError::unsupported(
        "ISOLATION LEVEL SERIALIZABLE is not supported",
        "REPEATABLE READ is: a snapshot, and the first committer of a table wins; what a transaction \
         has only read may have changed",
    )
    .at(position)
}

#[cfg(test)]
mod tests {
    use super::super::parse_all;
    use super::*;

    fn one(sql: &str) -> Result<Statement, SqlError> {
        parse_all(sql).map(|mut all| all.remove(0))
    }

    #[test]
    fn the_words_of_transactions() {
        let begin = |read_only| Statement::Begin(TransactionModes { read_only });
        for sql in [
            "BEGIN",
            "begin work",
            "BEGIN TRANSACTION",
            "START TRANSACTION",
            "begin isolation level repeatable read",
            "START TRANSACTION ISOLATION LEVEL READ COMMITTED, NOT DEFERRABLE",
            "BEGIN ISOLATION LEVEL READ UNCOMMITTED",
        ] {
            assert_eq!(one(sql), Ok(begin(None)), "{sql}");
        }
        assert_eq!(one("BEGIN READ ONLY"), Ok(begin(Some(true))));
        let both = "START TRANSACTION READ WRITE, ISOLATION LEVEL REPEATABLE READ";
        assert_eq!(one(both), Ok(begin(Some(false))));
        for sql in ["COMMIT", "END", "commit work", "END TRANSACTION", "COMMIT AND NO CHAIN"] {
            assert_eq!(one(sql), Ok(Statement::Commit), "{sql}");
        }
        for sql in ["ROLLBACK", "ABORT", "rollback transaction", "ABORT WORK AND NO CHAIN"] {
            assert_eq!(one(sql), Ok(Statement::Rollback), "{sql}");
        }
        let set = TransactionModes { read_only: Some(true) };
        assert_eq!(one("SET TRANSACTION READ ONLY"), Ok(Statement::SetTransaction(set)));
    }

    #[test]
    fn what_is_not_true_is_refused_in_words() {
        let refused = |sql: &str| {
            let e = one(sql).unwrap_err();
            format!("{} {} at {}: {}", e.sqlstate, e.message, e.position, e.hint)
        };
        let serializable = "ISOLATION LEVEL SERIALIZABLE is not supported at 23: REPEATABLE READ is: a \
                            snapshot, and the first committer of a table wins; what a transaction has \
                            only read may have changed";
        assert_eq!(refused("BEGIN ISOLATION LEVEL SERIALIZABLE"), format!("0A000 {serializable}"));
        let savepoints = "0A000 savepoints are not supported at";
        assert!(refused("SAVEPOINT a").starts_with(&format!("{savepoints} 1:")));
        assert!(refused("ROLLBACK TO a").starts_with(&format!("{savepoints} 10:")));
        assert!(refused("RELEASE a").starts_with(&format!("{savepoints} 1:")));
        assert!(refused("COMMIT AND CHAIN").starts_with("0A000 AND CHAIN is not supported at 8"));
        assert!(refused("BEGIN DEFERRABLE").starts_with("0A000 DEFERRABLE is not supported at 7"));
        assert!(refused("BEGIN now").starts_with("42601"));
        assert!(refused("BEGIN READ ONLY,").starts_with("42601"));
        assert!(refused("COMMIT 1").starts_with("42601"));
        assert!(refused("START").starts_with("42601"));
        assert!(refused("SET TRANSACTION").starts_with("42601"));
        assert!(refused("SET default_transaction_isolation = 'serializable'").starts_with("0A000"));
    }
}
