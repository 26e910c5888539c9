//! What strangers have written, so that a terminal only shows it.

use std::borrow::Cow;

/// Leaves out what does something to a terminal or hides what is said: control characters but for ends of lines and tabs,
/// and those that turn the direction of text. Colours stay (`ESC [ … m`).
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_harmful) {
        let (before, found) = rest.split_at(at);
        kept.push_str(before);
        let colour = colour(found);
        kept.push_str(&found[..colour]);
        let first = found.chars().next().map_or(0, char::len_utf8);
        rest = &found[colour.max(first)..];
    }
    kept.push_str(rest);
    Cow::Owned(kept)
}

fn is_harmful(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The length of the sequence for a colour or a style that a text begins with; 0 when it begins otherwise.
fn colour(text: &str) -> usize {
    let Some(parameters) = text.strip_prefix("\u{1b}[") else { return 0 };
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';');
    end.filter(|end| parameters[*end..].starts_with('m')).map_or(0, |end| end + 3)
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn text_and_colours_stay_and_the_rest_goes() {
        for (text, kept) in [
            ("plain é 漢字 🦀\n\tindented", "plain é 漢字 🦀\n\tindented"),
            ("\u{1b}[1;31mred\u{1b}[0m and \u{1b}[mdone", "\u{1b}[1;31mred\u{1b}[0m and \u{1b}[mdone"),
            ("\u{1b}]0;title\u{7}", "]0;title"),
            ("\u{1b}[2J\u{1b}[1;1H\u{1b}[?1049h\u{1b}c", "[2J[1;1H[?1049hc"),
            ("good\rbad\u{8}\u{8}", "goodbad"),
            ("\u{9b}31m\u{90}x\u{9c}", "31mx"),
            ("\u{202e}txt.exe\u{2066}", "txt.exe"),
            ("\u{1b}", ""),
            ("\u{1b}[", "["),
            ("\u{1b}[31", "[31"),
        ] {
            assert_eq!(harmless(text), kept, "{text:?}");
        }
    }
}
