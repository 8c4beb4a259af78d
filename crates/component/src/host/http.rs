//! `weir:operator/http`, for calls that wait. The guest is left while the answer is under way.

use wasmtime::{
    StoreContextMut,
    component::{ComponentType, Lift, Linker, Lower},
};
use weir_operator::{HttpError, HttpRequest, HttpResponse};

use crate::{
    breach::Breach,
    guest::{Guest, Phase},
    interfaces::HTTP_IMPORT,
};

/// `http.header`.
#[derive(Debug, ComponentType, Lift, Lower)]
#[component(record)]
struct Header {
    name: String,
    value: Vec<u8>,
}

/// `http.request`.
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
struct Request {
    method: String,
    url: String,
    headers: Vec<Header>,
    body: Vec<u8>,
}

/// `http.response`.
#[derive(Debug, ComponentType, Lower)]
#[component(record)]
struct Response {
    status: u16,
    headers: Vec<Header>,
    body: Vec<u8>,
}

/// `http.error`.
#[derive(Debug, ComponentType, Lower)]
#[component(variant)]
enum Error {
    #[component(name = "denied")]
    Denied(String),
    #[component(name = "invalid")]
    Invalid(String),
    #[component(name = "unreachable")]
    Unreachable(String),
    #[component(name = "too-large")]
    TooLarge(u64),
}

type Sent = (Result<Response, Error>,);

/// Adds it for calls that wait.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut http = linker.instance(HTTP_IMPORT)?;
    http.func_wrap_async(
        "send",
        |mut store: StoreContextMut<'_, Guest>, (request,)| {
            let sending = begin(store.data_mut(), request);
            Box::new(async move {
                let sent = sending?.await;
                Ok::<Sent, wasmtime::Error>((sent.map(Response::from).map_err(Error::from),))
            })
        },
    )
}

/// Adds it for `describe`, which may not use it.
pub(crate) fn link_none(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let send = |store: StoreContextMut<'_, Guest>, (_,): (Request,)| -> wasmtime::Result<Sent> {
        Err(misplaced(store.data()))
    };
    linker.instance(HTTP_IMPORT)?.func_wrap("send", send)
}

fn begin(guest: &mut Guest, request: Request) -> wasmtime::Result<weir_operator::Sending> {
    let Some(outside) = &guest.outside else {
        return Err(misplaced(guest));
    };
    match guest.phase {
        Phase::Open | Phase::Enrich => {}
        _ => return Err(misplaced(guest)),
    }
    Ok(outside.http.send(HttpRequest {
        method: request.method,
        url: request.url,
        headers: pairs(request.headers),
        body: request.body,
    }))
}

fn misplaced(guest: &Guest) -> wasmtime::Error {
    wasmtime::Error::new(Breach::Contract {
        message: format!("`http.send` cannot be used in {}", guest.phase),
    })
}

fn pairs(headers: Vec<Header>) -> Vec<(String, Vec<u8>)> {
    let pairs = headers
        .into_iter()
        .map(|Header { name, value }| (name, value));
    pairs.collect()
}

impl From<HttpResponse> for Response {
    fn from(response: HttpResponse) -> Self {
        let headers = response.headers.into_iter();
        Self {
            status: response.status,
            headers: headers
                .map(|(name, value)| Header { name, value })
                .collect(),
            body: response.body,
        }
    }
}

impl From<HttpError> for Error {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Denied(why) => Self::Denied(why),
            HttpError::Invalid(why) => Self::Invalid(why),
            HttpError::Unreachable(why) => Self::Unreachable(why),
            HttpError::TooLarge(most) => Self::TooLarge(most),
        }
    }
}
