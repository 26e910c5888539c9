//! Repositories over HTTP: by git's own `git http-backend`, as files alone, or for those who sign in.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, Response, StatusCode, Uri},
};
use tokio::runtime::Runtime;

/// How a server gives what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As today's servers do.
    Smart,
    /// As files, with no program behind it.
    Dumb,
    /// To nobody without a password.
    Private,
}

/// A server of the repositories in a folder. It ends when dropped.
pub struct GitServer {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    _runtime: Runtime,
}

impl GitServer {
    pub fn start(folder: PathBuf, way: Way) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let app = Router::new().fallback(answer).with_state(Arc::new((folder, way)));
        runtime.spawn(async move { axum::serve(listener, app).await });
        GitServer { url, _runtime: runtime }
    }
}

async fn answer(
    State(server): State<Arc<(PathBuf, Way)>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let (folder, way) = &*server;
    let empty = |status| Response::builder().status(status).body(Body::empty()).expect("an answer");
    match way {
        Way::Private => Response::builder()
            .status(StatusCode::UNAUTHORIZED)
            .header("WWW-Authenticate", "Basic realm=\"git\"")
            .body(Body::empty())
            .expect("an answer"),
        Way::Dumb => match std::fs::read(folder.join(uri.path().trim_start_matches('/'))) {
            Ok(bytes) => Response::new(bytes.into()),
            Err(_) => empty(StatusCode::NOT_FOUND),
        },
        Way::Smart => {
            let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
            let mut command = Command::new("git");
            command
                .arg("http-backend")
                .env("GIT_PROJECT_ROOT", folder)
                .env("GIT_HTTP_EXPORT_ALL", "1")
                .env("GIT_CONFIG_GLOBAL", "/dev/null")
                .env("PATH_INFO", uri.path())
                .env("QUERY_STRING", uri.query().unwrap_or_default())
                .env("REQUEST_METHOD", method.as_str())
                .env("CONTENT_TYPE", header("content-type"))
                .env("CONTENT_LENGTH", body.len().to_string())
                .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
                .env("GIT_PROTOCOL", header("git-protocol"))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null());
            let output = tokio::task::spawn_blocking(move || {
                let mut child = command.spawn().expect("git is installed");
                child.stdin.take().expect("a pipe").write_all(&body).expect("it reads");
                child.wait_with_output().expect("it ends").stdout
            });
            let output = output.await.expect("it ends");
            let end = output.windows(4).position(|four| four == b"\r\n\r\n").expect("headers");
            let mut response = Response::builder();
            for line in String::from_utf8_lossy(&output[..end]).lines() {
                let (name, value) = line.split_once(": ").expect("a header");
                response = match name {
                    "Status" => response.status(value[..3].parse::<u16>().expect("a status")),
                    name => response.header(name, value),
                };
            }
            response.body(output[end + 4..].to_vec().into()).expect("an answer")
        }
    }
}
