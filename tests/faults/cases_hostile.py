"""A hub that lists what no honest hub has."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.fakes.hub import Repo
from tests.faults.registry import CASES, Case
from tests.faults.world import REPO, World

HOSTILE = {
    "leads out of the folder": "../../../../evil.json",
    "leads out of the folder by a detour": "a/../../../../../evil.json",
    "is absolute": f"{tempfile.gettempdir()}/evil-of-a-hub.json",
    "has backslashes": "..\\..\\evil.json",
    "holds a NUL": "evil\0.json",
    "is not Unicode": "evil-\udcff\ud800.json",
    "is endless": "e" * 5000 + ".json",
    "is empty": "",
    "is a dot": "./.json/..",
    "steers terminals": "\x1b[2Jevil.json",
}


def _hostile(name: str) -> Case:
    def run(world: World) -> None:
        extra = {"rfilename": name, "size": 4, "blobId": "0" * 40}
        world.hub.repos[REPO] = Repo(world.content, listed=[extra])
        ended = world.pull()
        assert "\x1b[2J" not in ended.out + ended.err
        if ended.code:
            world.refused(ended)
            world.hub.repos[REPO] = Repo(world.content)
            world.again()
        outside = {*world.home.rglob("*evil*"), *Path(tempfile.gettempdir()).glob("evil-of-a-hub*")}
        assert not {path for path in outside if world.repository not in path.parents}
        world.whole()

    return run


for _what, _name in HOSTILE.items():
    CASES[f"a name that {_what}"] = _hostile(_name)


def _listed(entry: dict[str, object]) -> Case:
    def run(world: World) -> None:
        world.hub.repos[REPO] = Repo(world.content, listed=[{"rfilename": "extra.json"} | entry])
        ended = world.pull()
        if ended.code:
            world.refused(ended, 1, 3)
            world.hub.repos[REPO] = Repo(world.content)
            world.again()
        world.whole()

    return run


ODD: dict[str, dict[str, object]] = {
    "an absurd size": {"size": 2**62, "blobId": "0" * 40},
    "a negative size": {"size": -5, "blobId": "0" * 40},
    "a size that is no number": {"size": "many", "blobId": "0" * 40},
    "a hash that is a path": {"size": 4, "blobId": "../../../../evil"},
    "no size and no hash": {},
}
for _what, _entry in ODD.items():
    CASES[f"a file with {_what}"] = _listed(_entry)
