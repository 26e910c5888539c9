//! Naptha's `ipfs` storage: contents by their own digests, as CIDs of version 1. What two users store is kept once. Who
//! knows a CID may read it; it goes when the last one who stored it deletes it.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use cid::{Cid, multihash::Multihash};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::files::{Budget, FilesError, Received, keep, matches_words};
use crate::{
    crash,
    files::UNFINISHED,
    identity::{body_digest, random_hex},
};

/// CID's code for bytes as they are.
const RAW: u64 = 0x55;

/// CID's code for a public key, which the names of IPNS are made of.
const LIBP2P_KEY: u64 = 0x72;

/// Multihash's code for SHA-256.
const SHA2_256: u64 = 0x12;

/// Contents that a user may have, and names.
const MAX_PINS: usize = 10_000;

/// What a user has stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::node) struct Pin {
    /// Its CID.
    #[serde(skip)]
    pub(in crate::node) cid: String,
    /// As the user called it.
    pub(in crate::node) filename: String,
    /// Bytes.
    pub(in crate::node) size: u64,
    /// Seconds since 1970.
    pub(in crate::node) created: i64,
}

/// What to do with names when something is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum NameOperation {
    #[default]
    None,
    Create,
    Update,
}

/// Naptha's options of storing something.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::node) struct PinOptions {
    ipns_operation: Option<NameOperation>,
    ipns_name: Option<String>,
    /// As `ipns_operation` is `create`.
    publish_to_ipns: bool,
    unpin_previous: bool,
    previous_hash: Option<String>,
    /// Only said when reading, where it is found out.
    #[serde(rename = "resolve_ipns")]
    _resolve_ipns: Option<bool>,
}

/// All users' contents.
#[derive(Debug)]
pub(in crate::node) struct Contents {
    contents: PathBuf,
    pins: PathBuf,
    names: PathBuf,
    quota: u64,
    /// Held while contents come and go.
    turn: tokio::sync::Mutex<()>,
}

/// What there is of contents, by their CIDs.
#[derive(Debug, Default)]
pub(in crate::node) struct Kept {
    /// Those that are there.
    pub(in crate::node) contents: BTreeSet<String>,
    /// Those that somebody has stored.
    pub(in crate::node) pinned: BTreeSet<String>,
}

/// What a storage's folder has of contents.
pub(in crate::node) fn kept(storage: &Path) -> io::Result<Kept> {
    let names = |folder: &Path| -> io::Result<Vec<String>> {
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let names = fs_err::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.filter(|name| name.as_ref().is_ok_and(|name| !name.starts_with(UNFINISHED)) || name.is_err()).collect()
    };
    let mut kept = Kept { contents: names(&storage.join("contents"))?.into_iter().collect(), ..Kept::default() };
    let pins = storage.join("pins");
    for user in names(&pins)? {
        kept.pinned.extend(names(&pins.join(user))?);
    }
    Ok(kept)
}

/// The CID of a content with this digest, in hex.
pub(in crate::node) fn content_cid(sha256: &str) -> Option<String> {
    let digest: [u8; 32] = hex::decode(sha256).ok()?.try_into().ok()?;
    cid_of(&digest, RAW).ok()
}

/// The CID of a content.
fn cid_of(sha256: &[u8; 32], codec: u64) -> Result<String, FilesError> {
    let hash = Multihash::<64>::wrap(SHA2_256, sha256).map_err(io::Error::other)?;
    Ok(Cid::new_v1(codec, hash).to_string())
}

/// Reads a CID, of a content or of a name, into the one spelling that files have here.
fn parse(text: &str) -> Result<(String, u64), FilesError> {
    let text = text.trim_matches('/');
    let text = text.strip_prefix("ipfs/").or_else(|| text.strip_prefix("ipns/")).unwrap_or(text);
    let shown: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
    let unknown = |why: &str| FilesError::Invalid(format!("`{shown}` {why}"));
    let cid = Cid::try_from(text).map_err(|_| unknown("is not a CID, such as `bafkrei…`"))?;
    let is_ours = matches!(cid.codec(), RAW | LIBP2P_KEY) && cid.hash().code() == SHA2_256 && cid.hash().size() == 32;
    if !is_ours {
        return Err(FilesError::Missing(shown));
    }
    Ok((cid.to_string(), cid.codec()))
}

fn read_record<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, FilesError> {
    match fs_err::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).map_err(io::Error::other)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn write_record(path: &Path, record: &impl Serialize) -> Result<(), FilesError> {
    Ok(crate::files::write_private(path, &serde_json::to_vec(record).map_err(io::Error::other)?)?)
}

impl Contents {
    /// Opens the store. A content that nobody has, since its storing was interrupted, goes.
    pub(super) fn open(storage: &Path, quota: u64) -> io::Result<Self> {
        let contents = Contents {
            contents: storage.join("contents"),
            pins: storage.join("pins"),
            names: storage.join("names"),
            quota,
            turn: tokio::sync::Mutex::default(),
        };
        let kept = kept(storage)?;
        for cid in kept.contents.iter().filter(|cid| !kept.pinned.contains(*cid)) {
            fs_err::remove_file(contents.contents.join(cid))?;
        }
        Ok(contents)
    }

    fn pins_of(&self, user: &str) -> PathBuf {
        self.pins.join(body_digest(user.as_bytes()))
    }

    fn names_of(&self, user: &str) -> PathBuf {
        self.names.join(body_digest(user.as_bytes()))
    }

    /// What a user has stored, newest last.
    fn pinned(&self, user: &str) -> Result<Vec<Pin>, FilesError> {
        let folder = self.pins_of(user);
        let mut pins = Vec::new();
        if folder.exists() {
            for found in fs_err::read_dir(&folder)? {
                let found = found?;
                if let (Ok(cid), Some(pin)) = (found.file_name().into_string(), read_record::<Pin>(&found.path())?) {
                    pins.push(Pin { cid, ..pin });
                }
            }
        }
        pins.sort_by(|a, b| (a.created, &a.cid).cmp(&(b.created, &b.cid)));
        Ok(pins)
    }

    /// Stores a content for a user; gives its CID, and the name that leads to it if one was asked for.
    pub(in crate::node) async fn add(
        &self,
        user: &str,
        received: Received,
        options: PinOptions,
    ) -> Result<(String, Option<String>), FilesError> {
        let _turn = self.turn.lock().await;
        let operation = match options.ipns_operation.unwrap_or_default() {
            NameOperation::None if options.publish_to_ipns => NameOperation::Create,
            operation => operation,
        };
        let name = match (operation, &options.ipns_name) {
            (NameOperation::None, _) => None,
            (NameOperation::Create, _) => Some(self.new_name(user)?),
            (NameOperation::Update, Some(name)) => Some(self.own_name(user, name)?),
            (NameOperation::Update, None) => {
                return Err(FilesError::Invalid("`ipns_operation` `update` needs an `ipns_name`".to_owned()));
            }
        };
        let pinned = self.pinned(user)?;
        let cid = cid_of(&received.sha256, RAW)?;
        let others = pinned.iter().filter(|pin| pin.cid != cid);
        if pinned.len() >= MAX_PINS {
            return Err(FilesError::TooMany(MAX_PINS));
        }
        if others.map(|pin| pin.size).sum::<u64>().saturating_add(received.size) > self.quota {
            return Err(FilesError::Quota(self.quota));
        }
        let place = self.contents.join(&cid);
        if !place.is_file() {
            fs_err::create_dir_all(&self.contents)?;
            crash::point("storage.content")?;
            keep(received.file, &place)?;
        }
        // Its size is known before; the file's name is the user's own.
        let filename = received.name.chars().filter(|c| !c.is_control()).take(200).collect();
        let pin = Pin { cid: cid.clone(), filename, size: received.size, created: Timestamp::now().as_second() };
        write_record(&self.pins_of(user).join(&cid), &pin)?;
        if let Some(name) = &name {
            write_record(&self.names_of(user).join(name), &cid)?;
        }
        if let Some(previous) = options.previous_hash.filter(|_| options.unpin_previous)
            && parse(&previous)?.0 != cid
        {
            self.unpin(user, &previous)?;
        }
        Ok((cid, name))
    }

    /// A new name, which nobody has.
    fn new_name(&self, user: &str) -> Result<String, FilesError> {
        let folder = self.names_of(user);
        if folder.exists() && fs_err::read_dir(folder)?.count() >= MAX_PINS {
            return Err(FilesError::TooMany(MAX_PINS));
        }
        cid_of(&Sha256::digest(random_hex(32)).into(), LIBP2P_KEY)
    }

    /// A name that is this user's to change. Another user's is not known to them.
    fn own_name(&self, user: &str, name: &str) -> Result<String, FilesError> {
        let (name, _) = parse(name)?;
        if self.names_of(user).join(&name).is_file() { Ok(name) } else { Err(FilesError::Missing(name)) }
    }

    /// Where a name leads, whoever's it is.
    fn resolve(&self, name: &str) -> Result<Option<String>, FilesError> {
        if !self.names.exists() {
            return Ok(None);
        }
        for user in fs_err::read_dir(&self.names)? {
            if let Some(cid) = read_record(&user?.path().join(name))? {
                return Ok(Some(cid));
            }
        }
        Ok(None)
    }

    /// What a CID or a name leads to: the file, its size and its CID.
    pub(in crate::node) async fn read(&self, hash: &str) -> Result<(tokio::fs::File, u64, String), FilesError> {
        let missing = || FilesError::Missing(hash.chars().take(80).collect());
        let cid = match parse(hash)? {
            (name, LIBP2P_KEY) => self.resolve(&name)?.ok_or_else(missing)?,
            (cid, _) => cid,
        };
        let file = match fs_err::tokio::File::open(self.contents.join(&cid)).await {
            Ok(file) => file.into_parts().0,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
            Err(error) => return Err(error.into()),
        };
        let size = file.metadata().await?.len();
        Ok((file, size, cid))
    }

    /// What a user has stored; with a CID, whether that is among it.
    pub(in crate::node) fn list(&self, user: &str, path: &str) -> Result<Vec<Pin>, FilesError> {
        let pins = self.pinned(user)?;
        if matches!(path, "" | "." | "/") {
            return Ok(pins);
        }
        let (cid, _) = parse(path)?;
        let found: Vec<Pin> = pins.into_iter().filter(|pin| pin.cid == cid).collect();
        if found.is_empty() { Err(FilesError::Missing(cid)) } else { Ok(found) }
    }

    /// Takes a content back, or a name. A content stays for others who have stored it.
    pub(in crate::node) async fn delete(&self, user: &str, hash: &str) -> Result<(), FilesError> {
        let _turn = self.turn.lock().await;
        match parse(hash)? {
            (name, LIBP2P_KEY) => Ok(fs_err::remove_file(self.names_of(user).join(self.own_name(user, &name)?))?),
            (cid, _) if self.unpin(user, &cid)? => Ok(()),
            (cid, _) => Err(FilesError::Missing(cid)),
        }
    }

    /// Whether there was something to take back.
    fn unpin(&self, user: &str, cid: &str) -> Result<bool, FilesError> {
        let (cid, _) = parse(cid)?;
        match fs_err::remove_file(self.pins_of(user).join(&cid)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            removed => removed?,
        }
        let mut users = fs_err::read_dir(&self.pins)?;
        let is_wanted =
            users.try_fold(false, |wanted, user| Ok::<_, io::Error>(wanted || user?.path().join(&cid).exists()));
        if !is_wanted? {
            fs_err::remove_file(self.contents.join(&cid))?;
        }
        Ok(true)
    }

    /// A user's contents whose name or text holds all the words.
    pub(in crate::node) fn search(
        &self,
        user: &str,
        words: &[String],
        limit: usize,
    ) -> Result<Vec<(Pin, Option<String>)>, FilesError> {
        let mut budget = Budget::default();
        let hit = |pin: Pin| {
            let place = self.contents.join(&pin.cid);
            let line = matches_words(&pin.filename, &place, pin.size, words, &mut budget)?;
            Some((pin, line))
        };
        Ok(self.pinned(user)?.into_iter().filter_map(hit).take(limit).collect())
    }
}
