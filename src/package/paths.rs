//! Which names an archive may hold: those that mean the same file, inside the target, on every operating system.

use std::collections::HashMap;

use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::Limits;

/// What is wrong with a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// It starts with `/`.
    #[error("is absolute")]
    Absolute,
    /// It has a `..`.
    #[error("leads out of its folder")]
    Parent,
    /// It has a `.`, or nothing between two `/`.
    #[error("has an empty part")]
    EmptyPart,
    /// A backslash, which is a separator elsewhere.
    #[error("has a backslash")]
    Backslash,
    /// A colon: a drive letter, or a stream of a file.
    #[error("has a `:`, which names a drive or a stream on Windows")]
    Colon,
    /// One of `<>"|?*`.
    #[error("has a `{0}`, which Windows does not allow in names")]
    Forbidden(char),
    /// A control character.
    #[error("has a control character")]
    Control,
    /// A character that is not seen, or that turns the direction of writing.
    #[error("has an invisible character (U+{0:04X})")]
    Invisible(u32),
    /// Not in normal form C.
    #[error("is not in Unicode's normal form C")]
    Denormal,
    /// A part ends in a dot or a space, which Windows takes away.
    #[error("has a part that ends in a dot or a space")]
    TrailingDot,
    /// A device of Windows.
    #[error("has the part `{0}`, which is a device on Windows")]
    Device(String),
    /// More bytes than the limit.
    #[error("is longer than {0} bytes")]
    Long(usize),
    /// A part of more bytes than the limit.
    #[error("has a part longer than {0} bytes")]
    LongPart(usize),
    /// More folders than the limit.
    #[error("is more than {0} folders deep")]
    Deep(usize),
}

/// Checks a path below the top folder.
pub(crate) fn check(path: &str, limits: &Limits) -> Result<(), PathFault> {
    check_form(path)?;
    if path.len() > limits.path {
        return Err(PathFault::Long(limits.path));
    }
    if path.split('/').any(|part| part.len() > limits.segment) {
        return Err(PathFault::LongPart(limits.segment));
    }
    if path.split('/').count() > limits.depth {
        return Err(PathFault::Deep(limits.depth));
    }
    Ok(())
}

/// Checks everything but lengths.
pub(super) fn check_form(path: &str) -> Result<(), PathFault> {
    if path.starts_with('/') {
        return Err(PathFault::Absolute);
    }
    for character in path.chars() {
        match character {
            '\\' => return Err(PathFault::Backslash),
            ':' => return Err(PathFault::Colon),
            '<' | '>' | '"' | '|' | '?' | '*' => return Err(PathFault::Forbidden(character)),
            _ if character.is_control() => return Err(PathFault::Control),
            // Zero width, marks and embeddings of direction, byte order mark.
            '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => return Err(PathFault::Invisible(character.into())),
            _ => {}
        }
    }
    for part in path.split('/') {
        match part {
            "" | "." => return Err(PathFault::EmptyPart),
            ".." => return Err(PathFault::Parent),
            _ if part.ends_with(['.', ' ']) => return Err(PathFault::TrailingDot),
            _ if is_device(part) => return Err(PathFault::Device(part.to_owned())),
            _ => {}
        }
    }
    if !path.is_ascii() && !is_nfc(path) {
        return Err(PathFault::Denormal);
    }
    Ok(())
}

/// Whether Windows takes a name for a device, whatever its suffix.
fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end().to_uppercase();
    let numbered = |prefix| {
        stem.strip_prefix(prefix).is_some_and(|rest: &str| {
            let mut rest = rest.chars();
            matches!((rest.next(), rest.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
        })
    };
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$") || numbered("COM") || numbered("LPT")
}

/// What a name becomes where case and composition make no difference.
fn fold(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    let folded = caseless::default_case_fold_str(&name.nfd().collect::<String>());
    // Folding may decompose, as of `İ`; once more makes equal what is equal.
    caseless::default_case_fold_str(&folded.nfd().collect::<String>()).nfc().collect()
}

/// Two entries that cannot both exist in a folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Clash {
    /// The same path twice.
    Duplicate,
    /// Only case or composition differs from this one.
    Fold(String),
    /// A file is also a folder.
    FileAndFolder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    File,
    Folder,
    /// A folder that is only known because something is in it.
    Implied,
}

/// The paths seen so far.
#[derive(Debug, Default)]
pub(super) struct Names {
    seen: HashMap<String, (String, Seen)>,
}

impl Names {
    /// How many files and folders there are.
    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    /// Adds a path, and the folders that it is in.
    pub(super) fn add(&mut self, path: &str, folder: bool) -> Result<(), Clash> {
        for (at, _) in path.match_indices('/') {
            self.insert(&path[..at], Seen::Implied)?;
        }
        self.insert(path, if folder { Seen::Folder } else { Seen::File })
    }

    fn insert(&mut self, path: &str, new: Seen) -> Result<(), Clash> {
        let Some((known, seen)) = self.seen.get_mut(&fold(path)) else {
            self.seen.insert(fold(path), (path.to_owned(), new));
            return Ok(());
        };
        if known != path {
            return Err(Clash::Fold(known.clone()));
        }
        match (*seen, new) {
            (Seen::Folder | Seen::Implied, Seen::Implied) => Ok(()),
            (Seen::Implied, Seen::Folder) => {
                *seen = Seen::Folder;
                Ok(())
            }
            (Seen::File, Seen::File) | (Seen::Folder, Seen::Folder) => Err(Clash::Duplicate),
            _ => Err(Clash::FileAndFolder),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_something_else_elsewhere_are_refused() {
        for (path, fault) in [
            ("/etc/passwd", "is absolute"),
            ("a/../b", "leads out"),
            ("a//b", "an empty part"),
            ("./a", "an empty part"),
            ("", "an empty part"),
            ("a\\b", "backslash"),
            ("c:x", "names a drive"),
            ("what?", "`?`"),
            ("a\u{7}", "control"),
            ("a\u{202e}fdp.py", "invisible character (U+202E)"),
            ("cafe\u{301}.py", "normal form C"),
            ("dir./x", "ends in a dot"),
            ("dir /x", "ends in a dot"),
            ("x/Aux.tar.gz", "`Aux.tar.gz`"),
            ("lpt³", "device"),
            ("COM0.txt", "device"),
            ("conin$", "device"),
        ] {
            let error = check_form(path).expect_err(path).to_string();
            assert!(error.contains(fault), "{path}: {error}");
        }
        for path in
            ["a", ".napt/manifest.json", "com/lpt10/console.py", "café/日本語.txt", "a b/c-d_e+f@g.tar.gz", "..a"]
        {
            assert_eq!(check_form(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn what_one_disk_takes_for_one_file_clashes() {
        let add = |paths: &[(&str, bool)]| {
            let mut names = Names::default();
            paths.iter().try_for_each(|(path, folder)| names.add(path, *folder))
        };
        assert_eq!(add(&[("a", true), ("a/b", false), ("a/c", false), ("d/e", false), ("d", true)]), Ok(()));
        assert_eq!(add(&[("a", false), ("a", false)]), Err(Clash::Duplicate));
        assert_eq!(add(&[("a", true), ("a", true)]), Err(Clash::Duplicate));
        assert_eq!(add(&[("a", false), ("a/b", false)]), Err(Clash::FileAndFolder));
        assert_eq!(add(&[("a/b", false), ("a", false)]), Err(Clash::FileAndFolder));
        assert_eq!(add(&[("Run.py", false), ("run.py", false)]), Err(Clash::Fold("Run.py".to_owned())));
        assert_eq!(add(&[("Dir/a", false), ("dir/b", false)]), Err(Clash::Fold("Dir".to_owned())));
        assert_eq!(add(&[("straße", false), ("STRASSE", false)]), Err(Clash::Fold("straße".to_owned())));
    }
}
