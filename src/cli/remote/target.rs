//! Which node a command asks, and which token it sends. A token goes only to an address that the user has named with it, or to the
//! node whose folder it came from.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::url::NodeUrl;
use crate::cli::args::remote::Remote;
use crate::cli::data_dir;
use crate::cli::failure::{Exit, Failure};
use crate::cli::http::settings::DEFAULT_HTTP;
use crate::cli::http::token_file::{ADDRESS_FILE, Left};
use crate::gateway::Token;

/// The variable for `--node`.
const URL: &str = "KAD_HTTP";
/// The variable for the token.
const TOKEN: &str = "KAD_HTTP_TOKEN";
/// The variable for `--data-dir`: it is the one of `kad node`.
const DATA_DIR: &str = "KAD_NODE_DATA_DIR";

/// A node, and what it is sent.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) url: NodeUrl,
    pub(super) token: Option<Token>,
    /// Why a token that is there is not sent.
    pub(super) withheld: Option<String>,
}

impl Target {
    /// What the options and the environment name.
    pub(super) fn of(remote: &Remote) -> Result<Self, Failure> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self::of_environment(remote, variable, || Left::all(data_dir::home().as_deref(), variable))
    }

    /// The same with this environment. `known` is what nodes of this user have left in their folders.
    fn of_environment(
        remote: &Remote,
        variable: impl Fn(&str) -> Option<OsString>,
        known: impl FnOnce() -> Vec<Left>,
    ) -> Result<Self, Failure> {
        let folder = remote.data_dir.clone();
        let url = match (&remote.node, &folder) {
            (Some(url), _) => Some(url.clone()),
            (None, Some(_)) => None,
            (None, None) => variable(URL).map(|text| parse(&text.to_string_lossy(), URL)).transpose()?,
        };
        let named = token_of_user(remote, &variable)?;
        match (url, folder.or_else(|| variable(DATA_DIR).map(PathBuf::from))) {
            (Some(url), _) if named.is_some() => Ok(Self { url, token: named, withheld: None }),
            (Some(url), Some(folder)) => Self::with_left(url, left_in(&folder).into_iter().collect(), Some(&folder)),
            (Some(url), None) => Self::with_left(url, known(), None),
            (None, Some(folder)) => {
                let left = left_in(&folder)?;
                let url = parse(&left.url, &folder.join(ADDRESS_FILE).display().to_string())?;
                Ok(Self { url, token: Some(left.token), withheld: None })
            }
            (None, None) => {
                let url = parse(&format!("http://{DEFAULT_HTTP}"), "the default")?;
                let mut target = Self::with_left(url, known(), None)?;
                if named.is_some() && target.token.is_none() {
                    let text =
                        format!("the token that you gave is sent only to a node that is named: --node {}", target.url);
                    target.withheld = Some(text);
                }
                Ok(target)
            }
        }
    }

    /// The node at `url`, with the token that one of `left` has for it.
    fn with_left(url: NodeUrl, left: Vec<Left>, folder: Option<&Path>) -> Result<Self, Failure> {
        let addressed = |left: &Left| left.url.parse::<NodeUrl>().is_ok_and(|of| of.is_same_server(&url));
        let token = left.iter().find(|left| addressed(left)).map(|left| left.token.clone());
        let withheld = match (&token, folder, left.first()) {
            (None, Some(folder), Some(other)) => {
                Some(format!("the token in {} is for {}, and is sent nowhere else", folder.display(), other.url))
            }
            _ => None,
        };
        Ok(Self { url, token, withheld })
    }
}

fn parse(text: &str, place: &str) -> Result<NodeUrl, Failure> {
    text.parse().map_err(|error| Failure::new(Exit::CONFIGURATION, format!("in {place}: {text:?}: {error}")))
}

/// The token of `--http-token-file`, or of the environment.
fn token_of_user(remote: &Remote, variable: impl Fn(&str) -> Option<OsString>) -> Result<Option<Token>, Failure> {
    let (text, place) = match (&remote.http_token_file, variable(TOKEN)) {
        (Some(path), _) => {
            let cannot = Failure::of(Exit::NO_INPUT, format!("cannot read {}", path.display()));
            (std::fs::read_to_string(path).map_err(cannot)?, path.display().to_string())
        }
        (None, Some(text)) => (text.to_string_lossy().into_owned(), TOKEN.to_owned()),
        (None, None) => return Ok(None),
    };
    let wrong = |why| Failure::new(Exit::CONFIGURATION, format!("in {place}: {why}"));
    Token::read(&text).map(Some).map_err(wrong)
}

fn left_in(folder: &Path) -> Result<Left, Failure> {
    Left::in_folder(folder).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::new(
            Exit::UNAVAILABLE,
            format!(
                "no node with the folder {} serves HTTP: {error}\n\
                 Is it running, and without --no-http? --node URL names one by its address.",
                folder.display()
            ),
        ),
        ErrorKind::PermissionDenied => Failure::new(
            Exit::NO_INPUT,
            format!("cannot read {error}\nRun this as the user of the node: sudo -u USER kad …"),
        ),
        _ => Failure::new(Exit::NO_INPUT, format!("cannot read {error}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::http::token_file::TokenFile;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        remote: Remote,
    }

    const A: &str = "token-of-the-node-a";
    const B: &str = "token-of-the-user-b";

    fn left(url: &str) -> Left {
        Left { token: Token::read(A).unwrap(), url: url.to_owned() }
    }

    /// With these options, this environment, and what is known of nodes.
    fn target(args: &[&str], environment: &[(&str, &str)], known: Vec<Left>) -> Result<Target, Failure> {
        let Line { remote } = Line::try_parse_from([&["kad"], args].concat()).unwrap();
        let variable =
            |name: &str| environment.iter().find(|(set, _)| *set == name).map(|(_, value)| OsString::from(value));
        Target::of_environment(&remote, variable, || known)
    }

    fn sent(target: &Target) -> (String, Option<&str>) {
        (target.url.to_string(), target.token.as_ref().map(Token::reveal))
    }

    #[test]
    fn a_token_of_a_folder_goes_to_the_address_beside_it_and_nowhere_else() {
        let url = "http://127.0.0.1:8420/";
        assert_eq!(sent(&target(&[], &[], vec![left(url)]).unwrap()), (url.to_owned(), Some(A)));
        assert_eq!(sent(&target(&["--node", url], &[], vec![left(url)]).unwrap()), (url.to_owned(), Some(A)));
        for other in ["http://127.0.0.1:8421/", "http://localhost:8420/", "http://192.0.2.1:8420/"] {
            assert_eq!(sent(&target(&["--node", other], &[], vec![left(url)]).unwrap()), (other.to_owned(), None));
            assert_eq!(sent(&target(&[], &[("KAD_HTTP", other)], vec![left(url)]).unwrap()), (other.to_owned(), None));
        }
        assert_eq!(sent(&target(&[], &[], vec![left("http://127.0.0.1:9/")]).unwrap()), (url.to_owned(), None));
    }

    #[test]
    fn a_folder_names_its_node_and_its_token_is_for_that_one_whatever_else_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (addr, token) = ("127.0.0.1:4711".parse().unwrap(), Token::read(A).unwrap());
        let _running = TokenFile::write(Some(dir.path()), addr, "http://127.0.0.1:4711/", &token).unwrap();
        let folder = dir.path().to_str().unwrap();
        let own = ("http://127.0.0.1:4711/".to_owned(), Some(A));
        assert_eq!(sent(&target(&["--data-dir", folder], &[], Vec::new()).unwrap()), own);
        assert_eq!(sent(&target(&[], &[("KAD_NODE_DATA_DIR", folder)], Vec::new()).unwrap()), own);
        let environment = [("KAD_HTTP", "http://127.0.0.1:1/"), ("KAD_HTTP_TOKEN", B)];
        assert_eq!(sent(&target(&["--data-dir", folder], &environment, Vec::new()).unwrap()), own);
        let other = target(&["--data-dir", folder, "--node", "127.0.0.1:1"], &[], Vec::new()).unwrap();
        assert_eq!(sent(&other), ("http://127.0.0.1:1/".to_owned(), None));
        assert!(other.withheld.unwrap().contains("is for http://127.0.0.1:4711/"));
        std::fs::remove_file(dir.path().join("http-address")).unwrap();
        let failure = target(&["--data-dir", folder], &[], Vec::new()).unwrap_err();
        assert!(failure.exit == Exit::UNAVAILABLE && failure.to_string().contains("--no-http"), "{failure}");
    }

    #[test]
    fn a_token_of_the_user_goes_only_to_an_address_that_the_user_names() {
        let environment = [("KAD_HTTP_TOKEN", B)];
        let named = target(&["--node", "192.0.2.1:80"], &environment, Vec::new()).unwrap();
        assert_eq!(sent(&named), ("http://192.0.2.1:80/".to_owned(), Some(B)));
        let both = target(&[], &[("KAD_HTTP_TOKEN", B), ("KAD_HTTP", "192.0.2.1:80")], Vec::new()).unwrap();
        assert_eq!(sent(&both), ("http://192.0.2.1:80/".to_owned(), Some(B)));
        let unnamed = target(&[], &environment, Vec::new()).unwrap();
        assert_eq!(sent(&unnamed), ("http://127.0.0.1:8420/".to_owned(), None));
        assert!(unnamed.withheld.unwrap().contains("--node http://127.0.0.1:8420/"));
        let short = target(&["--node", "a:1"], &[("KAD_HTTP_TOKEN", "short")], Vec::new()).unwrap_err();
        assert!(short.exit == Exit::CONFIGURATION && short.to_string().contains("KAD_HTTP_TOKEN"), "{short}");
        let no_file = target(&["--node", "a:1", "--http-token-file", "/nowhere/t"], &[], Vec::new()).unwrap_err();
        assert_eq!(no_file.exit, Exit::NO_INPUT);
    }
}
