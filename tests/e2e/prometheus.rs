//! A real Prometheus reads us: `promtool` finds nothing to say, and a query returns the number that was recorded.

use std::fs::{self, File};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::program;

/// What `promtool check metrics` says: `None` where it is not installed.
pub fn check_metrics(text: &[u8]) -> Option<Result<(), String>> {
    let mut child = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().ok()?;
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let text = text.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&text));
    let said = child.wait_with_output().expect("it is our own child");
    let _ = writer.join();
    let complaints = [said.stdout, said.stderr].concat();
    if said.status.success() && complaints.is_empty() { Some(Ok(())) } else { Some(Err(String::from_utf8_lossy(&complaints).into_owned())) }
}

/// A Prometheus of our own; gone when dropped.
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    /// Scrapes `target` every second: `/metrics` as the job tare, `/metrics/cadvisor` as the job cadvisor. `None` where it is not installed.
    pub fn start(folder: &Path, target: SocketAddr) -> Option<Prometheus> {
        Prometheus::start_as(folder, target, "")
    }

    /// The same, with more lines for its scrape, each indented by two.
    pub fn start_as(folder: &Path, target: SocketAddr, more: &str) -> Option<Prometheus> {
        Prometheus::launch(folder, &[target], more, "")
    }

    /// The same of several targets, with a file of rules that it evaluates every second.
    pub fn start_ruled(folder: &Path, targets: &[SocketAddr], rules: &Path) -> Option<Prometheus> {
        Prometheus::launch(folder, targets, "", &format!("rule_files: ['{}']\n", rules.display()))
    }

    fn launch(folder: &Path, targets: &[SocketAddr], more: &str, rules: &str) -> Option<Prometheus> {
        let targets: Vec<String> = targets.iter().map(|target| format!("'{target}'")).collect();
        let targets = targets.join(", ");
        let job = |name: &str, path: &str| {
            format!("- job_name: {name}\n  metrics_path: {path}\n  honor_labels: true\n{more}  static_configs:\n  - targets: [{targets}]\n")
        };
        let jobs = [job("tare", "/metrics"), job("cadvisor", "/metrics/cadvisor")].concat();
        Prometheus::run(folder, &jobs, rules)
    }

    /// Scrapes every second what a service discovery of ECS at `url` names, as the job tare.
    pub fn start_finding(folder: &Path, url: &str) -> Option<Prometheus> {
        let relabel = "{action: labelmap, regex: __meta_ecs_(service|task|zone)}";
        let job = format!("- job_name: tare\n  http_sd_configs: [{{url: '{url}', refresh_interval: 1s}}]\n  relabel_configs: [{relabel}]\n");
        Prometheus::run(folder, &job, "")
    }

    fn run(folder: &Path, jobs: &str, rules: &str) -> Option<Prometheus> {
        let config = folder.join("prometheus.yml");
        fs::write(&config, format!("global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n{rules}scrape_configs:\n{jobs}")).unwrap();
        // A port that was free a moment ago: Prometheus cannot be handed a socket.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = File::create(folder.join("log")).unwrap();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", config.display())).arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
        command.arg(format!("--web.listen-address={address}")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().ok()?;
        Some(Prometheus { child, address })
    }

    /// The one number of a query, once there is one.
    pub fn query(&self, query: &str) -> Option<f64> {
        program::until(|| self.answer(query)["data"]["result"][0]["value"][1].as_str()?.parse().ok())
    }

    /// What it says to a query now, null while it does not serve yet.
    pub fn answer(&self, query: &str) -> Value {
        let escaped: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        self.get(&format!("/api/v1/query?query={escaped}")).ok().and_then(|answer| serde_json::from_slice(&answer.body).ok()).unwrap_or_default()
    }

    /// GETs a path of its own.
    pub fn get(&self, path: &str) -> Result<program::Answer, String> {
        program::get(self.address, path)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn prometheus_scrapes_us_and_a_query_returns_the_recorded_number() {
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/hosts/v2-systemd");
    let served = program::serve([Path::new("--replay"), &host]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let Some(prometheus) = Prometheus::start(folder.path(), served.address) else {
        return println!("skipped: prometheus: not installed");
    };
    // 5.0 s of web and 1.5 s of db.
    let seconds = prometheus.query("sum(tare_container_cpu_time_seconds_total)");
    assert_eq!(seconds, Some(6.5), "{}", fs::read_to_string(folder.path().join("log")).unwrap_or_default());
    // 608 MiB of 1 GiB.
    assert_eq!(prometheus.query("tare_container_memory_working_set_bytes{container=\"shop-web-1\"} / tare_container_memory_limit_bytes"), Some(0.59375));
    assert_eq!(prometheus.query("up{job=\"tare\"}"), Some(1.0));
    // It asked for OpenMetrics and understood it: the older format has no units and no infos.
    for (family, kind, unit) in [("tare_container_cpu_time_seconds", "counter", "seconds"), ("tare_container", "info", "")] {
        let about = program::get(prometheus.address, &format!("/api/v1/metadata?metric={family}")).unwrap();
        let about: Value = serde_json::from_slice(&about.body).unwrap();
        let about = &about["data"][family][0];
        assert_eq!((about["type"].as_str(), about["unit"].as_str()), (Some(kind), Some(unit)), "{about}");
    }
}

#[test]
fn promtool_has_nothing_to_say_of_any_host_of_ours() {
    for case in crate::case::Case::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/hosts")) {
        let served = program::serve([Path::new("--replay"), &case.folder]).unwrap();
        match check_metrics(&served.metrics().unwrap()) {
            None => return println!("skipped: promtool: not installed"),
            Some(said) => assert_eq!(said, Ok(()), "{}", case.id),
        }
    }
}
