//! The disk of the write-ahead log: a folder of which only synced bytes survive a loss of power.
//!
//! The files are real, because a start reads them with the product's own code. Syncs are not: [`LogDisk`] notes how far
//! each file is durable, and after a loss of power cuts it there, or at some byte behind it.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use datacoord::{
    ingest::{DiskFiles, LogIdentity, WalFile, WalFiles},
    model::Lsn,
};

use crate::{
    journal::Journal,
    kit::numbers::Numbers,
    power::{Fate, Plug, Sky, pass_time},
    stage,
};

#[derive(Debug, Default, Clone, Copy)]
struct Length {
    durable: u64,
    written: u64,
}

/// The disk; it outlives every process.
#[derive(Debug)]
pub struct LogDisk {
    dir: PathBuf,
    files: Mutex<BTreeMap<Lsn, Length>>,
}

impl LogDisk {
    pub fn new(dir: PathBuf) -> Arc<Self> {
        Arc::new(Self { dir, files: Mutex::default() })
    }

    fn path(&self, first: Lsn) -> PathBuf {
        self.dir.join(format!("{:020}.log", first.0))
    }

    /// The process has ended and the machine goes on: everything that was written is there.
    pub fn process_ended(&self) {
        self.files.lock().unwrap().clear();
    }

    /// The power was lost. Of bytes that were not synced a part may be there, and a part of that may be zeros.
    pub fn power_lost(&self, numbers: &mut Numbers, journal: &Journal) {
        for (first, length) in std::mem::take(&mut *self.files.lock().unwrap()) {
            let unsynced = length.written - length.durable;
            if unsynced == 0 {
                continue;
            }
            let kept = length.durable + numbers.below(unsynced + 1);
            let file = OpenOptions::new().write(true).open(self.path(first)).unwrap();
            file.set_len(kept).unwrap();
            let hole = length.durable + numbers.below(unsynced + 1);
            if numbers.percent(30) && hole < kept {
                file.set_len(hole).unwrap();
                file.set_len(kept).unwrap();
            }
            journal.note(format!("log file {first}: {} of {unsynced} unsynced bytes survive", kept - length.durable));
            journal.saw("log: unsynced bytes at a loss of power");
        }
    }

    /// Bytes and number of the files.
    pub fn size(&self) -> (u64, usize) {
        let lengths: Vec<u64> =
            entries(&self.dir).iter().map(|path| fs::metadata(path).map_or(0, |m| m.len())).collect();
        (lengths.iter().sum(), lengths.len())
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "log")).collect()
}

/// Shared by all handles of one process.
#[derive(Debug)]
struct Cable {
    disk: Arc<LogDisk>,
    sky: Arc<Sky>,
    plug: Arc<Plug>,
    journal: Journal,
    /// False once another process has the folder.
    attached: Arc<AtomicBool>,
}

impl Cable {
    /// A step of the disk, on the thread that asked for it. Without power it does not return.
    fn arrive(&self, writes: bool) -> io::Result<Fate> {
        if !self.attached.load(Ordering::SeqCst) {
            return Err(io::Error::other("the folder belongs to another process"));
        }
        stage::wait_here(async {
            self.plug.pass().await;
            pass_time(&self.sky).await;
            self.plug.pass().await;
        });
        match self.sky.fate(writes) {
            Fate::Error => {
                self.journal.saw("log: an error");
                Err(io::Error::other("the disk of the log fails"))
            }
            Fate::Full => {
                self.journal.saw("log: full");
                Err(io::ErrorKind::StorageFull.into())
            }
            fate => Ok(fate),
        }
    }

    fn answer(&self, fate: Fate) -> io::Result<()> {
        stage::wait_here(self.plug.pass());
        if fate == Fate::AnswerLost {
            self.journal.saw("log: an error after it was done");
            return Err(io::Error::other("the disk of the log fails"));
        }
        Ok(())
    }
}

/// The log as one process writes it.
pub struct SimulatedLog {
    files: DiskFiles,
    cable: Arc<Cable>,
}

impl SimulatedLog {
    pub fn new(
        disk: &Arc<LogDisk>,
        sky: &Arc<Sky>,
        plug: &Arc<Plug>,
        journal: &Journal,
        attached: &Arc<AtomicBool>,
    ) -> Self {
        let cable = Cable {
            disk: Arc::clone(disk),
            sky: Arc::clone(sky),
            plug: Arc::clone(plug),
            journal: journal.clone(),
            attached: Arc::clone(attached),
        };
        Self { files: DiskFiles::new(disk.dir.clone()), cable: Arc::new(cable) }
    }
}

impl WalFiles for SimulatedLog {
    fn create(&mut self, first: Lsn) -> io::Result<Box<dyn WalFile>> {
        let fate = self.cable.arrive(true)?;
        let file = self.files.create(first)?;
        self.cable.disk.files.lock().unwrap().insert(first, Length::default());
        self.cable.answer(fate)?;
        Ok(Box::new(SimulatedFile { first, file, cable: Arc::clone(&self.cable) }))
    }

    fn remove(&mut self, first: Lsn) -> io::Result<()> {
        let fate = self.cable.arrive(false)?;
        self.files.remove(first)?;
        self.cable.disk.files.lock().unwrap().remove(&first);
        self.cable.journal.saw("log: a file removed");
        self.cable.answer(fate)
    }

    fn note(&mut self, identity: &LogIdentity) -> io::Result<()> {
        let fate = self.cable.arrive(true)?;
        self.files.note(identity)?;
        self.cable.answer(fate)
    }
}

struct SimulatedFile {
    first: Lsn,
    file: Box<dyn WalFile>,
    cable: Arc<Cable>,
}

impl SimulatedFile {
    fn length<T>(&self, change: impl FnOnce(&mut Length) -> T) -> T {
        change(self.cable.disk.files.lock().unwrap().entry(self.first).or_default())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.append(&mut [IoSlice::new(bytes)])?;
        self.length(|length| length.written += bytes.len() as u64);
        Ok(())
    }
}

impl WalFile for SimulatedFile {
    fn append(&mut self, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let arrived = self.cable.arrive(true);
        // In two parts, so that a process can end between them.
        let cut = self.cable.sky.below(bytes.len() as u64 + 1) as usize;
        if arrived.is_err() && !self.cable.attached.load(Ordering::SeqCst) {
            return arrived.map(drop);
        }
        self.write(&bytes[..cut])?;
        let fate = arrived?;
        stage::wait_here(self.cable.plug.pass());
        self.write(&bytes[cut..])?;
        self.cable.answer(fate)
    }

    fn sync(&mut self) -> io::Result<()> {
        let written = self.length(|length| length.written);
        let fate = self.cable.arrive(true)?;
        self.length(|length| length.durable = written);
        self.cable.answer(fate)
    }
}
