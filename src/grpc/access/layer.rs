//! Looks at the head of every call: the rule of its path and the credentials of its caller. The message is not read
//! before that, so a stranger can't make the server hold one.
//!
//! A stream of reflection may last for ever, and its service knows no callers. So its answer ends here when the login of
//! its caller does. Calls that end by themselves need no such end.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use super::{
    admit::Pass,
    table::{Rule, row},
};
use crate::{
    access::{Credentials, Gatekeeper},
    connections::Peer,
    model::AccessRefusal,
    wire::status::of_refusal,
};

/// The header of all SDKs.
const AUTHORIZATION: &str = "authorization";
/// The beginning of the paths of reflection, whose calls are streams.
const REFLECTION: &str = "/grpc.reflection.";

#[derive(Debug, Clone)]
pub(crate) struct AccessLayer {
    pub(crate) gatekeeper: Gatekeeper,
}

impl<S> Layer<S> for AccessLayer {
    type Service = AccessService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AccessService { inner, gatekeeper: self.gatekeeper.clone() }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct AccessService<S> {
    inner: S,
    gatekeeper: Gatekeeper,
}

impl<S> Service<Request<Body>> for AccessService<S>
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
        let is_stream = request.uri().path().starts_with(REFLECTION);
        Box::pin(async move {
            let credentials = Credentials::of_token(request.headers().get(AUTHORIZATION).map(|value| value.as_bytes()));
            let peer = request.extensions().get::<Peer>().map(|peer| peer.address.ip());
            match gatekeeper.authenticate(credentials, peer).await {
                Ok(caller) => {
                    if let Some(user) = caller.name() {
                        tracing::Span::current().record("user", user);
                    }
                    let ended = is_stream.then(|| {
                        let (gatekeeper, caller) = (gatekeeper.clone(), caller.clone());
                        async move { gatekeeper.login_ended(&caller).await }.boxed()
                    });
                    request.extensions_mut().insert(Pass { rule, caller });
                    let answer = inner.call(request).await?;
                    Ok(match ended {
                        None => answer,
                        Some(ended) => answer.map(|body| Body::new(UntilLogout { body, ended: Some(ended) })),
                    })
                }
                Err(refusal) => Ok(of_refusal(&refusal).into_http()),
            }
        })
    }
}

/// An answer that ends with the login of its caller.
struct UntilLogout {
    body: Body,
    /// None: it has ended.
    ended: Option<BoxFuture<'static, AccessRefusal>>,
}

impl HttpBody for UntilLogout {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(ended) = &mut self.ended else { return Poll::Ready(None) };
        if let Poll::Ready(refusal) = ended.poll_unpin(cx) {
            self.ended = None;
            let mut trailers = HeaderMap::new();
            return Poll::Ready(Some(match of_refusal(&refusal).add_header(&mut trailers) {
                Ok(()) => Ok(Frame::trailers(trailers)),
                Err(status) => Err(status),
            }));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.ended.is_none() || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
