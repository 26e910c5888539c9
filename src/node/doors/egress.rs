//! The door that leads out: an HTTP proxy for modules. `CONNECT` opens a tunnel; plain requests in absolute form are
//! passed on. The credential of a run says who asks, and the core what that run may reach.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, uri::Authority,
    },
};
use hyper::{body::Incoming, ext::ReasonPhrase, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::node::{
    NodeError, Shared,
    core::{EgressError, Proof, Reached},
};

/// Clients of one listener at a time that have no tunnel yet; more wait.
const CLIENTS: usize = 1024;

/// Connections of one program of an install at a time; more wait.
const INSTALLER_CONNECTIONS: usize = 256;

/// How long a client may take to say what it wants.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes and number of a request's headers, and of an answer's.
const MAX_HEAD: usize = 32 << 10;
const MAX_HEADERS: usize = 100;

/// What is between a client and its proxy alone.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Who connects to a listener.
#[derive(Debug, Clone)]
pub(in crate::node) enum Who {
    /// Runs, each with its credential.
    Runs,
    /// One program of an install, which has this many connections at a time until that is cancelled.
    Installer(Arc<Semaphore>, CancellationToken),
}

impl Who {
    /// A program of an install.
    pub(in crate::node) fn installer() -> Self {
        Who::Installer(Arc::new(Semaphore::new(INSTALLER_CONNECTIONS)), CancellationToken::new())
    }

    /// Ends what is open when this is dropped.
    pub(in crate::node) fn ends_with(&self) -> Option<DropGuard> {
        match self {
            Who::Runs => None,
            Who::Installer(_, ended) => Some(ended.clone().drop_guard()),
        }
    }
}

/// Serves those who connect, until it is told to stop.
pub(in crate::node) async fn serve(core: Shared, who: Who, listener: TcpListener, stop: CancellationToken) {
    let clients = Arc::new(Semaphore::new(CLIENTS));
    while let Ok(turn) = clients.clone().acquire_owned().await {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: there are some when others have ended.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (core, who) = (core.clone(), who.clone());
        tokio::spawn(async move {
            let _turn = turn;
            let service = service_fn(|request| {
                let (core, who) = (core.clone(), who.clone());
                async move { Ok::<_, Infallible>(answer(&core, &who, request).await.unwrap_or_else(Denied::response)) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(MAX_HEAD)
                .max_headers(MAX_HEADERS)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            // A client that breaks off has nobody to tell.
            let _ = served.await;
        });
    }
}

/// Why a request is not passed on.
struct Denied(StatusCode, String);

impl Denied {
    fn request(reason: &str) -> Self {
        Denied(StatusCode::BAD_REQUEST, reason.to_owned())
    }

    fn response(self) -> Response<Body> {
        let Denied(status, reason) = self;
        let mut response = Response::new(Body::from(format!("{reason}\n")));
        *response.status_mut() = status;
        // Clients show no more than this of a refused tunnel.
        if let Ok(phrase) = ReasonPhrase::try_from(reason) {
            response.extensions_mut().insert(phrase);
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            headers.insert(header::PROXY_AUTHENTICATE, HeaderValue::from_static("Basic"));
        }
        response
    }
}

impl From<EgressError> for Denied {
    fn from(error: EgressError) -> Self {
        let status = match &error {
            denied if denied.is_denial() => StatusCode::FORBIDDEN,
            EgressError::NoHost => StatusCode::BAD_REQUEST,
            EgressError::TooMany => StatusCode::SERVICE_UNAVAILABLE,
            EgressError::Late(_) => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        };
        Denied(status, error.to_string())
    }
}

impl From<NodeError> for Denied {
    fn from(error: NodeError) -> Self {
        let status = match &error {
            NodeError::Unauthorised(_) => StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Denied(status, error.problem().detail)
    }
}

async fn answer(core: &Shared, who: &Who, request: Request<Incoming>) -> Result<Response<Body>, Denied> {
    let is_tunnel = request.method() == Method::CONNECT;
    let authority = target(request.uri(), is_tunnel)?.clone();
    let default = (!is_tunnel).then_some(80);
    let port = authority.port_u16().or(default).ok_or_else(|| Denied::request("`CONNECT` needs a host and a port"))?;
    let reached = match who {
        Who::Runs => {
            let proof = request.headers().get(header::PROXY_AUTHORIZATION).map(|value| value.to_str().unwrap_or(""));
            let run = core.egress_of(Proof::parse(proof)?).await?;
            // Neither waits for the run, nor keeps it.
            core.reach(&run, authority.host(), port).await?
        }
        Who::Installer(connections, ended) => {
            let permit = connections.clone().acquire_owned().await;
            let permit = permit.map_err(|_| Denied::request("the install is over"))?;
            core.reach_index(authority.host(), port, permit, ended.clone()).await?
        }
    };
    if is_tunnel { Ok(tunnel(request, reached)) } else { pass_on(request, &authority, reached).await }
}

/// The host that a request is for.
fn target(uri: &Uri, is_tunnel: bool) -> Result<&Authority, Denied> {
    match (uri.scheme_str(), uri.authority()) {
        (None, Some(authority)) if is_tunnel => Ok(authority),
        (Some("http"), Some(authority)) if !is_tunnel => Ok(authority),
        (Some(_), _) => Err(Denied::request("only `http://` is passed on; anything else goes through `CONNECT`")),
        _ => Err(Denied::request(
            "this is the way out for modules, an HTTP proxy; the node itself is at `NAPT_NODE_URL`",
        )),
    }
}

/// Bytes both ways, until either side or the run ends.
fn tunnel(request: Request<Incoming>, reached: Reached) -> Response<Body> {
    tokio::spawn(async move {
        let Reached { mut stream, permit, ended } = reached;
        let through = async {
            if let Ok(client) = hyper::upgrade::on(request).await {
                // One side is slow: the other waits.
                let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut stream).await;
            }
        };
        tokio::select! {
            () = through => {}
            () = ended.cancelled() => {}
        }
        drop(permit);
    });
    Response::new(Body::empty())
}

/// One request and its answer.
async fn pass_on(
    mut request: Request<Incoming>,
    authority: &Authority,
    reached: Reached,
) -> Result<Response<Body>, Denied> {
    let failed = |_| Denied(StatusCode::BAD_GATEWAY, format!("`{}` broke off", authority.host()));
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().map_err(|_| Denied::request("the request's path is not one"))?;
    *request.version_mut() = Version::HTTP_11;
    leave_out_hops(request.headers_mut());
    // Whatever the client says: the host that was judged.
    let port = authority.port().map(|port| format!(":{port}")).unwrap_or_default();
    let host = HeaderValue::try_from(format!("{}{port}", authority.host()));
    request.headers_mut().insert(header::HOST, host.map_err(|_| Denied::request("the request names no host"))?);
    let Reached { stream, permit, ended } = reached;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    tokio::spawn(async move {
        tokio::select! {
            // What goes wrong shows in the answer.
            _ = connection => {}
            () = ended.cancelled() => {}
        }
        drop(permit);
    });
    let mut response = sender.send_request(request).await.map_err(failed)?;
    leave_out_hops(response.headers_mut());
    Ok(response.map(Body::new))
}

/// Takes out what is for the next one on the way alone.
fn leave_out_hops(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.map(HeaderName::from_static).into_iter().chain(named) {
        headers.remove(name);
    }
}
