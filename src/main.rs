//! The binary: see `camera-service --help`.

fn main() {}
