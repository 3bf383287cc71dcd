//! Whose files are whose: names of cameras and paths, and their spellings in names of files.
//!
//! What this version makes says it by itself. A file of an earlier one may be of several names ([`spelling::is_old`]): it is
//! the only one's that there is an entry for, by its name or by an expression, and nobody's where there are more.

use std::collections::{BTreeMap, BTreeSet};

use super::{apply::is_plain, config::present};
use crate::{
    command::Gateway,
    mtx::Conf,
    output::storage::{NamePattern, spelling},
};

/// Characters of a name that earlier versions may have spelled `_`.
const ALIKE: [char; 3] = ['_', '/', '.'];

/// So many `_` are tried as each of them.
const TRIED: usize = 4;

/// The names there are now.
pub(in crate::command) struct Whose {
    pattern: NamePattern,
    conf: Conf,
    /// Names by their spelling.
    spelled: BTreeMap<String, String>,
    /// The same for spellings of earlier versions that several names may have.
    old: BTreeMap<String, BTreeSet<String>>,
    has_expressions: bool,
}

impl Whose {
    /// As the configuration says now, and what streams.
    pub fn new(gateway: &Gateway) -> Self {
        let (conf, pattern) = (present(gateway), gateway.folders.pattern.clone());
        let (plain, expressions): (Vec<_>, Vec<_>) = conf.names().cloned().partition(|name| is_plain(name));
        let (mut spelled, mut old) = (BTreeMap::new(), BTreeMap::<_, BTreeSet<_>>::new());
        for name in plain.into_iter().chain(gateway.paths.list().into_iter().map(|path| path.name)) {
            let before = spelling::old(&name);
            if spelling::is_old(&before) {
                old.entry(before).or_default().insert(name.clone());
            }
            spelled.insert(pattern.spelled(&name), name);
        }
        Self { pattern, conf, spelled, old, has_expressions: !expressions.is_empty() }
    }

    /// The one whose files have this spelling of its name. `None`: that is not known, or there are several.
    pub fn of(&self, spelling: &str) -> Option<String> {
        match self.owners(spelling) {
            Owners::One(name) => Some(name),
            Owners::None | Owners::Several => None,
        }
    }

    /// The same for a list of files: what there is no owner of is told as it is spelled, and what there are several of as
    /// nobody's.
    pub fn shown(&self, spelling: &str) -> String {
        match self.owners(spelling) {
            Owners::One(name) => name,
            Owners::None => spelling.to_owned(),
            Owners::Several => String::new(),
        }
    }

    /// How the name of a camera or a path is spelled in the names of its files, and how in those of an earlier version that
    /// are its.
    pub fn spellings(&self, name: &str) -> (String, Option<String>) {
        let old = spelling::old(name);
        let is_its = spelling::is_old(&old) && self.of(&old).is_some_and(|owner| owner == name);
        (self.pattern.spelled(name), is_its.then_some(old))
    }

    /// The name that a path of this spelling has, where an entry stands for it.
    pub fn configured(&self, spelling: &str) -> Option<String> {
        self.of(spelling).filter(|name| self.conf.find(name).is_ok())
    }

    fn owners(&self, spelling: &str) -> Owners {
        if let Some(name) = self.spelled.get(spelling).cloned().or_else(|| spelling::read(spelling)) {
            return Owners::One(name);
        }
        if !spelling::is_old(spelling) {
            return Owners::None;
        }
        let mut owners = self.old.get(spelling).cloned().unwrap_or_default();
        if self.has_expressions {
            let Some(others) = alike(spelling) else { return Owners::Several };
            // An expression may mean more than could be told apart.
            let others = others.filter(|other| self.conf.find(other).is_ok());
            owners.extend(others.take(2));
        }
        match owners.pop_first() {
            None => Owners::None,
            Some(name) if owners.is_empty() => Owners::One(name),
            Some(_) => Owners::Several,
        }
    }
}

enum Owners {
    None,
    One(String),
    Several,
}

/// The names that may have had a spelling of an earlier version. `None`: too many.
fn alike(spelling: &str) -> Option<impl Iterator<Item = String>> {
    let unclear = spelling.matches('_').count();
    let total = u32::try_from(unclear).ok().and_then(|unclear| ALIKE.len().checked_pow(unclear))?;
    (unclear <= TRIED && spelling.len() < spelling::LONGEST_OLD).then(|| {
        (0..total).map(|mut number| {
            let mut letter = |letter| match letter {
                '_' => {
                    let place = number % ALIKE.len();
                    number /= ALIKE.len();
                    ALIKE[place]
                }
                letter => letter,
            };
            spelling.chars().map(&mut letter).collect()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_was_spelled_so_is_tried() {
        let names: BTreeSet<_> = alike("a_b_").unwrap().collect();
        assert_eq!(names.len(), 9);
        assert!(names.iter().all(|name| spelling::old(name) == "a_b_"), "{names:?}");
        assert!(alike("a_b_c_d_e_f").is_none() && alike(&"x".repeat(64)).is_none());
        assert_eq!(alike("plain").unwrap().collect::<Vec<_>>(), ["plain"]);
    }
}
