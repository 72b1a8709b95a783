//! From SQL text to DataFusion's optimised logical plan.
//!
//! 1. [`parse`]: one statement, within limits, PostgreSQL's syntax
//!    ([`dialect`]; [`rewrite`] knows more names of functions);
//! 2. [`check`]: what the syntax tree shows to be out of reach is refused with its position;
//!    ([`aliases`] tells select items apart that DataFusion would give one name);
//! 3. [`context`], [`tables`], [`functions`]: names are bound against the catalog at a log index,
//!    for one principal;
//! 4. [`optimizer`]: types are coerced and the plan is rewritten by a fixed list of rules;
//! 5. [`names`]: how result columns are called.
//!
//! Nothing here depends on clocks, hash order or the machine: three nodes get the same plan.

mod aliases;
mod bag_rule;
mod check;
mod context;
mod dialect;
mod dictionary_rule;
mod errors;
mod functions;
mod in_rule;
mod literal_rule;
mod names;
mod optimizer;
mod parse;
mod position;
mod rewrite;
mod tables;

pub use parse::Explain;
pub(crate) use position::Positions;
pub(crate) use tables::TrineTable;

use context::Context;
use datafusion_expr::LogicalPlan;
use datafusion_sql::planner::{ParserOptions, SqlToRel};
use functions::Functions;
use sqlparser::ast::Statement as Ast;
use trine_proto::catalog::Catalog;
use trine_proto::ids::LogIndex;
use trine_proto::status::SqlError;

/// A bound and optimised query.
pub(crate) struct Bound {
    pub(crate) explain: Explain,
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
    let positions = Positions::new(sql);
    let mut parsed = parse::parse(sql, &positions)?;
    let functions = Functions::shared();
    let names = names::of_query(&parsed.query);
    rewrite::rewrite(&mut parsed.query);
    check::check(&parsed.query, functions, &positions)?;
    let config = optimizer::Config::new(signed_at_ms);
    let context = Context { catalog, at, principal, functions, options: config.shared_options() };
    let translate = |e| errors::translate(e, &positions);
    let binder = SqlToRel::new_with_options(&context, parser_options());
    aliases::separate(&mut parsed.query);
    let bound = binder.sql_statement_to_plan(Ast::Query(parsed.query)).map_err(translate)?;
    let plan = optimizer::optimise(bound, &config).map_err(translate)?;
    let names = names::align(names, plan.schema());
    Ok(Bound { explain: parsed.explain, plan, names })
}

fn parser_options() -> ParserOptions {
    ParserOptions { collect_spans: true, ..ParserOptions::new() }
        .with_parse_float_as_decimal(true)
        .with_map_string_types_to_utf8view(false)
}
