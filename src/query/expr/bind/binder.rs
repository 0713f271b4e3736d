//! The state of a binding.
//!
//! Must never make a part of the bound form before its memory is taken.

use std::collections::BTreeSet;

use super::super::{error::ExprFault, room::ALLOCATION};
use crate::{
    memory::Extra,
    model::{CollectionSchema, FieldId},
};

/// The schema, the fields that were met so far, and the account of the form that is evaluated.
pub(super) struct Binder<'s, 'm> {
    pub(super) schema: &'s CollectionSchema,
    pub(super) fields: BTreeSet<FieldId>,
    pub(super) memory: &'m mut Extra,
}

impl Binder<'_, '_> {
    /// Takes the memory of one allocation.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), ExprFault> {
        Ok(self.memory.take((bytes + ALLOCATION) as u64)?)
    }
}
