//! Aggregates that the planner itself asks for: whether a relation has rows, its extremes, its
//! distinct keys.

use super::super::dictionary;
use super::super::relation::{self, narrowed};
use crate::plan::{Aggregate, Expr, Field, Function, Literal, Operator, Plan};
use crate::planner::numbers::bounded;
use crate::planner::scalar::defect;
use crate::planner::{Planner, build};
use crate::types::NumberKind;
use trine_proto::status::SqlError;

/// Whether any row of a relation is valid, and how many: columns (count) of one row.
pub(in crate::planner) fn counted(input: Plan, extra: Vec<Aggregate>) -> Result<Plan, SqlError> {
    let ty = bounded(NumberKind::BigInt, Some(0), Some(i128::from(input.rows)))?;
    let star = Aggregate {
        function: Function::CountStar,
        argument: None,
        filter: None,
        distinct: false,
        ty,
        nullable: false,
    };
    let aggregates: Vec<Aggregate> = std::iter::once(star).chain(extra).collect();
    let name = |a: &Aggregate| match a.function {
        Function::Min => "min",
        Function::Max => "max",
        _ => "count",
    };
    let fields = aggregates
        .iter()
        .map(|a| Field { name: name(a).into(), ty: a.ty.clone(), nullable: a.nullable })
        .collect();
    Ok(Plan {
        op: Operator::ScalarAggregate { input: Box::new(input), aggregates },
        fields,
        rows: 1,
    })
}

/// The distinct values of a key, with a column that is always TRUE behind them.
pub(in crate::planner) fn distinct_with_marker(
    planner: &Planner<'_>,
    input: Plan,
    keys: Vec<Expr>,
) -> Plan {
    let width = keys.len();
    let names: Vec<String> = (0..width).map(|i| format!("key{i}")).collect();
    let grouped = planner.grouped(input, keys, Vec::new(), &names);
    let grouped = narrowed(grouped, width);
    with_marker(grouped)
}

/// A column that is always TRUE behind the others.
pub(in crate::planner) fn with_marker(input: Plan) -> Plan {
    let mut exprs: Vec<Expr> =
        input.fields.iter().enumerate().map(|(i, f)| build::column(i, f)).collect();
    exprs.push(build::boolean(true));
    let names: Vec<String> =
        input.fields.iter().map(|f| f.name.clone()).chain(["marker".to_owned()]).collect();
    relation::project(input, exprs, names)
}

/// MIN or MAX of an expression as an aggregate of a whole relation.
pub(in crate::planner) fn extreme(function: Function, argument: Expr) -> Aggregate {
    let ty = argument.ty.clone();
    Aggregate {
        function,
        argument: Some(argument),
        filter: None,
        distinct: false,
        ty,
        nullable: true,
    }
}

/// COUNT of the rows in which none of the key's columns is NULL.
pub(in crate::planner) fn count_not_null(keys: &[Expr], rows: u64) -> Result<Aggregate, SqlError> {
    let present = build::and(keys.iter().map(|k| build::not(build::is_null(k.clone()))).collect());
    Ok(Aggregate {
        function: Function::CountStar,
        argument: None,
        filter: Some(present)
            .filter(|p| !matches!(build::literal(p), Some(Literal::Boolean(true)))),
        distinct: false,
        ty: bounded(NumberKind::BigInt, Some(0), Some(i128::from(rows)))?,
        nullable: false,
    })
}

/// Whether two keys can be compared value by value: used where dictionaries differ.
pub(in crate::planner) fn comparable_keys(a: Expr, b: Expr) -> Result<(Expr, Expr), SqlError> {
    let mut pair = dictionary::harmonise(vec![a, b]).into_iter();
    match (pair.next(), pair.next()) {
        (Some(x), Some(y)) => build::comparable(x, y),
        _ => Err(defect("a join key lost a side".into())),
    }
}
