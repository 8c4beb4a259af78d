//! How a bucket is reached and who asks, out of the options, the environment and the files of
//! AWS's tools. What the options say wins over the environment, that over the files.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use object_store::{
    ClientOptions, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey},
};

use crate::{S3Credentials, S3Options, answer::Failed, client::Connector, profile::Profile};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// What there is beside the options.
pub(crate) trait Around {
    /// A variable of the environment that is set and not empty.
    fn variable(&self, name: &str) -> Option<String>;

    /// The text of a file; `None` where there is none.
    fn text(&self, path: &Path) -> io::Result<Option<String>>;
}

/// The process and its machine.
pub(crate) struct Machine;

impl Around for Machine {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }

    fn text(&self, path: &Path) -> io::Result<Option<String>> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// How a bucket is reached. What is `None` is left to the client.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Access {
    /// As it was named.
    pub(crate) endpoint: Option<String>,
    region: Option<String>,
    credentials: Option<S3Credentials>,
    allow_http: bool,
    is_virtual_hosted: bool,
}

impl Access {
    /// Finds out.
    ///
    /// # Errors
    /// What makes no sense, in words.
    pub(crate) fn find(options: &S3Options, around: &dyn Around) -> Result<Self, String> {
        let said = |name: &str| around.variable(name);
        let truth = |name: &str| said(name).map(|set| matches!(set.as_str(), "true" | "1"));
        let endpoint = options.endpoint.clone();
        let endpoint = endpoint
            .or_else(|| said("AWS_ENDPOINT_URL_S3"))
            .or_else(|| said("AWS_ENDPOINT_URL"));
        let allow_http = options.allow_http.or_else(|| truth("AWS_ALLOW_HTTP"));
        let allow_http = allow_http.unwrap_or(false);
        if let Some(endpoint) = &endpoint
            && endpoint.starts_with("http:")
            && !allow_http
        {
            return Err(format!(
                "{endpoint} would be spoken with without TLS: allow it with `storage.s3.allow-http: \
                 true` in the host file, or AWS_ALLOW_HTTP=true"
            ));
        }
        let mut found = Self {
            endpoint,
            region: options.region.clone(),
            credentials: options.credentials.clone(),
            allow_http,
            is_virtual_hosted: match options.path_style {
                Some(path_style) => !path_style,
                None => truth("AWS_VIRTUAL_HOSTED_STYLE_REQUEST").unwrap_or(false),
            },
        };
        let has_region = found.region.is_some()
            || ["AWS_REGION", "AWS_DEFAULT_REGION"]
                .into_iter()
                .any(|name| said(name).is_some());
        let by_variable = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
        let has_credentials =
            found.credentials.is_some() || by_variable.into_iter().any(|name| said(name).is_some());
        // Whoever was given a role by a token asks as that.
        let has_token = said("AWS_WEB_IDENTITY_TOKEN_FILE").is_some();
        if has_region && (has_credentials || has_token) {
            return Ok(found);
        }
        let profile = profile(around)?;
        if !has_region {
            found.region.clone_from(&profile.region);
        }
        if !has_credentials && !has_token {
            found.credentials = credentials(profile, around)?;
        }
        Ok(found)
    }

    /// The client.
    ///
    /// # Errors
    /// What makes no sense to it, in words.
    pub(crate) fn client(&self, bucket: &str) -> Result<AmazonS3, String> {
        let client = ClientOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_timeout(REQUEST_TIMEOUT);
        // We try again ourselves.
        let never = RetryConfig {
            max_retries: 0,
            ..RetryConfig::default()
        };
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_client_options(client)
            .with_allow_http(self.allow_http)
            .with_virtual_hosted_style_request(self.is_virtual_hosted)
            .with_retry(never)
            .with_http_connector(Connector::default());
        if let Some(endpoint) = self.address(bucket) {
            builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
        }
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        if let Some(S3Credentials { key, secret, token }) = &self.credentials {
            builder = builder
                .with_access_key_id(key)
                .with_secret_access_key(secret);
            if let Some(token) = token {
                builder = builder.with_token(token);
            }
        }
        builder.build().map_err(|e| Failed::of(&e).message)
    }

    /// The address as the client wants it: with the bucket in the name of the server where it is
    /// to be there.
    fn address(&self, bucket: &str) -> Option<String> {
        let endpoint = self.endpoint.as_ref()?;
        let Some((scheme, server)) = endpoint
            .split_once("://")
            .filter(|_| self.is_virtual_hosted)
        else {
            return Some(endpoint.clone());
        };
        match server.starts_with(&format!("{bucket}.")) {
            true => Some(endpoint.clone()),
            false => Some(format!("{scheme}://{bucket}.{server}")),
        }
    }
}

/// What the files of AWS's tools say of the profile that is meant.
fn profile(around: &dyn Around) -> Result<Profile, String> {
    let said = |name: &str| around.variable(name);
    let named = said("AWS_PROFILE").or_else(|| said("AWS_DEFAULT_PROFILE"));
    let home = said("HOME").map(|home| PathBuf::from(home).join(".aws"));
    let file = |variable: &str, usual: &str| {
        let path = said(variable).map(PathBuf::from);
        let Some(path) = path.or_else(|| Some(home.as_ref()?.join(usual))) else {
            return Ok(String::new());
        };
        let text = around.text(&path);
        let text = text.map_err(|e| format!("`{}` cannot be read: {e}", path.display()))?;
        Ok::<_, String>(text.unwrap_or_default())
    };
    let credentials = file("AWS_SHARED_CREDENTIALS_FILE", "credentials")?;
    let config = file("AWS_CONFIG_FILE", "config")?;
    let name = named.as_deref().unwrap_or("default");
    match (Profile::read(name, &credentials, &config), &named) {
        (Some(profile), _) => Ok(profile),
        (None, None) => Ok(Profile::default()),
        (None, Some(name)) => Err(format!(
            "there is no profile `{name}` (AWS_PROFILE) in the files of AWS's tools"
        )),
    }
}

/// The access key of a profile; `None` where the machine is to be asked for its role.
fn credentials(profile: Profile, around: &dyn Around) -> Result<Option<S3Credentials>, String> {
    let has_role = [
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ]
    .into_iter()
    .any(|name| around.variable(name).is_some());
    match (profile.key, profile.secret, profile.other) {
        (Some(key), Some(secret), _) => Ok(Some(S3Credentials {
            key,
            secret,
            token: profile.token,
        })),
        (Some(_), None, _) | (None, Some(_), _) => Err(
            "the profile of AWS's tools has half an access key: aws_access_key_id and \
             aws_secret_access_key belong together"
                .to_owned(),
        ),
        (None, None, Some(way)) if !has_role => Err(format!(
            "the profile of AWS's tools has `{way}`, which is not understood here: set \
             AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, as `aws configure \
             export-credentials --format env` prints them"
        )),
        (None, None, _) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[derive(Default)]
    struct Fake {
        variables: HashMap<&'static str, &'static str>,
        files: HashMap<&'static str, &'static str>,
    }

    impl Around for Fake {
        fn variable(&self, name: &str) -> Option<String> {
            self.variables.get(name).map(|value| (*value).to_owned())
        }

        fn text(&self, path: &Path) -> io::Result<Option<String>> {
            let found = path.to_str().and_then(|path| self.files.get(path));
            Ok(found.map(|text| (*text).to_owned()))
        }
    }

    fn around(variables: &[(&'static str, &'static str)]) -> Fake {
        let files = [
            (
                "/home/me/.aws/credentials",
                "[default]\naws_access_key_id = usual\naws_secret_access_key = s\n\
                 [half]\naws_access_key_id = half\n",
            ),
            (
                "/home/me/.aws/config",
                "[default]\nregion = eu-central-1\n[profile sso]\nsso_session = x\n",
            ),
        ];
        Fake {
            variables: [("HOME", "/home/me")]
                .into_iter()
                .chain(variables.iter().copied())
                .collect(),
            files: files.into_iter().collect(),
        }
    }

    fn find(options: &S3Options, fake: &Fake) -> Result<Access, String> {
        Access::find(options, fake)
    }

    #[test]
    fn options_win_over_the_environment_and_that_over_files() {
        let options = S3Options::new("saved", "");
        let key = |access: &Access| access.credentials.clone().map(|c| c.key);
        let of_files = find(&options, &around(&[])).unwrap();
        assert_eq!(key(&of_files).as_deref(), Some("usual"));
        assert_eq!(of_files.region.as_deref(), Some("eu-central-1"));
        let by_variable = around(&[
            ("AWS_ACCESS_KEY_ID", "a"),
            ("AWS_SECRET_ACCESS_KEY", "b"),
            ("AWS_ENDPOINT_URL", "https://there"),
        ]);
        let found = find(&options, &by_variable).unwrap();
        // Left to the client, which reads the variables itself.
        assert_eq!(key(&found), None);
        assert_eq!(found.endpoint.as_deref(), Some("https://there"));
        let named = S3Options {
            endpoint: Some("https://here".into()),
            region: Some("us-west-2".into()),
            ..options
        };
        let found = find(&named, &by_variable).unwrap();
        assert_eq!(found.endpoint.as_deref(), Some("https://here"));
        assert_eq!(found.region.as_deref(), Some("us-west-2"));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let options = S3Options::new("saved", "");
        let why = |variables: &[_]| find(&options, &around(variables)).unwrap_err();
        assert!(why(&[("AWS_PROFILE", "gone")]).contains("no profile `gone`"));
        assert!(why(&[("AWS_PROFILE", "half")]).contains("half an access key"));
        assert!(why(&[("AWS_PROFILE", "sso")]).contains("`sso_session`"));
        let plain = why(&[("AWS_ENDPOINT_URL", "http://here:1")]);
        assert!(plain.contains("allow-http"), "{plain}");
        assert!(
            find(
                &options,
                &around(&[
                    ("AWS_ENDPOINT_URL", "http://here:1"),
                    ("AWS_ALLOW_HTTP", "true"),
                ]),
            )
            .is_ok()
        );
        assert!(find(&options, &Fake::default()).is_ok());
    }

    #[test]
    fn the_bucket_stands_in_the_path_or_in_the_name_of_the_server() {
        let address = |endpoint: &str, path_style| {
            let options = S3Options {
                endpoint: Some(endpoint.to_owned()),
                path_style: Some(path_style),
                ..S3Options::new("saved", "")
            };
            let access = find(&options, &Fake::default()).unwrap();
            access.address("saved").unwrap()
        };
        assert_eq!(address("https://here:1", true), "https://here:1");
        assert_eq!(address("https://here:1", false), "https://saved.here:1");
        assert_eq!(
            address("https://saved.here:1", false),
            "https://saved.here:1"
        );
    }
}
