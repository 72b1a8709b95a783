//! GROUP BY as one list of grouping sets, where DataFusion does not read it as it is written: several
//! columns in one element of ROLLUP or CUBE, CUBE inside GROUPING SETS, the empty set beside others;
//! and HAVING without GROUP BY, which makes one group of all rows.

use super::functions::Functions;
use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr,
    Query, Select, Value, Visit, VisitMut, Visitor, VisitorMut,
};
use std::ops::ControlFlow;

/// Grouping sets of one GROUP BY at most, as in PostgreSQL.
const SETS_MAX: usize = 4096;

/// Rewrites every SELECT of a query. What has too many sets stays, for the binder to refuse.
pub(super) fn rewrite(query: &mut Query) {
    let _ = query.visit(&mut Rewriter);
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = ();
    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        expand(select);
        group_all(select);
        ControlFlow::Continue(())
    }
}

type Sets = Vec<Vec<Expr>>;

fn expand(select: &mut Select) {
    let GroupByExpr::Expressions(items, modifiers) = &mut select.group_by else { return };
    if !modifiers.is_empty() || !items.iter().any(needs_expansion) {
        return;
    }
    let mut all: Sets = vec![Vec::new()];
    for item in items.iter() {
        let Some(sets) = sets(item) else { return };
        if all.len().saturating_mul(sets.len()) > SETS_MAX {
            return;
        }
        all = product(&all, &sets);
    }
    if let [only] = all.as_slice() {
        items.clone_from(only);
    } else {
        *items = vec![Expr::GroupingSets(all)];
    }
}

/// Every set of the first list with every one of the second; a column counts once in a set.
fn product(first: &Sets, second: &Sets) -> Sets {
    let both = |x: &Vec<Expr>, y: &Vec<Expr>| {
        let mut set: Vec<Expr> = Vec::with_capacity(x.len() + y.len());
        for expr in x.iter().chain(y) {
            if !set.contains(expr) {
                set.push(expr.clone());
            }
        }
        set
    };
    first.iter().flat_map(|x| second.iter().map(move |y| both(x, y))).collect()
}

fn needs_expansion(item: &Expr) -> bool {
    let repeated = |elements: &Sets| {
        elements.iter().enumerate().any(|(i, e)| elements.iter().take(i).any(|other| other == e))
    };
    match item {
        Expr::Tuple(_) => true,
        Expr::Rollup(elements) | Expr::Cube(elements) => {
            elements.iter().any(|e| e.len() != 1) || repeated(elements)
        }
        Expr::GroupingSets(sets) => sets.iter().flatten().any(|e| nested(e).is_some()),
        _ => false,
    }
}

/// The grouping sets of one item of GROUP BY.
fn sets(item: &Expr) -> Option<Sets> {
    match item {
        Expr::Tuple(columns) => Some(vec![columns.clone()]),
        Expr::Rollup(elements) => Some(rollup(elements)),
        Expr::Cube(elements) => cube(elements),
        Expr::GroupingSets(list) => {
            let mut all = Sets::new();
            for set in list {
                match set.as_slice() {
                    [one] if nested(one).is_some() => all.extend(sets(&nested(one)?)?),
                    plain if plain.iter().any(|e| nested(e).is_some()) => return None,
                    plain => all.push(plain.to_vec()),
                }
            }
            Some(all)
        }
        plain => Some(vec![vec![plain.clone()]]),
    }
}

fn rollup(elements: &Sets) -> Sets {
    (0..=elements.len())
        .rev()
        .map(|n| elements.iter().take(n).flatten().cloned().collect())
        .collect()
}

fn cube(elements: &Sets) -> Option<Sets> {
    let count = 1_usize.checked_shl(u32::try_from(elements.len()).ok()?)?;
    if count > SETS_MAX {
        return None;
    }
    let set = |chosen: usize| {
        let part = |(i, e): (usize, &Vec<Expr>)| ((chosen >> i) & 1 == 1).then(|| e.clone());
        elements.iter().enumerate().filter_map(part).flatten().collect()
    };
    Some((0..count).rev().map(set).collect())
}

/// Inside GROUPING SETS the parser takes ROLLUP and CUBE for functions.
fn nested(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_) => Some(expr.clone()),
        Expr::Function(function) => {
            let name = function.name.to_string();
            let kind = ["rollup", "cube"].into_iter().find(|k| name.eq_ignore_ascii_case(k))?;
            let elements = elements(function)?;
            Some(if kind == "rollup" { Expr::Rollup(elements) } else { Expr::Cube(elements) })
        }
        _ => None,
    }
}

fn elements(function: &Function) -> Option<Sets> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let element = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Tuple(columns))) => Some(columns.clone()),
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(vec![expr.clone()]),
        _ => None,
    };
    list.args.iter().map(element).collect()
}

/// `HAVING h` without GROUP BY and aggregates: one that is always true makes DataFusion group.
fn group_all(select: &mut Select) {
    let GroupByExpr::Expressions(items, _) = &select.group_by else { return };
    if !items.is_empty() || aggregates(&select.projection) || aggregates(&select.having) {
        return;
    }
    let Some(having) = select.having.take() else { return };
    let count = super::rewrite::call("count", vec![number("1")]);
    let always = Expr::BinaryOp {
        left: Box::new(count),
        op: BinaryOperator::GtEq,
        right: Box::new(number("0")),
    };
    select.having = Some(Expr::BinaryOp {
        left: Box::new(Expr::Nested(Box::new(having))),
        op: BinaryOperator::And,
        right: Box::new(always),
    });
}

fn aggregates(node: &impl Visit) -> bool {
    struct Finder;
    impl Visitor for Finder {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
            let name = function.name.to_string().to_lowercase();
            let found = Functions::shared().aggregate.contains_key(&name);
            if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    node.visit(&mut Finder).is_break()
}

fn number(text: &str) -> Expr {
    Expr::Value(Value::Number(text.to_owned(), false).into())
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::super::position::Positions;
    use super::*;

    fn grouped(by: &str) -> String {
        let sql = format!("SELECT 1 FROM t GROUP BY {by}");
        let mut parsed = parse::parse(&sql, &Positions::new(&sql)).unwrap();
        rewrite(&mut parsed.query);
        parsed.query.to_string().replace("SELECT 1 FROM t GROUP BY ", "")
    }

    #[test]
    fn elements_of_several_columns_and_empty_sets_become_grouping_sets() {
        for (by, due) in [
            ("a, b", "a, b"),
            ("ROLLUP (a, b)", "ROLLUP (a, b)"),
            ("ROLLUP ((a, b))", "GROUPING SETS ((a, b), ())"),
            ("ROLLUP ((a, b), c)", "GROUPING SETS ((a, b, c), (a, b), ())"),
            ("CUBE ((a, b), c)", "GROUPING SETS ((a, b, c), (c), (a, b), ())"),
            ("ROLLUP (a, b, a)", "GROUPING SETS ((a, b), (a, b), (a), ())"),
            ("ROLLUP (a), (), b", "GROUPING SETS ((a, b), (b))"),
            ("GROUPING SETS (CUBE (a)), (), b", "GROUPING SETS ((a, b), (b))"),
            ("GROUPING SETS (ROLLUP (a), b)", "GROUPING SETS ((a), (), (b))"),
            ("a, (), (b, a)", "a, b"),
        ] {
            assert_eq!(grouped(by), due, "{by}");
        }
    }
}
