//! `migrate`: takes over the configuration, recordings and snapshots of an earlier installation.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, lchown},
    path::{Path, PathBuf},
};

use camera_service::{
    config::{Config, Takeover},
    error::{Error, Kind, Result},
    state_file,
};
use clap::Args;

use super::DEFAULT_CONFIG;

/// Where earlier installations have their configuration; the first that is there counts.
const FILES: [&str; 3] = ["config/camera-service.yaml", "config/default.yaml", "camera-service.yaml"];

/// What is taken over, and where to.
#[derive(Args)]
pub struct Migrate {
    /// Folder of the earlier installation
    #[arg(long, default_value = "/opt/camera-service")]
    from: PathBuf,
    /// Configuration to write; one that is there is kept beside it
    #[arg(long, default_value = DEFAULT_CONFIG)]
    to: PathBuf,
    /// File with NAME=VALUE lines that the earlier service had as its environment, besides .env of its folder
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Where to let systemd's sandbox allow writing to the folders that are taken over
    #[arg(long, value_name = "FILE")]
    drop_in: Option<PathBuf>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl Migrate {
    /// Does it, and says what was done in lines. Blocks on the disk. Nothing to take over is no error.
    ///
    /// Errors: the old file cannot be read or is no configuration, the new one cannot be written.
    pub fn run(&self) -> Result<()> {
        let Some(old) = FILES.iter().map(|name| self.from.join(name)).find(|file| file.is_file()) else {
            println!("Nothing to take over: there is no configuration in {}.", self.from.display());
            return Ok(());
        };
        let mark = format!("# Taken over from {} by camera-service migrate.\n", old.display());
        let there = fs::read_to_string(&self.to).unwrap_or_default();
        if there.starts_with(&mark) {
            println!("{} was taken over already; to do it again, move {} away.", old.display(), self.to.display());
            return Ok(());
        }
        let takeover = self.read(&old)?;
        println!("Taking over {}:", old.display());
        for (key, fate) in &takeover.fates {
            println!("  {key}: {fate}");
        }
        let folders = folders(&takeover.config);
        for folder in &folders {
            println!("Recordings or snapshots are in {}.", folder.display());
        }
        if deletes(&takeover.config) {
            println!(
                "Its limits will delete old files there from the service's start on: retention_policy, cleanup_after_days and \
                 max_count say which. To keep them all, set retention_policy.auto_cleanup to false before."
            );
        }
        if self.dry_run {
            println!("Nothing was changed.");
            return Ok(());
        }
        let text = format!(
            "{mark}# Every other key has its default: /usr/share/doc/camera-service/examples/camera-service.yaml has them all.\n\n{}",
            takeover.text
        );
        self.write(&text)?;
        let owner = fs::metadata(&takeover.config.state_directory).ok();
        for folder in &folders {
            match adopt(folder, owner.as_ref()) {
                Ok(0) => {}
                Ok(files) => println!("{files} files and folders there belong to the service now."),
                Err(error) => println!("{} cannot be given to the service: {error}.", folder.display()),
            }
        }
        self.allow(&folders)
    }

    fn read(&self, old: &Path) -> Result<Takeover> {
        let mut env = Vec::new();
        for file in [self.from.join(".env")].iter().chain(&self.env_file).filter(|file| file.is_file()) {
            env.extend(variables(&fs::read_to_string(file).map_err(|error| failed("cannot be read", file, error))?));
        }
        let text = fs::read_to_string(old).map_err(|error| failed("cannot be read", old, error))?;
        let take = |env: &[(String, String)]| {
            let taken = Config::take_over(&old.display().to_string(), &text, env.iter().cloned(), &self.from);
            taken.map_err(|problems| Error::dependency("configuration", problems.to_string()))
        };
        let takeover = take(&env)?;
        // Where its file names no folder, the earlier service took these.
        let (now, default) = (&takeover.config.mediamtx, Config::default().mediamtx);
        let kept = [
            ("RECORDINGS_PATH", "recordings", now.recordings_path == default.recordings_path),
            ("SNAPSHOTS_PATH", "snapshots", now.snapshots_path == default.snapshots_path),
        ];
        let before = env.len();
        for (key, name, unnamed) in kept {
            let folder = self.from.join(name);
            if unnamed && folder.is_dir() {
                env.push((format!("CAMERA_SERVICE__MEDIAMTX__{key}"), folder.display().to_string()));
            }
        }
        if env.len() > before { take(&env) } else { Ok(takeover) }
    }

    fn write(&self, text: &str) -> Result<()> {
        let there = fs::metadata(&self.to).ok();
        if there.is_some() {
            let backup = free(&self.to);
            fs::copy(&self.to, &backup).map_err(|error| failed("cannot be kept", &self.to, error))?;
            println!("{} is kept as {}.", self.to.display(), backup.display());
        }
        state_file::write(&self.to, text.as_bytes(), there.map_or(0o640, |it| it.mode() & 0o777))?;
        println!("{} is written.", self.to.display());
        Ok(())
    }

    /// Lets the unit write to folders beyond its own.
    fn allow(&self, folders: &[PathBuf]) -> Result<()> {
        let Some(file) = self.drop_in.as_deref().filter(|_| !folders.is_empty()) else { return Ok(()) };
        let quoted = folders.iter().map(|folder| format!(" \"-{}\"", folder.display().to_string().replace('%', "%%")));
        let text = format!(
            "# Written by camera-service migrate: folders that were taken over.\n[Service]\nReadWritePaths={}\n",
            quoted.collect::<String>().trim_start()
        );
        let made = file.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(file, text));
        made.map_err(|error| failed("cannot be written", file, error))?;
        println!("The service may write there: {}.", file.display());
        Ok(())
    }
}

/// Whether files are deleted without anybody's asking.
fn deletes(Config { retention_policy: policy, recording, snapshots, .. }: &Config) -> bool {
    let limits = [recording.cleanup_after_days, snapshots.cleanup_after_days, snapshots.max_count];
    policy.auto_cleanup && (policy.enabled || policy.min_free_gb > 0.0 || limits.iter().any(|limit| *limit > 0))
}

/// The folders that are written to and are not of the state directory.
fn folders(config: &Config) -> Vec<PathBuf> {
    let recordings = config.folders_of_recordings().map(|(_, folder)| folder);
    let mut folders: Vec<_> = config.folders().into_iter().chain(recordings).map(Path::to_owned).collect();
    folders.retain(|folder| !folder.starts_with(&config.state_directory));
    folders.sort();
    folders.dedup();
    folders
}

/// Makes a folder where it is missing, and gives it and the files in it to `owner`, as far as they are not. Folders inside
/// and links are none of the service's. Says how many there were. Nothing where this is not root.
fn adopt(folder: &Path, owner: Option<&fs::Metadata>) -> io::Result<usize> {
    fs::create_dir_all(folder)?;
    let Some(owner) = owner.filter(|_| rustix::process::geteuid().is_root()) else { return Ok(0) };
    let mut changed = 0;
    let mut give = |path: &Path, there: fs::Metadata| -> io::Result<()> {
        if (there.uid(), there.gid()) != (owner.uid(), owner.gid()) {
            lchown(path, Some(owner.uid()), Some(owner.gid()))?;
            changed += 1;
        }
        Ok(())
    };
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let there = fs::symlink_metadata(&path)?;
        if there.is_file() {
            give(&path, there)?;
        }
    }
    give(folder, fs::metadata(folder)?)?;
    Ok(changed)
}

/// The first free name beside `file`.
fn free(file: &Path) -> PathBuf {
    let name = |ending: String| PathBuf::from(format!("{}.before-migration{ending}", file.display()));
    let names = std::iter::once(name(String::new())).chain((2..).map(|number| name(format!("-{number}"))));
    names.into_iter().find(|name| !name.exists()).unwrap_or_else(|| name("-last".into()))
}

/// The variables of an environment file: `NAME=VALUE`, with or without `export` and quotes.
fn variables(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.strip_prefix("export ").unwrap_or(line).split_once('='));
    pairs
        .map(|(name, value)| {
            let value = value.trim();
            let inner = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
            (name.trim().to_owned(), inner.unwrap_or(value).to_owned())
        })
        .collect()
}

fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    Error::with_source(Kind::Dependency { dependency: "disk".into() }, format!("{} {what}", path.display()), error)
}
