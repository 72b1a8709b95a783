//! Walks over a syntax tree that end at their first error.

use std::ops::ControlFlow;
use trine_proto::status::SqlError;

/// What a step of such a walk says.
pub(super) type Flow = ControlFlow<Box<SqlError>>;

/// What the whole walk came to.
pub(super) fn finished(flow: Flow) -> Result<(), SqlError> {
    match flow {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Puts what was found, if anything, in the place of a node.
pub(super) fn replace<T>(place: &mut T, found: Result<Option<T>, SqlError>) -> Flow {
    match found {
        Ok(Some(other)) => {
            *place = other;
            ControlFlow::Continue(())
        }
        Ok(None) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(Box::new(error)),
    }
}
