//! The files of the corpus: one folder for each target, one file for each input, called by what is in it.

use std::path::{Path, PathBuf};

use kademlia_dynamic::Codec;
use sha1::{Digest, Sha1};

/// A test that has inputs to give writes them where this says, if it is set: `KAD_CORPUS=fuzz/corpus cargo test …`.
const GIVE: &str = "KAD_CORPUS";
/// Longer inputs are left out: what matters in them is in shorter ones too.
const MAX_INPUT: usize = 2_500;

/// Gives `datagrams` of `codec` to the corpus, if it is being made: to the decoder's, and some to the node's.
pub(crate) fn give<'a>(codec: Codec, datagrams: impl IntoIterator<Item = &'a [u8]>) {
    let Some(folder) = std::env::var_os(GIVE).map(PathBuf::from) else { return };
    // As an argument of cargo it is meant from the package's folder.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    for datagram in datagrams.into_iter().filter(|datagram| datagram.len() <= MAX_INPUT) {
        keep(&folder, codec.name(), datagram);
        if content_name(datagram).ends_with(['0', '5', 'a']) {
            keep(&folder, "node", &for_a_node(codec, datagram));
        }
    }
}

/// A datagram as the target `node` takes it: behind the number of the codec.
pub(crate) fn for_a_node(codec: Codec, datagram: &[u8]) -> Vec<u8> {
    let number = Codec::ALL.iter().position(|other| *other == codec).expect("one of all");
    [&[number as u8], datagram].concat()
}

/// Keeps `input` for `target` in the corpus at `folder`.
pub(crate) fn keep(folder: &Path, target: &str, input: &[u8]) {
    let folder = folder.join(target);
    let name = content_name(input);
    let kept = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(folder.join(name), input));
    kept.expect("a corpus to write to");
}

/// The SHA-1 of the content in hex, as libFuzzer calls its files.
pub(crate) fn content_name(input: &[u8]) -> String {
    Sha1::digest(input).iter().map(|byte| format!("{byte:02x}")).collect()
}
