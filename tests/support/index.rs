//! A package index of the test's own, with packages that are made as it likes.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    extract::{Path, Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use tokio::{runtime::Runtime, sync::watch};

/// A server of packages. It ends when dropped.
pub struct Index {
    /// `127.0.0.1:PORT`.
    pub address: String,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

struct Shared {
    /// Files by their names.
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Packages that were asked for.
    asked: watch::Sender<BTreeSet<String>>,
    /// How many different ones have to be asked for before anybody is answered.
    gate: AtomicUsize,
    /// Paths that were asked for since the last look.
    requests: Mutex<Vec<String>>,
    is_closed: AtomicBool,
    /// Seconds that answers are good for; 0 where it does not say.
    good_for: AtomicUsize,
}

impl Index {
    pub fn start() -> Self {
        Self::gated(0)
    }

    /// One that answers nobody before so many packages have been asked for.
    pub fn gated(gate: usize) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let shared = Arc::new(Shared {
            files: Mutex::default(),
            asked: watch::channel(BTreeSet::new()).0,
            gate: AtomicUsize::new(gate),
            requests: Mutex::default(),
            is_closed: AtomicBool::new(false),
            good_for: AtomicUsize::new(0),
        });
        let app = Router::new()
            .route("/simple/{name}/", get(page))
            .route("/files/{name}", get(file))
            .layer(middleware::from_fn_with_state(shared.clone(), counted))
            .with_state(shared.clone());
        runtime.spawn(async move { axum::serve(listener, app).await });
        Index { address, shared, _runtime: runtime }
    }

    /// From now on everybody is answered, however few have asked.
    pub fn open(&self) {
        self.shared.gate.store(0, Ordering::Relaxed);
        self.shared.asked.send_modify(|_| ());
    }

    /// From now on nobody is served.
    pub fn close(&self) {
        self.shared.is_closed.store(true, Ordering::Relaxed);
    }

    /// What was asked for since the last look, as `/simple/NAME/` and `/files/NAME`, in order of the alphabet.
    pub fn requests(&self) -> Vec<String> {
        let mut requests = std::mem::take(&mut *self.shared.requests.lock().expect("the lock"));
        requests.sort();
        requests
    }

    /// For `UV_DEFAULT_INDEX`.
    pub fn url(&self) -> String {
        format!("http://{}/simple", self.address)
    }

    /// Adds a wheel of some files, as `(path, content)`.
    pub fn wheel(&self, name: &str, version: &str, files: &[(&str, &str)]) {
        self.add(format!("{name}-{version}-py3-none-any.whl"), wheel(name, version, files));
    }

    /// The same of a package that depends on others.
    pub fn wheel_needing(&self, name: &str, version: &str, needs: &[&str], files: &[(&str, &str)]) {
        self.add(format!("{name}-{version}-py3-none-any.whl"), wheel_of(name, version, needs, files));
    }

    /// From now on answers are good for so many seconds.
    pub fn keep_for(&self, seconds: usize) {
        self.shared.good_for.store(seconds, Ordering::Relaxed);
    }

    /// Adds a package that has no wheel. `build` is what its build script does, in a function of Python; what that gives
    /// is then `NAME.FOUND`.
    pub fn source(&self, name: &str, version: &str, build: &str) {
        let backend = BACKEND.replace("NAME", name).replace("VERSION", version);
        let body: String = build.lines().map(|line| format!("    {line}\n")).collect();
        let backend = format!("{backend}\ndef build(directory):\n{body}");
        let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for (path, text) in [
            ("PKG-INFO", format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")),
            (
                "pyproject.toml",
                "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n".to_owned(),
            ),
            ("backend.py", backend),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            archive.append_data(&mut header, format!("{name}-{version}/{path}"), text.as_bytes()).expect("a file");
        }
        let bytes = archive.into_inner().expect("an archive").finish().expect("an archive");
        self.add(format!("{name}-{version}.tar.gz"), bytes);
    }

    /// The digest of one of its files.
    pub fn sha256(&self, file: &str) -> String {
        use sha2::Digest;
        hex::encode(sha2::Sha256::digest(&self.shared.files.lock().expect("the lock")[file]))
    }

    fn add(&self, file: String, bytes: Vec<u8>) {
        self.shared.files.lock().expect("the lock").insert(file, bytes);
    }
}

/// A wheel's bytes.
pub fn wheel(name: &str, version: &str, files: &[(&str, &str)]) -> Vec<u8> {
    wheel_of(name, version, &[], files)
}

fn wheel_of(name: &str, version: &str, needs: &[&str], files: &[(&str, &str)]) -> Vec<u8> {
    let info = format!("{name}-{version}.dist-info");
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let needs: String = needs.iter().map(|need| format!("Requires-Dist: {need}\n")).collect();
    let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}");
    let of_wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    let mut record = String::new();
    let own = [(format!("{info}/METADATA"), metadata.as_str()), (format!("{info}/WHEEL"), of_wheel)];
    let all = files.iter().map(|(path, text)| ((*path).to_owned(), *text)).chain(own);
    for (path, text) in all {
        archive.start_file(path.as_str(), zip::write::SimpleFileOptions::default()).expect("a file");
        archive.write_all(text.as_bytes()).expect("a file");
        record.push_str(&format!("{path},,\n"));
    }
    record.push_str(&format!("{info}/RECORD,,\n"));
    archive.start_file(format!("{info}/RECORD"), zip::write::SimpleFileOptions::default()).expect("a file");
    archive.write_all(record.as_bytes()).expect("a file");
    archive.finish().expect("an archive").into_inner()
}

/// A build backend that needs nothing.
const BACKEND: &str = r#"
import os, sys, zipfile

def write_wheel(directory, name, version, files):
    info = f"{name}-{version}.dist-info"
    files = dict(files)
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    file = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(directory, file), "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
    return file

def build_wheel(directory, config_settings=None, metadata_directory=None):
    found = build(directory)
    return write_wheel(directory, "NAME", "VERSION", {"NAME.py": f"FOUND = {found!r}\n"})
"#;

async fn counted(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    shared.requests.lock().expect("the lock").push(request.uri().path().to_owned());
    if shared.is_closed.load(Ordering::Relaxed) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let mut response = next.run(request).await;
    let good_for = shared.good_for.load(Ordering::Relaxed);
    if good_for > 0 {
        let value = format!("max-age={good_for}").parse().expect("a header");
        response.headers_mut().insert(header::CACHE_CONTROL, value);
    }
    response
}

async fn page(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Result<Html<String>, StatusCode> {
    shared.asked.send_modify(|asked| {
        asked.insert(name.clone());
    });
    let mut asked = shared.asked.subscribe();
    asked.wait_for(|asked| asked.len() >= shared.gate.load(Ordering::Relaxed)).await.map_err(|_| StatusCode::GONE)?;
    let files = shared.files.lock().expect("the lock");
    let own = files.keys().filter(|file| file.split('-').next().is_some_and(|own| own.replace('_', "-") == name));
    let links: String = own.map(|file| format!("<a href=\"/files/{file}\">{file}</a>\n")).collect();
    if links.is_empty() { Err(StatusCode::NOT_FOUND) } else { Ok(Html(links)) }
}

async fn file(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Result<Vec<u8>, StatusCode> {
    shared.files.lock().expect("the lock").get(&name).cloned().ok_or(StatusCode::NOT_FOUND)
}
