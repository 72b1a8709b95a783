//! Names of select items. DataFusion wants every column of a select list to have a name of its own and
//! calls `sum(a)` "sum(t.a)"; PostgreSQL lets names repeat and calls it "sum". Items whose names would
//! collide get an alias before binding; [`plain`] takes it off again, [`repeated`] tells that a name
//! which is not found is one of several. Result names were taken down before.

use super::names;
use super::walk::{self, Flow};
use sqlparser::ast::{
    Expr, GroupByExpr, Ident, OrderByKind, Query, Select, SelectItem, SetExpr, UnaryOperator,
    VisitMut, Visitor, VisitorMut,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use trine_proto::status::{SqlError, sqlstate};

/// Start of the names given to items without one.
const PREFIX: &str = "__trine_item_";
/// Start of the names given to items that share one; a number, `_` and the name follow.
const REPEATED: &str = "__trine_same_";

/// Gives aliases in all select lists of a query.
///
/// # Errors
/// 42702 for an ORDER BY of a name that different items have.
pub(crate) fn separate(query: &mut Query) -> Result<(), SqlError> {
    top(&mut query.body);
    let mut aliaser = Aliaser { next: 0, depth: 0 };
    walk::finished(query.visit(&mut aliaser))
}

/// A column's name as its user knows it.
pub(crate) fn plain(name: &str) -> &str {
    name.strip_prefix(REPEATED).and_then(|rest| rest.split_once('_')).map_or(name, |(_, own)| own)
}

/// Whether a column stands for one of several of this name.
pub(crate) fn repeated(column: &str, name: &str) -> bool {
    column.starts_with(REPEATED) && plain(column) == name
}

/// Select lists whose names do not matter: plain columns beside a wildcard, which may hold them too.
fn top(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => beside_wildcards(select),
        SetExpr::Query(query) => top(&mut query.body),
        SetExpr::SetOperation { left, right, .. } => {
            top(left);
            top(right);
        }
        _ => {}
    }
}

/// `SELECT *, a`.
fn beside_wildcards(select: &mut Select) {
    let wildcard = select
        .projection
        .iter()
        .any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    if !wildcard {
        return;
    }
    for (index, item) in select.projection.iter_mut().enumerate() {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        if column_name(expr).is_some() {
            *item = aliased(expr.clone(), &format!("{PREFIX}column_{index}"));
        }
    }
}

fn column_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(names::fold(ident)),
        Expr::CompoundIdentifier(parts) => parts.last().map(names::fold),
        Expr::Nested(inner) => column_name(inner),
        _ => None,
    }
}

fn aliased(expr: Expr, name: &str) -> SelectItem {
    SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) }
}

struct Aliaser {
    next: usize,
    /// Queries around.
    depth: usize,
}

impl VisitorMut for Aliaser {
    type Break = Box<SqlError>;

    fn pre_visit_query(&mut self, query: &mut Query) -> Flow {
        self.depth += 1;
        let Some(select) = leftmost(&mut query.body) else { return ControlFlow::Continue(()) };
        if self.depth > 1 {
            self.name_calls(select);
        }
        let renamed = self.separate_repeated(select);
        let Some(order_by) = &mut query.order_by else { return ControlFlow::Continue(()) };
        let OrderByKind::Expressions(keys) = &mut order_by.kind else {
            return ControlFlow::Continue(());
        };
        for key in keys {
            let Expr::Identifier(ident) = &key.expr else { continue };
            match renamed.get(&names::fold(ident)) {
                Some(Some(first)) => key.expr = Expr::Identifier(Ident::with_quote('"', first)),
                Some(None) => {
                    let message = format!("ORDER BY \"{}\" is ambiguous", names::fold(ident));
                    let error = SqlError::new(sqlstate::AMBIGUOUS_COLUMN, message)
                        .hint("give the columns different names with AS");
                    return ControlFlow::Break(Box::new(error));
                }
                None => {}
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> Flow {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> Flow {
        self.separate_repeated(select);
        let mut seen = BTreeSet::new();
        for item in &mut select.projection {
            let SelectItem::UnnamedExpr(expr) = item else { continue };
            if column_name(expr).is_some() {
                continue;
            }
            // A cast has the name of what it casts, and +a that of a.
            let cast = matches!(expr, Expr::Cast { .. });
            if cast || holds_plus(expr) || holds_subquery(expr) || !seen.insert(expr.to_string()) {
                *item = aliased(expr.clone(), &format!("{PREFIX}{}", self.next));
                self.next += 1;
            }
        }
        ControlFlow::Continue(())
    }
}

impl Aliaser {
    /// In a subquery, calls get the names that PostgreSQL gives them: what is around may use them.
    fn name_calls(&self, select: &mut Select) {
        let grouped = select.having.is_some()
            || !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
        for item in &mut select.projection {
            let SelectItem::UnnamedExpr(expr) = item else { continue };
            // HAVING would take the name for the item where PostgreSQL takes it for a column below.
            let safe = !grouped || matches!(expr, Expr::Function(_));
            if column_name(expr).is_none()
                && safe
                && let Some(name) = names::of_expr(expr)
            {
                *item = aliased(expr.clone(), &name);
            }
        }
    }

    /// Renames items of one name. For each such name the new one of the first item if all of them are
    /// one expression.
    fn separate_repeated(&mut self, select: &mut Select) -> BTreeMap<String, Option<String>> {
        let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, item) in select.projection.iter().enumerate() {
            let name = match item {
                SelectItem::UnnamedExpr(expr) => column_name(expr),
                SelectItem::ExprWithAlias { alias, .. } => Some(names::fold(alias)),
                _ => None,
            };
            if let Some(name) = name {
                places.entry(name).or_default().push(index);
            }
        }
        places.retain(|_, places| places.len() > 1);
        let mut renamed = BTreeMap::new();
        for (name, places) in places {
            let mut texts = BTreeSet::new();
            let mut first = None;
            for place in places {
                let Some(item) = select.projection.get_mut(place) else { continue };
                let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item
                else {
                    continue;
                };
                texts.insert(expr.to_string());
                let own = format!("{REPEATED}{}_{name}", self.next);
                self.next += 1;
                *item = aliased(expr.clone(), &own);
                first.get_or_insert(own);
            }
            renamed.insert(name, first.filter(|_| texts.len() == 1));
        }
        renamed
    }
}

/// The SELECT that names the columns of a query.
fn leftmost(body: &mut SetExpr) -> Option<&mut Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => leftmost(&mut query.body),
        SetExpr::SetOperation { left, .. } => leftmost(left),
        _ => None,
    }
}

fn holds_plus(expr: &Expr) -> bool {
    struct Finder;
    impl Visitor for Finder {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::UnaryOp { op: UnaryOperator::Plus, .. } => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    sqlparser::ast::Visit::visit(expr, &mut Finder).is_break()
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
