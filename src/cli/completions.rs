use clap::Args as ClapArgs;
use clap_complete::Shell;
use serde_json::json;

use crate::{context::Context, report::Failure, shell::Output};

/// Print a completion script for a shell
///
/// Written to the place where your shell looks for such scripts, it completes commands, options and their values in
/// every new shell. Write it again after an update of napt.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt completions bash > ~/.local/share/bash-completion/completions/napt
  napt completions zsh > ~/.zfunc/_napt          # a folder of `$fpath`
  napt completions fish > ~/.config/fish/completions/napt.fish
  napt completions powershell >> $PROFILE
  napt completions elvish >> ~/.config/elvish/rc.elv
  source <(napt completions bash)                # in this shell only")]
pub(super) struct Args {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Args {
    pub(super) fn exec(&self, _context: &Context) -> Result<Output, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::command(), "napt", &mut script);
        let script = String::from_utf8_lossy(&script).trim_end().to_owned();
        let data = json!({ "shell": self.shell.to_string(), "script": script });
        Ok(Output::new(script, data))
    }
}
