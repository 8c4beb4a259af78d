//! The files in which AWS's tools keep credentials and regions, `~/.aws/credentials` and
//! `~/.aws/config`. Pure: texts go in.
//!
//! Read of a profile are an access key and a region. What asks somebody else for credentials (SSO,
//! a process, another role) is told of and not done.

/// What the files say of a profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) region: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) secret: Option<String>,
    pub(crate) token: Option<String>,
    /// What it has instead of an access key, and is not done here.
    pub(crate) other: Option<String>,
}

/// Keys of ways to credentials that are not gone here.
const OTHER_WAYS: [&str; 5] = [
    "sso_session",
    "sso_start_url",
    "credential_process",
    "role_arn",
    "login_session",
];

impl Profile {
    /// Of the two files, where there are any; the first one wins, as it does with AWS's tools.
    /// `None` = neither knows the profile.
    pub(crate) fn read(name: &str, credentials: &str, config: &str) -> Option<Self> {
        let mut profile = Self::default();
        let of_config = match name {
            "default" => name.to_owned(),
            name => format!("profile {name}"),
        };
        // In the file of credentials no section has the word before it.
        let found = [
            profile.add(credentials, |section| section == name),
            profile.add(config, |section| {
                section == of_config || (name == "default" && section == "profile default")
            }),
        ];
        found.contains(&true).then_some(profile)
    }

    /// Adds what a file says and the profile does not have yet; whether there is such a section.
    fn add(&mut self, text: &str, is_meant: impl Fn(&str) -> bool) -> bool {
        let mut is_inside = false;
        let mut is_there = false;
        for line in text.lines() {
            let plain = line.trim();
            let section = plain
                .strip_prefix('[')
                .and_then(|rest| rest.split_once(']'));
            if let Some((section, _)) = section {
                let words: Vec<&str> = section.split_whitespace().collect();
                is_inside = is_meant(&words.join(" "));
                is_there |= is_inside;
                continue;
            }
            // What is indented belongs to the key before it.
            let is_below = line.starts_with([' ', '\t']);
            if !is_inside || is_below || plain.starts_with(['#', ';']) {
                continue;
            }
            if let Some((key, value)) = plain.split_once('=') {
                self.set(key.trim().to_ascii_lowercase().as_str(), value);
            }
        }
        is_there
    }

    fn set(&mut self, key: &str, value: &str) {
        // A comment begins behind a blank; a secret may hold the mark itself.
        let end = [" #", " ;", "\t#", "\t;"].map(|mark| value.find(mark));
        let end = end.into_iter().flatten().min().unwrap_or(value.len());
        let value = value[..end].trim();
        let place = match key {
            "region" => &mut self.region,
            "aws_access_key_id" => &mut self.key,
            "aws_secret_access_key" => &mut self.secret,
            "aws_session_token" => &mut self.token,
            key if OTHER_WAYS.contains(&key) => {
                self.other.get_or_insert_with(|| key.to_owned());
                return;
            }
            _ => return,
        };
        if !value.is_empty() {
            place.get_or_insert_with(|| value.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CREDENTIALS: &str = "\
# of AWS's tools
[default]
aws_access_key_id = AKIDEXAMPLE
aws_secret_access_key=wJalr/XUtn#FEMI=  # made up
[ work ]
AWS_ACCESS_KEY_ID = AKIDWORK
aws_secret_access_key = of-work
aws_session_token = of-the-session
";

    const CONFIG: &str = "\
[default]
region = eu-central-1
s3 =
  region = nowhere
[profile work]
region=us-west-2
aws_access_key_id = not-taken
[profile sso]
sso_session = here
[work]
region = nowhere
";

    #[test]
    fn a_profile_is_what_both_files_say_of_it() {
        let read = |name: &str| Profile::read(name, CREDENTIALS, CONFIG);
        let usual = read("default").unwrap();
        assert_eq!(usual.key.as_deref(), Some("AKIDEXAMPLE"));
        assert_eq!(usual.secret.as_deref(), Some("wJalr/XUtn#FEMI="));
        assert_eq!(
            (usual.region.as_deref(), usual.token),
            (Some("eu-central-1"), None)
        );
        let work = read("work").unwrap();
        assert_eq!(work.key.as_deref(), Some("AKIDWORK"));
        assert_eq!(work.token.as_deref(), Some("of-the-session"));
        assert_eq!(work.region.as_deref(), Some("us-west-2"));
        let sso = read("sso").unwrap();
        assert_eq!((sso.key, sso.other.as_deref()), (None, Some("sso_session")));
        assert_eq!(read("gone"), None);
        assert_eq!(Profile::read("default", "", ""), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[a-z_=\\[\\] #;\n]{0,80}") {
            let _ = Profile::read("default", &text, &text);
        }
    }
}
