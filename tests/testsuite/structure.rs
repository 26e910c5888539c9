//! The map in `src/lib.rs` is true: it has every room, and a room calls only those below it.

use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|suffix| suffix == "rs") {
            found.push(path);
        }
    }
}

/// The rooms that a file names after `crate::`, alone or in a list in braces.
fn called(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, start) in text.match_indices("crate::") {
        let rest = &text[at + start.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            rooms.push(
                rest.split(|c: char| !(c.is_ascii_lowercase() || c == '_')).next().unwrap_or_default().to_owned(),
            );
            continue;
        };
        let (mut depth, mut room) = (0, String::new());
        for c in list.chars() {
            match c {
                '}' if depth == 0 => break,
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => rooms.push(std::mem::take(&mut room)),
                c if depth == 0 => room.push(c),
                _ => {}
            }
        }
        rooms.push(room);
    }
    let first = |room: String| room.trim().split("::").next().unwrap_or_default().to_owned();
    rooms.into_iter().map(first).filter(|room| !room.is_empty()).collect()
}

#[test]
fn calls_go_down_the_map() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let lib = std::fs::read_to_string(src.join("lib.rs")).expect("the map");
    let between = |line: &str, start, end| Some(line.strip_prefix(start)?.split_once(end)?.0.to_owned());
    let map: Vec<String> = lib.lines().filter_map(|line| between(line, "//! | [`", "`]")).collect();
    let mut rooms: Vec<String> = lib.lines().filter_map(|line| between(line, "pub mod ", ";")).collect();
    rooms.sort_by_key(|room| map.iter().position(|known| known == room));
    assert_eq!(map, rooms, "the map has every room once");

    let (mut files, mut calls) = (Vec::new(), 0);
    sources(&src, &mut files);
    for file in files {
        let path = file.strip_prefix(&src).expect("below").to_string_lossy().into_owned();
        let room = path.split(['/', '.']).next().unwrap_or_default();
        let Some(own) = map.iter().position(|known| known == room) else { continue };
        let text = std::fs::read_to_string(&file).expect("a source");
        for target in called(&text) {
            if let Some(below) = map.iter().position(|known| *known == target) {
                assert!(own <= below, "`{path}` calls `{target}`, which is above `{room}` in the map of src/lib.rs");
                calls += usize::from(own != below);
            }
        }
    }
    assert!(calls > 100, "{calls} calls were found");
}
