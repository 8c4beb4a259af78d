//! Where a bucket is and who asks for it: from the environment, as the AWS tools name it, and from
//! what a host file says beyond that.

/// Where checkpoints go. What is `None` is taken from the environment (`AWS_ENDPOINT_URL_S3`,
/// `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_DEFAULT_REGION`, `AWS_ALLOW_HTTP`), else as AWS has it.
/// Credentials come from the environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
/// `AWS_SESSION_TOKEN`), from the files of AWS's tools (`~/.aws`, by `AWS_PROFILE`), or from where
/// the machine has its role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct S3Options {
    /// The bucket.
    pub bucket: String,
    /// What all objects begin with, without `/` at its ends; may be empty.
    pub prefix: String,
    /// The address of the server.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Whether the address may be one of plain HTTP.
    pub allow_http: Option<bool>,
    /// Who asks. Never from a file: for programs that have it from elsewhere.
    pub credentials: Option<S3Credentials>,
    /// Whether the bucket is part of the path rather than of the name of the server.
    pub path_style: Option<bool>,
}

/// An access key.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Credentials {
    /// The name of the key.
    pub key: String,
    /// The key.
    pub secret: String,
    /// What a temporary key needs beside it.
    pub token: Option<String>,
}

impl std::fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the secret, wherever it may be printed.
        write!(f, "S3Credentials({})", self.key)
    }
}

impl S3Options {
    /// A bucket with everything else as the environment has it.
    #[must_use]
    pub fn new(bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            prefix: prefix.into(),
            ..Self::default()
        }
    }
}
