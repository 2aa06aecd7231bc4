use std::fs;
use std::path::Path;

use serde_yaml_ng::{Mapping, Value};

use crate::certificates::Certificates;
use crate::ports::PortBlock;
use crate::{Error, ServerSpec, Tls};

/// The ports of a standalone Milvus as places in its block.
pub(crate) const PROXY: u16 = 0;
pub(crate) const METRICS: u16 = 1;
const ETCD_CLIENT: u16 = 2;
const ETCD_PEER: u16 = 3;
const PROXY_INTERNAL: u16 = 4;
const ROOT_COORD: u16 = 5;
const QUERY_COORD: u16 = 6;
const QUERY_NODE: u16 = 7;
const INDEX_NODE: u16 = 8;
const DATA_COORD: u16 = 9;
const DATA_NODE: u16 = 10;
const INDEX_COORD: u16 = 11;

/// Writes the directory in which a Milvus 2.3.5 runs: `configs/` with all its files, and the log directory.
pub(crate) fn write_configuration(
    spec: &ServerSpec,
    package: &Path,
    ports: &PortBlock,
    certificates: Option<&Certificates>,
    directory: &Path,
) -> Result<(), Error> {
    let configs = directory.join("configs");
    for new in [&configs, &directory.join("logs"), &directory.join("data"), &directory.join("run")] {
        fs::create_dir_all(new)
            .map_err(|cause| Error::io(format!("create the directory {}", new.display()), cause))?;
    }
    let template_path = package.join("config.yaml.template");
    let template = fs::read_to_string(&template_path)
        .map_err(|cause| Error::io(format!("read {}", template_path.display()), cause))?;
    write(&configs.join("milvus.yaml"), &render(&template, spec, ports, certificates, directory)?)?;
    write(&configs.join("etcd.yaml"), &etcd_configuration(ports, directory))?;
    let glog = package.join("glog.conf");
    fs::copy(&glog, configs.join("glog.conf"))
        .map_err(|cause| Error::io(format!("copy {}", glog.display()), cause))?;
    Ok(())
}

fn render(
    template: &str,
    spec: &ServerSpec,
    ports: &PortBlock,
    certificates: Option<&Certificates>,
    directory: &Path,
) -> Result<String, Error> {
    let not_yaml =
        |cause: serde_yaml_ng::Error| Error::io("read the configuration template of milvus 2.3.5", cause);
    let mut configuration: Value =
        serde_yaml_ng::from_str(&without_placeholders(template)).map_err(not_yaml)?;
    let path = |relative: &str| Value::from(directory.join(relative).display().to_string());
    let port = |index| Value::from(ports.port(index));
    let loopback = || Value::from("127.0.0.1");

    let mut settings = vec![
        ("etcd.endpoints", Value::from(format!("127.0.0.1:{}", ports.port(ETCD_CLIENT)))),
        ("etcd.log.level", Value::from("error")),
        ("etcd.log.path", path("logs/etcd.log")),
        ("etcd.data.dir", path("data/etcd")),
        ("localStorage.path", path("data")),
        ("rocksmq.path", path("data/rocksmq")),
        ("rootCoord.port", port(ROOT_COORD)),
        ("proxy.port", port(PROXY)),
        ("proxy.internalPort", port(PROXY_INTERNAL)),
        ("queryCoord.port", port(QUERY_COORD)),
        ("queryNode.port", port(QUERY_NODE)),
        (
            "indexCoord.bindIndexNodeMode.address",
            Value::from(format!("127.0.0.1:{}", ports.port(INDEX_COORD))),
        ),
        ("indexNode.port", port(INDEX_NODE)),
        ("dataCoord.port", port(DATA_COORD)),
        ("dataNode.port", port(DATA_NODE)),
        // Otherwise the components address each other by the machine's first network address, which may vanish.
        ("rootCoord.ip", loopback()),
        ("proxy.ip", loopback()),
        ("queryCoord.ip", loopback()),
        ("queryNode.ip", loopback()),
        ("indexNode.ip", loopback()),
        ("dataCoord.ip", loopback()),
        ("dataNode.ip", loopback()),
        ("log.level", Value::from("warn")),
        ("log.file.rootPath", path("logs")),
        ("log.stdout", Value::from(false)),
        ("common.security.authorizationEnabled", Value::from(spec.authorization)),
        (
            "common.security.tlsMode",
            Value::from(match spec.tls {
                Tls::Off => 0,
                Tls::OneWay => 1,
                Tls::Mutual => 2,
            }),
        ),
    ];
    if let Some(certificates) = certificates {
        let file = |path: &Path| Value::from(path.display().to_string());
        settings.extend([
            ("tls.serverPemPath", file(&certificates.server_certificate)),
            ("tls.serverKeyPath", file(&certificates.server_key)),
            ("tls.caPemPath", file(&certificates.ca_certificate)),
        ]);
    }
    for (key, value) in settings {
        set(&mut configuration, key, value)?;
    }
    for (key, value) in &spec.settings {
        let value = serde_yaml_ng::to_value(value)
            .map_err(|cause| Error::InvalidSpec { reason: cause.to_string() })?;
        set(&mut configuration, key, value)?;
    }
    serde_yaml_ng::to_string(&configuration).map_err(not_yaml)
}

/// The template with every `{{ name: default }}`, which is not YAML, replaced by null; all of them are set afterwards.
fn without_placeholders(template: &str) -> String {
    let mut text = String::with_capacity(template.len());
    for line in template.lines() {
        match (line.find("{{"), line.find("}}")) {
            (Some(start), Some(end)) if start < end => {
                text.push_str(&line[..start]);
                text.push_str("null");
                text.push_str(&line[end + 2..]);
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

/// Sets a dotted key, making the mappings that lead to it where they are missing.
fn set(configuration: &mut Value, key: &str, value: Value) -> Result<(), Error> {
    let mut place = configuration;
    for part in key.split('.') {
        if place.is_null() {
            *place = Value::Mapping(Mapping::new());
        }
        let Value::Mapping(mapping) = place else {
            return Err(Error::InvalidSpec { reason: format!("setting '{key}' leads below a plain value") });
        };
        place = mapping.entry(Value::from(part)).or_insert(Value::Null);
    }
    *place = value;
    Ok(())
}

fn etcd_configuration(ports: &PortBlock, directory: &Path) -> String {
    let client = format!("http://127.0.0.1:{}", ports.port(ETCD_CLIENT));
    let peer = format!("http://127.0.0.1:{}", ports.port(ETCD_PEER));
    format!(
        "name: default\n\
         data-dir: {}\n\
         listen-client-urls: {client}\n\
         advertise-client-urls: {client}\n\
         listen-peer-urls: {peer}\n\
         initial-advertise-peer-urls: {peer}\n\
         initial-cluster: default={peer}\n",
        directory.join("data/etcd").display()
    )
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|cause| Error::io(format!("write {}", path.display()), cause))
}
