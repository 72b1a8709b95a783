//! Rows of many columns through one gather.
//!
//! A random access fetches a cache line whatever is read of it. So all columns that move together are
//! packed into one record a row, ring elements first, then all their planes side by side, and
//! unpacked again behind the gather, a few hundred rows at a time. Up to 32 planes alone make
//! records of 1 or 4 bytes: more of them stay in the cache.

use crate::bits::words;
use crate::kernel::{TILE_WORDS, Tile, TileRows, rows_of_tile, tile_of_rows};

/// What the words of a flat column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// So many planes.
    Bits(usize),
    /// Two elements of 32 bits a word.
    Ring32,
    Ring64,
    /// Two words an element.
    Ring128,
}

impl Kind {
    /// Words of one component of a column.
    pub(super) fn words(self, rows: usize) -> usize {
        match self {
            Self::Bits(width) => words(rows) * width,
            Self::Ring32 => rows.div_ceil(2),
            Self::Ring64 => rows,
            Self::Ring128 => 2 * rows,
        }
    }
}

/// Rows of one tile.
const TILE_ROWS: usize = TILE_WORDS * 64;

/// Where the parts of a record lie in flat columns of `rows` rows, one behind the other.
struct Places {
    rows: usize,
    /// First word of every plane, all columns' planes in one sequence.
    planes: Vec<usize>,
    /// (first word, step, words an element) of every word of a record that comes from a ring.
    rings: Vec<(usize, usize)>,
    /// First words of columns of 32-bit elements.
    halves: Vec<usize>,
    words: usize,
}

impl Places {
    fn new(kinds: &[Kind], rows: usize) -> Self {
        let (planes, rings, halves) = (Vec::new(), Vec::new(), Vec::new());
        let mut places = Self { rows, planes, rings, halves, words: 0 };
        for kind in kinds {
            let from = places.words;
            match kind {
                Kind::Bits(width) => {
                    places.planes.extend((0..*width).map(|plane| from + plane * words(rows)));
                }
                Kind::Ring32 => places.halves.push(from),
                Kind::Ring64 => places.rings.push((from, 1)),
                Kind::Ring128 => places.rings.extend([(from, 2), (from + 1, 2)]),
            }
            places.words += kind.words(rows);
        }
        places
    }

    /// Words of a record.
    fn stride(&self) -> usize {
        self.rings.len() + self.planes.len().div_ceil(64)
    }
}

/// Row i of the result = row `index[i]`, in every column. `flat` holds columns of `rows` rows.
pub(super) fn permute(kinds: &[Kind], rows: usize, flat: Vec<u64>, index: &[u32]) -> Vec<u64> {
    if let [Kind::Ring64] = kinds {
        return index.iter().map(|&row| flat[row as usize]).collect();
    }
    let (before, after) = (Places::new(kinds, rows), Places::new(kinds, index.len()));
    let mut out = vec![0; after.words];
    for (&from, &to) in before.halves.iter().zip(&after.halves) {
        let source = &flat[from..from + Kind::Ring32.words(rows)];
        gather_halves(source, index, &mut out[to..to + Kind::Ring32.words(index.len())]);
    }
    match (before.rings.len(), before.planes.len()) {
        (0, 0) => {}
        (0, planes) if planes <= 8 => {
            #[allow(clippy::cast_possible_truncation, reason = "a record has 8 planes")]
            let records = pack::<u8>(&before, flat, |word| word as u8);
            gather(&records, &after, index, &mut out);
        }
        (0, planes) if planes <= 32 => {
            #[allow(clippy::cast_possible_truncation, reason = "a record has 32 planes")]
            let records = pack::<u32>(&before, flat, |word| word as u32);
            gather(&records, &after, index, &mut out);
        }
        _ => {
            let records = pack::<u64>(&before, flat, |word| word);
            gather(&records, &after, index, &mut out);
        }
    }
    out
}

fn gather_halves(source: &[u64], index: &[u32], out: &mut [u64]) {
    let half = |row: &u32| source[*row as usize / 2] >> (32 * (row % 2)) & 0xFFFF_FFFF;
    for (slot, pair) in out.iter_mut().zip(index.chunks(2)) {
        *slot = half(&pair[0]) | pair.get(1).map_or(0, half) << 32;
    }
}

/// Flat columns as records of `stride` elements.
fn pack<T: Copy + Default>(places: &Places, flat: Vec<u64>, narrow: impl Fn(u64) -> T) -> Vec<T> {
    let stride = places.stride();
    let mut records = vec![T::default(); places.rows * stride];
    for (offset, &(from, step)) in places.rings.iter().enumerate() {
        let values = flat[from..].iter().step_by(step);
        for (slot, &value) in records[offset..].iter_mut().step_by(stride).zip(values) {
            *slot = narrow(value);
        }
    }
    let (mut tile, mut block) = ([[0; TILE_WORDS]; 64], [[0; 64]; TILE_WORDS]);
    for (group, planes) in places.planes.chunks(64).enumerate() {
        tile[planes.len()..].fill([0; TILE_WORDS]);
        let offset = places.rings.len() + group;
        for start in (0..words(places.rows)).step_by(TILE_WORDS) {
            read_tile(&flat, planes, places.rows, start, &mut tile);
            rows_of_tile(&tile, &mut block);
            let from = (start * 64 * stride + offset).min(records.len());
            let slots = records[from..].iter_mut().step_by(stride);
            for (slot, &row) in slots.zip(block.as_flattened()) {
                *slot = narrow(row);
            }
        }
    }
    records
}

/// A tile of planes; what lies beyond the last word is left as it was.
fn read_tile(flat: &[u64], planes: &[usize], rows: usize, start: usize, tile: &mut Tile) {
    let used = (words(rows) - start).min(TILE_WORDS);
    for (line, &plane) in tile.iter_mut().zip(planes) {
        line[..used].copy_from_slice(&flat[plane + start..plane + start + used]);
    }
}

/// Records picked by `index`, as flat columns.
fn gather<T: Copy + Into<u64>>(records: &[T], places: &Places, index: &[u32], out: &mut [u64]) {
    let stride = places.stride();
    let (mut tile, mut block): (Tile, TileRows) = ([[0; TILE_WORDS]; 64], [[0; 64]; TILE_WORDS]);
    for (number, rows) in index.chunks(TILE_ROWS).enumerate() {
        for (offset, &(from, step)) in places.rings.iter().enumerate() {
            let first = from + number * TILE_ROWS * step;
            for (slot, &row) in out[first..].iter_mut().step_by(step).zip(rows) {
                *slot = records[row as usize * stride + offset].into();
            }
        }
        for (group, planes) in places.planes.chunks(64).enumerate() {
            let offset = places.rings.len() + group;
            for (slot, &row) in block.as_flattened_mut().iter_mut().zip(rows) {
                *slot = records[row as usize * stride + offset].into();
            }
            block.as_flattened_mut()[rows.len()..].fill(0);
            tile_of_rows(&block, &mut tile);
            let used = words(rows.len());
            for (line, &plane) in tile.iter().zip(planes) {
                let first = plane + number * TILE_WORDS;
                out[first..first + used].copy_from_slice(&line[..used]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Noise;

    #[test]
    fn every_kind_of_column_follows_the_index() {
        let mut noise = Noise::new(1);
        let mixtures: [&[Kind]; 7] = [
            &[Kind::Bits(1)],
            &[Kind::Bits(7), Kind::Bits(1)],
            &[Kind::Bits(20)],
            &[Kind::Ring32],
            &[Kind::Ring64],
            &[Kind::Bits(70), Kind::Ring128, Kind::Bits(0), Kind::Bits(3), Kind::Ring64],
            &[Kind::Ring32, Kind::Bits(33), Kind::Ring32],
        ];
        for kinds in mixtures {
            for (rows, picked) in [(2, 2), (64, 1), (65, 70), (513, 512), (1100, 1100)] {
                let size = kinds.iter().map(|kind| kind.words(rows)).sum();
                let flat: Vec<u64> = (0..size).map(|_| noise.word()).collect();
                let index: Vec<u32> = (0..picked)
                    .map(|_| u32::try_from(noise.word() % rows as u64).unwrap())
                    .collect();
                let out = permute(kinds, rows, flat.clone(), &index);
                let (mut from, mut to) = (0, 0);
                for &kind in kinds {
                    for (i, &row) in index.iter().enumerate() {
                        let (x, y) = (cell(kind, rows, &flat[from..], row as usize), i);
                        assert_eq!(x, cell(kind, picked, &out[to..], y), "{kinds:?} {rows} {i}");
                    }
                    from += kind.words(rows);
                    to += kind.words(picked);
                }
                assert_eq!(to, out.len());
            }
        }
    }

    fn cell(kind: Kind, rows: usize, flat: &[u64], row: usize) -> Vec<u64> {
        match kind {
            Kind::Bits(width) => {
                (0..width).map(|p| flat[p * words(rows) + row / 64] >> (row % 64) & 1).collect()
            }
            Kind::Ring32 => vec![flat[row / 2] >> (32 * (row % 2)) & 0xFFFF_FFFF],
            Kind::Ring64 => vec![flat[row]],
            Kind::Ring128 => vec![flat[2 * row], flat[2 * row + 1]],
        }
    }
}
