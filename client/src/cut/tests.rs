use super::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use trine_mpc::input::expand;
use trine_proto::schema::{Column, ColumnType};

const CLUSTER: ClusterId = ClusterId([1; 16]);
const TRANSACTION: TransactionId = TransactionId([2; 16]);

/// One column of every type, nullable and not, with and without a range, secret and PUBLIC.
fn schema() -> TableSchema {
    let types = [
        (ColumnType::Boolean, None),
        (ColumnType::SmallInt, None),
        (ColumnType::Int, None),
        (ColumnType::Int, Some((-3, 12))),
        (ColumnType::BigInt, None),
        (ColumnType::Decimal { precision: 18, scale: 4 }, None),
        (ColumnType::Date, None),
        (ColumnType::Varchar { bytes_max: 5 }, None),
        (ColumnType::Enum { labels: vec!["x".into(), "y".into(), "z".into()] }, None),
    ];
    let mut columns = Vec::new();
    for (i, (ty, range)) in types.into_iter().enumerate() {
        for nullable in [true, false] {
            columns.push(Column {
                name: format!("c{i}{nullable}"),
                ty: ty.clone(),
                nullable,
                secrecy: if i == 3 { Secrecy::Public } else { Secrecy::Secret },
                range,
            });
        }
    }
    TableSchema { name: "t".into(), columns, primary_key: vec![] }
}

fn cell(column: &Column) -> BoxedStrategy<Cell> {
    let number = |limits: (i64, i64)| {
        prop_oneof![Just(limits.0), Just(limits.1), limits.0..=limits.1]
            .prop_map(|v| Cell::Number(v.to_string()))
            .boxed()
    };
    let value = match &column.ty {
        ColumnType::Boolean => any::<bool>().prop_map(Cell::Bool).boxed(),
        ColumnType::Decimal { .. } => (-9_999_999_i64..=9_999_999, 0..10_000_u32)
            .prop_map(|(whole, fraction)| Cell::Number(format!("{whole}.{fraction:04}")))
            .boxed(),
        ColumnType::Date => (-50_000..50_000).prop_map(Cell::Date).boxed(),
        ColumnType::Varchar { .. } => "[a-zäß ]{0,2}".prop_map(Cell::Text).boxed(),
        ColumnType::Enum { labels } => {
            prop::sample::select(labels.clone()).prop_map(Cell::Text).boxed()
        }
        _ => number(column.limits().unwrap()),
    };
    if column.nullable { prop_oneof![1 => Just(Cell::Null), 4 => value].boxed() } else { value }
}

/// The row bytes that two components made from seeds and the explicit one add up to. Node 1 and
/// node 2 between them hold all three components: (x1, x2) and (x2, x0).
fn combined(parts: &[NodePart; 3], stored: &[StoredColumn], row_count: usize) -> Vec<Vec<u8>> {
    let seed = |c: &Option<Component>| Seed::try_from(c.as_ref().unwrap().seed.clone()).unwrap();
    let (x1, x0) = (seed(&parts[1].header.first), seed(&parts[2].header.second));
    let (mut next_explicit, mut next_public) = (0, 0);
    let mut vectors = Vec::new();
    for (position, s) in (0_u32..).zip(stored) {
        let mut vector = Vec::new();
        for (index, chunk) in (0_u32..).zip(&parts[1].chunks) {
            if s.secrecy == Secrecy::Public {
                vector.extend(&chunk.public[next_public]);
                continue;
            }
            let explicit = &chunk.explicit[next_explicit];
            let (mut a, mut b) = (vec![0; explicit.len()], vec![0; explicit.len()]);
            expand(&x0, position, index, &mut a);
            expand(&x1, position, index, &mut b);
            match s.form {
                Form::Boolean => {
                    vector.extend(explicit.iter().zip(a).zip(b).map(|((e, a), b)| e ^ a ^ b));
                }
                Form::Arithmetic => {
                    for ((e, a), b) in explicit.chunks(8).zip(a.chunks(8)).zip(b.chunks(8)) {
                        let word = |x: &[u8]| u64::from_le_bytes(x.try_into().unwrap());
                        let sum = word(e).wrapping_add(word(a)).wrapping_add(word(b));
                        vector.extend(sum.to_le_bytes());
                    }
                }
            }
        }
        match s.secrecy {
            Secrecy::Public => next_public += 1,
            Secrecy::Secret => next_explicit += 1,
        }
        assert_eq!(vector.len(), row_count * s.row_bytes);
        vectors.push(vector);
    }
    vectors
}

/// Reads a row back by the words of the contract, not by the encoder's code.
fn decoded(column: &Column, s: &StoredColumn, row: &[u8]) -> Cell {
    // Bits above the encoding's width are padding of the last byte, not part of the value.
    let bit = |i: u32| row[i as usize / 8] >> (i % 8) & 1 == 1;
    let width = column.bits();
    if column.nullable && bit(width) {
        assert!((0..width).all(|i| !bit(i)), "the other bits of NULL are 0");
        return Cell::Null;
    }
    assert_eq!(s.bits, width + u32::from(column.nullable));
    if let ColumnType::Varchar { bytes_max } = column.ty {
        let n = bytes_max as usize;
        let mut text: Vec<u8> = (0..n).map(|i| row[n - 1 - i]).collect();
        while text.last() == Some(&0) {
            text.pop();
        }
        return Cell::Text(String::from_utf8(text).unwrap());
    }
    let offset: u128 = (0..width).map(|i| u128::from(bit(i)) << i).sum();
    typed(column, i128::from(column.limits().unwrap().0).wrapping_add_unsigned(offset))
}

fn typed(column: &Column, v: i128) -> Cell {
    match &column.ty {
        ColumnType::Boolean => Cell::Bool(v == 1),
        ColumnType::Date => Cell::Date(v.try_into().unwrap()),
        ColumnType::Enum { labels } => Cell::Text(labels[usize::try_from(v).unwrap()].clone()),
        _ => Cell::Number(v.to_string()),
    }
}

/// A literal in the form that `typed` gives.
fn normal(column: &Column, cell: &Cell) -> Cell {
    match (&column.ty, cell) {
        (ColumnType::Decimal { .. }, Cell::Number(n)) => {
            Cell::Number(n.replace('.', "").parse::<i128>().unwrap().to_string())
        }
        _ => cell.clone(),
    }
}

#[test]
fn three_parts_make_the_encoded_rows_again() {
    let schema = schema();
    let stored = schema.stored_columns();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[3; 32]);
    let mut runner = TestRunner::new_with_rng(Config { cases: 48, ..Config::default() }, rng);
    let row: Vec<_> = schema.columns.iter().map(cell).collect();
    runner
        .run(&prop::collection::vec(row, 1..40), |rows| {
            let parts = cut_rows(&schema, &rows, CLUSTER, TRANSACTION).unwrap();
            let vectors = combined(&parts, &stored, rows.len());
            for (s, vector) in stored.iter().zip(&vectors) {
                let column = &schema.columns[s.column];
                for (row, bytes) in rows.iter().zip(vector.chunks(s.row_bytes)) {
                    let expected = normal(column, &row[s.column]);
                    let found = match (s.form, &expected) {
                        (Form::Boolean, _) => decoded(column, s, bytes),
                        (Form::Arithmetic, Cell::Null) => {
                            prop_assert_eq!(bytes, [0; 8]);
                            Cell::Null
                        }
                        (Form::Arithmetic, _) => {
                            let v = i64::from_le_bytes(bytes.try_into().unwrap());
                            typed(column, v.into())
                        }
                    };
                    prop_assert!(found == expected, "column {}", column.name);
                }
            }
            Ok(())
        })
        .unwrap();
}

fn numbers(rows: usize) -> (TableSchema, Vec<Vec<Cell>>) {
    let column = Column {
        name: "v".into(),
        ty: ColumnType::Int,
        nullable: false,
        secrecy: Secrecy::Secret,
        range: None,
    };
    let schema = TableSchema { name: "t".into(), columns: vec![column], primary_key: vec![] };
    let rows = (0..rows).map(|i| vec![Cell::Number(i.to_string())]).collect();
    (schema, rows)
}

#[test]
fn neighbours_hold_the_same_component_and_nobody_all_three() {
    let (schema, rows) = numbers(3);
    let parts = cut_rows(&schema, &rows, CLUSTER, TRANSACTION).unwrap();
    let header = |i: usize| &parts[i].header;
    for i in 0..3 {
        assert_eq!(header(i).second, header((i + 1) % 3).first, "component {}", (i + 1) % 3);
        assert_eq!(header(i).rows, 3);
        assert_eq!(header(i).schema_digest, schema.digest());
    }
    assert!(parts[0].chunks[0].explicit.is_empty());
    assert_eq!(parts[1].chunks, parts[2].chunks);
    let salts: Vec<_> = (0..3).map(|i| header(i).first.clone().unwrap().salt).collect();
    assert!(salts[0] != salts[1] && salts[1] != salts[2] && salts[0] != salts[2]);
    let seed = |i: usize| header(i).first.clone().unwrap().seed;
    assert!(seed(0) != seed(1) && seed(2).is_empty());
}

#[test]
fn every_attempt_has_fresh_seeds() {
    let (schema, rows) = numbers(3);
    let cut = || cut_rows(&schema, &rows, CLUSTER, TRANSACTION).unwrap();
    let (a, b) = (cut(), cut());
    assert_ne!(a[0].header.first, b[0].header.first);
    assert_ne!(a[1].chunks, b[1].chunks);
}

#[test]
fn chunks_are_full_and_numbered() {
    let (schema, rows) = numbers(CHUNK_ROWS + 5);
    let parts = cut_rows(&schema, &rows, CLUSTER, TRANSACTION).unwrap();
    let shapes: Vec<_> = parts[2]
        .chunks
        .iter()
        .map(|c| (c.index, c.explicit[0].len(), c.explicit[1].len()))
        .collect();
    assert_eq!(shapes, [(0, CHUNK_ROWS * 4, CHUNK_ROWS * 8), (1, 20, 40)]);
    let vectors = combined(&parts, &schema.stored_columns(), rows.len());
    let last = vectors[1].chunks(8).last().unwrap();
    assert_eq!(last, (CHUNK_ROWS as u64 + 4).to_le_bytes());
}

#[test]
fn a_cell_that_does_not_fit_names_its_column_only() {
    let (schema, _) = numbers(0);
    let rows = [vec![Cell::Text("SENTINEL".into())]];
    let error = cut_rows(&schema, &rows, CLUSTER, TRANSACTION).unwrap_err();
    assert_eq!(error.message, "column \"v\": not a number");
    assert!(!format!("{error:?}").contains("SENTINEL"));
}

#[test]
fn a_chunk_that_no_node_takes_is_refused() {
    let (mut schema, _) = numbers(0);
    let wide = Column { ty: ColumnType::Varchar { bytes_max: 1024 }, ..schema.columns[0].clone() };
    schema.columns = (0..5).map(|i| Column { name: format!("c{i}"), ..wide.clone() }).collect();
    let error = Cutter::new(&schema, 1 << 20).unwrap_err();
    assert_eq!(error.sqlstate, sqlstate::LIMIT_EXCEEDED);
    assert!(Cutter::new(&schema, 1000).is_ok());
}
