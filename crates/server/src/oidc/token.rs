//! ID tokens: signed JSON (RFC 7519) that says who signed in. Only signatures with a public key are accepted: with a shared
//! key, whoever can check a token can also make one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};
use serde::Deserialize;
use serde_json::Value;

use crate::secret::token::is_equal;

/// Clocks may differ by so much.
const SKEW_SECONDS: f64 = 60.0;
/// Characters of an algorithm's name that are told.
const NAME_CHARACTERS_MAX: usize = 20;

/// Why a token signs nobody in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Invalid {
    /// It is no token.
    Malformed,
    /// It is signed in a way that is not accepted, or not at all.
    Algorithm(String),
    /// It is signed with a key that the provider does not publish.
    UnknownKey,
    /// It was changed, or signed with another key.
    Signature,
    /// Another provider made it.
    Issuer,
    /// It is for another client.
    Audience,
    /// It is for another sign-in.
    Nonce,
    /// It is over.
    Expired,
    /// It is not valid yet.
    Early,
    /// The user info is about somebody else.
    Subject,
    /// It names no e-mail address.
    NoEmail,
    /// The provider has not verified the e-mail address.
    UnverifiedEmail,
}

impl Invalid {
    /// In English and Chinese.
    pub(super) fn texts(&self) -> (String, String) {
        let texts = match self {
            Self::Algorithm(name) => {
                return (
                    format!("the ID token is signed with `{name}`, which is not accepted"),
                    format!("ID 令牌使用 `{name}` 签名，该算法不被接受"),
                );
            }
            Self::Malformed => ("the ID token cannot be read", "无法读取 ID 令牌"),
            Self::UnknownKey => (
                "the ID token is signed with a key that the identity provider does not publish",
                "ID 令牌的签名密钥不在身份提供方公布的密钥之中",
            ),
            Self::Signature => ("the signature of the ID token is not valid", "ID 令牌的签名无效"),
            Self::Issuer => ("the answer comes from another issuer", "应答来自其他签发方"),
            Self::Audience => ("the ID token is for another client", "ID 令牌不是签发给本服务的"),
            Self::Nonce => ("the ID token is for another sign-in", "ID 令牌不属于本次登录"),
            Self::Expired => ("the ID token has expired", "ID 令牌已过期"),
            Self::Early => ("the ID token is not valid yet", "ID 令牌尚未生效"),
            Self::Subject => {
                ("the user info is about another user than the ID token", "用户信息与 ID 令牌不属于同一用户")
            }
            Self::NoEmail => ("the identity provider gave no e-mail address", "身份提供方没有提供邮箱地址"),
            Self::UnverifiedEmail => {
                ("the identity provider has not verified the e-mail address", "身份提供方尚未验证该邮箱地址")
            }
        };
        (texts.0.to_owned(), texts.1.to_owned())
    }
}

/// A public key of the provider.
#[derive(Debug)]
pub(super) struct Key {
    id: Option<String>,
    /// The only algorithm that it is for.
    algorithm: Option<String>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// The curve, and the point as it is encoded.
    Ec {
        curve: String,
        point: Vec<u8>,
    },
    Ed25519(Vec<u8>),
}

impl Key {
    /// A key of a published set; none where it is not for signatures, or of a kind that is not known.
    pub(super) fn of_json(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let bytes = |name: &str| decoded(&text(name)?);
        if text("use").is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let material = match text("kty")?.as_str() {
            "RSA" => Material::Rsa { modulus: trimmed(bytes("n")?), exponent: trimmed(bytes("e")?) },
            // An uncompressed point.
            "EC" => Material::Ec { curve: text("crv")?, point: [vec![4], bytes("x")?, bytes("y")?].concat() },
            "OKP" if text("crv")? == "Ed25519" => Material::Ed25519(bytes("x")?),
            _ => return None,
        };
        Some(Self { id: text("kid"), algorithm: text("alg"), material })
    }

    /// Whether it can be the key of a token.
    fn is_for(&self, header: &Header) -> bool {
        let is_named = header.kid.is_none() || self.id.is_none() || self.id == header.kid;
        let is_algorithm = self.algorithm.as_ref().is_none_or(|algorithm| *algorithm == header.alg);
        let is_kind = match &self.material {
            Material::Rsa { .. } => rsa(&header.alg).is_some(),
            Material::Ec { curve, .. } => ec(&header.alg).is_some_and(|(known, _)| known == curve),
            Material::Ed25519(_) => header.alg == "EdDSA",
        };
        is_named && is_algorithm && is_kind
    }

    fn verifies(&self, header: &Header, signed: &[u8], signature: &[u8]) -> bool {
        let verified = match &self.material {
            Material::Rsa { modulus, exponent } => rsa(&header.alg).map(|parameters| {
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(parameters, signed, signature)
            }),
            Material::Ec { point, .. } => ec(&header.alg)
                .map(|(_, algorithm)| UnparsedPublicKey::new(algorithm, point).verify(signed, signature)),
            Material::Ed25519(point) => {
                Some(UnparsedPublicKey::new(&ED25519, point).verify(signed, signature))
            }
        };
        matches!(verified, Some(Ok(())))
    }
}

fn rsa(algorithm: &str) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        "RS256" => &RSA_PKCS1_2048_8192_SHA256,
        "RS384" => &RSA_PKCS1_2048_8192_SHA384,
        "RS512" => &RSA_PKCS1_2048_8192_SHA512,
        "PS256" => &RSA_PSS_2048_8192_SHA256,
        "PS384" => &RSA_PSS_2048_8192_SHA384,
        "PS512" => &RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn ec(algorithm: &str) -> Option<(&'static str, &'static dyn VerificationAlgorithm)> {
    Some(match algorithm {
        "ES256" => ("P-256", &ECDSA_P256_SHA256_FIXED),
        "ES384" => ("P-384", &ECDSA_P384_SHA384_FIXED),
        _ => return None,
    })
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

/// Numbers without zeros before them.
fn trimmed(number: Vec<u8>) -> Vec<u8> {
    number.into_iter().skip_while(|byte| *byte == 0).collect()
}

/// How a token is signed.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// What must be understood: nothing is.
    crit: Option<Value>,
}

/// What a token says.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Claims {
    iss: String,
    pub(super) sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: f64,
    iat: Option<f64>,
    nbf: Option<f64>,
    nonce: Option<String>,
    pub(super) email: Option<String>,
    email_verified: Option<Value>,
    pub(super) name: Option<String>,
}

/// What the provider tells apart from the token.
#[derive(Debug, Deserialize)]
pub(super) struct UserInfo {
    sub: String,
    email: Option<String>,
    email_verified: Option<Value>,
    name: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// What a token has to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    pub(super) now_ms: i64,
}

/// What a token says that is signed with one of the keys.
pub(super) fn verified(token: &str, keys: &[Key]) -> Result<Claims, Invalid> {
    let (signed, signature) = token.rsplit_once('.').ok_or(Invalid::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(Invalid::Malformed)?;
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| Invalid::Malformed);
    let header: Header = serde_json::from_slice(&bytes(header)?).map_err(|_| Invalid::Malformed)?;
    if header.crit.is_some() {
        return Err(Invalid::Malformed);
    }
    if rsa(&header.alg).is_none() && ec(&header.alg).is_none() && header.alg != "EdDSA" {
        let is_plain = |character: &char| character.is_ascii_alphanumeric() || *character == '-';
        let name = header.alg.chars().filter(is_plain).take(NAME_CHARACTERS_MAX).collect();
        return Err(Invalid::Algorithm(name));
    }
    let mut fitting = keys.iter().filter(|key| key.is_for(&header)).peekable();
    if fitting.peek().is_none() {
        return Err(Invalid::UnknownKey);
    }
    let signature = bytes(signature)?;
    if !fitting.any(|key| key.verifies(&header, signed.as_bytes(), &signature)) {
        // Without an ID, a new key is told from a wrong signature by asking for the keys again.
        return Err(if header.kid.is_none() { Invalid::UnknownKey } else { Invalid::Signature });
    }
    serde_json::from_slice(&bytes(payload)?).map_err(|_| Invalid::Malformed)
}

impl Claims {
    /// Whether the token is for this sign-in, now.
    pub(super) fn check(&self, expected: &Expected<'_>) -> Result<(), Invalid> {
        let Expected { issuer, client_id, nonce, now_ms } = *expected;
        if self.iss != issuer {
            return Err(Invalid::Issuer);
        }
        let is_party = || self.azp.as_deref() == Some(client_id);
        let is_ours = match &self.aud {
            Audience::One(audience) => audience == client_id,
            Audience::Many(audiences) => {
                audiences.iter().any(|audience| audience == client_id) && (audiences.len() == 1 || is_party())
            }
        };
        if !is_ours || (self.azp.is_some() && !is_party()) {
            return Err(Invalid::Audience);
        }
        if !is_equal(self.nonce.as_deref().unwrap_or_default(), nonce) {
            return Err(Invalid::Nonce);
        }
        let now = now_ms as f64 / 1000.0;
        let is_valid = self.exp + SKEW_SECONDS > now;
        if !is_valid {
            return Err(Invalid::Expired);
        }
        if [self.iat, self.nbf].into_iter().flatten().any(|begin| begin > now + SKEW_SECONDS) {
            return Err(Invalid::Early);
        }
        Ok(())
    }

    /// With what the provider tells apart from the token.
    pub(super) fn completed(self, info: UserInfo) -> Result<Self, Invalid> {
        if info.sub != self.sub {
            return Err(Invalid::Subject);
        }
        let name = self.name.or(info.name);
        Ok(Self { email: info.email, email_verified: info.email_verified, name, ..self })
    }

    /// Some providers send it as a text.
    pub(super) fn is_email_verified(&self) -> bool {
        match &self.email_verified {
            Some(Value::Bool(is_verified)) => *is_verified,
            Some(Value::String(text)) => text == "true",
            Some(Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_)) | None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
    use serde_json::json;

    use super::*;

    const NOW_MS: i64 = 1_700_000_000_000;

    struct Signer(EcdsaKeyPair);

    impl Signer {
        fn new() -> Self {
            let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
            let pair = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
            Self(EcdsaKeyPair::from_pkcs8(algorithm, pair.as_ref(), &random).unwrap())
        }

        fn jwk(&self, id: &str) -> Value {
            let point = self.0.public_key().as_ref();
            let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
            json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": id, "x": x, "y": y})
        }

        fn token(&self, header: &Value, claims: &Value) -> String {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let signed = format!("{}.{}", part(header), part(claims));
            let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    fn claims() -> Value {
        json!({"iss": "https://id.example.com", "sub": "s", "aud": "me", "nonce": "n", "iat": 1_700_000_000,
            "exp": 1_700_000_300, "email": "a@example.com", "email_verified": true})
    }

    fn keys(jwks: &[Value]) -> Vec<Key> {
        jwks.iter().filter_map(Key::of_json).collect()
    }

    #[test]
    fn only_a_token_that_a_published_key_signed_is_read() {
        let (signer, other) = (Signer::new(), Signer::new());
        let published = keys(&[other.jwk("old"), signer.jwk("new")]);
        let header = json!({"alg": "ES256", "kid": "new"});
        let token = signer.token(&header, &claims());
        assert_eq!(verified(&token, &published).unwrap().sub, "s");
        let nameless = signer.token(&json!({"alg": "ES256"}), &claims());
        assert_eq!(verified(&nameless, &published).unwrap().sub, "s");

        let refused = |token: &str| verified(token, &published).unwrap_err();
        assert_eq!(refused(&other.token(&header, &claims())), Invalid::Signature);
        let mut changed = claims();
        changed["sub"] = json!("root");
        let parts: Vec<_> = token.split('.').collect();
        let swapped = format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(changed.to_string()), parts[2]);
        assert_eq!(refused(&swapped), Invalid::Signature);
        assert_eq!(refused(&format!("{}.{}.", parts[0], parts[1])), Invalid::Signature);
        let unknown = signer.token(&json!({"alg": "ES256", "kid": "newer"}), &claims());
        assert_eq!(refused(&unknown), Invalid::UnknownKey);
        let critical = signer.token(&json!({"alg": "ES256", "kid": "new", "crit": ["x"]}), &claims());
        assert_eq!(refused(&critical), Invalid::Malformed);
        for algorithm in ["none", "HS256", "None", "RS1"] {
            let token = signer.token(&json!({"alg": algorithm, "kid": "new"}), &claims());
            assert_eq!(refused(&token), Invalid::Algorithm(algorithm.to_owned()));
        }
        // A key of another kind than the algorithm's.
        let confused = signer.token(&json!({"alg": "RS256", "kid": "new"}), &claims());
        assert_eq!(refused(&confused), Invalid::UnknownKey);
        for text in ["", "a", "a.b", "a.b.c", "..", &token[1..], &format!("{token}.x")] {
            assert_eq!(refused(text), Invalid::Malformed, "{text}");
        }
    }

    #[test]
    fn keys_that_are_for_something_else_are_not_used() {
        let signer = Signer::new();
        let mut other = signer.jwk("a");
        other["use"] = json!("enc");
        assert!(Key::of_json(&other).is_none());
        other["use"] = json!("sig");
        other["alg"] = json!("ES384");
        let token = signer.token(&json!({"alg": "ES256", "kid": "a"}), &claims());
        assert_eq!(verified(&token, &keys(&[other])).unwrap_err(), Invalid::UnknownKey);
        for strange in
            [json!({"kty": "oct", "k": "AA"}), json!({"kty": "RSA", "n": "!"}), json!(1), json!({})]
        {
            assert!(Key::of_json(&strange).is_none(), "{strange}");
        }
    }

    #[test]
    fn ed25519_signs_too() {
        let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pair.as_ref()).unwrap();
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({"alg": "EdDSA"})), part(&claims()));
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes())));
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        assert!(verified(&token, &keys(&[json!({"kty": "OKP", "crv": "Ed25519", "x": x})])).is_ok());
        let x = URL_SAFE_NO_PAD.encode([1; 32]);
        let other = keys(&[json!({"kty": "OKP", "crv": "Ed25519", "x": x})]);
        assert_eq!(verified(&token, &other).unwrap_err(), Invalid::UnknownKey);
    }

    /// The example of RFC 7515, A.2.
    #[test]
    fn rs256_is_that_of_the_standard() {
        let n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
        let signed = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
        let key = keys(&[json!({"kty": "RSA", "n": n, "e": "AQAB"})]);
        let header = Header { alg: "RS256".into(), kid: None, crit: None };
        let signature = decoded(signature).unwrap();
        assert!(key[0].verifies(&header, signed.as_bytes(), &signature));
        assert!(!key[0].verifies(
            &header,
            signed.replace("joe", "jim").to_uppercase().as_bytes(),
            &signature
        ));
    }

    fn checked(change: impl FnOnce(&mut Value)) -> Result<(), Invalid> {
        let mut value = claims();
        change(&mut value);
        let claims: Claims = serde_json::from_value(value).map_err(|_| Invalid::Malformed)?;
        let issuer = "https://id.example.com";
        claims.check(&Expected { issuer, client_id: "me", nonce: "n", now_ms: NOW_MS })
    }

    #[test]
    fn a_token_is_for_this_sign_in_only() {
        let set = |name: &'static str, to: Value| checked(move |claims| claims[name] = to);
        assert_eq!(checked(|_| {}), Ok(()));
        assert_eq!(set("aud", json!(["me"])), Ok(()));
        assert_eq!(set("iss", json!("https://id.example.com/")), Err(Invalid::Issuer));
        assert_eq!(set("aud", json!("you")), Err(Invalid::Audience));
        assert_eq!(set("aud", json!([])), Err(Invalid::Audience));
        assert_eq!(set("aud", json!(["me", "you"])), Err(Invalid::Audience));
        assert_eq!(set("azp", json!("you")), Err(Invalid::Audience));
        let both = |claims: &mut Value| (claims["aud"], claims["azp"]) = (json!(["me", "you"]), json!("me"));
        assert_eq!(checked(both), Ok(()));
        assert_eq!(set("nonce", json!("other")), Err(Invalid::Nonce));
        assert_eq!(set("nonce", Value::Null), Err(Invalid::Nonce));
        for name in ["iss", "sub", "aud", "exp"] {
            assert_eq!(set(name, Value::Null), Err(Invalid::Malformed), "{name}");
        }
        assert_eq!(set("exp", json!("1700000300")), Err(Invalid::Malformed));
    }

    #[test]
    fn clocks_may_differ_by_a_minute() {
        let set = |name: &'static str, to: f64| checked(move |claims| claims[name] = json!(to));
        assert_eq!(set("exp", 1_699_999_941.0), Ok(()));
        assert_eq!(set("exp", 1_699_999_940.0), Err(Invalid::Expired));
        assert_eq!(set("iat", 1_700_000_060.0), Ok(()));
        assert_eq!(set("iat", 1_700_000_061.0), Err(Invalid::Early));
        assert_eq!(set("nbf", 1_700_000_061.0), Err(Invalid::Early));
    }

    #[test]
    fn only_what_the_provider_says_is_verified_is() {
        for (value, is_verified) in [
            (json!(true), true),
            (json!("true"), true),
            (json!(false), false),
            (json!("false"), false),
            (json!(1), false),
            (Value::Null, false),
        ] {
            let mut claims = claims();
            claims["email_verified"] = value.clone();
            let claims: Claims = serde_json::from_value(claims).unwrap();
            assert_eq!(claims.is_email_verified(), is_verified, "{value}");
        }
    }

    #[test]
    fn user_info_of_somebody_else_is_refused() {
        let token: Claims = serde_json::from_value(claims()).unwrap();
        let info = |sub: &str| serde_json::from_value(json!({"sub": sub, "email": "b@example.com"})).unwrap();
        assert_eq!(token.clone().completed(info("other")).unwrap_err(), Invalid::Subject);
        let completed = token.completed(info("s")).unwrap();
        // The two go together.
        assert_eq!(completed.email.as_deref(), Some("b@example.com"));
        assert!(!completed.is_email_verified());
    }
}
