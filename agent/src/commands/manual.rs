//! `tare man` and `tare completions`: manual pages and shell scripts, made of the command line's own words.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::args::{Args, Exit};

/// tare(1). Errors: none that a buffer knows.
pub fn page() -> Result<Vec<u8>> {
    of(Args::command().name("tare"))
}

/// Writes tare(1) and one page a command into a folder. Gives a sentence. Errors: the folder cannot be written to.
pub fn pages(folder: &Path) -> Result<String> {
    let mut whole = Args::command();
    whole.build();
    let mut pages = vec![("tare.1".to_owned(), page()?)];
    for command in whole.get_subcommands().filter(|command| command.get_name() != "help") {
        let name = format!("tare-{}", command.get_name());
        // clap wants names that live as long as the program; these few do.
        let name: &'static str = name.leak();
        pages.push((format!("{name}.1"), of(command.clone().name(name).display_name(name))?));
    }
    for (name, page) in &pages {
        let path = folder.join(name);
        fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(format!("{} pages in {}; see: man -l {}\n", pages.len(), folder.display(), folder.join("tare.1").display()))
}

fn of(command: Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let help = if help.contains("Exit codes") { help } else { format!("{help}\n\n{}", Exit::WORDS) };
    Man::new(command.after_help(help)).render(&mut page).context("the page cannot be made")?;
    Ok(page)
}

/// The script for one shell.
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "tare", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_examples_and_the_exit_codes() {
        let folder = tempfile::tempdir().unwrap();
        let said = pages(folder.path()).unwrap();
        let commands: Vec<String> = Args::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
        assert!(said.starts_with(&format!("{} pages", commands.len() + 1)));
        for name in commands {
            let page = fs::read_to_string(folder.path().join(format!("tare-{name}.1"))).unwrap();
            let page = page.replace("\\-", "-");
            assert!(page.contains(".TH") && page.contains(&format!("tare {name}")) && page.contains("Exit codes"), "{page}");
        }
        let page = fs::read_to_string(folder.path().join("tare.1")).unwrap();
        assert!(page.contains("78 wrong settings"));
        assert!(pages(&folder.path().join("none")).unwrap_err().to_string().contains("cannot write"));
    }

    #[test]
    fn every_shell_has_a_script_that_knows_the_commands() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(completions(*shell)).unwrap();
            assert!(script.contains("healthcheck") && script.contains("--filter") || script.contains("filter"), "{shell}");
        }
    }
}
