//! Words in the names and texts of files, within bounds.

use std::{io::Read, path::Path};

/// Bytes of a file that are looked at.
const MAX_TEXT: u64 = 1 << 20;

/// Characters of a line that are shown.
const SHOWN: usize = 200;

/// Bytes that one search may still read.
#[derive(Debug)]
pub(crate) struct Budget(u64);

impl Default for Budget {
    fn default() -> Self {
        Budget(64 << 20)
    }
}

/// Whether a file's name and the beginning of its text hold all the words, without regard to case; with the first line
/// that has one of them.
pub(crate) fn matches_words(
    name: &str,
    place: &Path,
    size: u64,
    words: &[String],
    budget: &mut Budget,
) -> Option<Option<String>> {
    let name = name.to_lowercase();
    let words: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
    let text = read(place, size, budget).unwrap_or_default();
    let lower = text.to_lowercase();
    if !words.iter().all(|word| name.contains(word) || lower.contains(word)) {
        return None;
    }
    let line = text.lines().find(|line| {
        let line = line.to_lowercase();
        words.iter().any(|word| line.contains(word))
    });
    Some(line.map(|line| line.trim().chars().take(SHOWN).collect()))
}

/// The beginning of a file that is text.
fn read(place: &Path, size: u64, budget: &mut Budget) -> Option<String> {
    let wanted = size.min(MAX_TEXT);
    budget.0 = budget.0.checked_sub(wanted)?;
    let mut bytes = Vec::new();
    fs_err::File::open(place).ok()?.take(wanted).read_to_end(&mut bytes).ok()?;
    if bytes.contains(&0) {
        return None;
    }
    let end = match str::from_utf8(&bytes) {
        Ok(_) => bytes.len(),
        // The end may have been cut within a character.
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Err(_) => return None,
    };
    bytes.truncate(end);
    String::from_utf8(bytes).ok()
}

/// Whether a name is as a pattern with `*` and `?` says.
pub(super) fn is_like(name: &str, pattern: &str) -> bool {
    let (name, pattern): (Vec<char>, Vec<char>) = (name.chars().collect(), pattern.chars().collect());
    let (mut at, mut in_pattern) = (0, 0);
    // Where the last star stands, and what it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while at < name.len() {
        match pattern.get(in_pattern) {
            Some('*') => {
                star = Some((in_pattern, at));
                in_pattern += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == name[at] => {
                at += 1;
                in_pattern += 1;
            }
            _ => {
                let Some((after, taken)) = star else { return false };
                star = Some((after, taken + 1));
                at = taken + 1;
                in_pattern = after + 1;
            }
        }
    }
    pattern[in_pattern..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_of_whole_names() {
        for (name, pattern, expected) in [
            ("a.txt", "*", true),
            ("a.txt", "*.txt", true),
            ("a.txt", "?.t*t", true),
            ("a.txt", "a", false),
            ("aab", "*ab", true),
            ("", "*", true),
            ("", "?", false),
            ("é", "?", true),
        ] {
            assert_eq!(is_like(name, pattern), expected, "{name} {pattern}");
        }
    }
}
