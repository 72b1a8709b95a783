//! FETCH FIRST n ROWS ONLY is LIMIT n.

use sqlparser::ast::{Expr, LimitClause, Query, Value, VisitMut, VisitorMut};
use std::ops::ControlFlow;

/// Writes LIMIT for FETCH in a query and all its subqueries.
pub(crate) fn as_limit(query: &mut Query) {
    let _: ControlFlow<()> = query.visit(&mut Fetches);
}

struct Fetches;

impl VisitorMut for Fetches {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let Some(fetch) = query.fetch.take() else { return ControlFlow::Continue(()) };
        let one = || Expr::value(Value::Number("1".to_owned(), false));
        let rows = Some(fetch.quantity.unwrap_or_else(one));
        query.limit_clause = Some(match query.limit_clause.take() {
            Some(LimitClause::LimitOffset { offset, limit_by, .. }) => {
                LimitClause::LimitOffset { limit: rows, offset, limit_by }
            }
            _ => LimitClause::LimitOffset { limit: rows, offset: None, limit_by: Vec::new() },
        });
        ControlFlow::Continue(())
    }
}
