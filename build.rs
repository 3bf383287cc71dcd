//! What cargo does not know by itself: the launch files are part of the binary, and so is the day it was built.

fn main() {
    println!("cargo::rerun-if-changed=pipelines");
    // Reproducible builds say when it is: https://reproducible-builds.org/docs/source-date-epoch/
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let told = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|seconds| seconds.parse().ok());
    let built = told.and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok());
    println!("cargo::rustc-env=BUILD_DATE={}", built.unwrap_or_else(time::OffsetDateTime::now_utc).date());
}
