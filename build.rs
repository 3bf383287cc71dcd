//! The launch files are part of the binary; cargo does not know that by itself.

fn main() {
    println!("cargo::rerun-if-changed=pipelines");
}
