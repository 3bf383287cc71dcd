//! `recordPath`: the folder that a path is recorded in.
//!
//! The folder is gone by, up to the first part of it that has a time in it; the files in it have the names of this
//! service, so that they are found, listed and deleted like all others. A folder has to be absolute, and one that was set
//! over the API to be allowed: by default everybody on the machine may use the API, and what ends like a recording in
//! such a folder is handed out and deleted like one.

use std::{
    path::{Component, Path, PathBuf},
    sync::PoisonError,
};

use super::apply::is_plain;
use crate::{command::Gateway, mtx::Set, path::OwnFolder};

const KEY: &str = "recordPath";
/// Variables of the template that are times.
const TIMES: [&str; 9] = ["%Y", "%m", "%d", "%H", "%M", "%S", "%f", "%s", "%z"];
/// Templates of which it is said that they are not gone by.
const TOLD: usize = 1000;

/// The folder of a template for the path `name`. `None`: it is not absolute, or leads up again.
fn folder(template: &str, name: &str) -> Option<PathBuf> {
    let has_time = |part: &Component<'_>| {
        let text = part.as_os_str().to_string_lossy();
        TIMES.iter().any(|time| text.contains(time))
    };
    let parts: Vec<_> = Path::new(template).parent()?.components().take_while(|part| !has_time(part)).collect();
    let plain = parts.iter().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let folder: PathBuf = parts.iter().collect();
    (plain && folder.is_absolute()).then(|| folder.to_string_lossy().replace("%path", name).into())
}

/// The folder that the recordings of a path shall go to. `None`: the one of all.
fn wanted(gateway: &Gateway, name: &str, path: &Set) -> Option<PathBuf> {
    let template = path.text(KEY);
    // An expression is no path, and its name no folder's.
    if !is_plain(name) && template.contains("%path") {
        return None;
    }
    let refusal = match folder(template, name) {
        Some(folder) if is_allowed(gateway, name, template, &folder) => return Some(folder),
        Some(_) => "was set over the API and is not below one of mediamtx.record_folders",
        // MediaMTX's default, which is this service's folder.
        None if template.starts_with("./recordings/") => return None,
        None => "is not absolute",
    };
    let mut told = gateway.engine.told.lock().unwrap_or_else(PoisonError::into_inner);
    if told.len() < TOLD && told.insert(format!("{KEY} {template}")) {
        tracing::warn!(path = name, template, "recordPath {refusal}: recordings go to mediamtx.recordings_path");
    }
    None
}

/// Whether it is in the file, or leads where the configuration lets it lead.
fn is_allowed(gateway: &Gateway, name: &str, template: &str, folder: &Path) -> bool {
    let in_file = gateway.engine.in_file().is_some_and(|conf| {
        let entry = conf.find(name).ok().and_then(|found| conf.path(&found.conf_name));
        [entry, Some(conf.path_defaults())].into_iter().flatten().any(|set| set.text(KEY) == template)
    });
    in_file || gateway.engine.record_folders.iter().any(|allowed| folder.starts_with(allowed))
}

/// Makes the folder of a path known, so that what is in it is listed, also while nothing is recorded, and says which it
/// is. `None`: the one of all, also where the one that was asked for cannot be used. Where it could not be used before, it
/// is only tried `again` if that is said.
pub(super) async fn place(gateway: &Gateway, name: &str, path: &Set, again: bool) -> Option<OwnFolder> {
    let wanted = wanted(gateway, name, path)?;
    let taken = async {
        let own = gateway.paths.take_folder(&wanted, again).await?;
        let real = own.and_then(|own| gateway.folders.own.path(own));
        real.map_or(Ok(()), |real| gateway.indexes.take(&real)).map(|()| own)
    };
    taken.await.unwrap_or_else(|error| {
        tracing::error!(
            path = name,
            "recordPath cannot be used: {}; recordings go to the folder of all",
            error.chain()
        );
        None
    })
}

/// Where the recordings of a path go that somebody asks for.
pub(in crate::command) fn known_place(gateway: &Gateway, name: &str) -> Option<OwnFolder> {
    let conf = super::config::present(gateway);
    let path = conf.find(name).ok().and_then(|found| conf.path(&found.conf_name))?;
    wanted(gateway, name, &path).and_then(|folder| gateway.folders.own.find(&folder)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_what_stands_before_the_first_time() {
        for (template, expected) in [
            ("/srv/%path/%Y-%m-%d_%H-%M-%S-%f", Some("/srv/far/gate")),
            ("/srv/%Y/%path/%m-%d_%H-%M-%S-%f", Some("/srv")),
            ("/srv/rec/%path_%s%f", Some("/srv/rec")),
            ("/%path%s%f", Some("/")),
            ("./recordings/%path/%s%f", None),
            ("srv/%path/%s%f", None),
            ("/srv/../etc/%path/%s%f", None),
        ] {
            assert_eq!(folder(template, "far/gate"), expected.map(PathBuf::from), "{template}");
        }
    }
}
