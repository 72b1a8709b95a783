//! `trined`: the node of one party. See [`trine_node::command`].

fn main() -> std::process::ExitCode {
    trine_node::command::main()
}
