//! Files that are written aside, so that nobody takes half of one for a whole.
use std::{io, path::Path};
use tempfile::NamedTempFile;

/// A new file in the folder of `path`, with the permissions of an ordinary one, to be persisted there. It is deleted if it
/// is dropped before.
pub fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".apr-").suffix(".partial");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    // What is wrong with the folder is of interest, and not the name of the file that could not be made in it.
    builder.tempfile_in(folder).map_err(|error| error.kind().into())
}
