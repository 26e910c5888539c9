//! How calls are made: with the credential, in time, again where that may help; and what is wrong with an answer.

use std::time::Duration;

use reqwest::{
    Method, RequestBuilder, Response,
    header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION},
};
use serde::de::DeserializeOwned;
use url::Url;

use super::RegistryClient;
use crate::{
    error::{ClientError, shown},
    retry::retry_after,
    transfer,
    types::Problem,
};

/// The longest message of a server that is shown, in characters.
const MAX_WORDS: usize = 4000;

impl RegistryClient {
    pub(super) fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // Only URLs such as `mailto:` have no segments, and a registry's has a host.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    pub(super) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.http.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, url: Url, what: &str) -> Result<T, ClientError> {
        self.call(true, what, || self.request(Method::GET, url.clone())).await
    }

    /// A call with a small JSON answer.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        repeatable: bool,
        what: &str,
        build: impl Fn() -> RequestBuilder,
    ) -> Result<T, ClientError> {
        self.retrying(repeatable, || self.in_time(self.receive(build(), what))).await
    }

    pub(super) async fn receive<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        what: &str,
    ) -> Result<T, ClientError> {
        let mut response = request.send().await.map_err(|error| ClientError::of_transport(&self.base, error))?;
        if !response.status().is_success() {
            return Err(self.refusal(response, what).await);
        }
        self.is_plain(&response, what)?;
        if !is_json(&response) {
            let kind = content_type(&response).unwrap_or("no content type").to_owned();
            return Err(self.garbage(format!("{what} comes as `{kind}`, not as JSON")));
        }
        let body = transfer::answer(&mut response, &self.base, what, &self.policy).await?;
        serde_json::from_slice(&body).map_err(|error| self.garbage(format!("{what}: {error}")))
    }

    /// No registry sends web pages for these, nor anything that would have to be decompressed: nobody asked for it.
    pub(super) fn is_plain(&self, response: &Response, what: &str) -> Result<(), ClientError> {
        let coding = response.headers().get(CONTENT_ENCODING).and_then(|coding| coding.to_str().ok());
        if let Some(coding) = coding.filter(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return Err(self.garbage(format!("{what} comes with the content coding `{}`", plain(coding))));
        }
        match content_type(response) {
            Some(kind) if kind.starts_with("text/html") => Err(self.garbage(format!("{what} comes as a web page"))),
            _ => Ok(()),
        }
    }

    pub(super) async fn in_time<T>(
        &self,
        call: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        match tokio::time::timeout(self.policy.call_timeout, call).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::Timeout { url: shown(&self.base) }),
        }
    }

    /// Tries again what may pass. What is not `repeatable` only where the server surely did not act on it.
    pub(super) async fn retrying<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        repeatable: bool,
        // Not an `AsyncFn`: its futures are not known to be `Send`, and servers call this.
        call: impl Fn() -> F,
    ) -> Result<T, ClientError> {
        let mut done = 0;
        loop {
            let error = match call().await {
                Err(error) if error.is_passing() && (repeatable || error.is_untouched()) => error,
                result => return result,
            };
            done += 1;
            let Some(wait) = self.policy.wait(done, error.retry_after()) else { return Err(error) };
            self.wait(&error, wait).await;
        }
    }

    pub(super) async fn wait(&self, error: &ClientError, wait: Duration) {
        (self.on_wait)(error, wait);
        tokio::time::sleep(wait).await;
    }

    pub(super) fn garbage(&self, what: String) -> ClientError {
        ClientError::Garbage { url: shown(&self.base), what }
    }

    /// What a status other than the wanted one says.
    pub(super) async fn refusal(&self, mut response: Response, what: &str) -> ClientError {
        let status = response.status();
        if status.is_redirection() {
            let to =
                response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).and_then(|to| self.base.join(to).ok());
            let to = to.map_or_else(|| "nowhere".to_owned(), |to| format!("`{}`", shown(&to)));
            return self.garbage(format!("{what} is redirected to {to}, where no credential is sent"));
        }
        if status.is_success() {
            return self.garbage(format!("{what}: unexpected status {status}"));
        }
        let retry_after = retry_after(response.headers());
        let body = match is_json(&response) {
            true => transfer::answer(&mut response, &self.base, what, &self.policy).await.unwrap_or_default(),
            false => Vec::new(),
        };
        let problem = serde_json::from_slice::<Problem>(&body).ok().filter(|problem| !problem.detail.is_empty());
        let mut problem = problem.unwrap_or_else(|| Problem {
            problem_type: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            detail: status.to_string(),
            hint: None,
            extra: Default::default(),
        });
        problem.detail = plain(&problem.detail);
        problem.hint = problem.hint.as_deref().map(plain);
        ClientError::Status { url: shown(&self.base), status: status.as_u16(), problem: Box::new(problem), retry_after }
    }
}

/// A server's words as they may be shown: not endless, and nothing that a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().take(MAX_WORDS).map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

fn content_type(response: &Response) -> Option<&str> {
    response.headers().get(CONTENT_TYPE)?.to_str().ok()
}

pub(super) fn is_json(response: &Response) -> bool {
    let kind = content_type(response).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}
