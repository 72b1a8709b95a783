//! Names that PostgreSQL has and DataFusion does not, written as DataFusion knows them.

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    ObjectName, ObjectNamePart, Query, VisitMut, VisitorMut,
};
use std::ops::ControlFlow;

/// Functions under another name.
const SYNONYMS: [(&str, &str); 6] = [
    ("sign", "signum"),
    ("ceiling", "ceil"),
    ("every", "bool_and"),
    ("variance", "var_samp"),
    ("pow", "power"),
    ("variance_samp", "var_samp"),
];

/// Rewrites a whole query in place.
pub(super) fn rewrite(query: &mut Query) {
    let _ = query.visit(&mut Rewriter);
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr {
            if let Some(name) = plain_name(function) {
                if let Some((_, other)) = SYNONYMS.iter().find(|(own, _)| *own == name) {
                    let part = ObjectNamePart::Identifier(Ident::new(*other));
                    function.name = ObjectName(vec![part]);
                } else if name == "mod"
                    && let Some([x, y]) = two_arguments(function)
                {
                    let nested = |e: &Expr| Box::new(Expr::Nested(Box::new(e.clone())));
                    let op = BinaryOperator::Modulo;
                    let remainder = Expr::BinaryOp { left: nested(x), op, right: nested(y) };
                    *expr = Expr::Nested(Box::new(remainder));
                }
            }
        }
        ControlFlow::Continue(())
    }
}

fn plain_name(function: &Function) -> Option<String> {
    match function.name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] if ident.quote_style.is_none() => {
            Some(ident.value.to_lowercase())
        }
        _ => None,
    }
}

fn two_arguments(function: &Function) -> Option<[&Expr; 2]> {
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.as_slice() {
        [
            FunctionArg::Unnamed(FunctionArgExpr::Expr(x)),
            FunctionArg::Unnamed(FunctionArgExpr::Expr(y)),
        ] => Some([x, y]),
        _ => None,
    }
}
