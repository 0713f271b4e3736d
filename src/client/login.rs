//! The login of a client, in the header that clients of Milvus send.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tonic::{Request, Status, metadata::MetadataValue, service::Interceptor};

use crate::config::Secret;

/// A user and its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    pub user: String,
    pub password: Secret,
}

impl Login {
    /// Base64 of `user:password`.
    fn token(&self) -> Secret {
        Secret::new(BASE64_STANDARD.encode(format!("{}:{}", self.user, self.password.expose())))
    }
}

/// Puts the login into every call.
#[derive(Debug, Clone)]
pub(super) struct Authorization(pub(super) Option<Login>);

impl Interceptor for Authorization {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(login) = &self.0 {
            let token = MetadataValue::try_from(login.token().expose());
            let mut token = token.map_err(|error| Status::internal(format!("the login is no header: {error}")))?;
            // Left out of log lines of the transport.
            token.set_sensitive(true);
            request.metadata_mut().insert("authorization", token);
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_that_of_milvus_clients_and_is_printed_nowhere() {
        let login = Login { user: "root".to_owned(), password: Secret::new("Milvus") };
        let request = Authorization(Some(login.clone())).call(Request::new(())).unwrap();
        let header = request.metadata().get("authorization").unwrap();
        assert_eq!(header.to_str().unwrap(), "cm9vdDpNaWx2dXM=");
        let printed = format!("{login:?} {request:?}");
        assert!(!printed.contains("Milvus") && !printed.contains("cm9vdDpNaWx2dXM="), "{printed}");
        let request = Authorization(None).call(Request::new(())).unwrap();
        assert!(request.metadata().is_empty());
    }
}
