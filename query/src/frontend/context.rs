//! What DataFusion asks while it binds names: tables at the snapshot, for one principal.

use super::functions::Functions;
use super::tables::TrineTable;
use super::{information, names, views};
use crate::policy;
use arrow::datatypes::DataType;
use datafusion_common::config::ConfigOptions;
use datafusion_common::{DataFusionError, Result, TableReference};
use datafusion_expr::planner::{ContextProvider, ExprPlanner};
use datafusion_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};
use sqlparser::ast::{ObjectName, ObjectNamePart};
use std::sync::Arc;
use trine_proto::catalog::Catalog;
use trine_proto::ids::LogIndex;

/// The catalog at a log index, through the eyes of a principal.
pub(crate) struct Context<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) at: LogIndex,
    pub(crate) principal: &'a str,
    pub(crate) functions: &'static Functions,
    pub(crate) options: Arc<ConfigOptions>,
    /// Tables that are not, or not so, in the catalog: they come first.
    pub(crate) overlay: &'a [(String, TrineTable)],
    /// Inside a view: its owner, who lends the tables that are his.
    pub(crate) lender: Option<&'a str>,
    /// Views around.
    pub(crate) depth: usize,
}

impl Context<'_> {
    /// Columns of a table or view, as far as this principal may know them.
    pub(crate) fn columns(&self, name: &ObjectName) -> Option<Vec<String>> {
        let part = |part: &ObjectNamePart| part.as_ident().map(names::fold);
        let parts: Vec<String> = name.0.iter().map(part).collect::<Option<_>>()?;
        let reference = match parts.as_slice() {
            [table] => TableReference::bare(table.as_str()),
            [schema, table] => TableReference::partial(schema.as_str(), table.as_str()),
            _ => return None,
        };
        let source = self.get_table_source(reference).ok()?;
        Some(source.schema().fields().iter().map(|field| field.name().clone()).collect())
    }
}

impl ContextProvider for Context<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let external = |e| DataFusionError::External(Box::new(e));
        if name.catalog().is_none() && name.schema() == Some(information::SCHEMA) {
            return information::table(self, name.table());
        }
        if name.catalog().is_none() {
            let full = match name.schema().filter(|schema| *schema != "public") {
                Some(schema) => format!("{schema}.{}", name.table()),
                None => name.table().to_owned(),
            };
            if let Some((_, table)) = self.overlay.iter().find(|(n, _)| *n == full) {
                return Ok(Arc::new(table.clone()));
            }
            if let Some(view) = self.catalog.view(&full, self.at) {
                return views::source(self, view);
            }
        }
        let entry = policy::readable_table(
            self.catalog,
            self.at,
            (self.principal, self.lender),
            name.catalog(),
            name.schema(),
            name.table(),
        )
        .map_err(external)?;
        Ok(Arc::new(TrineTable::at(entry, self.at)))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.functions.planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.functions.scalar.get(&name.to_lowercase()).cloned()
    }

    fn get_higher_order_meta(&self, _: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.functions.aggregate.get(&name.to_lowercase()).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.functions.window.get(&name.to_lowercase()).cloned()
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.functions.scalar.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.functions.aggregate.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.functions.window.keys().cloned().collect()
    }
}
