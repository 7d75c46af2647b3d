# SPDX-License-Identifier: Apache-2.0
"""The cache: a damaged entry is made again and said to be; one that cannot be kept is one clear line."""

import os

import pytest

from zoetrope.hw import cache
from zoetrope.hw.errors import UserError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOETROPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Made:
    """Counts how often it was asked."""

    def __init__(self):
        self.times = 0

    def result(self):
        self.times += 1
        return {"times": self.times}

    def files(self, work):
        self.times += 1
        (work / "deep").mkdir()
        (work / "program").write_text(f"made {self.times} times, at some length")
        (work / "deep" / "data").write_text("x" * 1000)


DAMAGE = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:20]),
    "empty": lambda path: path.write_bytes(b""),
    "another byte": lambda path: path.write_bytes(path.read_bytes()[:-3] + b"?" + path.read_bytes()[-2:]),
    "no text": lambda path: path.write_bytes(b"\xff\xfe" * 30),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_result_heals_and_says_so(folder, damage, capsys):
    made = Made()
    assert cache.kept(made.result, "what") == cache.kept(made.result, "what") == {"times": 1}
    (path,) = (folder / "results").glob("*.json")
    DAMAGE[damage](path)
    assert cache.kept(made.result, "what") == {"times": 2}
    assert capsys.readouterr().err == f"{path} is damaged: made again\n"
    assert cache.kept(made.result, "what") == {"times": 2} and not capsys.readouterr().err


@pytest.mark.parametrize("damage", [*DAMAGE, "removed", "manifest"])
def test_a_damaged_folder_heals_and_says_so(damage, capsys):
    made = Made()
    folder = cache.kept_folder("sim", "some", "label", made.files)
    assert cache.kept_folder("sim", "some", "label", made.files) == folder and made.times == 1
    if damage == "removed":
        (folder / "deep" / "data").unlink()
    else:
        DAMAGE.get(damage, DAMAGE["cut"])(folder / (".manifest" if damage == "manifest" else "program"))
    assert cache.kept_folder("sim", "some", "label", made.files) == folder
    assert (folder / "program").read_text().startswith("made 2 times") and (folder / "deep" / "data").exists()
    assert f"{folder} is damaged: made again\n" in capsys.readouterr().err
    assert cache.kept_folder("sim", "some", "label", made.files) and made.times == 2
    assert not capsys.readouterr().err


def test_a_folder_that_was_not_finished_is_no_entry():
    def stopped(work):
        (work / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.kept_folder("sim", "some", "label", stopped)
    made = Made()
    folder = cache.kept_folder("sim", "some", "label", made.files)
    assert made.times == 1 and not (folder / "half").exists()


def test_a_cache_that_cannot_be_written_is_one_line(folder, monkeypatch):
    folder.write_text("a file in its place")
    with pytest.raises(UserError, match=r"cannot keep results in .*cache/results: Not a directory"):
        cache.kept(Made().result, "what")
    with pytest.raises(UserError, match=r"cannot keep a build in .*cache/sim: Not a directory"):
        cache.kept_folder("sim", "some", "a build", Made().files)


def test_what_was_kept_is_taken_from_a_read_only_cache(folder, monkeypatch):
    """Only its times cannot be renewed."""
    made = Made()
    cache.kept(made.result, "what")
    kept = cache.kept_folder("sim", "some", "a build", made.files)

    def refused(*_, **__):
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(os, "utime", refused)
    assert cache.kept(made.result, "what") == {"times": 1}
    assert cache.kept_folder("sim", "some", "a build", made.files) == kept and made.times == 2


def test_it_is_where_the_variable_says_else_with_the_user(monkeypatch, tmp_path):
    assert cache.root() == tmp_path / "cache"
    monkeypatch.delenv("ZOETROPE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache.root().is_relative_to(tmp_path / "home") and cache.root().name == "zoetrope"
