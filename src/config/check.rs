//! Checks that look at more than one key, or at the machine. Nothing is changed: folders are only looked at.

use std::path::{Path, PathBuf};

use rustix::{
    fs::{Access, AtFlags, CWD, accessat},
    io::Errno,
};

use super::{
    problem::{Diagnostic, Place},
    section::{Findings, Setting},
};

/// No port may be used twice. Port 0 is any free one and never clashes.
pub(super) fn ports(findings: &mut Findings) {
    let mut ports: Vec<_> = findings.ports.iter().filter(|port| port.value != 0).collect();
    // Defaults last: what a person wrote is what they can change, but it is their second mention that is surprising.
    ports.sort_by(|a, b| (a.place == Place::Default).cmp(&(b.place == Place::Default)).then(a.place.cmp(&b.place)));
    for (index, port) in ports.iter().enumerate() {
        let Some(first) = ports[..index].iter().find(|other| other.value == port.value) else { continue };
        let (at, other) = if port.place == Place::Default { (first, port) } else { (port, first) };
        let message = format!("port {} is used twice", at.value);
        let valid = format!("a port other than that of {} ({})", other.key, other.place);
        findings.problems.push(Diagnostic::new(&at.place, &at.key, message).found(at.value.to_string()).valid(valid));
    }
}

/// Every folder that is written to must be writable, or its nearest existing parent, so that it can be made.
pub(super) fn folders(folders: &[Setting<PathBuf>], problems: &mut Vec<Diagnostic>) {
    problems.extend(folders.iter().filter_map(|folder| refusal(folder, "")));
}

/// Of the folders of recordings one is enough where there are two: the other one is warned of, and used when it works.
pub(super) fn recordings(folders: &[Setting<PathBuf>], problems: &mut Vec<Diagnostic>, warnings: &mut Vec<Diagnostic>) {
    let way_out = if folders.len() < 2 { "; or a second folder, as storage.fallback_path" } else { "" };
    let refused: Vec<_> = folders.iter().filter_map(|folder| refusal(folder, way_out)).collect();
    if refused.len() < folders.len() { warnings.extend(refused) } else { problems.extend(refused) }
}

/// What is to be said of a folder that cannot be written to.
fn refusal(folder: &Setting<PathBuf>, way_out: &str) -> Option<Diagnostic> {
    let message = writable(&folder.value).err()?;
    let path = folder.value.display();
    let valid = format!(
        "a folder that this user can write to; to make it one: sudo install -d -o {} {path}{way_out}",
        rustix::process::geteuid().as_raw()
    );
    Some(Diagnostic::new(&folder.place, &folder.key, message).found(format!("\"{path}\"")).valid(valid))
}

/// Every file that is read at the start must be there, and readable.
pub(super) fn files(files: &[Setting<PathBuf>], problems: &mut Vec<Diagnostic>) {
    for file in files {
        let path = file.value.display();
        let message = match file.value.metadata() {
            Ok(metadata) if !metadata.is_file() => "is not a file".to_owned(),
            Ok(_) => match accessat(CWD, &file.value, Access::READ_OK, AtFlags::EACCESS) {
                Ok(()) => continue,
                Err(error) => format!("cannot be read ({error})"),
            },
            Err(error) => format!("cannot be read ({})", error.kind()),
        };
        let problem = Diagnostic::new(&file.place, &file.key, message);
        problems.push(problem.found(format!("\"{path}\"")).valid("a file that this user can read"));
    }
}

/// Whether files can be made in `folder`, after making the folder itself if need be. The error says why not.
pub fn writable(folder: &Path) -> Result<(), String> {
    let parts = folder.ancestors().map(|part| if part.as_os_str().is_empty() { Path::new(".") } else { part });
    for part in parts {
        match part.metadata() {
            Ok(metadata) if !metadata.is_dir() && part == folder => return Err("is not a folder".into()),
            Ok(metadata) if !metadata.is_dir() => {
                return Err(format!("cannot be made: {} is not a folder", part.display()));
            }
            Ok(_) => {
                let access = accessat(CWD, part, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS);
                return access.map_err(|error| match (part == folder, error) {
                    (true, Errno::ROFS) => format!("is read-only here{}", unit(folder)),
                    (true, _) => format!("cannot be written to ({error})"),
                    (false, Errno::ROFS) => {
                        format!("does not exist, and {} is read-only here: make it{}", part.display(), unit(folder))
                    }
                    (false, _) => format!("does not exist and cannot be made in {} ({error})", part.display()),
                });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("cannot be looked at: {error}")),
        }
    }
    Err("has no folder above it".into())
}

/// Why a disk that others write to may be read-only here, and the way out.
fn unit(folder: &Path) -> String {
    format!(
        "; a service of systemd's writes only where its unit says: sudo systemctl edit camera-service, and the lines \
         [Service] and ReadWritePaths={}",
        folder.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_can_be_missing_but_not_a_file() {
        let base = tempfile::tempdir().unwrap();
        assert_eq!(writable(base.path()), Ok(()));
        assert_eq!(writable(&base.path().join("a/b/c")), Ok(()));
        let file = base.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(writable(&file), Err("is not a folder".into()));
        assert!(writable(&file.join("a")).unwrap_err().starts_with("cannot be made"));
        assert!(!base.path().join("a").exists(), "a check makes nothing");
    }
}
