//! Measuring against answers of old and new daemons, and against daemons that take for ever.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::sources::docker::tests::fake::{Daemon, Fault};

const ID: &str = "3d1d9521b26e77f4fa2b9401be3fd84f09dac9c9554d1f28e0ddf61c6f3075e5";
const PATIENT: Duration = Duration::from_secs(20);

fn layer(written: impl Into<Option<u64>>, image: impl Into<Option<u64>>) -> Layer {
    Layer { written: written.into().map(Bytes), image: image.into().map(Bytes) }
}

fn volume(name: &str, size: impl Into<Option<u64>>, users: impl Into<Option<u64>>) -> Volume {
    Volume { name: name.into(), driver: Some("local".into()), size: size.into().map(Bytes), users: users.into() }
}

#[test]
fn a_row_says_what_was_written_and_what_lies_below() {
    for (row, said) in [
        (json!({"SizeRw": 12288, "SizeRootFs": 1012288}), Some(layer(12288, 1_000_000))),
        // A zero is left out by most daemons, and told by others.
        (json!({"SizeRootFs": 1_000_000}), Some(layer(0, 1_000_000))),
        (json!({"SizeRw": 0, "SizeRootFs": 1_000_000}), Some(layer(0, 1_000_000))),
        (json!({"SizeRw": null, "SizeRootFs": 7}), Some(layer(0, 7))),
        // An empty image.
        (json!({"SizeRw": 5, "SizeRootFs": 5}), Some(layer(5, 0))),
        // Not known to the daemon.
        (json!({"SizeRw": -1, "SizeRootFs": 1_000_000}), Some(layer(None, 1_000_000))),
        (json!({"SizeRw": -1, "SizeRootFs": -1}), None),
        (json!({"SizeRootFs": -1}), None),
        (json!({}), None),
        // Odd.
        (json!({"SizeRw": "many", "SizeRootFs": 9}), Some(layer(None, 9))),
        (json!({"SizeRw": 9, "SizeRootFs": 3}), Some(layer(9, None))),
        (json!({"SizeRw": 9}), Some(layer(9, None))),
    ] {
        let mut row = row;
        row["Id"] = ID.into();
        let said: Vec<_> = said.into_iter().map(|layer| (ContainerId::from(ID), layer)).collect();
        assert_eq!(layers(json!([row, {"Id": "../x", "SizeRw": 1}, null, 7]).to_string().as_bytes()).unwrap(), said, "{row}");
    }
    assert_eq!(layers(b"[]").unwrap(), []);
    assert!(layers(b"{}").unwrap_err().contains("; fix: ") && layers(b"[{").is_err());
}

fn row(name: &str, size: i64, users: i64) -> Value {
    json!({"Name": name, "Driver": "local", "Mountpoint": "/x", "Labels": null, "Options": null, "UsageData": {"Size": size, "RefCount": users}})
}

#[test]
fn volumes_are_listed_in_the_shapes_of_old_and_new_daemons() {
    let rows = || json!([row("b", 4096, 2), row("a", -1, -1), row("c", 0, 0), {"Name": "d", "UsageData": null}, {"Driver": "local"}, null]);
    let bare = Volume { name: "d".into(), driver: None, size: None, users: None };
    let all = vec![volume("a", None, None), volume("b", 4096, 2), volume("c", 0, 0), bare];
    for (what, answer, said) in [
        ("1.41", json!({"LayersSize": 1, "Images": [], "Containers": [{"Id": ID}], "Volumes": rows(), "BuildCache": null, "BuilderSize": 0}), &all[..]),
        ("1.45, volumes alone", json!({"LayersSize": 0, "Images": null, "Containers": null, "Volumes": rows(), "BuildCache": null}), &all),
        ("1.52, verbose", json!({"VolumeUsage": {"ActiveCount": 1, "Items": rows(), "TotalCount": 4, "TotalSize": 4096}}), &all),
        ("none, old", json!({"Volumes": null}), &[]),
        ("none, older", json!({"Volumes": []}), &[]),
        ("none, new", json!({"VolumeUsage": {"TotalCount": 0}}), &[]),
        ("none at all", json!({}), &[]),
    ] {
        assert_eq!(volumes(answer.to_string().as_bytes()), Ok(Volumes { held: said.to_vec(), more: 0 }), "{what}");
    }
    assert!(volumes(json!({"VolumeUsage": {"TotalCount": 3}}).to_string().as_bytes()).is_err(), "counted, not listed");
    assert!(volumes(b"[]").is_err() && volumes(br#"{"Volumes": 7}"#).is_err());
    let many: Vec<Value> = (0..MOST_VOLUMES + 3).map(|at| row(&format!("{at:04}"), at as i64, 0)).collect();
    let Volumes { held, more } = volumes(json!({"Volumes": many}).to_string().as_bytes()).unwrap();
    assert_eq!((held.len(), more, &*held[0].name), (MOST_VOLUMES, 3, "0003"), "the largest are kept");
}

proptest! {
    #[test]
    fn what_docker_adds_up_comes_apart_again(written in 0..1_u64 << 62, image in 0..1_u64 << 62) {
        let mut row = json!({"Id": ID, "SizeRootFs": written + image});
        if written > 0 {
            row["SizeRw"] = written.into();
        }
        prop_assert_eq!(layers(json!([row]).to_string().as_bytes()).unwrap(), [(ContainerId::from(ID), layer(written, image))]);
    }

    #[test]
    fn measuring_takes_a_share_of_the_time_at_most(every in 60_u64..86_400, busy in 0_u64..600, failures in 0_u32..2000) {
        let (every, busy) = (Duration::from_secs(every), Duration::from_secs(busy));
        let pause_of = |failures| pause(every, busy, failures, BUDGET.rest);
        prop_assert!(pause_of(failures) >= busy * BUDGET.rest);
        prop_assert!(pause_of(failures) + busy >= every.mul_f64(0.9));
        prop_assert!(pause_of(failures) <= pause_of(failures + 1) && pause_of(failures) <= LONGEST, "ever more rarely, yet every day");
    }
}

fn sizes(path: &std::path::Path, budget: Budget) -> DockerSizes {
    let mut sizes = DockerSizes::new(Address::Unix(path.into()), Clock::Real, Duration::from_secs(900));
    sizes.budget = budget;
    sizes
}

async fn read(sizes: &mut DockerSizes) -> Reading {
    sizes.read(Instant::now() + PATIENT).await
}

fn told(reading: &Reading) -> &Sizes {
    let Some(Told::Sizes(sizes)) = &reading.told else { panic!("{reading:?}") };
    sizes
}

fn daemon(folder: &tempfile::TempDir) -> (std::path::PathBuf, Daemon) {
    let path = folder.path().join("docker.sock");
    let daemon = Daemon::start(&path);
    daemon.put(json!({"Id": ID, "Names": ["/web"], "State": "running", "SizeRw": 4096, "SizeRootFs": 5096}), json!({}));
    daemon.fault("/system/df", Some(Fault::Body(json!({"Volumes": [row("data", 7, 1)]}).to_string())));
    (path, daemon)
}

#[tokio::test]
async fn it_measures_once_and_rests() {
    let folder = tempfile::tempdir().unwrap();
    let (path, daemon) = daemon(&folder);
    let mut sizes = sizes(&path, Budget { wait: PATIENT, ..BUDGET });
    let first = read(&mut sizes).await;
    assert_eq!(first.gaps, []);
    assert_eq!(told(&first).layer(&ID.into()).map(|seen| seen.is), Some(layer(4096, 1000)));
    assert_eq!(told(&first).layer(&"a1".into()), None);
    assert_eq!(told(&first).volumes.as_ref().map(|seen| seen.is.to_vec()), Some(vec![volume("data", 7, 1)]));
    assert_eq!(daemon.asked(), ["/version", "/v1.45/containers/json?size=1", "/v1.45/system/df?type=volume&verbose=1"]);
    let again = read(&mut sizes).await;
    assert_eq!((again.at, told(&again)), (first.at, told(&first)), "what is known is told with its age");
    assert_eq!(daemon.asked(), Vec::<String>::new());
    assert!(sizes.rest.unwrap() > Instant::now() + Duration::from_secs(700), "the pace is its own, not the look's");
}

#[tokio::test]
async fn a_look_waits_for_nothing_and_there_is_one_question_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (path, daemon) = daemon(&folder);
    daemon.fault("/containers/json", Some(Fault::Hang));
    let mut sizes = sizes(&path, BUDGET);
    let (started, mut asked, mut looks) = (Instant::now(), Vec::new(), 0);
    // Until the question that hangs has been asked, and a while longer.
    while looks < 100 {
        let reading = read(&mut sizes).await;
        assert!(reading.told.is_none() && reading.gaps.is_empty(), "{reading:?}");
        asked.extend(daemon.asked());
        looks += usize::from(asked.len() > 1);
        assert!(started.elapsed() < PATIENT, "{asked:?}");
        tokio::task::yield_now().await;
    }
    assert_eq!(asked, ["/version", "/v1.45/containers/json?size=1"]);
}

#[tokio::test]
async fn a_daemon_that_does_not_finish_is_a_gap_and_keeps_its_last_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (path, daemon) = daemon(&folder);
    let mut sizes = sizes(&path, Budget { wait: PATIENT, ..BUDGET });
    let first = read(&mut sizes).await;
    daemon.fault("/containers/json", Some(Fault::Hang));
    sizes.budget.patience = Duration::from_millis(300);
    let mut pauses = Vec::new();
    for _ in 0..3 {
        sizes.rest = None;
        let late = read(&mut sizes).await;
        assert_eq!(told(&late).layers, told(&first).layers);
        let [gap] = &late.gaps[..] else { panic!("one gap: {:?}", late.gaps) };
        assert!(&*gap.what == "sizes" && gap.why.contains("still measuring") && gap.why.contains("; fix: "), "{gap:?}");
        pauses.push(sizes.rest.unwrap().saturating_duration_since(Instant::now()).as_secs() / 100);
    }
    assert!(pauses[1] > pauses[0] && pauses[2] > pauses[1], "ever more rarely: {pauses:?}");
    daemon.fault("/containers/json", None);
    (sizes.rest, sizes.budget.patience) = (None, PATIENT);
    assert_eq!(read(&mut sizes).await.gaps, []);
    assert_eq!(sizes.failures, 0);
}

#[tokio::test]
async fn each_part_is_known_on_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (path, daemon) = daemon(&folder);
    daemon.fault("/system/df", Some(Fault::Status(500, json!({"message": "a disk usage operation is already running"}).to_string())));
    let mut sizes = sizes(&path, Budget { wait: PATIENT, ..BUDGET });
    let reading = read(&mut sizes).await;
    assert!(told(&reading).layers.is_some() && told(&reading).volumes.is_none());
    assert!(reading.gaps[0].why.starts_with("the size of volumes") && reading.gaps[0].why.contains("already running"), "{:?}", reading.gaps);
}

#[tokio::test]
async fn a_daemon_that_is_away_is_said_by_another() {
    let folder = tempfile::tempdir().unwrap();
    let mut sizes = sizes(&folder.path().join("none.sock"), Budget { wait: PATIENT, ..BUDGET });
    let reading = read(&mut sizes).await;
    assert!(reading.told.is_none() && reading.gaps.is_empty());
    assert!(sizes.rest.unwrap() <= Instant::now() + AWAY);
}
