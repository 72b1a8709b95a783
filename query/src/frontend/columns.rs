//! Which columns a relation of the syntax tree has, as far as the tree and the catalog tell, and what
//! PostgreSQL allows because it knows: alias lists that are shorter than the relation, and NATURAL
//! joins as USING of the columns that both sides have.

use super::names::{self, Item};
use sqlparser::ast::{
    Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableAlias, TableAliasColumnDef, TableFactor,
    TableWithJoins, VisitMut, VisitorMut,
};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// Columns of a table or view by its name; `None` if there is none or it must not be read.
pub(super) type Known<'a> = &'a dyn Fn(&ObjectName) -> Option<Vec<String>>;

/// Completes alias lists and names the columns of NATURAL joins, from the inside out. What is not known
/// stays as it is.
pub(super) fn complete(query: &mut Query, known: Known<'_>) {
    let mut names = WithNames(BTreeSet::new());
    let _ = query.visit(&mut names);
    let columns = Columns { known, with: names.0 };
    let _ = query.visit(&mut Completer(columns));
}

/// How many columns a query has, if its text tells.
pub(super) fn width(query: &Query) -> Option<usize> {
    let columns = Columns { known: &|_| None, with: BTreeSet::new() };
    columns.of_query(query).map(|all| all.len())
}

/// Names that WITH gives: they hide tables of the catalog.
struct WithNames(BTreeSet<String>);

impl VisitorMut for WithNames {
    type Break = ();
    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        self.0.extend(tables.map(|table| names::fold(&table.alias.name)));
        ControlFlow::Continue(())
    }
}

struct Completer<'a>(Columns<'a>);

impl VisitorMut for Completer<'_> {
    type Break = ();

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        // Most relations have no list, and need not be looked at.
        if alias_of(factor).is_none_or(|alias| alias.columns.is_empty()) {
            return ControlFlow::Continue(());
        }
        let own = self.0.unaliased(factor).unwrap_or_default();
        if let TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. } = factor
        {
            let rest = own.iter().skip(alias.columns.len());
            alias.columns.extend(rest.map(|name| TableAliasColumnDef {
                name: Ident::with_quote('"', name.as_str()),
                data_type: None,
            }));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        each_select(&mut query.body, &mut |select| {
            select.from.iter_mut().for_each(|from| self.0.name_natural(from));
            self.0.spell_out(select);
        });
        ControlFlow::Continue(())
    }
}

fn each_select(body: &mut SetExpr, work: &mut impl FnMut(&mut Select)) {
    match body {
        SetExpr::Select(select) => work(select),
        SetExpr::SetOperation { left, right, .. } => {
            each_select(left, work);
            each_select(right, work);
        }
        // A query in parentheses is visited by itself.
        _ => {}
    }
}

struct Columns<'a> {
    known: Known<'a>,
    with: BTreeSet<String>,
}

impl Columns<'_> {
    fn of_query(&self, query: &Query) -> Option<Vec<String>> {
        self.of_body(&query.body)
    }

    fn of_body(&self, body: &SetExpr) -> Option<Vec<String>> {
        match body {
            SetExpr::Select(select) => self.of_select(select),
            SetExpr::Query(query) => self.of_query(query),
            SetExpr::SetOperation { left, .. } => self.of_body(left),
            SetExpr::Values(values) => {
                Some((1..=values.rows.first()?.len()).map(|i| format!("column{i}")).collect())
            }
            _ => None,
        }
    }

    fn of_select(&self, select: &Select) -> Option<Vec<String>> {
        let items = names::of_items(&select.projection);
        let mut all = Vec::new();
        for (item, name) in select.projection.iter().zip(items) {
            match (item, name) {
                (_, Item::Named(name)) => all.push(name),
                (SelectItem::Wildcard(_), Item::Wildcard) => {
                    for from in &select.from {
                        all.extend(self.of_joins(from)?);
                    }
                }
                (SelectItem::QualifiedWildcard(kind, _), Item::Wildcard) => {
                    let SelectItemQualifiedWildcardKind::ObjectName(name) = kind else {
                        return None;
                    };
                    all.extend(self.of_qualifier(select, name)?);
                }
                _ => return None,
            }
        }
        Some(all)
    }

    fn of_qualifier(&self, select: &Select, name: &ObjectName) -> Option<Vec<String>> {
        let wanted = names::fold(name.0.last()?.as_ident()?);
        let joined = select.from.iter().flat_map(|f| f.joins.iter().map(|j| &j.relation));
        let factors = select.from.iter().map(|f| &f.relation).chain(joined);
        let is_called = |factor: &&TableFactor| match factor {
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. } => names::fold(&alias.name) == wanted,
            TableFactor::Table { name, .. } => {
                name.0.last().and_then(|p| p.as_ident()).is_some_and(|i| names::fold(i) == wanted)
            }
            _ => false,
        };
        self.of_factor(factors.into_iter().find(is_called)?)
    }

    /// Columns that `*` shows of joined relations: merged ones come first.
    fn of_joins(&self, from: &TableWithJoins) -> Option<Vec<String>> {
        let mut all = self.of_factor(&from.relation)?;
        for join in &from.joins {
            let right = self.of_factor(&join.relation)?;
            all = joined(join, all, right)?;
        }
        Some(all)
    }

    fn of_factor(&self, factor: &TableFactor) -> Option<Vec<String>> {
        Some(renamed(self.unaliased(factor)?, alias_of(factor)))
    }

    fn unaliased(&self, factor: &TableFactor) -> Option<Vec<String>> {
        match factor {
            TableFactor::Table { name, args: None, .. } => {
                let bare = match name.0.as_slice() {
                    [part] => part.as_ident().map(names::fold),
                    _ => None,
                };
                if bare.is_some_and(|bare| self.with.contains(&bare)) {
                    return None;
                }
                (self.known)(name)
            }
            TableFactor::Derived { subquery, .. } => self.of_query(subquery),
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                self.of_joins(table_with_joins)
            }
            _ => None,
        }
    }

    /// `*, *` as the columns, which may be named several times where `*` may not. Left alone where a name
    /// stands for several columns.
    fn spell_out(&self, select: &mut Select) {
        let is_star = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_));
        if select.projection.iter().filter(|item| is_star(item)).count() < 2 {
            return;
        }
        let all: Option<Vec<Vec<String>>> =
            select.from.iter().map(|from| self.of_joins(from)).collect();
        let Some(all) = all.map(|all| all.concat()) else { return };
        if all.iter().collect::<BTreeSet<_>>().len() < all.len() {
            return;
        }
        let column = |name: &String| {
            SelectItem::UnnamedExpr(Expr::Identifier(Ident::with_quote('"', name.as_str())))
        };
        let items = std::mem::take(&mut select.projection);
        for item in items {
            if is_star(&item) {
                select.projection.extend(all.iter().map(column));
            } else {
                select.projection.push(item);
            }
        }
    }

    /// NATURAL as USING, as far as the columns are known.
    fn name_natural(&self, from: &mut TableWithJoins) {
        if !from.joins.iter().any(|join| matches!(constraint(join), Some(JoinConstraint::Natural)))
        {
            return;
        }
        let Some(mut left) = self.of_factor(&from.relation) else { return };
        for join in &mut from.joins {
            let Some(right) = self.of_factor(&join.relation) else { return };
            let shared = common(&left, &right);
            // No column in common is a cross join, which is what NATURAL says then by itself.
            if let Some(constraint @ JoinConstraint::Natural) = constraint_mut(join)
                && !shared.is_empty()
            {
                let ident = |name: &String| Ident::with_quote('"', name.as_str());
                let named = shared.iter().map(|n| ObjectName::from(vec![ident(n)])).collect();
                *constraint = JoinConstraint::Using(named);
            }
            let Some(all) = joined(join, left, right) else { return };
            left = all;
        }
    }
}

fn alias_of(factor: &TableFactor) -> Option<&TableAlias> {
    match factor {
        TableFactor::Table { alias, .. } | TableFactor::Derived { alias, .. } => alias.as_ref(),
        _ => None,
    }
}

/// Columns of two joined relations.
fn joined(join: &Join, left: Vec<String>, right: Vec<String>) -> Option<Vec<String>> {
    Some(match constraint(join)? {
        JoinConstraint::Using(columns) => {
            let name = |c: &ObjectName| c.0.last()?.as_ident().map(names::fold);
            let merged: Option<Vec<String>> = columns.iter().map(name).collect();
            beside(merged?, left, right)
        }
        JoinConstraint::Natural => beside(common(&left, &right), left, right),
        _ => [left, right].concat(),
    })
}

fn common(left: &[String], right: &[String]) -> Vec<String> {
    left.iter().filter(|name| right.contains(name)).cloned().collect()
}

fn beside(merged: Vec<String>, left: Vec<String>, right: Vec<String>) -> Vec<String> {
    let rest: Vec<String> =
        left.into_iter().chain(right).filter(|name| !merged.contains(name)).collect();
    [merged, rest].concat()
}

fn renamed(own: Vec<String>, alias: Option<&TableAlias>) -> Vec<String> {
    let given = alias.map_or(&[][..], |alias| alias.columns.as_slice());
    let new = given.iter().map(|column| names::fold(&column.name));
    let kept = own.into_iter().skip(given.len());
    new.chain(kept).collect()
}

fn constraint(join: &Join) -> Option<&JoinConstraint> {
    match &join.join_operator {
        JoinOperator::Join(c)
        | JoinOperator::Inner(c)
        | JoinOperator::Left(c)
        | JoinOperator::LeftOuter(c)
        | JoinOperator::Right(c)
        | JoinOperator::RightOuter(c)
        | JoinOperator::FullOuter(c)
        | JoinOperator::CrossJoin(c) => Some(c),
        _ => None,
    }
}

fn constraint_mut(join: &mut Join) -> Option<&mut JoinConstraint> {
    match &mut join.join_operator {
        JoinOperator::Join(c)
        | JoinOperator::Inner(c)
        | JoinOperator::Left(c)
        | JoinOperator::LeftOuter(c)
        | JoinOperator::Right(c)
        | JoinOperator::RightOuter(c)
        | JoinOperator::FullOuter(c) => Some(c),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::super::position::Positions;
    use super::*;

    fn completed(sql: &str) -> String {
        let mut parsed = parse::parse(sql, &Positions::new(sql)).unwrap();
        let known = |name: &ObjectName| match name.to_string().as_str() {
            "t" => Some(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]),
            "u" => Some(vec!["c".to_owned(), "d".to_owned(), "a".to_owned()]),
            _ => None,
        };
        complete(&mut parsed.query, &known);
        parsed.query.to_string()
    }

    #[test]
    fn short_alias_lists_keep_the_other_names() {
        for (sql, due) in [
            ("SELECT * FROM t AS x (y)", "SELECT * FROM t AS x (y, \"b\", \"c\")"),
            ("SELECT * FROM t AS x (y, z, w)", "SELECT * FROM t AS x (y, z, w)"),
            ("SELECT * FROM nix AS x (y)", "SELECT * FROM nix AS x (y)"),
            (
                "SELECT * FROM (VALUES (1, 2)) AS v (y)",
                "SELECT * FROM (VALUES (1, 2)) AS v (y, \"column2\")",
            ),
            (
                "SELECT * FROM (SELECT * FROM t AS x (y)) AS z (w)",
                "SELECT * FROM (SELECT * FROM t AS x (y, \"b\", \"c\")) AS z (w, \"b\", \"c\")",
            ),
            (
                "WITH t AS (SELECT 1) SELECT * FROM t AS x (y)",
                "WITH t AS (SELECT 1) SELECT * FROM t AS x (y)",
            ),
        ] {
            assert_eq!(completed(sql), due, "{sql}");
        }
    }

    #[test]
    fn repeated_wildcards_are_spelt_out() {
        for (sql, due) in [
            ("SELECT *, * FROM t", "SELECT \"a\", \"b\", \"c\", \"a\", \"b\", \"c\" FROM t"),
            ("SELECT * FROM t", "SELECT * FROM t"),
            ("SELECT *, * FROM t, u", "SELECT *, * FROM t, u"),
            ("SELECT *, * FROM nix", "SELECT *, * FROM nix"),
        ] {
            assert_eq!(completed(sql), due, "{sql}");
        }
    }

    #[test]
    fn natural_joins_name_what_both_sides_have() {
        for (sql, due) in [
            (
                "SELECT * FROM t NATURAL FULL JOIN u",
                "SELECT * FROM t FULL JOIN u USING(\"a\", \"c\")",
            ),
            (
                "SELECT * FROM t NATURAL JOIN (SELECT 1 AS c, 2 AS e) AS v NATURAL JOIN u",
                "SELECT * FROM t JOIN (SELECT 1 AS c, 2 AS e) AS v USING(\"c\") \
                 JOIN u USING(\"c\", \"a\")",
            ),
            ("SELECT * FROM t NATURAL JOIN nix", "SELECT * FROM t NATURAL JOIN nix"),
        ] {
            assert_eq!(completed(sql), due, "{sql}");
        }
    }
}
