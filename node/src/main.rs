//! `trined`: the node of one party. See [`trine_node::command`].

/// Columns come and go by the megabyte, and plans by the thousand small pieces: this allocator keeps
/// the pages of the first and is quick with the second.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    trine_node::command::main()
}
