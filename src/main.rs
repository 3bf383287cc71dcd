//! The command line: flags and subcommands, logging, configuration, exit codes.
//!
//! Exit codes are those of `sysexits.h`, so that a unit file can tell a mistake in the configuration (78, no use in
//! restarting) from a failure (1).

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cli::Cli::parse().run()
}
