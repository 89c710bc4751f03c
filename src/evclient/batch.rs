//! Transfers of one or several files.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::download::Target;
use super::failure::Failure;
use super::session::Session;
use super::source::Source;

/// Downloads files to `to`: a file for one name, or a folder. Calls `done` with the name of each.
pub(crate) fn download(
    session: &mut dyn Session,
    names: &[OsString],
    to: Option<&Path>,
    done: impl Fn(&str),
) -> Result<(), Failure> {
    each(
        names,
        |word| shown(word),
        |word| {
            let name = word.to_str().ok_or_else(|| Failure::Local("the name is not UTF-8".into()))?;
            session.get(name, &Target::of(name, to)?)?;
            done(name);
            Ok(())
        },
    )
}

/// Uploads files, one of them under the name `stored_as`. Calls `done` with the name of each.
pub(crate) fn upload(
    session: &mut dyn Session,
    paths: &[OsString],
    stored_as: Option<&OsStr>,
    done: impl Fn(&str),
) -> Result<(), Failure> {
    let label = |path: &OsString| match stored_as {
        Some(name) if path == "-" => shown(name),
        Some(name) => format!("{} as {}", shown(path), shown(name)),
        None => shown(path),
    };
    each(
        paths,
        |path| label(path),
        |path| {
            let name = stored_as.or(Path::new(path).file_name());
            let name = name.ok_or_else(|| Failure::Local("it is not a file name".into()))?;
            let name = name.to_str();
            let name = name.ok_or_else(|| Failure::Local("the name is not UTF-8; use --as NAME".into()))?;
            session.put(&mut Source::open(path)?, name)?;
            done(name);
            Ok(())
        },
    )
}

/// Runs `action` for each item, also after one has failed, until the connection is lost. Names the item in
/// each message; for several items, the last message counts the failed ones.
fn each<T>(
    items: &[T],
    label: impl Fn(&T) -> String,
    mut action: impl FnMut(&T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut failed = 0;
    for (index, item) in items.iter().enumerate() {
        let Err(failure) = action(item).map_err(|failure| failure.about(&label(item))) else { continue };
        if items.len() == 1 {
            return Err(failure);
        }
        failure.report();
        failed += 1;
        if failure.is_final() {
            let (all, left) = (items.len(), items.len() - index - 1);
            return Err(Failure::Connection(format!("{failed} of {all} files failed, {left} not tried")));
        }
    }
    match failed {
        0 => Ok(()),
        _ => Err(Failure::Rejected(format!("{failed} of {} files failed", items.len()))),
    }
}

/// Returns a name as it is printed: with escapes if it is not printable.
pub(crate) fn shown(name: &OsStr) -> String {
    match name.to_str() {
        Some(name) if !name.contains(char::is_control) => name.to_owned(),
        _ => format!("{name:?}"),
    }
}
