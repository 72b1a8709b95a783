//! Answers of the client library in the words of the runner.

use crate::value::{Output, Value};
use trine_client::{Answer, Table, Value as Opened};

impl From<Answer> for Output {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Done { rows, .. } => Self::done(rows),
            Answer::Rows(table) => table.into(),
        }
    }
}

impl From<Table> for Output {
    fn from(table: Table) -> Self {
        let columns = table.columns.into_iter().map(|c| c.name).collect();
        let rows = table.rows.into_iter().map(|r| r.into_iter().map(Value::from).collect());
        Self::result(columns, rows.collect())
    }
}

impl From<Opened> for Value {
    fn from(opened: Opened) -> Self {
        match opened {
            Opened::Null => Self::Null,
            Opened::Bool(b) => Self::Boolean(b),
            Opened::Int(v) => Self::Integer(v),
            Opened::Decimal { unscaled, scale } => {
                Self::Decimal { digits: unscaled, scale: u8::try_from(scale).unwrap_or(u8::MAX) }
            }
            Opened::Date(_) | Opened::Timestamp(_) => Self::Text(opened.to_string()),
            Opened::Text(text) => Self::Text(text),
            Opened::Double(v) => Self::Double(v),
        }
    }
}
