//! The HTTP client of operators whose calls wait: sends what their grants allow, and nothing else.
//!
//! INVARIANT: no connection is made to where nothing is granted, redirects included; an answer is
//! read to a bound; the environment (proxies) decides nothing.

use std::{fmt, sync::Arc};

use reqwest::{
    Client, Method, Url,
    header::{
        AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE, COOKIE,
        HeaderMap, HeaderName, HeaderValue, LOCATION, PROXY_AUTHORIZATION,
    },
    redirect::Policy,
};
use weir_operator::{
    Failure, HttpClient, HttpError, HttpOrigin, HttpRequest, HttpResponse, Sending,
};

/// The most bytes of the body of a request, and of an answer. Both are in the memory of the host,
/// of each call that is under way.
pub const MAX_BODY: usize = 8 << 20;
/// How many redirects are followed.
const MAX_REDIRECTS: usize = 10;
/// What the connection says itself; a guest that said it could speak of another host or length.
const OURS: [&str; 8] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A client with the grants of one operator. Cheap to clone.
#[derive(Clone)]
pub struct GrantedClient {
    client: Client,
    grants: Arc<[HttpOrigin]>,
}

impl GrantedClient {
    /// A client that may reach these.
    ///
    /// # Errors
    /// [`Failure::External`] where TLS cannot be set up.
    pub fn new(grants: impl Into<Arc<[HttpOrigin]>>) -> Result<Self, Failure> {
        // Whoever was first: all of this program are the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")))
            .build();
        let client = client.map_err(|error| Failure::External {
            what: "cannot set up the HTTP client of operators".into(),
            message: in_words(&error),
        })?;
        Ok(Self {
            client,
            grants: grants.into(),
        })
    }

    async fn follow(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut hop = Hop::parse(request)?;
        for _ in 0..=MAX_REDIRECTS {
            check(&self.grants, &hop.url)?;
            let sent = self.client.request(hop.method.clone(), hop.url.clone());
            let sent = sent.headers(hop.headers.clone()).body(hop.body.clone());
            let response = sent.send().await.map_err(|error| broken(&error))?;
            match hop.next(response.status().as_u16(), response.headers())? {
                Some(next) => hop = next,
                None => return read(response).await,
            }
        }
        let why = format!("more than {MAX_REDIRECTS} redirects");
        Err(HttpError::Unreachable(why))
    }
}

impl HttpClient for GrantedClient {
    fn send(&self, request: HttpRequest) -> Sending {
        let client = self.clone();
        Box::pin(async move { client.follow(request).await })
    }
}

impl fmt::Debug for GrantedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrantedClient")
            .field("grants", &self.grants)
            .finish_non_exhaustive()
    }
}

/// One request of those that redirects lead to.
#[derive(Debug)]
struct Hop {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Hop {
    fn parse(request: HttpRequest) -> Result<Self, HttpError> {
        let invalid = HttpError::Invalid;
        let method = Method::from_bytes(request.method.as_bytes());
        let method = method.map_err(|_| invalid(format!("no method: {:?}", request.method)))?;
        let url = Url::parse(&request.url);
        let url = url.map_err(|error| invalid(format!("no URL: {:?}: {error}", request.url)))?;
        if request.body.len() > MAX_BODY {
            let bytes = request.body.len();
            let why = format!("a body of {bytes} bytes; {MAX_BODY} are the most");
            return Err(invalid(why));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in request.headers {
            let known = HeaderName::from_bytes(name.as_bytes());
            let known = known.map_err(|_| invalid(format!("no name of a header: {name:?}")))?;
            if OURS.contains(&known.as_str()) {
                return Err(invalid(format!(
                    "the header `{known}`, which the host sets"
                )));
            }
            let value = HeaderValue::from_bytes(&value);
            let value = value.map_err(|_| invalid(format!("no value of the header `{known}`")))?;
            headers.append(known, value);
        }
        Ok(Self {
            method,
            url,
            headers,
            body: request.body,
        })
    }

    /// Where an answer leads, as browsers go; `None` where it is the answer.
    fn next(&self, status: u16, headers: &HeaderMap) -> Result<Option<Self>, HttpError> {
        let keeps = match status {
            301 | 302 => self.method != Method::POST,
            303 => matches!(self.method, Method::GET | Method::HEAD),
            307 | 308 => true,
            _ => return Ok(None),
        };
        let Some(location) = headers.get(LOCATION) else {
            return Ok(None);
        };
        let to = location.to_str().ok().and_then(|to| self.url.join(to).ok());
        let Some(url) = to else {
            let why = format!("a redirect to {location:?}, which is no URL");
            return Err(HttpError::Unreachable(why));
        };
        let mut headers = self.headers.clone();
        if url.origin() != self.url.origin() {
            // What is said to one is not said to another.
            headers.remove(AUTHORIZATION);
            headers.remove(COOKIE);
            headers.remove(PROXY_AUTHORIZATION);
        }
        if !keeps {
            // These speak of a body that there is no more.
            for name in [
                CONTENT_TYPE,
                CONTENT_ENCODING,
                CONTENT_LANGUAGE,
                CONTENT_LOCATION,
            ] {
                headers.remove(name);
            }
        }
        Ok(Some(Self {
            method: if keeps {
                self.method.clone()
            } else {
                Method::GET
            },
            url,
            headers,
            body: if keeps { self.body.clone() } else { Vec::new() },
        }))
    }
}

/// Whether a URL is granted.
fn check(grants: &[HttpOrigin], url: &Url) -> Result<(), HttpError> {
    if !url.username().is_empty() || url.password().is_some() {
        // Nor does who redirects say as whom another is asked.
        let why = "a URL with a user or password; say `Authorization` instead";
        return Err(HttpError::Invalid(why.into()));
    }
    let origin = match (url.scheme(), url.host_str(), url.port_or_known_default()) {
        (scheme @ ("http" | "https"), Some(host), Some(port)) => HttpOrigin {
            tls: scheme == "https",
            host: host.to_owned(),
            port,
        },
        _ => {
            let why = format!("`{}:` is neither `http:` nor `https:`", url.scheme());
            return Err(HttpError::Invalid(why));
        }
    };
    match grants.contains(&origin) {
        true => Ok(()),
        false => Err(HttpError::Denied(format!(
            "`{origin}` is not granted; the job file says `grants: [ {{ http: \"{origin}\" }} ]` \
             where it is"
        ))),
    }
}

/// Reads an answer, up to the bound.
async fn read(mut response: reqwest::Response) -> Result<HttpResponse, HttpError> {
    let too_large = HttpError::TooLarge(MAX_BODY as u64);
    if response
        .content_length()
        .is_some_and(|length| length > MAX_BODY as u64)
    {
        return Err(too_large);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(too_large);
        }
        body.extend_from_slice(&chunk);
    }
    let headers = response.headers().iter();
    Ok(HttpResponse {
        status: response.status().as_u16(),
        headers: headers
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .collect(),
        body,
    })
}

fn broken(error: &reqwest::Error) -> HttpError {
    match error.is_builder() {
        true => HttpError::Invalid(in_words(error)),
        false => HttpError::Unreachable(in_words(error)),
    }
}

/// An error with what it comes from, for that is what says something.
fn in_words(error: &reqwest::Error) -> String {
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        source = cause.source();
    }
    words
}

#[cfg(test)]
mod tests;
