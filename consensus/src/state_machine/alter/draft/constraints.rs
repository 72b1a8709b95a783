//! ADD, DROP and RENAME CONSTRAINT.

use trine_proto::alter::Demand;
use trine_proto::catalog::{CheckRule, IndexEntry};
use trine_proto::ids::TableId;
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire::{self, add_constraint::Rule};

use super::super::super::{indexes, malformed, names, rules};
use super::{Drawing, depends};
use crate::limits::RULES_MAX;

impl Drawing<'_> {
    /// The name that the primary key goes by.
    fn key_name(&self) -> String {
        format!("{}_pkey", self.name())
    }

    fn has_constraint(&self, name: &str) -> bool {
        let change = &self.draft.change;
        let keyed = !change.schema.primary_key.is_empty() && self.key_name() == name;
        keyed
            || change.rules.checks.iter().any(|c| c.name == name)
            || change.rules.references.iter().any(|r| r.name == name)
            || self.unique_constraint(name).is_some()
    }

    fn unique_constraint(&self, name: &str) -> Option<&IndexEntry> {
        let mut all = self.draft.change.rules.indexes.iter();
        all.find(|i| i.constraint && i.dropped.is_none() && i.name == name)
    }

    /// The name as given, if it is free, or one that is.
    fn constraint_name(&self, given: &str, ending: &str) -> Result<String, SqlError> {
        if !given.is_empty() {
            names::checked(given)?;
            if self.has_constraint(given) {
                return Err(SqlError::new(
                    sqlstate::DUPLICATE_OBJECT,
                    format!(
                        "constraint \"{given}\" for relation \"{}\" already exists",
                        self.name()
                    ),
                ));
            }
            return Ok(given.to_owned());
        }
        let base = format!("{}_{ending}", self.name());
        let mut name = base.clone();
        let mut number = 0;
        while self.has_constraint(&name) {
            number += 1;
            name = format!("{base}{number}");
        }
        Ok(name)
    }

    fn positions(&self, columns: &[String]) -> Result<Vec<usize>, SqlError> {
        let mut positions = Vec::with_capacity(columns.len());
        for column in columns {
            let position = self.draft.change.schema.position(column).ok_or_else(|| {
                let message = format!("column \"{column}\" named in key does not exist");
                SqlError::new(sqlstate::UNDEFINED_COLUMN, message)
            })?;
            if positions.contains(&position) {
                return Err(SqlError::new(
                    sqlstate::DUPLICATE_COLUMN,
                    format!("column \"{column}\" appears twice in the constraint"),
                ));
            }
            positions.push(position);
        }
        if positions.is_empty() { Err(malformed("a key has columns")) } else { Ok(positions) }
    }

    pub(super) fn add_constraint(&mut self, add: &wire::AddConstraint) -> Result<(), SqlError> {
        let rules = &self.draft.change.rules;
        let counts = [rules.checks.len(), rules.indexes.len(), rules.references.len()];
        if counts.iter().any(|n| *n >= RULES_MAX) {
            return Err(SqlError::new(
                sqlstate::LIMIT_EXCEEDED,
                format!("a table has at most {RULES_MAX} constraints of a kind"),
            ));
        }
        match add.rule.as_ref().ok_or_else(|| malformed("a constraint that asks for nothing"))? {
            Rule::Check(sql) => {
                rules::text(sql)?;
                let name = self.constraint_name(&add.name, "check")?;
                let rule = CheckRule { name: name.clone(), sql: sql.clone() };
                self.draft.change.rules.checks.push(rule);
                self.draft.change.demands.push(Demand::Check(name));
                Ok(())
            }
            Rule::Unique(columns) => self.add_unique(&add.name, &columns.names),
            Rule::PrimaryKey(columns) => self.add_primary_key(&columns.names),
            Rule::ForeignKey(key) => self.add_reference(&add.name, key),
        }
    }

    fn add_unique(&mut self, given: &str, columns: &[String]) -> Result<(), SqlError> {
        let at = self.request.index;
        let positions = self.positions(columns)?;
        let name = if given.is_empty() {
            let mut name = indexes::free_name(self.catalog, self.name(), columns, "key", at);
            while self.has_constraint(&name) {
                name.push('1');
            }
            name
        } else {
            self.constraint_name(given, "key")?
        };
        names::checked(&name)?;
        names::free(self.catalog, &name, at)?;
        let demand = Demand::Unique(name.clone());
        self.draft.change.rules.indexes.push(IndexEntry {
            name,
            columns: positions,
            unique: true,
            constraint: true,
            created: at,
            dropped: None,
        });
        self.draft.change.demands.push(demand);
        Ok(())
    }

    fn add_primary_key(&mut self, columns: &[String]) -> Result<(), SqlError> {
        if !self.draft.change.schema.primary_key.is_empty() {
            return Err(SqlError::new(
                sqlstate::INVALID_TABLE_DEFINITION,
                format!("multiple primary keys for table \"{}\" are not allowed", self.name()),
            ));
        }
        let positions = self.positions(columns)?;
        for position in &positions {
            let column = &mut self.draft.change.schema.columns[*position];
            if column.nullable {
                column.nullable = false;
                self.draft.change.demands.push(Demand::NotNull(*position));
            }
        }
        self.draft.change.schema.primary_key = positions;
        self.draft.change.demands.push(Demand::PrimaryKey);
        Ok(())
    }

    fn add_reference(&mut self, given: &str, key: &wire::ForeignKey) -> Result<(), SqlError> {
        let name = self.constraint_name(given, "fkey")?;
        let number = |k: usize| u32::try_from(k).unwrap_or(u32::MAX);
        let columns = self.positions(&key.columns)?.into_iter().map(number).collect();
        let (table, targets) = (key.table.clone(), key.targets.clone());
        let rule = wire::ReferenceRule { name: name.clone(), columns, table, targets };
        let change = &self.draft.change;
        let in_force: Vec<IndexEntry> =
            change.rules.indexes.iter().filter(|i| i.dropped.is_none()).cloned().collect();
        let own = (self.table.id, &change.schema, in_force.as_slice());
        let mut rule = rules::reference(self.catalog, self.request, own, &rule)?;
        if rule.table == self.table.id {
            // Targets are kept as positions of before until the draft is finished.
            for target in &mut rule.targets {
                *target = match self.columns.get(*target) {
                    Some(trine_proto::alter::Origin::Before(before)) => *before,
                    _ => {
                        return Err(SqlError::unsupported(
                            "a foreign key to a column that the same statement adds is not supported",
                            "add the constraint in a statement of its own",
                        ));
                    }
                };
            }
        }
        self.draft.change.rules.references.push(rule);
        self.draft.change.demands.push(Demand::Reference(name));
        Ok(())
    }

    pub(super) fn drop_constraint(&mut self, part: &wire::DropPart) -> Result<(), SqlError> {
        let name = &part.name;
        let what = format!("constraint \"{name}\" of table \"{}\"", self.name());
        if self.draft.change.rules.checks.iter().any(|c| c.name == *name) {
            self.draft.change.rules.checks.retain(|c| c.name != *name);
            self.draft.change.demands.retain(|d| *d != Demand::Check(name.clone()));
        } else if self.draft.change.rules.references.iter().any(|r| r.name == *name) {
            self.draft.change.rules.references.retain(|r| r.name != *name);
            self.draft.change.demands.retain(|d| *d != Demand::Reference(name.clone()));
        } else if let Some(index) = self.unique_constraint(name) {
            let columns = index.columns.clone();
            self.drop_key(&what, &columns, part.cascade)?;
            let at = self.request.index;
            for index in &mut self.draft.change.rules.indexes {
                if index.constraint && index.name == *name && index.dropped.is_none() {
                    index.dropped = Some(at);
                }
            }
            self.draft.change.demands.retain(|d| *d != Demand::Unique(name.clone()));
        } else if !self.draft.change.schema.primary_key.is_empty() && self.key_name() == *name {
            let columns = self.draft.change.schema.primary_key.clone();
            self.drop_key(&what, &columns, part.cascade)?;
            self.draft.change.schema.primary_key.clear();
            self.draft.change.demands.retain(|d| *d != Demand::PrimaryKey);
        } else {
            let error = self.no_constraint(name);
            if !part.if_exists {
                return Err(error);
            }
            self.draft.notices.push(format!("{}, skipping", error.message));
        }
        Ok(())
    }

    fn no_constraint(&self, name: &str) -> SqlError {
        SqlError::new(
            sqlstate::UNDEFINED_OBJECT,
            format!("constraint \"{name}\" of relation \"{}\" does not exist", self.name()),
        )
    }

    pub(super) fn rename_constraint(&mut self, from: &str, to: &str) -> Result<(), SqlError> {
        if !self.has_constraint(from) {
            return Err(self.no_constraint(from));
        }
        let to = self.constraint_name(to, "check")?;
        if self.unique_constraint(from).is_some() || self.key_name() == from {
            return Err(SqlError::unsupported(
                "a UNIQUE or PRIMARY KEY keeps its name",
                "DROP CONSTRAINT and ADD CONSTRAINT give it another",
            ));
        }
        let rules = &mut self.draft.change.rules;
        for check in rules.checks.iter_mut().filter(|c| c.name == from) {
            check.name.clone_from(&to);
        }
        for rule in rules.references.iter_mut().filter(|r| r.name == from) {
            rule.name.clone_from(&to);
        }
        Ok(())
    }

    /// A key goes: REFERENCES to just its columns need another one, or go too.
    fn drop_key(&mut self, what: &str, columns: &[usize], cascade: bool) -> Result<(), SqlError> {
        let same = |other: &[usize]| {
            other.len() == columns.len() && columns.iter().all(|c| other.contains(c))
        };
        let at = self.request.index;
        if self.table.unique_keys(at).filter(|k| same(k)).count() > 1 {
            return Ok(());
        }
        // Those of before are told by the positions of before.
        let before = |target: &usize| match self.columns.get(*target) {
            Some(trine_proto::alter::Origin::Before(before)) => Some(*before),
            _ => None,
        };
        let columns: Vec<usize> = columns.iter().filter_map(before).collect();
        self.drop_references(what, cascade, |targets| {
            targets.len() == columns.len() && columns.iter().all(|c| targets.contains(c))
        })
    }

    /// A column goes: REFERENCES to it go too.
    pub(super) fn drop_referring(
        &mut self,
        what: &str,
        column: usize,
        cascade: bool,
    ) -> Result<(), SqlError> {
        match self.columns.get(column) {
            Some(trine_proto::alter::Origin::Before(before)) => {
                let before = *before;
                self.drop_references(what, cascade, |targets| targets.contains(&before))
            }
            _ => Ok(()),
        }
    }

    fn drop_references(
        &mut self,
        what: &str,
        cascade: bool,
        hits: impl Fn(&[usize]) -> bool,
    ) -> Result<(), SqlError> {
        let (id, at) = (self.table.id, self.request.index);
        // A table's own go with its column, as in PostgreSQL; they stand in the draft.
        self.draft.change.rules.references.retain(|r| r.table != id || !hits(&r.targets));
        let mut found: Vec<(TableId, String, String)> = Vec::new();
        for other in self.catalog.tables.values().filter(|t| t.exists(at) && t.id != id) {
            for rule in other.rules.references.iter().filter(|r| r.table == id) {
                if hits(&rule.targets) {
                    found.push((other.id, rule.name.clone(), other.schema.name.clone()));
                }
            }
        }
        for (other, name, table) in found {
            if self.draft.references.contains(&(other, name.clone())) {
                continue;
            }
            let on_it = format!("constraint \"{name}\" on table \"{table}\"");
            if !cascade {
                return Err(depends(what, &on_it));
            }
            self.draft.notices.push(format!("drop cascades to {on_it}"));
            self.draft.references.insert((other, name));
        }
        Ok(())
    }
}
