//! The policies, one file each: which candidates of a group become which drafts.
//!
//! A policy gets candidates in ascending order of live bytes and id. It must put each of them into exactly one draft or
//! skip it. `rewrite` drops rows of single segments, `automatic` also merges small ones, `manual` does both without
//! thresholds; the others are for requests of clients only.

pub(super) mod automatic;
pub(super) mod clustering;
pub(super) mod force_merge;
pub(super) mod l0_delete;
pub(super) mod manual;
pub(super) mod rewrite;
