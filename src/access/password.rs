//! Passwords: argon2id with parameters that are stored beside each hash.
//!
//! 7 MiB, five passes, one lane: of the settings that OWASP calls equal the one with the least memory. A hash takes some 15 ms
//! of one core. Salts have 122 random bits of the system. Must never: keep a password.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq as _;

use super::error::AccessFailure;
use crate::{config::HASH_BYTES, ids, model::PasswordHash};

const MEMORY_KIB: u32 = (HASH_BYTES >> 10) as u32;
const PASSES: u32 = 5;
const LANES: u32 = 1;
const DIGEST_BYTES: usize = 32;
const ALGORITHM: &str = "argon2id";

/// A new hash of a password. Takes a core for some milliseconds.
pub(super) fn hash(password: &str) -> Result<PasswordHash, AccessFailure> {
    let salt = ids::unique_name();
    let digest = digest(password, salt.as_bytes(), (MEMORY_KIB, PASSES, LANES))?;
    Ok(PasswordHash {
        algorithm: ALGORITHM.to_owned(),
        memory_kib: MEMORY_KIB,
        passes: PASSES,
        lanes: LANES,
        salt: STANDARD.encode(salt.as_bytes()),
        digest: STANDARD.encode(digest),
    })
}

/// True if the password is the one that was hashed. Without a hash it takes as long, and is false.
pub(super) fn is_right(stored: Option<&PasswordHash>, password: &str) -> Result<bool, AccessFailure> {
    let Some(stored) = stored else {
        digest(password, &[0; 16], (MEMORY_KIB, PASSES, LANES))?;
        return Ok(false);
    };
    let text = |what| AccessFailure::Internal(format!("the stored hash of a password has a {what} that can't be read"));
    if stored.algorithm != ALGORITHM {
        return Err(text("algorithm"));
    }
    let salt = STANDARD.decode(&stored.salt).map_err(|_| text("salt"))?;
    let expected = STANDARD.decode(&stored.digest).map_err(|_| text("digest"))?;
    let found = digest(password, &salt, (stored.memory_kib, stored.passes, stored.lanes))?;
    Ok(found.as_slice().ct_eq(&expected).into())
}

/// Compares without telling by its time where the texts differ.
pub(super) fn is_same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

fn digest(password: &str, salt: &[u8], cost: (u32, u32, u32)) -> Result<[u8; DIGEST_BYTES], AccessFailure> {
    let failed = |e: argon2::Error| AccessFailure::Internal(format!("argon2: {e}"));
    let params = Params::new(cost.0, cost.1, cost.2, Some(DIGEST_BYTES)).map_err(failed)?;
    let mut out = [0; DIGEST_BYTES];
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon.hash_password_into(password.as_bytes(), salt, &mut out).map_err(failed)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_knows_its_password_and_no_other() {
        let stored = hash("secret1").unwrap();
        assert!(is_right(Some(&stored), "secret1").unwrap());
        for other in ["secret2", "secret1 ", "", "Secret1"] {
            assert!(!is_right(Some(&stored), other).unwrap(), "{other}");
        }
        assert!(!is_right(None, "").unwrap());
        assert_ne!(stored, hash("secret1").unwrap(), "the salt differs");
    }

    #[test]
    fn the_parameters_are_those_of_the_record() {
        let digest = digest("secret1", b"0123456789abcdef", (64, 1, 1)).unwrap();
        let old = PasswordHash {
            algorithm: ALGORITHM.into(),
            memory_kib: 64,
            passes: 1,
            lanes: 1,
            salt: STANDARD.encode(b"0123456789abcdef"),
            digest: STANDARD.encode(digest),
        };
        assert!(is_right(Some(&old), "secret1").unwrap());
        assert!(!is_right(Some(&PasswordHash { passes: 2, ..old.clone() }), "secret1").unwrap());
        assert!(is_right(Some(&PasswordHash { algorithm: "md5".into(), ..old }), "secret1").is_err());
    }
}
