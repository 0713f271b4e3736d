//! The writer's side of the log: a current file, and closed ones that are removed when no state needs them.
//!
//! Must never roll before a sync, so that only the newest file can end in a torn frame, and never remove the newest file,
//! so that positions go on.

use std::{collections::VecDeque, io, io::IoSlice};

use super::{
    files::{WalFile, WalFiles},
    identity::{LogIdentity, LogOwner},
    record::EncodedRecord,
    replay::{ClosedFile, Replayed},
};
use crate::{
    fault::{self, Planted, Point},
    model::{Lsn, Timestamp},
};

pub(in crate::ingest) struct LogWriter {
    owner: LogOwner,
    files: Box<dyn WalFiles>,
    closed: VecDeque<ClosedFile>,
    current: Box<dyn WalFile>,
    current_first: Lsn,
    current_bytes: u64,
    /// Position that the oldest file must begin with, as it was noted last. It never goes back: a removal may fail after
    /// it was done.
    oldest: Lsn,
    /// Bytes of all frames ever in this log as far as this process knows: measures distances between frames.
    end_offset: u64,
    next: Lsn,
    durable: Lsn,
    /// Of the newest frame that replay found.
    last_ts: Timestamp,
    roll_bytes: u64,
}

impl LogWriter {
    /// Begins a new file behind the replayed ones, of a log that is `owner`'s from now on.
    pub(in crate::ingest) fn begin(
        mut files: Box<dyn WalFiles>,
        replayed: Replayed,
        roll_bytes: u64,
        owner: LogOwner,
    ) -> io::Result<Self> {
        let Replayed { files: closed, next, last_ts, .. } = replayed;
        let current = files.create(next)?;
        fault::reached(Point::StartLogFileMade);
        let oldest = closed.first().map_or(next, |f| f.first);
        files.note(&LogIdentity { owner, oldest, newest: next })?;
        let end_offset = closed.iter().map(|f| f.bytes).sum();
        Ok(Self {
            owner,
            files,
            closed: closed.into(),
            current,
            current_first: next,
            current_bytes: 0,
            oldest,
            end_offset,
            next,
            durable: Lsn(next.0.saturating_sub(1)),
            last_ts,
            roll_bytes,
        })
    }

    /// The position that the next frame gets.
    pub(in crate::ingest) fn next(&self) -> Lsn {
        self.next
    }

    /// The files that exist, oldest first: their first positions and the bytes of their durable frames.
    pub(in crate::ingest) fn files(&self) -> Vec<(Lsn, u64)> {
        let closed = self.closed.iter().map(|file| (file.first, file.bytes));
        closed.chain([(self.current_first, self.current_bytes)]).collect()
    }

    /// The position that the newest file begins with.
    pub(in crate::ingest) fn newest(&self) -> Lsn {
        self.current_first
    }

    /// Timestamp of the newest frame when the log was opened.
    pub(in crate::ingest) fn last_ts(&self) -> Timestamp {
        self.last_ts
    }

    /// Everything up to this position is durable.
    pub(in crate::ingest) fn durable(&self) -> Lsn {
        self.durable
    }

    /// Distance of the end of the log from its beginning, in bytes.
    pub(in crate::ingest) fn end_offset(&self) -> u64 {
        self.end_offset
    }

    /// Bytes and number of the files that exist.
    pub(in crate::ingest) fn size(&self) -> (u64, u64) {
        (self.closed.iter().map(|f| f.bytes).sum::<u64>() + self.current_bytes, self.closed.len() as u64 + 1)
    }

    /// Writes frames, whose positions begin at [`LogWriter::next`], and makes them durable. After an error nothing is
    /// known about any of them and the writer must not be used again.
    pub(in crate::ingest) fn commit(&mut self, frames: &[(&[u8], &EncodedRecord)]) -> io::Result<()> {
        if frames.is_empty() {
            return Ok(());
        }
        if self.current_bytes >= self.roll_bytes {
            self.roll()?;
        }
        let mut slices: Vec<IoSlice<'_>> = Vec::new();
        for (header, record) in frames {
            slices.push(IoSlice::new(header));
            slices.extend(record.slices().map(IoSlice::new));
        }
        let bytes: u64 = slices.iter().map(|s| s.len() as u64).sum();
        self.current.append(&mut slices)?;
        fault::reached(Point::LogWritten);
        if !fault::planted(Planted::SyncLeftOut) {
            self.current.sync()?;
        }
        self.current_bytes += bytes;
        self.end_offset += bytes;
        self.next.0 += frames.len() as u64;
        self.durable = Lsn(self.next.0 - 1);
        Ok(())
    }

    /// Removes the files whose frames all lie below `low_water`, oldest first. The number removed.
    pub(in crate::ingest) fn shrink(&mut self, low_water: Lsn) -> io::Result<u64> {
        let going = self.closed.iter().take_while(|file| file.last < low_water).count();
        if going == 0 {
            return Ok(0);
        }
        // Before any goes: from now on they need not be there.
        let oldest = self.closed.get(going).map_or(self.current_first, |file| file.first);
        self.files.note(&LogIdentity { owner: self.owner, oldest, newest: self.current_first })?;
        self.oldest = oldest;
        fault::reached(Point::LogTrimNoted);
        for _ in 0..going {
            let Some(file) = self.closed.front().copied() else { break };
            self.files.remove(file.first)?;
            fault::reached(Point::LogFileRemoved);
            self.closed.pop_front();
        }
        Ok(going as u64)
    }

    fn roll(&mut self) -> io::Result<()> {
        let next = self.files.create(self.next)?;
        fault::reached(Point::LogFileMade);
        // Before anything in it is acknowledged: from now on it has to be there.
        self.files.note(&LogIdentity { owner: self.owner, oldest: self.oldest, newest: self.next })?;
        fault::reached(Point::LogFileNamed);
        self.closed.push_back(ClosedFile {
            first: self.current_first,
            last: Lsn(self.next.0 - 1),
            bytes: self.current_bytes,
        });
        self.current = next;
        self.current_first = self.next;
        self.current_bytes = 0;
        Ok(())
    }
}
