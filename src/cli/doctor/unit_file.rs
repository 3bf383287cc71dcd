//! A systemd unit file with its drop-ins, read as systemd reads it (systemd.syntax(7), systemd.unit(5)), as far as the service
//! is concerned.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The unit that the package brings.
pub const NAME: &str = "camera-service.service";

/// Where systemd looks for units, the one that counts first (systemd.unit(5), "Unit File Load Path").
const FOLDERS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// A unit.
pub struct Unit {
    /// Its file.
    pub file: PathBuf,
    /// Its drop-ins, in the order in which they count.
    pub drop_ins: Vec<PathBuf>,
    /// The settings of the section `[Service]`, in the order in which they are written.
    settings: Vec<(String, String)>,
}

impl Unit {
    /// The unit that systemd would start.
    pub fn installed() -> Option<Self> {
        let file = FOLDERS.iter().map(|folder| Path::new(folder).join(NAME)).find(|file| file.exists())?;
        Self::read(&file).ok()
    }

    /// Reads it. Error: the file or a drop-in cannot be read, for people.
    pub fn read(file: &Path) -> Result<Self, String> {
        let mut unit = Self { file: file.to_owned(), drop_ins: drop_ins(file), settings: Vec::new() };
        let files: Vec<PathBuf> = std::iter::once(file.to_owned()).chain(unit.drop_ins.iter().cloned()).collect();
        for file in files {
            let text =
                fs::read_to_string(&file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
            unit.settings.extend(settings(&text));
        }
        Ok(unit)
    }

    /// A setting that has one value: the last that is written; nothing is none.
    pub fn last(&self, key: &str) -> Option<&str> {
        let mut values = self.settings.iter().filter(|(there, _)| there == key);
        values.next_back().map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A flag.
    pub fn is_on(&self, key: &str) -> bool {
        self.last(key).is_some_and(|value| ["1", "yes", "true", "on"].contains(&value.to_lowercase().as_str()))
    }

    /// Every line of a setting that has several; an empty one takes back what was written before.
    pub fn lines(&self, key: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for (_, value) in self.settings.iter().filter(|(there, _)| there == key) {
            match value.is_empty() {
                true => lines.clear(),
                false => lines.push(self.specified(value)),
            }
        }
        lines
    }

    /// The words of all lines of a setting.
    pub fn list(&self, key: &str) -> Vec<String> {
        self.lines(key).iter().flat_map(|line| words(line)).collect()
    }

    /// The variables the unit sets, and which of its files with variables are missing.
    pub fn environment(&self) -> (BTreeMap<String, String>, Vec<String>) {
        let (mut variables, mut missing) = (BTreeMap::new(), Vec::new());
        for (word, key, base) in [
            ("STATE_DIRECTORY", "StateDirectory", "/var/lib"),
            ("CACHE_DIRECTORY", "CacheDirectory", "/var/cache"),
            ("LOGS_DIRECTORY", "LogsDirectory", "/var/log"),
        ] {
            let folders: Vec<_> = self.list(key).iter().map(|folder| format!("{base}/{folder}")).collect();
            if !folders.is_empty() {
                variables.insert(word.to_owned(), folders.join(":"));
            }
        }
        let assigned = |word: &str| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        variables.extend(self.list("Environment").iter().filter_map(|word| assigned(word)));
        for file in self.lines("EnvironmentFile") {
            let optional = file.starts_with('-');
            let file = file.trim_start_matches('-');
            match fs::read_to_string(file) {
                Ok(text) => {
                    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
                    variables.extend(lines.filter_map(|line| assigned(&words(line).join(" "))));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && !optional => {
                    missing.push(file.to_owned())
                }
                // One that only root may read is not who asks' business.
                Err(_) => {}
            }
        }
        (variables, missing)
    }

    /// The command that is started, its program first.
    pub fn command(&self) -> Option<Vec<String>> {
        let line = self.lines("ExecStart").pop()?;
        let (variables, _) = self.environment();
        let mut command = Vec::new();
        for word in words(line.trim_start_matches(['@', '-', ':', '+', '!'])) {
            match word.strip_prefix('$').filter(|name| !name.starts_with(['{', '$'])) {
                // A word of its own may be several, or none (systemd.service(5), "Command Lines").
                Some(name) => command.extend(words(variables.get(name).map_or("", String::as_str))),
                None => command.push(expanded(&word, &variables)),
            }
        }
        (!command.is_empty()).then_some(command)
    }

    /// `text` with the specifiers that a system unit's paths have (systemd.unit(5), "Specifiers").
    fn specified(&self, text: &str) -> String {
        let name = self.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let short = name.rsplit_once('.').map_or(name.as_str(), |(short, _)| short).to_owned();
        let mut out = String::new();
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            match (character, (character == '%').then(|| rest.next()).flatten()) {
                ('%', Some('%')) => out.push('%'),
                ('%', Some('S')) => out.push_str("/var/lib"),
                ('%', Some('C')) => out.push_str("/var/cache"),
                ('%', Some('L')) => out.push_str("/var/log"),
                ('%', Some('t')) => out.push_str("/run"),
                ('%', Some('E')) => out.push_str("/etc"),
                ('%', Some('n')) => out.push_str(&name),
                ('%', Some('N' | 'p')) => out.push_str(&short),
                ('%', Some(other)) => out.extend(['%', other]),
                (character, _) => out.push(character),
            }
        }
        out
    }
}

/// The words of a line. One whose quotes do not close is one word.
fn words(line: &str) -> Vec<String> {
    shlex::split(line).unwrap_or_else(|| vec![line.to_owned()])
}

fn expanded(word: &str, variables: &BTreeMap<String, String>) -> String {
    let (mut out, mut rest) = (String::new(), word);
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, end)) = after.split_once('}') else { break };
        out.push_str(before);
        out.push_str(variables.get(name).map_or("", String::as_str));
        rest = end;
    }
    (out + rest).replace("$$", "$")
}

/// The drop-ins of a unit: of those with the same name the first folder's counts, and all are taken in the order of names.
fn drop_ins(file: &Path) -> Vec<PathBuf> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_installed = FOLDERS.iter().any(|folder| file.parent() == Some(Path::new(folder)));
    let own = file.parent().map(Path::to_owned).into_iter();
    let folders: Vec<PathBuf> = if is_installed { FOLDERS.iter().map(PathBuf::from).collect() } else { own.collect() };
    let mut found = BTreeMap::new();
    for folder in folders {
        let Ok(entries) = fs::read_dir(folder.join(format!("{name}.d"))) else { continue };
        for path in
            entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == "conf"))
        {
            found.entry(path.file_name().map(ToOwned::to_owned)).or_insert(path);
        }
    }
    found.into_values().collect()
}

/// The assignments in the section `[Service]`. A line that ends in a backslash goes on in the next one.
fn settings(text: &str) -> Vec<(String, String)> {
    let (mut found, mut section, mut line) = (Vec::new(), String::new(), String::new());
    for written in text.lines() {
        let written = written.trim();
        if written.starts_with(['#', ';']) || (written.is_empty() && line.is_empty()) {
            continue;
        }
        line.push_str(written.strip_suffix('\\').unwrap_or(written));
        if written.ends_with('\\') {
            line.push(' ');
            continue;
        }
        let whole = std::mem::take(&mut line);
        if let Some(name) = whole.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some((key, value)) = whole.split_once('=').filter(|_| section == "Service") {
            found.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(text: &str, drop_in: Option<&str>) -> (tempfile::TempDir, Unit) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("camera.service");
        fs::write(&file, text).unwrap();
        if let Some(text) = drop_in {
            let folder = folder.path().join("camera.service.d");
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("50-local.conf"), text).unwrap();
            fs::write(folder.join("ignored.txt"), "[Service]\nUser=nobody\n").unwrap();
        }
        let unit = Unit::read(&file).unwrap();
        (folder, unit)
    }

    #[test]
    fn lines_sections_and_specifiers_are_read_as_systemd_does() {
        let (_folder, unit) = unit(
            "# a comment\n[Unit]\nUser=wrong\n[Service]\nUser = camera\nExecStart=-/usr/bin/camera-service \\\n# in between\n  \
             --config \"/etc/a b.yaml\" $MORE ${KIND}%%\nStateDirectory=%N/x\nEnvironment=\"MORE=run\" KIND=1\n",
            None,
        );
        assert_eq!(unit.last("User"), Some("camera"));
        let expected = ["/usr/bin/camera-service", "--config", "/etc/a b.yaml", "run", "1%"];
        assert_eq!(unit.command().unwrap(), expected);
        assert_eq!(unit.environment().0["STATE_DIRECTORY"], "/var/lib/camera/x");
    }

    #[test]
    fn a_drop_in_adds_replaces_and_takes_back() {
        let text = "[Service]\nExecStart=/a\nUser=one\nReadWritePaths=/srv\n";
        let drop_in = "[Service]\nExecStart=\nExecStart=/b run\nUser=two\nReadWritePaths=/data\n";
        let (_folder, unit) = unit(text, Some(drop_in));
        assert_eq!((unit.last("User"), unit.drop_ins.len()), (Some("two"), 1));
        assert_eq!(unit.command().unwrap(), ["/b", "run"]);
        assert_eq!(unit.list("ReadWritePaths"), ["/srv", "/data"]);
    }
}
