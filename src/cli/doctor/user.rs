//! The service's user: whether there is one, and what it may do, tried as that user.
//!
//! Linux keeps user and groups for each thread (credentials(7); libraries make it the process). So one thread of a doctor
//! that root started becomes the service's user, for good, and what it does is judged by the kernel as for the service: modes,
//! groups, access lists, read-only mounts.

use std::{ffi::CString, path::PathBuf, thread};

use camera_service::config::Config;
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use rustix::{
    process::{getegid, geteuid, getgroups},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

use super::{case::Case, finding::Finding};

/// The groups that own cameras, and graphics and its encoders.
const CAMERAS: &str = "video";
const GRAPHICS: &str = "render";

/// Who the service is.
#[derive(Clone, Debug)]
pub struct ServiceUser {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// Its first group.
    pub gid: u32,
    /// All its groups.
    pub groups: Vec<u32>,
    /// Its home.
    pub home: PathBuf,
}

impl ServiceUser {
    /// Who asks.
    pub fn current() -> Self {
        let uid = geteuid().as_raw();
        let named = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let groups = getgroups().unwrap_or_default().iter().map(|group| group.as_raw()).collect();
        let (name, home) = named.map(|user| (user.name, user.dir)).unwrap_or_else(|| (uid.to_string(), "/".into()));
        Self { name, uid, gid: getegid().as_raw(), groups, home }
    }

    /// The user of this name or number, with the group and the groups that its unit adds.
    /// Error: there is no such user or group, for people.
    pub fn named(name: &str, group: Option<&str>, more: &[String]) -> Result<Self, String> {
        let found = match name.parse() {
            Ok(number) => User::from_uid(Uid::from_raw(number)),
            Err(_) => User::from_name(name),
        };
        let user = found.ok().flatten().ok_or_else(|| format!("there is no user {name}"))?;
        let gid = group.map(group_number).transpose()?.unwrap_or(user.gid.as_raw());
        let known = CString::new(user.name.as_str()).map_err(|error| error.to_string())?;
        let groups = getgrouplist(&known, Gid::from_raw(gid)).map_err(|error| error.to_string())?;
        let mut groups: Vec<u32> = groups.iter().map(|group| group.as_raw()).collect();
        for group in more {
            groups.push(group_number(group)?);
        }
        Ok(Self { name: user.name, uid: user.uid.as_raw(), gid, groups, home: user.dir })
    }

    fn is_in(&self, group: &str) -> Option<bool> {
        let number = Group::from_name(group).ok().flatten()?.gid.as_raw();
        Some(self.gid == number || self.groups.contains(&number))
    }
}

fn group_number(name: &str) -> Result<u32, String> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let group = Group::from_name(name).ok().flatten().ok_or_else(|| format!("there is no group {name}"))?;
    Ok(group.gid.as_raw())
}

/// The name of a user's number.
pub fn name_of(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| format!("user {uid}"), |user| user.name)
}

impl Case {
    /// The service's user, where that is somebody else than who asks.
    pub fn other_user(&self) -> Option<&ServiceUser> {
        self.user.as_ref().ok().filter(|user| user.uid != geteuid().as_raw())
    }

    /// What `work` gives when the service's user does it. Error: why nobody can do it as that user here.
    pub fn as_service<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, String> {
        let user = self.user.as_ref().map_err(|reason| format!("{reason}; that comes first"))?;
        if geteuid().as_raw() == user.uid {
            return Ok(work());
        }
        if !geteuid().is_root() {
            return Err(format!("run as root: this has to be tried as {}", user.name));
        }
        thread::scope(|scope| {
            let doing = scope.spawn(|| become_user(user).map(|()| work()));
            doing.join().unwrap_or_else(|_| Err("the check panicked".to_owned()))
        })
    }
}

/// Makes this thread the user's.
fn become_user(user: &ServiceUser) -> Result<(), String> {
    use rustix::process::{Gid, Uid};
    let groups: Vec<Gid> = user.groups.iter().map(|&group| Gid::from_raw(group)).collect();
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    set_thread_groups(&groups)
        .and_then(|()| set_thread_res_gid(gid, gid, gid))
        .and_then(|()| set_thread_res_uid(uid, uid, uid))
        .map_err(|error| format!("cannot become {}: {error}", user.name))
}

/// The checks.
pub fn look(case: &Case) -> Vec<Finding> {
    let user = match &case.user {
        Ok(user) => user,
        Err(reason) => {
            let fix = "make it (sudo systemd-sysusers, or sudo useradd --system --groups video NAME), or name another in \
                       the unit (User=)";
            return vec![Finding::fail("user.exists", reason.clone(), fix)];
        }
    };
    let mut found = vec![match user.uid {
        0 => Finding::warn(
            "user.exists",
            "the service runs as root",
            "give it a user of its own: User= in the unit, or --user NAME to look as that one",
        ),
        uid => Finding::ok("user.exists", format!("{} (uid {uid})", user.name)),
    }];
    if user.uid == 0 {
        return found;
    }
    let fix = |group| format!("sudo usermod -aG {group} {}; or SupplementaryGroups={group} in the unit", user.name);
    found.push(match user.is_in(CAMERAS) {
        Some(true) => Finding::ok("user.video", format!("{} is in the group {CAMERAS}, which owns cameras", user.name)),
        Some(false) => Finding::fail(
            "user.video",
            format!("{} is not in the group {CAMERAS}, which owns cameras", user.name),
            fix(CAMERAS),
        ),
        None => {
            Finding::warn("user.video", "there is no group video: udev gives cameras to it", "sudo groupadd -r video")
        }
    });
    found.push(match user.is_in(GRAPHICS) {
        Some(true) => Finding::ok("user.render", format!("{} is in the group {GRAPHICS}", user.name)),
        Some(false) if !wants_graphics(case.config()) => Finding::ok(
            "user.render",
            format!("not in the group {GRAPHICS}, and no encoder of a graphics card is configured"),
        ),
        Some(false) => Finding::warn(
            "user.render",
            format!("{} is not in the group {GRAPHICS}: encoders of Intel and AMD graphics do not work", user.name),
            fix(GRAPHICS),
        ),
        None => Finding::ok("user.render", "there is no group render, and so no graphics card that encodes"),
    });
    found
}

fn wants_graphics(config: Option<&Config>) -> bool {
    use camera_service::config::EncoderKind::{VaH264, VaapiH264};
    config.is_none_or(|config| config.encoder.order.iter().any(|kind| matches!(kind, VaH264 | VaapiH264)))
}
