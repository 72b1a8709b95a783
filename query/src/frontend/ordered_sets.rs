//! PERCENTILE_CONT and PERCENTILE_DISC, as PostgreSQL types them: DataFusion has the first for floating
//! point numbers only, and not the second. They are names with types; the planner computes them.

use arrow::datatypes::DataType;
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::function::AccumulatorArgs;
use datafusion_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use std::sync::Arc;

/// Aggregates that are written with WITHIN GROUP (ORDER BY …).
pub(crate) const ORDERED_SETS: [&str; 2] = ["percentile_cont", "percentile_disc"];

/// All of them.
pub(super) fn all() -> Vec<Arc<AggregateUDF>> {
    let signature = || Signature::any(2, Volatility::Immutable);
    let one = |name| OrderedSet { name, signature: signature() };
    ORDERED_SETS.into_iter().map(|name| Arc::new(AggregateUDF::from(one(name)))).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OrderedSet {
    name: &'static str,
    signature: Signature,
}

impl AggregateUDFImpl for OrderedSet {
    fn name(&self) -> &str {
        self.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    /// The arguments are the ordered value and the fraction.
    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(match arguments {
            [value, ..] if self.name == "percentile_disc" => value.clone(),
            _ => DataType::Float64,
        })
    }
    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let message = format!("{} is computed on shares", self.name);
        Err(DataFusionError::NotImplemented(message))
    }
    fn supports_within_group_clause(&self) -> bool {
        true
    }
}
