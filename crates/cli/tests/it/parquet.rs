//! Parquet files as lists. pyarrow wrote these files (`tests/parquet/make`). They have two row groups.

use crate::common::{Place, events};
use crate::list_forms::{SIZE, put};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;

/// The files, each with its name.
const FILES: [(&str, &[u8]); 3] = [
    ("snappy.parquet", include_bytes!("../parquet/snappy.parquet")),
    ("zstd.parquet", include_bytes!("../parquet/zstd.parquet")),
    ("none", include_bytes!("../parquet/none.parquet")),
];

#[test]
fn a_parquet_file_is_a_list() {
    let server = Server::start();
    for name in ["a", "b", "c"] {
        put(&server, name);
    }
    let replace = format!("https://files.example/={}", server.url(""));
    let args = ["-d", "out", "--replace", &replace, "--columns", "priority=n", "--progress", "json"];
    for (name, list) in FILES {
        let place = Place::new();
        place.write(name, list);
        let out = place.run(&[&["-i", name], &args[..]].concat());
        for (path, name) in [("out/x", "a"), ("out/b", "b"), ("out/c", "c")] {
            place.assert_exact(&out, path, &content(name, SIZE));
        }
        assert!(out.stderr.contains("1 row of the list") && out.stderr.contains("no URL"), "{}", out.stderr);
        let of_kind =
            |kind: &str| events(&out).into_iter().filter(|event| event["kind"] == kind).collect::<Vec<_>>();
        let queued = of_kind("queued");
        let first = &queued.iter().find(|event| event["extra"]["id"] == 1).expect("a row")["extra"];
        assert_eq!(
            (&first["score"], &first["ok"], &first["size"]),
            (&0.5.into(), &true.into(), &1000.into())
        );
        assert!(first.get("image").is_none() && first.get("embedding").is_none(), "{first}");
        let checked =
            of_kind("finished").iter().filter(|event| event.to_string().contains("sha-256")).count();
        assert_eq!(checked, 2, "{}", out.stderr);
    }
}

#[test]
fn a_parquet_file_that_cannot_be_used_is_refused() {
    let server = Server::start();
    let (_, list) = FILES[0];
    let place = Place::new();
    place.write("cut.parquet", &list[..list.len() - 9]);
    let out = place.run(&["-i", "cut.parquet"]);
    assert!(out.status == 2 && out.stderr.contains("the list cut.parquet cannot be read"), "{}", out.stderr);
    place.write("list.parquet", list);
    let out = place.run(&["-i", "list.parquet", "--columns", "url=url"]);
    assert!(
        out.status == 2 && out.stderr.contains("there is no column `url`. The columns are: id, Link"),
        "{}",
        out.stderr
    );
    // A Parquet file is read from its end, so it must be on the disk.
    let fetched = server.put("/d/list.parquet", list);
    for out in [place.run(&["-i", &fetched]), place.run_with(&["-i", "-"], list)] {
        assert!(
            out.status != 0 && out.stderr.contains("a Parquet file must be on the disk"),
            "{}",
            out.stderr
        );
    }
}
