//! `storage` of the host file: how what is outside this machine is reached. Not in a job file:
//! whom this host shows its credentials to is no matter of a job.

use serde_json::json;

use super::{
    fields::Fields,
    keys::{Key, Keys},
    kinds::{Flag, Special, Within},
};
use crate::{code, model::S3Access, report::Report, source::Span, wording::quote};

pub(super) const STORAGE: Key<Within> = Key::of("storage", Within(&KEYS))
    .about("How storage outside this machine is reached.")
    .without("as the environment has it")
    .example("{ s3: { endpoint: https://s3.example.com } }");

const KEYS: Keys =
    Keys::of("storage", &[&S3]).about("`storage`", "How storage outside this machine is reached.");

const S3: Key<Within> = Key::of("s3", Within(&S3_KEYS))
    .about("How buckets are reached: whatever is written `s3://bucket/prefix`.")
    .without("as the environment has it, else as AWS has it")
    .example("{ region: eu-central-1 }");

const S3_KEYS: Keys = Keys {
    elsewhere: &[
        ("access-key", CREDENTIALS),
        ("access-key-id", CREDENTIALS),
        ("secret-key", CREDENTIALS),
        ("secret-access-key", CREDENTIALS),
        ("session-token", CREDENTIALS),
        ("bucket", "is part of each address: `s3://bucket/prefix`"),
        ("prefix", "is part of each address: `s3://bucket/prefix`"),
    ],
    ..Keys::of("s3", &[&ENDPOINT, &REGION, &PATH_STYLE, &ALLOW_HTTP]).about(
        "`storage.s3`",
        "How buckets are reached. Credentials are not written here: they come from the environment \
         (`AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`), from the file that AWS's tools have them \
         in, or from the role of the machine.",
    )
};

/// Who writes them where everybody can read them is told what to do instead.
const CREDENTIALS: &str = "credentials have no place in this file: set AWS_ACCESS_KEY_ID and \
                           AWS_SECRET_ACCESS_KEY";

const ENDPOINT: Key<Special> = Key::of(
    "endpoint",
    Special::of(
        "`https://host:port`",
        || json!({ "type": "string", "pattern": "^https?://[^/@?#\\s]+/?$" }),
    ),
)
.about("The address of the server; `http:` needs `allow-http`.")
.without("`AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, else AWS")
.example("https://s3.example.com:9000");

const REGION: Key<Special> = Key::of(
    "region",
    Special::of("text", || json!({ "type": "string", "minLength": 1 })),
)
.about("The region of the buckets.")
.without("`AWS_REGION`, `AWS_DEFAULT_REGION`, else `us-east-1`")
.example("eu-central-1");

const PATH_STYLE: Key<Flag> = Key::of("path-style", Flag::ANY)
    .about(
        "Whether the bucket is part of the path of an address and not of the name of the server.",
    )
    .usual("true")
    .example("false");

const ALLOW_HTTP: Key<Flag> = Key::of("allow-http", Flag::ANY)
    .about("Whether the server may be spoken with without TLS, as with one on the same machine.")
    .without("`AWS_ALLOW_HTTP`, else `false`")
    .example("true");

/// Reads `storage`.
pub(super) fn read(fields: &Fields<'_>, report: &mut Report) -> S3Access {
    let storage = fields.within(&STORAGE, report);
    let Some(s3) = storage.and_then(|storage| storage.within(&S3, report)) else {
        return S3Access::default();
    };
    let endpoint = s3.text(&ENDPOINT, report);
    let endpoint = endpoint.and_then(|(text, span)| address(text, span, report));
    let allow_http = s3.boolean(&ALLOW_HTTP, report);
    if let (Some((endpoint, span)), Some((false, denied))) = (&endpoint, allow_http)
        && endpoint.starts_with("http:")
    {
        report
            .error(code::CONTRADICTION, "`endpoint` is spoken with without TLS")
            .at(*span, "`https:`")
            .at(denied, "or allow it");
    }
    let region = s3.text(&REGION, report);
    if let Some(("", span)) = region {
        let error = report.error(code::BAD_VALUE, "`region` is empty");
        error.at(span, "say what it is");
    }
    S3Access {
        endpoint: endpoint.map(|(endpoint, _)| endpoint),
        region: region.map(|(region, _)| region.to_owned()),
        path_style: s3.boolean(&PATH_STYLE, report).map(|(style, _)| style),
        allow_http: allow_http.map(|(allowed, _)| allowed),
    }
}

/// The address of a server, without a slash at its end.
fn address(text: &str, span: Span, report: &mut Report) -> Option<(String, Span)> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let label = match rest.map(|rest| rest.trim_end_matches('/')) {
        Some(rest) if rest.contains('@') => {
            report
                .error(code::BAD_VALUE, "`endpoint` holds credentials")
                .at(span, "they are not shown here")
                .help(CREDENTIALS);
            return None;
        }
        Some("") => "the server is missing",
        Some(rest) if rest.contains(|c: char| c.is_whitespace() || "/?#".contains(c)) => {
            "nothing comes behind host and port: buckets are named in `s3://bucket/prefix`"
        }
        Some(_) => return Some((text.trim_end_matches('/').to_owned(), span)),
        None => "must begin with `https://` or `http://`",
    };
    let message = format!("{} is not the address of a server", quote(text));
    report.error(code::BAD_VALUE, message).at(span, label);
    None
}
