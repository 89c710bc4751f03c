//! The server at an address: its connection is replaced when a failed transfer has left it unusable.

use evserve::protocol::Dialect;

use super::connector::Connector;
use super::download::Target;
use super::failure::Failure;
use super::legacy::LegacySession;
use super::lines::Lines;
use super::session::{Entry, Session};
use super::source::Source;

pub(crate) struct Server {
    connector: Connector,
    dialect: Dialect,
    session: Box<dyn Session>,
}

impl Server {
    pub(crate) fn connect(connector: Connector, dialect: Dialect) -> Result<Server, Failure> {
        let session = connect(&connector, dialect)?;
        Ok(Server { connector, dialect, session })
    }

    /// Returns a session in which the server expects a command.
    fn session(&mut self) -> Result<&mut dyn Session, Failure> {
        if !self.session.is_in_step() {
            self.session = connect(&self.connector, self.dialect)?;
        }
        Ok(&mut *self.session)
    }
}

fn connect(connector: &Connector, dialect: Dialect) -> Result<Box<dyn Session>, Failure> {
    let stream = connector.connect()?;
    Ok(match dialect {
        Dialect::Joined => Box::new(LegacySession::new(stream, true)),
        Dialect::Listed => Box::new(LegacySession::new(stream, false)),
        Dialect::Auto | Dialect::Lines => Box::new(Lines::new(stream)),
    })
}

impl Session for Server {
    fn list(&mut self) -> Result<Vec<Entry>, Failure> {
        self.session()?.list()
    }

    fn stat(&mut self, name: &str) -> Result<Entry, Failure> {
        self.session()?.stat(name)
    }

    fn get(&mut self, name: &str, target: &Target) -> Result<(), Failure> {
        self.session()?.get(name, target)
    }

    fn put(&mut self, source: &mut Source, name: &str) -> Result<(), Failure> {
        self.session()?.put(source, name)
    }

    fn is_in_step(&self) -> bool {
        self.session.is_in_step()
    }

    fn quit(&mut self) {
        if self.is_in_step() {
            self.session.quit();
        }
    }
}
