//! The first reading: every cell of every row is checked, the good rows are counted, the bad cells
//! are listed with file, line and column.

use std::fmt;
use std::path::{Path, PathBuf};

use trine_proto::schema::TableSchema;
use trine_proto::status::SqlError;

use super::source::{Source, bad};
use super::{LoadOptions, LoadProgress, PROGRESS_RECORDS};
use crate::encode::RowEncoder;

/// Bad cells that are kept to be shown.
const BAD_SHOWN_MAX: usize = 20;

/// Files that were read and checked against a table.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The table.
    pub schema: TableSchema,
    /// The files.
    pub files: Vec<PathBuf>,
    /// How they were read.
    pub options: LoadOptions,
    /// Good rows.
    pub rows: u64,
    /// Rows with a bad cell.
    pub bad_rows: u64,
    /// The first bad cells.
    pub bad: Vec<BadCell>,
    /// Bad cells in all.
    pub bad_cells: u64,
}

/// Where a bad cell stands and what is wrong with it; not what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadCell {
    /// The file.
    pub file: PathBuf,
    /// Line on which the cell starts, from 1.
    pub line: u64,
    /// Number of the field in its record, from 1.
    pub field: usize,
    /// Name of the column; empty if the whole record is wrong.
    pub column: String,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for BadCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file.display(), self.line, self.field)?;
        if !self.column.is_empty() {
            write!(f, "column \"{}\": ", self.column)?;
        }
        f.write_str(&self.reason)
    }
}

/// Reads the files and checks every cell. With `skip_bad`, bad rows are written there, each under
/// the header of its file.
///
/// # Errors
/// `22P04` for a file that cannot be read, `42703` or `23502` for a header that does not fit. Bad
/// cells are no error here: see [`Checked::bad_cells`].
pub fn check(
    schema: &TableSchema,
    files: &[PathBuf],
    options: &LoadOptions,
    progress: &LoadProgress,
) -> Result<Checked, SqlError> {
    progress.start(files);
    let mut checked = Checked {
        schema: schema.clone(),
        files: files.to_vec(),
        options: options.clone(),
        rows: 0,
        bad_rows: 0,
        bad: Vec::new(),
        bad_cells: 0,
    };
    let mut aside = match &options.skip_bad {
        Some(path) => Some(Aside::create(path, files)?),
        None => None,
    };
    let encoder = RowEncoder::new(schema);
    for file in files {
        let mut source = Source::open(file, schema, options)?;
        while source.next()? {
            source.report(progress, PROGRESS_RECORDS);
            if check_row(&source, &encoder, &mut checked) {
                checked.rows += 1;
            } else {
                checked.bad_rows += 1;
                if let Some(aside) = &mut aside {
                    aside.write(&source)?;
                }
            }
        }
        source.report(progress, 1);
    }
    if let Some(aside) = aside {
        aside.finish()?;
    }
    Ok(checked)
}

fn check_row(source: &Source, encoder: &RowEncoder, checked: &mut Checked) -> bool {
    let mut note = |field: usize, column: &str, reason: String| {
        checked.bad_cells += 1;
        if checked.bad.len() < BAD_SHOWN_MAX {
            checked.bad.push(BadCell {
                file: source.path().to_path_buf(),
                line: source.line(field),
                field,
                column: column.to_owned(),
                reason,
            });
        }
    };
    if !source.is_whole() {
        let (found, due) = (source.record().len(), source.header().len());
        let plural = if found == 1 { "" } else { "s" };
        note(1, "", format!("{found} field{plural}, the header names {due}"));
        return false;
    }
    let columns = encoder.columns().iter().enumerate();
    let mut bad: Vec<_> = columns
        .filter_map(|(i, c)| Some((source.field_number(i), i, source.cell(i, c).err()?.reason)))
        .collect();
    // Reported in the order of the file, whatever the order of the table.
    bad.sort_unstable();
    let good = bad.is_empty();
    for (field, i, reason) in bad {
        note(field, &encoder.columns()[i].column().name, reason);
    }
    good
}

/// The file that bad rows are written to.
struct Aside {
    path: PathBuf,
    writer: csv::Writer<std::fs::File>,
    /// The file whose header was written last.
    header_of: Option<PathBuf>,
}

impl Aside {
    fn create(path: &Path, files: &[PathBuf]) -> Result<Self, SqlError> {
        let same = |f: &PathBuf| match (f.canonicalize(), path.canonicalize()) {
            (Ok(a), Ok(b)) => a == b,
            _ => false,
        };
        if files.iter().any(same) {
            return Err(bad(format!("{} is a file to be loaded", path.display())));
        }
        let writer = csv::WriterBuilder::new()
            .flexible(true)
            .from_path(path)
            .map_err(|e| unwritable(path, &e))?;
        Ok(Self { path: path.to_path_buf(), writer, header_of: None })
    }

    fn write(&mut self, source: &Source) -> Result<(), SqlError> {
        let mut outcome = Ok(());
        if self.header_of.as_deref() != Some(source.path()) {
            self.header_of = Some(source.path().to_path_buf());
            outcome = self.writer.write_byte_record(source.header());
        }
        outcome
            .and_then(|()| self.writer.write_byte_record(source.record()))
            .map_err(|e| unwritable(&self.path, &e))
    }

    fn finish(mut self) -> Result<(), SqlError> {
        self.writer.flush().map_err(|e| unwritable(&self.path, &e.into()))
    }
}

fn unwritable(path: &Path, error: &csv::Error) -> SqlError {
    bad(format!("cannot write {}: {error}", path.display()))
}
