use super::*;
use std::sync::Arc;
use trine_proto::schema::Form;
use trine_storage::Memory;

const TABLE: TableId = TableId(3);
const MADE: SegmentId = SegmentId([0xee; 16]);

fn layout() -> Vec<StoredColumn> {
    let column = |column, form, bits, row_bytes, secrecy| StoredColumn {
        column,
        form,
        bits,
        row_bytes,
        secrecy,
    };
    vec![
        column(0, Form::Boolean, 20, 3, Secrecy::Secret),
        column(0, Form::Arithmetic, 64, 8, Secrecy::Secret),
        column(1, Form::Boolean, 8, 1, Secrecy::Public),
        column(2, Form::Boolean, 1, 1, Secrecy::Secret),
    ]
}

fn id(n: usize) -> SegmentId {
    SegmentId([u8::try_from(n).unwrap(); 16])
}

/// Plain bytes of a stored column of a segment.
fn plain(segment: usize, column: usize, bytes: usize) -> Vec<u8> {
    let byte = |i: usize| u8::try_from((segment * 37 + column * 11 + i * 7) % 256).unwrap();
    (0..bytes).map(byte).collect()
}

/// Cuts a segment as its client would: component `explicit` is what the two seeds leave; none: all three are
/// explicit, as in a segment of the nodes' own making.
fn stage(stores: &[Store; 3], segment: usize, rows: usize, explicit: Option<usize>) {
    let seed = |component: usize| [u8::try_from(segment * 3 + component).unwrap(); 32];
    let salt = |component: usize| [u8::try_from(100 + segment * 3 + component).unwrap(); 16];
    let bytes = |component: usize, chunk: usize, column: usize, rows: usize| -> Vec<u8> {
        let stored = &layout()[column];
        let number = |n: usize| u32::try_from(n).unwrap();
        let mut out = vec![0; rows * stored.row_bytes];
        if component != explicit.unwrap_or(2) {
            input::expand(&seed(component), number(column), number(chunk), &mut out);
            return out;
        }
        let start = chunk * CHUNK_ROWS * stored.row_bytes;
        let whole = plain(segment, column, start + out.len());
        out.copy_from_slice(&whole[start..]);
        let others = [seed((component + 1) % 3), seed((component + 2) % 3)];
        let cut = match stored.form {
            Form::Boolean => input::cut_boolean,
            Form::Arithmetic => input::cut_arithmetic,
        };
        cut(&mut out, &others[0], &others[1], number(column), number(chunk));
        out
    };
    for party in Party::ALL {
        let component = |slot: usize| (party.index() + slot) % 3;
        let source = |slot: usize| match explicit {
            Some(explicit) if component(slot) != explicit => {
                ComponentSource::Seed(seed(component(slot)))
            }
            _ => ComponentSource::Explicit,
        };
        let of =
            |slot: usize| ComponentHeader { salt: salt(component(slot)), source: source(slot) };
        let header = SegmentHeader {
            party,
            table: TABLE,
            segment: id(segment),
            schema_digest: [4; 32],
            rows: rows as u64,
            layout: layout(),
            components: [of(0), of(1)],
        };
        let mut writer = stores[party.index()].stage(header.clone()).unwrap();
        for chunk in 0..header.chunks() {
            let rows = header.chunk_rows(chunk);
            let mut columns = Vec::new();
            for slot in [0, 1] {
                if source(slot) == ComponentSource::Explicit {
                    let secret = [0, 1, 3].into_iter();
                    columns.extend(secret.map(|c| bytes(component(slot), chunk, c, rows)));
                }
            }
            let start = chunk * CHUNK_ROWS;
            let public = plain(segment, 2, start + rows)[start..].to_vec();
            writer.append(rows, &columns, &[public]).unwrap();
        }
        writer.finish().unwrap();
    }
}

fn stores() -> [Store; 3] {
    [0, 1, 2].map(|_| Store::open(Arc::new(Memory::new())).unwrap())
}

fn entry(segments: &[usize], rows: u64) -> PackEntry {
    let segments = segments.iter().map(|n| id(*n)).collect();
    PackEntry { segments, rows, has_valid: false }
}

fn pack_at(stores: &[Store; 3], party: Party, entry: &PackEntry) -> Result<Staged, NotPacked> {
    pack(&stores[party.index()], party, (TABLE, MADE), entry, &|| false)
}

/// All bytes of a column of the packed segment at a party.
fn column(store: &Store, column: usize, slot: usize) -> Vec<u8> {
    let reader = store.read(TABLE, MADE).unwrap();
    let chunks = 0..reader.chunks();
    chunks.flat_map(|c| reader.component(c, column, slot).unwrap().unwrap()).collect()
}

#[test]
fn three_parties_make_the_same_segment_of_the_same_rows() {
    let stores = stores();
    // Made from seeds with another explicit component each, by the nodes, and of more than a chunk.
    let segments = [
        (1, 3, Some(2)),
        (2, 1, Some(0)),
        (3, 66_000, Some(1)),
        (4, 70_000, None),
        (5, 2, Some(2)),
    ];
    for (segment, rows, explicit) in segments {
        stage(&stores, segment, rows, explicit);
    }
    let rows: usize = segments.iter().map(|s| s.1).sum();
    let entry = entry(&[1, 2, 3, 4, 5], rows as u64);
    let staged = Party::ALL.map(|party| pack_at(&stores, party, &entry).unwrap());
    for party in Party::ALL {
        let (own, next) = (&staged[party.index()], &staged[party.next().index()]);
        assert_eq!(own.second_digest, next.first_digest, "component of {party} and the next");
        assert_eq!((own.rows, own.public_digest), (rows as u64, staged[0].public_digest));
        let (a, b) = (&stores[party.index()], &stores[party.next().index()]);
        assert!(column(a, 0, 1) == column(b, 0, 0), "two holders of one component");
    }
    for (index, form) in [(0, Form::Boolean), (1, Form::Arithmetic), (3, Form::Boolean)] {
        let parts = Party::ALL.map(|party| column(&stores[party.index()], index, 0));
        let row_bytes = layout()[index].row_bytes;
        let expected: Vec<u8> =
            segments.iter().flat_map(|(s, rows, _)| plain(*s, index, rows * row_bytes)).collect();
        let found: Vec<u8> = match form {
            Form::Boolean => {
                (0..expected.len()).map(|i| parts[0][i] ^ parts[1][i] ^ parts[2][i]).collect()
            }
            Form::Arithmetic => {
                let word = |p: usize, i: usize| {
                    u64::from_le_bytes(parts[p][8 * i..][..8].try_into().unwrap())
                };
                let sum = |i| word(0, i).wrapping_add(word(1, i)).wrapping_add(word(2, i));
                (0..rows).flat_map(|i| sum(i).to_le_bytes()).collect()
            }
        };
        assert!(found == expected, "column {index}");
    }
    let reader = stores[1].read(TABLE, MADE).unwrap();
    let public: Vec<u8> = (0..reader.chunks()).flat_map(|c| reader.public(c, 2).unwrap()).collect();
    let expected: Vec<u8> = segments.iter().flat_map(|(s, rows, _)| plain(*s, 2, *rows)).collect();
    assert!(public == expected);
}

#[test]
fn a_segment_that_is_not_as_the_log_says_is_not_packed() {
    let stores = stores();
    stage(&stores, 1, 3, Some(2));
    stage(&stores, 2, 4, Some(2));
    let party = Party::ALL[0];
    let told = |entry: &PackEntry| match pack_at(&stores, party, entry) {
        Err(NotPacked::Differ(what)) => what.to_owned(),
        Err(NotPacked::Storage(e)) => e.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(told(&entry(&[1, 2], 8)), "the segments to pack have other rows than the log says");
    assert_eq!(told(&entry(&[], 0)), "there is nothing to pack");
    assert!(
        told(&entry(&[1, 9], 8)).contains("is not stored here"),
        "{}",
        told(&entry(&[1, 9], 8))
    );
    let stopped = pack(&stores[0], party, (TABLE, MADE), &entry(&[1, 2], 7), &|| true);
    assert!(matches!(stopped, Err(NotPacked::Stopped)));
    // Nothing was left behind, and it can be done.
    assert!(!stores[0].list().unwrap().contains(&(TABLE, MADE)));
    assert!(pack_at(&stores, party, &entry(&[1, 2], 7)).is_ok());
}
