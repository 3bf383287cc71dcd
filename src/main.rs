//! The command line: flags and subcommands, logging, configuration, exit codes.
//!
//! Exit codes are those of `sysexits.h`, so that a unit file can tell a mistake in the configuration (78, no use in
//! restarting) from a failure (1).

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    close_devices_for_good();
    cli.run()
}

/// Has `v4l2src` wait for its buffers when it stops, instead of leaving them to the kernel.
///
/// On the second way GStreamer 1.22.0 (Debian 12) loses a reference to its buffer pool (`gst_v4l2_object_stop`), and with it
/// five file descriptors for each run, one of them the device: a camera that was unplugged would keep its number.
/// `docs/decisions/0003-v4l2src-drains.md` has the story.
#[allow(unsafe_code, reason = "GStreamer takes this setting from the environment only")]
fn close_devices_for_good() {
    // SAFETY: the process has one thread still, so nobody reads the environment meanwhile.
    unsafe { std::env::set_var("GST_V4L2_FORCE_DRAIN", "1") };
}
