//! The functions a statement may name. DataFusion's defaults are all registered, so that a known
//! function is refused as unsupported, and only an unknown one as unknown.

use datafusion_expr::{AggregateUDF, ScalarUDF, WindowUDF};
use datafusion_functions::core::planner::CoreFunctionPlanner;
use datafusion_functions::datetime::planner::DatetimeFunctionPlanner;
use datafusion_functions::unicode::planner::UnicodeFunctionPlanner;
use datafusion_functions_aggregate::planner::AggregateFunctionPlanner;
use datafusion_functions_window::planner::WindowFunctionPlanner;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use datafusion_expr::planner::ExprPlanner;

/// Aggregates that the planner compiles.
pub(crate) const AGGREGATES: [&str; 33] = [
    "grouping",
    "count",
    "sum",
    "avg",
    "mean",
    "min",
    "max",
    "bool_and",
    "bool_or",
    "var",
    "var_samp",
    "var_sample",
    "var_pop",
    "var_population",
    "stddev",
    "stddev_samp",
    "stddev_pop",
    "covar",
    "covar_samp",
    "covar_pop",
    "median",
    "percentile_cont",
    "percentile_disc",
    "corr",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
];
/// Functions that the parser or the planner writes in other forms.
const SYNTAX: [&str; 6] =
    ["current_date", "current_timestamp", "current_time", "localtime", "localtimestamp", "exists"];

/// Look-up by lower-case name or alias.
pub(crate) struct Functions {
    pub(crate) scalar: BTreeMap<String, Arc<ScalarUDF>>,
    pub(crate) aggregate: BTreeMap<String, Arc<AggregateUDF>>,
    pub(crate) planners: Vec<Arc<dyn ExprPlanner>>,
    /// Functions that exist only with OVER.
    pub(crate) window: BTreeMap<String, Arc<WindowUDF>>,
}

static FUNCTIONS: LazyLock<Functions> = LazyLock::new(Functions::new);

impl Functions {
    /// The one table of the process.
    pub(crate) fn shared() -> &'static Self {
        &FUNCTIONS
    }

    fn new() -> Self {
        let mut scalar = BTreeMap::new();
        for function in datafusion_functions::all_default_functions() {
            for name in function.aliases() {
                scalar.insert(name.to_lowercase(), Arc::clone(&function));
            }
            scalar.insert(function.name().to_lowercase(), function);
        }
        for function in super::hash_functions::all() {
            scalar.insert(function.name().to_owned(), function);
        }
        let mut aggregate = BTreeMap::new();
        for function in datafusion_functions_aggregate::all_default_aggregate_functions() {
            for name in function.aliases() {
                aggregate.insert(name.to_lowercase(), Arc::clone(&function));
            }
            aggregate.insert(function.name().to_lowercase(), function);
        }
        for function in super::ordered_sets::all() {
            aggregate.insert(function.name().to_owned(), function);
        }
        let mut window = BTreeMap::new();
        for function in datafusion_functions_window::all_default_window_functions() {
            for name in function.aliases() {
                window.insert(name.to_lowercase(), Arc::clone(&function));
            }
            window.insert(function.name().to_lowercase(), function);
        }
        Self {
            scalar,
            aggregate,
            planners: vec![
                Arc::new(CoreFunctionPlanner::default()),
                Arc::new(DatetimeFunctionPlanner),
                Arc::new(UnicodeFunctionPlanner),
                Arc::new(AggregateFunctionPlanner),
                Arc::new(WindowFunctionPlanner),
            ],
            window,
        }
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.scalar.contains_key(name)
            || self.aggregate.contains_key(name)
            || self.window.contains_key(name)
            || SYNTAX.contains(&name)
    }

    pub(crate) fn is_window_only(&self, name: &str) -> bool {
        self.window.contains_key(name)
    }

    pub(crate) fn is_unsupported_aggregate(&self, name: &str) -> bool {
        self.aggregate.contains_key(name) && !AGGREGATES.contains(&name)
    }
}

/// Scalar functions that are computed on shares, by DataFusion's names, beside those over ENUM labels.
const PROTOCOLS: [&str; 30] = [
    "abs",
    "bit_length",
    "btrim",
    "ceil",
    "character_length",
    "coalesce",
    "concat",
    "contains",
    "date_part",
    "date_trunc",
    "ends_with",
    "floor",
    "greatest",
    "least",
    "left",
    "lower",
    "ltrim",
    "nullif",
    "octet_length",
    "power",
    "right",
    "round",
    "rtrim",
    "signum",
    "sqrt",
    "starts_with",
    "strpos",
    "substr",
    "trunc",
    "upper",
];

/// Whether a function is computed on shares; the others know only what a statement writes out.
pub(super) fn has_protocol(name: &str) -> bool {
    PROTOCOLS.contains(&name)
}
