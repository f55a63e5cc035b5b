"""Which file system a file lies on, as far as the system tells: on those of a network sqlite needs another journal."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

MOUNTS = Path("/proc/self/mountinfo")
NETWORK = frozenset({
    "9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs",
    "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "smb2", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs", "wekafs",
    "fuse.beegfs", "fuse.ceph", "fuse.ceph-fuse", "fuse.davfs", "fuse.davfs2", "fuse.gcsfuse", "fuse.glusterfs",
    "fuse.gvfsd-fuse", "fuse.juicefs", "fuse.moosefs", "fuse.mfs", "fuse.rclone", "fuse.s3fs", "fuse.seaweedfs",
    "fuse.smbnetfs", "fuse.sshfs", "fuse.vmhgfs-fuse",
})  # fmt: skip


def network_type(path: Path) -> str:
    """Kind of the network file system that holds a file, for instance ``nfs4``; empty where it is local or not known.

    Parameters
    ----------
    path : Path
        A file or folder, which need not be there.

    Returns
    -------
    str
    """
    try:
        told = os.fsdecode(MOUNTS.read_bytes())
    except OSError:  # not Linux
        return ""
    kind = file_system(PurePosixPath(path.resolve()), told)
    return kind if kind in NETWORK else ""


def file_system(path: PurePosixPath, mountinfo: str) -> str:
    """Kind of the file system that holds a file.

    Parameters
    ----------
    path : PurePosixPath
        Absolute, without links.
    mountinfo : str
        Text of ``/proc/self/mountinfo``: in each line the mount point is the fifth word, and the kind follows a single
        dash. Blanks and backslashes in names are octal. What is mounted later covers what is at the same place.

    Returns
    -------
    str
        Empty where no mount point holds the file.
    """
    holding = {path, *path.parents}
    found, longest = "", 0
    for line in mountinfo.splitlines():
        mount, _, system = line.partition(" - ")
        words = mount.split(" ")
        if len(words) < 5 or not system:
            continue
        place = PurePosixPath(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), words[4]))
        if place in holding and len(place.parts) >= longest:
            found, longest = system.split(" ")[0], len(place.parts)
    return found
