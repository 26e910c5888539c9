//! `.env`: variables for local development.

use std::{io, path::Path};

/// The file's name.
pub const ENV_FILE: &str = ".env";

/// The variables that the `.env` of a folder sets to something, in their order; none when there is no such file.
pub fn read_env_file(folder: &Path) -> io::Result<Vec<(String, String)>> {
    let path = folder.join(ENV_FILE);
    if !path.is_file() {
        return Ok(Vec::new());
    }
    read_env_variables(&path)
}

/// The variables that a file in the form of a `.env` sets to something, in their order.
pub fn read_env_variables(path: &Path) -> io::Result<Vec<(String, String)>> {
    let text = fs_err::read(path)?;
    let variable = |line: &str| {
        let line = line.trim();
        let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        let quoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        let value = quoted.unwrap_or(value);
        (!value.is_empty() && !name.starts_with('#')).then(|| (name.to_owned(), value.to_owned()))
    };
    Ok(String::from_utf8_lossy(&text).lines().filter_map(variable).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let read = || read_env_file(folder.path()).expect("readable");
        assert_eq!(read(), []);
        for (text, variables) in [
            ("KEY=a", vec![("KEY", "a")]),
            ("# KEY=a\n#KEY=a\nKEYS=b\n", vec![("KEYS", "b")]),
            ("KEY=a\nexport KEY = \"b c\"\r\nOTHER=1\n", vec![("KEY", "a"), ("KEY", "b c"), ("OTHER", "1")]),
            ("KEY='a=b'", vec![("KEY", "a=b")]),
            ("KEY=\nOTHER=\"\"\nnothing", vec![]),
        ] {
            fs_err::write(folder.path().join(".env"), text).expect("a file");
            let expected: Vec<_> = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            assert_eq!(read(), expected, "{text}");
        }
    }
}
