//! What the operator's variables say to the installer, and how much of it strangers' code may see.

use std::path::PathBuf;

use toml::{Table, Value};

use super::step::Code;

/// The variable that names a file of the installer's configuration.
pub(super) const CONFIG_FILE: &str = "UV_CONFIG_FILE";

/// How long answers of the public index are good, by what it says itself. There are proxies that take this away, and with
/// it each install would ask again for all that is in the cache.
const PYPI: &str = r#"[[index]]
url = "https://pypi.org/simple"
default = true
cache-control = { api = "max-age=600", files = "max-age=365000000, immutable" }
"#;

/// Variables that name what builds may read, beside `SSL_CERT_…`: certificates, indexes in folders, and lists of versions.
/// Any other may name a file with credentials.
const OPEN: [&str; 12] = [
    "CARGO_HTTP_CAINFO",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "UV_BUILD_CONSTRAINT",
    "UV_CONSTRAINT",
    "UV_DEFAULT_INDEX",
    "UV_EXCLUDE",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_OVERRIDE",
];

/// What of a configuration builds may know.
const OPEN_KEYS: [&str; 16] = [
    "allow-insecure-host",
    "exclude-newer",
    "exclude-newer-package",
    "extra-index-url",
    "find-links",
    "fork-strategy",
    "index",
    "index-strategy",
    "index-url",
    "native-tls",
    "no-index",
    "pip",
    "prerelease",
    "required-version",
    "resolution",
    "system-certs",
];

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

    /// The same without secrets, for builds: whatever they see, a package's author sees. What names a file that they may
    /// not read is left out.
    pub(super) fn for_builds(&self) -> Vec<(String, String)> {
        let is_secret = |name: &str| SECRETS.iter().any(|part| name.contains(part)) || name.starts_with("UV_PUBLISH");
        let is_closed = |name: &str, value: &str| !is_open(name) && !paths_in(value).is_empty();
        let all = self.for_installer().into_iter();
        let open = all.filter(|(name, value)| name != CONFIG_FILE && !is_secret(name) && !is_closed(name, value));
        open.map(|(name, value)| (name, without_credentials(&value))).collect()
    }

    /// What the installer is told where the operator names neither an index nor a configuration.
    pub(super) fn installer_config(&self) -> Option<String> {
        let is_named = |names: &[&str]| self.variables.iter().any(|(name, _)| names.contains(&name.as_str()));
        (!is_named(&[CONFIG_FILE, "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_NO_INDEX"])).then(|| PYPI.to_owned())
    }

    /// What builds may know of the operator's configuration: where packages are and how versions are chosen.
    pub(super) fn build_config(&self) -> Option<String> {
        let (_, file) = self.variables.iter().find(|(name, _)| name == CONFIG_FILE)?;
        let mut config: Table = fs_err::read_to_string(file).ok()?.parse().ok()?;
        keep_open(&mut config);
        Some(config.to_string())
    }

    /// Proxies that the operator's machines are reached through, with `NO_PROXY`.
    pub(super) fn proxies(&self) -> Vec<(String, String)> {
        self.variables.iter().filter(|(name, _)| is_proxy(name)).cloned().collect()
    }

    /// What shapes an environment: indexes and how versions are chosen.
    pub(super) fn fingerprint(&self) -> String {
        let shaping = self.for_builds().into_iter().filter(|(name, _)| name.starts_with("UV_"));
        let config = self.build_config().into_iter();
        shaping.map(|(name, value)| format!("{name}={value}\n")).chain(config).collect()
    }

    /// Hosts and ports that the variables name, and the operator's configuration; and those of the usual index, which is the
    /// operator's too wherever its names lead.
    pub(super) fn hosts(&self) -> Vec<(String, u16)> {
        let values = self.variables.iter().filter(|(name, _)| name.starts_with("UV_")).map(|(_, value)| value.clone());
        // As far as builds may know it: URLs are in the same places.
        let values: Vec<String> = values.chain(self.build_config()).collect();
        let words = values.iter().flat_map(|value| value.split([' ', ',', '"', '\'', '\n']));
        let urls = words.filter_map(|word| word.find("http").and_then(|at| url::Url::parse(&word[at..]).ok()));
        let named = urls.filter_map(|url| Some((url.host_str()?.to_owned(), url.port_or_known_default()?)));
        named.chain(USUAL_INDEX.map(|host| (host.to_owned(), 443))).collect()
    }

    /// Files and folders that the variables name: certificates, folders of wheels, and, where no stranger's code runs,
    /// whatever else.
    pub(super) fn paths(&self, code: Code) -> Vec<PathBuf> {
        let read = self.variables.iter().filter(|(name, _)| code == Code::Own || is_open(name));
        read.flat_map(|(_, value)| paths_in(value)).collect()
    }
}

/// Where pages and files of the index are that is asked when no other is named.
const USUAL_INDEX: [&str; 2] = ["pypi.org", "files.pythonhosted.org"];

/// Whether builds may read what a variable names.
fn is_open(name: &str) -> bool {
    name.starts_with("SSL_CERT_") || OPEN.contains(&name)
}

/// The files and folders in a value.
fn paths_in(value: &str) -> Vec<PathBuf> {
    let words = value.split([' ', ',', ':', '=']).map(|word| word.strip_prefix("//").unwrap_or(word));
    let paths = words.filter(|word| word.starts_with('/')).map(PathBuf::from);
    paths.filter(|path| path.parent().is_some() && path.exists()).collect()
}

/// Leaves of a configuration, and of its part for `uv pip`, what builds may know.
fn keep_open(config: &mut Table) {
    config.retain(|key, value| {
        clean(value);
        OPEN_KEYS.contains(&key)
    });
    if let Some(Value::Table(pip)) = config.get_mut("pip") {
        pip.retain(|key, _| key != "pip" && OPEN_KEYS.contains(&key));
    }
}

/// Takes credentials out of URLs, wherever they are.
fn clean(value: &mut Value) {
    match value {
        Value::String(text) => *text = without_credentials(text),
        Value::Array(values) => values.iter_mut().for_each(clean),
        Value::Table(table) => table.iter_mut().for_each(|(_, value)| clean(value)),
        _ => {}
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
        let usual = USUAL_INDEX.map(|host| (host.to_owned(), 443));
        let and_usual = |named: &[(String, u16)]| [named, &usual].concat();
        assert_eq!(
            hosts("own=http://u:p@10.0.0.1:8080/simple https://Index.example/"),
            and_usual(&[("10.0.0.1".to_owned(), 8080), ("index.example".to_owned(), 443)])
        );
        assert_eq!(hosts("/a/folder"), usual);
    }

    #[test]
    fn files_that_variables_name_are_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_str().expect("UTF-8");
        let paths = |name: &str, value: String| settings(&[(name, value.as_str())]).paths(Code::Strangers);
        assert_eq!(paths("UV_FIND_LINKS", path.to_owned()), [folder.path()]);
        assert_eq!(paths("UV_INDEX", format!("own=file://{path}")), [folder.path()]);
        assert!(paths("UV_INDEX", "https://index.example/simple".to_owned()).is_empty());
        assert!(paths("UV_FIND_LINKS", "/".to_owned()).is_empty(), "not everything");
    }

    #[test]
    fn what_may_hold_credentials_is_the_installers_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs_err::write(&path, text).expect("a file");
            path.into_os_string().into_string().expect("UTF-8")
        };
        let config = write(
            "uv.toml",
            "# hush\npublish-url = \"https://u:hush@index.example\"\nkeyring-provider = \"hush\"\n\
             http-proxy = \"http://u:hush@proxy.example\"\n\
             [[index]]\nurl = \"https://u:hush@index.example/simple\"\n\
             [pip]\nextra-index-url = [\"https://hush@second.example/\"]\nindex-url = \"https://third.example\"\ntoken = \"hush\"\n",
        );
        let (pip, env) = (write("pip.conf", "hush"), write(".env", "hush"));
        let certificates = write("certificates.pem", "");
        let settings = settings(&[
            ("UV_CONFIG_FILE", &config),
            ("PIP_CONFIG_FILE", &pip),
            ("UV_ENV_FILE", &env),
            ("SSL_CERT_FILE", &certificates),
        ]);
        assert_eq!(settings.for_builds(), [("SSL_CERT_FILE".to_owned(), certificates.clone())]);
        assert_eq!(settings.paths(Code::Strangers), [PathBuf::from(certificates)]);
        assert_eq!(settings.paths(Code::Own).len(), 4);
        let known = settings.build_config().expect("a configuration");
        assert!(!known.contains("hush"), "{known}");
        for told in ["https://index.example/simple", "https://second.example/", "https://third.example"] {
            assert!(known.contains(told), "{known}");
        }
        assert!(settings.installer_config().is_none(), "the operator's own");
        let named = ["index.example", "third.example", "second.example"].map(|host| (host.to_owned(), 443));
        assert!(named.iter().all(|host| settings.hosts().contains(host)), "{:?}", settings.hosts());
    }

    #[test]
    fn of_the_public_index_it_is_known_how_long_its_answers_are_good() {
        assert!(settings(&[]).installer_config().expect("it").parse::<Table>().expect("TOML").contains_key("index"));
        assert!(settings(&[("UV_DEFAULT_INDEX", "https://a.example")]).installer_config().is_none());
    }
}
