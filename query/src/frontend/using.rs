//! JOIN … USING as PostgreSQL has it: a merged column that is not NULL where either side has it, and
//! that comes first in `*`. DataFusion takes the left side's column and leaves it in its place. The
//! condition becomes ON, the merged column an expression.

use super::walk;
use sqlparser::ast::{
    BinaryOperator, ExcludeSelectItem, Expr, Ident, JoinConstraint, JoinOperator, ObjectName,
    Query, Select, SelectItem, SelectItemQualifiedWildcardKind, TableFactor, TableWithJoins,
    VisitMut, VisitorMut, WildcardAdditionalOptions,
};
use std::ops::ControlFlow;
use trine_proto::status::SqlError;

/// Rewrites all SELECTs of a query.
///
/// # Errors
/// `0A000` for a FULL JOIN of which the columns to merge are not named.
pub(super) fn rewrite(query: &mut Query) -> Result<(), SqlError> {
    walk::finished(VisitMut::visit(query, &mut Rewriter))
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = Box<SqlError>;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Self::Break> {
        match rewritten(select) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(Box::new(error)),
        }
    }
}

/// A column that a USING merges.
struct Merged {
    column: Ident,
    /// What it is over the relations joined so far.
    value: Expr,
}

/// Joins whose USING became ON.
struct Using {
    from: TableWithJoins,
    merged: Vec<Merged>,
    /// Every relation in its order, and which of its columns `*` does not show again.
    relations: Vec<(Ident, Vec<Ident>)>,
}

fn rewritten(select: &mut Select) -> Result<(), SqlError> {
    for join in select.from.iter().flat_map(|from| &from.joins) {
        if matches!(&join.join_operator, JoinOperator::FullOuter(JoinConstraint::Natural)) {
            return Err(SqlError::unsupported(
                "NATURAL FULL JOIN is not supported",
                "name the columns: FULL JOIN … USING (…)",
            ));
        }
    }
    let [from] = select.from.as_mut_slice() else { return Ok(()) };
    let star = select.projection.iter().any(|i| matches!(i, SelectItem::Wildcard(o) if plain(o)));
    let outer = from.joins.iter().any(|join| {
        matches!(
            &join.join_operator,
            JoinOperator::FullOuter(JoinConstraint::Using(_))
                | JoinOperator::Right(JoinConstraint::Using(_))
                | JoinOperator::RightOuter(JoinConstraint::Using(_))
        )
    });
    if !star && !outer {
        return Ok(());
    }
    let Some(Using { from: joined, merged, relations }) = merged(from) else { return Ok(()) };
    if merged.is_empty() {
        return Ok(());
    }
    *from = joined;
    let items = std::mem::take(&mut select.projection);
    for item in items {
        match item {
            SelectItem::Wildcard(options) if plain(&options) => {
                // The columns of the last USING first.
                for Merged { column, value } in merged.iter().rev() {
                    let (expr, alias) = (value.clone(), column.clone());
                    select.projection.push(SelectItem::ExprWithAlias { expr, alias });
                }
                for (relation, hidden) in &relations {
                    let names = hidden.iter().map(|column| ObjectName::from(vec![column.clone()]));
                    let names: Vec<ObjectName> = names.collect();
                    let opt_exclude =
                        (!names.is_empty()).then_some(ExcludeSelectItem::Multiple(names));
                    let rest = WildcardAdditionalOptions { opt_exclude, ..options.clone() };
                    let of = ObjectName::from(vec![relation.clone()]);
                    let of = SelectItemQualifiedWildcardKind::ObjectName(of);
                    select.projection.push(SelectItem::QualifiedWildcard(of, rest));
                }
            }
            SelectItem::UnnamedExpr(Expr::Identifier(ident)) => {
                select.projection.push(match find(&merged, &ident) {
                    Some(Merged { value, .. }) => {
                        SelectItem::ExprWithAlias { expr: value.clone(), alias: ident }
                    }
                    None => SelectItem::UnnamedExpr(Expr::Identifier(ident)),
                });
            }
            mut other => {
                replace(&mut other, &merged);
                select.projection.push(other);
            }
        }
    }
    for condition in [&mut select.selection, &mut select.having].into_iter().flatten() {
        replace(condition, &merged);
    }
    replace(&mut select.group_by, &merged);
    Ok(())
}

fn plain(options: &WildcardAdditionalOptions) -> bool {
    options.opt_exclude.is_none() && options.opt_except.is_none() && options.opt_replace.is_none()
}

fn find<'a>(merged: &'a [Merged], ident: &Ident) -> Option<&'a Merged> {
    merged.iter().find(|m| super::names::fold(&m.column) == super::names::fold(ident))
}

/// Puts merged columns in the place of their bare names, but not inside subqueries.
fn replace(node: &mut impl VisitMut, merged: &[Merged]) {
    struct Replacer<'a> {
        merged: &'a [Merged],
        depth: usize,
    }
    impl VisitorMut for Replacer<'_> {
        type Break = ();
        fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }
        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::Identifier(ident) = expr
                && self.depth == 0
                && let Some(found) = find(self.merged, ident)
            {
                *expr = found.value.clone();
            }
            ControlFlow::Continue(())
        }
    }
    let _ = node.visit(&mut Replacer { merged, depth: 0 });
}

/// The joins with ON in the place of USING; none where it is not clear which relation has a column.
fn merged(from: &TableWithJoins) -> Option<Using> {
    let mut from = from.clone();
    let first = qualifier(&from.relation)?;
    let mut relations = vec![(first.clone(), Vec::new())];
    let mut all: Vec<Merged> = Vec::new();
    for join in &mut from.joins {
        let right = qualifier(&join.relation)?;
        relations.push((right.clone(), Vec::new()));
        let kind = join.join_operator.clone();
        let (JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)) = &mut join.join_operator
        else {
            continue;
        };
        let JoinConstraint::Using(columns) = constraint else {
            if matches!(constraint, JoinConstraint::Natural) {
                return None;
            }
            continue;
        };
        let mut condition: Option<Expr> = None;
        for name in columns.iter().rev() {
            let column = name.0.last()?.as_ident()?.clone();
            let theirs = Expr::CompoundIdentifier(vec![right.clone(), column.clone()]);
            let known = all
                .iter()
                .position(|m| super::names::fold(&m.column) == super::names::fold(&column));
            let ours = match known {
                Some(at) => all.get(at)?.value.clone(),
                None if relations.len() == 2 => {
                    relations.first_mut()?.1.push(column.clone());
                    Expr::CompoundIdentifier(vec![first.clone(), column.clone()])
                }
                None => return None,
            };
            let equal = both(ours.clone(), BinaryOperator::Eq, theirs.clone());
            condition = Some(match condition {
                None => equal,
                Some(others) => both(equal, BinaryOperator::And, others),
            });
            let value = match kind {
                JoinOperator::Right(_) | JoinOperator::RightOuter(_) => theirs,
                JoinOperator::FullOuter(_) => super::rewrite::call("coalesce", vec![ours, theirs]),
                _ => ours,
            };
            if let Some(at) = known {
                all.remove(at);
            }
            relations.last_mut()?.1.push(column.clone());
            all.push(Merged { column, value });
        }
        *constraint = JoinConstraint::On(condition?);
    }
    Some(Using { from, merged: all, relations })
}

fn both(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

/// What a relation's columns are qualified with.
fn qualifier(factor: &TableFactor) -> Option<Ident> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. } => Some(alias.name.clone()),
        TableFactor::Table { name, .. } => name.0.last()?.as_ident().cloned(),
        _ => None,
    }
}
