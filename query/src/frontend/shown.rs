//! Constants of types that no relation can hold (INTERVAL, TIME, arrays) in the select list of the whole
//! query: they are public, and the client gets their text.

use arrow::util::display::array_value_to_string;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::logical_plan::Projection;
use datafusion_expr::{Expr, LogicalPlan};
use std::sync::Arc;

/// The same plan with texts for such constants in its last projection.
pub(super) fn constants(plan: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Projection(projection) = &plan else { return Ok(plan) };
    let mut changed = false;
    let mut exprs = Vec::with_capacity(projection.expr.len());
    for expr in &projection.expr {
        let name = expr.schema_name().to_string();
        let shown = bare(expr).map(text).transpose()?.flatten();
        changed |= shown.is_some();
        exprs.push(shown.map_or_else(|| expr.clone(), |text| text.alias(name)));
    }
    if !changed {
        return Ok(plan);
    }
    Projection::try_new(exprs, Arc::clone(&projection.input)).map(LogicalPlan::Projection)
}

fn bare(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Alias(alias) => bare(&alias.expr),
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

fn text(value: &ScalarValue) -> Result<Option<Expr>> {
    use arrow::datatypes::DataType as D;
    let held = match value.data_type() {
        D::Interval(_)
        | D::Duration(_)
        | D::Time32(_)
        | D::Time64(_)
        | D::Binary
        | D::LargeBinary
        | D::BinaryView
        | D::FixedSizeBinary(_)
        | D::List(_)
        | D::LargeList(_)
        | D::FixedSizeList(..)
        | D::Struct(_)
        | D::Map(..)
        | D::Decimal256(..) => false,
        D::Decimal128(_, scale) => scale >= 0,
        _ => true,
    };
    if held {
        return Ok(None);
    }
    if value.is_null() {
        return Ok(Some(Expr::Literal(ScalarValue::Utf8(None), None)));
    }
    let text = array_value_to_string(&value.to_array()?, 0)?;
    Ok(Some(Expr::Literal(ScalarValue::Utf8(Some(text)), None)))
}
