//! Programs that copy a site by its listings: wget, lftp, rclone and pip. To add one, find it with `tool`, and
//! compare the folder that it wrote with `same_files`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::process::{PROGRAM, Server, folder_in_memory, output, tool};

/// Creates a site of more than 1,000 files, with names that must be encoded in links.
fn site() -> TempDir {
    let site = folder_in_memory();
    let odd = site.path().join("a b/100% #1");
    fs::create_dir_all(&odd).unwrap();
    fs::write(odd.join("文件 & co.txt"), "odd").unwrap();
    fs::write(odd.join("a:b.txt"), "colon").unwrap();
    fs::create_dir(site.path().join("many")).unwrap();
    for number in 0..1200 {
        fs::write(site.path().join(format!("many/{number:04}.txt")), number.to_string()).unwrap();
    }
    site
}

/// Returns the contents of all files below `folder`, by path.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut folders, mut found) = (vec![folder.to_owned()], BTreeMap::new());
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            found.insert(name, fs::read(path).unwrap());
        }
    }
    found
}

/// Asserts that `copy` has the files of `original`, and no others except listings, which wget saves.
#[track_caller]
fn same_files(copy: &Path, original: &Path) {
    let mut copied = files(copy);
    copied.retain(|name, _| !name.rsplit('/').next().unwrap().starts_with("index.html"));
    let original = files(original);
    let missing: Vec<_> = original.keys().filter(|name| !copied.contains_key(*name)).collect();
    let additional: Vec<_> = copied.keys().filter(|name| !original.contains_key(*name)).collect();
    assert!(missing.is_empty() && additional.is_empty(), "missing: {missing:?}, additional: {additional:?}");
    assert!(copied == original);
}

#[test]
fn wget_lftp_and_rclone_copy_a_site_completely() {
    let original = site();
    let copy = || {
        let folder = folder_in_memory();
        // The programs keep nothing in the home of the user.
        (folder.path().join("copy"), folder)
    };
    let arguments = ["--list", "--file", "off"];
    let server = Server::spawn(Command::new(PROGRAM), original.path(), folder_in_memory(), &arguments);
    let url = format!("http://{}/", server.address);
    if let Some(wget) = tool("wget") {
        let (copy, _folder) = copy();
        let arguments =
            ["--no-config", "-q", "-r", "-np", "-nH", "-e", "robots=off", "--restrict-file-names=nocontrol"];
        output(&wget, &[&arguments[..], &["-P", copy.to_str().unwrap(), &url]].concat());
        same_files(&copy, original.path());
    }
    if let Some(lftp) = tool("lftp") {
        let (copy, folder) = copy();
        let script = format!("set cmd:fail-exit yes; open {url}; mirror --parallel=4 . {}", copy.display());
        let mut command = Command::new(lftp);
        command.env("HOME", folder.path()).env("LC_ALL", "C.UTF-8").args(["-c", &script]);
        assert!(command.stdin(Stdio::null()).status().unwrap().success());
        same_files(&copy, original.path());
    }
    if let Some(rclone) = tool("rclone") {
        let (copy, folder) = copy();
        let mut command = Command::new(rclone);
        command.env("HOME", folder.path()).args([
            "copy",
            "--config",
            "/dev/null",
            "--http-url",
            &url,
            ":http:",
        ]);
        assert!(command.arg(&copy).stderr(Stdio::null()).status().unwrap().success());
        same_files(&copy, original.path());
    }
}

#[test]
fn wget_fetches_each_file_of_the_library_once() {
    let Some(wget) = tool("wget") else { return };
    let library = folder_in_memory();
    fs::write(library.path().join("a b.txt"), "spaced").unwrap();
    fs::write(library.path().join("plain.txt"), "plain").unwrap();
    let arguments = ["--files", library.path().to_str().unwrap(), "--file", "off", "--allow-delete"];
    let server = Server::start(&arguments);
    let (url, copy) = (format!("http://{}/files/", server.address), folder_in_memory());
    let arguments = ["--no-config", "-q", "-r", "-np", "-nH", "--cut-dirs=1", "-P"];
    output(&wget, &[&arguments[..], &[copy.path().to_str().unwrap(), &url]].concat());
    same_files(copy.path(), library.path());
}

/// A package that pip can install: a zip file with the metadata of a wheel.
const WHEEL: &str = r#"
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    info = "tiny-1.0.dist-info/"
    wheel.writestr("tiny.py", "")
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "RECORD", "")
"#;

#[test]
fn pip_finds_packages_in_listings() {
    let (Some(python), Some(pip)) = (tool("python3"), tool("pip3")) else { return };
    let site = folder_in_memory();
    let wheel = site.path().join("tiny-1.0-py3-none-any.whl");
    output(&python, &["-c", WHEEL, wheel.to_str().unwrap()]);
    let path = site.path().to_str().unwrap();
    let arguments = ["--list", "--files", path, "--file", "off"];
    let server = Server::spawn(Command::new(PROGRAM), site.path(), folder_in_memory(), &arguments);
    for folder in ["", "files/"] {
        let (url, copy) = (format!("http://{}/{folder}", server.address), folder_in_memory());
        let arguments =
            ["--isolated", "download", "-q", "--no-cache-dir", "--disable-pip-version-check", "--no-deps"];
        let target = ["-d", copy.path().to_str().unwrap(), "--no-index", "--find-links", &url, "tiny"];
        output(&pip, &[&arguments[..], &target].concat());
        same_files(copy.path(), site.path());
    }
}
