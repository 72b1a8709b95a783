//! ALTER TABLE as data: what a table becomes, what that asks of the rows there are, and how segments
//! that were stored before are read.
//!
//! A table whose columns change gets a new entry in the catalog, under a new id, from that position on;
//! work at older positions goes on with the old entry. The segments are listed by both. None is
//! written anew: a [`Layout`] says where each column of today is found in what was stored.

use crate::catalog::{SegmentEntry, TableEntry, TableRules};
use crate::ids::TableId;
use crate::schema::{Column, ColumnType, TableSchema};
use crate::wire;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How a segment was stored, and what has become of its columns since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The version of the table under which the file lies.
    pub table: TableId,
    /// The schema of that version.
    pub schema: TableSchema,
    /// For each column of the table as it is now: where its values come from.
    pub columns: Vec<Origin>,
}

/// Where the values of a column come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Origin {
    /// The column at this position of the version before. Its type and range are the same; NULL may
    /// have been allowed or forbidden since.
    Before(usize),
    /// It was added later: the same public value in every row.
    Constant(Constant),
}

/// A public value as the schema encodes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Constant {
    /// NULL.
    Null,
    /// The encoded integer.
    Number(i64),
    /// Bytes of a VARCHAR, not padded.
    Text(Vec<u8>),
}

impl Constant {
    /// The value of a fill, if it is one of the column's type and range; absent: NULL.
    #[must_use]
    pub fn of_fill(fill: Option<&wire::ColumnFill>, column: &Column) -> Option<Self> {
        use wire::column_fill::Value;
        let value = fill.and_then(|f| f.value.as_ref());
        match (value, &column.ty) {
            (None, _) => Some(Self::Null),
            (Some(Value::Text(text)), ColumnType::Varchar { bytes_max }) => {
                let fits = u32::try_from(text.len()).is_ok_and(|n| n <= *bytes_max);
                (fits && !text.contains('\0')).then(|| Self::Text(text.clone().into_bytes()))
            }
            (Some(Value::Number(number)), _) => {
                let (low, high) = column.limits()?;
                (low..=high).contains(number).then_some(Self::Number(*number))
            }
            (Some(Value::Text(_)), _) => None,
        }
    }
}

impl Layout {
    /// The same segment after a further change, whose columns come from these ones.
    #[must_use]
    pub fn then(&self, columns: &[Origin]) -> Self {
        let mut moved = self.clone();
        moved.columns = columns
            .iter()
            .map(|origin| match origin {
                Origin::Before(k) => {
                    self.columns.get(*k).cloned().unwrap_or(Origin::Constant(Constant::Null))
                }
                constant => constant.clone(),
            })
            .collect();
        moved
    }
}

/// ALTER TABLE as it waits for its turn and for the check of what it demands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterEntry {
    /// Name of the principal who asked.
    pub principal: String,
    /// The encoded `wire::AlterTable`: it is put into force on the table as it is then.
    pub command: Vec<u8>,
    /// What it makes of the table as it was when its turn came.
    pub change: Change,
}

/// What a table becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its schema.
    pub schema: TableSchema,
    /// What it demands of its rows.
    pub rules: TableRules,
    /// For each column of the schema where its values come from; none: the columns stay as they are.
    pub columns: Option<Vec<Origin>>,
    /// What the rows there are must keep for it.
    pub demands: Vec<Demand>,
}

/// See [`Change`]. Positions and names are those of the changed table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Demand {
    /// No row has NULL in the column.
    NotNull(usize),
    /// Rows differ in the primary key.
    PrimaryKey,
    /// Rows without NULL in the columns of the index of this name differ in them.
    Unique(String),
    /// The CHECK of this name is not FALSE for any row.
    Check(String),
    /// Every row has its partner by the REFERENCES of this name.
    Reference(String),
}

impl TableEntry {
    /// The table as the change makes it, with its segments of now, under the same id. In `checked`,
    /// columns that are yet to be found without NULL may still have it.
    #[must_use]
    pub fn changed(&self, change: &Change, checked: bool) -> Self {
        let mut table = Self {
            schema: change.schema.clone(),
            rules: change.rules.clone(),
            segments: Vec::with_capacity(self.segments.len()),
            ..self.clone()
        };
        for demand in change.demands.iter().filter(|_| checked) {
            if let Demand::NotNull(column) = demand
                && let Some(column) = table.schema.columns.get_mut(*column)
            {
                column.nullable = true;
            }
        }
        let own = change.columns.as_ref().map(|columns| {
            let (table, schema) = (self.id, self.schema.clone());
            Arc::new(Layout { table, schema, columns: columns.clone() })
        });
        // Segments that were stored alike share their layout.
        let mut known: Vec<(Arc<Layout>, Arc<Layout>)> = Vec::new();
        for segment in self.segments.iter().filter(|s| s.valid_to.is_none()) {
            let layout = match (&segment.layout, &change.columns) {
                (None, _) => own.clone(),
                (Some(before), None) => Some(Arc::clone(before)),
                (Some(before), Some(columns)) => {
                    let found = known.iter().find(|(old, _)| old == before).map(|(_, new)| new);
                    let new = found.cloned().unwrap_or_else(|| Arc::new(before.then(columns)));
                    if found.is_none() {
                        known.push((Arc::clone(before), Arc::clone(&new)));
                    }
                    Some(new)
                }
            };
            table.segments.push(SegmentEntry { layout, ..segment.clone() });
        }
        table
    }
}

/// A layout is written once for every segment that has it.
pub(crate) mod shared {
    use super::Layout;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::sync::Arc;

    pub(crate) fn serialize<S: Serializer>(
        layout: &Option<Arc<Layout>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        layout.as_deref().serialize(to)
    }

    pub(crate) fn deserialize<'d, D: Deserializer<'d>>(
        from: D,
    ) -> Result<Option<Arc<Layout>>, D::Error> {
        Option::<Layout>::deserialize(from).map(|layout| layout.map(Arc::new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_change_looks_through_the_first() {
        let schema = TableSchema { name: "t".into(), columns: vec![], primary_key: vec![] };
        let first = Layout {
            table: TableId(1),
            schema,
            columns: vec![Origin::Before(2), Origin::Constant(Constant::Number(7))],
        };
        let columns =
            [Origin::Before(1), Origin::Constant(Constant::Text(b"x".into())), Origin::Before(0)];
        let expected = vec![
            Origin::Constant(Constant::Number(7)),
            Origin::Constant(Constant::Text(b"x".into())),
            Origin::Before(2),
        ];
        assert_eq!(first.then(&columns).columns, expected);
    }

    #[test]
    fn a_fill_fits_its_column() {
        use wire::column_fill::Value;
        let column = |ty, range| Column {
            name: "c".into(),
            ty,
            nullable: true,
            secrecy: crate::schema::Secrecy::Secret,
            range,
        };
        let fill = |value| wire::ColumnFill { value: Some(value) };
        let int = column(ColumnType::Int, Some((0, 9)));
        let text = column(ColumnType::Varchar { bytes_max: 2 }, None);
        assert_eq!(Constant::of_fill(None, &int), Some(Constant::Null));
        let of = |value, column| Constant::of_fill(Some(&fill(value)), column);
        assert_eq!(of(Value::Number(9), &int), Some(Constant::Number(9)));
        assert_eq!(of(Value::Number(10), &int), None);
        assert_eq!(of(Value::Number(1), &text), None);
        assert_eq!(of(Value::Text("é".into()), &text), Some(Constant::Text("é".into())));
        assert_eq!(of(Value::Text("éé".into()), &text), None);
        assert_eq!(of(Value::Text("1".into()), &int), None);
    }
}
