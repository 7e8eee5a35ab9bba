//! The memory limits of this process's cgroup and all its visible ancestors: cgroup v1, v2, and
//! both mounted together.

use std::{fs, str};

use crate::limits::{CgroupMemory, Gauge};

/// Limits of this size and above are none: v1 reports "none" as the greatest number of whole pages
/// in 63 bits.
const UNLIMITED_BYTES: u64 = 1 << 62;

/// The file names of one version.
/// Source: `Documentation/admin-guide/cgroup-v1/memory.rst` and `cgroup-v2.rst` of Linux.
#[derive(Debug, PartialEq, Eq)]
struct Names {
    limit: &'static str,
    usage: &'static str,
    /// The line of `memory.stat` with the page cache that is reclaimed before an allocation fails,
    /// child cgroups included.
    inactive: &'static str,
}

const V1: Names = Names {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    inactive: "total_inactive_file",
};

const V2: Names = Names { limit: "memory.max", usage: "memory.current", inactive: "inactive_file" };

/// All limits that can be read.
pub fn memory_limits() -> Vec<CgroupMemory> {
    let (groups, mounts) = (read("/proc/self/cgroup"), read("/proc/self/mountinfo"));
    let (Some(groups), Some(mounts)) = (groups, mounts) else { return Vec::new() };
    let found = [&V1, &V2].into_iter().flat_map(|names| {
        let directories = directories(names, &groups, &mounts);
        directories.into_iter().filter_map(|directory| memory_limit(names, &directory))
    });
    found.collect()
}

fn memory_limit(names: &Names, directory: &str) -> Option<CgroupMemory> {
    let file = format!("{directory}/{}", names.limit);
    let most = limit_in(&read(&file)?)?;
    let usage: u64 = read(&format!("{directory}/{}", names.usage))?.trim().parse().ok()?;
    let stat = read(&format!("{directory}/memory.stat")).unwrap_or_default();
    let used = usage.saturating_sub(field(&stat, names.inactive).unwrap_or(0));
    Some(CgroupMemory { file, bytes: Gauge { most, used } })
}

/// A path in it can have any bytes.
fn read(path: &str) -> Option<String> {
    fs::read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// `max`, or a number of bytes.
fn limit_in(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| *bytes < UNLIMITED_BYTES)
}

/// A line of `memory.stat`.
fn field(stat: &str, name: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// The directories of this process's cgroup and its ancestors, from the bottom up, given
/// `/proc/self/cgroup` and `/proc/self/mountinfo`. Empty if the hierarchy is not mounted, or only
/// another part of it.
fn directories(names: &Names, groups: &str, mounts: &str) -> Vec<String> {
    let Some(group) = groups.lines().find_map(|line| group_in(line, names)) else {
        return Vec::new();
    };
    let below = |(root, mount_point): (String, String)| {
        // In a container the root of the mount may be the container's own cgroup.
        let rest = group.strip_prefix(root.trim_end_matches('/'))?;
        (rest.is_empty() || rest.starts_with('/')).then(|| (mount_point, rest.to_owned()))
    };
    let mounted = mounts.lines().filter_map(|line| mount_in(line, names)).find_map(below);
    let Some((mount_point, rest)) = mounted else { return Vec::new() };
    let mut path = format!("{}{}", mount_point.trim_end_matches('/'), rest.trim_end_matches('/'));
    let mut directories = Vec::new();
    while path.len() > mount_point.len() {
        directories.push(path.clone());
        path.truncate(path.rfind('/').unwrap_or(0));
    }
    directories.push(mount_point);
    directories
}

/// The cgroup of a line of `/proc/self/cgroup`: `4:memory:/a/b` in v1, `0::/a/b` in v2. One outside
/// of this namespace begins with `/..`.
fn group_in<'a>(line: &'a str, names: &Names) -> Option<&'a str> {
    let mut parts = line.splitn(3, ':');
    let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let is_it = match *names == V2 {
        true => number == "0" && controllers.is_empty(),
        false => controllers.split(',').any(|controller| controller == "memory"),
    };
    (is_it && !path.starts_with("/..")).then_some(path)
}

/// Root and mount point of a mounted hierarchy. Source: proc(5), `/proc/pid/mountinfo`.
fn mount_in(line: &str, names: &Names) -> Option<(String, String)> {
    let (mount, behind) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let (root, mount_point) = (mount.next()?, mount.next()?);
    let mut behind = behind.split(' ');
    let (kind, options) = (behind.next()?, behind.nth(1)?);
    let is_it = match *names == V2 {
        true => kind == "cgroup2",
        false => kind == "cgroup" && options.split(',').any(|option| option == "memory"),
    };
    is_it.then(|| (unescaped(root), unescaped(mount_point)))
}

/// Undoes octal escapes such as `\040`, for blanks and backslashes. systemd has backslashes in unit
/// names.
fn unescaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..3).and_then(|digits| str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match byte.filter(|_| *first == b'\\') {
            Some(byte) => {
                out.push(byte);
                rest = &behind[3..];
            }
            None => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As systemd mounts both versions.
    const HYBRID_MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:7 - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:8 master:1 - cgroup2 cgroup2 rw
";
    const HYBRID_GROUPS: &str = "\
9:name=systemd:/memory
4:cpu,memory:/user.slice/a:b
0::/user.slice
";

    #[test]
    fn all_ancestors_are_found_in_both_versions() {
        assert_eq!(
            directories(&V1, HYBRID_GROUPS, HYBRID_MOUNTS),
            [
                "/sys/fs/cgroup/memory/user.slice/a:b",
                "/sys/fs/cgroup/memory/user.slice",
                "/sys/fs/cgroup/memory",
            ]
        );
        assert_eq!(
            directories(&V2, HYBRID_GROUPS, HYBRID_MOUNTS),
            ["/sys/fs/cgroup/unified/user.slice", "/sys/fs/cgroup/unified"]
        );
        let mounts = "29 23 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(directories(&V2, "0::/\n", mounts), ["/sys/fs/cgroup"]);
        assert_eq!(directories(&V1, "0::/\n", mounts), [""; 0]);
    }

    #[test]
    fn a_container_sees_only_its_own_cgroups() {
        // Without a cgroup namespace the root of the mount is the container's cgroup.
        let mounts = "29 23 0:26 /docker/ab /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        assert_eq!(
            directories(&V2, "0::/docker/ab/init\n", mounts),
            ["/sys/fs/cgroup/init", "/sys/fs/cgroup"]
        );
        assert_eq!(directories(&V2, "0::/docker/ab\n", mounts), ["/sys/fs/cgroup"]);
        // The mount is of another part of the hierarchy.
        for elsewhere in ["0::/docker/abc\n", "0::/\n", "0::/../docker/ab\n", ""] {
            assert_eq!(directories(&V2, elsewhere, mounts), [""; 0], "{elsewhere}");
        }
    }

    #[test]
    fn unit_names_keep_their_backslashes() {
        let mounts = r"29 23 0:26 /a\134x2db /mnt/c\040d rw - cgroup2 cgroup rw";
        assert_eq!(directories(&V2, r"0::/a\x2db/c", mounts), ["/mnt/c d/c", "/mnt/c d"]);
        for (text, plain) in [(r"\", r"\"), (r"\04", r"\04"), (r"\999", r"\999"), ("ü", "ü")] {
            assert_eq!(unescaped(text), plain);
        }
    }

    #[test]
    fn no_limit_is_recognized_in_all_its_forms() {
        for (text, limit) in [
            ("max\n", None),
            ("9223372036854771712\n", None),
            // With pages of 64 KiB.
            ("9223372036854710272\n", None),
            ("18446744073709551615\n", None),
            ("16777216\n", Some(16 << 20)),
            ("0\n", Some(0)),
            ("", None),
        ] {
            assert_eq!(limit_in(text), limit, "{text}");
        }
        let stat = "inactive_file 7\ntotal_inactive_file 9\n";
        assert_eq!(field(stat, V1.inactive), Some(9));
        assert_eq!(field(stat, V2.inactive), Some(7));
        assert_eq!(field(stat, "inactive"), None);
    }
}
