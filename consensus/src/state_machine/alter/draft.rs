//! What the actions of an ALTER TABLE make of a table, one after the other.

mod constraints;

use std::collections::{BTreeMap, BTreeSet};

use trine_proto::alter::{Change, Constant, Demand, Origin};
use trine_proto::catalog::{Catalog, TableEntry};
use trine_proto::ids::TableId;
use trine_proto::schema::{COLUMNS_MAX, Column};
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire::{self, alter_action::Action};

use super::super::{Request, malformed, names, rules, texts};
use super::owned;

/// Actions of one statement at most.
const ACTIONS_MAX: usize = 256;

/// See the module.
pub(super) struct Draft {
    /// The table as it will be.
    pub(super) change: Change,
    /// Views that go with CASCADE.
    pub(super) views: BTreeSet<TableId>,
    /// REFERENCES of other tables that go with CASCADE.
    pub(super) references: BTreeSet<(TableId, String)>,
    /// New positions of the columns by their old ones; none: dropped.
    pub(super) targets: BTreeMap<usize, Option<usize>>,
    notices: Vec<String>,
}

/// A draft under way, with what it is drawn from.
struct Drawing<'a> {
    catalog: &'a Catalog,
    request: &'a Request,
    table: &'a TableEntry,
    columns: Vec<Origin>,
    draft: Draft,
}

impl Draft {
    /// Of the table as it is at the request's position.
    pub(super) fn of(
        catalog: &Catalog,
        request: &Request,
        command: &wire::AlterTable,
    ) -> Result<Self, SqlError> {
        let table = owned(catalog, request, &command.table)?;
        if command.actions.is_empty() || command.actions.len() > ACTIONS_MAX {
            return Err(malformed(format!("ALTER TABLE has 1 to {ACTIONS_MAX} actions")));
        }
        let change = Change {
            schema: table.schema.clone(),
            rules: table.rules.clone(),
            columns: None,
            demands: Vec::new(),
        };
        let draft = Self {
            change,
            views: BTreeSet::new(),
            references: BTreeSet::new(),
            targets: BTreeMap::new(),
            notices: Vec::new(),
        };
        let columns = (0..table.schema.columns.len()).map(Origin::Before).collect();
        let mut drawing = Drawing { catalog, request, table, columns, draft };
        for action in &command.actions {
            let action = action.action.as_ref();
            drawing.draw(action.ok_or_else(|| malformed("an action that asks for nothing"))?)?;
        }
        Ok(drawing.finish())
    }

    /// What the user is told.
    pub(super) fn notice(&self) -> Option<String> {
        (!self.notices.is_empty()).then(|| self.notices.join("; "))
    }
}

impl Drawing<'_> {
    fn draw(&mut self, action: &Action) -> Result<(), SqlError> {
        match action {
            Action::RenameTable(to) => self.rename_table(to),
            Action::RenameColumn(names) => self.rename_column(&names.from, &names.to),
            Action::RenameConstraint(names) => self.rename_constraint(&names.from, &names.to),
            Action::AddColumn(add) => self.add_column(add),
            Action::DropColumn(part) => self.drop_column(part),
            Action::SetDefault(set) => self.set_default(&set.column, &set.sql),
            Action::SetNotNull(set) => self.set_not_null(&set.column, set.not_null),
            Action::AddConstraint(add) => self.add_constraint(add),
            Action::DropConstraint(part) => self.drop_constraint(part),
        }
    }

    fn finish(mut self) -> Draft {
        let before = &self.table.schema;
        if self.draft.change.schema != *before {
            for old in 0..before.columns.len() {
                let new = self.columns.iter().position(|o| *o == Origin::Before(old));
                self.draft.targets.insert(old, new);
            }
            // Where it refers to itself.
            let (id, targets) = (self.table.id, &self.draft.targets);
            let own = self.draft.change.rules.references.iter_mut().filter(|r| r.table == id);
            for rule in own {
                rule.targets = moved(&rule.targets, targets);
            }
            self.draft.change.columns = Some(self.columns);
        }
        self.draft
    }

    /// Name of the table as far as it is drawn.
    fn name(&self) -> &str {
        &self.draft.change.schema.name
    }

    fn position(&self, column: &str) -> Result<usize, SqlError> {
        self.draft.change.schema.position(column).ok_or_else(|| self.no_column(column))
    }

    fn no_column(&self, column: &str) -> SqlError {
        let message = format!("column \"{column}\" of relation \"{}\" does not exist", self.name());
        SqlError::new(sqlstate::UNDEFINED_COLUMN, message)
    }

    fn column_exists(&self, column: &str) -> SqlError {
        let message = format!("column \"{column}\" of relation \"{}\" already exists", self.name());
        SqlError::new(sqlstate::DUPLICATE_COLUMN, message)
    }

    /// A view over the table whose text may mean the column; none: any view.
    fn view_over(&self, column: Option<&str>) -> Option<(TableId, &str)> {
        let at = self.request.index;
        let over = self.catalog.views.values().find(|view| {
            view.exists(at)
                && view.depends.contains(&self.table.id)
                && !self.draft.views.contains(&view.id)
                && column.is_none_or(|column| texts::mentions(&view.sql, column))
        });
        over.map(|view| (view.id, view.name.as_str()))
    }

    fn rename_table(&mut self, to: &str) -> Result<(), SqlError> {
        names::checked(to)?;
        // It stays in its schema.
        let inside = match self.name().split_once('.') {
            Some((schema, _)) => format!("{schema}.{to}"),
            None => to.to_owned(),
        };
        if to.contains('.') {
            return Err(malformed("the new name of a table names no schema"));
        }
        let to = inside.as_str();
        names::free(self.catalog, to, self.request.index)?;
        if let Some((_, view)) = self.view_over(None) {
            return Err(named_by_view(&format!("table \"{}\"", self.name()), view));
        }
        let from = std::mem::replace(&mut self.draft.change.schema.name, to.to_owned());
        for check in &mut self.draft.change.rules.checks {
            check.sql = texts::rename_table(&check.sql, &from, to);
        }
        Ok(())
    }

    fn rename_column(&mut self, from: &str, to: &str) -> Result<(), SqlError> {
        names::checked(to)?;
        let position = self.position(from)?;
        if self.draft.change.schema.position(to).is_some() {
            return Err(self.column_exists(to));
        }
        if let Some((_, view)) = self.view_over(Some(from)) {
            return Err(named_by_view(&format!("column \"{from}\""), view));
        }
        to.clone_into(&mut self.draft.change.schema.columns[position].name);
        for check in &mut self.draft.change.rules.checks {
            check.sql = texts::rename_column(&check.sql, from, to);
        }
        Ok(())
    }

    fn add_column(&mut self, add: &wire::AddColumn) -> Result<(), SqlError> {
        let column = add.column.as_ref().ok_or_else(|| malformed("a column without a type"))?;
        let column = Column::try_from(column)?;
        if self.draft.change.schema.position(&column.name).is_some() {
            let error = self.column_exists(&column.name);
            if add.if_not_exists {
                self.draft.notices.push(format!("{}, skipping", error.message));
                return Ok(());
            }
            return Err(error);
        }
        let schema = &mut self.draft.change.schema;
        if schema.columns.len() >= COLUMNS_MAX {
            return Err(SqlError::new(
                sqlstate::LIMIT_EXCEEDED,
                format!("a table has at most {COLUMNS_MAX} columns"),
            ));
        }
        let value = Constant::of_fill(add.fill.as_ref(), &column)
            .ok_or_else(|| malformed("the value does not fit the column that is added"))?;
        let position = schema.columns.len();
        if value == Constant::Null && !column.nullable {
            self.draft.change.demands.push(Demand::NotNull(position));
        }
        schema.columns.push(column);
        self.columns.push(Origin::Constant(value));
        if !add.default_sql.is_empty() {
            rules::text(&add.default_sql)?;
            self.draft.change.rules.defaults.insert(position, add.default_sql.clone());
        }
        Ok(())
    }

    fn drop_column(&mut self, part: &wire::DropPart) -> Result<(), SqlError> {
        let Some(position) = self.draft.change.schema.position(&part.name) else {
            let error = self.no_column(&part.name);
            if part.if_exists {
                self.draft.notices.push(format!("{}, skipping", error.message));
                return Ok(());
            }
            return Err(error);
        };
        if self.draft.change.schema.columns.len() == 1 {
            return Err(SqlError::unsupported(
                "a table without columns is not supported",
                "DROP TABLE drops the table",
            ));
        }
        let what = format!("column \"{}\" of table \"{}\"", part.name, self.name());
        self.drop_views(&what, &part.name, part.cascade)?;
        self.drop_referring(&what, position, part.cascade)?;
        self.forget_column(&part.name, position);
        Ok(())
    }

    fn drop_views(&mut self, what: &str, column: &str, cascade: bool) -> Result<(), SqlError> {
        while let Some((id, name)) = self.view_over(Some(column)) {
            if !cascade {
                return Err(depends(what, &format!("view \"{name}\"")));
            }
            self.draft.notices.push(format!("drop cascades to view \"{name}\""));
            self.draft.views.insert(id);
            // And what depends on it, whatever that names.
            loop {
                let at = self.request.index;
                let gone = &self.draft.views;
                let over = self.catalog.views.values().find(|v| {
                    v.exists(at) && !gone.contains(&v.id) && !v.depends.is_disjoint(gone)
                });
                let Some(view) = over else { break };
                self.draft.notices.push(format!("drop cascades to view \"{}\"", view.name));
                self.draft.views.insert(view.id);
            }
        }
        Ok(())
    }

    /// Takes a column out; what is made of it alone goes too, as in PostgreSQL.
    fn forget_column(&mut self, name: &str, gone: usize) {
        let Change { schema, rules, demands, .. } = &mut self.draft.change;
        let moved = |position: usize| position - usize::from(position > gone);
        schema.columns.remove(gone);
        self.columns.remove(gone);
        if schema.primary_key.contains(&gone) {
            schema.primary_key.clear();
            demands.retain(|d| *d != Demand::PrimaryKey);
        }
        schema.primary_key.iter_mut().for_each(|k| *k = moved(*k));
        let defaults = std::mem::take(&mut rules.defaults).into_iter();
        rules.defaults = defaults.filter(|(k, _)| *k != gone).map(|(k, v)| (moved(k), v)).collect();
        rules.checks.retain(|check| !texts::mentions(&check.sql, name));
        rules.indexes.retain(|index| !index.columns.contains(&gone));
        rules.indexes.iter_mut().flat_map(|i| &mut i.columns).for_each(|k| *k = moved(*k));
        rules.references.retain(|rule| !rule.columns.contains(&gone));
        let own = self.table.id;
        for rule in &mut rules.references {
            rule.columns.iter_mut().for_each(|k| *k = moved(*k));
            // Where it refers to itself, the targets are moved when the draft is finished.
            debug_assert!(rule.table != own || !rule.targets.contains(&gone));
        }
        demands.retain_mut(|demand| match demand {
            Demand::NotNull(k) if *k == gone => false,
            Demand::NotNull(k) => {
                *k = moved(*k);
                true
            }
            Demand::Check(name) => rules.checks.iter().any(|c| c.name == *name),
            Demand::Unique(name) => rules.indexes.iter().any(|i| i.name == *name),
            Demand::Reference(name) => rules.references.iter().any(|r| r.name == *name),
            Demand::PrimaryKey => true,
        });
    }

    fn set_default(&mut self, column: &str, sql: &str) -> Result<(), SqlError> {
        let position = self.position(column)?;
        if sql.is_empty() {
            self.draft.change.rules.defaults.remove(&position);
        } else {
            rules::text(sql)?;
            self.draft.change.rules.defaults.insert(position, sql.to_owned());
        }
        Ok(())
    }

    fn set_not_null(&mut self, column: &str, not_null: bool) -> Result<(), SqlError> {
        let position = self.position(column)?;
        let schema = &mut self.draft.change.schema;
        let demands = &mut self.draft.change.demands;
        if !not_null && schema.primary_key.contains(&position) {
            return Err(SqlError::new(
                sqlstate::INVALID_TABLE_DEFINITION,
                format!("column \"{column}\" is in a primary key"),
            ));
        }
        if not_null && schema.columns[position].nullable {
            demands.push(Demand::NotNull(position));
        }
        if !not_null {
            demands.retain(|d| *d != Demand::NotNull(position));
        }
        schema.columns[position].nullable = !not_null;
        Ok(())
    }
}

/// Positions of columns after the change; what is dropped is left out.
pub(super) fn moved(targets: &[usize], by: &BTreeMap<usize, Option<usize>>) -> Vec<usize> {
    targets.iter().filter_map(|t| by.get(t).copied().flatten()).collect()
}

fn depends(what: &str, on_it: &str) -> SqlError {
    SqlError::new(
        sqlstate::DEPENDENT_OBJECTS,
        format!("cannot drop {what} because {on_it} depends on it"),
    )
    .hint("use DROP … CASCADE to drop the dependent objects too")
}

fn named_by_view(what: &str, view: &str) -> SqlError {
    SqlError::new(
        sqlstate::DEPENDENT_OBJECTS,
        format!("cannot rename {what} because view \"{view}\" names it"),
    )
    .hint("a view is kept as text: drop it, and create it again afterwards")
}
