//! Scalar expressions over plain values.

use super::{Beyond, text};
use crate::plan::{Compare, Expr, ExprKind, Literal, Rounding};
use crate::types::Type;

/// The value of a column in the current row; none where it is not public.
pub(crate) type Cells<'f, 'v> = &'f dyn Fn(usize) -> Option<&'v Literal>;

/// The value of an expression in one row.
///
/// # Errors
/// [`Beyond`].
pub(crate) fn eval(expr: &Expr, cells: Cells<'_, '_>) -> Result<Literal, Beyond> {
    Row { cells, bound: Vec::new() }.eval(expr)
}

/// Whether a condition is TRUE.
///
/// # Errors
/// [`Beyond`].
pub(crate) fn is_true(expr: &Expr, cells: Cells<'_, '_>) -> Result<bool, Beyond> {
    Ok(eval(expr, cells)? == Literal::Boolean(true))
}

/// Whether a value is one of its type.
pub(super) fn fits(value: &Literal, ty: &Type) -> bool {
    match (value, ty) {
        (Literal::Null, _) | (Literal::Boolean(_), Type::Boolean) => true,
        (Literal::Number(v), Type::Number { low, high, .. }) => (low..=high).contains(&v),
        (Literal::Text(text), Type::Text { bytes }) => text.len() <= *bytes as usize,
        _ => false,
    }
}

struct Row<'f, 'v> {
    cells: Cells<'f, 'v>,
    /// Values of the enclosing Lets, the innermost last.
    bound: Vec<Literal>,
}

fn truth(value: &Literal) -> Result<Option<bool>, Beyond> {
    match value {
        Literal::Boolean(b) => Ok(Some(*b)),
        Literal::Null => Ok(None),
        _ => Err(Beyond),
    }
}

fn of_truth(value: Option<bool>) -> Literal {
    value.map_or(Literal::Null, Literal::Boolean)
}

fn number(value: &Literal) -> Result<Option<i128>, Beyond> {
    match value {
        Literal::Number(v) => Ok(Some(*v)),
        Literal::Null => Ok(None),
        _ => Err(Beyond),
    }
}

impl Row<'_, '_> {
    fn eval(&mut self, expr: &Expr) -> Result<Literal, Beyond> {
        match &expr.kind {
            ExprKind::Column(index) => (self.cells)(*index).cloned().ok_or(Beyond),
            ExprKind::Literal(literal) => Ok(literal.clone()),
            ExprKind::Not(x) => Ok(of_truth(truth(&self.eval(x)?)?.map(|b| !b))),
            ExprKind::And(all) => self.junction(all, false),
            ExprKind::Or(all) => self.junction(all, true),
            ExprKind::Compare { op, left, right } => {
                let (x, y) = (self.eval(left)?, self.eval(right)?);
                Ok(compared(*op, &x, &y))
            }
            ExprKind::IsNull(x) => Ok(Literal::Boolean(self.eval(x)? == Literal::Null)),
            ExprKind::Case { branches, otherwise } => {
                for (condition, value) in branches {
                    if truth(&self.eval(condition)?)? == Some(true) {
                        return self.eval(value);
                    }
                }
                self.eval(otherwise)
            }
            ExprKind::Lookup { argument, table } => self.lookup(argument, table),
            ExprKind::Retype(x) => self.eval(x),
            ExprKind::Steps { argument, thresholds, values } => {
                let Some(v) = number(&self.eval(argument)?)? else { return Ok(Literal::Null) };
                let step = thresholds.iter().filter(|t| **t <= v).count();
                values.get(step).cloned().ok_or(Beyond)
            }
            ExprKind::Check { value, fails, .. } => {
                if truth(&self.eval(fails)?)? == Some(true) {
                    return Err(Beyond);
                }
                self.eval(value)
            }
            ExprKind::Let { value, body } => {
                let value = self.eval(value)?;
                self.bound.push(value);
                let result = self.eval(body);
                self.bound.pop();
                result
            }
            ExprKind::Bound(depth) => {
                let place = self.bound.len().checked_sub(depth + 1).ok_or(Beyond)?;
                self.bound.get(place).cloned().ok_or(Beyond)
            }
            ExprKind::Text { function, arguments } => {
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    values.push(self.eval(argument)?);
                }
                text::apply(function, &values, &expr.ty)
            }
            _ => self.arithmetic(expr),
        }
    }

    fn arithmetic(&mut self, expr: &Expr) -> Result<Literal, Beyond> {
        match &expr.kind {
            ExprKind::Add(x, y) => self.both(x, y, i128::checked_add),
            ExprKind::Subtract(x, y) => self.both(x, y, i128::checked_sub),
            ExprKind::Multiply(x, y) => self.both(x, y, i128::checked_mul),
            ExprKind::Scale(x, factor) => self.one(x, |v| v.checked_mul(*factor)),
            ExprKind::Absolute(x) => self.one(x, i128::checked_abs),
            ExprKind::Divide { left, right, fraction_bits, rounding } => {
                self.both(left, right, |x, y| quotient(x, y, *fraction_bits, *rounding))
            }
            ExprKind::Modulo(x, y) => {
                self.both(x, y, |x, y| if y == 0 { Some(0) } else { x.checked_rem(y) })
            }
            ExprKind::DivideBy { argument, divisor, rounding } => {
                self.one(argument, |x| (*divisor > 0).then(|| rounding.divide(x, *divisor)))
            }
            ExprKind::SquareRoot { argument, fraction_bits } => self
                .one(argument, |x| shifted(x.max(0), *fraction_bits).and_then(i128::checked_isqrt)),
            _ => Err(Beyond),
        }
    }

    fn one(&mut self, x: &Expr, f: impl Fn(i128) -> Option<i128>) -> Result<Literal, Beyond> {
        match number(&self.eval(x)?)? {
            Some(x) => f(x).map(Literal::Number).ok_or(Beyond),
            None => Ok(Literal::Null),
        }
    }

    fn both(
        &mut self,
        x: &Expr,
        y: &Expr,
        f: impl Fn(i128, i128) -> Option<i128>,
    ) -> Result<Literal, Beyond> {
        match (number(&self.eval(x)?)?, number(&self.eval(y)?)?) {
            (Some(x), Some(y)) => f(x, y).map(Literal::Number).ok_or(Beyond),
            _ => Ok(Literal::Null),
        }
    }

    /// AND (`decisive` = FALSE) and OR (TRUE). What stands behind a decisive operand does not count.
    fn junction(&mut self, all: &[Expr], decisive: bool) -> Result<Literal, Beyond> {
        let mut unknown = false;
        for operand in all {
            match truth(&self.eval(operand)?)? {
                Some(value) if value == decisive => return Ok(Literal::Boolean(decisive)),
                Some(_) => {}
                None => unknown = true,
            }
        }
        Ok(if unknown { Literal::Null } else { Literal::Boolean(!decisive) })
    }

    fn lookup(&mut self, argument: &Expr, table: &[Literal]) -> Result<Literal, Beyond> {
        let Type::Number { low, .. } = &argument.ty else { return Err(Beyond) };
        let Some(v) = number(&self.eval(argument)?)? else { return Ok(Literal::Null) };
        let place = v.checked_sub(*low).and_then(|p| usize::try_from(p).ok());
        place.and_then(|p| table.get(p)).cloned().ok_or(Beyond)
    }
}

/// A comparison; NULL where a side is.
fn compared(op: Compare, x: &Literal, y: &Literal) -> Literal {
    if *x == Literal::Null || *y == Literal::Null {
        return Literal::Null;
    }
    let order = x.cmp(y);
    Literal::Boolean(match op {
        Compare::Eq => order.is_eq(),
        Compare::Ne => order.is_ne(),
        Compare::Lt => order.is_lt(),
        Compare::Le => order.is_le(),
        Compare::Gt => order.is_gt(),
        Compare::Ge => order.is_ge(),
    })
}

fn shifted(x: i128, bits: u32) -> Option<i128> {
    1_i128.checked_shl(bits).filter(|f| *f > 0).and_then(|factor| x.checked_mul(factor))
}

/// Any value where the divisor is 0: a Check around it fails there.
pub(super) fn quotient(x: i128, y: i128, bits: u32, rounding: Rounding) -> Option<i128> {
    if y == 0 {
        return Some(0);
    }
    let x = shifted(x, bits).filter(|x| *x > i128::MIN)?;
    (y > i128::MIN).then(|| rounding.divide(x, y))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Failure;
    use crate::types::NumberKind;

    fn int(low: i128, high: i128) -> Type {
        Type::Number { kind: NumberKind::BigInt, low, high }
    }
    fn expr(kind: ExprKind) -> Expr {
        Expr { kind, ty: int(-100, 100), nullable: true }
    }
    fn column(index: usize) -> Expr {
        expr(ExprKind::Column(index))
    }
    fn literal(value: Literal) -> Expr {
        expr(ExprKind::Literal(value))
    }
    fn value(e: &Expr, row: &[Literal]) -> Result<Literal, Beyond> {
        eval(e, &|i| row.get(i))
    }

    #[test]
    fn conditions_are_three_valued_and_stop_where_they_are_decided() {
        let (yes, no) = (Literal::Boolean(true), Literal::Boolean(false));
        let fails = expr(ExprKind::Check {
            value: Box::new(literal(yes.clone())),
            fails: Box::new(literal(yes.clone())),
            failure: Failure::DivisionByZero,
        });
        let and = |all: &[&Expr]| expr(ExprKind::And(all.iter().map(|e| (*e).clone()).collect()));
        let (t, f, n) = (literal(yes.clone()), literal(no.clone()), literal(Literal::Null));
        assert_eq!(value(&and(&[&t, &n]), &[]), Ok(Literal::Null));
        assert_eq!(value(&and(&[&n, &f]), &[]), Ok(no.clone()));
        assert_eq!(value(&and(&[&f, &fails]), &[]), Ok(no));
        assert_eq!(value(&and(&[&t, &fails]), &[]), Err(Beyond));
        let or = expr(ExprKind::Or(vec![n, t]));
        assert_eq!(value(&or, &[]), Ok(yes));
    }

    #[test]
    fn numbers_beyond_127_bits_are_left_to_others() {
        let product = expr(ExprKind::Multiply(Box::new(column(0)), Box::new(column(1))));
        let row = [Literal::Number(i128::MAX), Literal::Number(2)];
        assert_eq!(value(&product, &row), Err(Beyond));
        assert_eq!(
            value(&product, &[Literal::Number(-3), Literal::Number(5)]),
            Ok(Literal::Number(-15))
        );
        assert_eq!(value(&product, &[Literal::Null, Literal::Number(5)]), Ok(Literal::Null));
        assert_eq!(value(&column(7), &row), Err(Beyond));
    }

    #[test]
    fn quotients_round_as_asked() {
        assert_eq!(quotient(7, 2, 0, Rounding::Truncate), Some(3));
        assert_eq!(quotient(-7, 2, 0, Rounding::Nearest), Some(-4));
        assert_eq!(quotient(1, 4, 3, Rounding::Truncate), Some(2));
        assert_eq!(quotient(1, 0, 3, Rounding::Truncate), Some(0));
        assert_eq!(quotient(1, 3, 127, Rounding::Truncate), None);
    }
}
