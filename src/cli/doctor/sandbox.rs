//! What the unit's own walls leave open. A folder that everybody can write to in a shell may be read-only for a service
//! (systemd.exec(5), "Sandboxing").

use std::path::{Path, PathBuf};

use super::{case::Case, finding::Finding, unit::written, unit_file::Unit};

const CHECK: &str = "unit.sandbox";

/// The check.
pub fn look(case: &Case, unit: &Unit) -> Vec<Finding> {
    let Ok(examined) = &case.examined else { return Vec::new() };
    let walls = Walls::of(unit);
    let refused: Vec<Finding> = written(examined)
        .filter_map(|(key, folder)| {
            let wall = walls.before(folder)?;
            let folder = folder.display();
            let fix = format!("ReadWritePaths={folder} in the unit (sudo systemctl edit), or another folder in {key}");
            Some(Finding::fail(CHECK, format!("{key}: {wall} of the unit keeps the service from {folder}"), fix))
        })
        .collect();
    match refused.is_empty() {
        true => vec![Finding::ok(CHECK, "the unit lets the service write to every folder of the configuration")],
        false => refused,
    }
}

struct Walls {
    system: String,
    home: String,
    open: Vec<PathBuf>,
}

impl Walls {
    fn of(unit: &Unit) -> Self {
        let given = |key: &str| unit.last(key).unwrap_or("no").to_lowercase();
        let plain = |path: String| PathBuf::from(path.trim_start_matches(['-', '+']));
        let mut open: Vec<PathBuf> = unit.list("ReadWritePaths").into_iter().map(plain).collect();
        for (key, base) in [
            ("StateDirectory", "/var/lib"),
            ("CacheDirectory", "/var/cache"),
            ("LogsDirectory", "/var/log"),
            ("RuntimeDirectory", "/run"),
        ] {
            open.extend(unit.list(key).iter().map(|folder| Path::new(base).join(folder)));
        }
        if unit.is_on("PrivateTmp") {
            open.extend(["/tmp", "/var/tmp"].map(PathBuf::from));
        }
        Self { system: given("ProtectSystem"), home: given("ProtectHome"), open }
    }

    /// The setting that keeps the service from writing to `folder`.
    fn before(&self, folder: &Path) -> Option<&'static str> {
        if self.open.iter().any(|open| folder.starts_with(open)) {
            return None;
        }
        let below = |folders: &[&str]| folders.iter().any(|above| folder.starts_with(above));
        if self.home != "no" && self.home != "false" && below(&["/home", "/root", "/run/user"]) {
            return Some("ProtectHome=");
        }
        let closed = match self.system.as_str() {
            "strict" => !below(&["/dev", "/proc", "/sys"]),
            "full" => below(&["/usr", "/boot", "/efi", "/etc"]),
            "yes" | "true" | "1" | "on" => below(&["/usr", "/boot", "/efi"]),
            _ => false,
        };
        closed.then_some("ProtectSystem=")
    }
}
