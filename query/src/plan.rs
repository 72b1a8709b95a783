//! The closed set of oblivious operators. A plan is public; its canonical encoding (postcard of
//! this type) is inside the digest of the start handshake. Bump [`PLAN_FORMAT`] on any change.

mod public;

pub use public::{Kept, PublicIndex, PublicRows};

use crate::types::Type;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use trine_proto::alter::Layout;
use trine_proto::catalog::SegmentEntry;
use trine_proto::ids::{SegmentId, TableId};
use trine_proto::schema::TableSchema;
use trine_proto::status::{SqlError, sqlstate};

/// Version of the plan encoding and of what its operators mean.
pub const PLAN_FORMAT: u32 = 4;

/// A named column of a relation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Name for EXPLAIN and the result; look-ups go by position.
    pub name: String,
    /// Type with bounds.
    pub ty: Type,
    /// Whether NULL may occur.
    pub nullable: bool,
}

/// A public constant. The order of values of one type is that of SQL; NULL comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Literal {
    /// NULL of the expression's type.
    Null,
    /// TRUE or FALSE.
    Boolean(bool),
    /// Encoded integer of the expression's type.
    Number(i128),
    /// Bytes without padding, no longer than the expression's type.
    Text(Vec<u8>),
}

/// Comparison operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compare {
    /// =
    Eq,
    /// <>
    Ne,
    /// <
    Lt,
    /// <=
    Le,
    /// >
    Gt,
    /// >=
    Ge,
}

/// How a quotient becomes a whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rounding {
    /// Towards minus infinity.
    Floor,
    /// Towards plus infinity.
    Ceil,
    /// Towards zero.
    Truncate,
    /// To the nearest; ties away from zero.
    Nearest,
    /// To the nearest; ties to the even neighbour. Divisors that are powers of two only.
    Even,
}

impl Rounding {
    /// value / divisor as a whole number; the divisor is not 0.
    #[must_use]
    pub const fn divide(self, value: i128, divisor: i128) -> i128 {
        let floor = value.div_euclid(divisor);
        let (floor, rest) = if divisor < 0 && value.rem_euclid(divisor) != 0 {
            (floor - 1, value - (floor - 1) * divisor)
        } else {
            (floor, value.rem_euclid(divisor))
        };
        if rest == 0 {
            return floor;
        }
        let up = match self {
            Self::Floor => false,
            Self::Ceil => true,
            Self::Truncate => floor < 0,
            Self::Nearest => {
                let (twice, size) = (2 * rest.unsigned_abs(), divisor.unsigned_abs());
                twice > size || (twice == size && floor >= 0)
            }
            Self::Even => {
                let (twice, size) = (2 * rest.unsigned_abs(), divisor.unsigned_abs());
                twice > size || (twice == size && floor % 2 != 0)
            }
        };
        if up { floor + 1 } else { floor }
    }
}

/// What can go wrong in a row while a statement runs. Execution never stops for it: one secret bit a
/// kind says whether it happened anywhere, and only the client opens it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum Failure {
    /// A divisor is 0.
    DivisionByZero,
    /// A value does not fit the type it is cast to.
    OutOfRange,
    /// A text is no value of the type it is cast to.
    InvalidText,
    /// A function of characters meets a text that is not plain ASCII.
    NotAscii,
    /// A subquery that stands for one value has several rows.
    SeveralRows,
    /// An argument lies outside of the domain of a function.
    InvalidArgument,
    /// A join has more rows than its bound.
    BoundExceeded,
}

impl Failure {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::DivisionByZero,
        Self::OutOfRange,
        Self::InvalidText,
        Self::NotAscii,
        Self::SeveralRows,
        Self::InvalidArgument,
        Self::BoundExceeded,
    ];

    /// The error that the client reports.
    #[must_use]
    pub fn error(self) -> SqlError {
        match self {
            Self::DivisionByZero => SqlError::new(sqlstate::DIVISION_BY_ZERO, "division by zero")
                .hint("guard the divisor: CASE WHEN d <> 0 THEN n / d END, or n / NULLIF(d, 0)"),
            Self::OutOfRange => SqlError::new(
                sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
                "a value is out of range for the type it is cast to",
            ),
            Self::InvalidText => SqlError::new(
                sqlstate::INVALID_TEXT,
                "a text is no value of the type it is cast to",
            ),
            Self::NotAscii => SqlError::new(
                sqlstate::FEATURE_NOT_SUPPORTED,
                "a function of characters met a text that is not plain ASCII",
            )
            .hint("lengths and positions are computed for ASCII texts only; compare, concatenate and search whole texts instead"),
            Self::SeveralRows => SqlError::new(
                sqlstate::CARDINALITY_VIOLATION,
                "more than one row returned by a subquery used as an expression",
            ),
            Self::InvalidArgument => SqlError::new(
                sqlstate::INVALID_PARAMETER,
                "an argument lies outside of the domain of its function",
            ),
            Self::BoundExceeded => SqlError::new(
                sqlstate::LIMIT_EXCEEDED,
                "a join has more rows than its declared bound",
            ),
        }
    }
}

/// One byte of a LIKE pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LikeToken {
    /// This byte, not 0.
    Byte(u8),
    /// An underscore: any byte but the end of the text.
    Any,
}

/// A LIKE pattern cut at its percent signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LikePattern {
    /// What must occur, one after the other; none is empty.
    pub pieces: Vec<Vec<LikeToken>>,
    /// Whether the first piece begins the text.
    pub at_start: bool,
    /// Whether the last piece ends it.
    pub at_end: bool,
}

/// Functions of zero-padded texts, byte by byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TextFunction {
    /// As many bytes from `start` on as the type of the result has.
    Slice {
        /// First byte, counted from 0.
        start: u32,
    },
    /// ASCII capitals to small letters.
    Lower,
    /// ASCII small letters to capitals.
    Upper,
    /// Whether no byte is above 127.
    IsAscii,
    /// Bytes before the padding.
    Length,
    /// Whether a pattern matches.
    Like(LikePattern),
    /// 1 + the first place of a public text, 0 where there is none.
    Position(Vec<u8>),
    /// Without leading bytes of a set.
    TrimStart(Vec<u8>),
    /// Without trailing bytes of a set.
    TrimEnd(Vec<u8>),
    /// The last bytes, this many.
    Right(u32),
    /// The first argument, then the second.
    Concat,
    /// A number as a text, as long as its bounds ask for.
    Decimal {
        /// Digits behind the point.
        scale: u32,
    },
}

/// A scalar expression over the columns of one relation; three-valued logic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expr {
    /// What it computes.
    pub kind: ExprKind,
    /// Type of the result, with bounds that hold for every row.
    pub ty: Type,
    /// Whether NULL may occur.
    pub nullable: bool,
}

/// See [`Expr`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExprKind {
    /// Column of the input by position.
    Column(usize),
    /// Constant.
    Literal(Literal),
    /// NOT.
    Not(Box<Expr>),
    /// AND of two or more.
    And(Vec<Expr>),
    /// OR of two or more.
    Or(Vec<Expr>),
    /// Both sides are Boolean, or numbers of the same scale (bounds may differ), or texts (lengths may differ).
    Compare {
        /// Operator.
        op: Compare,
        /// Left side.
        left: Box<Expr>,
        /// Right side.
        right: Box<Expr>,
    },
    /// IS NULL; never NULL itself.
    IsNull(Box<Expr>),
    /// Sum; decimal scales were made equal by the planner.
    Add(Box<Expr>, Box<Expr>),
    /// Difference; as Add.
    Subtract(Box<Expr>, Box<Expr>),
    /// Product; scales add up.
    Multiply(Box<Expr>, Box<Expr>),
    /// Times a public positive integer (raising a decimal's scale).
    Scale(Box<Expr>, i128),
    /// |x|.
    Absolute(Box<Expr>),
    /// First branch whose condition is TRUE, else `otherwise`. All values have the type of the expression
    /// except for bounds and text length, which the executor widens.
    Case {
        /// (condition, value).
        branches: Vec<(Expr, Expr)>,
        /// Value when no condition is TRUE; a NULL literal when ELSE is absent.
        otherwise: Box<Expr>,
    },
    /// An ENUM (or narrow number) mapped through a public table: entry v - low of the argument's type.
    /// LIKE, IN and functions on a dictionary end here.
    Lookup {
        /// Number with at most 2^16 values.
        argument: Box<Expr>,
        /// One entry per value low..=high.
        table: Vec<Literal>,
    },
    /// The same value under wider bounds, another number kind of equal scale, or a longer text.
    Retype(Box<Expr>),
    /// left / right of integer-coded numbers, towards zero or to the nearest. Any value where right is 0.
    Divide {
        /// Dividend.
        left: Box<Expr>,
        /// Divisor.
        right: Box<Expr>,
        /// The dividend is shifted up by these bits first.
        fraction_bits: u32,
        /// Truncate or Nearest.
        rounding: Rounding,
    },
    /// Remainder of `Divide` towards zero: the sign is the dividend's. Any value where right is 0.
    Modulo(Box<Expr>, Box<Expr>),
    /// Divided by a public positive integer.
    DivideBy {
        /// Dividend.
        argument: Box<Expr>,
        /// Divisor, above 0.
        divisor: i128,
        /// How to a whole number.
        rounding: Rounding,
    },
    /// floor(sqrt(argument * 2^fraction_bits)); any value below 0.
    SquareRoot {
        /// Number.
        argument: Box<Expr>,
        /// Bits, so that argument's own and these make an even number.
        fraction_bits: u32,
    },
    /// A step function: `values[i]`, where i thresholds are <= the argument.
    Steps {
        /// Number.
        argument: Box<Expr>,
        /// Ascending; may be none.
        thresholds: Vec<i128>,
        /// One more than thresholds.
        values: Vec<Literal>,
    },
    /// The value; raises a failure in rows where a condition is TRUE.
    Check {
        /// Value.
        value: Box<Expr>,
        /// Boolean.
        fails: Box<Expr>,
        /// What is raised.
        failure: Failure,
    },
    /// Computes `value` once for all places of `body` that name it.
    Let {
        /// What is computed first.
        value: Box<Expr>,
        /// May contain `Bound`.
        body: Box<Expr>,
    },
    /// The value of an enclosing Let: 0 is the innermost.
    Bound(usize),
    /// A function of texts; NULL where an argument is.
    Text {
        /// Function.
        function: TextFunction,
        /// Texts: two for Concat, one for others; a number for Decimal.
        arguments: Vec<Expr>,
    },
}

impl Expr {
    /// The expressions directly inside, in the order in which they are written.
    #[must_use]
    pub fn children(&self) -> Vec<&Self> {
        match &self.kind {
            ExprKind::Column(_) | ExprKind::Literal(_) | ExprKind::Bound(_) => Vec::new(),
            ExprKind::Not(x)
            | ExprKind::IsNull(x)
            | ExprKind::Scale(x, _)
            | ExprKind::Absolute(x)
            | ExprKind::Retype(x)
            | ExprKind::Lookup { argument: x, .. }
            | ExprKind::DivideBy { argument: x, .. }
            | ExprKind::SquareRoot { argument: x, .. }
            | ExprKind::Steps { argument: x, .. } => vec![x],
            ExprKind::And(all) | ExprKind::Or(all) | ExprKind::Text { arguments: all, .. } => {
                all.iter().collect()
            }
            ExprKind::Compare { left: x, right: y, .. }
            | ExprKind::Add(x, y)
            | ExprKind::Subtract(x, y)
            | ExprKind::Multiply(x, y)
            | ExprKind::Modulo(x, y)
            | ExprKind::Divide { left: x, right: y, .. }
            | ExprKind::Check { value: x, fails: y, .. }
            | ExprKind::Let { value: x, body: y } => vec![x, y],
            ExprKind::Case { branches, otherwise } => {
                let inside = branches.iter().flat_map(|(c, v)| [c, v]);
                inside.chain([otherwise.as_ref()]).collect()
            }
        }
    }

    /// Whether computing it may raise a [`Failure`].
    #[must_use]
    pub fn can_fail(&self) -> bool {
        matches!(self.kind, ExprKind::Check { .. })
            || self.children().into_iter().any(Self::can_fail)
    }
}

/// Aggregate functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Function {
    /// COUNT(*).
    CountStar,
    /// COUNT(x): rows where x is not NULL.
    Count,
    /// SUM(x).
    Sum,
    /// AVG(x): DOUBLE of DOUBLE_FRACTION_BITS for integers, DECIMAL(p+4, s+4) truncated toward zero for decimals.
    Avg,
    /// MIN(x).
    Min,
    /// MAX(x).
    Max,
    /// BOOL_AND(x).
    BoolAnd,
    /// BOOL_OR(x).
    BoolOr,
}

/// One aggregate of an aggregation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aggregate {
    /// Function.
    pub function: Function,
    /// Argument; none for COUNT(*).
    pub argument: Option<Expr>,
    /// FILTER (WHERE …).
    pub filter: Option<Expr>,
    /// DISTINCT (COUNT and SUM; MIN and MAX ignore it). SortAggregate and ScalarAggregate only.
    pub distinct: bool,
    /// Type of the result with bounds (the planner derives them from the input's row bound).
    pub ty: Type,
    /// Whether NULL may occur (no contributing row).
    pub nullable: bool,
}

/// INNER or LEFT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinKind {
    /// Rows of the many side with a match.
    Inner,
    /// All rows of the many side; the unique side's columns are NULL without a match.
    Left,
    /// Rows of the many side with a match; no columns of the unique side.
    Semi,
    /// Rows of the many side without a match; no columns of the unique side.
    Anti,
}

/// How a join with a unique side meets its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinMethod {
    /// The union of both sides is sorted by the key.
    Sort,
    /// As Sort, but rows stay in the order of the key, those of both sides, the unique ones not valid: a GROUP BY of
    /// the key above needs no sort of its own. Inner joins without a residual.
    Merge,
    /// Every row of the many side is compared with each row of the unique side: no sort. For tiny unique sides.
    Lookup,
}

/// One key of ORDER BY.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SortKey {
    /// What to sort by.
    pub expr: Expr,
    /// DESC.
    pub descending: bool,
    /// NULLS FIRST.
    pub nulls_first: bool,
}

/// Where the frame of a window function begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bound {
    /// First row of the partition at the start of a frame, its last row at the end.
    Unbounded,
    /// So many rows after the current one (negative: before), in the partition.
    Rows(i64),
    /// First (start) or last (end) row that ties with the current one in the order.
    Peers,
}

/// Rows that a window function looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// First row.
    pub start: Bound,
    /// Last row.
    pub end: Bound,
}

/// Which row of a frame FIRST_VALUE, LAST_VALUE and NTH_VALUE show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Which {
    /// The first.
    First,
    /// The last.
    Last,
    /// The n-th, from 1; frames that begin with the partition or the peers.
    Nth(u64),
}

/// What a window function computes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WindowKind {
    /// ROW_NUMBER.
    RowNumber,
    /// RANK.
    Rank,
    /// DENSE_RANK.
    DenseRank,
    /// NTILE(n), 1 <= n <= 256.
    Ntile(u64),
    /// LAG (`back` rows before) and LEAD (negative).
    Shift {
        /// Value of the other row.
        value: Expr,
        /// Rows.
        back: i64,
        /// Value where there is no such row; none: NULL. Of the type of `value` but for bounds.
        default: Option<Expr>,
    },
    /// FIRST_VALUE, LAST_VALUE, NTH_VALUE; frames that hold the current row.
    Value {
        /// Value.
        value: Expr,
        /// Row of the frame.
        which: Which,
        /// Frame.
        frame: Frame,
    },
    /// COUNT, SUM, AVG, BOOL_AND, BOOL_OR; MIN and MAX over frames that hold the current row. Not distinct.
    Aggregate {
        /// Aggregate.
        aggregate: Aggregate,
        /// Frame.
        frame: Frame,
    },
}

/// One function of a Window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowFunction {
    /// What it computes.
    pub kind: WindowKind,
    /// Type of the result.
    pub ty: Type,
    /// Whether NULL may occur.
    pub nullable: bool,
}

/// What the nodes learn of the number of result rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResultSize {
    /// Nothing beyond the public bound.
    Hidden,
    /// The next power of two of the count (0 counts as 1).
    Padded,
}

/// A relation: public row bound, named columns, and how it is computed. At run time every relation
/// has exactly `rows` rows and one shared *valid* bit per row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// How.
    pub op: Operator,
    /// Columns.
    pub fields: Vec<Field>,
    /// Public row bound = run-time row count.
    pub rows: u64,
}

/// One segment as a scan reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentScan {
    /// Which.
    pub id: SegmentId,
    /// Public row count.
    pub rows: u64,
    /// Whether it has a shared *valid* column; without one all its rows exist.
    pub has_valid: bool,
    /// Set if it was stored before the table was altered.
    #[serde(serialize_with = "stored_layout")]
    pub layout: Option<Arc<Layout>>,
}

fn stored_layout<S: serde::Serializer>(
    layout: &Option<Arc<Layout>>,
    to: S,
) -> Result<S::Ok, S::Error> {
    layout.as_deref().serialize(to)
}

impl From<&SegmentEntry> for SegmentScan {
    fn from(entry: &SegmentEntry) -> Self {
        let layout = entry.layout.clone();
        Self { id: entry.id, rows: entry.rows, has_valid: entry.has_valid, layout }
    }
}

/// The operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Operator {
    /// Rows of a table at the snapshot; all valid unless a segment has a *valid* column. Fields follow
    /// `columns`.
    Scan {
        /// Table.
        table: TableId,
        /// Its schema (names, encodings).
        schema: TableSchema,
        /// Visible segments in commit order.
        segments: Vec<SegmentScan>,
        /// Positions of the columns that are read.
        columns: Vec<usize>,
        /// The rows that are read, ascending over all segments; none: all.
        kept: Option<Kept>,
    },
    /// Rows that were computed in the clear from PUBLIC columns; all valid.
    Public {
        /// Values; a column for each field.
        values: PublicRows,
        /// Whether they stand in the order of a Sort.
        ordered: bool,
        /// What computed them, as a reader sees it.
        source: String,
    },
    /// Rows of the input at public positions.
    PublicFilter {
        /// Input.
        input: Box<Plan>,
        /// Which.
        kept: Kept,
    },
    /// The input with columns behind it that were computed in the clear from its PUBLIC columns.
    PublicColumns {
        /// Input.
        input: Box<Plan>,
        /// Values of the further columns, row by row of the input.
        values: PublicRows,
    },
    /// GROUP BY keys that are public: which row is in which group is known, so that nothing is sorted. One
    /// row a group, valid where a valid row is in it. No DISTINCT, MIN, MAX. Fields: keys, then one each.
    PublicAggregate {
        /// Input.
        input: Box<Plan>,
        /// Per row the number of its group.
        groups: PublicIndex,
        /// Per group the values of the keys.
        keys: PublicRows,
        /// What is computed.
        aggregates: Vec<Aggregate>,
    },
    /// Pairs of rows that meet on PUBLIC columns of both sides, found in the clear. Valid where both rows
    /// are. Fields: left, right.
    PublicJoin {
        /// Left side.
        left: Box<Plan>,
        /// Right side.
        right: Box<Plan>,
        /// Per pair the position of the left row.
        left_rows: PublicIndex,
        /// Per pair the position of the right row.
        right_rows: PublicIndex,
        /// What pairs meet on, as a reader sees it.
        condition: String,
    },
    /// Public rows (SELECT without FROM: one row, maybe no columns); all valid.
    Values(Vec<Vec<Literal>>),
    /// Keeps rows whose predicate is TRUE (clears the valid bit of others); rows unchanged.
    Filter {
        /// Input.
        input: Box<Plan>,
        /// Boolean.
        predicate: Expr,
    },
    /// One column per expression.
    Project {
        /// Input.
        input: Box<Plan>,
        /// Expressions.
        exprs: Vec<Expr>,
    },
    /// Rows of all inputs one after the other. Fields' bounds are the union; the executor widens.
    UnionAll(Vec<Plan>),
    /// One valid row, no GROUP BY.
    ScalarAggregate {
        /// Input.
        input: Box<Plan>,
        /// Aggregates; a field each.
        aggregates: Vec<Aggregate>,
    },
    /// GROUP BY keys whose domains are small and public: one row per cell of the product of the
    /// domains (a NULL counts as one more value), valid where a row falls into it. No sort. No DISTINCT, MIN, MAX.
    /// Cells count up with the last key fastest; NULL is the last value of its key.
    SmallDomainAggregate {
        /// Input.
        input: Box<Plan>,
        /// Boolean or numbers of few values.
        keys: Vec<Expr>,
        /// Fields: keys, then one each.
        aggregates: Vec<Aggregate>,
    },
    /// GROUP BY by a sort. Without aggregates: DISTINCT. Rows: a public bound of the number of groups, at most
    /// those of the input; groups come first.
    SortAggregate {
        /// Input.
        input: Box<Plan>,
        /// Keys; NULLs form one group.
        keys: Vec<Expr>,
        /// So many of the last keys follow from the others: they travel, but are neither sorted by nor compared.
        determined: u32,
        /// Whether the input has the rows of each group one after the other already, none that is not valid among
        /// them (see [`JoinMethod::Merge`]). No MIN, MAX or DISTINCT then.
        presorted: bool,
        /// Fields: keys, then one each.
        aggregates: Vec<Aggregate>,
    },
    /// Equality join with a side on which the key is unique (among valid rows without NULL in the key).
    /// Rows: those of the many side (Merge: of both). Fields: many side's, then (Inner, Left) the unique side's.
    /// Semi and Anti do not need uniqueness.
    UniqueKeyJoin {
        /// Kind.
        kind: JoinKind,
        /// Side whose rows survive one by one.
        many: Box<Plan>,
        /// Side with the unique key.
        unique: Box<Plan>,
        /// Key over the many side.
        many_keys: Vec<Expr>,
        /// Key over the unique side; same count; numbers of equal scale, texts, booleans pairwise.
        unique_keys: Vec<Expr>,
        /// Further condition over (many fields, unique fields); enters the match before NULLs are filled in.
        residual: Option<Expr>,
        /// How rows meet.
        method: JoinMethod,
    },
    /// Every pair of rows: row r * (left rows) + l is left row l beside right row r. Rows: the product.
    CrossJoin {
        /// Left side.
        left: Box<Plan>,
        /// Right side.
        right: Box<Plan>,
    },
    /// Every left row beside aggregates over the right rows for which the condition holds: EXISTS, IN and
    /// scalar subqueries that are correlated by anything. All pairs are looked at; they are not kept. Not distinct.
    PairAggregate {
        /// Left side; its rows and fields survive.
        left: Box<Plan>,
        /// Right side.
        right: Box<Plan>,
        /// Over (left fields, right fields).
        condition: Option<Expr>,
        /// Over (left fields, right fields); a field each behind the left ones.
        aggregates: Vec<Aggregate>,
    },
    /// Window functions over one PARTITION BY and ORDER BY: one sort. Fields: the input's, then one each.
    /// Rows come out sorted by (valid first, partition, order).
    Window {
        /// Input.
        input: Box<Plan>,
        /// PARTITION BY.
        partition: Vec<Expr>,
        /// ORDER BY; rows that tie in it come in random order.
        order: Vec<SortKey>,
        /// Functions.
        functions: Vec<WindowFunction>,
    },
    /// The same relation as an earlier node of the plan: computed once, used again.
    Again {
        /// Position of that node in pre-order.
        node: u32,
    },
    /// Every row of `input` beside the single row of `one` (a scalar subquery, an aggregate without GROUP BY).
    /// If the row of `one` is not valid its columns are NULL.
    OneRowJoin {
        /// Input.
        input: Box<Plan>,
        /// Relation of exactly one row.
        one: Box<Plan>,
    },
    /// Valid rows first, in order; ties at random (secret). Rows: all of the input, or only the first
    /// ones of the order, which a selection finds without sorting the others.
    Sort {
        /// Input.
        input: Box<Plan>,
        /// Keys, most significant first.
        keys: Vec<SortKey>,
    },
    /// Rows skip..skip+fetch of the valid rows (in order after a Sort, any rows otherwise: a fresh compaction first).
    /// Rows: min(fetch, rows - skip).
    Limit {
        /// Input.
        input: Box<Plan>,
        /// OFFSET.
        skip: u64,
        /// LIMIT.
        fetch: Option<u64>,
    },
    /// The root: invalid rows zeroed, rows shuffled unless the input is sorted, result shares to the client.
    Reveal {
        /// Input.
        input: Box<Plan>,
        /// What of the count is opened to the nodes.
        size: ResultSize,
        /// Whether row order is that of ORDER BY.
        ordered: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::Rounding::{Ceil, Even, Floor, Nearest, Truncate};

    #[test]
    fn ties_go_to_even_neighbours() {
        for (v, even) in [(1, 0), (3, 2), (5, 2), (-1, 0), (-3, -2), (-5, -2), (6, 3), (-7, -4)] {
            assert_eq!(Even.divide(v, 2), even, "{v} / 2");
        }
        assert_eq!([Even.divide(11, 8), Even.divide(13, 8)], [1, 2]);
    }

    #[test]
    fn quotients_are_rounded_as_named() {
        for (v, d, floor, ceil, truncated, nearest) in [
            (7, 2, 3, 4, 3, 4),
            (-7, 2, -4, -3, -3, -4),
            (7, -2, -4, -3, -3, -4),
            (-7, -2, 3, 4, 3, 4),
            (5, 3, 1, 2, 1, 2),
            (-5, 3, -2, -1, -1, -2),
            (4, 3, 1, 2, 1, 1),
            (-4, 3, -2, -1, -1, -1),
            (6, 3, 2, 2, 2, 2),
            (0, -3, 0, 0, 0, 0),
        ] {
            let got = [Floor, Ceil, Truncate, Nearest].map(|r| r.divide(v, d));
            assert_eq!(got, [floor, ceil, truncated, nearest], "{v} / {d}");
        }
    }
}
