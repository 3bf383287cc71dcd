//! `generate`: manual pages and shell completions, from the same definition that reads the command line.

use std::{fs, io, path::Path};

use camera_service::error::{Error, Kind, Result};
use clap_complete::Shell;

/// The shells that completions are made for.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// Writes the manual pages of `command` and its subcommands into `folder/man`, and completions into `folder/bash`, `zsh` and
/// `fish`, under the names by which each is found. Blocks on the disk. Error: a folder or file cannot be written.
pub fn run(mut command: clap::Command, folder: &Path) -> Result<()> {
    let make = |name: &str| {
        let inner = folder.join(name);
        fs::create_dir_all(&inner).map(|()| inner).map_err(|error| failed(folder, error))
    };
    // Before completions, which give every command its `help`.
    let pages = make("man")?;
    clap_mangen::generate_to(without_help(command.clone()), &pages).map_err(|error| failed(&pages, error))?;
    for shell in SHELLS {
        let folder = make(&shell.to_string())?;
        let file = clap_complete::generate_to(shell, &mut command, "camera-service", &folder);
        let file = file.map_err(|error| failed(&folder, error))?;
        if shell == Shell::Bash {
            // bash-completion looks for the command's own name.
            fs::rename(&file, folder.join("camera-service")).map_err(|error| failed(&file, error))?;
        }
    }
    Ok(())
}

/// Without the subcommands `help`: each would get a page for every command there is.
fn without_help(command: clap::Command) -> clap::Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}

fn failed(path: &Path, error: io::Error) -> Error {
    let message = format!("{} cannot be written", path.display());
    Error::with_source(Kind::Dependency { dependency: "disk".into() }, message, error)
}
