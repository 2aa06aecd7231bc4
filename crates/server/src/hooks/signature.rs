//! The signature of what is sent. The time is signed too, so that what was overheard can't be sent again later.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use vecferry_milvus::Secret;

/// The value of the header `Vecferry-Signature`.
pub(super) fn header(secret: &Secret, seconds: i64, body: &str) -> String {
    format!("t={seconds},v1={}", hex_of(secret, &format!("{seconds}.{body}")))
}

fn hex_of(secret: &Secret, text: &str) -> String {
    // Every length of a key is good for HMAC.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()) else {
        return String::new();
    };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test case 2 of RFC 4231.
    #[test]
    fn a_signature_is_hmac_sha_256() {
        assert_eq!(
            hex_of(&Secret::new("Jefe"), "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn a_signature_is_bound_to_the_time_and_the_body() {
        let secret = Secret::new("vfw_secret");
        let header_of = |seconds, body| header(&secret, seconds, body);
        let first = header_of(1_700_000_000, "{}");
        let signed = hex_of(&secret, "1700000000.{}");
        assert_eq!(first, format!("t=1700000000,v1={signed}"));
        let part = |header: &str| header.split_once(",v1=").unwrap().1.to_owned();
        assert_ne!(part(&header_of(1_700_000_001, "{}")), signed);
        assert_ne!(part(&header_of(1_700_000_000, "{ }")), signed);
        assert_ne!(part(&header(&Secret::new("vfw_other"), 1_700_000_000, "{}")), signed);
    }
}
