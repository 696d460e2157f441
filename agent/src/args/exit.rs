//! How the program ends, as a number that scripts can trust.

use std::process::ExitCode;

/// Every exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It was done; a reader who had enough (a closed pipe) and a watch that was ended count as done.
    Well = 0,
    /// It could not be done, or what was asked about is not well.
    Failed = 1,
    /// Wrong arguments.
    Usage = 2,
    /// Wrong settings: `EX_CONFIG` of sysexits.h, so that supervisors do not restart what cannot get better by itself.
    Settings = 78,
}

impl Exit {
    /// All of them, in one line for help and manual pages.
    pub const WORDS: &str = "Exit codes: 0 well, also where a reader closed the pipe or Ctrl-C ended --watch; 1 it failed, or doctor or healthcheck found something;\n\
         2 wrong arguments; 78 wrong settings";
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_told_of_in_help_and_readme() {
        for exit in [Exit::Well, Exit::Failed, Exit::Usage, Exit::Settings] {
            let code = format!("{} ", exit as u8);
            assert!(Exit::WORDS.contains(&code), "{code}");
            let readme = include_str!("../../../README.md");
            let line = readme.lines().find(|line| line.starts_with("Exit codes: ")).unwrap_or_default();
            assert!(line.contains(&code), "README: {code}");
        }
    }
}
