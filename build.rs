//! What is made before the crate: the code of Naptha's gRPC protocol. The embedded templates are part of the source
//! too: a new file among them needs a new build.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=templates");
    println!("cargo::rerun-if-changed=proto");
    // Parsed in Rust, so that no protoc is needed.
    let protocol = protox::compile(["naptha.proto"], ["proto"])?;
    tonic_prost_build::configure().build_client(false).compile_fds(protocol)?;
    Ok(())
}
