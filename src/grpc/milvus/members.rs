//! Members of messages that newer releases have and that are not served.
//!
//! Each is refused by its name. Without it the answer would be that to another question, and a delete would hit rows that
//! the client did not mean.

use super::{
    call_error::{invalid, unsupported},
    *,
};

/// Refuses a search that has such a member.
pub(super) fn check_search(request: &SearchRequest) -> Outcome<()> {
    let members = [
        ("function_score", request.function_score.is_some()),
        ("function_chains", !request.function_chains.is_empty()),
        ("highlighter", request.highlighter.is_some()),
        ("search_aggregation", request.search_aggregation.is_some()),
        ("sub_reqs", !request.sub_reqs.is_empty()),
    ];
    match members.iter().find(|(_, is_given)| *is_given) {
        Some((member, _)) => Err(unsupported(&format!("{member} in a search"))),
        None => check_namespace(request.namespace.as_ref()),
    }
}

/// Refuses the namespace that a read or a write names. No collection has any.
pub(super) fn check_namespace(namespace: Option<&String>) -> Outcome<()> {
    match namespace {
        Some(name) if !name.is_empty() => Err(invalid("namespace is not supported")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
