//! The command line: what can be told to `tare`, with examples. Defaults of settings are in `tare.toml`, not here.

mod exit;

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args as Group, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::config::{Flag, span};
use crate::query::{Columns, Filter, Query, Sort};

pub use exit::Exit;

const MAIN: &str = "Examples:
  tare                    look at this host and serve http://127.0.0.1:9464
  tare ps --watch         what runs here and what it uses, again and again
  tare cost               what it costs, here and on Fargate
  tare doctor             what Tare cannot see, why, and the fix
  tare config             every setting, its explanation and its value";

/// What every container on this host uses, whether it is healthy, and what it costs
#[derive(Clone, Debug, Parser)]
#[command(
    version,
    about,
    max_term_width = 100,
    after_help = format!("{MAIN}\n\n{}", Exit::WORDS)
)]
pub struct Args {
    /// What to do; nothing means run
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Flags of `run`, for `tare` alone
    #[command(flatten)]
    pub run: Run,

    /// Settings that differ from the built-in ones (see: tare config)
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,

    /// Say more on standard error; twice for everything
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,

    /// Colours: on a terminal, always or never; NO_COLOR and CLICOLOR_FORCE count where this is not given
    #[arg(long, value_enum, default_value_t = Colour::Auto, value_name = "auto|always|never", hide_possible_values = true, global = true)]
    pub color: Colour,
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Look at this host again and again, and serve /metrics and /report.json
    #[command(after_help = "Examples:
  tare run --listen 0.0.0.0:9464 --interval 5s
  tare run --config tare.toml
  tare run --replay DIR     a recorded host")]
    Run(Run),
    /// Show what runs here and what it uses
    #[command(after_help = "Examples:
  tare ps --watch                                  again and again, until Ctrl-C
  tare ps --sort memory --filter 'kind=container memory>50%'
  tare ps --filter 'workload~^(web|api)$ throttled>5% image!=\"nginx:1.27\"'
  tare ps --columns name,state,cpu,cpu_limit,io    any figure; a wrong name lists them all
  tare ps -o wide | less -S
  tare ps -o csv > now.csv
  tare ps -o json | jq '.workloads[] | select(.warnings != [])'
  tare ps --for 5s                                 without a running Tare: the mean of five seconds")]
    Ps(View),
    /// Show what each workload costs here and what it would cost on Fargate
    #[command(after_help = "Examples:
  tare cost
  tare cost --explain web      every figure of one workload, to be redone by hand
  tare cost --by project       one row a Compose project; it adds up all the same
  tare cost --filter 'cost>0.01' --sort fargate
  tare cost -o csv > cost.csv")]
    Cost(Cost),
    /// Say what Tare can and cannot see, why, and the one thing to do about it
    #[command(after_help = "Examples:
  tare doctor
  tare doctor -o json --fail-on warning   for a check before a deployment

Exit codes: 0 nothing at or above --fail-on; 1 a finding at or above it")]
    Doctor(Doctor),
    /// Print every setting, its explanation and the value in force
    #[command(after_help = "Examples:
  tare config > tare.toml          a file to start from: it is the manual, too
  tare config --diff               only what differs from the defaults
  tare config --check tare.toml    before it is rolled out

Exit codes: 0 well; 78 a setting is wrong")]
    Config(Config),
    /// Print every metric: its names, unit, labels and meaning
    #[command(after_help = "Examples:
  tare metrics | less
  tare metrics | grep throttl")]
    Metrics,
    /// Say by the exit code whether the Tare that runs here looks and serves
    #[command(after_help = "Examples:
  tare healthcheck
  HEALTHCHECK CMD [\"/tare\", \"healthcheck\"]   in a Dockerfile

Exit codes: 0 its newest report is fresh; 1 it is not, or it does not answer within 3 s")]
    Healthcheck(Healthcheck),
    /// Write what Tare reads here into a folder, without secrets, to be looked at elsewhere with --replay
    #[command(after_help = "Examples:
  tare record /tmp/host --looks 20
  tare ps --replay /tmp/host")]
    Record(Record),
    /// Print a script that completes Tare's commands and flags in a shell
    #[command(after_help = "Examples:
  tare completions bash > /usr/share/bash-completion/completions/tare
  tare completions zsh > ~/.zfunc/_tare
  tare completions fish > ~/.config/fish/completions/tare.fish")]
    Completions(Completions),
    /// Print the manual page, or write all of them into a folder
    #[command(after_help = "Examples:
  tare man | man -l -
  tare man /usr/local/share/man/man1")]
    Man(Man),
    /// Print what must be set elsewhere for Tare, made of the settings in force
    #[command(after_help = "Examples:
  tare generate iam > policy.json
  tare generate iam --config tare.toml")]
    Generate(Generate),
}

/// `tare run`
#[derive(Clone, Debug, Default, PartialEq, Eq, Group)]
pub struct Run {
    /// Address and port to serve on
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,

    /// Time between two looks, for example 10s
    #[arg(long, value_name = "TIME")]
    pub interval: Option<String>,

    /// Look at a recorded host instead of this one
    #[arg(long, value_name = "DIR")]
    pub replay: Option<PathBuf>,
}

/// Where a table comes from and how it is printed.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
pub struct View {
    /// A table for people or one with more columns; one JSON or YAML document; one line of JSON a look; or CSV (RFC 4180)
    #[arg(short, long, value_enum, default_value_t = Output::Table, value_name = "table|wide|json|ndjson|yaml|csv", hide_possible_values = true)]
    pub output: Output,

    /// Only rows that meet all terms: FIELD then = != ~ !~ > >= < <= then a value, as in 'workload=web memory>50%'
    #[arg(long, value_name = "TERMS", value_parser = Filter::read)]
    pub filter: Option<Filter>,

    /// The order: fields with commas between; figures large first, words from a to z; NAME:asc, NAME:desc or -NAME say it
    #[arg(long, value_name = "FIELDS", value_parser = Sort::read, allow_hyphen_values = true)]
    pub sort: Option<Sort>,

    /// The columns of a table or of CSV, with commas between
    #[arg(long, value_name = "FIELDS", value_parser = Columns::read)]
    pub columns: Option<Columns>,

    /// Rows alone: no line above, no heads, no notes below
    #[arg(long)]
    pub no_headers: bool,

    /// Look again and again, every two seconds or as told, until Ctrl-C
    #[arg(short, long, value_name = "TIME", value_parser = pace, num_args = 0..=1, require_equals = true, default_missing_value = "2s", conflicts_with = "replay")]
    pub watch: Option<Duration>,

    /// Give every quiet unit of the host its row
    #[arg(short, long)]
    pub all: bool,

    /// Time between the two looks, where no Tare is running here
    #[arg(long = "for", value_name = "TIME", default_value = "1s", value_parser = pace)]
    pub span: Duration,

    /// Look at a recorded host instead of this one
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    pub replay: Option<PathBuf>,

    /// The running Tare to ask, for example http://127.0.0.1:9464; it must answer
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

/// `tare cost`
#[derive(Clone, Debug, PartialEq, Eq, Group)]
pub struct Cost {
    /// As for `ps`.
    #[command(flatten)]
    pub view: View,

    /// Show how one workload's cost is reckoned, in words; -o json has the same figures of all
    #[arg(long, value_name = "NAME", conflicts_with_all = ["output", "filter", "sort", "columns", "no_headers", "watch", "by"])]
    pub explain: Option<String>,

    /// One row for all that have this in common
    #[arg(long, value_enum, default_value_t = By::Workload, value_name = "workload|service|family|cluster|launch|project|image|kind", hide_possible_values = true, conflicts_with_all = ["columns", "sort"])]
    pub by: By,
}

/// `tare doctor`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Group)]
pub struct Doctor {
    /// For people or for machines
    #[arg(short, long, value_enum, default_value_t = Form::Table, value_name = "table|json", hide_possible_values = true)]
    pub output: Form,

    /// The least finding that makes the exit code 1
    #[arg(long, value_enum, default_value_t = FailOn::Error, value_name = "warning|error|never", hide_possible_values = true)]
    pub fail_on: FailOn,
}

/// `tare healthcheck`
#[derive(Clone, Debug, PartialEq, Eq, Group)]
pub struct Healthcheck {
    /// Another Tare to ask, for example http://127.0.0.1:9464
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

/// `tare record`
#[derive(Clone, Debug, PartialEq, Eq, Group)]
pub struct Record {
    /// The folder; it must not exist yet or be empty
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,

    /// How many looks, one interval apart
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub looks: u32,
}

impl Default for View {
    /// As if no flag were given.
    fn default() -> View {
        View {
            output: Output::Table,
            filter: None,
            sort: None,
            columns: None,
            no_headers: false,
            watch: None,
            all: false,
            span: Duration::from_secs(1),
            replay: None,
            url: None,
        }
    }
}

impl View {
    /// What is asked of each report.
    pub fn query(&self) -> Query {
        Query { filter: self.filter.clone(), sort: self.sort.clone() }
    }
}

/// Time between two looks. What moves is the difference of two, so there has to be some.
fn pace(text: &str) -> Result<Duration, String> {
    const ALLOWED: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
    span(text).and_then(|span| if ALLOWED.contains(&span) { Ok(span) } else { Err("two looks are \"100ms\" to \"1h\" apart".into()) })
}

/// `tare config`
#[derive(Clone, Debug, PartialEq, Eq, Group)]
pub struct Config {
    /// Only what differs from the defaults, and where it is from
    #[arg(long, conflicts_with = "check")]
    pub diff: bool,

    /// Say only whether the settings are right: those of this file alone, or without one all that are in force here
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    pub check: Option<Option<PathBuf>>,
}

/// `tare completions`
#[derive(Clone, Debug, PartialEq, Eq, Group)]
pub struct Completions {
    /// Whose
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `tare man`
#[derive(Clone, Debug, PartialEq, Eq, Group)]
pub struct Man {
    /// The folder, which must exist
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

/// `tare generate`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Group)]
pub struct Generate {
    /// What
    #[arg(value_enum)]
    pub what: Generated,
}

/// What can be generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Generated {
    /// The least IAM policy that Tare needs
    Iam,
}

/// Whether tables are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// As the environment and the output say.
    Auto,
    /// Into a pipe, too.
    Always,
    /// Not even on a terminal.
    Never,
}

/// What the rows of `tare cost` have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Nothing: each is one workload
    Workload,
    /// Their ECS or Compose service, else their name
    Service,
    /// The family of their ECS task definition
    Family,
    /// Their ECS cluster
    Cluster,
    /// Whose machine their ECS task runs on: ec2, fargate, external, managed-instances
    Launch,
    /// Their Compose project
    Project,
    /// The images they run
    Image,
    /// What they are: tasks, pods, containers, units
    Kind,
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Table,
    /// For people with room: more columns
    Wide,
    /// The last look, as one document
    Json,
    /// Every look, one line each
    Ndjson,
    /// The last look, as one document
    Yaml,
    /// The last look, one line a row
    Csv,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people
    Table,
    /// For machines
    Json,
}

/// From which level on findings are a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Warnings and errors
    Warning,
    /// Errors
    Error,
    /// Nothing
    Never,
}

impl Args {
    /// Reads arguments, the program's name first. Errors are clap's own: help and version are among them.
    pub fn read<I, T>(arguments: I) -> Result<Args, clap::Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<std::ffi::OsString> + Clone,
    {
        let args = Args::try_parse_from(arguments)?;
        if args.command.is_some() && args.run != Run::default() {
            let words = "--listen, --interval and --replay before a command belong to no command; write them after it";
            return Err(Args::command().error(ErrorKind::ArgumentConflict, words));
        }
        Ok(args)
    }

    /// What is to be done.
    pub fn task(&self) -> Command {
        self.command.clone().unwrap_or_else(|| Command::Run(self.run.clone()))
    }

    /// The settings that flags give.
    pub fn flags(&self) -> Vec<Flag> {
        let mut flags = Vec::new();
        let mut give = |key, flag, value: Option<&String>| flags.extend(value.map(|value| Flag { key, value: value.clone(), flag }));
        if let Command::Run(run) = self.task() {
            give("listen", "--listen", run.listen.as_ref());
            give("interval", "--interval", run.interval.as_ref());
        }
        match self.verbose {
            0 => {}
            1 => give("log.level", "-v", Some(&"debug".into())),
            _ => give("log.level", "-vv", Some(&"trace".into())),
        }
        flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Args {
        Args::read(line.split(' ')).unwrap()
    }

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn bare_tare_runs_with_the_flags_of_run() {
        for line in ["tare --listen 0.0.0.0:1 --interval 5s", "tare run --listen 0.0.0.0:1 --interval 5s"] {
            let args = read(line);
            assert!(matches!(args.task(), Command::Run(_)));
            let flags: Vec<_> = args.flags().into_iter().map(|flag| (flag.key, flag.value)).collect();
            assert_eq!(flags, [("listen", "0.0.0.0:1".into()), ("interval", "5s".into())], "{line}");
        }
        assert!(matches!(read("tare").task(), Command::Run(run) if run == Run::default()));
    }

    #[test]
    fn flags_for_everyone_stand_on_either_side() {
        for line in ["tare --config f -v ps", "tare ps --config f -v"] {
            let args = read(line);
            assert_eq!(args.config, Some("f".into()), "{line}");
            assert_eq!(args.flags(), [Flag { key: "log.level", value: "debug".into(), flag: "-v" }]);
        }
        assert_eq!(read("tare -vvv ps").flags()[0].value, "trace");
    }

    #[test]
    fn a_view_is_a_table_of_one_second_unless_told() {
        let Command::Cost(cost) = read("tare cost").task() else { panic!() };
        assert_eq!(cost.view, View::default());
        let Command::Ps(view) = read("tare ps -o ndjson --for 250ms --replay d").task() else { panic!() };
        assert_eq!((view.output, view.span), (Output::Ndjson, Duration::from_millis(250)));
    }

    #[test]
    fn rows_columns_and_their_order_are_asked_for_by_name() {
        let Command::Ps(view) = read("tare ps -w --sort -cpu,name --filter memory>50% --columns name,cpu --no-headers").task() else { panic!() };
        assert_eq!(view.watch, Some(Duration::from_secs(2)));
        assert_eq!(view.query(), Query { filter: Some(Filter::read("memory>50%").unwrap()), sort: Some(Sort::read("cpu,name").unwrap()) });
        assert_eq!(view.columns, Some(Columns::read("workload,cpu").unwrap()));
        assert!(view.no_headers);
        let Command::Ps(view) = read("tare ps --watch=500ms -o csv").task() else { panic!() };
        assert_eq!((view.watch, view.output), (Some(Duration::from_millis(500)), Output::Csv));
        let Command::Config(config) = read("tare config --check").task() else { panic!() };
        assert_eq!(config.check, Some(None));
    }

    #[test]
    fn every_command_has_examples() {
        for command in Args::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let example = format!("  tare {}", command.get_name());
            assert!(help.starts_with("Examples:\n") && help.contains(&example), "{}", command.get_name());
        }
    }

    #[test]
    fn a_typo_is_told_with_what_was_meant() {
        for (line, meant) in [
            ("tare confg", "config"),
            ("tare ps --ourput json", "--output"),
            ("tare ps -o jsn", "json"),
            ("tare ps --sort memry", "memory"),
            ("tare ps --columns restrats", "restarts"),
            ("tare ps --filter memry>5", "memory"),
            ("tare cost --by projct", "project"),
        ] {
            let said = Args::read(line.split(' ')).unwrap_err().to_string();
            assert!(said.contains(meant), "{line}: {said}");
        }
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for line in [
            "tare frob",
            "tare --listen a ps",
            "tare ps --for soon",
            "tare ps --for 0s",
            "tare ps -o xml",
            "tare ps --sort memry",
            "tare ps --filter memry>5",
            "tare ps --columns cpu,memry",
            "tare ps --watch=0s",
            "tare ps -w --replay d",
            "tare cost --by namespace",
            "tare cost --explain web --sort cpu",
            "tare config --check --diff",
            "tare completions csh",
            "tare ps --color maybe",
            "tare ps --replay d --url u",
            "tare cost --explain web -o json",
            "tare record",
            "tare record d --looks 0",
            "tare doctor --fail-on sometimes",
        ] {
            assert_eq!(Args::read(line.split(' ')).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
