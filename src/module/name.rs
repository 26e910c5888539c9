//! Module names: which are allowed, and which are reserved and why.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};

use crate::report::{Fault, Kind};

/// Longest name, in characters.
const MAX_LENGTH: usize = 64;

/// A module's name: `[a-z][a-z0-9_]{0,63}`. `-` and `_` are the same, and stored as `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ModuleName(String);

/// Why a text is not a module name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a module name cannot be empty")]
    Empty,
    /// It is too long.
    #[error("the module name `{0}…` is longer than {MAX_LENGTH} characters")]
    TooLong(String),
    /// The first character is not a lower-case letter.
    #[error("the module name `{0}` must start with a lower-case letter a–z")]
    BadStart(String),
    /// A character is not allowed.
    #[error("invalid character `{character}` in the module name `{name}`")]
    BadCharacter {
        /// The name as given.
        name: String,
        /// The first offender.
        character: char,
    },
    /// The name would clash with something.
    #[error("the module name `{name}` is reserved: {reason}")]
    Reserved {
        /// The name as given.
        name: String,
        /// What it would clash with.
        reason: &'static str,
    },
}

impl Fault for NameError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hint(&self) -> Option<String> {
        let suggestion = match self {
            NameError::BadStart(name) | NameError::BadCharacter { name, .. } => suggest(name),
            NameError::Reserved { name, .. } => Some(format!("{name}_module")),
            NameError::Empty | NameError::TooLong(_) => None,
        };
        Some(match suggestion {
            Some(name) => format!("names are made of a–z, 0–9 and `_`; try `{name}`"),
            None => "names are made of a–z, 0–9 and `_`, for example `debate`".to_owned(),
        })
    }
}

/// The nearest allowed name, if anything of the given one can be kept.
fn suggest(name: &str) -> Option<String> {
    let kept: String = name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '_' })
        .skip_while(|c| !c.is_ascii_lowercase())
        .take(MAX_LENGTH)
        .collect();
    let kept = kept.trim_end_matches('_').to_owned();
    (!kept.is_empty()).then_some(kept)
}

/// Python's keywords: a package of that name cannot be imported.
const PYTHON_KEYWORDS: &[&str] = &[
    "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else", "except",
    "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise",
    "return", "try", "while", "with", "yield",
];

/// Python's standard library, 3.10 to 3.12: a module runs with its own folder first on the import path, so one of the
/// same name would hide it from every package.
const PYTHON_STANDARD_LIBRARY: &str = "\
    abc aifc antigravity argparse array ast asynchat asyncio asyncore atexit audioop base64 bdb binascii binhex \
    bisect builtins bz2 calendar cgi cgitb chunk cmath cmd code codecs codeop collections colorsys compileall \
    concurrent configparser contextlib contextvars copy copyreg crypt csv ctypes curses dataclasses datetime dbm \
    decimal difflib dis distutils doctest email encodings ensurepip enum errno faulthandler fcntl filecmp \
    fileinput fnmatch fractions ftplib functools gc genericpath getopt getpass gettext glob graphlib grp gzip \
    hashlib heapq hmac html http idlelib imaplib imghdr imp importlib inspect io ipaddress itertools json keyword \
    lib2to3 linecache locale logging lzma mailbox mailcap marshal math mimetypes mmap modulefinder msilib msvcrt \
    multiprocessing netrc nis nntplib nt ntpath nturl2path numbers opcode operator optparse os ossaudiodev pathlib \
    pdb pickle pickletools pipes pkgutil platform plistlib poplib posix posixpath pprint profile pstats pty pwd \
    py_compile pyclbr pydoc pydoc_data pyexpat queue quopri random re readline reprlib resource rlcompleter runpy \
    sched secrets select selectors shelve shlex shutil signal site smtpd smtplib sndhdr socket socketserver spwd \
    sqlite3 sre_compile sre_constants sre_parse ssl stat statistics string stringprep struct subprocess sunau \
    symtable sys sysconfig syslog tabnanny tarfile telnetlib tempfile termios textwrap this threading time timeit \
    tkinter token tokenize tomllib trace traceback tracemalloc tty turtle turtledemo types typing unicodedata \
    unittest urllib uu uuid venv warnings wave weakref webbrowser winreg winsound wsgiref xdrlib xml xmlrpc zipapp \
    zipfile zipimport zlib zoneinfo";

/// The same for what `naptha-sdk` imports, and for the names within a module.
const PYTHON_PACKAGES: &str = "\
    anyio certifi configs dotenv ecdsa google grpc h11 httpcore httpx idna ipfshttpclient jwt naptha_sdk packaging \
    pip pydantic pydantic_core requests run schemas setuptools sniffio surrealdb test tests typing_extensions \
    urllib3 websockets yaml";

/// Why a well-formed name may not be used, if so.
fn reserved(name: &str) -> Option<&'static str> {
    let device = matches!(name, "con" | "prn" | "aux" | "nul" | "conin" | "conout")
        || ["com", "lpt"].iter().any(|prefix| {
            name.strip_prefix(prefix).is_some_and(|rest| rest.len() == 1 && rest.chars().all(|c| c.is_ascii_digit()))
        });
    if device {
        Some("it is a device on Windows")
    } else if PYTHON_KEYWORDS.contains(&name) {
        Some("it is a keyword of Python")
    } else if [PYTHON_STANDARD_LIBRARY, PYTHON_PACKAGES].iter().any(|list| list.split(' ').any(|taken| taken == name)) {
        Some("it would hide a Python package")
    } else if name == "napt" || name == "naptha" {
        Some("it is kept for napt itself")
    } else {
        None
    }
}

impl ModuleName {
    /// The name as text, always with `_`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ModuleName {
    type Err = NameError;

    fn from_str(given: &str) -> Result<Self, NameError> {
        let Some(first) = given.chars().next() else { return Err(NameError::Empty) };
        if given.chars().count() > MAX_LENGTH {
            return Err(NameError::TooLong(given.chars().take(32).collect()));
        }
        if let Some(character) =
            given.chars().find(|c| !c.is_ascii_lowercase() && !c.is_ascii_digit() && *c != '_' && *c != '-')
        {
            return Err(NameError::BadCharacter { name: given.to_owned(), character });
        }
        if !first.is_ascii_lowercase() {
            return Err(NameError::BadStart(given.to_owned()));
        }
        let name = given.replace('-', "_");
        match reserved(&name) {
            Some(reason) => Err(NameError::Reserved { name, reason }),
            None => Ok(ModuleName(name)),
        }
    }
}

impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ModuleName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hyphen_and_underscore_are_one_name() {
        assert_eq!("multi-agent".parse::<ModuleName>(), "multi_agent".parse());
    }

    #[test]
    fn bad_names_say_why_and_suggest() {
        for (given, message, hint) in [
            ("", "cannot be empty", "`debate`"),
            ("Chat", "invalid character `C`", "try `chat`"),
            ("9lives", "must start with", "try `lives`"),
            ("my chat", "invalid character ` `", "try `my_chat`"),
            ("../up", "invalid character `.`", "try `up`"),
            ("class", "keyword of Python", "try `class_module`"),
            ("con", "device on Windows", "try `con_module`"),
            ("json", "hide a Python package", "try `json_module`"),
            ("calendar", "hide a Python package", "try `calendar_module`"),
            ("pydantic", "hide a Python package", "try `pydantic_module`"),
            ("zoneinfo", "hide a Python package", "try `zoneinfo_module`"),
        ] {
            let error = given.parse::<ModuleName>().expect_err(given);
            assert!(error.to_string().contains(message), "{given}: {error}");
            assert!(error.hint().is_some_and(|h| h.contains(hint)), "{given}: {:?}", error.hint());
        }
        assert!("a".repeat(65).parse::<ModuleName>().is_err());
        assert!("a".repeat(64).parse::<ModuleName>().is_ok());
    }
}
