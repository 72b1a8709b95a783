//! Functions, IN and LIKE: over one ENUM column anything that folds, else a short list.

use super::build;
use super::literals;
use super::numbers::scale;
use super::scalar::{Scope, choose, defect};
use super::{Planner, dictionary};
use crate::plan::{Compare, Expr, Literal};
use crate::types::Type;
use datafusion_expr::Expr as Logical;
use datafusion_expr::expr::{InList, Like};
use std::collections::BTreeSet;
use trine_proto::status::SqlError;

type Built = Result<Expr, SqlError>;

/// Values of a number up to which IN becomes a table.
const IN_TABLE_MAX: i128 = 4096;

impl Planner<'_> {
    /// A function of one ENUM column, evaluated on the labels.
    pub(super) fn by_dictionary(&self, expr: &Logical, scope: &Scope<'_>) -> Option<Built> {
        let column = dictionary::only_column(expr)?;
        let index = scope.schema.maybe_index_of_column(&column)?;
        let argument = build::column(index, scope.fields.get(index)?);
        dictionary::evaluate(expr, &column, argument).map(Ok)
    }

    pub(super) fn in_list(&self, list: &InList, scope: &Scope<'_>) -> Built {
        let argument = self.exact(&list.expr, scope)?;
        let mut entries = Vec::with_capacity(list.list.len());
        for entry in &list.list {
            entries.push(self.exact(entry, scope)?);
        }
        let has_null = entries.iter().any(build::is_null_literal);
        entries.retain(|e| !build::is_null_literal(e));
        let found = match self.in_table(&argument, &entries)? {
            Some(found) => found,
            None => {
                let mut equals = Vec::with_capacity(entries.len());
                for entry in entries {
                    equals.push(dictionary::compare(Compare::Eq, argument.clone(), entry)?);
                }
                build::or(equals)
            }
        };
        let found =
            if has_null { build::or(vec![found, build::null(Type::Boolean)]) } else { found };
        Ok(if list.negated { build::not(found) } else { found })
    }

    /// IN over an ENUM or a narrow number: one public table instead of an equality per entry.
    fn in_table(&self, argument: &Expr, entries: &[Expr]) -> Result<Option<Expr>, SqlError> {
        if dictionary::labels(argument).is_some() {
            let mut wanted = BTreeSet::new();
            for entry in entries {
                let Some(Literal::Text(bytes)) = build::literal(entry) else { return Ok(None) };
                wanted.insert(String::from_utf8_lossy(bytes).into_owned());
            }
            return Ok(Some(dictionary::in_list(argument.clone(), &wanted)));
        }
        let Type::Number { kind, low, high } = &argument.ty else { return Ok(None) };
        if entries.len() < 2 || high - low >= IN_TABLE_MAX {
            return Ok(None);
        }
        let mut wanted = BTreeSet::new();
        for entry in entries {
            let (Some(Literal::Number(v)), Type::Number { kind: own, .. }) =
                (build::literal(entry), &entry.ty)
            else {
                return Ok(None);
            };
            if scale(own) != scale(kind) {
                return Ok(None);
            }
            wanted.insert(*v);
        }
        let table = (*low..=*high).map(|v| Literal::Boolean(wanted.contains(&v))).collect();
        Ok(Some(build::lookup(argument.clone(), table, Type::Boolean)))
    }

    /// LIKE over labels is a table; over VARCHAR a pattern `prefix%` is a range.
    pub(super) fn like(&self, expr: &Logical, like: &Like, scope: &Scope<'_>) -> Built {
        if let Some(found) = self.by_dictionary(expr, scope) {
            return found;
        }
        let argument = self.scalar(&like.expr, scope)?;
        let refuse = || {
            self.unsupported(
                expr,
                "LIKE is supported on ENUM columns, and as 'prefix%' on VARCHAR",
                "declare the column as an ENUM, or compare with = or a prefix",
            )
        };
        let Logical::Literal(pattern, _) = like.pattern.as_ref() else { return Err(refuse()) };
        let prefix = literals::like_prefix(pattern, like.escape_char).ok_or_else(refuse)?;
        if like.case_insensitive || !matches!(argument.ty, Type::Text { .. }) {
            return Err(refuse());
        }
        let above = build::compare(Compare::Ge, argument.clone(), build::text(&prefix))?;
        let within = match literals::successor(&prefix) {
            Some(next) => {
                build::and(vec![above, build::compare(Compare::Lt, argument, build::text(&next))?])
            }
            None => above,
        };
        Ok(if like.negated { build::not(within) } else { within })
    }

    pub(super) fn call(
        &self,
        expr: &Logical,
        name: &str,
        args: &[Logical],
        scope: &Scope<'_>,
    ) -> Built {
        match (name, args) {
            ("coalesce", [_, ..]) => build::bind(self.all(args, scope)?, |values| {
                let conditions = values[..values.len() - 1]
                    .iter()
                    .map(|v| build::not(build::is_null(v.clone())))
                    .collect();
                choose(conditions, values.to_vec())
            }),
            ("nullif", [x, y]) => {
                build::bind(vec![self.scalar(x, scope)?, self.exact(y, scope)?], |values| {
                    let [x, y] = values else { return Err(defect("no argument".into())) };
                    let equal = dictionary::compare(Compare::Eq, x.clone(), y.clone())?;
                    choose(vec![equal], vec![build::null(x.ty.clone()), x.clone()])
                })
                .map_err(|e| self.put(e, x))
            }
            ("greatest" | "least", [_, ..]) => {
                self.extreme(self.all(args, scope)?, name == "greatest")
            }
            _ => self
                .math(name, args, scope)
                .or_else(|| self.by_dictionary(expr, scope))
                .unwrap_or_else(|| {
                    Err(self.unsupported(
                    expr,
                    format!("function {name} is not supported on secret values"),
                    "functions over one ENUM column are; so are abs, round, trunc, floor, ceil, \
                     power with a small constant, extract, coalesce, nullif, greatest and least",
                )
                .at(self.word(name)))
                }),
        }
    }

    /// GREATEST and LEAST ignore NULL, as in PostgreSQL.
    fn extreme(&self, values: Vec<Expr>, greatest: bool) -> Built {
        let op = if greatest { Compare::Ge } else { Compare::Le };
        let mut values = dictionary::harmonise(values).into_iter();
        let Some(mut best) = values.next() else {
            return Err(defect("no argument".into()));
        };
        for value in values {
            best = build::bind(vec![best, value], |pair| {
                let [best, value] = pair else { return Err(defect("no argument".into())) };
                let better = dictionary::compare(op, best.clone(), value.clone())?;
                let keep = build::or(vec![better, build::is_null(value.clone())]);
                choose(vec![keep], vec![best.clone(), value.clone()])
            })?;
        }
        Ok(best)
    }
}
