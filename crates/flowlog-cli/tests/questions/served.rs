//! The page that `serve` shows, to this machine only.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;

use super::{answer, command, day, printed};

fn get(address: &str, path: &str, host: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn the_page_is_served_to_this_machine_only() {
    let folder = day();
    let page = folder.path().join("page.html");
    printed(&mut command(folder.path(), &["report", "--store", "s.db", "-o", "page.html"]));
    let numbers =
        printed(&mut command(folder.path(), &["report", "--store", "s.db", "--format", "json"]));
    let mut serving = command(folder.path(), &["serve", "--store", "s.db", "--port", "0"]);
    let mut serving = serving.stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(serving.stderr.take().unwrap()).read_line(&mut first).unwrap();
    let address = first.split("http://").nth(1).and_then(|rest| rest.split(' ').next());
    let address = address.unwrap_or_else(|| panic!("{first}")).to_owned();
    assert!(address.starts_with("127.0.0.1:"), "{address}");

    let found = get(&address, "/", &address);
    let (head, body) = found.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("cache-control: no-store"), "{head}");
    // Unless it is asked for: a reload loses what somebody types, opened and had the focus on.
    assert!(!head.contains("refresh"), "{head}");
    let kept = std::fs::read_to_string(&page).unwrap();
    let [served, kept] = [body, &kept].map(|page| {
        let (before, after) = page.split_once("\"made\":").unwrap();
        before.to_owned() + after.trim_start_matches(|c: char| c.is_ascii_digit())
    });
    assert!(served.contains(&kept), "the same page");
    let found = get(&address, "/report.json", &address);
    let (_, found) = found.split_once("\r\n\r\n").unwrap();
    assert_eq!(answer(found), answer(&numbers));
    let rebound = get(&address, "/", "attacker.example");
    assert!(rebound.starts_with("HTTP/1.1 403"), "{rebound}");
    // A page of another site that frames, embeds or fetches this one.
    for header in [
        "content-security-policy: frame-ancestors 'none'",
        "cross-origin-resource-policy: same-origin",
    ] {
        assert!(head.contains(header), "{head}");
    }
    for (site, status) in
        [("none", 200), ("same-origin", 200), ("same-site", 403), ("cross-site", 403)]
    {
        let found = get(&address, "/report.json", &format!("{address}\r\nSec-Fetch-Site: {site}"));
        assert!(found.starts_with(&format!("HTTP/1.1 {status}")), "{site}: {found}");
    }
    #[cfg(target_os = "linux")]
    assert_eq!(
        listening(serving.id()).len(),
        1,
        "and nothing beside it: the database is in the process"
    );
    serving.kill().unwrap();
    serving.wait().unwrap();
}

/// The sockets on which a process listens.
#[cfg(target_os = "linux")]
fn listening(process: u32) -> Vec<String> {
    let fds = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let links = fds.filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok());
    let links: Vec<_> = links.map(|link| link.to_string_lossy().into_owned()).collect();
    let tables = ["tcp", "tcp6"].map(|table| {
        std::fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default()
    });
    let sockets = tables.iter().flat_map(|table| table.lines().skip(1));
    let sockets = sockets.filter(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        // State 0A is LISTEN.
        fields[3] == "0A" && links.contains(&format!("socket:[{}]", fields[9]))
    });
    sockets.map(str::to_owned).collect()
}
