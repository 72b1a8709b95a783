//! Generates the gRPC code from the contract; nothing else. No protoc is needed (protox).

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = protox::compile(["trine/v1/trine.proto"], ["proto"])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    use protox::prost::Message as _;
    std::fs::write(out.join("trine_descriptor.bin"), files.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(files)?;
    println!("cargo::rerun-if-changed=proto");
    Ok(())
}
