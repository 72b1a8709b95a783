//! Boolean columns, bit-sliced: making them, and what works plane by plane.

use std::borrow::Cow;
use std::sync::Arc;

use crate::bits::{self, words};
use crate::kernel;

/// Boolean shares of `len` rows, `width` bits, bit-sliced: plane j (bit j, lowest first) is
/// words [j*words, (j+1)*words) of each held component. Bits beyond `len` in the last word are
/// unspecified in shares (implementations must tolerate them). Clones share their words.
#[derive(Clone)]
pub struct Planes {
    len: usize,
    width: usize,
    ghost: bool,
    a: Arc<Vec<u64>>,
    b: Arc<Vec<u64>>,
}

/// Words of the two held components, borrowed.
pub(crate) type Held<'a> = (&'a [u64], &'a [u64]);

impl std::fmt::Debug for Planes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Planes({} rows, {} bits)", self.len, self.width)
    }
}

impl Planes {
    /// Rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }
    /// No rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// Bits.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }
    /// Words of one plane.
    #[must_use]
    pub(crate) fn words(&self) -> usize {
        words(self.len)
    }
    /// From this party's two components as row-major bytes (`ceil(width/8)` a row). Panics on
    /// another number of bytes.
    #[must_use]
    pub fn from_rows(len: usize, width: usize, a: &[u8], b: &[u8]) -> Self {
        let expected = len * bits::row_bytes(width);
        assert!(a.len() == expected && b.len() == expected, "row-major bytes of {len} rows");
        let a = bits::planes_from_rows(len, width, a);
        Self::from_components(len, width, a, bits::planes_from_rows(len, width, b))
    }
    /// From this party's two components as planes (each plane ceil(len/64) words). Panics on
    /// another number of words.
    #[must_use]
    pub fn from_components(len: usize, width: usize, a: Vec<u64>, b: Vec<u64>) -> Self {
        let expected = words(len) * width;
        assert!(a.len() == expected && b.len() == expected, "planes of {len} rows, {width} bits");
        Self { len, width, ghost: false, a: Arc::new(a), b: Arc::new(b) }
    }
    /// The two held components as planes (own x_i, then x_{i+1}).
    #[must_use]
    pub fn components(&self) -> (&[u64], &[u64]) {
        (&self.a, &self.b)
    }
    /// The two held components, owned: copied where a clone holds them too.
    pub(crate) fn into_components(self) -> (Vec<u64>, Vec<u64>) {
        (Arc::unwrap_or_clone(self.a), Arc::unwrap_or_clone(self.b))
    }
    /// Ghost.
    #[must_use]
    pub fn ghost(len: usize, width: usize) -> Self {
        Self { len, width, ghost: true, a: Arc::default(), b: Arc::default() }
    }
    /// Whether it has no data.
    #[must_use]
    pub fn is_ghost(&self) -> bool {
        self.ghost
    }
    /// Shares of public planes at party `party`: component 0 = the value.
    pub(crate) fn public(party: usize, len: usize, width: usize, planes: Vec<u64>) -> Self {
        let zeros = vec![0; words(len) * width];
        match party {
            0 => Self::from_components(len, width, planes, zeros),
            2 => Self::from_components(len, width, zeros, planes),
            _ => Self::from_components(len, width, zeros.clone(), zeros),
        }
    }
    /// Shares of a public plain vector (row-major bytes), at party `party`: component 0 = the
    /// value. Panics on another number of bytes than `len * ceil(width/8)`.
    #[must_use]
    pub fn public_rows(party: usize, len: usize, width: usize, rows: &[u8]) -> Self {
        assert!(rows.len() == len * bits::row_bytes(width), "row-major bytes of {len} rows");
        Self::public(party, len, width, bits::planes_from_rows(len, width, rows))
    }
    /// The same public constant in every row (bit j of `value`, lowest first).
    #[must_use]
    pub fn constant(party: usize, len: usize, value: &[bool]) -> Self {
        Self::public(party, len, value.len(), constant_planes(words(len), value))
    }
    /// Public index 0..len as `width` bits (row index).
    #[must_use]
    pub fn row_index(party: usize, len: usize, width: usize) -> Self {
        Self::public(party, len, width, bits::index_planes(len, width))
    }
    /// Planes lo..hi as a column of their own.
    #[must_use]
    pub fn bits(&self, range: std::ops::Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.width, "bits of the column");
        if range.len() == self.width {
            return self.clone();
        }
        let words = self.words();
        self.map(self.len, range.len(), |c| c[range.start * words..range.end * words].to_vec())
    }
    /// Planes of `self` below, planes of `high` above.
    #[must_use]
    pub fn stack(&self, high: &Self) -> Self {
        self.zip(high, self.width + high.width, |low, high| [low, high].concat())
    }
    /// Wider by zero planes on top.
    #[must_use]
    pub fn zero_extend(&self, width: usize) -> Self {
        assert!(width >= self.width, "an extension does not narrow");
        let total = width * self.words();
        self.map(self.len, width, |c| {
            let mut out = c.to_vec();
            out.resize(total, 0);
            out
        })
    }
    /// Wider by copies of the top plane (two's complement).
    #[must_use]
    pub fn sign_extend(&self, width: usize) -> Self {
        assert!(width >= self.width && (self.width > 0 || width == 0), "a sign to extend");
        let (words, more) = (self.words(), width - self.width);
        self.map(self.len, width, |c| {
            let mut out = c.to_vec();
            for _ in 0..more {
                out.extend_from_slice(&c[c.len() - words..]);
            }
            out
        })
    }
    /// Bitwise xor; local. A width-1 operand is repeated over all planes.
    #[must_use]
    pub fn xor(&self, other: &Self) -> Self {
        if other.width == 1 && self.width != 1 {
            return other.xor(self);
        }
        assert!(self.width == other.width || self.width == 1, "equal widths, or one of 1");
        self.zip(other, other.width, |x, y| {
            if x.len() == y.len() {
                let mut out = vec![0; x.len()];
                kernel::xor_of(&mut out, x, y);
                return out;
            }
            let mut out = y.to_vec();
            for plane in out.chunks_exact_mut(x.len().max(1)) {
                xor_into(plane, x);
            }
            out
        })
    }
    /// Xor in place; widths as for [`Planes::xor`], the result of this width.
    pub(crate) fn xor_assign(&mut self, other: &Self) {
        assert_eq!(self.len, other.len, "columns of equal length");
        assert!(self.width == other.width || other.width == 1, "equal widths, or one of 1");
        if self.ghost || other.ghost {
            *self = Self::ghost(self.len, self.width);
            return;
        }
        for (target, source) in [(&mut self.a, &other.a), (&mut self.b, &other.b)] {
            for part in Arc::make_mut(target).chunks_mut(source.len().max(1)) {
                kernel::xor(part, source);
            }
        }
    }
    /// Bitwise complement; local.
    #[must_use]
    pub fn not(&self, party: usize) -> Self {
        self.with_public(party, |c| {
            for word in c {
                *word = !*word;
            }
        })
    }
    /// Xor with a public constant, the same in every row; local. Missing high bits are zero.
    #[must_use]
    pub fn xor_constant(&self, party: usize, value: &[bool]) -> Self {
        assert!(value.len() <= self.width, "a constant within the width");
        let words = self.words().max(1);
        self.with_public(party, |c| {
            for (plane, _) in c.chunks_exact_mut(words).zip(value).filter(|(_, set)| **set) {
                for word in plane {
                    *word = !*word;
                }
            }
        })
    }
    /// AND with a public constant (planes zeroed or kept); local. Missing high bits are zero.
    #[must_use]
    pub fn and_constant(&self, value: &[bool]) -> Self {
        assert!(value.len() <= self.width, "a constant within the width");
        let words = self.words().max(1);
        self.map(self.len, self.width, |c| {
            let mut out = c.to_vec();
            for (j, plane) in out.chunks_exact_mut(words).enumerate() {
                if !value.get(j).copied().unwrap_or(false) {
                    plane.fill(0);
                }
            }
            out
        })
    }

    /// Both components through the same linear map; a ghost stays one.
    pub(crate) fn map(&self, len: usize, width: usize, f: impl Fn(&[u64]) -> Vec<u64>) -> Self {
        if self.ghost {
            return Self::ghost(len, width);
        }
        Self::from_components(len, width, f(&self.a), f(&self.b))
    }

    /// Both components of two columns of equal length through the same bilinear-free map.
    pub(crate) fn zip(
        &self,
        other: &Self,
        width: usize,
        f: impl Fn(&[u64], &[u64]) -> Vec<u64>,
    ) -> Self {
        assert_eq!(self.len, other.len, "columns of equal length");
        if self.ghost || other.ghost {
            return Self::ghost(self.len, width);
        }
        Self::from_components(self.len, width, f(&self.a, &other.a), f(&self.b, &other.b))
    }

    /// A public change of the value: it goes to component 0, at parties 0 and 2.
    fn with_public(&self, party: usize, change: impl Fn(&mut [u64])) -> Self {
        let mut out = self.clone();
        match party {
            0 => change(Arc::make_mut(&mut out.a).as_mut_slice()),
            2 => change(Arc::make_mut(&mut out.b).as_mut_slice()),
            _ => {}
        }
        out
    }

    /// Words of plane j of both components. Real columns only.
    pub(crate) fn plane(&self, j: usize) -> Held<'_> {
        let words = self.words();
        (&self.a[j * words..(j + 1) * words], &self.b[j * words..(j + 1) * words])
    }

    /// A copy of each component with clear tails, borrowed where they are clear by shape.
    pub(crate) fn clear_component(&self, own: bool) -> Cow<'_, [u64]> {
        let component = if own { &self.a } else { &self.b };
        if self.len.is_multiple_of(64) {
            return Cow::Borrowed(component);
        }
        let mut clear = component.to_vec();
        bits::clear_tails(&mut clear, self.len);
        Cow::Owned(clear)
    }
}

/// Planes of a constant: all ones or all zeros each.
fn constant_planes(words: usize, value: &[bool]) -> Vec<u64> {
    value
        .iter()
        .flat_map(|&set| std::iter::repeat_n(if set { u64::MAX } else { 0 }, words))
        .collect()
}

/// target ^= source.
pub(crate) fn xor_into(target: &mut [u64], source: &[u64]) {
    kernel::xor(target, source);
}
