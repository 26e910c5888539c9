//! Servers that misbehave, and a proxy that loses answers. One thread a connection; they end with the test.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use url::Url;

/// What a misbehaving server does with a request.
#[derive(Clone)]
pub enum Reply {
    /// Sends these bytes and closes.
    Raw(Vec<u8>),
    /// Sends a head, then the same byte again and again with a pause between, or without.
    Drip(String, Option<Duration>),
    /// Says nothing, and keeps the connection.
    Hang,
    /// Resets the connection.
    Reset,
}

/// A response with a body and the right length.
pub fn response(status: &str, headers: &str, body: &str) -> Reply {
    Reply::Raw(
        format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
            .into(),
    )
}

/// A server that answers the n-th request (from 0), given its head, as it is told.
pub struct Faults {
    pub url: Url,
    requests: Arc<AtomicUsize>,
}

impl Faults {
    pub fn start(reply: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(AtomicUsize::new(0));
        let (count, reply) = (Arc::clone(&requests), Arc::new(reply));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (count, reply) = (Arc::clone(&count), Arc::clone(&reply));
                thread::spawn(move || {
                    if let Some(head) = read_head(&stream) {
                        let number = count.fetch_add(1, Ordering::SeqCst);
                        answer(stream, &reply(number, &head));
                    }
                });
            }
        });
        Faults { url: Url::parse(&format!("http://{address}")).expect("a URL"), requests }
    }

    /// How many requests came.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn read_head(mut stream: &TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// Errors mean that the client has gone, as it should.
fn answer(mut stream: TcpStream, reply: &Reply) {
    match reply {
        Reply::Raw(bytes) => {
            let _ = stream.write_all(bytes);
            let _ = stream.shutdown(Shutdown::Write);
            // Reads what is left of the request, so that closing is no reset.
            let _ = stream.read_to_end(&mut Vec::new());
        }
        Reply::Drip(head, pause) => {
            let chunk = if pause.is_some() { vec![b'x'] } else { vec![b'x'; 1 << 16] };
            let mut open = stream.write_all(head.as_bytes()).is_ok();
            while open {
                open = stream.write_all(&chunk).is_ok();
                if let Some(pause) = pause {
                    thread::sleep(*pause);
                }
            }
        }
        Reply::Hang => {
            let _ = stream.read_to_end(&mut Vec::new());
        }
        Reply::Reset => {
            // Closing with unread bytes in the buffer, as after reading a head only, resets on Linux; and the head's
            // reader gets nothing either way.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A proxy before `target` that passes everything on, but loses the answers to the first `lost` requests whose head
/// starts with `method`: the server has acted, the client does not know.
pub fn losing_proxy(target: &Url, method: &'static str, lost: usize) -> Url {
    let left = AtomicUsize::new(lost);
    proxy(target, move |head| {
        head.starts_with(method)
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    })
}

/// A proxy that holds some requests back until it is opened.
pub struct Gate {
    pub url: Url,
    state: Arc<(Mutex<GateState>, Condvar)>,
}

#[derive(Default)]
struct GateState {
    is_open: bool,
    held: usize,
}

impl Gate {
    /// Before `target`, for requests whose first line has `part`.
    pub fn before(target: &Url, part: &'static str) -> Self {
        let state = Arc::<(Mutex<GateState>, Condvar)>::default();
        let own = Arc::clone(&state);
        let url = proxy(target, move |head| {
            if head.lines().next().is_some_and(|line| line.contains(part)) {
                let (state, opened) = &*own;
                let mut state = state.lock().expect("no panic");
                state.held += 1;
                drop(opened.wait_while(state, |state| !state.is_open));
            }
            false
        });
        Gate { url, state }
    }

    /// How many requests came that it holds, or held, back.
    pub fn held(&self) -> usize {
        self.state.0.lock().expect("no panic").held
    }

    pub fn open(&self) {
        self.state.0.lock().expect("no panic").is_open = true;
        self.state.1.notify_all();
    }
}

/// A proxy that passes everything on, but for the answers to requests whose head is one to lose.
fn proxy(target: &Url, loses: impl Fn(&str) -> bool + Send + Sync + 'static) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let target = target.socket_addrs(|| None).expect("an address")[0];
    let loses = Arc::new(loses);
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let loses = Arc::clone(&loses);
            thread::spawn(move || {
                let server = TcpStream::connect(target).expect("the server listens");
                let head = read_head(&client).unwrap_or_default();
                // One request a connection, so that each can be judged.
                let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
                let lose = loses(&head);
                let (mut up, mut down) = (server.try_clone().expect("a socket"), client.try_clone().expect("a socket"));
                let sending = thread::spawn(move || {
                    let _ = up.write_all(head.as_bytes());
                    let _ = std::io::copy(&mut down, &mut up);
                });
                if lose {
                    // The first byte of the answer says that the server has acted.
                    let _ = (&server).read(&mut [0]);
                } else {
                    let _ = std::io::copy(&mut &server, &mut &client);
                }
                let _ = client.shutdown(Shutdown::Both);
                let _ = server.shutdown(Shutdown::Both);
                let _ = sending.join();
            });
        }
    });
    Url::parse(&format!("http://{address}")).expect("a URL")
}
