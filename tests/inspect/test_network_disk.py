"""On which file system a file lies, from the texts that Linux tells."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from nirfire.commands import inspect as command
from nirfire.inspect import network_disk, store
from nirfire.inspect.network_disk import NETWORK, file_system, network_type
from nirfire.pipeline.target import Observation
from nirfire.products.naming import Workspace

LAPTOP = """\
23 28 0:21 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
28 0 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw,errors=remount-ro
31 28 259:1 / /boot/efi rw,relatime shared:30 - vfat /dev/nvme0n1p1 rw,fmask=0077
55 28 0:49 / /home/ann/far rw,nosuid,nodev,relatime shared:281 - fuse.sshfs ann@big:/data rw,user_id=1000
56 28 0:50 / /media/disk\\040one rw - ntfs3 /dev/sda1 rw
57 28 0:51 / /media/back\\134slash\\040and\\011tab rw master:1 propagate_from:2 - cifs //server/share rw
58 28 0:52 / /media/gro\xdf rw - nfs4 server:/gross rw
"""
CLUSTER = """\
28 0 8:2 / / rw,relatime shared:1 - xfs /dev/sda2 rw
40 28 0:35 / /home rw,relatime shared:20 - autofs systemd-1 rw,fd=52,pgrp=1,direct
90 40 0:60 / /home/ann rw,relatime shared:80 - nfs4 10.0.0.1:/export/home/ann rw,vers=4.2,hard
91 28 0:61 / /scratch rw,relatime - lustre 10.1.0.1@o2ib:/scratch rw,flock
92 28 0:62 / /gpfs/fast rw,relatime - gpfs fast rw
93 91 8:3 / /scratch/local rw,relatime - ext4 /dev/sdb1 rw
94 28 0:61 /users/ann /project rw,relatime - lustre 10.1.0.1@o2ib:/scratch rw,flock
95 28 8:2 /data /scratch-of-old rw,relatime - xfs /dev/sda2 rw
96 28 0:63 / /mnt rw - ext4 /dev/sdc1 rw
97 96 0:64 / /mnt rw - beegfs beegfs_nodev rw
"""
CONTAINER = """\
700 600 0:70 / / rw,relatime - overlay overlay rw,lowerdir=/var/lib/x/l/A:/var/lib/x/l/B,upperdir=/u,workdir=/w
701 700 0:71 / /proc rw,nosuid - proc proc rw
702 700 259:2 /home/ann/survey /survey rw,relatime - ext4 /dev/nvme0n1p2 rw
703 700 0:72 /ann /remote rw,relatime - ceph 10.0.0.9:6789:/vol rw
"""


@pytest.mark.parametrize(
    ("text", "path", "kind"),
    [
        (LAPTOP, "/home/ann/ws/inspection.sqlite", "ext4"),
        (LAPTOP, "/home/ann/far", "fuse.sshfs"),
        (LAPTOP, "/home/ann/far/ws/inspection.sqlite", "fuse.sshfs"),
        (LAPTOP, "/home/ann/farther/ws", "ext4"),  # no part of a name
        (LAPTOP, "/media/disk one/ws", "ntfs3"),
        (LAPTOP, "/media/disk", "ext4"),
        (LAPTOP, "/media/back\\slash and\ttab/ws", "cifs"),  # optional words before the dash
        (LAPTOP, "/media/gro\xdf/ws", "nfs4"),
        (CLUSTER, "/home/ann/ws", "nfs4"),
        (CLUSTER, "/home/bob/ws", "autofs"),
        (CLUSTER, "/scratch/ann/ws", "lustre"),
        (CLUSTER, "/scratch/local/ws", "ext4"),  # a local disk in a network one
        (CLUSTER, "/project/ws", "lustre"),  # a part of it, bound elsewhere
        (CLUSTER, "/scratch-of-old/ws", "xfs"),
        (CLUSTER, "/gpfs/fast/ws", "gpfs"),
        (CLUSTER, "/mnt/ws", "beegfs"),  # what is mounted later covers what was there
        (CONTAINER, "/project/ws", "overlay"),
        (CONTAINER, "/survey/ws", "ext4"),
        (CONTAINER, "/remote/ws", "ceph"),
        ("", "/project/ws", ""),
        ("28 0 8:2 / /\nno mount at all\n1 2 3 - ext4 x rw\n", "/project/ws", ""),
    ],
)
def test_the_file_system_of_a_file(text, path, kind):
    assert file_system(PurePosixPath(path), text) == kind


def test_local_ones_and_unknown_ones_are_none_of_a_network(tmp_path, monkeypatch):
    assert not NETWORK & {"ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "vfat", "ntfs3", "fuseblk", "autofs", ""}
    told = tmp_path / "mountinfo"
    monkeypatch.setattr(network_disk, "MOUNTS", told)
    place = tmp_path / "ws" / "inspection.sqlite"
    assert network_type(place) == "", "no Linux"
    told.write_text(CONTAINER)
    assert network_type(place) == ""
    octal = str(tmp_path.resolve()).replace(" ", "\\040")
    told.write_text(f"{CONTAINER}704 700 0:73 / {octal} rw - nfs server:/x rw\n")
    assert network_type(place) == "nfs"
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    assert network_type(Path("link") / "inspection.sqlite") == "nfs"


def test_of_this_machine_it_is_told():
    if not network_disk.MOUNTS.exists():
        pytest.skip("this is no Linux")
    assert network_type(Path(__file__)) in {"", *NETWORK}
    assert file_system(PurePosixPath("/proc/self"), network_disk.MOUNTS.read_text()) == "proc"


def test_it_is_said_once_at_the_start(tmp_path, monkeypatch, capsys):
    place = Workspace(tmp_path / "ws", "ws")
    place.sources.mkdir(parents=True)
    monkeypatch.setattr(command, "serve", lambda app, made, ending: None)
    monkeypatch.setattr(command.Fitter, "start", lambda self: None)
    monkeypatch.setattr(command, "observations", lambda target: [Observation(place, place.folder)])
    for kind in ("", "gpfs"):
        monkeypatch.setattr(store, "network_type", lambda path, kind=kind: kind)
        command.inspect(place.folder, command.InspectOptions(browser=False))
        assert capsys.readouterr().err.count("network file system (gpfs)") == (kind == "gpfs")
