//! The one way from a call to its message.

use std::net::IpAddr;

use tonic::{Extensions, Request, Status};

use super::{
    names::{Asked, Named},
    table::{Rule, row},
};
use crate::{
    access::Caller,
    connections::Peer,
    model::{AccessRefusal, access::ANY, collection::DEFAULT_DATABASE},
    standalone::Standalone,
    wire::status::of_refusal,
};

/// The layer's findings about a call; they travel with the request.
#[derive(Debug, Clone)]
pub(super) struct Pass {
    pub(super) rule: Rule,
    pub(super) caller: Caller,
}

/// The request, if its caller may make it.
///
/// # Errors
/// PERMISSION_DENIED in Milvus' words.
pub(crate) fn admit<T: Named>(standalone: &Standalone, request: Request<T>) -> Result<Request<T>, Status> {
    match check(standalone, &request) {
        Ok(()) => Ok(request),
        Err(refusal) => Err(of_refusal(&refusal)),
    }
}

fn check<T: Named>(standalone: &Standalone, request: &Request<T>) -> Result<(), AccessRefusal> {
    let gatekeeper = standalone.gatekeeper();
    if !gatekeeper.is_on() {
        return Ok(());
    }
    let pass = request.extensions().get::<Pass>().ok_or(AccessRefusal::NotLookedAt)?;
    let need = match pass.rule {
        Rule::Open | Rule::Login => return Ok(()),
        Rule::Admin => return gatekeeper.permit_admin(&pass.caller),
        Rule::Holds(need) => need,
    };
    let header = request.metadata().get("dbname").and_then(|value| value.to_str().ok()).unwrap_or("");
    let message = request.get_ref();
    // As the handlers look for it: in the message, then in the header.
    let named = [message.database(), header, DEFAULT_DATABASE].into_iter().find(|name| !name.is_empty());
    let database = named.unwrap_or(DEFAULT_DATABASE);
    if let Some(other) = message.other_database() {
        gatekeeper.permit(&pass.caller, need, other, ANY)?;
    }
    match message.asked() {
        Asked::Everything => gatekeeper.permit(&pass.caller, need, database, ANY),
        Asked::One(name) => gatekeeper.permit(&pass.caller, need, database, name),
        // None of nothing could be refused.
        Asked::Each([]) => gatekeeper.permit(&pass.caller, need, database, ANY),
        Asked::Each(names) => names.iter().try_for_each(|name| gatekeeper.permit(&pass.caller, need, database, name)),
        Asked::CollectionId(id) => match standalone.name_of(id) {
            Some((database, name)) => gatekeeper.permit(&pass.caller, need, &database, &name),
            None => gatekeeper.permit(&pass.caller, need, database, ANY),
        },
    }
}

/// Lets a caller in to a path, for a call that the layer does not see. The message still needs its privileges.
pub(crate) fn let_in(extensions: &mut Extensions, path: &str, caller: Caller) {
    extensions.insert(Pass { rule: row(path).unwrap_or(Rule::Login), caller });
}

/// The caller, for the calls that write it down.
pub(crate) fn caller<T>(request: &Request<T>) -> Option<Caller> {
    request.extensions().get::<Pass>().map(|pass| pass.caller.clone())
}

/// Where a call comes from.
pub(crate) fn peer<T>(request: &Request<T>) -> Option<IpAddr> {
    request.extensions().get::<Peer>().map(|peer| peer.address.ip())
}
