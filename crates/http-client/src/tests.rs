//! The client against servers on loopback that say what a test tells them to.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

/// A server that answers each connection with the next of these, and gives what it was asked.
async fn server(answers: Vec<String>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                let read = socket.read(&mut buffer).await.unwrap();
                request.extend_from_slice(&buffer[..read]);
            }
            // The client may have heard enough before all is said.
            let _ = socket.write_all(answer.as_bytes()).await;
            asked.push(String::from_utf8(request).unwrap());
        }
        asked
    });
    (origin, serving)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
}

fn client(grants: &[&str]) -> GrantedClient {
    let grants: Vec<HttpOrigin> = grants
        .iter()
        .map(|g| HttpOrigin::parse(g).unwrap())
        .collect();
    GrantedClient::new(grants).unwrap()
}

fn get(url: &str) -> HttpRequest {
    HttpRequest {
        method: "GET".into(),
        url: url.into(),
        headers: vec![("authorization".into(), b"Bearer x".to_vec())],
        body: Vec::new(),
    }
}

#[tokio::test]
async fn an_answer_is_status_headers_and_body() {
    let (origin, asked) = server(vec![answer("500 No", "x-a: b\r\n", "{}")]).await;
    let request = HttpRequest {
        method: "POST".into(),
        body: b"hello".to_vec(),
        ..get(&format!("{origin}/a?b=c"))
    };
    let response = client(&[&origin]).send(request).await.unwrap();
    assert_eq!(response.status, 500);
    assert_eq!(response.body, b"{}");
    assert!(response.headers.contains(&("x-a".into(), b"b".to_vec())));
    let asked = asked.await.unwrap();
    assert!(
        asked[0].starts_with("POST /a?b=c HTTP/1.1\r\n"),
        "{asked:?}"
    );
    assert!(asked[0].contains("authorization: Bearer x"), "{asked:?}");
    assert!(asked[0].contains("user-agent: weir/"), "{asked:?}");
}

#[tokio::test]
async fn nothing_is_sent_to_where_nothing_is_granted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let other = format!("http://127.0.0.1:{}", if port == 1 { 2 } else { port - 1 });
    let granted = client(&[&other, &format!("https://127.0.0.1:{port}")]);
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("https://127.0.0.1:{}/", port.wrapping_add(1).max(1)),
    ] {
        let denied = granted.send(get(&url)).await.unwrap_err();
        assert!(
            matches!(&denied, HttpError::Denied(why) if why.contains("grants")),
            "{denied:?}"
        );
    }
}

#[tokio::test]
async fn redirects_are_followed_within_the_grants_only() {
    let (there, asked_there) = server(vec![answer("200 OK", "", "there")]).await;
    let moved = answer("302 Found", &format!("location: {there}/x\r\n"), "");
    let (here, asked_here) = server(vec![moved.clone(), moved]).await;
    let denied = client(&[&here]).send(get(&here)).await.unwrap_err();
    assert!(
        matches!(&denied, HttpError::Denied(why) if why.contains(&there)),
        "{denied:?}"
    );
    let response = client(&[&here, &there]).send(get(&here)).await.unwrap();
    assert_eq!(response.body, b"there");
    assert_eq!(asked_here.await.unwrap().len(), 2);
    let asked = asked_there.await.unwrap();
    assert!(asked[0].starts_with("GET /x "), "{asked:?}");
    assert!(!asked[0].contains("authorization"), "{asked:?}");
}

/// Where a redirect leads says neither as whom it is asked nor what was said to another, and a body
/// that is dropped takes along what is said of it.
#[tokio::test]
async fn a_redirect_takes_along_what_is_for_where_it_leads() {
    let (there, asked_there) = server(vec![answer("200 OK", "", "there")]).await;
    let moved = answer("303 See", &format!("location: {there}/x\r\n"), "");
    let (here, _) = server(vec![moved]).await;
    let request = HttpRequest {
        method: "POST".into(),
        body: b"hello".to_vec(),
        headers: [
            "authorization",
            "cookie",
            "proxy-authorization",
            "content-type",
            "x-kept",
        ]
        .map(|name| (name.to_owned(), b"some".to_vec()))
        .into(),
        ..get(&here)
    };
    let response = client(&[&here, &there]).send(request).await.unwrap();
    assert_eq!(response.body, b"there");
    let asked = asked_there.await.unwrap().remove(0);
    assert!(asked.starts_with("GET /x "), "{asked}");
    assert!(asked.contains("x-kept: some"), "{asked}");
    for gone in ["authorization", "cookie", "content-type", "hello"] {
        assert!(!asked.contains(gone), "{gone} in {asked}");
    }

    let (there, _) = server(Vec::new()).await;
    let as_somebody = there.replace("http://", "http://me:secret@");
    let moved = answer("302 Found", &format!("location: {as_somebody}/\r\n"), "");
    let (here, _) = server(vec![moved]).await;
    let refused = client(&[&here, &there]).send(get(&here)).await.unwrap_err();
    assert!(
        matches!(&refused, HttpError::Invalid(why) if why.contains("user")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn redirects_end() {
    let moved = answer("307 Moved", "location: /again\r\n", "");
    let (origin, _) = server(vec![moved; MAX_REDIRECTS + 1]).await;
    let error = client(&[&origin]).send(get(&origin)).await.unwrap_err();
    assert_eq!(
        error,
        HttpError::Unreachable("more than 10 redirects".into())
    );
}

#[tokio::test]
async fn an_answer_is_not_larger_than_the_bound_whatever_it_says_of_itself() {
    let large = "x".repeat(MAX_BODY + 1);
    let said = answer("200 OK", "", &large);
    let unsaid = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{large}");
    let (origin, _) = server(vec![said, unsaid]).await;
    for _ in 0..2 {
        let error = client(&[&origin]).send(get(&origin)).await.unwrap_err();
        assert_eq!(error, HttpError::TooLarge(MAX_BODY as u64));
    }
}

#[tokio::test]
async fn what_is_no_request_is_told() {
    let client = client(&["http://127.0.0.1:1"]);
    let url = "http://127.0.0.1:1/";
    let with = |name: &str, value: &str| HttpRequest {
        headers: vec![(name.into(), value.into())],
        ..get(url)
    };
    for (request, words) in [
        (get("/relative"), "no URL"),
        (get("http://me:secret@127.0.0.1:1/"), "Authorization"),
        (get("file:///etc/passwd"), "neither `http:`"),
        (with("host", "elsewhere"), "which the host sets"),
        (with("a b", "c"), "no name of a header"),
        (with("a", "b\r\nc: d"), "no value of the header `a`"),
        (
            HttpRequest {
                method: "GET /".into(),
                ..get(url)
            },
            "no method",
        ),
        (
            HttpRequest {
                body: vec![0; MAX_BODY + 1],
                ..get(url)
            },
            "are the most",
        ),
    ] {
        let error = client.send(request).await.unwrap_err();
        assert!(
            matches!(&error, HttpError::Invalid(why) if why.contains(words)),
            "{error:?}"
        );
    }
    let error = client.send(get(url)).await.unwrap_err();
    assert!(matches!(&error, HttpError::Unreachable(_)), "{error:?}");
}
