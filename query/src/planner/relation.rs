//! One operator for each node of the logical plan.

use super::aggregate::{counted, extreme};
use super::build;
use super::dictionary;
use super::join::holds_inner;
use super::numbers;
use super::public::tight;
use super::scalar::{Scope, defect, is_column};
use super::{Planner, check_rows};
use crate::frontend::TrineTable;
use crate::plan::{Compare, Expr, Failure, Field, Function, Literal, Operator, Plan, SortKey};
use crate::types::NumberKind;
use datafusion_common::DFSchema;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::logical_plan::{
    Distinct, EmptyRelation, Filter, Limit, Projection, Sort, Subquery, TableScan, Union, Values,
};
use datafusion_expr::{Expr as Logical, FetchType, LogicalPlan, SkipType};
use trine_proto::ids::TableId;
use trine_proto::status::SqlError;

type Planned = Result<Plan, SqlError>;

/// A relation together with the scalar subqueries that were set beside its rows.
pub(super) struct Widened {
    pub(super) plan: Plan,
    pub(super) subqueries: Vec<(Subquery, usize)>,
}

impl Widened {
    pub(super) fn scope<'a>(&'a self, schema: &'a DFSchema) -> Scope<'a> {
        Scope { schema, fields: &self.plan.fields, subqueries: &self.subqueries }
    }
}

impl Planner<'_> {
    /// Compiles a relation. `ordered`: whether the order of its rows is asked for.
    pub(crate) fn relation(&self, plan: &LogicalPlan, ordered: bool) -> Planned {
        Ok(tight(self.in_the_clear(self.compiled(plan, ordered)?)?))
    }

    fn compiled(&self, plan: &LogicalPlan, ordered: bool) -> Planned {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::EmptyRelation(empty) => empty_relation(empty),
            LogicalPlan::Values(values) => self.values(values),
            LogicalPlan::Filter(filter) => self.filter(filter),
            LogicalPlan::Projection(projection) => self.projection(projection, ordered),
            LogicalPlan::SubqueryAlias(alias) => self.relation(&alias.input, ordered),
            LogicalPlan::Subquery(subquery) => self.relation(&subquery.subquery, ordered),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Distinct(Distinct::On(on)) => self.distinct_on(on, ordered),
            LogicalPlan::Window(window) => self.window(window),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let input = self.relation(input, false)?;
                self.distinct_rows(input)
            }
            LogicalPlan::Join(join) if holds_inner(plan) => self.ordered(plan, join),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Sort(sort) => self.sort(sort, ordered),
            LogicalPlan::Limit(limit) => self.limit(limit),
            other => Err(SqlError::unsupported(
                format!("{} is not supported", node_name(other)),
                "write a plain SELECT",
            )),
        }
    }

    fn scan(&self, scan: &TableScan) -> Planned {
        let table = scan
            .source
            .downcast_ref::<TrineTable>()
            .ok_or_else(|| defect("a table of another catalog".into()))?;
        let columns: Vec<usize> = match &scan.projection {
            Some(projection) => projection.clone(),
            None => (0..table.schema.columns.len()).collect(),
        };
        let mut fields = Vec::with_capacity(columns.len());
        for index in &columns {
            let column = table
                .schema
                .columns
                .get(*index)
                .ok_or_else(|| defect("a scan reads a column that is not there".into()))?;
            let parameter = table.id == TableId::PARAMETERS;
            fields.push(Field {
                name: format!("{}{}", if parameter { "$" } else { "" }, column.name),
                ty: numbers::of_column(column),
                nullable: column.nullable,
            });
        }
        let rows = table.segments.iter().try_fold(0_u64, |sum, s| sum.checked_add(s.rows));
        let rows = check_rows(rows)?;
        self.public.meet(&table.schema);
        let op = Operator::Scan {
            table: table.id,
            schema: table.schema.clone(),
            segments: table.segments.clone(),
            columns,
            kept: None,
        };
        let mut plan = Plan { op, fields, rows };
        for filter in &scan.filters {
            let scope =
                Scope { schema: &scan.projected_schema, fields: &plan.fields, subqueries: &[] };
            let predicate = self.condition(filter, &scope)?;
            plan = filtered(plan, predicate);
        }
        Ok(plan)
    }

    fn values(&self, values: &Values) -> Planned {
        let mut columns: Vec<Vec<Expr>> = vec![Vec::new(); values.schema.fields().len()];
        let schema = DFSchema::empty();
        let scope = Scope { schema: &schema, fields: &[], subqueries: &[] };
        for row in &values.values {
            for (column, expr) in columns.iter_mut().zip(row) {
                column.push(self.scalar(expr, &scope)?);
            }
        }
        let mut fields = Vec::with_capacity(columns.len());
        let mut rows = vec![Vec::with_capacity(columns.len()); values.values.len()];
        for (column, arrow) in columns.into_iter().zip(values.schema.fields()) {
            let (column, ty) = build::unify(column)?;
            let nullable = column.iter().any(|v| v.nullable);
            for (row, value) in rows.iter_mut().zip(column) {
                let Some(literal) = build::literal(&value) else {
                    return Err(SqlError::unsupported(
                        "VALUES takes constants only",
                        "write SELECT … UNION ALL SELECT …",
                    ));
                };
                row.push(literal.clone());
            }
            fields.push(Field { name: arrow.name().clone(), ty, nullable });
        }
        let count = check_rows(u64::try_from(rows.len()).ok())?;
        Ok(Plan { op: Operator::Values(rows), fields, rows: count })
    }

    fn filter(&self, filter: &Filter) -> Planned {
        if let Some(plan) = self.unmatched_rows(filter)? {
            return Ok(plan);
        }
        let input = self.relation(&filter.input, false)?;
        let width = input.fields.len();
        let schema = filter.input.schema();
        let widened = self.with_subqueries(input, schema, [&filter.predicate])?;
        let scope = widened.scope(filter.input.schema());
        let predicate = self.condition(&filter.predicate, &scope)?;
        Ok(narrowed(filtered(widened.plan, predicate), width))
    }

    fn projection(&self, projection: &Projection, ordered: bool) -> Planned {
        let input = self.relation(&projection.input, ordered)?;
        let schema = projection.input.schema();
        let widened = self.with_subqueries(input, schema, &projection.expr)?;
        let scope = widened.scope(projection.input.schema());
        let mut exprs = Vec::with_capacity(projection.expr.len());
        for expr in &projection.expr {
            exprs.push(self.scalar(expr, &scope)?);
        }
        let names = projection.schema.fields().iter().map(|f| readable(f.name()));
        Ok(project(widened.plan, exprs, names))
    }

    /// Sets each subquery of the expressions beside the rows, once. `schema` names the rows.
    pub(super) fn with_subqueries<'e>(
        &self,
        input: Plan,
        schema: &DFSchema,
        exprs: impl IntoIterator<Item = &'e Logical>,
    ) -> Result<Widened, SqlError> {
        let mut found: Vec<Logical> = Vec::new();
        for expr in exprs {
            // The closure never fails, so neither does the walk.
            let _ = expr.apply(|node| {
                if subquery_of(node).is_some() && !found.contains(node) {
                    found.push(node.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            });
        }
        let mut widened = Widened { plan: input, subqueries: Vec::new() };
        for node in found {
            let Some(subquery) = subquery_of(&node) else { continue };
            if widened.subqueries.iter().any(|(known, _)| known == subquery) {
                return Err(self.correlated(&node));
            }
            let scalar = matches!(node, Logical::ScalarSubquery(_));
            if scalar && subquery.outer_ref_columns.is_empty() {
                let one = self.one_row(self.relation(&subquery.subquery, true)?)?;
                let index = widened.plan.fields.len();
                widened.plan = beside(widened.plan, one);
                widened.subqueries.push((subquery.clone(), index));
                continue;
            }
            widened.plan = self.correlated_value(&node, widened.plan, schema)?;
            widened.subqueries.push((subquery.clone(), widened.plan.fields.len() - 1));
        }
        Ok(widened)
    }

    /// A scalar subquery: one row. That there are not several is certain, or checked as it runs.
    fn one_row(&self, plan: Plan) -> Planned {
        if plan.rows == 1 {
            return Ok(plan);
        }
        if plan.rows == 0 {
            let row = vec![Literal::Null; plan.fields.len()];
            let fields = plan.fields.into_iter().map(|f| Field { nullable: true, ..f }).collect();
            return Ok(Plan { op: Operator::Values(vec![row]), fields, rows: 1 });
        }
        if super::unique::at_most_one(&plan) {
            return Ok(limited(plan, 0, Some(1)));
        }
        the_only_row(plan)
    }

    fn union(&self, union: &Union) -> Planned {
        let mut inputs = Vec::with_capacity(union.inputs.len());
        for input in &union.inputs {
            inputs.push(self.relation(input, false)?);
        }
        let names: Vec<String> = union.schema.fields().iter().map(|f| f.name().clone()).collect();
        union_all(inputs, &names)
    }

    fn sort(&self, sort: &Sort, ordered: bool) -> Planned {
        let input = self.relation(&sort.input, false)?;
        if !ordered && sort.fetch.is_none() {
            return Ok(input);
        }
        let width = input.fields.len();
        let exprs = sort.expr.iter().map(|k| &k.expr);
        let widened = self.with_subqueries(input, sort.input.schema(), exprs)?;
        let scope = widened.scope(sort.input.schema());
        let mut keys = Vec::with_capacity(sort.expr.len());
        for key in &sort.expr {
            let expr = self.scalar(&key.expr, &scope)?;
            if build::literal(&expr).is_none() {
                keys.push(SortKey { expr, descending: !key.asc, nulls_first: key.nulls_first });
            }
        }
        let sorted = if keys.is_empty() { widened.plan } else { sorted(widened.plan, keys) };
        let plan = narrowed(sorted, width);
        let fetch = sort.fetch.and_then(|f| u64::try_from(f).ok());
        Ok(if fetch.is_some() { limited(plan, 0, fetch) } else { plan })
    }

    fn limit(&self, limit: &Limit) -> Planned {
        let refuse = |_| SqlError::new("2201W", "LIMIT and OFFSET must not be negative");
        let (SkipType::Literal(skip), FetchType::Literal(fetch)) =
            (limit.get_skip_type().map_err(refuse)?, limit.get_fetch_type().map_err(refuse)?)
        else {
            return Err(SqlError::unsupported(
                "LIMIT and OFFSET take constants only",
                "write the number: it is public in any case",
            ));
        };
        let input = self.relation(&limit.input, true)?;
        let skip = u64::try_from(skip).unwrap_or(u64::MAX);
        Ok(limited(input, skip, fetch.and_then(|f| u64::try_from(f).ok())))
    }
}

/// DataFusion's name of an expression without the types of its constants.
pub(super) fn readable(name: &str) -> String {
    let mut text = name.replace("count(Int64(1))", "count(*)");
    for prefix in ["Int64(", "Utf8(", "Boolean(", "Float64("] {
        while let Some(start) = text.find(prefix) {
            let inside = start + prefix.len();
            let Some(length) = text[inside..].find(')') else { break };
            let value = text[inside..inside + length].to_owned();
            text.replace_range(start..=inside + length, &value);
        }
    }
    text
}

/// The only value of a relation of one column, NULL if it has no row. Several rows are a failure that
/// the client sees.
fn the_only_row(plan: Plan) -> Planned {
    let Some(field) = plan.fields.first().cloned() else {
        return Err(defect("a scalar subquery without a column".into()));
    };
    let value = build::column(0, &field);
    let counted = counted(plan, vec![extreme(Function::Max, value)])?;
    let column = |i: usize| {
        counted
            .fields
            .get(i)
            .map(|f| build::column(i, f))
            .ok_or_else(|| defect("a scalar subquery lost its column".into()))
    };
    let one = build::number(1, NumberKind::BigInt)?;
    let several = build::compare(Compare::Gt, column(0)?, one)?;
    let value = build::checked(column(1)?, several, Failure::SeveralRows);
    Ok(project(counted, vec![value], [field.name]))
}

/// The relation inside a scalar subquery, EXISTS or IN.
pub(super) const fn subquery_of(expr: &Logical) -> Option<&Subquery> {
    match expr {
        Logical::ScalarSubquery(subquery) => Some(subquery),
        Logical::Exists(exists) => Some(&exists.subquery),
        Logical::InSubquery(list) => Some(&list.subquery),
        _ => None,
    }
}

fn node_name(plan: &LogicalPlan) -> String {
    plan.display().to_string().split([':', ' ']).next().unwrap_or("this").to_owned()
}

fn empty_relation(empty: &EmptyRelation) -> Planned {
    let mut fields = Vec::with_capacity(empty.schema.fields().len());
    for field in empty.schema.fields() {
        let ty = numbers::of_arrow(field.data_type()).ok_or_else(|| {
            SqlError::unsupported(
                format!("type {} is not supported", field.data_type()),
                "the types are BOOLEAN, integers, DECIMAL, DATE, text and ENUM",
            )
        })?;
        fields.push(Field { name: field.name().clone(), ty, nullable: true });
    }
    let rows: Vec<Vec<Literal>> =
        if empty.produce_one_row { vec![vec![Literal::Null; fields.len()]] } else { Vec::new() };
    let count = u64::from(empty.produce_one_row);
    Ok(Plan { op: Operator::Values(rows), fields, rows: count })
}

/// Rows for which the predicate is TRUE.
pub(super) fn filtered(input: Plan, predicate: Expr) -> Plan {
    if matches!(build::literal(&predicate), Some(Literal::Boolean(true))) {
        return input;
    }
    let (fields, rows) = (input.fields.clone(), input.rows);
    Plan { op: Operator::Filter { input: Box::new(input), predicate }, fields, rows }
}

/// One column for each expression.
pub(super) fn project(
    input: Plan,
    exprs: Vec<Expr>,
    names: impl IntoIterator<Item = String>,
) -> Plan {
    let fields: Vec<Field> = exprs
        .iter()
        .zip(names)
        .map(|(e, name)| Field { name, ty: e.ty.clone(), nullable: e.nullable })
        .collect();
    let same = exprs.len() == input.fields.len()
        && exprs.iter().enumerate().all(|(i, e)| is_column(e) && build::plain_column(e) == Some(i));
    let rows = input.rows;
    if same {
        return Plan { op: input.op, fields, rows };
    }
    Plan { op: Operator::Project { input: Box::new(input), exprs }, fields, rows }
}

/// The columns at these positions.
pub(super) fn picked(input: Plan, columns: &[usize]) -> Plan {
    let mut exprs = Vec::with_capacity(columns.len());
    let mut names = Vec::with_capacity(columns.len());
    for index in columns {
        if let Some(field) = input.fields.get(*index) {
            exprs.push(build::column(*index, field));
            names.push(field.name.clone());
        }
    }
    project(input, exprs, names)
}

/// The first columns only.
pub(super) fn narrowed(input: Plan, width: usize) -> Plan {
    if input.fields.len() == width {
        return input;
    }
    let columns: Vec<usize> = (0..width).collect();
    picked(input, &columns)
}

/// The single row of `one` beside every row.
pub(super) fn beside(input: Plan, one: Plan) -> Plan {
    let mut fields = input.fields.clone();
    let certain = super::unique::exactly_one(&one);
    fields
        .extend(one.fields.iter().map(|f| Field { nullable: f.nullable || !certain, ..f.clone() }));
    let rows = input.rows;
    let op = Operator::OneRowJoin { input: Box::new(input), one: Box::new(one) };
    Plan { op, fields, rows }
}

pub(super) fn sorted(input: Plan, keys: Vec<SortKey>) -> Plan {
    let (fields, rows) = (input.fields.clone(), input.rows);
    Plan { op: Operator::Sort { input: Box::new(input), keys }, fields, rows }
}

/// OFFSET and LIMIT, below projections so that they stand right on a Sort, which then has no more rows
/// than are looked at.
pub(super) fn limited(input: Plan, skip: u64, fetch: Option<u64>) -> Plan {
    if skip == 0 && fetch.is_none_or(|f| f >= input.rows) && input.rows > 0 {
        return input;
    }
    let left = input.rows.saturating_sub(skip);
    let rows = fetch.map_or(left, |f| f.min(left));
    let fields = input.fields.clone();
    match input.op {
        Operator::Project { input: below, exprs } => {
            let below = limited(*below, skip, fetch);
            Plan { op: Operator::Project { input: Box::new(below), exprs }, fields, rows }
        }
        op => {
            let mut below = input.rows;
            if let (Operator::Sort { .. }, Some(fetch)) = (&op, fetch) {
                below = below.min(skip.saturating_add(fetch));
            }
            let input = Plan { op, fields: fields.clone(), rows: below };
            Plan { op: Operator::Limit { input: Box::new(input), skip, fetch }, fields, rows }
        }
    }
}

/// Rows of all inputs, columns by position under a common type.
pub(super) fn union_all(inputs: Vec<Plan>, names: &[String]) -> Planned {
    let rows = inputs.iter().try_fold(0_u64, |sum, p| sum.checked_add(p.rows));
    let rows = check_rows(rows)?;
    let mut columns: Vec<Vec<Expr>> = vec![Vec::with_capacity(names.len()); inputs.len()];
    let mut fields = Vec::with_capacity(names.len());
    for (position, name) in names.iter().enumerate() {
        let mut values = Vec::with_capacity(inputs.len());
        for input in &inputs {
            let field = input
                .fields
                .get(position)
                .ok_or_else(|| defect("a set operation lost a column".into()))?;
            values.push(build::column(position, field));
        }
        let (values, ty) = unify_columns(values, &inputs, position)?;
        let nullable = values.iter().any(|v| v.nullable);
        for (column, value) in columns.iter_mut().zip(values) {
            column.push(value);
        }
        fields.push(Field { name: name.clone(), ty, nullable });
    }
    let inputs: Vec<Plan> = inputs
        .into_iter()
        .zip(columns)
        .map(|(input, exprs)| project(input, exprs, names.iter().cloned()))
        .collect();
    Ok(Plan { op: Operator::UnionAll(inputs), fields, rows })
}

/// A column that is NULL in every row of its input takes the type of the others; a column of
/// constant texts may join a dictionary.
fn unify_columns(
    values: Vec<Expr>,
    inputs: &[Plan],
    position: usize,
) -> Result<(Vec<Expr>, crate::types::Type), SqlError> {
    let values = values
        .into_iter()
        .zip(inputs)
        .map(|(value, input)| match &input.op {
            Operator::Project { exprs, .. } => match exprs.get(position) {
                Some(e) if build::literal(e).is_some() => e.clone(),
                _ => value,
            },
            _ => value,
        })
        .collect();
    build::unify(dictionary::harmonise(values))
}
