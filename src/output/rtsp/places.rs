//! What is mounted where: GStreamer's table of mounts, and ours.
//!
//! They change together, under the lock of ours, which is taken before that of the connections. A path that somebody has
//! announced a stream on has a mount as long as that connection is open, whatever comes and goes there meanwhile.

use std::{collections::HashMap, sync::Arc};

use gst_rtsp_server::{RTSPSession, prelude::*};

use super::{
    lock,
    mount::{Factory, Mount},
    server::{State, names},
};

impl State {
    pub(super) fn mount_of(&self, path: &str) -> Option<Arc<Mount>> {
        let path = path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path);
        lock(&self.mounts).get(path).cloned()
    }

    /// Mounts in place of what there is.
    pub(super) fn put(self: &Arc<Self>, mounts: &mut HashMap<String, Arc<Mount>>, mount: Mount) {
        let (path, mount) = (names(&mount.name).1, Arc::new(mount));
        self.points.add_factory(&path, Factory::new(self, &mount));
        mounts.insert(path, mount);
    }

    /// Mounts something for a publisher where nothing is. Called when its connection is known to have announced it.
    pub(super) fn hold_place(self: &Arc<Self>, name: &str) {
        let mut mounts = lock(&self.mounts);
        if !mounts.contains_key(&names(name).1) {
            self.put(&mut mounts, Mount::placeholder(name));
        }
    }

    /// Takes away a mount that was there for publishers if none of them is left.
    pub(super) fn forget_placeholder(&self, name: &str) {
        let (_, path) = names(name);
        let mut mounts = lock(&self.mounts);
        if mounts.get(&path).is_some_and(|there| there.is_placeholder) && !self.is_announced(name) {
            mounts.remove(&path);
            self.points.remove_factory(&path);
        }
    }

    /// The connections that have asked about a path last, and those that have a session for it and are no publishers: theirs
    /// is for what they have announced.
    pub(super) fn users_of(&self, name: &str) -> Vec<u64> {
        let (mut users, mut sessions) = (Vec::new(), Vec::new());
        for (id, known) in lock(&self.connections).iter() {
            if known.mount.upgrade().is_some_and(|asked| asked.name == name) {
                users.push(*id);
            } else if known.announced.as_deref() != Some(name) {
                let own = known.sessions.iter().filter(|own| own.path == name);
                sessions.extend(own.filter_map(|own| Some((*id, own.session.upgrade()?))));
            }
        }
        // One that is over may not be gone yet.
        let lasts = |session: &RTSPSession| session.sessionid().is_some_and(|id| self.sessions.find(&id).is_some());
        users.extend(sessions.iter().filter(|(_, session)| lasts(session)).map(|(id, _)| *id));
        users
    }

    /// Whether a connection that is open has announced a stream there.
    pub(super) fn is_announced(&self, name: &str) -> bool {
        lock(&self.connections).values().any(|known| known.announced.as_deref() == Some(name))
    }
}
