//! `datacoord backup` and `datacoord restore`: a running server into a folder, and a folder into a new data directory.
//!
//! `folder` says what lies where. Must never call a backup whole before all of it is on the disk, and never restore a byte
//! that is not as it was backed up.

mod check;
mod folder;
mod restore;
mod write;

pub(super) use self::{restore::run as restore, write::run as backup};
