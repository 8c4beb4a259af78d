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

use crate::answer::Answer;

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
        let response = self.inner.execute(request).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.into_body().bytes().await.unwrap_or_default();
        let answer = Answer::read(status.as_u16(), &body);
        Err(HttpError::new(HttpErrorKind::Unknown, answer))
    }
}

/// Whether a request puts the parts of an upload together.
fn completes_upload(request: &HttpRequest) -> bool {
    let query = request.uri().query().unwrap_or_default();
    request.method().as_str() == "POST"
        && query
            .split('&')
            .any(|parameter| parameter.starts_with("uploadId="))
}
