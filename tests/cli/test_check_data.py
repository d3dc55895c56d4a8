"""The data checker: what is wrong is found, named, and told by the exit code; what is right is not complained about."""

import json
from pathlib import Path

import lmdb
import numpy as np
import pytest
import skimage.data

from srtoolbox.cli import main
from srtoolbox.image import read_image, write_image
from srtoolbox.image.pixels import compress_jpeg
from srtoolbox.resize import imresize


@pytest.fixture
def images() -> dict[str, np.ndarray]:
    names = ("astronaut", "chelsea", "coffee", "rocket")
    return {name: np.ascontiguousarray(getattr(skimage.data, name)()[:240, :360]) for name in names}


@pytest.fixture
def pairs(tmp_path: Path, images) -> tuple[Path, Path]:
    for name, image in images.items():
        write_image(tmp_path / "HR" / f"{name}.png", image)
        write_image(tmp_path / "LR" / f"{name}x3.png", imresize(image, 1 / 3))
    return tmp_path / "HR", tmp_path / "LR"


def run(capsys, tmp_path: Path, *argv: object) -> tuple[int, str, dict]:
    code = main(["check_data", *map(str, argv), "--json", str(tmp_path / "report.json")])
    return code, capsys.readouterr().out, json.loads((tmp_path / "report.json").read_text())


def test_sound_pairs(pairs, tmp_path, capsys) -> None:
    code, out, report = run(capsys, tmp_path, pairs[0], "--lq", pairs[1])
    assert code == 0 and report["faults"] == {} and report["ok"] is True
    (described,) = report["sets"]
    assert described["gt"]["pictures"] == 4 and described["gt"]["width"] == {"min": 360, "median": 360, "max": 360}
    assert described["lq"]["height"]["max"] == 80 and described["lq"]["channels"] == {"3": 4}
    assert described["lq"]["bits"] == {"8": 4}
    assert "8 images in 2 stores: no faults" in out


def test_every_fault_is_listed_by_kind(pairs, tmp_path, images, capsys) -> None:
    hr, lr = pairs
    (hr / "astronaut.png").write_bytes((hr / "astronaut.png").read_bytes()[:9000])  # truncated: only decoding shows it
    write_image(lr / "strayx3.png", images["coffee"][:50, :60])
    (lr / "coffeex3.png").unlink()
    write_image(lr / "rocketx3.png", read_image(lr / "rocketx3.png")[:70])
    write_image(lr / "chelseax3.png", imresize(images["coffee"], 1 / 3))
    write_image(hr / "again.png", images["rocket"])
    write_image(hr / "small.png", compress_jpeg(imresize(images["chelsea"], 1 / 2), 60))
    code, out, report = run(capsys, tmp_path, hr, tmp_path / "nowhere", "--lq", lr, lr, "--scale", "3")
    faults = report["faults"]
    assert code == 1 and list(faults) == ["stores", "damaged", "unpaired", "sizes", "content", "identical", "alike"]
    assert "nowhere" in faults["stores"][0]
    assert len(faults["damaged"]) == 1 and "astronaut.png" in faults["damaged"][0]
    assert [fault.split(":")[0].rpartition("/")[2] for fault in faults["unpaired"]] == [
        "again.png",
        "coffee.png",
        "small.png",
        "strayx3.png",
    ]
    assert "rocket.png: 360x240" in faults["sizes"][0] and "360x210" in faults["sizes"][0]
    assert "chelsea.png" in faults["content"][0] and "chelseax3.png" in faults["content"][0]
    assert "again.png and" in faults["identical"][0] and "rocket.png" in faults["identical"][0]
    assert "chelsea.png" in faults["alike"][0] and "small.png" in faults["alike"][0]
    assert all(fault.splitlines()[0] in out for listed in faults.values() for fault in listed)
    assert report["sets"][0]["gt"]["damaged"] == 1


def test_a_wrong_scale_is_one_fault_not_one_a_pair(pairs, tmp_path, capsys) -> None:
    code, _, report = run(capsys, tmp_path, pairs[0], "--lq", pairs[1], "--scale", "2", "--lq-name", "{}x3")
    (fault,) = report["faults"]["sizes"]
    assert code == 1 and "4 of 4 pairs are x3, not x2" in fault


def test_leaks_are_found_through_scaling_jpeg_and_flips(tmp_path, images, capsys) -> None:
    for name, image in images.items():
        write_image(tmp_path / "train" / f"{name}.png", image)
    write_image(tmp_path / "test/a.jpg", imresize(images["coffee"], 1 / 4), quality=50)
    write_image(tmp_path / "test/b.png", np.ascontiguousarray(images["rocket"][:, ::-1]))
    write_image(tmp_path / "test/c.png", np.ascontiguousarray(skimage.data.camera()[..., None]))
    code, _, report = run(capsys, tmp_path, tmp_path / "train", "--test", tmp_path / "test")
    leaks = report["faults"]["leaks"]
    assert code == 1 and len(leaks) == 2
    assert "a.jpg: is" in leaks[0] and "coffee.png (alike" in leaks[0]
    assert "b.png: is" in leaks[1] and "rocket.png (mirrored" in leaks[1]
    assert run(capsys, tmp_path, tmp_path / "train", "--test", tmp_path / "test", "--allow", "leaks")[0] == 0


def test_a_test_store_may_hold_an_image_at_several_scales(tmp_path, images, capsys) -> None:
    for scale in (2, 3):
        for name in ("coffee", "rocket"):
            write_image(tmp_path / f"test/X{scale}/{name}.png", np.ascontiguousarray(images[name][: 240 - scale]))
    write_image(tmp_path / "train/chelsea.png", images["chelsea"])
    code, _, report = run(capsys, tmp_path, tmp_path / "train", "--test", tmp_path / "test")
    assert code == 0 and report["faults"] == {}
    assert list(run(capsys, tmp_path, tmp_path / "test")[2]["faults"]) == ["alike"]  # as training data they are
    write_image(tmp_path / "train/a.png", images["coffee"])
    write_image(tmp_path / "train/b.png", imresize(images["coffee"], 1 / 2))
    _, _, report = run(capsys, tmp_path, tmp_path / "train", "--test", tmp_path / "test")
    assert [fault.split(":")[0][-13:] for fault in report["faults"]["leaks"]] == ["X2/coffee.png", "X3/coffee.png"]


def test_gt_a_pixel_too_large_is_a_fault_unless_it_is_cut(pairs, tmp_path, tiny_config, capsys) -> None:
    hr, lr = pairs
    for name in ("coffee", "rocket"):
        write_image(hr / f"{name}.png", np.pad(read_image(hr / f"{name}.png"), ((0, 1), (0, 2), (0, 0)), "edge"))
    code, _, report = run(capsys, tmp_path, hr, "--lq", lr)
    assert code == 1 and len(report["faults"]["sizes"]) == 2
    assert "2 GT images less than 3 px too large" in report["notes"][0] and "convert_lmdb --cut" in report["notes"][0]
    train = (
        f"data.train.dataset=dict(_delete_=True, type='PairedDataset', gt={str(hr)!r}, lq={str(lr)!r}, scale=3, cut=%s)"
    )
    for cut, kinds in ((True, []), (False, ["sizes"])):
        report = run(capsys, tmp_path, tiny_config, train % cut)[2]
        assert list(report["faults"]) == kinds


def test_an_lmdb_is_checked_against_its_checksums(pairs, tmp_path, capsys) -> None:
    store = tmp_path / "s.lmdb"
    assert main(["convert_lmdb", str(pairs[0]), "-o", str(store)]) == 0
    assert run(capsys, tmp_path, store)[0] == 0
    with lmdb.open(str(store)) as env, env.begin(write=True) as txn:
        value = bytearray(txn.get(b"coffee"))
        value[1000] ^= 1
        txn.put(b"coffee", bytes(value))
    code, _, report = run(capsys, tmp_path, store)
    assert code == 1 and "coffee.png: damaged" in report["faults"]["damaged"][0]


def test_the_sets_of_a_config(tiny_config, photo_folder, tmp_path, capsys) -> None:
    code, out, report = run(capsys, tmp_path, tiny_config)
    assert code == 0 and [each["name"] for each in report["sets"]] == ["data.train.dataset", "data.val.datasets.photos"]
    assert "is a training store itself" in report["notes"][0] and "note: " in out
    code, _, report = run(capsys, tmp_path, tiny_config, f"data.train.dataset.gt={tmp_path / 'none'}")
    assert code == 1 and "data.train.dataset" in report["faults"]["stores"][0]
    code, _, report = run(capsys, tmp_path, tiny_config, f"data.val.datasets.photos.gt={tmp_path / 'none'}")
    assert code == 0 and "evaluation skips it" in report["notes"][0]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["a", "--allow", "everything"], "the kinds are"),
        (["a", "b", "--lq", "c"], "1 stores for 2"),
        (["a", "scale=3"], "goes with a config"),
    ],
)
def test_wrong_arguments(argv, message, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["check_data", *argv])
    assert message in capsys.readouterr().err
