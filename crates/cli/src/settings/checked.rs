//! What the settings mean, and whether they go together.

use std::net::SocketAddr;
use std::path::PathBuf;

use vecferry_migrate::Problem;
use vecferry_milvus::Secret;
use vecferry_server::Settings;
use vecferry_server::network::{Cidr, Networks};
use vecferry_server::secret::keyring::KeySource;
use vecferry_server::traces::Collector;

use super::limits::{LIMITS, Limit};
use super::oidc::Oidc;
use super::{Configuration, KEY_VARIABLE, Value, invalid};
use crate::args::StateArgs;

/// Files with a certificate chain and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The chain.
    pub(crate) certificate: PathBuf,
    /// The key.
    pub(crate) key: PathBuf,
    /// Where the chain was set, for a problem.
    pub(crate) place: String,
}

/// Where the service listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    /// The address.
    pub(crate) address: SocketAddr,
    /// Where it was set, for a problem.
    pub(crate) place: String,
}

/// Where the service keeps its records, and its keys.
#[derive(Debug)]
pub(crate) struct Base {
    /// The store.
    pub(crate) state: StateArgs,
    /// Where the keys are; none if they are in the state directory.
    pub(crate) keys: Option<KeySource>,
    /// Where the keys are set, for a problem.
    pub(crate) keys_place: String,
}

impl Base {
    /// Reads it.
    ///
    /// # Errors
    /// Keys come from several places, or from none although there is no state directory to keep them in.
    pub(crate) fn of(configuration: &Configuration) -> Result<Self, Problem> {
        let path = |name| configuration.value(name).and_then(Value::text).map(PathBuf::from);
        let store = configuration.value("store").and_then(Value::text).map(Secret::new);
        let sources = ["key-file", "key-command", "key"].map(|name| configuration.value(name));
        let mut sources = sources.into_iter().flatten();
        let source = sources.next();
        if let (Some(first), Some(second)) = (source, sources.next()) {
            let first = first.place();
            return Err(second.refuse((
                format!("the keys already come from {first}: set only one of them"),
                format!("密钥已由 {first} 提供：只能设置其中之一"),
            )));
        }
        let keys = source.and_then(key_source);
        if keys.is_none() && store.is_some() {
            return Err(invalid(
                "`key-file`",
                format!(
                    "with a PostgreSQL store all processes need the same keys: set `key-file`, `key-command` or the variable `{KEY_VARIABLE}`"
                ),
                format!(
                    "使用 PostgreSQL 存储时，所有进程需要相同的密钥：请设置 `key-file`、`key-command` 或环境变量 `{KEY_VARIABLE}`"
                ),
            ));
        }
        let keys_place = source.map_or_else(|| "`key-file`".to_owned(), Value::place);
        Ok(Self { state: StateArgs { state_dir: path("state-dir"), store }, keys, keys_place })
    }
}

fn key_source(value: &Value) -> Option<KeySource> {
    let text = value.text()?.to_owned();
    Some(match value.setting.name {
        "key-file" => KeySource::File(text.into()),
        "key-command" => KeySource::Command(text),
        _ => KeySource::Environment(KEY_VARIABLE.to_owned()),
    })
}

/// All that is needed to run the service.
pub(crate) struct Checked {
    /// Where it keeps its records.
    pub(crate) base: Base,
    /// Where it listens.
    pub(crate) listen: Listen,
    /// Its own TLS.
    pub(crate) tls: Option<TlsFiles>,
    /// Sign-in with an identity provider.
    pub(crate) oidc: Option<Oidc>,
    /// Everything else.
    pub(crate) settings: Settings,
}

impl Checked {
    /// Reads all settings.
    ///
    /// # Errors
    /// The first one that can't be used.
    pub(crate) fn of(configuration: &Configuration) -> Result<Self, Problem> {
        let listen = configuration.listen()?;
        let tls = configuration.tls()?;
        let is_behind_tls = configuration.switch("behind-tls")?;
        if !listen.address.ip().is_loopback() && tls.is_none() && !is_behind_tls {
            let address = listen.address;
            return Err(invalid(
                &listen.place,
                format!(
                    "other machines can reach {address}, and without TLS passwords and API keys can be read on the way: set `tls-cert` and `tls-key`, or `behind-tls` if a proxy terminates TLS"
                ),
                format!(
                    "其他机器可以访问 {address}，没有 TLS 时密码和 API 密钥会在传输中被读取：请设置 `tls-cert` 和 `tls-key`；如果由代理处理 TLS，请设置 `behind-tls`"
                ),
            ));
        }
        let mut settings = Settings {
            networks: Networks {
                allow: configuration.networks("allow-network")?,
                deny: configuration.networks("deny-network")?,
            },
            is_behind_tls: is_behind_tls || tls.is_some(),
            trusted_proxies: configuration.networks("trusted-proxies")?,
            are_metrics_open: configuration.switch("metrics-open")?,
            ..Settings::default()
        };
        for limit in &LIMITS {
            let number = configuration.number(limit)?;
            (limit.set)(&mut settings, number);
        }
        let oidc = Oidc::of(configuration, &listen, is_behind_tls)?;
        configuration.collector()?;
        Ok(Self { base: Base::of(configuration)?, listen, tls, oidc, settings })
    }
}

impl Configuration {
    /// Where traces go.
    ///
    /// # Errors
    /// It is no address.
    pub(crate) fn collector(&self) -> Result<Option<Collector>, Problem> {
        let Some(value) = self.value("otlp-endpoint") else { return Ok(None) };
        // It is not shown: a password in it is one of the reasons.
        let told = || {
            let english = "is not http[s]://HOST[:PORT][/PATH] without a user name and password";
            (
                english.to_owned(),
                "不是 http[s]://HOST[:PORT][/PATH] 形式的地址，或包含用户名和密码".to_owned(),
            )
        };
        let collector = Collector::parse(value.text().unwrap_or_default());
        collector.map(Some).ok_or_else(|| value.refuse(told()))
    }

    fn listen(&self) -> Result<Listen, Problem> {
        let Some(value) = self.value("listen") else {
            return Err(invalid("`listen`", "is empty".to_owned(), "为空".to_owned()));
        };
        let text = value.text().unwrap_or_default();
        let address = text.parse().map_err(|_| {
            value.refuse((
                format!("`{text}` is not an address with a port, as in 127.0.0.1:19777 or [::1]:19777"),
                format!("`{text}` 不是带端口的地址，正确的写法如 127.0.0.1:19777 或 [::1]:19777"),
            ))
        })?;
        Ok(Listen { address, place: value.place() })
    }

    fn tls(&self) -> Result<Option<TlsFiles>, Problem> {
        let alone = |value: &Value, other: &str| {
            value.refuse((format!("needs `{other}` too"), format!("还需要设置 `{other}`")))
        };
        match (self.value("tls-cert"), self.value("tls-key")) {
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles {
                certificate: certificate.text().unwrap_or_default().into(),
                key: key.text().unwrap_or_default().into(),
                place: certificate.place(),
            })),
            (Some(certificate), None) => Err(alone(certificate, "tls-key")),
            (None, Some(key)) => Err(alone(key, "tls-cert")),
            (None, None) => Ok(None),
        }
    }

    fn switch(&self, name: &str) -> Result<bool, Problem> {
        let Some(value) = self.value(name) else { return Ok(false) };
        match value.text() {
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            text => {
                let text = text.unwrap_or_default();
                let told = (format!("`{text}` is not true or false"), format!("`{text}` 不是 true 或 false"));
                Err(value.refuse(told))
            }
        }
    }

    fn networks(&self, name: &str) -> Result<Vec<Cidr>, Problem> {
        let Some(value) = self.value(name) else { return Ok(Vec::new()) };
        let read = |text: &String| {
            text.parse().map_err(|error: vecferry_server::network::ParseCidrError| {
                value.refuse((error.to_string(), format!("`{text}` 不是有效的网段，正确的写法如 10.0.0.0/8")))
            })
        };
        value.texts.iter().map(read).collect()
    }

    fn number(&self, limit: &Limit) -> Result<u64, Problem> {
        let Some(value) = self.value(limit.name) else { return Ok(limit.default()) };
        let text = value.text().unwrap_or_default();
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| is_plain && (limit.min..=limit.max).contains(number));
        let (min, max) = (limit.min, limit.max);
        number.ok_or_else(|| {
            value.refuse((
                format!("`{text}` is not a number from {min} to {max}"),
                format!("`{text}` 不是 {min} 到 {max} 之间的数"),
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use vecferry_migrate::{Code, Lang};

    use super::*;

    fn checked(variables: &[(&str, &str)]) -> Result<Checked, String> {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let configuration = Configuration::read(None, variable, Vec::new()).unwrap();
        Checked::of(&configuration).map_err(|problem| {
            assert_eq!(problem.code, Code::ConfigInvalid);
            assert_ne!(problem.what(Lang::En), problem.what(Lang::Zh));
            problem.what(Lang::En)["the configuration is invalid: ".len()..].to_owned()
        })
    }

    #[test]
    fn without_settings_it_listens_on_this_machine_only() {
        let checked = checked(&[]).unwrap();
        assert_eq!(checked.listen.address.to_string(), "127.0.0.1:19777");
        assert_eq!((checked.tls, checked.base.keys), (None, None));
        assert_eq!(checked.settings.jobs, vecferry_server::JobLimits::default());
        assert_eq!(checked.settings.requests, vecferry_server::RequestLimits::default());
        assert!(!checked.settings.is_behind_tls && !checked.settings.are_metrics_open);
    }

    #[test]
    fn an_address_that_others_reach_needs_tls() {
        let open = ("VECFERRY_SERVE_LISTEN", "0.0.0.0:80");
        let refused = checked(&[open]).err().unwrap();
        assert!(
            refused.starts_with("`VECFERRY_SERVE_LISTEN`: other machines can reach 0.0.0.0:80"),
            "{refused}"
        );
        assert!(checked(&[open, ("VECFERRY_SERVE_BEHIND_TLS", "false")]).is_err());
        assert!(checked(&[open, ("VECFERRY_SERVE_BEHIND_TLS", "true")]).unwrap().settings.is_behind_tls);
        let pair = [("VECFERRY_SERVE_TLS_CERT", "c"), ("VECFERRY_SERVE_TLS_KEY", "k")];
        assert!(checked(&[open, pair[0], pair[1]]).unwrap().settings.is_behind_tls);
        for half in pair {
            assert!(checked(&[half]).err().unwrap().contains(" needs `tls-"));
        }
        assert!(checked(&[("VECFERRY_SERVE_LISTEN", "[::1]:80")]).is_ok());
    }

    #[test]
    fn values_are_bounded() {
        for (name, value, why) in [
            ("LISTEN", "localhost", "`localhost` is not an address with a port"),
            ("JOBS_TOTAL", "0", "`0` is not a number from 1 to 100000"),
            ("JOBS_TOTAL", "+4", "`+4` is not a number"),
            ("BODY_BYTES", "99999999999999999999999", "is not a number from 1024 to 67108864"),
            ("METRICS_OPEN", "yes", "`yes` is not true or false"),
            (
                "ALLOW_NETWORK",
                "10.0.0.1/8",
                "`10.0.0.1/8` is not a network: the network of this prefix length",
            ),
        ] {
            let name = format!("VECFERRY_SERVE_{name}");
            let refused = checked(&[(&name, value)]).err().unwrap();
            assert!(refused.starts_with(&format!("`{name}`: ")) && refused.contains(why), "{refused}");
        }
        let set = [("VECFERRY_SERVE_JOBS_TOTAL", "9"), ("VECFERRY_SERVE_AUDIT_DAYS", "1")];
        let settings = checked(&set).unwrap().settings;
        assert_eq!((settings.jobs.total_max, settings.audit_kept.as_secs()), (9, 86_400));
        assert_eq!(settings.jobs_kept, None);
        let kept = |days| checked(&[("VECFERRY_SERVE_JOB_DAYS", days)]).unwrap().settings.jobs_kept;
        assert_eq!((kept("0"), kept("2")), (None, Some(std::time::Duration::from_secs(2 * 86_400))));
    }

    #[test]
    fn no_proxy_is_trusted_unless_it_is_named() {
        assert!(checked(&[]).unwrap().settings.trusted_proxies.is_empty());
        let set = [("VECFERRY_SERVE_TRUSTED_PROXIES", "10.0.0.0/8, ::1")];
        let trusted = checked(&set).unwrap().settings.trusted_proxies;
        assert_eq!(trusted, ["10.0.0.0/8", "::1"].map(|network| network.parse().unwrap()));
        let refused = checked(&[("VECFERRY_SERVE_TRUSTED_PROXIES", "proxy")]).err().unwrap();
        assert!(
            refused.starts_with("`VECFERRY_SERVE_TRUSTED_PROXIES`: `proxy` is not a network"),
            "{refused}"
        );
    }

    #[test]
    fn keys_come_from_one_place_and_with_a_database_not_from_the_directory() {
        let store = ("VECFERRY_STORE", "postgres://h/d");
        let (key, file) = (("VECFERRY_KEY", "x"), ("VECFERRY_SERVE_KEY_FILE", "/k"));
        let command = ("VECFERRY_SERVE_KEY_COMMAND", "c");
        assert!(checked(&[store]).err().unwrap().starts_with("`key-file`: with a PostgreSQL store"));
        for (source, expected) in [
            (key, KeySource::Environment("VECFERRY_KEY".to_owned())),
            (file, KeySource::File("/k".into())),
            (command, KeySource::Command("c".to_owned())),
        ] {
            assert_eq!(checked(&[store, source]).unwrap().base.keys, Some(expected));
        }
        let refused = checked(&[key, file]).err().unwrap();
        assert!(
            refused.starts_with("`VECFERRY_KEY`: the keys already come from `VECFERRY_SERVE_KEY_FILE`"),
            "{refused}"
        );
    }
}
