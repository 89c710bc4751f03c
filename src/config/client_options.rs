//! The command line of `evclient`. It stands here so that its man page and completions can be made of it.

use argh::{ArgsInfo, FromArgs};

/// Lists, fetches and stores the files of an evserve, or of the documents' own servers.
///
/// Alone, HOST:PORT is a menu. get and put also take several names, get also names and a folder.
/// evclient say HOST:PORT sends what is typed and prints the answers. Transfers that were cut off go on
/// where they stopped. Exit codes: 0, 1 refused, 2 wrong use, 3 connection.
#[derive(ArgsInfo, Debug, FromArgs)]
#[allow(rustdoc::broken_intra_doc_links)] // This comment is the help text.
#[argh(help_triggers("-h", "--help"))]
pub struct ClientOptions {
    /// how the server speaks: lines, joined or listed (lines)
    #[argh(option, arg_name = "DIALECT", default = "String::from(\"lines\")")]
    pub dialect: String,

    /// say it in datagrams
    #[argh(switch)]
    pub udp: bool,

    /// print the version
    #[argh(switch)]
    pub version: bool,

    /// where the server is; PORT alone is on this machine, HOST alone means port 8888
    #[argh(positional, arg_name = "HOST:PORT")]
    pub address: String,

    /// what to do: list, get NAME [LOCAL|-], put LOCAL|- [NAME], or stat NAME; without one, the menu
    #[argh(positional, arg_name = "COMMAND")]
    pub words: Vec<String>,
}
