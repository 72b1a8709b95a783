//! DataFusion wants every column of a select list to have a name of its own; SQL does not. Items
//! that could collide get an alias before binding. Result names were taken down before.

use sqlparser::ast::{
    Expr, Ident, Query, Select, SelectItem, SetExpr, VisitMut, Visitor, VisitorMut,
};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// Start of the names given here.
const PREFIX: &str = "__trine_item_";

/// Gives aliases in all select lists of a query.
pub(crate) fn separate(query: &mut Query) {
    top(&mut query.body);
    let mut aliaser = Aliaser { next: 0 };
    let _: ControlFlow<()> = query.visit(&mut aliaser);
}

/// Select lists whose names do not matter: also plain columns may be renamed.
fn top(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => repeated_columns(select),
        SetExpr::Query(query) => top(&mut query.body),
        SetExpr::SetOperation { left, right, .. } => {
            top(left);
            top(right);
        }
        _ => {}
    }
}

/// `SELECT a, a` and `SELECT *, a`.
fn repeated_columns(select: &mut Select) {
    let wildcard = select
        .projection
        .iter()
        .any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    let mut seen = BTreeSet::new();
    for (index, item) in select.projection.iter_mut().enumerate() {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        let Some(column) = last_name(expr) else { continue };
        if wildcard || !seen.insert(column) {
            *item = aliased(expr.clone(), &format!("{PREFIX}column_{index}"));
        }
    }
}

fn last_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(ident.value.to_lowercase()),
        Expr::CompoundIdentifier(parts) => parts.last().map(|p| p.value.to_lowercase()),
        Expr::Nested(inner) => last_name(inner),
        _ => None,
    }
}

fn aliased(expr: Expr, name: &str) -> SelectItem {
    SelectItem::ExprWithAlias { expr, alias: Ident::new(name) }
}

struct Aliaser {
    next: usize,
}

impl VisitorMut for Aliaser {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let mut seen = BTreeSet::new();
        for item in &mut select.projection {
            let SelectItem::UnnamedExpr(expr) = item else { continue };
            if last_name(expr).is_some() {
                continue;
            }
            // A cast has the name of what it casts.
            let cast = matches!(expr, Expr::Cast { .. });
            if cast || holds_subquery(expr) || !seen.insert(expr.to_string()) {
                *item = aliased(expr.clone(), &format!("{PREFIX}{}", self.next));
                self.next += 1;
            }
        }
        ControlFlow::Continue(())
    }
}

fn holds_subquery(expr: &Expr) -> bool {
    struct Finder;
    impl Visitor for Finder {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    sqlparser::ast::Visit::visit(expr, &mut Finder).is_break()
}
