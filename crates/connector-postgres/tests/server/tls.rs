//! Encrypted connections, to a server whose certificate is for `localhost`.

use weir_connector_postgres::{Roots, TlsMode};

use super::*;
use crate::database::OwnServer;

/// Whether the session that wrote is encrypted.
const ENCRYPTED: &str = "SELECT s.ssl FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
                         WHERE a.application_name = 'weir:job:out'";

/// Writes a row by its host, and says whether that was encrypted.
fn encrypted(
    server: &OwnServer,
    host: &str,
    mode: TlsMode,
    roots: Option<&str>,
) -> Result<bool, Failure> {
    let database = server.database("CREATE TABLE t (n int)");
    let mut options = options(&database, plain());
    options.server.host = host.to_owned();
    options.server.tls = Tls {
        mode,
        roots: roots.map(|file| Roots::File(server.folder.join(file))),
    };
    let factory = PostgresSink::new(options);
    factory.recover(&[])?;
    let mut sink = writer(&factory, 0);
    write(&mut *sink, &["{\"n\":1}"])?;
    sink.flush()?;
    database.await_one("SELECT count(*) FROM t", "1");
    let found = database.rows(ENCRYPTED);
    assert!(!found.is_empty() && found.windows(2).all(|two| two[0] == two[1]));
    Ok(found[0] == "t")
}

#[test]
fn a_connection_is_encrypted_and_the_server_is_who_it_must_be() {
    let server = OwnServer::over_tcp(&["ssl=on"]);
    let of = |host, mode, roots| encrypted(&server, host, mode, roots);
    let root = Some("root.crt");
    for (mode, roots, is_encrypted) in [
        (TlsMode::Disable, None, false),
        (TlsMode::Prefer, None, true),
        (TlsMode::Require, None, true),
        (TlsMode::Require, root, true),
        (TlsMode::VerifyCa, root, true),
        (TlsMode::VerifyFull, root, true),
    ] {
        assert_eq!(
            of("localhost", mode, roots).unwrap(),
            is_encrypted,
            "{mode:?}"
        );
    }
    // The certificate names it otherwise.
    assert!(of("127.0.0.1", TlsMode::VerifyCa, root).unwrap());
    // Nor does the socket of the server know of TLS.
    let folder = server.folder.to_str().unwrap();
    assert!(!of(folder, TlsMode::Prefer, None).unwrap());
    for (host, mode, roots, why) in [
        ("127.0.0.1", TlsMode::VerifyFull, root, "not valid for name"),
        (
            "localhost",
            TlsMode::VerifyFull,
            Some("other.crt"),
            "UnknownIssuer",
        ),
        (
            "localhost",
            TlsMode::VerifyCa,
            Some("other.crt"),
            "UnknownIssuer",
        ),
        (
            "localhost",
            TlsMode::Require,
            Some("other.crt"),
            "UnknownIssuer",
        ),
        ("localhost", TlsMode::VerifyFull, None, "UnknownIssuer"),
        (
            "localhost",
            TlsMode::VerifyFull,
            Some("gone.crt"),
            "gone.crt",
        ),
    ] {
        let failure = of(host, mode, roots).unwrap_err();
        assert!(matches!(failure, Failure::Target { .. }), "{failure}");
        let told = failure.to_string();
        assert!(told.contains(why) && told.contains("sslrootcert"), "{told}");
    }
}

#[test]
fn a_server_without_tls_is_refused_where_tls_is_required() {
    let server = OwnServer::over_tcp(&[]);
    assert!(!encrypted(&server, "localhost", TlsMode::Prefer, None).unwrap());
    for mode in [TlsMode::Require, TlsMode::VerifyFull] {
        let failure = encrypted(&server, "localhost", mode, None).unwrap_err();
        let told = failure.to_string();
        assert!(matches!(failure, Failure::Target { .. }), "{told}");
        assert!(told.contains("does not support TLS"), "{told}");
    }
}
