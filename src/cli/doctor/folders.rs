//! The folders that are written to: whether they are there or can be made, by the service's user, and have room.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use camera_service::{
    config::{self, Storage},
    output::storage,
};
use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::{
    PATIENCE,
    case::Case,
    finding::{Finding, Status},
    user::{ServiceUser, name_of},
    within,
};

/// The checks.
pub fn look(case: &Case) -> Vec<Finding> {
    let Ok(examined) = &case.examined else {
        return vec![Finding::skipped("folders", "the configuration cannot be read; that comes first")];
    };
    let user = match &case.user {
        Ok(user) => user,
        Err(reason) => return vec![Finding::skipped("folders", format!("{reason}; that comes first"))],
    };
    let one = |(key, folder): &(String, PathBuf)| folder_of(case, user, key, folder);
    let mut found: Vec<Finding> = examined.folders.iter().map(one).collect();
    // Of the folders of recordings one is enough.
    let recordings: Vec<Finding> = examined.recordings.iter().map(one).collect();
    let enough = recordings.iter().any(|finding| finding.status < Status::Fail);
    found.extend(recordings.into_iter().map(|finding| if enough { finding.softened() } else { finding }));
    found.extend(left_by_others(case, user, &examined.config.state_directory));
    let storage = &examined.config.storage;
    let room = |(key, folder): &(String, PathBuf)| room(key, folder, storage);
    found.extend(examined.folders.iter().chain(&examined.recordings).map(room));
    found
}

/// Whether the service's user can write to `folder`, or make it.
fn folder_of(case: &Case, user: &ServiceUser, key: &str, folder: &Path) -> Finding {
    let (check, path) = (format!("folders.{key}"), folder.display());
    let asked = folder.to_owned();
    let tried = case.as_service(|| within(PATIENCE, move || config::writable(&asked).map(|()| asked.metadata().ok())));
    match tried {
        Err(why) => Finding::skipped(check, why),
        Ok(None) => Finding::fail(check, format!("{path}: the disk does not answer"), "mount it anew, and see dmesg"),
        Ok(Some(Err(why))) => {
            let fix = format!("sudo install -d -o {} -g {} {path}", user.name, user.gid);
            Finding::fail(check, format!("{path}: {why}, as {}", user.name), fix)
        }
        Ok(Some(Ok(None))) => Finding::ok(check, format!("{path} is not there yet; the service makes it")),
        Ok(Some(Ok(Some(metadata)))) if metadata.mode() & 0o002 != 0 => {
            Finding::warn(check, format!("{path} can be written to by everybody"), format!("sudo chmod o-w {path}"))
        }
        Ok(Some(Ok(Some(metadata)))) if metadata.uid() != user.uid && user.uid != 0 => Finding::warn(
            check,
            format!("{path} can be written to by {}, but belongs to {}", user.name, name_of(metadata.uid())),
            format!("sudo chown -R {}: {path}", user.name),
        ),
        Ok(Some(Ok(Some(_)))) => Finding::ok(check, format!("{path} can be written to by {}", user.name)),
    }
}

/// Whether the service can use what stands in the state directory: a command that root ran may have made a file there.
fn left_by_others(case: &Case, user: &ServiceUser, folder: &Path) -> Option<Finding> {
    const CHECK: &str = "folders.state_files";
    let asked = folder.to_owned();
    let closed = move || -> Option<Vec<String>> {
        let files = fs::read_dir(&asked).ok()?.flatten().map(|entry| entry.path()).filter(|path| path.is_file());
        let is_closed =
            |path: &PathBuf| accessat(CWD, path, Access::READ_OK | Access::WRITE_OK, AtFlags::EACCESS).is_err();
        Some(files.filter(is_closed).map(|path| path.display().to_string()).collect())
    };
    match case.as_service(|| within(PATIENCE, closed)) {
        Ok(Some(Some(closed))) if closed.is_empty() => {
            Some(Finding::ok(CHECK, format!("{} can use every file in the state directory", user.name)))
        }
        Ok(Some(Some(closed))) => Some(Finding::fail(
            CHECK,
            format!("{} can not use {}", user.name, closed.join(", ")),
            format!("sudo chown {}: {}", user.name, closed.join(" ")),
        )),
        // The folder itself was looked at already.
        Ok(_) | Err(_) => None,
    }
}

/// The room on the disk of `folder`, or of where it will be made.
fn room(key: &str, folder: &Path, storage: &Storage) -> Finding {
    let check = format!("room.{key}");
    let asked = folder.to_owned();
    let space = within(PATIENCE, move || asked.ancestors().find(|part| part.is_dir()).map(storage::space));
    let (warn, block) = (f64::from(storage.warn_percent), f64::from(storage.block_percent));
    let fix = "delete files, set a retention_policy, or name a folder on a larger disk";
    match space {
        Some(Some(Ok(space))) => {
            let used = space.percent_used();
            let free = space.available as f64 / 1e9;
            let message = format!("{used:.0} % of the disk of {} are in use, {free:.1} GB are free", folder.display());
            match used {
                used if used >= block => {
                    Finding::fail(check, format!("{message}: nothing is recorded (storage.block_percent {block})"), fix)
                }
                used if used >= warn => Finding::warn(check, format!("{message} (storage.warn_percent {warn})"), fix),
                _ => Finding::ok(check, message),
            }
        }
        Some(Some(Err(error))) => Finding::fail(check, error.chain(), fix),
        Some(None) | None => Finding::skipped(check, format!("the disk of {} does not answer", folder.display())),
    }
}
