"""Writing is all or nothing."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from srtoolbox.errors import SrtoolboxError
from srtoolbox.io.files import (
    Digests,
    Places,
    append_line,
    atomic_write,
    finite_json,
    read_json,
    write_json,
    write_text,
)


def test_a_failing_writer_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "state.bin"
    write_text(path, "old")

    def writer(file) -> None:
        file.write(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        atomic_write(path, writer)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["state.bin"]


def test_what_comes_before_the_rename_finds_the_old_file_and_all_of_the_new(tmp_path: Path) -> None:
    path = tmp_path / "state.bin"
    write_text(path, "old")

    def look() -> None:
        (temporary,) = tmp_path.glob(".*.tmp")
        assert (path.read_text(), temporary.read_text()) == ("old", "new")

    atomic_write(path, lambda file: file.write(b"new"), before_rename=look)
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["state.bin"]
    with pytest.raises(ZeroDivisionError):
        atomic_write(path, lambda file: file.write(b"newer"), before_rename=lambda: 1 / 0)
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["state.bin"]


@pytest.mark.parametrize("change", ["touch", "size", "inode", "nothing"])
def test_a_digest_is_made_again_where_the_file_has_changed(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"one")
    digests = Digests()
    before, times = digests(path), path.stat()
    if change == "size":
        path.write_bytes(b"three")
    elif change == "inode":
        other.write_bytes(b"two")
        os.replace(other, path)
    if change != "touch":
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    else:
        path.write_bytes(b"two")
    if change == "nothing":  # the call above has touched it
        digests(path)
        monkeypatch.setattr("srtoolbox.io.files.sha256", lambda path: "read again")
    assert digests(path) == (before if change == "nothing" else hashlib.sha256(path.read_bytes()).hexdigest())
    assert (digests(path) == before) == (change == "nothing")


def test_full_disk_names_path_and_free_space(tmp_path: Path) -> None:
    """A real full disk: a 1 MB tmpfs of its own in a mount namespace."""
    script = """
import sys
from pathlib import Path
from srtoolbox.io.files import write_bytes
from srtoolbox.errors import SrtoolboxError
folder = Path(sys.argv[1])
write_bytes(folder / "a.bin", b"x" * 300_000)
try:
    write_bytes(folder / "a.bin", b"y" * 900_000)
except SrtoolboxError as error:
    print(error)
print(sorted(p.name for p in folder.iterdir()), (folder / "a.bin").read_bytes() == b"x" * 300_000)
"""
    shell = f'mount -t tmpfs -o size=1m tmpfs "{tmp_path}" && "{sys.executable}" -c "$0" "{tmp_path}"'
    done = subprocess.run(["unshare", "-Urm", "sh", "-c", shell, script], capture_output=True, text=True)
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"no mount namespaces here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    message, listing = done.stdout.splitlines()
    assert "a.bin: disk full: 900000 bytes (0.9 MiB) needed, " in message
    free = int(message.split("needed, ")[1].split(" bytes")[0])
    assert 600_000 < free < 800_000, "what is free without the half-written file"
    assert listing == "['a.bin'] True"


def test_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SrtoolboxError, match=r"file/x\.json"):
        write_json(tmp_path / "file" / "x.json", {})


def test_non_finite_numbers_stay_readable(tmp_path: Path) -> None:
    write_json(tmp_path / "s.json", {"a": float("inf"), "b": [float("-inf"), float("nan"), 1.5], 3: True})
    assert read_json(tmp_path / "s.json") == {"a": "inf", "b": ["-inf", "nan", 1.5], "3": True}
    assert finite_json((1, None)) == [1, None]


def test_appended_lines(tmp_path: Path) -> None:
    for word in ("eins", "zwei"):
        append_line(tmp_path / "log", word)
    assert (tmp_path / "log").read_text() == "eins\nzwei\n"


def test_a_folder_is_looked_at_once_for_all_its_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    looks: list[Path] = []
    resolve = Path.resolve
    monkeypatch.setattr(Path, "resolve", lambda path: looks.append(path) or resolve(path))
    place_of = Places()
    for _ in range(2):
        assert (
            place_of(str(tmp_path / "a.png")) == place_of(tmp_path / "link" / "a.png") != place_of(tmp_path / "b.png")
        )
    assert looks == [tmp_path, tmp_path / "link"]
