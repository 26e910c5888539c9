//! Archives written by hand, byte by byte, since good libraries refuse to make bad ones: a corpus of hostile archives
//! with the phrase that each is refused with, and one of odd archives that must be taken. All of them claim to be
//! [`MODULE`] in [`VERSION`], and are judged under `Limits::default()`.

use std::{io::Write, path::Path};

use flate2::{Compression, GzBuilder, write::GzEncoder};
use napt::module::{ManifestFile, NativeManifest};

/// The module that the archives claim to be.
pub const MODULE: &str = "agent:odd";
/// Its version.
pub const VERSION: &str = "1.0.0";
/// Their top folder.
pub const TOP: &str = "agent-odd-1.0.0";

const MANIFEST: &str = "[module]\ntype = \"agent\"\nname = \"odd\"\nversion = \"1.0.0\"\n";
const BLOCK: usize = 512;

/// `.napt/manifest.json` of a manifest.
fn manifest_json(manifest: &str) -> Vec<u8> {
    let manifest = ManifestFile::parse(manifest, Path::new("napt.toml"))
        .and_then(|file| file.complete(&NativeManifest::default(), Path::new("napt.toml")))
        .expect("a good manifest");
    serde_json::to_vec_pretty(&manifest).expect("JSON")
}

/// A header block, field by field.
#[derive(Clone)]
pub struct Header {
    name: Vec<u8>,
    prefix: Vec<u8>,
    mode: Vec<u8>,
    size: Vec<u8>,
    owner: u32,
    flag: u8,
    link: Vec<u8>,
    magic: [u8; 8],
    checksum_off_by: u32,
}

impl Header {
    fn new(name: impl AsRef<[u8]>, flag: u8, size: usize) -> Self {
        Header {
            name: name.as_ref().to_vec(),
            prefix: Vec::new(),
            mode: b"0000644\0".to_vec(),
            size: format!("{size:011o}\0").into_bytes(),
            owner: 0,
            flag,
            link: Vec::new(),
            magic: *b"ustar\x0000",
            checksum_off_by: 0,
        }
    }

    fn file(path: &str, size: usize) -> Self {
        Header::new(format!("{TOP}/{path}"), b'0', size)
    }

    fn mode(self, mode: &[u8]) -> Self {
        Header { mode: mode.to_vec(), ..self }
    }

    fn link(self, target: &str) -> Self {
        Header { link: target.as_bytes().to_vec(), ..self }
    }

    fn gnu(self) -> Self {
        Header { magic: *b"ustar  \0", ..self }
    }

    fn bytes(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.name);
        put(100, &self.mode);
        put(108, format!("{:07o}\0", self.owner).as_bytes());
        put(116, format!("{:07o}\0", self.owner).as_bytes());
        put(124, &self.size);
        put(136, b"07346545000\0");
        put(148, b"        ");
        put(156, &[self.flag]);
        put(157, &self.link);
        put(257, &self.magic);
        put(345, &self.prefix);
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum::<u32>() + self.checksum_off_by;
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }
}

/// A tar in the making.
#[derive(Clone, Default)]
pub struct Tar(Vec<u8>);

impl Tar {
    /// A tar that holds a manifest, and so lacks nothing.
    pub fn complete() -> Self {
        Tar::default()
            .file(".napt/manifest.json", &manifest_json(MANIFEST))
            .file("napt.toml", MANIFEST.as_bytes())
            .file("odd/run.py", b"def run(): ...\n")
    }

    /// A header and what follows it, padded.
    pub fn entry(mut self, header: &Header, content: &[u8]) -> Self {
        self.0.extend(header.bytes());
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }

    /// A file below the top folder.
    pub fn file(self, path: &str, content: &[u8]) -> Self {
        self.entry(&Header::file(path, content.len()), content)
    }

    /// An entry of another kind below the top folder.
    fn odd(self, path: &str, flag: u8, link: &str) -> Self {
        self.entry(&Header { flag, ..Header::file(path, 0).link(link) }, b"")
    }

    fn pax(self, flag: u8, records: &str) -> Self {
        self.entry(&Header::new("PaxHeader", flag, records.len()), records.as_bytes())
    }

    fn long_name(self, name: &str) -> Self {
        let name = format!("{name}\0");
        self.entry(&Header::new("././@LongLink", b'L', name.len()).gnu(), name.as_bytes())
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// Its end, and gzip around it.
    pub fn gzip(self) -> Vec<u8> {
        gzip(&self.raw(&[0; 2 * BLOCK]).0)
    }
}

/// One gzip member.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// `LENGTH KEY=VALUE\n`.
fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    (1..4)
        .map(|digits| rest.len() + digits)
        .find(|length| length.to_string().len() + rest.len() == *length)
        .map(|length| format!("{length}{rest}"))
        .expect("a short record")
}

/// Archives that must be refused: a name for the case, the bytes, and a phrase of the message.
pub fn hostile() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let mut cases = kinds();
    cases.extend(names());
    cases.extend(extensions());
    cases.extend(headers());
    cases.extend(containers());
    cases.extend(sizes());
    cases.extend(manifests());
    cases
}

type Case = (&'static str, Vec<u8>, &'static str);

fn kinds() -> Vec<Case> {
    let odd = |flag, link| Tar::complete().odd("x", flag, link).gzip();
    let slipped = Tar::complete().odd("x", b'2', "/tmp").file("x/escaped", b"out").gzip();
    vec![
        ("symlink", odd(b'2', "/etc/passwd"), "is a symbolic link"),
        ("symlink-then-file-through-it", slipped, "is a symbolic link"),
        ("hardlink", odd(b'1', "../../etc/passwd"), "is a hard link"),
        ("character-device", odd(b'3', ""), "is a character device"),
        ("block-device", odd(b'4', ""), "is a block device"),
        ("fifo", odd(b'6', ""), "is a named pipe"),
        ("contiguous", odd(b'7', ""), "is a contiguous file"),
        ("gnu-sparse", odd(b'S', ""), "is a sparse file"),
        ("gnu-long-link", odd(b'K', ""), "is the long target of a link"),
        ("volume-label", odd(b'V', ""), "is a volume label"),
        ("multi-volume", odd(b'M', ""), "is a part of another volume"),
        ("unknown-type", odd(b'Z', ""), "is of an unknown type"),
        (
            "folder-with-content",
            { Tar::complete().entry(&Header::new(format!("{TOP}/d/"), b'5', 3), b"abc").gzip() },
            "has content",
        ),
    ]
}

fn names() -> Vec<Case> {
    let at = |path: &str| Tar::complete().file(path, b"x").gzip();
    let whole = |path: &[u8]| Tar::complete().entry(&Header::new(path, b'0', 1), b"x").gzip();
    let two = |first: &str, second: &str| Tar::complete().file(first, b"x").file(second, b"y").gzip();
    let long = |path: String| Tar::complete().long_name(&format!("{TOP}/{path}")).file("x", b"x").gzip();
    vec![
        ("parent-folder", at("../../escaped"), "leads out of its folder"),
        ("parent-folder-inside", at("a/../b"), "leads out of its folder"),
        ("absolute", whole(b"/tmp/escaped"), "is absolute"),
        ("backslash", at("..\\escaped"), "has a backslash"),
        ("drive-letter", whole(b"C:/escaped"), "has a `:`"),
        ("alternate-stream", at("run.py:hidden"), "has a `:`"),
        ("current-folder", whole(b"./agent-odd-1.0.0/x"), "has an empty part"),
        ("empty-part", at("a//b"), "has an empty part"),
        ("file-ending-in-slash", at("a/"), "has an empty part"),
        ("empty-name", whole(b""), "has an empty part"),
        ("wildcard", at("what?.py"), "Windows does not allow"),
        ("no-top-folder", whole(b"run.py"), "is not in a top folder"),
        ("two-top-folders", whole(b"agent-other-1.0.0/run.py"), "two top folders"),
        ("duplicate-path", two("x", "x"), "is there twice"),
        (
            "duplicate-folder",
            {
                let folder = Header::new(format!("{TOP}/d/"), b'5', 0);
                Tar::complete().entry(&folder, b"").entry(&folder, b"").gzip()
            },
            "is there twice",
        ),
        ("case-collision", two("Readme.md", "README.md"), "where case makes no difference"),
        ("case-collision-of-folders", two("Data/a", "data/b"), "where case makes no difference"),
        ("unicode-case-collision", two("stra\u{df}e", "STRASSE"), "where case makes no difference"),
        ("file-also-folder", two("a", "a/b"), "is a file and a folder"),
        ("folder-also-file", two("a/b", "a"), "is a file and a folder"),
        ("windows-device", at("aux.py"), "is a device on Windows"),
        ("windows-device-superscript", at("data/com\u{b9}"), "is a device on Windows"),
        ("trailing-dot", at("run.py."), "ends in a dot or a space"),
        ("trailing-space", at("dir /run.py"), "ends in a dot or a space"),
        ("control-character", at("a\u{1b}[2Jb"), "has a control character"),
        ("newline", at("a\nb"), "has a control character"),
        ("direction-override", at("\u{202e}yp.exe"), "has an invisible character"),
        ("zero-width", at("ru\u{200b}n.py"), "has an invisible character"),
        ("decomposed", at("cafe\u{301}.py"), "normal form C"),
        ("not-utf8", whole(b"agent-odd-1.0.0/\xff\xfe"), "is not UTF-8"),
        ("long-path", long("aaaaaaaaa/".repeat(24) + "x"), "is longer than 240 bytes"),
        ("long-part", long("a".repeat(121)), "has a part longer than 120 bytes"),
        ("deep-path", long("a/".repeat(40) + "x"), "folders deep"),
        ("reserved-marker", at(".napt/sha256"), "is reserved"),
        ("manifest-in-other-case", at("Napt.toml"), "where case makes no difference"),
    ]
}

fn extensions() -> Vec<Case> {
    let path = record("path", &format!("{TOP}/renamed"));
    let pax = |records: &str| Tar::complete().pax(b'x', records).file("x", b"x").gzip();
    let name = format!("{TOP}/long");
    vec![
        ("pax-global", Tar::complete().pax(b'g', &path).file("x", b"x").gzip(), "is a global PAX header"),
        ("pax-size-mismatch", pax(&record("size", "1024")), "a size other than its file's header"),
        ("pax-size-not-a-number", pax(&record("size", "-1")), "a malformed PAX record"),
        ("pax-other-key", pax(&record("linkpath", "/etc/passwd")), "the PAX key `linkpath`"),
        ("pax-sparse", pax(&record("GNU.sparse.major", "1")), "the PAX key `GNU.sparse.major`"),
        ("pax-key-twice", pax(&format!("{path}{path}")), "the PAX key `path` twice"),
        ("pax-length-too-long", pax("999 path=x\n"), "a malformed PAX record"),
        ("pax-length-too-short", pax("3 path=x\n"), "a malformed PAX record"),
        ("pax-no-length", pax("path=x\n"), "a malformed PAX record"),
        ("pax-leading-zero", pax("010 path=x\n"), "a malformed PAX record"),
        ("pax-nul-in-path", pax(&record("path", &format!("{TOP}/a\0b"))), "a malformed PAX record"),
        ("pax-path-out", pax(&record("path", &format!("{TOP}/../../escaped"))), "leads out of its folder"),
        ("pax-twice", Tar::complete().pax(b'x', &path).pax(b'x', &path).file("x", b"x").gzip(), "follows another one"),
        (
            "pax-then-long-name",
            { Tar::complete().pax(b'x', &path).long_name(&name).file("x", b"x").gzip() },
            "follows another one",
        ),
        ("pax-then-nothing", Tar::complete().pax(b'x', &path).gzip(), "is not followed by a file"),
        (
            "pax-huge",
            { Tar::complete().entry(&Header::new("PaxHeader", b'x', 8 << 20), b"").gzip() },
            "has more than 4096 bytes",
        ),
        (
            "gnu-long-name-twice",
            { Tar::complete().long_name(&name).long_name(&name).file("x", b"x").gzip() },
            "follows another one",
        ),
        (
            "gnu-long-name-out",
            { Tar::complete().long_name("../../escaped").file("x", b"x").gzip() },
            "leads out of its folder",
        ),
        (
            "gnu-long-name-with-nul",
            { Tar::complete().long_name(&format!("{name}\0/../x")).file("x", b"x").gzip() },
            "does not hold one name",
        ),
    ]
}

fn headers() -> Vec<Case> {
    let with = |header: Header| Tar::complete().entry(&header, b"x").gzip();
    let file = || Header::file("x", 1);
    let mut base256 = vec![0; 12];
    base256[0] = 0x80;
    base256[11] = 1;
    vec![
        ("setuid", with(file().mode(b"0004755\0")), "setuid, setgid and sticky"),
        ("setgid", with(file().mode(b"0002755\0")), "setuid, setgid and sticky"),
        ("sticky", with(file().mode(b"0001755\0")), "setuid, setgid and sticky"),
        ("mode-not-octal", with(file().mode(b"000rwx4\0")), "a mode that is not an octal number"),
        ("bad-tar-checksum", with(Header { checksum_off_by: 1, ..file() }), "a wrong checksum"),
        ("size-in-base-256", with(Header { size: base256, ..file() }), "a size that is not an octal number"),
        (
            "negative-size",
            with(Header { size: b"-0000000001\0".to_vec(), ..file() }),
            "a size that is not an octal number",
        ),
        ("no-size", with(Header { size: vec![0; 12], ..file() }), "a size that is not an octal number"),
        ("old-tar", with(Header { magic: [0; 8], ..file() }), "is neither ustar nor GNU"),
        ("prefix-out", with(Header { prefix: b"../..".to_vec(), ..file() }), "leads out of its folder"),
    ]
}

fn containers() -> Vec<Case> {
    let good = Tar::complete().gzip();
    let tar = Tar::complete();
    let bad_crc = {
        let mut bytes = good.clone();
        let at = bytes.len() - 8;
        bytes[at] ^= 1;
        bytes
    };
    let bad_length = {
        let mut bytes = good.clone();
        let at = bytes.len() - 1;
        bytes[at] ^= 1;
        bytes
    };
    vec![
        ("empty", Vec::new(), "is cut off"),
        ("not-gzip", b"PK\x03\x04 a zip, perhaps".to_vec(), "is not valid gzip"),
        ("plain-tar", tar.clone().raw(&[0; 2 * BLOCK]).0, "is not valid gzip"),
        ("empty-gzip", gzip(b""), "is cut off"),
        ("gzip-second-member", [good.clone(), good.clone()].concat(), "has a second gzip member"),
        ("gzip-trailing-garbage", [&good[..], b"garbage"].concat(), "has bytes after its gzip member"),
        ("gzip-trailing-zeros", [&good[..], &[0; 512]].concat(), "has bytes after its gzip member"),
        ("bad-crc", bad_crc, "is not valid gzip"),
        ("bad-length", bad_length, "is not valid gzip"),
        ("truncated-gzip", good[..good.len() - 20].to_vec(), "is cut off"),
        ("truncated-trailer", good[..good.len() - 3].to_vec(), "is cut off"),
        ("truncated-tar", gzip(&tar.0[..tar.0.len() - 100]), "is cut off"),
        ("truncated-content", gzip(&tar.clone().entry(&Header::file("x", 4096), b"short").0), "is cut off"),
        ("no-tar-end", gzip(&tar.0), "is cut off"),
        ("one-zero-block", gzip(&tar.clone().raw(&[0; BLOCK]).0), "is cut off"),
        (
            "file-after-one-zero-block",
            { gzip(&tar.clone().raw(&[0; BLOCK]).file("hidden", b"x").raw(&[0; 2 * BLOCK]).0) },
            "has data after the end of its tar",
        ),
        (
            "file-after-the-end",
            { gzip(&tar.clone().raw(&[0; 2 * BLOCK]).file("hidden", b"x").raw(&[0; 2 * BLOCK]).0) },
            "has data after the end of its tar",
        ),
        ("text-after-the-end", gzip(&tar.raw(&[0; 2 * BLOCK]).raw(b"hidden").0), "has data after the end of its tar"),
    ]
}

/// Bombs: small files that would become large ones.
fn sizes() -> Vec<Case> {
    const MIB: usize = 1024 * 1024;
    let mut many = Tar::complete();
    let empty = Header::file("", 0);
    for number in 0..20_000 {
        many = many.entry(&Header { name: format!("{TOP}/f/{number}").into_bytes(), ..empty.clone() }, b"");
    }
    let mut folders = Tar::complete();
    for number in 0..1000 {
        let path = format!("{TOP}/{number}/{}x", "a/".repeat(25));
        folders = folders.entry(&Header { name: path.into_bytes(), ..empty.clone() }, b"");
    }
    let bomb = Tar::complete().entry(&Header::file("zeros", 200 * MIB), &vec![0; 101 * MIB]);
    vec![
        ("bomb-by-ratio", gzip(&bomb.0), "times its size"),
        ("bomb-after-the-end", gzip(&Tar::complete().raw(&vec![0; 101 * MIB]).0), "times its size"),
        ("file-too-large", Tar::complete().entry(&Header::file("x", 251 * MIB), b"").gzip(), "more than 250.0 MiB"),
        ("too-many-files", many.gzip(), "more than 20000 files"),
        ("too-many-folders-without-entries", folders.gzip(), "more than 20000 files and folders"),
    ]
}

fn manifests() -> Vec<Case> {
    let json = |text: &[u8]| Tar::default().file(".napt/manifest.json", text).file("odd/run.py", b"").gzip();
    let changed = |from: &str, to: &str| {
        let text = String::from_utf8(manifest_json(MANIFEST)).expect("JSON is UTF-8");
        assert!(text.contains(from), "{from} in {text}");
        json(text.replace(from, to).as_bytes())
    };
    let folder =
        manifest_json(&format!("{MANIFEST}[dependencies]\n\"kb:x\" = {{ path = \"../x\", version = \"1\" }}\n"));
    let wordy = MANIFEST.to_owned() + &format!("description = \"{}\"\n", "é".repeat(1001));
    let needy = (0..501).map(|number| format!("\"kb:x{number}\" = \"1\"\n")).collect::<String>();
    let needy = format!("{MANIFEST}[dependencies]\n{needy}");
    let searched = MANIFEST.to_owned() + &format!("keywords = [\"{}\", \"b\"]\n", "a".repeat(500));
    let renamed = |top: &str| {
        Tar::default()
            .entry(&Header::new(format!("{top}/.napt/manifest.json"), b'0', manifest_json(MANIFEST).len()), &{
                manifest_json(MANIFEST)
            })
            .gzip()
    };
    vec![
        ("long-description", json(&manifest_json(&wordy)), "it has 1001 characters in its description"),
        ("many-keywords", json(&manifest_json(&searched)), "it has 501 characters in its keywords"),
        ("many-dependencies", json(&manifest_json(&needy)), "it has 501 dependencies"),
        (
            "manifests-that-disagree",
            {
                let other = MANIFEST.replace("\"odd\"", "\"even\"");
                Tar::default()
                    .file(".napt/manifest.json", &manifest_json(MANIFEST))
                    .file("napt.toml", other.as_bytes())
                    .gzip()
            },
            "says that its name is `even`",
        ),
        ("missing-manifest", Tar::default().file("odd/run.py", b"").gzip(), "has no `.napt/manifest.json`"),
        ("missing-everything", Tar::default().gzip(), "has no `.napt/manifest.json`"),
        (
            "two-manifests",
            { Tar::complete().file(".napt/manifest.json", &manifest_json(MANIFEST)).gzip() },
            "is there twice",
        ),
        (
            "manifest-misspelt",
            { Tar::default().file(".NAPT/manifest.json", &manifest_json(MANIFEST)).gzip() },
            "the manifest's name is",
        ),
        ("manifest-not-json", json(b"type = \"agent\""), "is not valid"),
        ("manifest-of-another-module", changed("agent:odd", "agent:even"), "is that of `agent-even-1.0.0`"),
        ("manifest-of-another-type", changed("agent:odd", "tool:odd"), "is that of `tool-odd-1.0.0`"),
        ("manifest-of-another-version", changed("\"1.0.0\"", "\"2.0.0\""), "is that of `agent-odd-2.0.0`"),
        ("manifest-with-build-metadata", changed("\"1.0.0\"", "\"1.0.0+x\""), "has build metadata"),
        ("manifest-with-bad-name", changed("agent:odd", "agent:../odd"), "is not valid"),
        ("manifest-with-entrypoint-outside", changed("\"run.py\"", "\"../../run.py\""), "the entrypoint"),
        ("manifest-with-folder-dependency", json(&folder), "the dependency `kb:x` is a folder"),
        ("manifest-too-large", json(&vec![b' '; 1024 * 1024 + 1]), "more than 1.0 MiB"),
        ("wrong-top-folder", renamed("agent-other-1.0.0"), "its top folder is `agent-other-1.0.0`"),
    ]
}

/// Archives that nobody would make with napt, but that are right.
pub fn good() -> Vec<(&'static str, Vec<u8>)> {
    let long = format!("{TOP}/odd/{}/{}.txt", "folder".repeat(15), "name".repeat(20));
    let named = {
        let mut encoder =
            GzBuilder::new().filename("odd.tar").comment("by hand").mtime(77).write(Vec::new(), Compression::best());
        encoder.write_all(&Tar::complete().raw(&[0; 2 * BLOCK]).0).expect("memory");
        encoder.finish().expect("memory")
    };
    let prefixed = Header { prefix: format!("{TOP}/odd").into_bytes(), ..Header::new("prefixed", b'0', 1) };
    vec![
        ("plain", Tar::complete().gzip()),
        ("gnu", Tar::complete().entry(&Header::file("x", 1).gnu(), b"x").gzip()),
        ("gnu-long-name", Tar::complete().long_name(&long).entry(&Header::file("x", 1).gnu(), b"x").gzip()),
        ("pax-long-name", Tar::complete().pax(b'x', &record("path", &long)).file("x", b"x").gzip()),
        ("pax-time-and-size", {
            let records = format!("{}{}", record("mtime", "1234.5"), record("size", "1"));
            Tar::complete().pax(b'x', &records).file("x", b"x").gzip()
        }),
        ("ustar-prefix", Tar::complete().entry(&prefixed, b"x").gzip()),
        ("type-nul", Tar::complete().entry(&Header { flag: 0, ..Header::file("x", 1) }, b"x").gzip()),
        ("folders", {
            Tar::default()
                .entry(&Header::new(format!("{TOP}/"), b'5', 0).mode(b"0000755\0"), b"")
                .entry(&Header::new(format!("{TOP}/odd"), b'5', 0).mode(b"0000755\0"), b"")
                .entry(&Header::new(format!("{TOP}/empty/"), b'5', 0).mode(b"0000700\0"), b"")
                .raw(&Tar::complete().0)
                .gzip()
        }),
        ("folder-after-its-file", { Tar::complete().entry(&Header::new(format!("{TOP}/odd/"), b'5', 0), b"").gzip() }),
        ("other-owner-and-mode", {
            let header = Header { owner: 1000, ..Header::file("x", 1) };
            Tar::complete().entry(&header.mode(b"0000777\0"), b"x").gzip()
        }),
        ("manifest-last", { Tar::default().file("README.md", b"# Odd\n").raw(&Tar::complete().0).gzip() }),
        ("unicode", Tar::complete().file("caf\u{e9}/\u{65e5}\u{672c}\u{8a9e}.txt", b"x").gzip()),
        ("empty-file", Tar::complete().file("odd/__init__.py", b"").gzip()),
        ("dots-and-spaces", Tar::complete().file(".hidden/..x/a b/c.d.e", b"x").gzip()),
        ("record-padding", Tar::complete().raw(&[0; 10 * 1024]).gzip()),
        ("gzip-with-a-name", named),
        ("napt-toml-of-a-later-version", {
            Tar::default()
                .file(".napt/manifest.json", &manifest_json(MANIFEST))
                .file("napt.toml", b"[module]\nfrom = \"the future\"\n")
                .gzip()
        }),
        ("no-napt-toml", Tar::default().file(".napt/manifest.json", &manifest_json(MANIFEST)).gzip()),
        ("one-byte-names", Tar::complete().file("a/b/c", b"\0\xff").gzip()),
        ("deepest-allowed", Tar::complete().file(&format!("{}x", "d/".repeat(31)), b"x").gzip()),
        (
            "longest-name",
            Tar::complete().pax(b'x', &record("path", &format!("{TOP}/{}", "n".repeat(120)))).file("x", b"x").gzip(),
        ),
        ("block-sized-file", Tar::complete().file("block", &[7; BLOCK]).gzip()),
        ("zeros-below-the-ratio", Tar::complete().file("zeros", &vec![0; 1024 * 1024]).gzip()),
    ]
}
