//! What the standard library cannot do with files.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::check::check_length;

/// renameat2(2) with `RENAME_EXCHANGE`: each file gets the name of the other one, at once.
pub fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    let one = CString::new(one.as_os_str().as_bytes())?;
    let other = CString::new(other.as_os_str().as_bytes())?;
    let here = libc::AT_FDCWD;
    // SAFETY: both are strings that end in a zero. By its number: musl has no function for it.
    let returned = unsafe {
        let (one, other) = (one.as_ptr(), other.as_ptr());
        libc::syscall(libc::SYS_renameat2, here, one, here, other, libc::RENAME_EXCHANGE)
    };
    check_length(returned as isize).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn two_files_exchange_their_names() {
        let folder = std::env::temp_dir().join(format!("tcpgoon-exchange-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let [one, other] = ["one", "other"].map(|name| folder.join(name));
        fs::write(&one, "1").unwrap();
        assert_eq!(exchange(&one, &other).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(&other, "2").unwrap();
        // Some file systems have none.
        if exchange(&one, &other).is_ok() {
            assert_eq!(fs::read_to_string(&one).unwrap(), "2");
            assert_eq!(fs::read_to_string(&other).unwrap(), "1");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
