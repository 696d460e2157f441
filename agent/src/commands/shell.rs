//! `tare completions` and `tare man`: made from the command line's own definition, so they cannot be out of date.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Args;

/// The script that completes in this shell. Errors: the output is closed or full.
pub fn completions(to: &mut impl Write, shell: Shell) -> io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "tare", &mut script);
    to.write_all(&script)
}

/// The manual page of `tare`, or all pages as files of a folder. Errors: the folder cannot be written to.
pub fn man(to: &mut impl Write, folder: Option<&Path>) -> Result<()> {
    match folder {
        None => clap_mangen::Man::new(Args::command()).render(to)?,
        Some(folder) => clap_mangen::generate_to(Args::command(), folder).with_context(|| format!("no manual pages in {}", folder.display()))?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_the_scripts_and_has_its_page() {
        let folder = tempfile::tempdir().unwrap();
        man(&mut Vec::new(), Some(folder.path())).unwrap();
        let mut page = Vec::new();
        man(&mut page, None).unwrap();
        let mut scripts = Vec::new();
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            completions(&mut scripts, shell).unwrap();
        }
        let (page, scripts) = (String::from_utf8(page).unwrap(), String::from_utf8(scripts).unwrap());
        for command in Args::command().get_subcommands() {
            let name = command.get_name();
            assert!(page.contains(&name.replace('-', "\\-")) && scripts.contains(name), "{name}");
            assert!(folder.path().join(format!("tare-{name}.1")).exists(), "{name}");
        }
        assert!(man(&mut Vec::new(), Some(&folder.path().join("none"))).is_err());
    }
}
