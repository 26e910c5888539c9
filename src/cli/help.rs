//! `napt --help`: the commands in groups, in the order of a module's life.

use std::fmt::Write;

use clap::{Command, CommandFactory, builder::Styles};

use super::Cli;

const GROUPS: &[(&str, &[&str])] = &[
    ("Start", &["quickstart"]),
    ("Write", &["new", "init", "check", "explain", "schema", "package"]),
    ("Depend", &["search", "info", "add", "remove", "update", "fetch", "tree"]),
    ("Share", &["publish", "yank", "login", "logout"]),
    ("Run", &["dev", "deploy", "create", "rollback", "undeploy", "run", "runs", "status", "logs", "cancel"]),
    ("Use", &["inference", "storage", "secret", "exec"]),
    ("Serve", &["registry", "node", "nodes", "token"]),
    ("Set up", &["config", "completions", "man"]),
];

/// The whole command line. A command that is in no group and not hidden is listed under `More`.
pub fn command() -> Command {
    let command = Cli::command();
    let mut groups: Vec<(&str, Vec<&Command>)> = GROUPS
        .iter()
        .map(|(heading, names)| (*heading, names.iter().filter_map(|name| command.find_subcommand(name)).collect()))
        .collect();
    let is_listed = |command: &&Command| {
        command.is_hide_set() || GROUPS.iter().any(|(_, names)| names.contains(&command.get_name()))
    };
    groups.push(("More", command.get_subcommands().filter(|command| !is_listed(command)).collect()));

    let styles = Styles::default();
    let (header, literal) = (styles.get_header(), styles.get_literal());
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    let width = shown.map(|command| command.get_name().len()).max().unwrap_or_default();
    let mut list = String::new();
    for (heading, commands) in groups.iter().filter(|(_, commands)| !commands.is_empty()) {
        // Writing to a string cannot fail.
        let _ = writeln!(list, "{header}{heading}:{header:#}");
        for command in commands {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(list, "  {literal}{:<width$}{literal:#}  {about}", command.get_name());
        }
        list.push('\n');
    }
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{list}{header}Options:{header:#}\n{{options}}{{after-help}}"
    );
    command.help_template(template)
}
