//! Whether the virtual environments of legacy nodes are made well, and what is said where there is no Python.

use crate::python::{Version, find, left_out, make, root};

#[tokio::test]
async fn without_python_the_failure_says_what_to_install_or_to_set() {
    let why = find(&["no-such-python"]).await.unwrap_err();
    assert!(
        why.contains("no-such-python") && why.contains("python3-venv") && why.contains("KAD_SKIP_INTEROP=1"),
        "{why}"
    );
}

#[tokio::test]
async fn a_half_made_environment_is_made_anew_and_only_once_however_many_race() {
    if left_out() {
        return;
    }
    let folder = root().join("raced");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join("bin")).unwrap();
    std::fs::write(folder.join("bin/python"), "half a file").unwrap();

    let racers: Vec<_> = (0..3)
        .map(|_| {
            let folder = folder.clone();
            tokio::spawn(async move { make(&folder, Version::V1_0_0).await })
        })
        .collect();
    let mut made = 0;
    for racer in racers {
        let (interpreter, by_this_one) = racer.await.unwrap().unwrap_or_else(|why| panic!("{why}"));
        assert!(interpreter.exists());
        made += usize::from(by_this_one);
    }
    assert_eq!(made, 1);
}
