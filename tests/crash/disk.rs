//! A small file system that can be filled and made read-only: a tmpfs in a mount namespace of its own, so that it needs no
//! rights but those of a user namespace, and is gone with its holder.

use std::{
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};

pub struct Disk {
    /// Waits for the end of its input, which is this.
    holder: Child,
    /// The folder in the namespace that is the disk.
    at: PathBuf,
    is_root: bool,
}

impl Disk {
    /// None, with a line that says so, where namespaces are not allowed.
    pub fn new(at: &Path, mib: u64) -> Result<Option<Self>> {
        std::fs::create_dir_all(at)?;
        let is_root = std::fs::metadata("/proc/self")?.uid() == 0;
        let mut command = Command::new("unshare");
        if !is_root {
            command.arg("--map-root-user");
        }
        let script = "mount -t tmpfs -o \"size=$2m,mode=700\" tmpfs \"$1\" && echo mounted && exec cat";
        let mut holder = command
            .args(["--mount", "sh", "-c", script, "sh"])
            .arg(at)
            .arg(mib.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("unshare, of util-linux")?;
        let mut said = String::new();
        BufReader::new(holder.stdout.take().context("its output")?).read_line(&mut said)?;
        if said.trim() != "mounted" {
            eprintln!("skipped: a small disk needs a mount namespace, which this machine does not allow");
            holder.wait()?;
            return Ok(None);
        }
        Ok(Some(Self { holder, at: at.to_owned(), is_root }))
    }

    /// The command that enters it and then becomes another one.
    pub fn through(&self) -> Vec<String> {
        let target = self.holder.id().to_string();
        let mut command = ["nsenter", "--target", &target, "--mount"].map(str::to_owned).to_vec();
        if !self.is_root {
            command.extend(["--user", "--preserve-credentials"].map(str::to_owned));
        }
        command.push("--".to_owned());
        command
    }

    /// The same folder as seen from outside.
    pub fn seen(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.at.strip_prefix("/").unwrap_or(&self.at))
    }

    /// Fills it up to the last page.
    ///
    /// # Errors
    /// Any but that there is no space left.
    pub fn fill(&self) -> Result<()> {
        let mut ballast = std::fs::File::create(self.ballast())?;
        let error = std::io::copy(&mut std::io::repeat(1), &mut ballast);
        let kind = error.err().map(|e| e.kind());
        ensure!(kind == Some(std::io::ErrorKind::StorageFull), "the disk is not full: {kind:?}");
        Ok(())
    }

    pub fn free(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.ballast())?)
    }

    fn ballast(&self) -> PathBuf {
        self.seen().join("ballast")
    }

    pub fn make(&self, mode: &str) -> Result<()> {
        let through = self.through();
        let (first, others) = through.split_first().context("a command")?;
        let options = format!("remount,{mode}");
        let mounted = Command::new(first).args(others).args(["mount", "-o", &options]).arg(&self.at).status()?;
        ensure!(mounted.success(), "mount -o {options}: {mounted}");
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
