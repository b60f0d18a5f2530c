from __future__ import annotations

from pathlib import Path

import pytest

from llmserve.hardware.cgroup import Limits, limits
from llmserve.hardware.memory import within

GIB = 1024**3
V2 = "31 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_UNLIMITED = 0x7FFFFFFFFFFFF000


class Groups:
    """/proc and /sys/fs/cgroup as a process sees them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def process(self, cgroup: str, mountinfo: str) -> None:
        self.write("proc/self/cgroup", cgroup)
        self.write("proc/self/mountinfo", mountinfo)

    def write(self, path: str, text: object) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")

    def v2(self, path: str, **values: object) -> None:
        for name, value in values.items():
            self.write(f"sys/fs/cgroup/{path}/{name.replace('_', '.', 1)}", value)

    def v1(self, controller: str, path: str, **values: object) -> None:
        for name, value in values.items():
            self.write(f"sys/fs/cgroup/{controller}/{path}/{controller.split(',')[0]}.{name}", value)


@pytest.fixture
def groups(tmp_path: Path) -> Groups:
    return Groups(tmp_path)


def test_a_machine_without_control_groups(tmp_path: Path) -> None:
    assert limits(tmp_path) == Limits()


def test_v2_in_a_container_sees_its_own_group_as_root(groups: Groups) -> None:
    groups.process("0::/", V2)
    groups.v2(".", cpu_max="250000 100000", memory_max=16 * GIB, memory_high="max", memory_current=6 * GIB)
    groups.v2(".", memory_stat=f"anon {4 * GIB}\nactive_file {GIB}\ninactive_file {GIB}\nslab 12 34")
    assert limits(groups.root) == Limits(cpus=2.5, memory_bytes=16 * GIB, memory_left_bytes=12 * GIB)


def test_v2_the_tightest_of_all_parents_holds(groups: Groups) -> None:
    groups.process("0::/kube/pod/app", V2)
    groups.v2("kube/pod/app", cpu_max="max 100000", memory_max="max", memory_current=GIB)
    groups.v2("kube/pod", cpu_max="400000 100000", memory_max=8 * GIB, memory_current=2 * GIB)
    groups.v2("kube", cpu_max="800000 100000", memory_max=64 * GIB, memory_current=63 * GIB)
    assert limits(groups.root) == Limits(cpus=4.0, memory_bytes=8 * GIB, memory_left_bytes=GIB)


def test_v2_memory_high_throttles_before_the_limit(groups: Groups) -> None:
    groups.process("0::/user.slice", V2)
    groups.v2("user.slice", memory_max=10 * GIB, memory_high=7 * GIB, memory_current=0)
    assert limits(groups.root).memory_bytes == 7 * GIB


def test_v2_max_is_no_limit(groups: Groups) -> None:
    groups.process("0::/a", V2)
    groups.v2("a", cpu_max="max 100000", memory_max="max", memory_high="max", memory_current=GIB)
    assert limits(groups.root) == Limits()


def v1_mounts(top: str) -> str:
    return (
        f"32 31 0:29 {top} /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
        f"35 31 0:32 {top} /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
        "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n"
    )


def test_v1_in_docker_mounts_the_group_itself(groups: Groups) -> None:
    """Docker bind-mounts the container's group, while /proc still names it from the host's root."""
    groups.process("5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/", v1_mounts("/docker/abc"))
    groups.v1("cpu,cpuacct", ".", cfs_quota_us=150000, cfs_period_us=100000)
    groups.v1("memory", ".", limit_in_bytes=4 * GIB, usage_in_bytes=3 * GIB)
    groups.v1("memory", ".", stat=f"active_file 1\ntotal_active_file {GIB}\ntotal_inactive_file {GIB}")
    assert limits(groups.root) == Limits(cpus=1.5, memory_bytes=4 * GIB, memory_left_bytes=3 * GIB)


def test_v1_on_the_host_walks_up(groups: Groups) -> None:
    groups.process("5:memory:/lim/job\n4:cpu,cpuacct:/", v1_mounts("/"))
    groups.v1("cpu,cpuacct", ".", cfs_quota_us=-1, cfs_period_us=100000)
    groups.v1("memory", "lim/job", limit_in_bytes=V1_UNLIMITED, usage_in_bytes=GIB)
    groups.v1("memory", "lim", limit_in_bytes=2 * GIB, usage_in_bytes=GIB)
    groups.v1("memory", ".", limit_in_bytes=V1_UNLIMITED, usage_in_bytes=9 * GIB)
    assert limits(groups.root) == Limits(memory_bytes=2 * GIB, memory_left_bytes=GIB)


def test_hybrid_hierarchies_are_both_read(groups: Groups) -> None:
    v2 = V2.replace("/sys/fs/cgroup ", "/sys/fs/cgroup/unified ")
    groups.process("5:memory:/m\n0::/u", v1_mounts("/") + v2)
    groups.v1("memory", "m", limit_in_bytes=3 * GIB, usage_in_bytes=0)
    groups.v2("unified/u", cpu_max="100000 100000")
    assert limits(groups.root) == Limits(cpus=1.0, memory_bytes=3 * GIB, memory_left_bytes=3 * GIB)


def test_more_in_use_than_allowed_leaves_nothing(groups: Groups) -> None:
    groups.process("0::/a", V2)
    groups.v2("a", memory_max=GIB, memory_current=2 * GIB)
    assert limits(groups.root).memory_left_bytes == 0


@pytest.mark.parametrize(
    ("cgroup", "mountinfo"),
    [
        ("", ""),
        ("nonsense", "nonsense"),
        ("0::/a", "1 2 - cgroup2"),
        ("0::/../elsewhere", V2),
        ("0::/gone", V2),
        ("0::", V2),
    ],
)
def test_odd_descriptions_limit_nothing(groups: Groups, cgroup: str, mountinfo: str) -> None:
    groups.process(cgroup, mountinfo)
    groups.v2("a", cpu_max="garbage", memory_max="garbage")
    assert limits(groups.root) == Limits()


def test_odd_values_limit_nothing(groups: Groups) -> None:
    groups.process("0::/a", V2)
    groups.v2("a", cpu_max="0 0", memory_max="-5", memory_current="x", memory_stat="one\ntwo words here")
    assert limits(groups.root) == Limits()


@pytest.mark.parametrize(
    ("limit", "total", "available"),
    [
        (Limits(), 64, 50),
        (Limits(memory_bytes=16, memory_left_bytes=10), 16, 10),
        (Limits(memory_bytes=16, memory_left_bytes=16), 16, 16),
        (Limits(memory_bytes=1000, memory_left_bytes=900), 64, 50),
    ],
)
def test_ram_within_limits(limit: Limits, total: int, available: int) -> None:
    ram = within(limit, total=64, available=50)
    assert (ram.total_bytes, ram.available_bytes) == (total, available)
