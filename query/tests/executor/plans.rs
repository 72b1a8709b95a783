//! Plans by hand, with the types and bounds that a planner would give them.

use trine_query::plan::{
    Aggregate, Compare, Expr, ExprKind, Field, Function, Literal, Operator, Plan, ResultSize,
};
use trine_query::types::{NumberKind, Type};

pub(crate) fn number(low: i128, high: i128) -> Type {
    Type::Number { kind: NumberKind::BigInt, low, high }
}

fn expr(kind: ExprKind, ty: Type, nullable: bool) -> Expr {
    Expr { kind, ty, nullable }
}

pub(crate) fn col(plan: &Plan, index: usize) -> Expr {
    let field = &plan.fields[index];
    expr(ExprKind::Column(index), field.ty.clone(), field.nullable)
}

pub(crate) fn num(v: i128) -> Expr {
    expr(ExprKind::Literal(Literal::Number(v)), number(v, v), false)
}

pub(crate) fn text(v: &[u8]) -> Expr {
    let bytes = u32::try_from(v.len().max(1)).unwrap();
    expr(ExprKind::Literal(Literal::Text(v.to_vec())), Type::Text { bytes }, false)
}

pub(crate) fn null_of(ty: Type) -> Expr {
    expr(ExprKind::Literal(Literal::Null), ty, true)
}

pub(crate) fn compare(op: Compare, left: Expr, right: Expr) -> Expr {
    let nullable = left.nullable || right.nullable;
    let (left, right) = (Box::new(left), Box::new(right));
    expr(ExprKind::Compare { op, left, right }, Type::Boolean, nullable)
}

pub(crate) fn and(all: Vec<Expr>) -> Expr {
    let nullable = all.iter().any(|e| e.nullable);
    expr(ExprKind::And(all), Type::Boolean, nullable)
}

pub(crate) fn or(all: Vec<Expr>) -> Expr {
    let nullable = all.iter().any(|e| e.nullable);
    expr(ExprKind::Or(all), Type::Boolean, nullable)
}

pub(crate) fn not(x: Expr) -> Expr {
    let nullable = x.nullable;
    expr(ExprKind::Not(Box::new(x)), Type::Boolean, nullable)
}

pub(crate) fn is_null(x: Expr) -> Expr {
    expr(ExprKind::IsNull(Box::new(x)), Type::Boolean, false)
}

pub(crate) fn limits(ty: &Type) -> (i128, i128) {
    match ty {
        Type::Number { low, high, .. } => (*low, *high),
        _ => panic!("no number"),
    }
}

pub(crate) fn add(x: Expr, y: Expr) -> Expr {
    let ((a, b), (c, d)) = (limits(&x.ty), limits(&y.ty));
    let nullable = x.nullable || y.nullable;
    expr(ExprKind::Add(Box::new(x), Box::new(y)), number(a + c, b + d), nullable)
}

pub(crate) fn subtract(x: Expr, y: Expr) -> Expr {
    let ((a, b), (c, d)) = (limits(&x.ty), limits(&y.ty));
    let nullable = x.nullable || y.nullable;
    expr(ExprKind::Subtract(Box::new(x), Box::new(y)), number(a - d, b - c), nullable)
}

pub(crate) fn multiply(x: Expr, y: Expr) -> Expr {
    let ((a, b), (c, d)) = (limits(&x.ty), limits(&y.ty));
    let corners = [a * c, a * d, b * c, b * d];
    let ty = number(*corners.iter().min().unwrap(), *corners.iter().max().unwrap());
    let nullable = x.nullable || y.nullable;
    expr(ExprKind::Multiply(Box::new(x), Box::new(y)), ty, nullable)
}

pub(crate) fn scale(x: Expr, factor: i128) -> Expr {
    let (a, b) = limits(&x.ty);
    let nullable = x.nullable;
    expr(ExprKind::Scale(Box::new(x), factor), number(a * factor, b * factor), nullable)
}

pub(crate) fn absolute(x: Expr) -> Expr {
    let (a, b) = limits(&x.ty);
    let nullable = x.nullable;
    expr(ExprKind::Absolute(Box::new(x)), number(0, b.max(-a).max(0)), nullable)
}

pub(crate) fn retype(x: Expr, ty: Type) -> Expr {
    let nullable = x.nullable;
    expr(ExprKind::Retype(Box::new(x)), ty, nullable)
}

/// The type is that of the first value, widened over all numbers and texts.
pub(crate) fn case(branches: Vec<(Expr, Expr)>, otherwise: Expr) -> Expr {
    let values = || branches.iter().map(|(_, v)| v).chain([&otherwise]);
    let nullable = values().any(|v| v.nullable);
    let ty = match &branches[0].1.ty {
        Type::Number { .. } => number(
            values().map(|v| limits(&v.ty).0).min().unwrap(),
            values().map(|v| limits(&v.ty).1).max().unwrap(),
        ),
        Type::Text { .. } => {
            Type::Text { bytes: values().map(|v| (v.ty.bits() / 8) as u32).max().unwrap() }
        }
        Type::Boolean => Type::Boolean,
    };
    let otherwise = Box::new(otherwise);
    expr(ExprKind::Case { branches, otherwise }, ty, nullable)
}

pub(crate) fn lookup(argument: Expr, table: Vec<Literal>, ty: Type) -> Expr {
    let nullable = argument.nullable || table.contains(&Literal::Null);
    expr(ExprKind::Lookup { argument: Box::new(argument), table }, ty, nullable)
}

pub(crate) fn filter(input: Plan, predicate: Expr) -> Plan {
    Plan {
        rows: input.rows,
        fields: input.fields.clone(),
        op: Operator::Filter { input: Box::new(input), predicate },
    }
}

pub(crate) fn field_of(e: &Expr) -> Field {
    Field { name: "x".into(), ty: e.ty.clone(), nullable: e.nullable }
}

pub(crate) fn project(input: Plan, exprs: Vec<Expr>) -> Plan {
    Plan {
        rows: input.rows,
        fields: exprs.iter().map(field_of).collect(),
        op: Operator::Project { input: Box::new(input), exprs },
    }
}

pub(crate) fn reveal_as(input: Plan, size: ResultSize, ordered: bool) -> Plan {
    Plan {
        rows: input.rows,
        fields: input.fields.clone(),
        op: Operator::Reveal { input: Box::new(input), size, ordered },
    }
}

pub(crate) fn reveal(input: Plan) -> Plan {
    reveal_as(input, ResultSize::Hidden, false)
}

/// An aggregate with the type and bounds that a planner would give it.
pub(crate) fn aggregate(
    function: Function,
    argument: Option<Expr>,
    rows: u64,
    scalar: bool,
) -> Aggregate {
    let n = i128::from(rows);
    let ty = match (function, argument.as_ref().map(|a| &a.ty)) {
        (Function::CountStar | Function::Count, _) => number(0, n),
        (Function::Sum, Some(Type::Number { kind, low, high })) => {
            Type::Number { kind: kind.clone(), low: (low * n).min(0), high: (high * n).max(0) }
        }
        (
            Function::Avg,
            Some(Type::Number { kind: NumberKind::Decimal { scale, .. }, low, high }),
        ) => Type::Number {
            kind: NumberKind::Decimal { precision: 20, scale: scale + 4 },
            low: (low * 10_000).min(0),
            high: (high * 10_000).max(0),
        },
        (Function::Avg, Some(Type::Number { low, high, .. })) => Type::Number {
            kind: NumberKind::Double { fraction_bits: 40 },
            low: (low << 40).min(0),
            high: (high << 40).max(0),
        },
        (_, Some(ty)) => ty.clone(),
        _ => panic!("an aggregate without an argument"),
    };
    let counts = matches!(function, Function::CountStar | Function::Count);
    let nullable = !counts && (scalar || argument.as_ref().is_some_and(|a| a.nullable));
    Aggregate { function, argument, filter: None, distinct: false, ty, nullable }
}

pub(crate) fn filtered(mut a: Aggregate, filter: Expr) -> Aggregate {
    a.nullable = !matches!(a.function, Function::CountStar | Function::Count);
    Aggregate { filter: Some(filter), ..a }
}

pub(crate) fn distinct(a: Aggregate) -> Aggregate {
    Aggregate { distinct: true, ..a }
}

fn aggregate_fields(keys: &[Expr], aggregates: &[Aggregate]) -> Vec<Field> {
    let of = |a: &Aggregate| Field { name: "a".into(), ty: a.ty.clone(), nullable: a.nullable };
    keys.iter().map(field_of).chain(aggregates.iter().map(of)).collect()
}

pub(crate) fn scalar_aggregate(input: Plan, aggregates: Vec<Aggregate>) -> Plan {
    Plan {
        rows: 1,
        fields: aggregate_fields(&[], &aggregates),
        op: Operator::ScalarAggregate { input: Box::new(input), aggregates },
    }
}

pub(crate) fn sort_aggregate(input: Plan, keys: Vec<Expr>, aggregates: Vec<Aggregate>) -> Plan {
    Plan {
        rows: input.rows,
        fields: aggregate_fields(&keys, &aggregates),
        op: Operator::SortAggregate {
            input: Box::new(input),
            keys,
            determined: 0,
            presorted: false,
            aggregates,
        },
    }
}

pub(crate) fn small_domain(input: Plan, keys: Vec<Expr>, aggregates: Vec<Aggregate>) -> Plan {
    let cells = |key: &Expr| {
        let values = match &key.ty {
            Type::Boolean => 2,
            Type::Number { low, high, .. } => (high - low + 1) as u64,
            Type::Text { .. } => panic!("no small domain"),
        };
        values + u64::from(key.nullable)
    };
    Plan {
        rows: keys.iter().map(cells).product(),
        fields: aggregate_fields(&keys, &aggregates),
        op: Operator::SmallDomainAggregate { input: Box::new(input), keys, aggregates },
    }
}

/// A number type that holds both.
pub(crate) fn union_type(a: &Type, b: &Type) -> Type {
    match (a, b) {
        (Type::Number { low, high, kind }, Type::Number { low: l, high: h, .. }) => {
            Type::Number { kind: kind.clone(), low: *low.min(l), high: *high.max(h) }
        }
        (Type::Text { bytes: a }, Type::Text { bytes: b }) => Type::Text { bytes: *a.max(b) },
        _ => a.clone(),
    }
}
