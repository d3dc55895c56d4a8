"""Files of tensors: what is read runs no code, and damage is found and told in own words."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import sys
import warnings
import zipfile
from pathlib import Path

import pytest
import torch

from srtoolbox.errors import CheckpointError
from srtoolbox.io.tensor_files import TensorStream, load_tensors, save_safetensors, save_tensors


def test_tensors_come_back(tmp_path: Path) -> None:
    state = {"w": torch.randn(3, 4), "n": 1, "nested": {"l": [1.5, "x", None, (1, 2)]}}
    save_tensors(tmp_path / "s.pth", state)
    found = load_tensors(tmp_path / "s.pth")
    assert torch.equal(found.pop("w"), state.pop("w")) and found == state


def test_a_stream_is_what_torch_saves_hashed_and_counted(tmp_path: Path) -> None:
    state = {"w": torch.randn(300, 400), "half": torch.ones(3).bfloat16(), "n": [1, "x"]}
    expected, file = io.BytesIO(), io.BytesIO()
    torch.save(state, expected)
    stream = TensorStream(state)
    stream.write_to(file)
    assert file.getvalue() == expected.getvalue()
    assert (stream.size, stream.digest) == (len(expected.getvalue()), hashlib.sha256(expected.getvalue()).hexdigest())
    assert TensorStream(state).count() == stream.size


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_error_of_the_file_is_raised_as_it_is(error: BaseException) -> None:
    class Full(io.BytesIO):
        def write(self, data: bytes) -> int:
            if self.tell() + len(data) > 500_000:
                raise error
            return super().write(data)

    file, stream = Full(), TensorStream({str(number): torch.randn(100, 500) for number in range(9)})
    with pytest.raises(type(error)) as caught:
        stream.write_to(file)
    assert caught.value is error and file.tell() <= 500_000


@pytest.mark.parametrize("damage", ["bit", "cut", "empty", "text"])
def test_damage_is_an_error_naming_the_file(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "s.pth"
    save_tensors(path, {"w": torch.randn(2000)})
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 8
    path.write_bytes({"bit": bytes(data), "cut": bytes(data[:3000]), "empty": b"", "text": b"hello"}[damage])
    with pytest.raises(CheckpointError, match=r"s\.pth"):
        load_tensors(path)


def _write_cycle(path: Path) -> None:
    state: dict = {"w": torch.ones(2)}
    state["networks"] = {"generator": state}
    torch.save(state, path)


def _write_nested(path: Path, depth: int = 3000) -> None:
    """A dictionary in a dictionary ..., its pickle by hand: no pickler of Python 3.12 goes so deep, whatever is set."""
    torch.save({}, path.with_name("empty.pth"))
    key = b"X\x01\x00\x00\x00a"
    nested = b"\x80\x02" + (b"}" + key) * depth + b"}" + b"s" * depth + b"."
    with zipfile.ZipFile(path.with_name("empty.pth")) as empty, zipfile.ZipFile(path, "w") as archive:
        for name in empty.namelist():
            archive.writestr(name, nested if name.endswith("data.pkl") else empty.read(name))


@pytest.mark.parametrize("write", [_write_cycle, _write_nested], ids=["contains itself", "nested"])
def test_a_state_without_end_is_refused(write, tmp_path: Path) -> None:
    write(tmp_path / "s.pth")
    with pytest.raises(CheckpointError, match=r"s\.pth: contains itself or is nested"):
        load_tensors(tmp_path / "s.pth")


def test_a_container_in_many_places_is_looked_into_once(tmp_path: Path) -> None:
    state: dict = {"w": torch.ones(2)}
    for _ in range(60):  # 2**60 ways lead to the tensor
        state = {"a": state, "b": state}
    torch.save(state, tmp_path / "s.pth")
    assert set(load_tensors(tmp_path / "s.pth")) == {"a", "b"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "is no checkpoint but a PNG image"),
        ("größer als\n".encode() * 60, "is no checkpoint but a text file"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{'__metadata__'}", "a safetensors file"),
        (bytes([0, 200, 3]) * 500, "is no checkpoint; a .pth"),
        (pickle.dumps({"a": 1}, 2), "a pickle that torch.save did not write"),
    ],
)
def test_what_is_no_checkpoint_is_told_in_own_words(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load_tensors(tmp_path / "x.pth")
    assert words in str(caught.value)


def test_of_a_folder_a_checkpoint_in_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"x: no such checkpoint file$"):
        load_tensors(tmp_path / "x")
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    with pytest.raises(CheckpointError, match=r"run: is a folder; name a checkpoint file$"):
        load_tensors(tmp_path / "run")
    for name in ("iter_000010.pth", "best_photos_psnr.pth"):
        save_tensors(tmp_path / "run/checkpoints" / name, {"w": torch.ones(1)})
    named = str(tmp_path / "run/checkpoints/best_photos_psnr.pth")
    for folder in (tmp_path / "run", tmp_path / "run/checkpoints"):
        with pytest.raises(CheckpointError) as caught:
            load_tensors(folder)
        assert str(caught.value) == f"{folder}: is a folder; name a checkpoint file, such as {named}"


def test_kinds_of_damage_are_told_apart_and_torch_is_not_quoted(tmp_path: Path) -> None:
    state = {"w": torch.randn(2000)}
    save_tensors(tmp_path / "good.pth", state)
    data = (tmp_path / "good.pth").read_bytes()
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(load_tensors(tmp_path / "old.pth")["w"], state["w"])
    old = (tmp_path / "old.pth").read_bytes()
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 8
    with zipfile.ZipFile(tmp_path / "zip.pth", "w") as archive:
        archive.writestr("notes.txt", "no weights")
    torch.save({"net": torch.nn.Linear(2, 2)}, tmp_path / "code.pth")
    with zipfile.ZipFile(tmp_path / "jit.pth", "w") as archive:
        archive.writestr("net/data.pkl", "")
        archive.writestr("net/constants.pkl", "")
    for name, content in (("cut", data[:3000]), ("oldcut", old[:1500]), ("bit", bytes(flipped))):
        (tmp_path / f"{name}.pth").write_bytes(content)
    expected = {
        "cut": "cut short: its end is missing",
        "oldcut": "damaged, cut short",
        "bit": "the checksum of",
        "zip": "is a zip archive",
        "code": "holds Python objects",
        "jit": "TorchScript",
    }
    for name, words in expected.items():
        with pytest.raises(CheckpointError, match=words) as caught:
            load_tensors(tmp_path / f"{name}.pth")
        assert "weights_only" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("write", [pickle.dump, torch.save, "legacy"], ids=["pickle", "torch", "legacy"])
def test_no_warning_of_torch_stands_beside_our_sentence(write, protocol: int, tmp_path: Path) -> None:
    path, state = tmp_path / "s.pth", {"w": torch.ones(2)}
    if write is pickle.dump:
        path.write_bytes(pickle.dumps({"w": torch.nn.Linear(2, 2)}, protocol=protocol))
    else:
        torch.save(state, path, pickle_protocol=protocol, _use_new_zipfile_serialization=write is torch.save)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if write is not pickle.dump and protocol < 4:
            assert torch.equal(load_tensors(path)["w"], state["w"])
            return
        told = "pickled in a protocol .* without pickle_protocol" if protocol > 3 else "state_dict|damaged"
        with pytest.raises(CheckpointError, match=told):
            load_tensors(path)


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    sentinel = tmp_path / "ran"

    class Payload:
        def __reduce__(self):
            return os.system, (f"touch {sentinel}",)

    torch.save({"networks": Payload()}, tmp_path / "zip.pth")
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Payload()))
    for name in ("zip.pth", "raw.pth", "absent.pth"):
        with pytest.raises(CheckpointError, match=name):
            load_tensors(tmp_path / name)
    assert not sentinel.exists()


# ---- files that claim what they do not hold


def test_a_compressed_archive_is_refused_before_it_is_unpacked(tmp_path):
    save_tensors(tmp_path / "a.pth", {"x": torch.zeros(1 << 20)})
    with zipfile.ZipFile(tmp_path / "a.pth") as plain:
        members = {name: plain.read(name) for name in plain.namelist()}
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb:
        for name, data in members.items():
            bomb.writestr(name, data)
    assert (tmp_path / "bomb.pth").stat().st_size < 1 << 16
    with pytest.raises(CheckpointError, match=r"bomb.pth: is a compressed zip archive"):
        load_tensors(tmp_path / "bomb.pth")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused(tmp_path):
    save_tensors(tmp_path / "a.pth", {"x": torch.ones(2)})
    with zipfile.ZipFile(tmp_path / "a.pth", "a") as archive:
        archive.writestr(archive.namelist()[0], b"other")
    with pytest.raises(CheckpointError, match="two entries in it have one name"):
        load_tensors(tmp_path / "a.pth")


@pytest.mark.parametrize(
    "tensor",
    [torch.ones(1).expand(1 << 40), torch.ones(3, 3).to_sparse(), torch.empty(5, device="meta")],
    ids=["expanded", "sparse", "meta"],
)
def test_a_tensor_larger_than_its_file_is_refused(tmp_path, tensor):
    torch.save({"networks": {"generator": [tensor]}}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"networks.generator\[0\] claims more|damaged"):
        load_tensors(tmp_path / "a.pth")


def test_views_are_fine(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    torch.save({"a": whole.t(), "b": whole[1]}, tmp_path / "a.pth")
    assert torch.equal(load_tensors(tmp_path / "a.pth")["a"], whole.t())


def test_safetensors_there_and_back(tmp_path):
    tensors = {"a": torch.rand(2, 3).t(), "b": torch.arange(3)}
    save_safetensors(tmp_path / "a.safetensors", tensors, {"format": "pt"})
    loaded = load_tensors(tmp_path / "a.safetensors")
    assert all(torch.equal(loaded[key], value) for key, value in tensors.items())
    data = (tmp_path / "a.safetensors").read_bytes()
    for damaged in (data[:-4], b"\xff" * 8 + data[8:], data[:4], b""):
        (tmp_path / "b.safetensors").write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"b.safetensors: damaged, cut short, or no safetensors"):
            load_tensors(tmp_path / "b.safetensors")
    (tmp_path / "c.pth").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"a safetensors file; name it .safetensors"):
        load_tensors(tmp_path / "c.pth")


def test_without_the_library_the_error_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.safetensors").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(CheckpointError, match="pip install safetensors"):
        load_tensors(tmp_path / "a.safetensors")
