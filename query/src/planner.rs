//! From DataFusion's optimised logical plan to the closed set of oblivious operators.
//!
//! * [`relation`]: one operator for each node, with public row bounds;
//! * [`join`], [`mark`], [`unique`]: which side of a join has a unique key, and joins that are not
//!   written as such (semi, anti, EXISTS under OR, NOT IN);
//! * [`aggregate`], [`grouping`]: grouping, with or without a sort; grouping sets;
//! * [`correlated`]: subqueries that are no joins; [`window`]: window functions;
//! * [`determined`], [`distinct`]: columns that follow from others, how many values they can have;
//!   [`late`]: columns that only the result shows;
//! * [`scalar`], [`function`], [`math`], [`date`], [`timestamp`], [`text`], [`cast`], [`build`], [`dictionary`],
//!   [`literals`], [`numbers`]: expressions with types,
//!   scales and bounds that hold whatever the data is.
//!
//! * [`public`]: what PUBLIC columns alone decide, computed in the clear.
//!
//! Columns are looked up by their position in DataFusion's schema; nothing depends on hash order.

mod aggregate;
pub(crate) mod build;
mod cast;
mod correlated;
mod date;
mod determined;
mod dictionary;
mod distinct;
mod function;
mod grouping;
mod join;
mod late;
mod literals;
mod mark;
mod math;
pub(crate) mod numbers;
mod public;
mod relation;
mod scalar;
mod text;
mod timestamp;
mod unique;
mod window;

use crate::clear::PublicData;
use crate::frontend::Positions;
use crate::plan::{Operator, Plan};
use crate::policy;
use arrow::datatypes::DataType;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::{Expr as Logical, LogicalPlan};
use trine_proto::catalog::NetProfile;
use trine_proto::status::{SqlError, sqlstate};
use trine_storage::{StorageError, Store};

/// Rows of a relation at most: row numbers are 32 bits in the protocols.
pub(crate) const ROWS_MAX: u64 = 1 << 31;

/// Compiles logical plans.
pub(crate) struct Planner<'a> {
    positions: &'a Positions<'a>,
    profile: NetProfile,
    public: PublicData<'a>,
}

impl<'a> Planner<'a> {
    pub(crate) fn new(positions: &'a Positions<'a>, profile: NetProfile) -> Self {
        Self { positions, profile, public: PublicData::new(None) }
    }

    /// The same with the PUBLIC columns of a store, so that what they decide is computed in the clear.
    pub(crate) fn over(self, store: Option<&'a Store>) -> Self {
        Self { public: PublicData::new(store), ..self }
    }

    /// The error of the store that ended the planning, if one did.
    pub(crate) fn take_failure(&self) -> Option<StorageError> {
        self.public.take_failure()
    }

    /// The whole statement: the relation, its result columns by these names, and what is revealed.
    pub(crate) fn plan(&self, logical: &LogicalPlan, names: &[String]) -> Result<Plan, SqlError> {
        let input = self.in_the_clear(agreed(self.relation(logical, true)?, logical)?)?;
        let ordered = is_ordered(&input);
        let input = late::columns(input, self.profile);
        for (field, arrow) in input.fields.iter().zip(logical.schema().fields()) {
            if !numbers::agrees(field, arrow.data_type()) {
                return Err(SqlError::unsupported(
                    format!(
                        "column {} would be {} where SQL says {}",
                        arrow.name(),
                        numbers::sql_name(&field.ty),
                        arrow.data_type()
                    ),
                    "use narrower DECIMAL types",
                ));
            }
        }
        let mut fields = input.fields.clone();
        for (field, name) in fields.iter_mut().zip(names) {
            field.name.clone_from(name);
        }
        let rows = input.rows;
        let size = policy::result_size(rows);
        Ok(Plan { op: Operator::Reveal { input: Box::new(input), size, ordered }, fields, rows })
    }

    /// A relation of which only the existence of rows counts.
    pub(crate) fn found(&self, logical: &LogicalPlan) -> Result<Plan, SqlError> {
        self.relation(logical, false)
    }

    /// An unsupported expression, at its first column.
    fn unsupported(
        &self,
        expr: &Logical,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> SqlError {
        self.put(SqlError::unsupported(message, hint), expr)
    }

    /// The error at the expression, unless it has a position already.
    fn put(&self, error: SqlError, expr: &Logical) -> SqlError {
        if error.position == 0 { error.at(self.place(expr)) } else { error }
    }

    /// Position of the first column of an expression; 0 when there is none.
    fn place(&self, expr: &Logical) -> u32 {
        let mut found = 0;
        // The closure never fails, so neither does the walk.
        let _ = expr.apply(|node| {
            if let Logical::Column(column) | Logical::OuterReferenceColumn(_, column) = node {
                found = match column.spans.first() {
                    Some(span) => self.positions.character(span.start.line, span.start.column),
                    None => self.positions.identifier(&column.name),
                };
                if found != 0 {
                    return Ok(TreeNodeRecursion::Stop);
                }
            }
            Ok(TreeNodeRecursion::Continue)
        });
        found
    }

    /// Position of a word of the statement; 0 when it is not there.
    fn word(&self, word: &str) -> u32 {
        self.positions.identifier(word)
    }

    fn correlated(&self, expr: &Logical) -> SqlError {
        self.unsupported(
            expr,
            "this correlated subquery is not supported",
            "correlate by equality, or write a join with GROUP BY",
        )
    }
}

/// Columns that SQL calls DOUBLE PRECISION, as such: exact numbers take part in sums and comparisons
/// as they are, and change at the end.
fn agreed(input: Plan, logical: &LogicalPlan) -> Result<Plan, SqlError> {
    let doubles: Vec<bool> = input
        .fields
        .iter()
        .zip(logical.schema().fields())
        .map(|(field, arrow)| {
            matches!(arrow.data_type(), DataType::Float64)
                && !numbers::agrees(field, arrow.data_type())
        })
        .collect();
    if !doubles.contains(&true) {
        return Ok(input);
    }
    let mut exprs = Vec::with_capacity(input.fields.len());
    for ((index, field), double) in input.fields.iter().enumerate().zip(doubles) {
        let column = build::column(index, field);
        exprs.push(if double { build::to_double(column)? } else { column });
    }
    let names: Vec<String> = input.fields.iter().map(|f| f.name.clone()).collect();
    Ok(relation::project(input, exprs, names))
}

/// Whether the rows of a relation stand in the order of a Sort.
fn is_ordered(plan: &Plan) -> bool {
    match &plan.op {
        Operator::Sort { .. } => true,
        Operator::Public { ordered, .. } => *ordered,
        Operator::Limit { input, .. } | Operator::Project { input, .. } => is_ordered(input),
        _ => false,
    }
}

/// Refuses a relation with too many rows.
fn check_rows(rows: Option<u64>) -> Result<u64, SqlError> {
    rows.filter(|r| *r <= ROWS_MAX).ok_or_else(|| {
        SqlError::new(
            sqlstate::LIMIT_EXCEEDED,
            format!("the public row bound of an intermediate result exceeds {ROWS_MAX}"),
        )
    })
}
