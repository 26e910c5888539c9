//! The embedded templates are part of the source: a new file among them needs a new build.

fn main() {
    println!("cargo::rerun-if-changed=templates");
}
