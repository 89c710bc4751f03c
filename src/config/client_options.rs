//! The command line of `evclient`. It is part of the library so that the man page and the completions can be generated
//! from it.

use argh::{ArgsInfo, FromArgs};

use super::usage::CommandLine;

/// Lists, downloads and uploads the files of an evserve, or of the legacy file servers.
///
/// HOST:PORT alone opens a menu. get and put take several files. get NAME - writes to standard output, put - NAME
/// reads standard input. evclient say HOST:PORT sends lines of input and prints the replies. Interrupted transfers
/// are resumed. Exit codes: 0, 1 rejected, 2 usage error, 3 connection failed.
#[derive(ArgsInfo, Debug, FromArgs)]
#[allow(rustdoc::broken_intra_doc_links)] // This comment is the help text.
#[argh(help_triggers("-h", "--help"))]
pub struct ClientOptions {
    /// dialect of the server: lines, joined or listed (lines)
    #[argh(option, arg_name = "KIND", default = "String::from(\"lines\")")]
    pub dialect: String,

    /// get: local file, or the folder for the files
    #[argh(option, arg_name = "PATH")]
    pub to: Option<String>,

    /// put: name of the stored file
    #[argh(option, long = "as", arg_name = "NAME")]
    pub stored_as: Option<String>,

    /// say: send datagrams
    #[argh(switch)]
    pub udp: bool,

    /// connect with TLS, to evserve --file-tls; the system's certificates decide which servers are trusted
    #[argh(switch)]
    pub tls: bool,

    /// trust only the certificates in this PEM file and what they sign, such as the server's self-signed.crt
    #[argh(option, arg_name = "FILE")]
    pub ca: Option<String>,

    /// trust any server: the connection is encrypted, but anybody could be at its other end
    #[argh(switch)]
    pub insecure: bool,

    /// print the version
    #[argh(switch, short = 'V')]
    pub version: bool,

    /// address of the server, or unix:PATH; PORT alone is on this machine, HOST alone means port 8888
    #[argh(positional, arg_name = "HOST:PORT")]
    pub address: String,

    /// list, get NAME... [--to PATH], put LOCAL... [--as NAME], or stat NAME; the menu if absent
    #[argh(positional, arg_name = "COMMAND")]
    pub words: Vec<String>,
}

impl CommandLine for ClientOptions {
    const PROGRAM: &'static str = "evclient";
    const LISTED: &'static str = "commands";
    // The names of files, and the address of a unix socket.
    const ANY_BYTES: &'static [&'static str] = &["", "--to", "--as", "--ca"];
}
