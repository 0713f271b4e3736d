//! Looks at the head of every call: the rule of its path and the credentials of its caller. The message is not read
//! before that, so a stranger can't make the server hold one.

use std::{
    mem,
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

use super::{
    admit::Pass,
    table::{Rule, row},
};
use crate::{
    access::{Credentials, Gatekeeper},
    connections::Peer,
    wire::status::of_refusal,
};

/// The header of all SDKs.
const AUTHORIZATION: &str = "authorization";

#[derive(Debug, Clone)]
pub(crate) struct AccessLayer {
    pub(crate) gatekeeper: Gatekeeper,
}

impl<S> Layer<S> for AccessLayer {
    type Service = Access<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Access { inner, gatekeeper: self.gatekeeper.clone() }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Access<S> {
    inner: S,
    gatekeeper: Gatekeeper,
}

impl<S> Service<Request<Body>> for Access<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let rule = row(request.uri().path()).unwrap_or(Rule::Login);
        if rule == Rule::Open {
            return Box::pin(self.inner.call(request));
        }
        // The clone takes its place: only this one is known to be ready.
        let next = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, next);
        let gatekeeper = self.gatekeeper.clone();
        Box::pin(async move {
            let credentials = Credentials::of_token(request.headers().get(AUTHORIZATION).map(|value| value.as_bytes()));
            let peer = request.extensions().get::<Peer>().map(|peer| peer.address.ip());
            match gatekeeper.authenticate(credentials, peer).await {
                Ok(caller) => {
                    if let Some(user) = caller.name() {
                        tracing::debug!(user, method = request.uri().path(), "call");
                    }
                    request.extensions_mut().insert(Pass { rule, caller });
                    inner.call(request).await
                }
                Err(refusal) => Ok(of_refusal(&refusal).into_http()),
            }
        })
    }
}
