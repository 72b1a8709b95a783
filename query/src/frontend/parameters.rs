//! Secret parameters: `$1` stands for the one value of column "1" of a relation of one row, which the
//! client has shared. No node sees it; its type is public.

use super::TrineTable;
use super::parse;
use super::position::Positions;
use super::walk;
use crate::plan::SegmentScan;
use sqlparser::ast::{Expr, Query, Value, ValueWithSpan, Visit, VisitMut, Visitor, VisitorMut};
use std::ops::ControlFlow;
use trine_proto::catalog::Parameters;
use trine_proto::ids::TableId;
use trine_proto::status::{SqlError, sqlstate};

/// Name of the relation of one row.
const NAME: &str = "$parameters";

/// The relation under its name.
pub(super) fn overlay(parameters: &Parameters) -> (String, TrineTable) {
    let row = SegmentScan { id: parameters.segment, rows: 1, has_valid: false, layout: None };
    (NAME.into(), TrineTable::over(TableId::PARAMETERS, parameters.schema.clone(), vec![row]))
}

/// Puts a subquery in the place of every `$n`.
pub(super) fn replace(query: &mut Query, parameters: &Parameters) -> Result<(), SqlError> {
    let mut replacer = Replacer { parameters };
    walk::finished(VisitMut::visit(query, &mut replacer))
}

struct Replacer<'a> {
    parameters: &'a Parameters,
}

struct Finder;

impl Visitor for Finder {
    type Break = ();
    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<()> {
        if matches!(value.value, Value::Placeholder(_)) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

impl VisitorMut for Replacer<'_> {
    type Break = Box<SqlError>;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        let limits = query.limit_clause.as_ref().is_some_and(|l| l.visit(&mut Finder).is_break())
            || query.fetch.as_ref().is_some_and(|f| f.visit(&mut Finder).is_break());
        if limits {
            return ControlFlow::Break(Box::new(SqlError::unsupported(
                "a secret parameter cannot stand in LIMIT or OFFSET",
                "the number of rows is public: write it into the statement",
            )));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        let Expr::Value(value) = expr else { return ControlFlow::Continue(()) };
        let Value::Placeholder(name) = &value.value else { return ControlFlow::Continue(()) };
        match self.subquery(name) {
            Ok(query) => *expr = Expr::Subquery(query),
            Err(error) => return ControlFlow::Break(Box::new(error)),
        }
        ControlFlow::Continue(())
    }
}

impl Replacer<'_> {
    fn subquery(&self, name: &str) -> Result<Box<Query>, SqlError> {
        let number = name.trim_start_matches('$');
        if self.parameters.schema.position(number).is_none() {
            return Err(SqlError::new(
                sqlstate::UNDEFINED_PARAMETER,
                format!("there is no parameter ${number}"),
            ));
        }
        let sql = format!("SELECT \"{number}\" FROM \"{NAME}\"");
        parse::parse(&sql, &Positions::new(&sql)).map(|parsed| parsed.query)
    }
}
