//! Encrypted servers: what is wrong with a connection is said, and a migration over TLS works.

use std::sync::OnceLock;

use vecferry_sandbox::{ServerInfo, Tls};
use vecferry_testkit::{Oracle, Servers, Vecferry};

use crate::{PROGRAM, milvus, servers};

/// A server that shows a certificate and takes messages of one mebibyte at most, and one that also wants to see one.
fn encrypted() -> &'static Servers {
    static SERVERS: OnceLock<Servers> = OnceLock::new();
    SERVERS.get_or_init(|| {
        let small =
            milvus("one_way").with_tls(Tls::OneWay).with_setting("proxy.grpc.serverMaxRecvSize", 1 << 20);
        Servers::start(PROGRAM, [small, milvus("mutual").with_tls(Tls::Mutual)])
    })
}

fn path(file: &Option<std::path::PathBuf>) -> &str {
    file.as_deref().unwrap().to_str().unwrap()
}

fn migrate(source: &str, target: &str, arguments: &[&str]) -> vecferry_testkit::Run {
    let all = [&["--source", source, "--target", target, "--collection", "sealed"], arguments].concat();
    Vecferry::new(encrypted(), "migrate", &all).run()
}

#[test]
fn what_is_wrong_with_an_encrypted_connection_is_said() {
    let (one_way, mutual) = (encrypted().server("one_way"), encrypted().server("mutual"));
    let plain = servers().uri("target");
    let without_s = |server: &ServerInfo| server.uri.replace("https://", "http://");

    for server in [one_way, mutual] {
        let run = migrate(&without_s(server), &plain, &[]);
        run.failed(3, "VF-0104", "the source requires TLS");
        assert!(run.stderr.contains("use https:// in the address"), "{}", run.stderr);
        let run = migrate(&server.uri, &plain, &[]);
        run.failed(3, "VF-0106", "the source's certificate is not trusted");
        assert!(run.stderr.contains("--source-ca"), "{}", run.stderr);
    }

    let ca = path(&one_way.ca_certificate);
    let secured = plain.replace("http://", "https://");
    let run = migrate(&one_way.uri, &secured, &["--source-ca", ca]);
    run.failed(3, "VF-0105", "the target does not use TLS");

    let foreign = path(&mutual.ca_certificate);
    let run = migrate(&one_way.uri, &plain, &["--source-ca", foreign]);
    run.failed(3, "VF-0106", "the source's certificate is not trusted");

    let run = migrate(&mutual.uri, &plain, &["--source-ca", foreign]);
    run.failed(3, "VF-0107", "the source rejects the client certificate");
    assert!(run.stderr.contains("--source-cert FILE and --source-key FILE"), "{}", run.stderr);
    // A certificate of another authority.
    let stranger = [
        ["--source-ca", foreign],
        ["--source-cert", path(&one_way.client_certificate)],
        ["--source-key", path(&one_way.client_key)],
    ]
    .concat();
    migrate(&mutual.uri, &plain, &stranger).failed(3, "VF-0107", "the source rejects the client certificate");
}

/// Also with a target that takes small messages only: pages shrink until they fit.
#[test]
fn rows_arrive_over_tls_in_pages_that_the_target_takes() {
    let mut oracle = Oracle::new(encrypted());
    oracle.run(
        r#"
        mutual.make("sealed", [KEY, TEXT, VECTOR], index={"vector": FLAT})
        for first in range(0, 4000, 1000):
            mutual.client.insert("sealed", [dict(row, text=row["text"] * 100) for row in books(1000, first)])
        mutual.client.flush("sealed")
        mutual.load("sealed")
        "#,
    );
    let (one_way, mutual) = (encrypted().server("one_way"), encrypted().server("mutual"));
    let files = [
        ["--source-ca", path(&mutual.ca_certificate)],
        ["--source-cert", path(&mutual.client_certificate)],
        ["--source-key", path(&mutual.client_key)],
        ["--target-ca", path(&one_way.ca_certificate)],
    ]
    .concat();
    let run = migrate(&mutual.uri, &one_way.uri, &files);
    let report = run.succeeded();
    assert_eq!(report["collections"][0]["rows"], 4000);
    assert!(report["collections"][0]["bytes"].as_u64().unwrap() > 3 << 20);
    oracle.run(
        r#"
        one_way.load("sealed")
        assert same(mutual, one_way, "sealed") == 4000
        "#,
    );
}
