//! The fixed list of rewrite rules, and the fixed configuration they see.

use super::bag_rule::CountedSets;
use super::dictionary_rule::DictionaryOrder;
use super::exact_rule::ExactArguments;
use super::fence_rule::Fences;
use super::functions::Functions;
use super::in_rule::ThreeValuedIn;
use super::interval_rule::ComparedIntervals;
use super::literal_rule::CheckedLiterals;
use super::plain_rule::PlainRows;
use chrono::{DateTime, Utc};
use datafusion_common::alias::AliasGenerator;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::expr_rewriter::FunctionRewrite;
use datafusion_expr::planner::ExprPlanner;
use datafusion_expr::registry::FunctionRegistry;
use datafusion_expr::{AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, ScalarUDF, WindowUDF};
use datafusion_optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion_optimizer::analyzer::{Analyzer, AnalyzerRule};
use datafusion_optimizer::common_subexpr_eliminate::CommonSubexprEliminate;
use datafusion_optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion_optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion_optimizer::eliminate_duplicated_expr::EliminateDuplicatedExpr;
use datafusion_optimizer::eliminate_filter::EliminateFilter;
use datafusion_optimizer::eliminate_group_by_constant::EliminateGroupByConstant;
use datafusion_optimizer::eliminate_limit::EliminateLimit;
use datafusion_optimizer::eliminate_outer_join::EliminateOuterJoin;
use datafusion_optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion_optimizer::optimize_projections::OptimizeProjections;
use datafusion_optimizer::optimize_unions::OptimizeUnions;
use datafusion_optimizer::propagate_empty_relation::PropagateEmptyRelation;
use datafusion_optimizer::push_down_filter::PushDownFilter;
use datafusion_optimizer::rewrite_set_comparison::RewriteSetComparison;
use datafusion_optimizer::scalar_subquery_to_join::ScalarSubqueryToJoin;
use datafusion_optimizer::simplify_expressions::SimplifyExpressions;
use datafusion_optimizer::{Optimizer, OptimizerConfig, OptimizerRule};
use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

/// What the rules see of the world: options that never change, and the statement's signed time.
#[derive(Debug)]
pub(crate) struct Config {
    now: Option<DateTime<Utc>>,
    aliases: Arc<AliasGenerator>,
    options: Arc<ConfigOptions>,
}

static OPTIONS: LazyLock<Arc<ConfigOptions>> = LazyLock::new(|| {
    let mut options = ConfigOptions::default();
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.collect_spans = true;
    options.execution.time_zone = Some("+00:00".to_owned());
    options.execution.enable_recursive_ctes = false;
    // A scalar subquery becomes a relation of one row beside the other rows.
    options.optimizer.enable_physical_uncorrelated_scalar_subquery = true;
    options.optimizer.filter_null_join_keys = false;
    options.optimizer.skip_failed_rules = false;
    options.optimizer.max_passes = 3;
    // Never the machine's core count.
    options.execution.target_partitions = 1;
    options.execution.planning_concurrency = 1;
    Arc::new(options)
});

impl Config {
    /// `signed_at_ms` is what now() says.
    pub(crate) fn new(signed_at_ms: u64) -> Self {
        let now = i64::try_from(signed_at_ms).ok().and_then(DateTime::from_timestamp_millis);
        Self { now, aliases: Arc::new(AliasGenerator::new()), options: Arc::clone(&OPTIONS) }
    }

    pub(crate) fn shared_options(&self) -> Arc<ConfigOptions> {
        Arc::clone(&self.options)
    }
}

impl OptimizerConfig for Config {
    fn query_execution_start_time(&self) -> Option<DateTime<Utc>> {
        self.now
    }
    fn alias_generator(&self) -> &Arc<AliasGenerator> {
        &self.aliases
    }
    fn options(&self) -> Arc<ConfigOptions> {
        Arc::clone(&self.options)
    }
    fn function_registry(&self) -> Option<&dyn FunctionRegistry> {
        Some(&Registry)
    }
}

static ANALYZER: LazyLock<Analyzer> = LazyLock::new(|| {
    let rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![
        Arc::new(CountedSets),
        Arc::new(Fences),
        Arc::new(ThreeValuedIn),
        Arc::new(DictionaryOrder),
        Arc::new(TypeCoercion::new()),
        Arc::new(ExactArguments),
        Arc::new(CheckedLiterals),
        Arc::new(ComparedIntervals),
        Arc::new(PlainRows),
    ];
    Analyzer::with_rules(rules)
});

/// Left out on purpose: EliminateJoin (turns joins into semi joins with a residual),
/// PushDownLimit (a limit inside a union or a join costs a compaction), SingleDistinctToGroupBy
/// (doubles the sort), ReplaceDistinctWithAggregate (DISTINCT ON is a row number, not FIRST_VALUE),
/// FilterNullJoinKeys (the join knows NULL), UnionsToFilter and the leaf
/// projections (nothing to gain).
static OPTIMIZER: LazyLock<Optimizer> = LazyLock::new(|| Optimizer::with_rules(rules(true)));

/// Without PushDownFilter, which moves a condition away from the columns that a subquery in it looks
/// at.
static IN_PLACE: LazyLock<Optimizer> = LazyLock::new(|| Optimizer::with_rules(rules(false)));

/// Makes joins of subqueries, where that is possible.
static DECORRELATION: LazyLock<Optimizer> = LazyLock::new(|| {
    Optimizer::with_rules(vec![
        Arc::new(RewriteSetComparison::new()),
        Arc::new(SimplifyExpressions::new()),
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(ScalarSubqueryToJoin::new()),
    ])
});

fn rules(push_down: bool) -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![
        Arc::new(RewriteSetComparison::new()),
        Arc::new(OptimizeUnions::new()),
        Arc::new(SimplifyExpressions::new()),
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(ScalarSubqueryToJoin::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
        Arc::new(EliminateDuplicatedExpr::new()),
        Arc::new(EliminateFilter::new()),
        Arc::new(EliminateCrossJoin::new()),
        Arc::new(EliminateLimit::new()),
        Arc::new(PropagateEmptyRelation::new()),
        Arc::new(EliminateOuterJoin::new()),
    ];
    if push_down {
        rules.push(Arc::new(PushDownFilter::new()));
    }
    rules.extend([
        Arc::new(EliminateGroupByConstant::new()) as Arc<dyn OptimizerRule + Send + Sync>,
        Arc::new(CommonSubexprEliminate::new()),
        Arc::new(OptimizeProjections::new()),
    ]);
    rules
}

/// Coerces types, then rewrites to a fixed point.
pub(crate) fn optimise(plan: LogicalPlan, config: &Config) -> Result<LogicalPlan> {
    let analysed = ANALYZER.execute_and_check(plan, &config.options, |_, _| {})?;
    if !looks_outside(&analysed)? {
        return OPTIMIZER.optimize(analysed, config, |_, _| {});
    }
    let joined = DECORRELATION.optimize(analysed, config, |_, _| {})?;
    let optimizer = if looks_outside(&joined)? { &IN_PLACE } else { &OPTIMIZER };
    optimizer.optimize(joined, config, |_, _| {})
}

/// Whether an expression holds a correlated subquery.
fn looks_outside(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.exists(|e| {
                Ok(match e {
                    Expr::ScalarSubquery(subquery) => !subquery.outer_ref_columns.is_empty(),
                    Expr::Exists(exists) => !exists.subquery.outer_ref_columns.is_empty(),
                    Expr::InSubquery(list) => !list.subquery.outer_ref_columns.is_empty(),
                    _ => false,
                })
            })?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(found)
}

/// Read-only view of the function table, as some rules want it.
struct Registry;

fn read_only<T>() -> Result<T> {
    Err(DataFusionError::NotImplemented("functions cannot be registered".to_owned()))
}

impl FunctionRegistry for Registry {
    fn udfs(&self) -> HashSet<String> {
        Functions::shared().scalar.keys().cloned().collect()
    }
    fn higher_order_function_names(&self) -> HashSet<String> {
        HashSet::new()
    }
    fn udafs(&self) -> HashSet<String> {
        Functions::shared().aggregate.keys().cloned().collect()
    }
    fn udwfs(&self) -> HashSet<String> {
        Functions::shared().window.keys().cloned().collect()
    }
    fn udf(&self, name: &str) -> Result<Arc<ScalarUDF>> {
        Functions::shared().scalar.get(name).cloned().map_or_else(read_only, Ok)
    }
    fn higher_order_function(&self, _: &str) -> Result<Arc<HigherOrderUDF>> {
        read_only()
    }
    fn udaf(&self, name: &str) -> Result<Arc<AggregateUDF>> {
        Functions::shared().aggregate.get(name).cloned().map_or_else(read_only, Ok)
    }
    fn udwf(&self, name: &str) -> Result<Arc<WindowUDF>> {
        Functions::shared().window.get(name).cloned().map_or_else(read_only, Ok)
    }
    fn register_function_rewrite(
        &mut self,
        _: Arc<dyn FunctionRewrite + Send + Sync>,
    ) -> Result<()> {
        read_only()
    }
    fn expr_planners(&self) -> Vec<Arc<dyn ExprPlanner>> {
        Functions::shared().planners.clone()
    }
    fn register_expr_planner(&mut self, _: Arc<dyn ExprPlanner>) -> Result<()> {
        read_only()
    }
}
