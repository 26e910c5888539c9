use std::path::PathBuf;

use clap::{Args as ClapArgs, Command};
use clap_mangen::Man;
use serde_json::json;

use crate::{
    context::Context,
    files,
    report::{Failure, Kind},
    shell::Output,
};

/// Print napt's manual page, or write the pages of all commands
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt man | man -l -
  napt man --out ~/.local/share/man/man1         # then: man napt-publish")]
pub(super) struct Args {
    /// Write a page for napt and for each command to this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        // The pages name every command in full, which `build` works out.
        let mut command = super::command().disable_help_subcommand(true);
        command.build();
        let Some(folder) = &self.out else {
            let page = main_page(&command)?;
            return Ok(Output::new(page.trim_end(), json!({ "page": page })));
        };
        let folder = context.cwd.join(folder);
        fs_err::create_dir_all(&folder)?;
        let mut files = Vec::new();
        write_all(&command, &mut |name, text| {
            files.push(name.to_owned());
            files::write(&folder.join(name), text.as_bytes())
        })?;
        files.sort();
        context.shell.note(&format!("{} pages in `{}`", files.len(), folder.display()));
        Ok(Output::new("", json!({ "dir": folder, "files": files })))
    }
}

/// napt's own page ends with the exit codes, which are those of all commands.
fn main_page(command: &Command) -> std::io::Result<String> {
    let mut text = page(command)? + ".SH EXIT STATUS\n.TP\n0\nit is done\n";
    for kind in Kind::ALL {
        text.push_str(&format!(".TP\n{}\n{}\n", kind.exit_code(), kind.meaning()));
    }
    Ok(text)
}

fn page(command: &Command) -> std::io::Result<String> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

fn write_all(command: &Command, write: &mut dyn FnMut(&str, String) -> std::io::Result<()>) -> std::io::Result<()> {
    let text = if command.get_name() == "napt" { main_page(command) } else { page(command) };
    write(&Man::new(command.clone()).get_filename(), text?)?;
    command.get_subcommands().try_for_each(|inner| write_all(inner, write))
}
