//! Views: the stored SELECT is bound where its name stands.
//!
//! Rights: whoever uses a view needs SELECT on it. Inside it, a table may be read by whom it was
//! granted to, and by everybody if the owner of the view owns the table: a view lends what its owner
//! owns (some columns or rows of a table, say) and can never pass on what was only granted to him.

use super::context::Context;
use super::{aliases, check, errors, names, parse, position::Positions, rewrite, using};
use crate::policy;
use arrow::datatypes::SchemaRef;
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableSource};
use datafusion_sql::planner::{ParserOptions, SqlToRel};
use sqlparser::ast::Statement as Ast;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use trine_proto::catalog::ViewEntry;
use trine_proto::status::{SqlError, sqlstate};

/// Views inside views at most.
const DEPTH_MAX: usize = 32;

/// A relation that is a plan of its own: put in the place of its name.
#[derive(Debug)]
pub(super) struct Inlined {
    plan: LogicalPlan,
    schema: SchemaRef,
}

impl Inlined {
    pub(super) fn new(plan: LogicalPlan) -> Self {
        let schema = Arc::new(plan.schema().as_arrow().clone());
        Self { plan, schema }
    }
}

impl TableSource for Inlined {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        Some(Cow::Borrowed(&self.plan))
    }
}

/// The view as a relation, for who asks in this context.
pub(super) fn source(context: &Context<'_>, view: &ViewEntry) -> Result<Arc<dyn TableSource>> {
    let external = |e: SqlError| DataFusionError::External(Box::new(e));
    policy::readable_view(view, context.at, (context.principal, context.lender))
        .map_err(external)?;
    if context.depth >= DEPTH_MAX {
        return Err(external(SqlError::new(
            sqlstate::LIMIT_EXCEEDED,
            format!("views stand in each other deeper than {DEPTH_MAX} levels"),
        )));
    }
    let plan = bound(context, &view.sql, &view.columns, &view.owner)
        .map_err(|e| external(inside(e, &view.name)))?;
    Ok(Arc::new(Inlined::new(plan)))
}

/// Positions inside the view's text mean nothing to who uses it.
fn inside(error: SqlError, view: &str) -> SqlError {
    let message = if error.message.contains("(in view ") {
        error.message
    } else {
        format!("{} (in view \"{view}\")", error.message)
    };
    SqlError { message, position: 0, ..error }
}

/// Binds a SELECT as the view of who asks in this context.
pub(super) fn check(
    context: &Context<'_>,
    sql: &str,
    columns: &[String],
) -> std::result::Result<(), SqlError> {
    bound(context, sql, columns, context.principal).map(drop)
}

fn bound(
    context: &Context<'_>,
    sql: &str,
    columns: &[String],
    owner: &str,
) -> std::result::Result<LogicalPlan, SqlError> {
    let positions = Positions::new(sql);
    let mut parsed = parse::parse(sql, &positions)?;
    if parsed.explain != super::Explain::No {
        return Err(SqlError::new(sqlstate::SYNTAX_ERROR, "a view is a SELECT"));
    }
    rewrite::rewrite(&mut parsed.query);
    using::rewrite(&mut parsed.query)?;
    check::check(&parsed.query, context.functions, &positions)?;
    let inner = Context {
        catalog: context.catalog,
        at: context.at,
        principal: context.principal,
        functions: context.functions,
        options: Arc::clone(&context.options),
        overlay: &[],
        lender: Some(owner),
        depth: context.depth + 1,
    };
    let items = names::of_query(&parsed.query);
    aliases::separate(&mut parsed.query)?;
    // No spans: they would point into another text than the statement's.
    let options = ParserOptions { collect_spans: false, ..super::parser_options() };
    let binder = SqlToRel::new_with_options(&inner, options);
    let translate = |e| errors::translate(e, &positions);
    let plan = binder.sql_statement_to_plan(Ast::Query(parsed.query)).map_err(translate)?;
    let names = named(names::align(items, plan.schema()), columns)?;
    renamed(plan, &names).map_err(translate)
}

/// Names of the view's columns: the declared ones first.
fn named(mut own: Vec<String>, columns: &[String]) -> std::result::Result<Vec<String>, SqlError> {
    if columns.len() > own.len() {
        return Err(SqlError::new(
            sqlstate::SYNTAX_ERROR,
            "CREATE VIEW specifies more column names than columns",
        ));
    }
    for (name, declared) in own.iter_mut().zip(columns) {
        name.clone_from(declared);
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = own.iter().find(|n| !seen.insert(n.as_str())) {
        return Err(SqlError::new(
            sqlstate::DUPLICATE_COLUMN,
            format!("column \"{twice}\" specified more than once"),
        )
        .hint("give the columns of the view names of their own"));
    }
    Ok(own)
}

/// The same relation under these names.
pub(super) fn renamed(plan: LogicalPlan, names: &[String]) -> Result<LogicalPlan> {
    let exprs: Vec<Expr> = plan
        .schema()
        .columns()
        .into_iter()
        .zip(names)
        .map(|(column, name)| Expr::Column(column).alias(name))
        .collect();
    LogicalPlanBuilder::from(plan).project(exprs)?.build()
}
