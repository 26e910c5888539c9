//! The embedded templates are part of the source: a new file among them needs a new build.

fn main() {
    #[expect(clippy::print_stdout, reason = "this is how a build script speaks to Cargo")]
    {
        println!("cargo::rerun-if-changed=templates");
    }
}
