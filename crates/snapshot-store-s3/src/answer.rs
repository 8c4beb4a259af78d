//! What a server says when it does not do what it is asked, and what that means.

use std::{error::Error, fmt};

use object_store::client::{HttpError, HttpErrorKind};

use crate::retry::Trouble;

/// A status that is no success, with what the server says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The code in words, such as `NoSuchBucket`; empty where there is none.
    pub(crate) code: String,
    pub(crate) message: String,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            status,
            code,
            message,
        } = self;
        match (code.is_empty(), message.is_empty()) {
            (true, _) => write!(f, "status {status}"),
            (false, true) => write!(f, "status {status}, {code}"),
            (false, false) => write!(f, "status {status}, {code}: {message}"),
        }
    }
}

impl Error for Answer {}

impl Answer {
    /// Of a status and the XML that came with it, if any did.
    pub(crate) fn read(status: u16, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        Self {
            status,
            code: element(&text, "Code"),
            message: element(&text, "Message"),
        }
    }
}

/// That whoever has a machine's role was asked for credentials, and has none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there are no credentials: AWS_ACCESS_KEY_ID is not set, ~/.aws has none, and this machine has \
     no role that gives any ({0})"
)]
pub(crate) struct NoCredentials(pub(crate) String);

/// The text of the first element of that name; it is for people, and to be compared with words.
fn element(text: &str, name: &str) -> String {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let inside = text
        .split_once(&open)
        .and_then(|(_, rest)| rest.split_once(&close));
    inside.map_or_else(String::new, |(inside, _)| inside.trim().to_owned())
}

/// Why a request came to nothing.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pub(crate) trouble: Trouble,
    /// What the server said, where it did.
    pub(crate) answer: Option<Answer>,
    /// Whether nobody could be asked, for want of credentials.
    pub(crate) is_nobody: bool,
    pub(crate) message: String,
}

impl Failed {
    pub(crate) fn of(error: &object_store::Error) -> Self {
        let mut link: Option<&(dyn Error + 'static)> = Some(error);
        let mut trouble = Trouble::Other;
        let mut answer = None;
        let mut is_nobody = false;
        let mut message = error.to_string();
        // The last link says it in the fewest words.
        while let Some(here) = link {
            if let Some(NoCredentials(_)) = here.downcast_ref::<NoCredentials>() {
                trouble = Trouble::Other;
                is_nobody = true;
            } else if let Some(found) = here.downcast_ref::<Answer>() {
                trouble = Trouble::Status(found.status);
                answer = Some(found.clone());
            } else if let Some(http) = here.downcast_ref::<HttpError>() {
                trouble = match http.kind() {
                    HttpErrorKind::Connect => Trouble::Connect,
                    HttpErrorKind::Timeout => Trouble::Timeout,
                    HttpErrorKind::Request | HttpErrorKind::Interrupted => Trouble::Interrupted,
                    _ => Trouble::Other,
                };
            }
            message = here.to_string();
            link = here.source();
        }
        Self {
            trouble,
            answer,
            is_nobody,
            message,
        }
    }

    pub(crate) fn is_missing(&self) -> bool {
        self.status() == Some(404) && !self.is_no_bucket()
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.status() == Some(412)
    }

    pub(crate) fn is_out_of_range(&self) -> bool {
        self.status() == Some(416)
    }

    pub(crate) fn is_no_bucket(&self) -> bool {
        self.answer
            .as_ref()
            .is_some_and(|answer| answer.code == "NoSuchBucket")
    }

    pub(crate) fn is_denied(&self) -> bool {
        self.is_nobody || matches!(self.status(), Some(401 | 403)) || {
            // Some say 400 of an access key that they do not know.
            let code = self
                .answer
                .as_ref()
                .map_or("", |answer| answer.code.as_str());
            matches!(
                code,
                "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken"
            )
        }
    }

    fn status(&self) -> Option<u16> {
        self.answer.as_ref().map(|answer| answer.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_read_and_what_it_does_not_say_is_not_missed() {
        let body = b"<?xml version=\"1.0\"?>\n<Error><Code>NoSuchBucket</Code>\
                     <Message>The specified bucket does not exist</Message></Error>";
        let answer = Answer::read(404, body);
        assert_eq!(answer.code, "NoSuchBucket");
        let told = answer.to_string();
        assert_eq!(
            told,
            "status 404, NoSuchBucket: The specified bucket does not exist"
        );
        assert_eq!(Answer::read(503, b"\xff<Code>").to_string(), "status 503");
    }

    #[test]
    fn the_cause_is_found_however_deep_it_lies() {
        let answer = Answer::read(403, b"<Code>AccessDenied</Code>");
        let http = HttpError::new(HttpErrorKind::Unknown, answer);
        let failed = Failed::of(&object_store::Error::Generic {
            store: "S3",
            source: Box::new(http),
        });
        assert_eq!(failed.trouble, Trouble::Status(403));
        assert!(failed.is_denied() && !failed.is_missing());
        let broken = HttpError::new(HttpErrorKind::Timeout, std::io::Error::other("slow"));
        let failed = Failed::of(&object_store::Error::Generic {
            store: "S3",
            source: Box::new(broken),
        });
        assert_eq!(
            (failed.trouble, failed.message.as_str()),
            (Trouble::Timeout, "slow")
        );
    }
}
