//! What the operator's variables say to the installer, and how much of it strangers' code may see.

/// Variables that napt sets itself, or that would have code of packages run where it must not.
const HELD: [&str; 11] = [
    "UV_BREAK_SYSTEM_PACKAGES",
    "UV_CACHE_DIR",
    "UV_COMPILE_BYTECODE",
    "UV_LINK_MODE",
    "UV_NO_BINARY",
    "UV_NO_BUILD_ISOLATION",
    "UV_NO_CACHE",
    "UV_PROJECT_ENVIRONMENT",
    "UV_PYTHON",
    "UV_PYTHON_DOWNLOADS",
    "UV_SYSTEM_PYTHON",
];

/// Parts of names of variables that hold secrets.
const SECRETS: [&str; 6] = ["CREDENTIAL", "KEYRING", "PASSWORD", "SECRET", "TOKEN", "USERNAME"];

/// The operator's variables for installers.
#[derive(Debug)]
pub(super) struct Settings {
    variables: Vec<(String, String)>,
}

impl Settings {
    pub(super) fn new(mut variables: Vec<(String, String)>) -> Self {
        variables.sort();
        Settings { variables }
    }

    /// All of them, for what napt itself has fetched.
    pub(super) fn all(&self) -> &[(String, String)] {
        &self.variables
    }

    /// For the installer where it runs nobody's code.
    pub(super) fn for_installer(&self) -> Vec<(String, String)> {
        let is_meant = |name: &str| !name.starts_with("PIP_") && !is_proxy(name) && !HELD.contains(&name);
        self.variables.iter().filter(|(name, _)| is_meant(name)).cloned().collect()
    }

    /// The same without secrets, for builds: whatever they see, a package's author sees.
    pub(super) fn for_builds(&self) -> Vec<(String, String)> {
        let is_secret = |name: &str| SECRETS.iter().any(|part| name.contains(part)) || name.starts_with("UV_PUBLISH");
        let open = self.for_installer().into_iter().filter(|(name, _)| !is_secret(name));
        open.map(|(name, value)| (name, without_credentials(&value))).collect()
    }

    /// Proxies that the operator's machines are reached through, with `NO_PROXY`.
    pub(super) fn proxies(&self) -> Vec<(String, String)> {
        self.variables.iter().filter(|(name, _)| is_proxy(name)).cloned().collect()
    }

    /// What shapes an environment: indexes and how versions are chosen.
    pub(super) fn fingerprint(&self) -> String {
        let shaping = self.for_builds().into_iter().filter(|(name, _)| name.starts_with("UV_"));
        shaping.map(|(name, value)| format!("{name}={value}\n")).collect()
    }

    /// Hosts and ports that the variables name.
    pub(super) fn hosts(&self) -> Vec<(String, u16)> {
        let values = self.variables.iter().filter(|(name, _)| name.starts_with("UV_"));
        let words = values.flat_map(|(_, value)| value.split([' ', ',']));
        let urls = words.filter_map(|word| word.find("http").and_then(|at| url::Url::parse(&word[at..]).ok()));
        urls.filter_map(|url| Some((url.host_str()?.to_owned(), url.port_or_known_default()?))).collect()
    }

    /// Files and folders that the variables name: certificates, folders of wheels, a file of settings.
    pub(super) fn paths(&self) -> Vec<std::path::PathBuf> {
        let values = self.variables.iter().flat_map(|(_, value)| value.split([' ', ',', ':', '=']));
        let paths =
            values.map(|value| value.strip_prefix("//").unwrap_or(value)).filter(|value| value.starts_with('/'));
        paths.map(std::path::PathBuf::from).filter(|path| path.parent().is_some() && path.exists()).collect()
    }
}

fn is_proxy(name: &str) -> bool {
    name.to_ascii_uppercase().ends_with("_PROXY")
}

/// A value whose URLs have no user and no password any more.
fn without_credentials(value: &str) -> String {
    let mut parts = value.split("://");
    let mut cleaned = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(part.len());
        let start = part[..end].rfind('@').map_or(0, |at| at + 1);
        cleaned.push_str("://");
        cleaned.push_str(&part[start..]);
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        Settings::new(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn builds_see_indexes_and_no_secrets() {
        let settings = settings(&[
            ("UV_INDEX", "own=https://me:pass@index.example/simple https://second.example/"),
            ("UV_INDEX_OWN_PASSWORD", "hush"),
            ("UV_KEYRING_PROVIDER", "subprocess"),
            ("UV_PUBLISH_URL", "https://index.example"),
            ("UV_COMPILE_BYTECODE", "1"),
            ("PIP_INDEX_URL", "https://pip.example"),
            ("HTTPS_PROXY", "http://u:p@proxy.example"),
            ("SSL_CERT_FILE", "/certificates.pem"),
        ]);
        assert_eq!(
            settings.for_builds(),
            [
                ("SSL_CERT_FILE".to_owned(), "/certificates.pem".to_owned()),
                ("UV_INDEX".to_owned(), "own=https://index.example/simple https://second.example/".to_owned()),
            ]
        );
        assert!(settings.for_installer().iter().any(|(name, _)| name == "UV_INDEX_OWN_PASSWORD"));
        assert_eq!(settings.proxies().len(), 1);
    }

    #[test]
    fn another_index_is_another_environment_and_another_password_is_not() {
        let index = |url: &str| settings(&[("UV_DEFAULT_INDEX", url)]).fingerprint();
        assert_ne!(index("https://a.example"), index("https://b.example"));
        assert_eq!(index("https://u:old@a.example"), index("https://u:new@a.example"));
    }

    #[test]
    fn hosts_of_indexes_are_known() {
        let hosts = |value: &str| settings(&[("UV_INDEX", value)]).hosts();
        assert_eq!(
            hosts("own=http://u:p@10.0.0.1:8080/simple https://Index.example/"),
            [("10.0.0.1".to_owned(), 8080), ("index.example".to_owned(), 443)]
        );
        assert!(hosts("/a/folder").is_empty());
    }

    #[test]
    fn files_that_variables_name_are_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_str().expect("UTF-8");
        let paths = |name: &str, value: String| settings(&[(name, value.as_str())]).paths();
        assert_eq!(paths("UV_FIND_LINKS", path.to_owned()), [folder.path()]);
        assert_eq!(paths("UV_INDEX", format!("own=file://{path}")), [folder.path()]);
        assert!(paths("UV_INDEX", "https://index.example/simple".to_owned()).is_empty());
        assert!(paths("UV_FIND_LINKS", "/".to_owned()).is_empty(), "not everything");
    }
}
