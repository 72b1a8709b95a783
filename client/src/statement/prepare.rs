//! PREPARE, EXECUTE, DEALLOCATE: a statement with `$1`, `$2`, … is kept by the client alone. EXECUTE puts
//! the values in: in VALUES and SET they are data like any literal there, and everywhere else they
//! become secret parameters, so that no node sees `WHERE salary > $1` with its value. Their types are
//! public: the declared one, that of the column they are compared with, or one that the value fits.

use super::constant::{constant, literal_text};
use super::create::column_type;
use super::insert::Given;
use super::lexer::{Bindings, Fragment, is_word, split};
use super::parser::Parser;
use super::write::{Parameter, Redactor, Target};
use super::{Statement, parse};
use crate::encode::Cell;
use sqlparser::tokenizer::Token as Sql;
use std::collections::BTreeMap;
use std::fmt;
use trine_proto::schema::ColumnType;
use trine_proto::status::{SqlError, sqlstate};

/// Parameters of a statement at most.
const PARAMETERS_MAX: usize = 1024;

/// A statement without the values of its parameters. Other literals of an INSERT are data: [`fmt::Debug`]
/// shows the name only.
#[derive(Clone, PartialEq)]
pub struct Prepared {
    /// Its name.
    pub name: String,
    /// Declared types of `$1`, `$2`, …, as far as declared.
    types: Vec<ColumnType>,
    /// The statement.
    text: String,
    /// Characters before it in the text that it came in.
    offset: u32,
    /// The highest `$n`.
    parameters: usize,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prepared({:?}, {} parameters)", self.name, self.parameters)
    }
}

/// A query with secret parameters.
#[derive(Clone, PartialEq)]
pub struct Asked {
    /// The text for the nodes.
    pub sql: String,
    /// The values of `$1`, `$2`, ….
    pub parameters: Vec<Parameter>,
    /// Where pieces of `sql` stand in the text given.
    pub(super) places: Vec<(u32, u32)>,
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Asked({:?}, {} secret parameters)", self.sql, self.parameters.len())
    }
}

impl Asked {
    /// An error whose position counts in `sql`, moved to where it belongs in the text prepared.
    #[must_use]
    pub fn placed(&self, error: SqlError) -> SqlError {
        super::write::placed(&self.places, error)
    }
}

/// EXECUTE: the name of a prepared statement and the values of its parameters, which are data.
#[derive(Clone, PartialEq)]
pub struct Execution {
    /// The name.
    pub name: String,
    /// Values of `$1`, `$2`, ….
    pub values: Vec<Cell>,
    /// `EXPLAIN` or `EXPLAIN ANALYZE` where that stood in front.
    explain: Option<String>,
    /// Position of the name.
    position: u32,
}

impl fmt::Debug for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Execution({:?}, {} values)", self.name, self.values.len())
    }
}

impl Execution {
    /// Of a prepared statement with these values.
    #[must_use]
    pub fn new(name: &str, values: Vec<Cell>) -> Self {
        Self { name: name.to_owned(), values, explain: None, position: 0 }
    }
}

/// `PREPARE name [(type, …)] AS statement`.
pub(super) fn prepare(p: &mut Parser<'_>) -> Result<Statement, SqlError> {
    p.expect_word("PREPARE")?;
    let name = p.identifier()?;
    let mut types = Vec::new();
    if p.symbol(&Sql::LParen) {
        loop {
            types.push(column_type(p)?);
            if !p.symbol(&Sql::Comma) {
                break;
            }
        }
        p.expect_symbol(&Sql::RParen)?;
    }
    p.expect_word("AS")?;
    let position = p.position();
    let word = p.keyword_text();
    if !["SELECT", "WITH", "VALUES", "INSERT", "UPDATE", "DELETE", "("].contains(&word.as_str()) {
        return Err(p.unexpected("SELECT, VALUES, INSERT, UPDATE or DELETE can be prepared"));
    }
    Prepared::new(name, types, p.rest(), position.saturating_sub(1)).map(Statement::Prepare)
}

/// `EXECUTE name [(value, …)]`.
pub(super) fn execute(p: &mut Parser<'_>, explain: Option<String>) -> Result<Statement, SqlError> {
    p.expect_word("EXECUTE")?;
    let position = p.position();
    let name = p.identifier()?;
    let mut values = Vec::new();
    if p.symbol(&Sql::LParen) && !p.symbol(&Sql::RParen) {
        loop {
            values.push(constant(p)?);
            if !p.symbol(&Sql::Comma) {
                break;
            }
        }
        p.expect_symbol(&Sql::RParen)?;
    }
    p.end()?;
    Ok(Statement::Execute(Execution { name, values, explain, position }))
}

/// `DEALLOCATE [PREPARE] {name | ALL}`.
pub(super) fn deallocate(p: &mut Parser<'_>) -> Result<Statement, SqlError> {
    p.expect_word("DEALLOCATE")?;
    let _ = p.word("PREPARE");
    let name = if p.word("ALL") { None } else { Some(p.identifier()?) };
    p.end()?;
    Ok(Statement::Deallocate(name))
}

/// The number of `$n`.
pub(super) fn placeholder(token: &Sql) -> Option<usize> {
    match token {
        Sql::Placeholder(text) => text.strip_prefix('$')?.parse().ok().filter(|n| *n > 0),
        _ => None,
    }
}

impl Prepared {
    /// Prepares one statement; positions of errors count `offset` characters more.
    ///
    /// # Errors
    /// Those of the statement with NULL in the place of every parameter.
    pub fn new(
        name: String,
        types: Vec<ColumnType>,
        text: &str,
        offset: u32,
    ) -> Result<Self, SqlError> {
        let fragments = split(text)?;
        let [fragment] = fragments.as_slice() else {
            return Err(SqlError::new(sqlstate::SYNTAX_ERROR, "one statement can be prepared"));
        };
        let highest = fragment.tokens().iter().filter_map(|t| placeholder(&t.sql)).max();
        let parameters = highest.unwrap_or(0).max(types.len());
        if parameters > PARAMETERS_MAX {
            let message = format!("a statement has {PARAMETERS_MAX} parameters at most");
            return Err(SqlError::new(sqlstate::LIMIT_EXCEEDED, message));
        }
        let text = text.to_owned();
        let prepared = Self { name, types, text, offset, parameters };
        prepared.bound(vec![Cell::Null; parameters], None)?;
        Ok(prepared)
    }

    /// The statement with these values.
    fn bound(&self, values: Vec<Cell>, explain: Option<&str>) -> Result<Statement, SqlError> {
        let shifted = |mut e: SqlError| {
            if e.position > 0 {
                e.position = e.position.saturating_add(self.offset);
            }
            e
        };
        let explained = explain.map(|words| format!("{words} {}", self.text));
        let fragments = split(explained.as_ref().unwrap_or(&self.text)).map_err(shifted)?;
        let [fragment] = fragments.as_slice() else {
            return Err(SqlError::new(sqlstate::SYNTAX_ERROR, "one statement can be prepared"));
        };
        let fragment = fragment.clone().bound(Bindings { values, types: self.types.clone() });
        parse(&fragment).map_err(|e| if explain.is_none() { shifted(e) } else { e })
    }
}

/// A query in which every `$n` becomes a secret parameter.
pub(super) fn asked(fragment: &Fragment<'_>) -> Asked {
    let (sql, parameters, places) = Redactor::new(fragment).all();
    Asked { sql, parameters, places }
}

/// The value of the placeholder at a token, as a parameter.
pub(super) fn parameter(fragment: &Fragment<'_>, index: usize) -> Option<Parameter> {
    let tokens = fragment.tokens();
    let token = tokens.get(index)?;
    let number = placeholder(&token.sql)?.checked_sub(1)?;
    let bindings = fragment.bindings()?;
    let given = Given::Cell(bindings.values.get(number)?.clone());
    let target = match bindings.types.get(number) {
        Some(ty) => Target::Type(ty.clone()),
        None => target(fragment, index),
    };
    Some(Parameter { given, target, position: token.position() })
}

/// What a placeholder is cast to or compared with.
fn target(fragment: &Fragment<'_>, index: usize) -> Target {
    let tokens = fragment.tokens();
    let sql = |at: Option<usize>| at.and_then(|at| tokens.get(at)).map(|t| &t.sql);
    let before = |n: usize| index.checked_sub(n);
    let named = |at: Option<usize>| match sql(at) {
        Some(Sql::Word(w)) if w.quote_style.is_some() => Some(Target::Like(w.value.clone())),
        Some(Sql::Word(w)) => Some(Target::Like(w.value.to_lowercase())),
        _ => None,
    };
    let is = |at: Option<usize>, word: &str| sql(at).is_some_and(|t| is_word(t, word));
    if matches!(sql(Some(index + 1)), Some(Sql::DoubleColon))
        || is(before(2), "CAST") && is(Some(index + 1), "AS")
    {
        let mut p = Parser::between(fragment, index + 2, tokens.len());
        return column_type(&mut p).map_or(Target::Expression, Target::Type);
    }
    let compares = |at: Option<usize>| {
        matches!(sql(at), Some(Sql::Eq | Sql::Neq | Sql::Lt | Sql::Gt | Sql::LtEq | Sql::GtEq))
    };
    let found = if compares(before(1)) || is(before(1), "BETWEEN") {
        let not = is(before(2), "NOT");
        named(before(if not { 3 } else { 2 }))
    } else if is(before(1), "AND") && is(before(3), "BETWEEN") {
        named(before(if is(before(4), "NOT") { 5 } else { 4 }))
    } else if compares(Some(index + 1)) {
        // The last part of a name with its table in front.
        let mut at = index + 2;
        while matches!(sql(Some(at + 1)), Some(Sql::Period)) {
            at += 2;
        }
        named(Some(at)).filter(|_| sql(Some(at + 1)) != Some(&Sql::LParen))
    } else {
        listed(fragment, index).and_then(|at| named(Some(at)))
    };
    found.unwrap_or(Target::Expression)
}

/// The token before IN for a member of its list.
fn listed(fragment: &Fragment<'_>, index: usize) -> Option<usize> {
    let tokens = fragment.tokens();
    let mut at = index.checked_sub(1)?;
    while tokens.get(at)?.sql == Sql::Comma {
        at = at.checked_sub(2)?;
    }
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|t| is_word(&t.sql, word));
    if tokens.get(at)?.sql != Sql::LParen || !is(at.checked_sub(1)?, "IN") {
        return None;
    }
    at.checked_sub(if is(at.checked_sub(2)?, "NOT") { 3 } else { 2 })
}

/// The prepared statements of one session.
#[derive(Debug, Default)]
pub struct PreparedStatements {
    known: BTreeMap<String, Prepared>,
}

impl PreparedStatements {
    /// Keeps a statement.
    ///
    /// # Errors
    /// `42P05` if there is one of its name.
    pub fn prepare(&mut self, prepared: Prepared) -> Result<(), SqlError> {
        if self.known.contains_key(&prepared.name) {
            let message = format!("prepared statement \"{}\" already exists", prepared.name);
            return Err(SqlError::new("42P05", message).hint("DEALLOCATE it first"));
        }
        self.known.insert(prepared.name.clone(), prepared);
        Ok(())
    }

    /// Forgets a statement, or all of them.
    ///
    /// # Errors
    /// `26000` if there is none of this name.
    pub fn deallocate(&mut self, name: Option<&str>) -> Result<(), SqlError> {
        match name {
            None => self.known.clear(),
            Some(name) => {
                self.known.remove(name).ok_or_else(|| unknown(name))?;
            }
        }
        Ok(())
    }

    /// The statement that an EXECUTE stands for.
    ///
    /// # Errors
    /// `26000` for a name that there is not, `42601` for another number of values, and those of a
    /// value that does not go where it stands.
    pub fn execute(&self, execution: Execution) -> Result<Statement, SqlError> {
        let Execution { name, values, explain, position } = execution;
        let prepared = self.known.get(&name).ok_or_else(|| unknown(&name).at(position))?;
        if values.len() != prepared.parameters {
            let message = format!(
                "wrong number of parameters for prepared statement \"{name}\": {} are expected, {} \
                 given",
                prepared.parameters,
                values.len()
            );
            return Err(SqlError::new(sqlstate::SYNTAX_ERROR, message).at(position));
        }
        // Positions would count in the text of PREPARE.
        prepared.bound(values, explain.as_deref()).map_err(|e| SqlError { position: 0, ..e })
    }
}

fn unknown(name: &str) -> SqlError {
    SqlError::new("26000", format!("prepared statement \"{name}\" does not exist"))
        .hint("PREPARE it in this session")
}

/// The value of `$n` in a constant, as a text that gives the same value.
pub(super) fn bound_value(fragment: &Fragment<'_>, token: &Sql) -> Option<String> {
    let number = placeholder(token)?.checked_sub(1)?;
    fragment.bindings()?.values.get(number).map(literal_text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::{Write, parse_all};

    fn statements(prepare: &str) -> PreparedStatements {
        let mut all = PreparedStatements::default();
        match parse_all(prepare).unwrap().remove(0) {
            Statement::Prepare(prepared) => all.prepare(prepared).unwrap(),
            other => panic!("{other:?}"),
        }
        all
    }

    fn execute(prepare: &str, execute: &str) -> Result<Statement, SqlError> {
        match parse_all(execute).unwrap().remove(0) {
            Statement::Execute(execution) => statements(prepare).execute(execution),
            other => panic!("{other:?}"),
        }
    }

    fn asked(prepare: &str, values: &str) -> Asked {
        match execute(prepare, values).unwrap() {
            Statement::Ask(asked) => asked,
            other => panic!("{other:?}"),
        }
    }

    fn targets(parameters: &[Parameter]) -> Vec<String> {
        parameters
            .iter()
            .map(|p| match &p.target {
                Target::Like(name) => format!("like {name}"),
                Target::Type(ty) => ty.sql_name(),
                Target::Column(name) => format!("column {name}"),
                other => format!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn values_leave_the_text_of_a_query() {
        let found = asked(
            "prepare q as select a from t where a > $1 and $2 <= u.b and c between $1 and $3 and d in \
             (1, $4) and e = $5::date and $1 + 1 > 2",
            "execute q(7, 8, 9, 10, '2020-01-01')",
        );
        assert_eq!(
            found.sql,
            "select a from t where a > $1 and $2 <= u.b and c between $3 and $4 and d in (1, $5 ) and \
             e = $6 ::date and $7 + 1 > 2 "
        );
        assert_eq!(
            targets(&found.parameters),
            ["like a", "like b", "like c", "like c", "like d", "DATE", "Expression"]
        );
        assert!(found.parameters[3].given == Given::Cell(Cell::Number("9".into())));
        assert!(!format!("{found:?}").contains("2020"), "{found:?}");
        let typed = asked("prepare q(int, text) as values ($2, $1)", "execute q(1, 'x')");
        assert_eq!(targets(&typed.parameters), ["VARCHAR(64)", "INT"]);
    }

    #[test]
    fn values_of_writes_are_data() {
        let found = execute("prepare i as insert into t values ($1, -$2, 5)", "execute i('x', -3)");
        let Ok(Statement::Insert(insert)) = found else { panic!("{found:?}") };
        let cells: Vec<Cell> = insert.rows[0]
            .iter()
            .map(|(given, _)| match given {
                Given::Cell(cell) => cell.clone(),
                Given::Default => Cell::Null,
            })
            .collect();
        let number = |n: &str| Cell::Number(n.into());
        assert!(cells == [Cell::Text("x".into()), number("3"), number("5")]);
        let update = "prepare u as update t set a = $1, b = b + $2 where c = $3";
        let found = execute(update, "execute u(1, 2, 3)");
        let Ok(Statement::Write(Write { sql, parameters, .. })) = found else {
            panic!("{found:?}")
        };
        assert_eq!(sql, "update t set a = $1 , b = b + $2 where c = $3 ");
        assert_eq!(targets(&parameters), ["column a", "Expression", "like c"]);
        let found = execute("prepare d as delete from t where c < $1", "execute d(3)");
        let Ok(Statement::Write(Write { sql, parameters, .. })) = found else {
            panic!("{found:?}")
        };
        assert_eq!((sql.as_str(), parameters.len()), ("delete from t where c < $1 ", 1));
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |prepare: &str, run: &str| {
            let e = execute(prepare, run).unwrap_err();
            (e.sqlstate, e.message)
        };
        let says = |state: &str, message: &str| (state.to_owned(), message.to_owned());
        assert_eq!(
            refused("prepare q as select $1", "execute other(1)"),
            says("26000", "prepared statement \"other\" does not exist")
        );
        assert_eq!(
            refused("prepare q as select $1", "execute q"),
            says(
                "42601",
                "wrong number of parameters for prepared statement \"q\": 1 are expected, 0 given"
            )
        );
        let mut all = statements("prepare q as select 1");
        let twice = match parse_all("prepare q as select 2").unwrap().remove(0) {
            Statement::Prepare(prepared) => all.prepare(prepared).unwrap_err(),
            other => panic!("{other:?}"),
        };
        assert_eq!(twice.sqlstate, "42P05");
        assert_eq!(twice.message, "prepared statement \"q\" already exists");
        assert!(all.deallocate(Some("q")).is_ok());
        assert_eq!(all.deallocate(Some("q")).unwrap_err().sqlstate, "26000");
        for (sql, position) in [
            ("prepare q as create table t (a int)", 14),
            ("prepare q as insert into t values (", 36),
            ("prepare q as", 13),
        ] {
            let e = parse_all(sql).unwrap_err();
            assert_eq!((e.sqlstate.as_str(), e.position), ("42601", position), "{sql}");
        }
    }
}
