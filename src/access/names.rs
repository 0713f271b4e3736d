//! Rules for the names of users, roles, privileges and objects; they are Milvus' own.

use super::error::AccessFailure;
use crate::model::{
    AccessError,
    access::ANY,
    access_error::{AccessNameFault, NamedThing},
};

/// A letter, then letters, digits and underscores.
pub(super) fn check_user(name: &str, most: usize) -> Result<(), AccessError> {
    let fault = |fault| Err(AccessError::BadUserName { name: name.to_owned(), fault });
    if name.trim().is_empty() {
        return fault(AccessNameFault::Empty);
    }
    if name.len() > most {
        return fault(AccessNameFault::TooLong { bytes: name.len(), most });
    }
    for (at, byte) in name.bytes().enumerate() {
        if at == 0 && !byte.is_ascii_alphabetic() {
            return fault(AccessNameFault::First(byte));
        }
        if !byte.is_ascii_alphanumeric() && byte != b'_' {
            return fault(AccessNameFault::Character { byte, at });
        }
    }
    Ok(())
}

/// A letter or an underscore, then letters, digits, underscores and dollars.
pub(super) fn check(what: NamedThing, name: &str, most: usize) -> Result<(), AccessFailure> {
    let fault = |fault| Err(AccessError::BadName { what, fault }.into());
    if name.trim().is_empty() {
        return fault(AccessNameFault::Empty);
    }
    if name.len() > most {
        return fault(AccessNameFault::TooLong { bytes: name.len(), most });
    }
    for (at, byte) in name.bytes().enumerate() {
        if at == 0 && !byte.is_ascii_alphabetic() && byte != b'_' {
            return fault(AccessNameFault::First(byte));
        }
        if !byte.is_ascii_alphanumeric() && !matches!(byte, b'_' | b'$') {
            return fault(AccessNameFault::Character { byte, at });
        }
    }
    Ok(())
}

/// The same, or [`ANY`].
pub(super) fn check_or_any(what: NamedThing, name: &str, most: usize) -> Result<(), AccessFailure> {
    if name == ANY { Ok(()) } else { check(what, name, most) }
}
