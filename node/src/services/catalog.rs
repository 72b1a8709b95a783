//! Tables as their owners and readers may see them.

use super::Shared;
use std::sync::Arc;
use tonic::{Request, Response, Status};
use trine_proto::catalog::{TableEntry, ViewEntry};
use trine_proto::ids::LogIndex;
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire::{self, TableDescription, TableDescriptions};

/// See the contract.
pub(super) struct CatalogService(pub(super) Arc<Shared>);

#[tonic::async_trait]
impl wire::catalog_server::Catalog for CatalogService {
    async fn describe(
        &self,
        request: Request<wire::DescribeTables>,
    ) -> Result<Response<TableDescriptions>, Status> {
        let caller = self.0.caller(&request).await?;
        let name = request.into_inner().table;
        if name.is_empty() {
            let catalog = self.0.consensus.catalog();
            let at = catalog.applied;
            let tables =
                catalog.tables_for(&caller.name, at).map(|table| describe(table, at)).collect();
            let mine = |v: &&ViewEntry| v.exists(at) && v.may_select(&caller.name, at);
            let views = catalog.views.values().filter(mine).map(view).collect();
            return Ok(Response::new(TableDescriptions { tables, log_index: at.0, views }));
        }
        let catalog = self.0.consensus.catalog();
        let at = catalog.applied;
        let table = catalog.table(&name, at);
        if let Some(table) =
            table.filter(|t| !t.may_select(&caller.name, at) && !caller.administrator)
        {
            return Err(SqlError::new(
                sqlstate::INSUFFICIENT_PRIVILEGE,
                format!("permission denied for table {name}"),
            )
            .hint(format!("its owner \"{}\" can grant SELECT on it", table.owner))
            .into());
        }
        // No table is an answer too: with the position, the client sees whether this node is late.
        let tables = table.map(|table| describe(table, at)).into_iter().collect();
        let views = Vec::new();
        Ok(Response::new(TableDescriptions { tables, log_index: at.0, views }))
    }
}

fn describe(table: &TableEntry, at: LogIndex) -> TableDescription {
    let readers = table.grants.keys().filter(|who| table.may_select(who, at)).cloned().collect();
    TableDescription {
        schema: Some((&table.schema).into()),
        owner: table.owner.clone(),
        rows: table.rows(at),
        segments: table.visible(at).count() as u64,
        readers,
        rules: Some(rules(table, at)),
    }
}

fn view(view: &ViewEntry) -> wire::ViewDescription {
    wire::ViewDescription {
        name: view.name.clone(),
        owner: view.owner.clone(),
        sql: view.sql.clone(),
        columns: view.columns.clone(),
    }
}

/// What is in force at a position; names of tables that are referred to are left out.
fn rules(table: &TableEntry, at: LogIndex) -> wire::TableRules {
    let number = |column: &usize| u32::try_from(*column).unwrap_or(u32::MAX);
    let numbers = |columns: &[usize]| columns.iter().map(number).collect();
    let rules = &table.rules;
    let defaults = rules
        .defaults
        .iter()
        .map(|(column, sql)| wire::DefaultRule { column: number(column), sql: sql.clone() });
    let checks = rules
        .checks
        .iter()
        .map(|check| wire::CheckRule { name: check.name.clone(), sql: check.sql.clone() });
    let indexes = rules.indexes.iter().filter(|i| i.exists(at)).map(|i| wire::IndexRule {
        name: i.name.clone(),
        columns: numbers(&i.columns),
        unique: i.unique,
        constraint: i.constraint,
    });
    let references = rules.references.iter().map(|r| wire::ReferenceRule {
        name: r.name.clone(),
        columns: numbers(&r.columns),
        table: String::new(),
        targets: Vec::new(),
    });
    wire::TableRules {
        defaults: defaults.collect(),
        checks: checks.collect(),
        indexes: indexes.collect(),
        references: references.collect(),
    }
}
