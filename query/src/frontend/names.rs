//! How result columns are called: PostgreSQL's rules for columns without AS.

use super::aliases;
use datafusion_common::DFSchema;
use sqlparser::ast::{
    CastKind, DataType, Expr, Ident, ObjectNamePart, Query, SelectItem, SetExpr, TrimWhereField,
};

/// One item of a select list.
#[derive(Debug)]
pub(crate) enum Item {
    /// A column of this name.
    Named(String),
    /// A wildcard: as many columns as are left over.
    Wildcard,
}

/// Items of the leftmost SELECT; none where there is no select list.
pub(crate) fn of_query(query: &Query) -> Option<Vec<Item>> {
    of_body(&query.body)
}

fn of_body(body: &SetExpr) -> Option<Vec<Item>> {
    match body {
        SetExpr::Select(select) => Some(of_items(&select.projection)),
        SetExpr::Query(query) => of_query(query),
        SetExpr::SetOperation { left, .. } => of_body(left),
        _ => None,
    }
}

/// Items of one select list.
pub(super) fn of_items(items: &[SelectItem]) -> Vec<Item> {
    items.iter().map(of_item).collect()
}

fn of_item(item: &SelectItem) -> Item {
    match item {
        SelectItem::UnnamedExpr(expr) => {
            Item::Named(of_expr(expr).unwrap_or_else(|| "?column?".to_owned()))
        }
        SelectItem::ExprWithAlias { alias, .. } => Item::Named(fold(alias)),
        _ => Item::Wildcard,
    }
}

pub(super) fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// PostgreSQL's name of an expression; none: "?column?".
pub(super) fn of_expr(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(fold(ident)),
        Expr::CompoundIdentifier(parts) => parts.last().map(fold),
        Expr::Nested(inner) => of_expr(inner),
        Expr::Function(function) => function.name.0.last().and_then(|part| match part {
            ObjectNamePart::Identifier(ident) => Some(fold(ident)),
            ObjectNamePart::Function(_) => None,
        }),
        Expr::Case { else_result, .. } => {
            else_result.as_deref().and_then(of_expr).or_else(|| Some("case".to_owned()))
        }
        Expr::Cast { expr, data_type, kind: CastKind::Cast | CastKind::DoubleColon, .. } => {
            of_expr(expr).or_else(|| Some(of_type(data_type)))
        }
        Expr::Exists { .. } => Some("exists".to_owned()),
        Expr::Extract { .. } => Some("extract".to_owned()),
        Expr::Substring { .. } => Some("substring".to_owned()),
        Expr::Position { .. } => Some("position".to_owned()),
        Expr::Trim { trim_where, .. } => Some(
            match trim_where {
                Some(TrimWhereField::Leading) => "ltrim",
                Some(TrimWhereField::Trailing) => "rtrim",
                _ => "btrim",
            }
            .to_owned(),
        ),
        Expr::Floor { .. } => Some("floor".to_owned()),
        Expr::Ceil { .. } => Some("ceil".to_owned()),
        Expr::Subquery(query) => match of_query(query)?.into_iter().next()? {
            Item::Named(name) => Some(name),
            Item::Wildcard => None,
        },
        _ => None,
    }
}

fn of_type(ty: &DataType) -> String {
    let text = ty.to_string().to_lowercase();
    let word = text.split('(').next().unwrap_or("").trim();
    match word {
        "int" | "integer" => "int4",
        "bigint" => "int8",
        "smallint" => "int2",
        "decimal" => "numeric",
        "boolean" => "bool",
        other => other,
    }
    .to_owned()
}

/// Names of the plan's columns without what keeps them apart: an alias, or the `:1` that DataFusion puts
/// behind a name which a relation has twice.
fn known(schema: &DFSchema) -> Vec<String> {
    let names: Vec<&str> = schema.fields().iter().map(|f| aliases::plain(f.name())).collect();
    let base = |index: usize, name: &str| {
        let (base, number) = name.rsplit_once(':')?;
        number.parse::<usize>().ok()?;
        names.iter().take(index).any(|n| *n == base).then(|| base.to_owned())
    };
    names
        .iter()
        .enumerate()
        .map(|(index, name)| base(index, name).unwrap_or_else(|| (*name).to_owned()))
        .collect()
}

/// Spreads the items over the columns of the plan; what cannot be told keeps the plan's name.
pub(crate) fn align(items: Option<Vec<Item>>, schema: &DFSchema) -> Vec<String> {
    let own = known(schema);
    let Some(items) = items else { return own };
    let wildcards = items.iter().filter(|i| matches!(i, Item::Wildcard)).count();
    let named = items.len() - wildcards;
    let each = match (own.len().checked_sub(named), wildcards) {
        (Some(0), 0) => 0,
        (Some(rest), 1) => rest,
        _ => return own,
    };
    let mut names = Vec::with_capacity(own.len());
    for item in items {
        match item {
            Item::Named(name) => names.push(name),
            Item::Wildcard => {
                let start = names.len();
                names.extend(own.iter().skip(start).take(each).cloned());
            }
        }
    }
    names
}
