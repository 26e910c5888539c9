//! A proxy before a real server that spoils its answers. One request a connection, so that each can be judged.

use std::{
    io::Write,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use url::Url;

use super::http::runtime;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nobody listens.
    Refused,
    /// The server acts, but the connection is reset before its answer.
    ResetBeforeHead,
    /// The connection is reset after the answer's head.
    ResetAfterHead,
    /// The answer ends in the middle of its body.
    CutBody,
    /// The body comes at one byte a second.
    Slow,
    /// The server closes its side without an answer.
    HalfClose,
    /// `Content-Length` promises more than comes.
    LengthTooLong,
    /// `Content-Length` promises less than comes.
    LengthTooShort,
    /// 429 with `Retry-After` in seconds.
    TooManySeconds,
    /// 429 with `Retry-After` as a date.
    TooManyDate,
    /// 503.
    Unavailable,
    /// A web page with 200, as of a captive portal.
    WebPage,
    /// A redirect to another host.
    Redirect,
    /// A small compressed body that unpacks to a very large one.
    Bomb,
}

impl Fault {
    pub const ALL: [Fault; 14] = [
        Fault::Refused,
        Fault::ResetBeforeHead,
        Fault::ResetAfterHead,
        Fault::CutBody,
        Fault::Slow,
        Fault::HalfClose,
        Fault::LengthTooLong,
        Fault::LengthTooShort,
        Fault::TooManySeconds,
        Fault::TooManyDate,
        Fault::Unavailable,
        Fault::WebPage,
        Fault::Redirect,
        Fault::Bomb,
    ];
}

/// What the proxy does just now.
#[derive(Clone)]
struct Plan {
    target: Option<SocketAddr>,
    /// Where it redirects to.
    elsewhere: String,
    fault: Option<Fault>,
    /// How many more requests meet the fault, and what their first line has in it.
    left: usize,
    aim: &'static str,
    /// The first lines of all requests.
    seen: Vec<String>,
}

/// The proxy; it ends with the test process.
pub struct FaultProxy {
    pub url: Url,
    address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
    listening: Mutex<Option<JoinHandle<()>>>,
}

impl FaultProxy {
    /// One that redirects to `elsewhere` when it is to redirect.
    pub fn start(elsewhere: &Url) -> Self {
        let listener = runtime().block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let plan =
            Plan { target: None, elsewhere: elsewhere.to_string(), fault: None, left: 0, aim: "", seen: Vec::new() };
        let proxy = FaultProxy {
            url: format!("http://{address}").parse().expect("a URL"),
            address,
            plan: Arc::new(Mutex::new(plan)),
            listening: Mutex::default(),
        };
        proxy.listen(listener);
        proxy
    }

    /// The server behind it.
    pub fn stands_before(&self, target: &Url) {
        self.plan.lock().expect("no panic").target = Some(target.socket_addrs(|| None).expect("an address")[0]);
    }

    /// The next `times` requests with `aim` in their first line meet a fault; when nobody listens, all do.
    pub fn spoil(&self, fault: Fault, times: usize, aim: &'static str) {
        {
            let mut plan = self.plan.lock().expect("no panic");
            (plan.fault, plan.left, plan.aim) = (Some(fault), times, aim);
        }
        if fault == Fault::Refused {
            let listening = self.listening.lock().expect("no panic").take().expect("it listens");
            listening.abort();
            // The socket is closed once the task has gone.
            let _ = runtime().block_on(listening);
        }
    }

    /// How many more requests would meet the fault.
    pub fn left(&self) -> usize {
        self.plan.lock().expect("no panic").left
    }

    /// How many requests had this in their first line.
    pub fn requests(&self, text: &str) -> usize {
        self.plan.lock().expect("no panic").seen.iter().filter(|line| line.contains(text)).count()
    }

    /// All is well again.
    pub fn mend(&self) {
        self.plan.lock().expect("no panic").fault = None;
        if self.listening.lock().expect("no panic").is_none() {
            self.listen(runtime().block_on(TcpListener::bind(self.address)).expect("its port"));
        }
    }

    fn listen(&self, listener: TcpListener) {
        let plan = Arc::clone(&self.plan);
        let task = runtime().spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let plan = Arc::clone(&plan);
                tokio::spawn(async move {
                    // Errors say that one side has gone, as it may.
                    let _ = serve(client, &plan).await;
                });
            }
        });
        *self.listening.lock().expect("no panic") = Some(task);
    }
}

async fn serve(mut client: TcpStream, plan: &Mutex<Plan>) -> std::io::Result<()> {
    let Some(head) = read_head(&mut client).await? else { return Ok(()) };
    let (target, elsewhere, fault) = {
        let mut plan = plan.lock().expect("no panic");
        plan.seen.extend(head.lines().next().map(str::to_owned));
        let is_meant = plan.left > 0 && head.lines().next().is_some_and(|line| line.contains(plan.aim));
        let fault = plan.fault.filter(|_| is_meant);
        plan.left -= usize::from(fault.is_some());
        (plan.target.expect("a server behind it"), plan.elsewhere.clone(), fault)
    };
    let answer = match fault {
        None => return pass(client, &head, target).await,
        Some(Fault::ResetBeforeHead | Fault::ResetAfterHead | Fault::CutBody | Fault::Slow) => None,
        Some(Fault::LengthTooLong | Fault::LengthTooShort) => None,
        Some(Fault::Refused | Fault::HalfClose) => Some(Vec::new()),
        Some(Fault::TooManySeconds) => Some(answer("429 Too Many Requests", "Retry-After: 1\r\n", b"")),
        Some(Fault::TooManyDate) => {
            let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(1);
            let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&soon).expect("a date");
            Some(answer("429 Too Many Requests", &format!("Retry-After: {date}\r\n"), b""))
        }
        Some(Fault::Unavailable) => Some(answer("503 Service Unavailable", "", b"")),
        Some(Fault::WebPage) => Some(answer(
            "200 OK",
            "Content-Type: text/html; charset=utf-8\r\n",
            b"<html>Please pay for this Wi-Fi</html>",
        )),
        Some(Fault::Redirect) => Some(answer("307 Temporary Redirect", &format!("Location: {elsewhere}\r\n"), b"")),
        Some(Fault::Bomb) => {
            Some(answer("200 OK", "Content-Type: application/json\r\nContent-Encoding: gzip\r\n", &bomb()))
        }
    };
    let Some(answer) = answer else {
        return spoil(client, &head, target, fault.expect("one is meant")).await;
    };
    client.write_all(&answer).await?;
    client.shutdown().await?;
    // Closing with unread bytes would be a reset.
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), client.read_to_end(&mut rest)).await;
    Ok(())
}

/// Passes everything on.
async fn pass(mut client: TcpStream, head: &str, target: SocketAddr) -> std::io::Result<()> {
    let mut server = TcpStream::connect(target).await?;
    server.write_all(head.as_bytes()).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// Lets the server act, and spoils its answer.
async fn spoil(mut client: TcpStream, head: &str, target: SocketAddr, fault: Fault) -> std::io::Result<()> {
    let mut server = TcpStream::connect(target).await?;
    server.write_all(head.as_bytes()).await?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let sending = async {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        done = answer_badly(&mut from_server, &mut to_client, fault) => done?,
        () = sending => {}
    }
    if matches!(fault, Fault::ResetBeforeHead | Fault::ResetAfterHead) {
        client.set_zero_linger()?;
    }
    Ok(())
}

async fn answer_badly(
    from_server: &mut (impl AsyncReadExt + Unpin),
    to_client: &mut (impl AsyncWriteExt + Unpin),
    fault: Fault,
) -> std::io::Result<()> {
    let answer = read_head(from_server).await?.unwrap_or_default();
    let length =
        answer.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    // Of a stream, its beginning.
    let length: usize = length.unwrap_or(10);
    match fault {
        Fault::ResetAfterHead => {
            to_client.write_all(answer.as_bytes()).await?;
            // Else the reset may overtake the head.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Fault::CutBody => {
            to_client.write_all(answer.as_bytes()).await?;
            let mut some = vec![0; length / 2];
            from_server.read_exact(&mut some).await?;
            to_client.write_all(&some).await?;
            to_client.shutdown().await?;
        }
        Fault::Slow => {
            to_client.write_all(answer.as_bytes()).await?;
            let mut byte = [0];
            while from_server.read(&mut byte).await? == 1 {
                to_client.write_all(&byte).await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        Fault::LengthTooLong | Fault::LengthTooShort => {
            let wrong = if fault == Fault::LengthTooLong { length + 100 } else { length / 2 };
            let kept = answer.lines().filter(|line| {
                let line = line.to_ascii_lowercase();
                !line.is_empty() && !line.starts_with("content-length:") && !line.starts_with("transfer-encoding:")
            });
            let head: String = kept.map(|line| format!("{line}\r\n")).collect();
            to_client.write_all(format!("{head}Content-Length: {wrong}\r\n\r\n").as_bytes()).await?;
            let mut body = vec![0; length];
            from_server.read_exact(&mut body).await?;
            to_client.write_all(&body).await?;
            to_client.shutdown().await?;
        }
        _ => {}
    }
    Ok(())
}

/// A head as text, asking for no second request on the connection.
async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> std::io::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).replacen("\r\n", "\r\nConnection: close\r\n", 1);
    Ok(Some(head))
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// 64 MiB of spaces, in some 64 KiB.
fn bomb() -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..64 {
        encoder.write_all(&vec![b' '; 1 << 20]).expect("memory");
    }
    encoder.finish().expect("memory")
}
