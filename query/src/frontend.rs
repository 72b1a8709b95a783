//! From SQL text to DataFusion's optimised logical plan.
//!
//! 1. [`parse`]: one statement, within limits, PostgreSQL's syntax
//!    ([`dialect`]; [`rewrite`] knows more names of functions);
//! 2. [`check`]: what the syntax tree shows to be out of reach is refused with its position;
//!    ([`aliases`] tells select items of one name apart);
//! 3. [`context`], [`tables`], [`views`], [`information`], [`functions`]: names are bound against the
//!    catalog at a log index, for one principal;
//! 4. [`optimizer`]: types are coerced and the plan is rewritten by a fixed list of rules;
//! 5. [`names`]: how result columns are called.
//!
//! Nothing here depends on clocks, hash order or the machine: three nodes get the same plan.

mod aliases;
mod bag_rule;
mod check;
mod columns;
mod context;
mod dialect;
mod dictionary_rule;
mod errors;
mod exact_rule;
mod fence_rule;
mod fetch;
mod functions;
mod groups;
mod hash_functions;
mod in_rule;
mod information;
mod interval_rule;
mod lift;
mod literal_rule;
mod names;
mod optimizer;
mod ordered_sets;
mod parameters;
mod parse;
mod plain_rule;
mod position;
mod rewrite;
mod rows;
mod series;
mod shown;
mod tables;
mod using;
mod views;
mod walk;
mod writes;

pub(crate) use fence_rule::ONLY_VALUE;
pub use parse::Explain;
pub(crate) use position::Positions;
pub(crate) use tables::TrineTable;
pub(crate) use writes::{Writes, bind as bind_write, explained as explained_write};

use context::Context;
use datafusion_expr::LogicalPlan;
use datafusion_sql::planner::{ParserOptions, SqlToRel};
use functions::Functions;
use sqlparser::ast::Statement as Ast;
use trine_proto::catalog::{Catalog, Parameters};
use trine_proto::ids::LogIndex;
use trine_proto::status::SqlError;

/// A bound and optimised query.
pub(crate) struct Bound {
    pub(crate) explain: Explain,
    pub(crate) json: bool,
    pub(crate) plan: LogicalPlan,
    /// Names of the result columns.
    pub(crate) names: Vec<String>,
}

/// Parses, binds and optimises one query.
///
/// # Errors
/// Whatever is wrong with the statement, in PostgreSQL's words, with a position where there is one.
pub(crate) fn bind(
    sql: &str,
    catalog: &Catalog,
    at: LogIndex,
    principal: &str,
    signed_at_ms: u64,
) -> Result<Bound, SqlError> {
    bind_over(sql, catalog, at, principal, signed_at_ms, &[])
}

/// The same where some names stand for other tables than in the catalog.
///
/// # Errors
/// As [`bind`].
pub(crate) fn bind_over(
    sql: &str,
    catalog: &Catalog,
    at: LogIndex,
    principal: &str,
    signed_at_ms: u64,
    overlay: &[(String, TrineTable)],
) -> Result<Bound, SqlError> {
    let positions = Positions::new(sql);
    let parsed = parse::parse(sql, &positions)?;
    bind_query(parsed, &positions, catalog, at, (principal, signed_at_ms), overlay, None)
}

/// The same with the values of its parameters shared.
///
/// # Errors
/// As [`bind`]; 42P02 for a parameter that there is not.
pub(crate) fn bind_with(
    sql: &str,
    catalog: &Catalog,
    at: LogIndex,
    who: (&str, u64),
    parameters: Option<&Parameters>,
) -> Result<Bound, SqlError> {
    let positions = Positions::new(sql);
    let parsed = parse::parse(sql, &positions)?;
    bind_query(parsed, &positions, catalog, at, who, &[], parameters)
}

/// Binds a parsed query for a principal at its signed time.
pub(crate) fn bind_query(
    mut parsed: parse::Parsed,
    positions: &Positions<'_>,
    catalog: &Catalog,
    at: LogIndex,
    (principal, signed_at_ms): (&str, u64),
    overlay: &[(String, TrineTable)],
    set: Option<&Parameters>,
) -> Result<Bound, SqlError> {
    let functions = Functions::shared();
    let names = names::of_query(&parsed.query);
    let mut overlay = overlay.to_vec();
    if let Some(set) = set {
        parameters::replace(&mut parsed.query, set)?;
        overlay.push(parameters::overlay(set));
    }
    rows::rewrite(&mut parsed.query)?;
    rewrite::rewrite(&mut parsed.query);
    lift::rewrite(&mut parsed.query);
    groups::rewrite(&mut parsed.query);
    series::rewrite(&mut parsed.query)?;
    let config = optimizer::Config::new(signed_at_ms);
    let context = Context {
        catalog,
        at,
        principal,
        functions,
        options: config.shared_options(),
        overlay: &overlay,
        lender: None,
        depth: 0,
    };
    columns::complete(&mut parsed.query, &|name| context.columns(name));
    using::rewrite(&mut parsed.query)?;
    check::check(&parsed.query, functions, positions)?;
    let translate = |e| errors::translate(e, positions);
    let binder = SqlToRel::new_with_options(&context, parser_options());
    fetch::as_limit(&mut parsed.query);
    aliases::separate(&mut parsed.query)?;
    let bound = binder.sql_statement_to_plan(Ast::Query(parsed.query)).map_err(translate)?;
    let plan = optimizer::optimise(bound, &config).map_err(translate)?;
    let plan = shown::constants(plan).map_err(translate)?;
    let names = names::align(names, plan.schema());
    Ok(Bound { explain: parsed.explain, json: parsed.json, plan, names })
}

/// Whether a view of this SELECT and these column names has columns of different names.
///
/// # Errors
/// As [`bind`]; 42701.
pub(crate) fn check_view(
    sql: &str,
    columns: &[String],
    catalog: &Catalog,
    at: LogIndex,
    principal: &str,
) -> Result<(), SqlError> {
    let config = optimizer::Config::new(0);
    let context = Context {
        catalog,
        at,
        principal,
        functions: Functions::shared(),
        options: config.shared_options(),
        overlay: &[],
        lender: None,
        depth: 0,
    };
    views::check(&context, sql, columns)
}

fn parser_options() -> ParserOptions {
    ParserOptions { collect_spans: true, ..ParserOptions::new() }
        .with_parse_float_as_decimal(true)
        .with_map_string_types_to_utf8view(false)
}
