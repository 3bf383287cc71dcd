//! Real disks that fill, freeze and fail, in a mount namespace of the test's own: what is mounted goes with its process.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::PATIENCE;

/// Set in the process that has a namespace of its own.
const INSIDE: &str = "DISK_TEST_INSIDE";

/// Runs the test `name` of this test program again where it may mount, and tells whether this is that run. Without root
/// it says aloud that nothing was tested.
pub fn may_mount(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: {name} mounts disks, and only root may");
        return false;
    }
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "yes")
        .status()
        .expect("unshare is installed");
    assert!(status.success(), "{name}, in a mount namespace of its own");
    false
}

/// Runs a program that has to succeed.
pub fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect("it is installed");
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A small disk in memory, mounted on this folder, which is made.
pub fn memory(folder: &Path, megabytes: u32) {
    std::fs::create_dir_all(folder).unwrap();
    run("mount", &["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs", folder.to_str().unwrap()]);
}

/// An ext4 disk on a loop device, mounted on a folder.
pub struct Ext4 {
    folder: PathBuf,
    device: String,
    freezer: Option<Child>,
}

impl Ext4 {
    /// Makes one in the file `image`. An error makes it read-only, as it is usual.
    pub fn mount(image: &Path, folder: &Path) -> Self {
        std::fs::File::create(image).unwrap().set_len(64 << 20).unwrap();
        std::fs::create_dir_all(folder).unwrap();
        let (file, at) = (image.to_str().unwrap(), folder.to_str().unwrap());
        run("mkfs.ext4", &["-q", "-F", file]);
        run("mount", &["-o", "loop,errors=remount-ro", file, at]);
        let output = Command::new("findmnt").args(["-n", "-o", "SOURCE", at]).output().unwrap();
        let device = String::from_utf8(output.stdout).unwrap().trim().replace("/dev/", "");
        Self { folder: folder.into(), device, freezer: None }
    }

    /// Has the kernel find a fault in the file system, after which it takes nothing more.
    pub fn fail(&self) {
        std::fs::write(format!("/sys/fs/ext4/{}/trigger_fs_error", self.device), "a test").unwrap();
    }

    /// From now on whoever writes waits in the kernel. Whatever becomes of the test, it is thawed: a frozen disk would
    /// outlive everybody.
    pub fn freeze(&mut self) {
        let script = format!(
            "fsfreeze -f {0}; echo frozen; timeout {1} cat > /dev/null; fsfreeze -u {0}",
            self.folder.display(),
            3 * PATIENCE.as_secs()
        );
        let mut freezer = Command::new("sh");
        freezer.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut freezer = freezer.spawn().unwrap();
        let mut said = [0; 7];
        std::io::Read::read_exact(freezer.stdout.as_mut().unwrap(), &mut said).unwrap();
        self.freezer = Some(freezer);
    }

    /// Lets go of who waits.
    pub fn thaw(&mut self) {
        if let Some(mut freezer) = self.freezer.take() {
            drop(freezer.stdin.take());
            assert!(freezer.wait().unwrap().success(), "thawed");
        }
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        self.thaw();
    }
}

/// Fills the disk of a new file with it, to the last block.
pub fn fill(file: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(file).unwrap();
    for size in [1 << 20, 4096] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}
