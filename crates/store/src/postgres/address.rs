//! Addresses of PostgreSQL: `postgres://` URLs, with what of TLS the client library does not know. No part of a URL is
//! repeated in a message, other than the names of options: a password may be anywhere in one that is badly written.

use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use crate::error::{Error, ErrorKind};

const PREFIXES: [&str; 2] = ["postgres://", "postgresql://"];
/// How long all hosts together may take to answer, each with an address of both protocols: less than a try has.
const CONNECT_TIME: Duration = Duration::from_secs(12);
const ADDRESSES_OF_HOST: u32 = 2;
/// A server that is gone without a word is noticed about then.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// How far a server's certificate is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verification {
    /// Not at all: who listens only is kept out, who stands between is not.
    None,
    /// Whether an authority signed it that is trusted.
    Chain,
    /// The same, and that it is of the host that was asked for.
    Full,
}

/// Where a PostgreSQL is, and how to get in.
pub(super) struct Address {
    pub(super) config: Config,
    pub(super) verification: Verification,
    /// A file with the authorities to trust, in place of those of the system.
    pub(super) authorities: Option<PathBuf>,
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        let (prefix, rest) = PREFIXES
            .iter()
            .find_map(|prefix| url.strip_prefix(prefix).map(|rest| (*prefix, rest)))
            .ok_or_else(|| invalid("it does not start with `postgres://`", "它没有以 `postgres://` 开头"))?;
        // In the same order as the client library: a password may hold anything but this sign.
        let host_at = rest.find('@').map_or(0, |at| at + 1);
        let query_at = rest[host_at..].find('?').map_or(rest.len(), |at| host_at + at);
        if rest[host_at..query_at].contains('@') {
            return Err(invalid(
                "write `@` in a user or a password as `%40`",
                "用户名或密码中的 `@` 须写作 `%40`",
            ));
        }
        let (tls, others) = Tls::of_query(rest[query_at..].trim_start_matches('?'))?;
        let url = format!("{prefix}{}?{others}", &rest[..query_at]);
        let mut config: Config = url
            .parse()
            .map_err(|_| invalid("a host, a port, or an option can't be read", "主机、端口或选项无法解析"))?;
        config.ssl_mode(tls.mode.unwrap_or(SslMode::Prefer)).keepalives_idle(SILENCE_MAX);
        config.tcp_user_timeout(SILENCE_MAX);
        if config.get_connect_timeout().is_none() {
            let hosts = u32::try_from(config.get_hosts().len().max(1)).unwrap_or(u32::MAX);
            config.connect_timeout(CONNECT_TIME / hosts.saturating_mul(ADDRESSES_OF_HOST));
        }
        if config.get_application_name().is_none() {
            config.application_name("vecferry");
        }
        // Of several hosts, one takes writes; which one changes when another takes over.
        if config.get_hosts().len() > 1 && config.get_target_session_attrs() == TargetSessionAttrs::Any {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        if config.get_hosts().is_empty() {
            return Err(invalid("it has no host", "缺少主机"));
        }
        // As PostgreSQL's own programs do it: a file with authorities is there to be used.
        let verification = match (tls.verification, &tls.authorities) {
            (Some(verification), _) => verification,
            (None, Some(_)) => Verification::Chain,
            (None, None) => Verification::None,
        };
        Ok(Self { config, verification, authorities: tls.authorities.filter(|path| path != "system") })
    }

    /// For messages: without user and password.
    pub(super) fn place(&self) -> String {
        let ports = self.config.get_ports();
        let hosts: Vec<String> = self
            .config
            .get_hosts()
            .iter()
            .enumerate()
            .map(|(place, host)| {
                let port = ports.get(place).or(ports.first()).copied().unwrap_or(5432);
                match host {
                    Host::Tcp(name) if name.contains(':') => format!("[{name}]:{port}"),
                    Host::Tcp(name) => format!("{name}:{port}"),
                    Host::Unix(path) => format!("{}:{port}", path.display()),
                }
            })
            .collect();
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default();
        format!("postgres://{}/{database}", hosts.join(","))
    }
}

/// Options of a URL that hold no secret.
const HARMLESS: [&str; 9] = [
    "user",
    "dbname",
    "host",
    "hostaddr",
    "port",
    "sslmode",
    "sslrootcert",
    "application_name",
    "target_session_attrs",
];

/// A URL as it may be shown: without its passwords, wherever they are in it. Of one that can't be read nothing is shown:
/// a password may be anywhere.
pub fn without_password(url: &str) -> String {
    let read = Address::parse(url).ok().and_then(|_| url.split_once("://"));
    let Some((scheme, rest)) = read else { return format!("{}…", PREFIXES[0]) };
    // As it is parsed: the first of these signs ends user and password.
    let (user, rest) = rest.split_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
    let user = user.map(|user| format!("{}@", user.split(':').next().unwrap_or_default()));
    let (host, query) = rest.split_once('?').unwrap_or((rest, ""));
    let is_harmless = |option: &&str| option.split('=').next().is_some_and(|name| HARMLESS.contains(&name));
    let options: Vec<&str> = query.split('&').filter(is_harmless).collect();
    let query = if options.is_empty() { String::new() } else { format!("?{}", options.join("&")) };
    format!("{scheme}://{}{host}{query}", user.unwrap_or_default())
}

/// The options that are not passed on to the client library.
#[derive(Default)]
struct Tls {
    mode: Option<SslMode>,
    verification: Option<Verification>,
    authorities: Option<PathBuf>,
}

impl Tls {
    /// Takes them out of a query; the others come back as they are.
    fn of_query(query: &str) -> Result<(Self, String), Error> {
        let mut tls = Self::default();
        let mut others = Vec::new();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("sslmode", mode)) => tls.set_mode(mode)?,
                Some(("sslrootcert", path)) => tls.authorities = Some(decoded(path)?.into()),
                Some(_) | None => others.push(option),
            }
        }
        Ok((tls, others.join("&")))
    }

    fn set_mode(&mut self, mode: &str) -> Result<(), Error> {
        let (mode, verification) = match mode {
            "disable" => (SslMode::Disable, None),
            "prefer" => (SslMode::Prefer, None),
            "require" => (SslMode::Require, None),
            "verify-ca" => (SslMode::Require, Some(Verification::Chain)),
            "verify-full" => (SslMode::Require, Some(Verification::Full)),
            _ => {
                let known = "`disable`, `prefer`, `require`, `verify-ca` or `verify-full`";
                return Err(invalid(
                    &format!("`sslmode` is not one of {known}"),
                    "`sslmode` 不是 `disable`、`prefer`、`require`、`verify-ca`、`verify-full` 之一",
                ));
            }
        };
        (self.mode, self.verification) = (Some(mode), verification);
        Ok(())
    }
}

/// A value of a query as it is meant.
fn decoded(value: &str) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digits = [rest.next(), rest.next()].map(|digit| digit.and_then(hexadecimal));
            let [Some(high), Some(low)] = digits else {
                return Err(invalid(
                    "a `%` is not followed by two hexadecimal digits",
                    "`%` 之后不是两位十六进制数字",
                ));
            };
            high * 16 + low
        } else {
            byte
        });
    }
    String::from_utf8(bytes).map_err(|_| invalid("a path is not UTF-8", "路径不是 UTF-8"))
}

fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn invalid(why: &str, chinese: &str) -> Error {
    let error = Error::new(ErrorKind::Unusable, format!("invalid URL: {why}"));
    error.in_chinese(format!("URL 无效：{chinese}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for (url, shown) in [
            ("postgres://me:secret@h:1/d", "postgres://me@h:1/d"),
            ("postgres://me:se?cr:et@h/d", "postgres://me@h/d"),
            (
                "postgresql://h/d?user=me&password=secret&sslmode=require",
                "postgresql://h/d?user=me&sslmode=require",
            ),
            ("postgres://h/d?password=secret", "postgres://h/d"),
            ("postgres://h/d?pass%77ord=secret", "postgres://h/d"),
            ("postgres://me@h", "postgres://me@h"),
            // Nobody knows what is what in these.
            ("postgres://me:se@cr:et@h/d", "postgres://…"),
            ("postgres://me:secret", "postgres://…"),
            ("host=db user=me password=secret", "postgres://…"),
            ("mysql://me:secret@h/d", "postgres://…"),
            ("secret", "postgres://…"),
        ] {
            assert_eq!(without_password(url), shown, "{url}");
        }
    }

    fn place(url: &str) -> String {
        Address::parse(url).unwrap().place()
    }

    #[test]
    fn a_place_names_hosts_and_database_and_no_one_s_password() {
        for (url, expected) in [
            ("postgres://u:secret@db.example:6432/jobs", "postgres://db.example:6432/jobs"),
            ("postgresql://u:se%40cret@db.example/jobs?sslmode=require", "postgres://db.example:5432/jobs"),
            ("postgres://u:sec/r?et@db/jobs", "postgres://db:5432/jobs"),
            ("postgres://db/jobs?user=u&password=secret", "postgres://db:5432/jobs"),
            ("postgres://u@[::1]:7000/jobs", "postgres://[::1]:7000/jobs"),
            ("postgres://u@a:1,b:2/jobs", "postgres://a:1,b:2/jobs"),
            ("postgres://u@db", "postgres://db:5432/u"),
        ] {
            assert_eq!(place(url), expected, "{url}");
        }
    }

    #[test]
    fn a_badly_written_address_is_not_repeated() {
        for url in [
            "mysql://u:secret@db/jobs",
            "postgres://u:secret@more@db/jobs",
            "postgres://u:secret@db:port/jobs",
            "postgres://u:secret@db/jobs?secret=1",
            "postgres://u:secret@db/jobs?secret",
            "postgres://u:secret@db/jobs?sslmode=secret",
            "postgres://u:secret@db/jobs?sslrootcert=%secret",
            "postgres:///jobs?user=secret",
            "secret",
        ] {
            let error = Address::parse(url).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Unusable, "{url}");
            assert!(!format!("{error} {error:?}").contains("secret"), "{url}: {error:?}");
        }
    }

    #[test]
    fn tls_is_as_strict_as_it_is_asked_to_be() {
        let parsed = |query: &str| {
            let address = Address::parse(&format!("postgres://u@db/jobs?{query}")).unwrap();
            (address.config.get_ssl_mode(), address.verification, address.authorities)
        };
        let file = || Some(PathBuf::from("/a b/ca.pem"));
        for (query, expected) in [
            ("", (SslMode::Prefer, Verification::None, None)),
            ("sslmode=disable", (SslMode::Disable, Verification::None, None)),
            ("sslmode=require", (SslMode::Require, Verification::None, None)),
            ("sslmode=verify-full", (SslMode::Require, Verification::Full, None)),
            ("sslmode=verify-ca&sslrootcert=system", (SslMode::Require, Verification::Chain, None)),
            ("sslrootcert=/a%20b/ca.pem&sslmode=require", (SslMode::Require, Verification::Chain, file())),
            ("sslrootcert=/a%20b/ca.pem&sslmode=verify-full", (SslMode::Require, Verification::Full, file())),
        ] {
            assert_eq!(parsed(query), expected, "{query}");
        }
    }
}
