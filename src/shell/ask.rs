//! Questions to a person at a terminal. Callers make sure that there is one ([`Shell::is_interactive`]).

use std::io;

use dialoguer::{Input, console::Term};

use super::Shell;

impl Shell {
    /// A line of text that passes `check`, asked again until it does.
    pub fn ask_text(
        &self,
        prompt: &str,
        default: &str,
        check: &dyn Fn(&str) -> Result<(), String>,
    ) -> io::Result<String> {
        let input = Input::<String>::new().with_prompt(prompt).allow_empty(true);
        let input = if default.is_empty() { input } else { input.default(default.to_owned()) };
        input.validate_with(|text: &String| check(text)).interact_text().map_err(io_error)
    }

    /// A line of text that is not shown.
    pub fn ask_secret(&self, prompt: &str) -> io::Result<String> {
        let terminal = Term::stderr();
        terminal.write_str(&format!("{prompt}: "))?;
        terminal.read_secure_line()
    }
}

fn io_error(error: dialoguer::Error) -> io::Error {
    match error {
        dialoguer::Error::IO(error) => error,
    }
}
