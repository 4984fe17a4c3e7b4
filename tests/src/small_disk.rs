//! A small disk, to be full.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A disk in place of a folder.
pub struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Puts one of so many MiB, kept in the file `image`, in place of the folder `at`.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn mount(image: &Path, at: &Path, mib: u64) -> Self {
        std::fs::File::create(image).and_then(|f| f.set_len(mib << 20)).expect("an image is made");
        did(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(image));
        did(Command::new("mount").args(["-o", "loop"]).arg(image).arg(at));
        Self { at: at.to_owned() }
    }

    /// Writes until nothing more fits; the file to be removed.
    ///
    /// # Panics
    /// When it cannot be opened.
    #[must_use]
    pub fn fill(&self) -> PathBuf {
        let ballast = self.at.join("ballast");
        for size in [1 << 20, 4_096, 1] {
            let more = vec![b'x'; size];
            let mut file =
                std::fs::File::options().create(true).append(true).open(&ballast).expect("it is opened");
            while std::io::Write::write_all(&mut file, &more).is_ok() {}
        }
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: what is being killed may still have files open.
        drop(Command::new("umount").arg("-l").arg(&self.at).status());
    }
}

fn did(command: &mut Command) {
    let output = command.output().expect("the program is there");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Whether it can be done here: only root may mount.
#[must_use]
pub fn may_mount(dir: &Path) -> bool {
    let tried = Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(dir).output();
    tried.is_ok_and(|o| o.status.success())
        && Command::new("umount").arg(dir).status().is_ok_and(|s| s.success())
}
