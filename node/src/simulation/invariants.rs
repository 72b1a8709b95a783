//! What must hold, a file each.

mod agreement;
mod attempts;
mod durability;
mod files;
mod liveness;
mod rows;
mod wholeness;

use super::world::World;

/// A sentence that says which promise was broken and how.
type Broken = String;

/// What must hold after every event.
pub(super) fn always(world: &mut World) -> Result<(), Broken> {
    agreement::always(world)?;
    attempts::always(world)?;
    rows::always(world)?;
    wholeness::always(world)?;
    durability::always(world)
}

/// What must hold when all faults have been healed for a while.
pub(super) fn healed(world: &mut World) -> Result<(), Broken> {
    liveness::healed(world)?;
    agreement::healed(world)?;
    files::healed(world)?;
    always(world)
}
