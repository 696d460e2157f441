//! The page as its readers get it: everything of the report is in it, nothing of a stranger's text is more than text.

use std::sync::Arc;
use std::time::Duration;

use collector::identity::Key;
use collector::snapshot::{About, ContainerAbout, Role, Scope};
use regex::Regex;

use super::*;
use crate::sample;

fn published(report: Report) -> Published {
    Published { report: Arc::new(report), at: Instant::now() }
}

fn html(page: &Page, path: &str, asked: &str, published: &Published) -> String {
    let answer = page.view(path, asked, Coding::Identity, published).unwrap();
    assert_eq!(answer.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
    String::from_utf8(answer.into_body().0[0].to_vec()).unwrap()
}

fn view_of(report: Report) -> String {
    html(&Page::default(), "/", "", &published(report))
}

fn view(asked: &str) -> String {
    html(&Page::default(), "/", asked, &published(sample::report()))
}

/// The workloads in the order of their rows.
fn names(html: &str) -> Vec<String> {
    let link = Regex::new(r#"<a href="/workload\?[^"]*">([^<]*)</a>"#).unwrap();
    link.captures_iter(html).map(|found| found[1].to_owned()).collect()
}

#[test]
fn it_says_what_the_tables_say() {
    let html = view("");
    assert_eq!(names(&html), ["api", "web", "ecs-agent", "system"]);
    for words in [
        "<h1>prod · i-0a1b2c3d (m7i.large, us-east-1b, on demand)</h1>",
        "looked at <time datetime=\"2026-09-14T14:37:00Z\">14:37:00 UTC</time>",
        "<strong>0.1008 $/h</strong>",
        "<strong class=\"alarm\">160 %!</strong>",
        "throttled in 31 % of its periods",
        "uses more CPU than it asked for: Fargate would throttle it at 0.25",
        "1.2 / 8.4 MB/s",
        "<td class=\"num\">0.10080</td>",
        "not seen: ",
    ] {
        assert!(html.contains(words), "{words} is not in {html}");
    }
}

#[test]
fn what_is_shown_of_the_money_adds_up_and_packed_is_the_same() {
    let (page, published) = (Page::default(), published(sample::report()));
    let html = html(&page, "/", "", &published);
    let cell = Regex::new(r#"<td class="num(?: wide)?">(0\.[0-9]{5})</td>"#).unwrap();
    let shown: Vec<i64> = cell.captures_iter(&html).map(|found| found[1].replace('.', "").parse().unwrap()).collect();
    // Two figures a row: now and with idle; idle has one; the machine has it twice.
    let (machine, rows) = shown.split_last().map(|(last, rest)| (*last, &rest[..rest.len() - 1])).unwrap();
    let (idle, rows) = rows.split_last().unwrap();
    assert_eq!(rows.len(), 8, "{shown:?}");
    assert_eq!(rows.iter().step_by(2).sum::<i64>() + idle, machine);
    assert_eq!(rows.iter().skip(1).step_by(2).sum::<i64>(), machine);
    assert!(!html.contains("could be charged"));
    let mut report = sample::report();
    report.workloads[0].cost.now = None;
    assert!(view_of(report).contains("not every workload could be charged"));
    let packed = page.view("/", "", Coding::Gzip, &published).unwrap();
    assert_eq!(
        (&packed.headers()[header::CONTENT_ENCODING], &packed.headers()[header::VARY]),
        (&HeaderValue::from_static("gzip"), &HeaderValue::from_static("Accept-Encoding"))
    );
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed.into_body().0.concat()[..]), &mut text).unwrap();
    assert!(text == html);
}

#[test]
fn rows_are_sorted_and_filtered_by_the_address() {
    for (asked, expected) in [
        ("sort=name", &["api", "ecs-agent", "system", "web"][..]),
        ("sort=-name", &["web", "system", "ecs-agent", "api"]),
        ("sort=cpu", &["api", "web", "system", "ecs-agent"]),
        ("sort=-cpu", &["ecs-agent", "system", "web", "api"]),
        // Who has no equivalent stands last, whichever way round.
        ("sort=fargate", &["web", "api", "ecs-agent", "system"]),
        ("sort=-fargate", &["api", "web", "ecs-agent", "system"]),
        ("sort=restarts", &["api", "ecs-agent", "web", "system"]),
        ("sort=nonsense", &["api", "web", "ecs-agent", "system"]),
        ("q=ENVOY", &["web"]),
        ("q=nobody+here", &[]),
    ] {
        assert_eq!(names(&view(asked)), expected, "{asked}");
    }
    assert!(view("sort=-cpu").contains("aria-sort=\"ascending\"><a href=\"/?sort=cpu\">CPU</a>"));
    assert!(view("sort=-%3Cb%3E").contains("“sort=-&lt;b&gt;” in the address means nothing here: sort is one of name, cpu,"), "an unknown word is said");
    assert!(!view("sort=cpu&q=x&all=1").contains("means nothing here"));
    assert!(view("q=%3Cb%3E").contains("nothing here has “&lt;b&gt;”"), "what was asked is text, too");
}

#[test]
fn a_workload_has_its_own_page_with_its_cost_worked_out() {
    let (page, published) = (Page::default(), published(sample::report()));
    let html = html(&page, "/workload", "task=7f3ac0de00000000000000000000aaaa", &published);
    assert!(html.contains("0.50 vCPU x 0.034892 $ = 0.017446 $/h"), "{html}");
    assert!(html.contains("asked 1.00 GiB") && html.contains("envoy") && html.contains("<svg class=\"chart\""), "{html}");
    assert!(page.view("/workload", "task=nobody", Coding::Identity, &published).is_none());
    assert!(page.view("/workload", "", Coding::Identity, &published).is_none());
}

#[test]
fn the_platform_s_own_containers_are_shown_when_something_is_wrong_with_them() {
    let mut report = sample::report();
    let web = report.workloads.iter_mut().find(|row| &*row.seen.about.name == "web").unwrap();
    web.containers[1].seen.about = Arc::new(ContainerAbout { role: Role::Pause, ..(*web.containers[1].seen.about).clone() });
    let of = |report: &Report| html(&Page::default(), "/workload", "task=7f3ac0de00000000000000000000aaaa", &published(report.clone()));
    let well = of(&report);
    assert!(!well.contains("envoy") && well.contains("Its containers, without 1 of the platform’s own"), "{well}");
    report.workloads.iter_mut().find(|row| &*row.seen.about.name == "web").unwrap().containers[1].warnings.push("restarting".into());
    let ill = of(&report);
    assert!(ill.contains("envoy") && !ill.contains("without"), "{ill}");
}

#[test]
fn a_task_whose_machine_has_no_price_shows_its_own() {
    let mut report = sample::report();
    report.host.cost = Default::default();
    report.scope = Scope::Task;
    report.workloads.retain(|row| &*row.seen.about.name == "web");
    let html = view_of(report.clone());
    assert!(html.contains("Now $/h") && html.contains("<td class=\"num\">0.02132</td>") && !html.contains("with idle"), "{html}");
    assert!(html.contains("<span class=\"muted\">7f3a…</span>"), "{html}");
    report.workloads.iter_mut().for_each(|row| row.cost.now = None);
    assert!(!view_of(report).contains("Now $/h"), "no column for what is not known");
}

#[test]
fn names_are_text_whatever_is_in_them() {
    const EVIL: &str = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(1)>";
    let mut report = sample::report();
    report.cluster = Some(EVIL.into());
    report.workloads.iter_mut().for_each(|row| {
        row.warnings.push(EVIL.into());
        row.seen.about = Arc::new(About { name: EVIL.into(), ..(*row.seen.about).clone() });
        row.containers
            .iter_mut()
            .for_each(|one| one.seen.about = Arc::new(ContainerAbout { name: Some(EVIL.into()), image: Some(EVIL.into()), ..(*one.seen.about).clone() }));
    });
    report.gaps.iter_mut().for_each(|gap| gap.why = EVIL.into());
    let (page, published) = (Page::default(), published(report));
    for (path, asked) in [("/", ""), ("/workload", "task=7f3ac0de00000000000000000000aaaa")] {
        let html = html(&page, path, asked, &published);
        assert!(html.contains("&lt;img") && !html.contains("<img"), "{html}");
        is_strict(&html);
    }
    is_strict(&view(""));
}

/// No script, style or handler in the page itself, and nothing from elsewhere: what the policy forbids is not tried.
fn is_strict(html: &str) {
    assert_eq!(html.matches("<script").count(), 1, "{html}");
    assert!(html.contains(&format!("<script src=\"/tare.js{}\" defer></script>", edition())));
    for forbidden in [r#"(?:src|href|action)="(?:https?:|//)"#, r#"="javascript:"#] {
        assert!(!Regex::new(forbidden).unwrap().is_match(html), "{forbidden} is in {html}");
    }
    // What stands between quotes is a value, whatever it looks like.
    let bare = Regex::new(r#""[^"]*""#).unwrap().replace_all(html, "\"\"");
    for forbidden in ["<style", r"<[^>]* style=", r"<[^>]* on[a-z]+="] {
        assert!(!Regex::new(forbidden).unwrap().is_match(&bare), "{forbidden} is in {bare}");
    }
}

#[test]
fn a_host_without_a_price_or_without_anything_says_so() {
    let mut report = sample::report();
    report.host.cost = Default::default();
    report.host.cost.why_no_price = Some("not EC2: set host.instance_type".into());
    let html = html(&Page::default(), "/", "", &published(report.clone()));
    assert!(html.contains("price of this machine unknown: not EC2: set host.instance_type") && !html.contains("Now $/h"), "{html}");
    let mut sold = report.clone();
    sold.scope = collector::snapshot::Scope::Task;
    let task = collector::snapshot::Task { launch: Some(collector::snapshot::Launch::Fargate), ..Default::default() };
    Arc::make_mut(&mut sold.workloads[0].seen.about).task = Some(Arc::new(task));
    assert!(!super::tests::html(&Page::default(), "/", "", &published(sold)).contains("price of this machine"));
    report.workloads.clear();
    assert!(super::tests::html(&Page::default(), "/", "", &published(report)).contains("nothing to show"));
    assert_eq!(empty(StatusCode::NOT_FOUND, "gone").status(), StatusCode::NOT_FOUND);
}

#[test]
fn views_are_made_once_and_only_a_few_are_kept() {
    let (page, first) = (Page::default(), published(sample::report()));
    let at = |asked: &str, published: &Published| page.view("/", asked, Coding::Identity, published).unwrap().into_body().0[0].as_ptr();
    assert_eq!(at("sort=cpu", &first), at("sort=cpu&q=", &first), "one view, however it is asked for");
    at("sort=cpu&x=1", &first);
    assert_eq!(page.locked().views.len(), 1, "what says that it passed something over is not kept");
    for n in 0..100 {
        at(&format!("q={n}"), &first);
    }
    assert_eq!(page.locked().views.len(), VIEWS);
    let second = Published { at: first.at + Duration::from_secs(1), ..first.clone() };
    at("", &second);
    assert_eq!(page.locked().views.len(), 1, "views of an older report are dropped");
}

#[test]
fn the_charts_remember_so_many_looks_and_forget_who_is_gone() {
    let (page, mut report) = (Page::default(), sample::report());
    let start = Instant::now();
    let look = |n: u64, report: &Report| Published { report: Arc::new(report.clone()), at: start + Duration::from_secs(n) };
    for n in 0..100 {
        page.add(&look(n, &report));
        page.add(&look(n, &report));
    }
    let key = report.workloads[0].seen.about.key.clone();
    assert_eq!(page.locked().history.of(&key).count(), history::KEPT);
    report.workloads.retain(|row| row.seen.about.key == Key::System);
    page.add(&look(100, &report));
    let history = &page.locked().history;
    assert_eq!((history.of(&key).count(), history.of(&Key::System).count()), (0, history::KEPT));
}
