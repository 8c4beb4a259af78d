//! The HTTP client under `object_store`: it makes every status that is no success an error with
//! what the server says, for what is to be done about it is decided here and not there.

use async_trait::async_trait;
use object_store::{
    ClientOptions, HeaderValue,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
        HttpService, ReqwestConnector,
    },
};

use crate::answer::{Answer, NoCredentials};

/// Makes clients that tell.
#[derive(Debug, Default)]
pub(crate) struct Connector {
    inner: ReqwestConnector,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = self.inner.connect(options)?;
        Ok(HttpClient::new(Client { inner }))
    }
}

#[derive(Debug)]
struct Client {
    inner: HttpClient,
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if completes_upload(&request) {
            // An upload in parts does not replace an object either. Headers other than those of
            // Amazon need no signature.
            let any = HeaderValue::from_static("*");
            request.headers_mut().insert("if-none-match", any);
        }
        let is_for_role = is_for_role(&request);
        let response = match self.inner.execute(request).await {
            Err(error) if is_for_role => return Err(no_credentials(error.to_string())),
            response => response?,
        };
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        // What is busy may give some another time.
        if is_for_role && status.is_client_error() {
            return Err(no_credentials(format!("status {status}")));
        }
        let body = response.into_body().bytes().await.unwrap_or_default();
        let answer = Answer::read(status.as_u16(), &body);
        Err(HttpError::new(HttpErrorKind::Unknown, answer))
    }
}

/// Where clouds tell a machine who it is.
const OF_ROLES: [&str; 3] = ["169.254.169.254", "169.254.170.2", "[fd00:ec2::254]"];

/// Whether a request asks for the credentials of the machine's role.
fn is_for_role(request: &HttpRequest) -> bool {
    let host = request.uri().host().unwrap_or_default();
    OF_ROLES.contains(&host)
}

fn no_credentials(why: String) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, NoCredentials(why))
}

/// Whether a request puts the parts of an upload together.
fn completes_upload(request: &HttpRequest) -> bool {
    let query = request.uri().query().unwrap_or_default();
    request.method().as_str() == "POST"
        && query
            .split('&')
            .any(|parameter| parameter.starts_with("uploadId="))
}
