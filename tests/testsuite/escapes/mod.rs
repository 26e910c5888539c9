//! Modules of strangers that each try one thing that no module may. Every one of them fails, the node and the runs of
//! others go on meanwhile, and the run's record says what happened.
//!
//! `modules/` has them, one file each. Most return what they tried: `escaped` and `refused`, each with how. Nothing rests
//! on their word alone: after each the stage looks at what it could have harmed.

mod bombs;
mod doors;
mod files;
mod imports;
mod network;
mod page;
mod privileges;
mod processes;
mod rust;
mod stage;
mod state;

use serde_json::{Value, json};

use self::stage::Stage;

/// What stands before each module.
const PRELUDE: &str = include_str!("modules/_prelude.py");

/// How attempts are refused. A call that fails for another reason has reached what it must not reach.
const REFUSALS: [&str; 27] = [
    "nothing",
    "EPERM",
    "EACCES",
    "ENOENT",
    "ENOSYS",
    "EROFS",
    "ESRCH",
    "ENXIO",
    "ENODEV",
    "ENOTDIR",
    "EXDEV",
    "EAGAIN",
    "EMFILE",
    "ENFILE",
    "ENOMEM",
    "EFBIG",
    "ENOSPC",
    "EDQUOT",
    "ENETUNREACH",
    "EHOSTUNREACH",
    "ECONNREFUSED",
    "EADDRNOTAVAIL",
    "EAFNOSUPPORT",
    "EPROTONOSUPPORT",
    "ESOCKTNOSUPPORT",
    "ETXTBSY",
    "HTTP 4",
];

/// A hostile module and how it must end.
pub struct Attack {
    /// Its name, and of its file.
    pub name: &'static str,
    code: &'static str,
    /// `[limits]` of its manifest, after what all have.
    limits: &'static str,
    /// Further inputs.
    inputs: &'static str,
    /// Any of these.
    ends: &'static [End],
}

/// How an attack ends.
#[derive(Debug)]
pub enum End {
    /// It returns what it tried, and nothing of it was managed.
    Refused,
    /// Its run fails, and the reason has these words.
    Error(&'static str),
    /// It returns just this.
    Result(&'static str),
}

/// A table of attacks: name, how it ends, and where there is need of it limits and inputs.
macro_rules! attacks {
    ($($name:ident => [$($end:expr),+] $(, limits: $limits:literal)? $(, inputs: $inputs:literal)?;)+) => {
        &[$($crate::escapes::Attack {
            name: stringify!($name),
            code: include_str!(concat!("modules/", stringify!($name), ".py")),
            limits: concat!("", $($limits)?),
            inputs: concat!($($inputs,)? ""),
            ends: &[$($end),+],
        }),+]
    };
}
use attacks;

/// All tables, for the page.
pub fn all() -> Vec<&'static Attack> {
    let tables = [
        files::ATTACKS,
        privileges::ATTACKS,
        processes::ATTACKS,
        bombs::ATTACKS,
        doors::ATTACKS,
        network::ATTACKS,
        state::ATTACKS,
    ];
    tables.into_iter().flatten().collect()
}

/// Has each attack tried on a node, one after the other, and tells all that got out.
#[track_caller]
fn all_fail(attacks: &'static [Attack], stage: Stage) {
    let mut out = Vec::new();
    for attack in attacks {
        let run = stage.run(attack);
        let wrong = attack.judge(&run).into_iter().chain(stage.harm(&run));
        out.extend(wrong.map(|what| format!("{}: {what}", attack.name)));
    }
    out.extend(stage.end());
    assert!(out.is_empty(), "{} got out:\n{}", out.len(), out.join("\n"));
}

impl Attack {
    /// What is wrong with how it has ended.
    fn judge(&self, run: &napt::wire::RunView) -> Vec<String> {
        End::judge_any(self.ends, run)
    }
}

impl End {
    /// What is wrong when none of these ends is the run's.
    fn judge_any(ends: &[End], run: &napt::wire::RunView) -> Vec<String> {
        let tried = ends.iter().map(|end| end.judge(run)).collect::<Vec<_>>();
        if tried.iter().any(Vec::is_empty) { Vec::new() } else { tried.into_iter().flatten().collect() }
    }

    fn judge(&self, run: &napt::wire::RunView) -> Vec<String> {
        let (result, error) = (run.result.as_deref(), run.error.as_deref());
        match self {
            End::Error(words) if error.is_some_and(|error| error.contains(words)) => Vec::new(),
            End::Result(text) if result == Some(text) => Vec::new(),
            End::Refused => match result.and_then(|text| serde_json::from_str::<Value>(text).ok()) {
                Some(told) => managed(&told),
                None => vec![format!("no account of it: {result:.300?} {error:?}")],
            },
            _ => vec![format!("not {self:?}, but {:?} {result:.300?} {error:?}", run.status)],
        }
    }
}

/// What a module says that it has managed, and what was not refused as it must be.
fn managed(told: &Value) -> Vec<String> {
    let entries = |part: &str| told[part].as_object().cloned().unwrap_or_default();
    let refused = entries("refused");
    if refused.is_empty() && told["escaped"] == json!({}) {
        return vec![format!("it tried nothing: {told}")];
    }
    let is_refusal = |how: &Value| how.as_str().is_some_and(|how| REFUSALS.iter().any(|known| how.starts_with(known)));
    let odd = refused.into_iter().filter(|(_, how)| !is_refusal(how));
    entries("escaped").into_iter().chain(odd).map(|(what, how)| format!("{what}: {how}")).collect()
}
