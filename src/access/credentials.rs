//! User and password, as the headers of a call have them.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::model::AccessRefusal;

/// User and password of a call. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user: String,
    pub(super) password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Credentials {
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { user: user.into(), password: password.into() }
    }

    /// Of the header `authorization` of a gRPC call: `base64("user:password")`, as every SDK sends it.
    ///
    /// # Errors
    /// `NoCredentials` without a header, `Malformed` if it is not that, `ApiKey` if there is no colon.
    pub fn of_token(header: Option<&[u8]>) -> Result<Self, AccessRefusal> {
        let header = header.ok_or(AccessRefusal::NoCredentials)?;
        let bytes = STANDARD.decode(header).map_err(|_| AccessRefusal::Malformed)?;
        let text = String::from_utf8(bytes).map_err(|_| AccessRefusal::Malformed)?;
        Self::of_pair(&text)
    }

    /// Of the header `Authorization` of an HTTP call: `Bearer user:password` as in Milvus' REST API, or `Basic` with the
    /// same in base64.
    ///
    /// # Errors
    /// As for [`Self::of_token`].
    pub fn of_http(header: Option<&[u8]>) -> Result<Self, AccessRefusal> {
        let header = header.ok_or(AccessRefusal::NoCredentials)?;
        let text = std::str::from_utf8(header).map_err(|_| AccessRefusal::Malformed)?;
        let (scheme, rest) = text.trim().split_once(' ').ok_or(AccessRefusal::Malformed)?;
        if scheme.eq_ignore_ascii_case("basic") {
            return Self::of_token(Some(rest.trim().as_bytes()));
        }
        if scheme.eq_ignore_ascii_case("bearer") {
            return Self::of_pair(rest.trim());
        }
        Err(AccessRefusal::Malformed)
    }

    fn of_pair(text: &str) -> Result<Self, AccessRefusal> {
        let (user, password) = text.split_once(':').ok_or(AccessRefusal::ApiKey)?;
        Ok(Self::new(user, password))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::none(None, Err(AccessRefusal::NoCredentials))]
    #[case::no_base64(Some("!!!"), Err(AccessRefusal::Malformed))]
    #[case::plain_text(Some("root:Milvus"), Err(AccessRefusal::Malformed))]
    #[case::bearer(Some("Bearer cm9vdDpNaWx2dXM="), Err(AccessRefusal::Malformed))]
    #[case::no_colon(Some("YXBpa2V5"), Err(AccessRefusal::ApiKey))]
    #[case::empty(Some(""), Err(AccessRefusal::ApiKey))]
    #[case::no_utf8(Some("/zr/"), Err(AccessRefusal::Malformed))]
    #[case::pair(Some("cm9vdDpNaWx2dXM="), Ok(("root", "Milvus")))]
    #[case::colon_in_password(Some("dTphOmI="), Ok(("u", "a:b")))]
    fn tokens_of_grpc(#[case] header: Option<&str>, #[case] expected: Result<(&str, &str), AccessRefusal>) {
        let expected = expected.map(|(user, password)| Credentials::new(user, password));
        assert_eq!(Credentials::of_token(header.map(str::as_bytes)), expected);
    }

    #[rstest]
    #[case::none(None, Err(AccessRefusal::NoCredentials))]
    #[case::no_scheme(Some("root:Milvus"), Err(AccessRefusal::Malformed))]
    #[case::other_scheme(Some("Digest x"), Err(AccessRefusal::Malformed))]
    #[case::bearer(Some("Bearer root:Milvus"), Ok(("root", "Milvus")))]
    #[case::bearer_without_colon(Some("bearer key"), Err(AccessRefusal::ApiKey))]
    #[case::basic(Some("Basic cm9vdDpNaWx2dXM="), Ok(("root", "Milvus")))]
    fn headers_of_http(#[case] header: Option<&str>, #[case] expected: Result<(&str, &str), AccessRefusal>) {
        let expected = expected.map(|(user, password)| Credentials::new(user, password));
        assert_eq!(Credentials::of_http(header.map(str::as_bytes)), expected);
    }

    #[test]
    fn a_password_is_not_printed() {
        assert!(!format!("{:?}", Credentials::new("u", "marked")).contains("marked"));
    }
}
