//! Window functions: one Window for each PARTITION BY and ORDER BY that occurs.

use super::Planner;
use super::build::{self, Arithmetic};
use super::numbers::bounded;
use super::relation::project;
use super::scalar::{Scope, defect};
use crate::plan::{
    Aggregate, Bound, Compare, Expr, ExprKind, Field, Frame, Function, Literal, Operator, Plan,
    Rounding, SortKey, Which, WindowFunction, WindowKind,
};
use crate::types::{DOUBLE_FRACTION_BITS, NumberKind};
use datafusion_common::ScalarValue;
use datafusion_expr::expr::{AggregateFunction, NullTreatment, WindowFunctionParams};
use datafusion_expr::logical_plan;
use datafusion_expr::{
    Expr as Logical, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
};
use trine_proto::status::SqlError;

/// Buckets of NTILE at most.
const BUCKETS_MAX: u64 = 128;

/// Functions that share a sort.
struct Group {
    partition: Vec<Expr>,
    order: Vec<SortKey>,
    functions: Vec<WindowFunction>,
    names: Vec<String>,
    /// Which of the node's expressions each is for.
    places: Vec<usize>,
}

/// PERCENT_RANK and CUME_DIST, made of counts.
#[derive(Clone, Copy)]
enum Share {
    /// (RANK - 1) / (rows - 1), 0 for one row.
    PercentRank,
    /// Rows up to the peers of this one / rows.
    CumeDist,
}

impl Share {
    fn of(expr: &Logical) -> Option<Self> {
        let call = match expr {
            Logical::WindowFunction(call) => call,
            Logical::Alias(alias) => return Self::of(&alias.expr),
            _ => return None,
        };
        let WindowFunctionDefinition::WindowUDF(udf) = &call.fun else { return None };
        match udf.name().to_lowercase().as_str() {
            "percent_rank" => Some(Self::PercentRank),
            "cume_dist" => Some(Self::CumeDist),
            _ => None,
        }
    }

    fn functions(self, rows: u64) -> Result<[WindowFunction; 2], SqlError> {
        let high = Some(i128::from(rows.max(1)));
        let count = |end| {
            let ty = bounded(NumberKind::BigInt, Some(0), high)?;
            let aggregate = Aggregate {
                function: Function::CountStar,
                argument: None,
                filter: None,
                distinct: false,
                ty: ty.clone(),
                nullable: false,
            };
            let frame = Frame { start: Bound::Unbounded, end };
            let kind = WindowKind::Aggregate { aggregate, frame };
            Ok::<_, SqlError>(WindowFunction { kind, ty, nullable: false })
        };
        let ty = bounded(NumberKind::BigInt, Some(1), high)?;
        let rank = WindowFunction { kind: WindowKind::Rank, ty, nullable: false };
        let first = match self {
            Self::PercentRank => rank,
            Self::CumeDist => count(Bound::Peers)?,
        };
        Ok([first, count(Bound::Unbounded)?])
    }

    /// A DOUBLE of 40 binary digits, to the nearest.
    fn finish(self, part: Expr, all: Expr) -> Result<Expr, SqlError> {
        let kind = NumberKind::Double { fraction_bits: DOUBLE_FRACTION_BITS };
        let top = 1_i128 << DOUBLE_FRACTION_BITS;
        let share = |left: Expr, right: Expr| {
            let ty = bounded(kind.clone(), Some(0), Some(top))?;
            let (left, right) = (Box::new(left), Box::new(right));
            let (fraction_bits, rounding) = (DOUBLE_FRACTION_BITS, Rounding::Nearest);
            let kind = ExprKind::Divide { left, right, fraction_bits, rounding };
            Ok::<_, SqlError>(Expr { kind, ty, nullable: false })
        };
        let one = build::number(1, NumberKind::BigInt)?;
        match self {
            Self::CumeDist => share(part, all),
            Self::PercentRank => {
                let less = |x: Expr| build::arithmetic(Arithmetic::Subtract, x, one.clone());
                let several = build::compare(Compare::Gt, all.clone(), one.clone())?;
                let value = share(less(part)?, less(all)?)?;
                build::case(vec![(several, value)], build::number(0, kind)?)
            }
        }
    }
}

impl Planner<'_> {
    /// The input's columns, then one for each window expression.
    pub(super) fn window(&self, node: &logical_plan::Window) -> Result<Plan, SqlError> {
        let input = self.relation(&node.input, false)?;
        let width = input.fields.len();
        let widened = self.with_subqueries(input, node.input.schema(), &node.window_expr)?;
        let scope = widened.scope(node.input.schema());
        let mut groups: Vec<Group> = Vec::new();
        for (place, expr) in node.window_expr.iter().enumerate() {
            let name = node.schema.fields().get(width + place).map(|f| f.name().clone());
            let name = super::relation::readable(&name.unwrap_or_default());
            self.add_function(expr, name, place, &scope, widened.plan.rows, &mut groups)?;
        }
        let mut plan = widened.plan;
        let mut made: Vec<Vec<usize>> = vec![Vec::new(); node.window_expr.len()];
        for group in groups {
            for (offset, place) in group.places.iter().enumerate() {
                if let Some(columns) = made.get_mut(*place) {
                    columns.push(plan.fields.len() + offset);
                }
            }
            plan = windowed(plan, group);
        }
        let column = |index: usize| {
            let field = plan.fields.get(index);
            field
                .map(|f| (build::column(index, f), f.name.clone()))
                .ok_or_else(|| defect("a window function is lost".into()))
        };
        let mut exprs = (0..width).map(column).collect::<Result<Vec<_>, SqlError>>()?;
        for (columns, expr) in made.iter().zip(&node.window_expr) {
            exprs.push(match (columns.as_slice(), Share::of(expr)) {
                ([part, all], Some(share)) => {
                    let (part, name) = column(*part)?;
                    (share.finish(part, column(*all)?.0)?, name)
                }
                ([only], None) => column(*only)?,
                _ => return Err(defect("a window function without its column".into())),
            });
        }
        let (exprs, names): (Vec<Expr>, Vec<String>) = exprs.into_iter().unzip();
        Ok(project(plan, exprs, names))
    }

    fn add_function(
        &self,
        expr: &Logical,
        name: String,
        place: usize,
        scope: &Scope<'_>,
        rows: u64,
        groups: &mut Vec<Group>,
    ) -> Result<(), SqlError> {
        let call = match expr {
            Logical::WindowFunction(call) => call,
            Logical::Alias(alias) => {
                return self.add_function(&alias.expr, name, place, scope, rows, groups);
            }
            other => return Err(defect(format!("{other} is no window function"))),
        };
        let params = &call.params;
        let mut partition = Vec::with_capacity(params.partition_by.len());
        for key in &params.partition_by {
            let key = self.scalar(key, scope)?;
            if build::literal(&key).is_none() {
                partition.push(key);
            }
        }
        let mut order = Vec::with_capacity(params.order_by.len());
        for key in &params.order_by {
            let by = self.scalar(&key.expr, scope)?;
            if build::literal(&by).is_none() {
                order.push(SortKey {
                    expr: by,
                    descending: !key.asc,
                    nulls_first: key.nulls_first,
                });
            }
        }
        let functions = match Share::of(expr) {
            Some(share) => share.functions(rows)?.to_vec(),
            None => vec![self.window_function(expr, &call.fun, params, scope, rows)?],
        };
        let same = |g: &Group| g.partition == partition && g.order == order;
        let known = groups.iter().position(same).unwrap_or(groups.len());
        if known == groups.len() {
            let (functions, names, places) = (Vec::new(), Vec::new(), Vec::new());
            groups.push(Group { partition, order, functions, names, places });
        }
        if let Some(group) = groups.get_mut(known) {
            for function in functions {
                group.functions.push(function);
                group.names.push(name.clone());
                group.places.push(place);
            }
        }
        Ok(())
    }

    fn window_function(
        &self,
        expr: &Logical,
        function: &WindowFunctionDefinition,
        params: &WindowFunctionParams,
        scope: &Scope<'_>,
        rows: u64,
    ) -> Result<WindowFunction, SqlError> {
        if params.null_treatment == Some(NullTreatment::IgnoreNulls) {
            return Err(self.unsupported(
                expr,
                "IGNORE NULLS is not supported",
                "filter the NULLs out in a subquery",
            ));
        }
        let udf = match function {
            WindowFunctionDefinition::AggregateUDF(function) => {
                let call = AggregateFunction::new_udf(
                    std::sync::Arc::clone(function),
                    params.args.clone(),
                    params.distinct,
                    params.filter.clone(),
                    Vec::new(),
                    None,
                );
                return self.window_aggregate(expr, call, params, scope, rows);
            }
            WindowFunctionDefinition::WindowUDF(udf) => udf,
        };
        let counted =
            |high: u64| bounded(NumberKind::BigInt, Some(1), Some(i128::from(high.max(1))));
        let ranked = |kind: WindowKind, high: u64| {
            Ok(WindowFunction { kind, ty: counted(high)?, nullable: false })
        };
        match udf.name().to_lowercase().as_str() {
            "row_number" => ranked(WindowKind::RowNumber, rows),
            "rank" => ranked(WindowKind::Rank, rows),
            "dense_rank" => ranked(WindowKind::DenseRank, rows),
            "ntile" => {
                let n = self.constant(expr, params.args.first())?;
                if n <= 0 {
                    let message = "argument of ntile must be greater than zero";
                    return Err(SqlError::new("22014", message).at(self.word("ntile")));
                }
                let n = u64::try_from(n).ok().filter(|n| (1..=BUCKETS_MAX).contains(n));
                let Some(n) = n else {
                    return Err(self.unsupported(
                        expr,
                        format!("NTILE takes a number of buckets from 1 to {BUCKETS_MAX}"),
                        "use ROW_NUMBER and compare with fractions of COUNT(*)",
                    ));
                };
                ranked(WindowKind::Ntile(n), n)
            }
            "lag" => self.shift(expr, params, 1, scope),
            "lead" => self.shift(expr, params, -1, scope),
            name @ ("first_value" | "last_value" | "nth_value") => {
                self.frame_value(expr, name, params, scope)
            }
            other => Err(self.unsupported(
                expr,
                format!("window function {other} is not supported"),
                "use ROW_NUMBER, RANK, DENSE_RANK, NTILE, LAG, LEAD, FIRST_VALUE, LAST_VALUE, \
                 NTH_VALUE or an aggregate",
            )),
        }
    }

    fn shift(
        &self,
        expr: &Logical,
        params: &WindowFunctionParams,
        direction: i64,
        scope: &Scope<'_>,
    ) -> Result<WindowFunction, SqlError> {
        let Some(argument) = params.args.first() else {
            return Err(defect("LAG without an argument".into()));
        };
        let value = self.scalar(argument, scope)?;
        let offset = match params.args.get(1) {
            None => 1,
            some => self.constant(expr, some)?,
        };
        let back = offset.checked_mul(direction).filter(|b| b.unsigned_abs() < 1 << 32);
        let Some(back) = back else {
            return Err(self.unsupported(
                expr,
                "the offset of LAG and LEAD is out of range",
                "write a smaller number",
            ));
        };
        let default = match params.args.get(2) {
            None => None,
            Some(default) => {
                Some(self.scalar(default, scope)?).filter(|d| !build::is_null_literal(d))
            }
        };
        let Some(default) = default else {
            let (ty, nullable) = (value.ty.clone(), value.nullable || back != 0);
            let kind = WindowKind::Shift { value, back, default: None };
            return Ok(WindowFunction { kind, ty, nullable });
        };
        let (mut both, ty) = build::unify(super::dictionary::harmonise(vec![value, default]))
            .map_err(|e| self.put(e, expr))?;
        let (Some(default), Some(value)) = (both.pop(), both.pop()) else {
            return Err(defect("LAG lost an argument".into()));
        };
        let nullable = value.nullable || default.nullable;
        let kind = WindowKind::Shift { value, back, default: Some(default) };
        Ok(WindowFunction { kind, ty, nullable })
    }

    fn frame_value(
        &self,
        expr: &Logical,
        name: &str,
        params: &WindowFunctionParams,
        scope: &Scope<'_>,
    ) -> Result<WindowFunction, SqlError> {
        let Some(argument) = params.args.first() else {
            return Err(defect(format!("{name} without an argument")));
        };
        let value = self.scalar(argument, scope)?;
        let frame = self.frame(expr, &params.window_frame)?;
        let which = match name {
            "first_value" => Which::First,
            "last_value" => Which::Last,
            _ => {
                let n = self.constant(expr, params.args.get(1))?;
                Which::Nth(u64::try_from(n).ok().filter(|n| *n > 0).ok_or_else(|| {
                    SqlError::new("22016", "argument of nth_value must be greater than zero")
                        .at(self.place(expr))
                })?)
            }
        };
        let counts = matches!(which, Which::Nth(n) if n > 1);
        let movable = !matches!(frame.start, Bound::Rows(_)) || !counts;
        if !holds_current(frame) || !movable {
            return Err(self.unsupported(
                expr,
                format!("{name} over this frame is not supported"),
                "use a frame that begins with the partition and holds the current row",
            ));
        }
        let (ty, nullable) = (value.ty.clone(), value.nullable || counts);
        let kind = WindowKind::Value { value, which, frame };
        Ok(WindowFunction { kind, ty, nullable })
    }

    fn window_aggregate(
        &self,
        expr: &Logical,
        call: AggregateFunction,
        params: &WindowFunctionParams,
        scope: &Scope<'_>,
        rows: u64,
    ) -> Result<WindowFunction, SqlError> {
        let frame = self.frame(expr, &params.window_frame)?;
        let call = Logical::AggregateFunction(call);
        let aggregate: Aggregate = self.one_aggregate(&call, scope, rows, !holds_current(frame))?;
        if aggregate.distinct {
            return Err(self.unsupported(
                expr,
                "DISTINCT is not supported in window functions",
                "aggregate in a subquery with GROUP BY",
            ));
        }
        let extreme = matches!(aggregate.function, Function::Min | Function::Max);
        let mixed = matches!(
            (frame.start, frame.end),
            (Bound::Rows(_), Bound::Peers) | (Bound::Peers, Bound::Rows(_))
        );
        if extreme && (mixed || !holds_current(frame)) {
            return Err(self.unsupported(
                expr,
                "MIN and MAX over this frame are not supported",
                "use a frame that holds the current row",
            ));
        }
        let (ty, nullable) = (aggregate.ty.clone(), aggregate.nullable);
        Ok(WindowFunction { kind: WindowKind::Aggregate { aggregate, frame }, ty, nullable })
    }

    fn frame(&self, expr: &Logical, frame: &WindowFrame) -> Result<Frame, SqlError> {
        let rows = frame.units == WindowFrameUnits::Rows;
        let refused = || {
            self.unsupported(
                expr,
                "this window frame is not supported",
                "use ROWS with numbers, or RANGE with UNBOUNDED and CURRENT ROW",
            )
        };
        let bound = |bound: &WindowFrameBound| {
            match bound {
                WindowFrameBound::CurrentRow if rows => Some(Bound::Rows(0)),
                WindowFrameBound::CurrentRow => Some(Bound::Peers),
                WindowFrameBound::Preceding(n) | WindowFrameBound::Following(n) if n.is_null() => {
                    Some(Bound::Unbounded)
                }
                WindowFrameBound::Preceding(n) if rows => offset(n).map(|n| Bound::Rows(-n)),
                WindowFrameBound::Following(n) if rows => offset(n).map(Bound::Rows),
                _ => None,
            }
            .ok_or_else(refused)
        };
        let frame = Frame { start: bound(&frame.start_bound)?, end: bound(&frame.end_bound)? };
        match (frame.start, frame.end) {
            (Bound::Rows(a), Bound::Rows(b)) if a > b => Err(refused()),
            _ => Ok(frame),
        }
    }

    /// A public whole number.
    fn constant(&self, expr: &Logical, argument: Option<&Logical>) -> Result<i64, SqlError> {
        let schema = datafusion_common::DFSchema::empty();
        let scope = Scope { schema: &schema, fields: &[], subqueries: &[] };
        let value = match argument {
            Some(argument) => self.scalar(argument, &scope).ok(),
            None => None,
        };
        match value.as_ref().and_then(build::literal) {
            Some(Literal::Number(n)) => i64::try_from(*n).ok(),
            _ => None,
        }
        .ok_or_else(|| {
            self.unsupported(
                expr,
                "an offset or a number of buckets must be a constant",
                "write the number: it is public in any case",
            )
        })
    }
}

/// Whether every row lies in its own frame.
fn holds_current(frame: Frame) -> bool {
    let starts = !matches!(frame.start, Bound::Rows(k) if k > 0);
    let ends = !matches!(frame.end, Bound::Rows(k) if k < 0);
    starts && ends
}

fn offset(value: &ScalarValue) -> Option<i64> {
    let n: i64 = match value {
        ScalarValue::UInt64(Some(n)) => i64::try_from(*n).ok()?,
        ScalarValue::Int64(Some(n)) => *n,
        ScalarValue::UInt32(Some(n)) => i64::from(*n),
        ScalarValue::Int32(Some(n)) => i64::from(*n),
        _ => return None,
    };
    (0..1 << 32).contains(&n).then_some(n)
}

fn windowed(input: Plan, group: Group) -> Plan {
    let mut fields = input.fields.clone();
    fields.extend(group.functions.iter().zip(&group.names).map(|(f, name)| Field {
        name: name.clone(),
        ty: f.ty.clone(),
        nullable: f.nullable,
    }));
    let rows = input.rows;
    let op = Operator::Window {
        input: Box::new(input),
        partition: group.partition,
        order: group.order,
        functions: group.functions,
    };
    Plan { op, fields, rows }
}
