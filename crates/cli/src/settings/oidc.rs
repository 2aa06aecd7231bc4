//! Settings of sign-in with an identity provider.

use std::path::PathBuf;

use vecferry_migrate::Problem;
use vecferry_milvus::Secret;
use vecferry_server::OidcSettings;
use vecferry_server::secret::file::private_text;

use super::checked::Listen;
use super::{Configuration, Value, invalid};

/// Everything but what is known when the service listens.
#[derive(Debug)]
pub(crate) struct Oidc {
    settings: OidcSettings,
    secret_file: Option<SecretFile>,
}

#[derive(Debug)]
struct SecretFile {
    path: PathBuf,
    place: String,
}

impl Oidc {
    /// Reads it; none where no provider is set.
    ///
    /// # Errors
    /// Something is missing, or can't be used.
    pub(super) fn of(
        configuration: &Configuration,
        listen: &Listen,
        is_behind_proxy: bool,
    ) -> Result<Option<Self>, Problem> {
        let Some(issuer) = configuration.value("oidc-issuer") else { return needless(configuration) };
        let text = |name| configuration.value(name).and_then(Value::text).map(str::to_owned);
        let url = text("oidc-issuer").unwrap_or_default();
        if !OidcSettings::is_issuer(&url) {
            return Err(issuer.refuse((
                format!("`{url}` is not an https:// address (http:// is for this machine only)"),
                format!("`{url}` 不是 https:// 地址（http:// 仅限本机）"),
            )));
        }
        let Some(client_id) = text("oidc-client-id") else {
            return Err(issuer.refuse((
                "needs `oidc-client-id` too".to_owned(),
                "还需要设置 `oidc-client-id`".to_owned(),
            )));
        };
        let (client_secret, secret_file) = secret(configuration)?;
        let settings = OidcSettings {
            issuer: url,
            client_id,
            client_secret,
            redirect_url: redirect_url(configuration, listen, is_behind_proxy)?,
            email_domains: domains(configuration)?,
            join: join(configuration)?,
        };
        Ok(Some(Self { settings, secret_file }))
    }

    /// The settings of a service that listens at an address.
    ///
    /// # Errors
    /// The file of the secret can't be read.
    pub(crate) fn at(self, url: &str) -> Result<OidcSettings, Problem> {
        let mut settings = self.settings;
        if settings.redirect_url.is_empty() {
            settings.redirect_url = format!("{url}{}", OidcSettings::CALLBACK);
        }
        if let Some(SecretFile { path, place }) = self.secret_file {
            let unusable = |error: vecferry_server::secret::file::Error| {
                invalid(place, error.to_string(), format!("无法使用该文件：{error}"))
            };
            settings.client_secret = Some(Secret::new(private_text(&path).map_err(unusable)?));
        }
        Ok(settings)
    }
}

/// Nothing else is set without a provider: it would be thought to have an effect.
fn needless(configuration: &Configuration) -> Result<Option<Oidc>, Problem> {
    let names = [
        "oidc-client-id",
        "oidc-client-secret",
        "oidc-client-secret-file",
        "oidc-redirect-url",
        "oidc-email-domain",
        "oidc-join",
    ];
    match names.into_iter().find_map(|name| configuration.value(name)) {
        Some(value) => {
            Err(value.refuse(("needs `oidc-issuer` too".to_owned(), "还需要设置 `oidc-issuer`".to_owned())))
        }
        None => Ok(None),
    }
}

fn secret(configuration: &Configuration) -> Result<(Option<Secret>, Option<SecretFile>), Problem> {
    let (text, file) =
        (configuration.value("oidc-client-secret"), configuration.value("oidc-client-secret-file"));
    if let (Some(text), Some(file)) = (text, file) {
        let other = text.place();
        return Err(file.refuse((
            format!("the client secret already comes from {other}: set only one of them"),
            format!("客户端密钥已由 {other} 提供：只能设置其中之一"),
        )));
    }
    let text = text.and_then(Value::text).map(Secret::new);
    let file =
        file.map(|file| SecretFile { path: file.text().unwrap_or_default().into(), place: file.place() });
    Ok((text, file))
}

/// Empty where it is the address that the service listens at.
fn redirect_url(
    configuration: &Configuration,
    listen: &Listen,
    is_behind_proxy: bool,
) -> Result<String, Problem> {
    let callback = OidcSettings::CALLBACK;
    match configuration.value("oidc-redirect-url") {
        Some(value) => {
            let url = value.text().unwrap_or_default();
            if OidcSettings::is_issuer(url) && url.ends_with(callback) {
                return Ok(url.to_owned());
            }
            Err(value.refuse((
                format!("`{url}` is not https://HOST{callback} (http:// is for this machine only)"),
                format!("`{url}` 不是 https://HOST{callback} 形式的地址（http:// 仅限本机）"),
            )))
        }
        None if is_behind_proxy || listen.address.ip().is_unspecified() => Err(invalid(
            "`oidc-redirect-url`",
            format!(
                "set it to https://HOST{callback}: browsers reach the service at another address than the one it listens on"
            ),
            format!("请设置为 https://HOST{callback}：浏览器访问服务的地址与监听地址不同"),
        )),
        None => Ok(String::new()),
    }
}

fn domains(configuration: &Configuration) -> Result<Vec<String>, Problem> {
    let Some(value) = configuration.value("oidc-email-domain") else { return Ok(Vec::new()) };
    let is_domain = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
    };
    match value.texts.iter().find(|text| !is_domain(text)) {
        Some(text) => Err(value.refuse((
            format!("`{text}` is not a domain, as in example.com"),
            format!("`{text}` 不是域名，正确的写法如 example.com"),
        ))),
        None => Ok(value.texts.clone()),
    }
}

fn join(configuration: &Configuration) -> Result<Option<String>, Problem> {
    let Some(value) = configuration.value("oidc-join") else { return Ok(None) };
    if configuration.value("oidc-email-domain").is_none() {
        return Err(value.refuse((
            "needs `oidc-email-domain` too: otherwise everyone with an account at the provider joins"
                .to_owned(),
            "还需要设置 `oidc-email-domain`：否则在身份提供方拥有账号的任何人都会加入".to_owned(),
        )));
    }
    Ok(value.text().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use vecferry_migrate::{Code, Lang};

    use super::super::checked::Checked;
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Oidc>, String> {
        let variable = |name: &str| {
            let short = name.strip_prefix("VECFERRY_SERVE_")?;
            variables.iter().find(|(known, _)| *known == short).map(|(_, value)| (*value).to_owned())
        };
        let configuration = Configuration::read(None, variable, Vec::new()).unwrap();
        Checked::of(&configuration).map(|checked| checked.oidc).map_err(|problem| {
            assert_eq!(problem.code, Code::ConfigInvalid);
            assert_ne!(problem.what(Lang::En), problem.what(Lang::Zh));
            problem.what(Lang::En)["the configuration is invalid: ".len()..].to_owned()
        })
    }

    const ISSUER: (&str, &str) = ("OIDC_ISSUER", "https://id.example.com");
    const CLIENT: (&str, &str) = ("OIDC_CLIENT_ID", "vecferry");

    #[test]
    fn the_callback_is_at_the_address_of_the_service() {
        let settings = read(&[ISSUER, CLIENT]).unwrap().unwrap().at("http://127.0.0.1:19777").unwrap();
        assert_eq!(settings.redirect_url, "http://127.0.0.1:19777/v2/session/oidc/callback");
        assert_eq!((settings.client_secret, settings.join), (None, None));
        let url = ("OIDC_REDIRECT_URL", "https://v.example.com/v2/session/oidc/callback");
        let set = [ISSUER, CLIENT, url, ("OIDC_CLIENT_SECRET", "planted")];
        let oidc = read(&set).unwrap().unwrap();
        assert!(!format!("{oidc:?}").contains("planted"));
        let settings = oidc.at("http://127.0.0.1:19777").unwrap();
        assert_eq!(settings.redirect_url, url.1);
        assert_eq!(settings.client_secret, Some(Secret::new("planted")));
        assert!(read(&[]).unwrap().is_none());
    }

    #[test]
    fn a_secret_is_in_a_file_that_only_its_owner_reads() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "planted\n").unwrap();
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let file = ("OIDC_CLIENT_SECRET_FILE", path.to_str().unwrap());
        let settings = || read(&[ISSUER, CLIENT, file]).unwrap().unwrap().at("http://h");
        mode(0o644);
        let problem = settings().unwrap_err();
        assert!(problem.what(Lang::En).contains("other users can access the file"), "{problem:?}");
        mode(0o600);
        assert_eq!(settings().unwrap().client_secret, Some(Secret::new("planted")));
        std::fs::write(&path, "\n").unwrap();
        assert!(settings().unwrap_err().what(Lang::En).contains("is empty"));
        let refused = read(&[ISSUER, CLIENT, file, ("OIDC_CLIENT_SECRET", "planted")]).unwrap_err();
        assert!(refused.contains("already comes from `VECFERRY_SERVE_OIDC_CLIENT_SECRET`"), "{refused}");
    }

    #[test]
    fn settings_that_do_not_go_together_are_refused() {
        let callback = "/v2/session/oidc/callback";
        let insecure = format!("http://v.example.com{callback}");
        for (set, refusal) in [
            (vec![ISSUER], "`VECFERRY_SERVE_OIDC_ISSUER`: needs `oidc-client-id` too"),
            (vec![CLIENT], "`VECFERRY_SERVE_OIDC_CLIENT_ID`: needs `oidc-issuer` too"),
            (vec![("OIDC_JOIN", "org-1")], "`VECFERRY_SERVE_OIDC_JOIN`: needs `oidc-issuer` too"),
            (
                vec![("OIDC_ISSUER", "http://id.example.com"), CLIENT],
                "`VECFERRY_SERVE_OIDC_ISSUER`: `http://id.example.com` is not an https:// address",
            ),
            (vec![ISSUER, CLIENT, ("OIDC_REDIRECT_URL", &insecure)], "is not https://HOST/v2/session"),
            (
                vec![ISSUER, CLIENT, ("OIDC_REDIRECT_URL", "https://v.example.com/")],
                "is not https://HOST/v2/",
            ),
            (vec![ISSUER, CLIENT, ("OIDC_EMAIL_DOMAIN", "a@b")], "`a@b` is not a domain"),
            (vec![ISSUER, CLIENT, ("OIDC_JOIN", "org-1")], "needs `oidc-email-domain` too"),
            (
                vec![ISSUER, CLIENT, ("BEHIND_TLS", "true")],
                "`oidc-redirect-url`: set it to https://HOST/v2/session/oidc/callback",
            ),
        ] {
            let refused = read(&set).unwrap_err();
            assert!(refused.contains(refusal), "{refused}");
        }
        let domain = ("OIDC_EMAIL_DOMAIN", "example.com, example.org");
        let joining = read(&[ISSUER, CLIENT, domain, ("OIDC_JOIN", "org-1")]).unwrap().unwrap();
        assert_eq!(joining.settings.email_domains, ["example.com", "example.org"]);
    }
}
