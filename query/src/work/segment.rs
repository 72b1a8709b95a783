//! Shares into a segment of this party's store: both components explicit, fresh, and keyed by salts
//! that only the two holders of each know.

use super::assign::Assigned;
use crate::arith::ArithAny;
use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::plan::SegmentScan;
use crate::stored::Stored;
use crate::types::Type;
use trine_mpc::{Planes, Session, protocol};
use trine_proto::CHUNK_ROWS;
use trine_proto::catalog::Staged;
use trine_proto::ids::{Party, TableId};
use trine_proto::schema::{Form, Secrecy, StoredColumn, TableSchema};
use trine_storage::{ComponentHeader, ComponentSource, SegmentHeader, Store};

/// Where a segment goes.
pub(super) struct Place<'a> {
    pub(super) table: TableId,
    pub(super) schema: &'a TableSchema,
    pub(super) made: &'a SegmentScan,
    /// Where PUBLIC columns come from, row by row.
    pub(super) replaced: &'a [SegmentScan],
    /// Of component i of party i (known to the party before too), of component i+1.
    pub(super) salts: [[u8; 16]; 2],
}

/// Both components of one stored vector, row-major.
type Rows = [Vec<u8>; 2];

/// Writes the rows; `columns` has an entry for each secret column of the table. One AND for every bit
/// (which makes the shares fresh, and zero what does not exist or is NULL), and a conversion for every
/// number. Zero rows: nothing is written. Without a store: what it costs.
pub(super) fn stage(
    place: &Place<'_>,
    valid: Planes,
    columns: Vec<Option<Assigned>>,
    s: &mut Session,
    store: Option<&Store>,
) -> Result<Staged> {
    let schema_digest = place.schema.digest();
    let nothing = Staged {
        rows: 0,
        schema_digest,
        first_digest: [0; 32],
        second_digest: [0; 32],
        public_digest: [0; 32],
    };
    if place.made.rows == 0 {
        return Ok(nothing);
    }
    let (valid, columns) = fresh(valid, columns, s)?;
    let layout = place.schema.segment_columns(true);
    let secret = secret_columns(place.schema, &layout, valid, columns, s)?;
    let Some(store) = store else { return Ok(nothing) };
    let public = public_columns(place, &layout, store)?;
    let component = |slot: usize| ComponentHeader {
        salt: place.salts[slot],
        source: ComponentSource::Explicit,
    };
    let header = SegmentHeader {
        party: Party::new(s.party()).ok_or_else(|| QueryError::bug("a party beyond three"))?,
        table: place.table,
        segment: place.made.id,
        schema_digest,
        rows: place.made.rows,
        layout: layout.clone(),
        components: [component(0), component(1)],
    };
    let mut writer = store.stage(header.clone())?;
    let secret_bytes: Vec<usize> =
        layout.iter().filter(|c| c.secrecy == Secrecy::Secret).map(|c| c.row_bytes).collect();
    let public_bytes: Vec<usize> =
        layout.iter().filter(|c| c.secrecy == Secrecy::Public).map(|c| c.row_bytes).collect();
    for chunk in 0..header.chunks() {
        let rows = header.chunk_rows(chunk);
        let cut = |bytes: &Vec<u8>, row_bytes: usize| {
            let start = chunk * CHUNK_ROWS * row_bytes;
            bytes.get(start..start + rows * row_bytes).map(<[u8]>::to_vec).unwrap_or_default()
        };
        let mut explicit = Vec::with_capacity(2 * secret.len());
        for slot in [0, 1] {
            explicit.extend(secret.iter().zip(&secret_bytes).map(|(c, b)| cut(&c[slot], *b)));
        }
        let public: Vec<Vec<u8>> =
            public.iter().zip(&public_bytes).map(|(c, b)| cut(c, *b)).collect();
        writer.append(rows, &explicit, &public)?;
    }
    let digests = writer.finish()?;
    Ok(Staged {
        rows: place.made.rows,
        schema_digest,
        first_digest: digests.components[0],
        second_digest: digests.components[1],
        public_digest: digests.public,
    })
}

/// Shares that have nothing in common with those they come from: two rounds of ANDs.
fn fresh(
    valid: Planes,
    columns: Vec<Option<Assigned>>,
    s: &mut Session,
) -> Result<(Planes, Vec<Option<Assigned>>)> {
    let ones = bits::constant_bit(s, valid.len(), true);
    let mut pairs = vec![(&valid, &ones)];
    pairs.extend(
        columns.iter().flatten().filter_map(|c| c.null.as_ref()).map(|null| (&valid, null)),
    );
    let mut masked = protocol::and_many(s, &pairs)?.into_iter();
    let missing = || QueryError::bug("fewer products than factors");
    let valid = masked.next().ok_or_else(missing)?;
    let mut nulls = Vec::with_capacity(columns.len());
    let mut shown = Vec::with_capacity(columns.len());
    for column in columns.iter().flatten() {
        let null =
            if column.null.is_some() { Some(masked.next().ok_or_else(missing)?) } else { None };
        shown.push(null.as_ref().map_or_else(|| valid.clone(), |null| valid.xor(null)));
        nulls.push(null);
    }
    let pairs: Vec<(&Planes, &Planes)> =
        shown.iter().zip(columns.iter().flatten().map(|c| &c.planes)).collect();
    let values = if pairs.is_empty() { Vec::new() } else { protocol::and_many(s, &pairs)? };
    let mut values = values.into_iter().zip(nulls);
    let columns = columns
        .iter()
        .map(|column| {
            column
                .as_ref()
                .and_then(|_| values.next())
                .map(|(planes, null)| Assigned { planes, null })
        })
        .collect();
    Ok((valid, columns))
}

/// The secret stored vectors in the order of the layout.
fn secret_columns(
    schema: &TableSchema,
    layout: &[StoredColumn],
    valid: Planes,
    columns: Vec<Option<Assigned>>,
    s: &mut Session,
) -> Result<Vec<Rows>> {
    let mut out = Vec::with_capacity(layout.len());
    for stored in layout.iter().filter(|c| c.secrecy == Secrecy::Secret) {
        let Some(column) = schema.columns.get(stored.column) else {
            out.push(rows_of(&valid));
            continue;
        };
        let Some(Some(assigned)) = columns.get(stored.column) else {
            return Err(QueryError::bug("a secret column without values"));
        };
        out.push(match stored.form {
            Form::Boolean => match &assigned.null {
                Some(null) => rows_of(&assigned.planes.stack(null)),
                None if column.nullable => {
                    let never = bits::constant_bit(s, assigned.planes.len(), false);
                    rows_of(&assigned.planes.stack(&never))
                }
                None => rows_of(&assigned.planes),
            },
            Form::Arithmetic => {
                let ty = Type::of_column(column);
                let mut value = Column::from_planes(ty, assigned.planes.clone(), None);
                match value.arith_in(s, 64)? {
                    ArithAny::A64(x) => {
                        let bytes = |c: &[u64]| c.iter().flat_map(|v| v.to_le_bytes()).collect();
                        let (own, next) = x.components();
                        [bytes(own), bytes(next)]
                    }
                    ArithAny::A128(_) => {
                        return Err(QueryError::bug("a stored number of 128 bits"));
                    }
                }
            }
        });
    }
    Ok(out)
}

/// Row-major bytes of both components; bits beyond the last row are left out.
fn rows_of(planes: &Planes) -> Rows {
    let (own, next) = planes.components();
    [own, next].map(|words| row_major(words, planes.len(), planes.width()))
}

fn row_major(words: &[u64], rows: usize, width: usize) -> Vec<u8> {
    let row_bytes = width.div_ceil(8);
    // Rows that are only counted have no words.
    let mut out = vec![0_u8; if words.is_empty() { 0 } else { rows * row_bytes }];
    if out.is_empty() {
        return out;
    }
    for (plane, words) in words.chunks_exact(rows.div_ceil(64)).enumerate() {
        for (block, word) in words.iter().enumerate() {
            let mut left = *word;
            while left != 0 {
                let row = 64 * block + left.trailing_zeros() as usize;
                left &= left - 1;
                if row < rows {
                    out[row * row_bytes + plane / 8] |= 1 << (plane % 8);
                }
            }
        }
    }
    out
}

/// The PUBLIC stored vectors of what is replaced, one after the other.
fn public_columns(
    place: &Place<'_>,
    layout: &[StoredColumn],
    store: &Store,
) -> Result<Vec<Vec<u8>>> {
    let is_public = |c: &&(usize, &StoredColumn)| c.1.secrecy == Secrecy::Public;
    let positions: Vec<(usize, &StoredColumn)> = layout.iter().enumerate().collect();
    let public: Vec<usize> = positions.iter().filter(is_public).map(|(index, _)| *index).collect();
    if public.is_empty() {
        return Ok(Vec::new());
    }
    let open = |segment| Stored::open(store, place.table, place.schema, segment);
    let readers = place.replaced.iter().map(open).collect::<Result<Vec<Stored>>>()?;
    let mut out = Vec::with_capacity(public.len());
    for index in public {
        let mut bytes = Vec::new();
        for reader in &readers {
            for chunk in 0..reader.chunks() {
                bytes.extend(reader.public(chunk, index)?);
            }
        }
        out.push(bytes);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::row_major;

    #[test]
    fn planes_become_rows() {
        // 70 rows of 9 bits: row r holds r.
        let rows = 70;
        let mut words = vec![0_u64; 9 * 2];
        for row in 0..rows {
            for bit in 0..9 {
                words[bit * 2 + row / 64] |= (((row >> bit) & 1) as u64) << (row % 64);
            }
        }
        // Beyond the last row anything may stand.
        words[1] |= 1 << 63;
        let bytes = row_major(&words, rows, 9);
        for row in 0..rows {
            assert_eq!(bytes[2 * row..2 * row + 2], u16::try_from(row).unwrap().to_le_bytes());
        }
        assert!(row_major(&[], 0, 9).is_empty());
    }
}
