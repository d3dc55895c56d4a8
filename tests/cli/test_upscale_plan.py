"""What `upscale` takes for images, how it calls the results, and what it refuses before any work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from srtoolbox.apps.folder.plan import Naming, plan
from srtoolbox.cli import main
from srtoolbox.errors import ImageError
from srtoolbox.image import write_image


def planned(inputs: list[Path | str], out: Path | str | None = None, **naming: str) -> tuple[dict[str, str], list[str]]:
    """Names by name, and the names left out."""
    jobs, left_out, _ = plan([str(path) for path in inputs], Naming(None if out is None else str(out), **naming))
    return {Path(job.source).name: job.target.name for job in jobs}, [Path(text).name for text in left_out]


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_earlier_results_are_left_out_and_nothing_else(tmp_path: Path) -> None:
    folder = touch(tmp_path / "in", "a.jpg", "a_sr.png", "b_sr.png", "sub/c.png", "sub/c.png_sr.png")
    jobs = {"a.jpg": "a_sr.png", "b_sr.png": "b_sr_sr.png", "c.png": "c_sr.png"}
    for inputs in ([folder], [*folder.iterdir(), folder / "sub"], [f"{folder}/**/*.*"]):
        names, left_out = planned(inputs)
        assert names == jobs and sorted(left_out) == ["a_sr.png", "c.png_sr.png"]
    names, left_out = planned([folder], tmp_path / "out")
    assert len(names) == 5 and not left_out
    assert names["a_sr.png"] == "a_sr_sr.png"
    assert planned([folder], suffix="_x4")[1] == []
    for ext in ("jpg", "same"):  # results of another format are results too
        assert sorted(planned([folder], ext=ext)[1]) == ["a_sr.png", "c.png_sr.png"]


def test_an_image_given_twice_is_taken_once(tmp_path: Path) -> None:
    touch(tmp_path, "t1.png")
    (tmp_path / "link").symlink_to(tmp_path)
    for again in (tmp_path / "t1.png", tmp_path / "link/t1.png", tmp_path / "../" / tmp_path.name / "t1.png"):
        jobs, *_ = plan([str(tmp_path / "t1.png"), str(again)], Naming())
        assert [(job.source, job.target) for job in jobs] == [(str(tmp_path / "t1.png"), tmp_path / "t1_sr.png")]


def test_the_suffix_stays_in_the_name_where_two_would_collide(tmp_path: Path) -> None:
    touch(tmp_path, "photo.bmp", "photo.tiff", "other.bmp")
    jobs = {"photo.bmp": "photo.bmp_sr.png", "photo.tiff": "photo.tiff_sr.png", "other.bmp": "other_sr.png"}
    assert planned([tmp_path])[0] == jobs
    assert planned([tmp_path], tmp_path / "out")[0] == jobs


def test_names_by_option(tmp_path: Path) -> None:
    touch(tmp_path, "a.JPG", "b.tiff", "c.webp")
    assert planned([tmp_path], suffix="-x2", ext="webp")[0] == {
        "a.JPG": "a-x2.webp",
        "b.tiff": "b-x2.webp",
        "c.webp": "c-x2.webp",
    }
    same = {"a.JPG": "a_sr.JPG", "b.tiff": "b_sr.tiff", "c.webp": "c_sr.webp"}
    assert planned([tmp_path], ext="same")[0] == same
    plain = {"a.JPG": "a.JPG", "b.tiff": "b.tiff", "c.webp": "c.webp"}
    assert planned([tmp_path], tmp_path / "out", ext="same", suffix="")[0] == plain
    touch(tmp_path / "raw", "no_suffix")
    assert planned([tmp_path / "raw/no_suffix"], ext="same")[0] == {"no_suffix": "no_suffix_sr.png"}


def test_nothing_is_written_over_a_image(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "a.png", "b.png")
    for inputs, naming in (
        ([tmp_path], Naming(suffix="", ext="same")),
        ([tmp_path / "a.jpg", tmp_path / "b.png"], Naming(suffix="", ext="png")),
        ([tmp_path / "a.png"], Naming(out=str(tmp_path / "a.png"))),
    ):
        with pytest.raises(ImageError, match=r"written over the image .*\.(png|jpg): give another folder"):
            plan([str(path) for path in inputs], naming)
    with pytest.raises(ImageError, match=r"would both be written to .*a\.png|written over the image"):
        plan([str(tmp_path)], Naming(suffix="", ext="png"))


def test_nothing_is_written_over_what_a_link_leads_to(tmp_path: Path) -> None:
    touch(tmp_path, "photo.png", "in/other.png")
    (tmp_path / "in/photo.jpg").symlink_to(tmp_path / "photo.png")
    for inputs, naming in (
        ([tmp_path / "in/photo.jpg"], Naming(str(tmp_path / "photo.png"))),
        ([tmp_path / "in"], Naming(str(tmp_path), suffix="")),
    ):
        with pytest.raises(ImageError, match=r"photo\.jpg would be written over the image .*photo\.png: give"):
            plan([str(path) for path in inputs], naming)


def test_patterns_keep_the_structure_below_what_is_fixed(tmp_path: Path) -> None:
    folder = touch(tmp_path / "in", "x.png", "a/x.png", "a/b/y.PNG", "a/notes.txt", ".hidden/z.png", "d.png/e.png")
    jobs, *_ = plan([f"{folder}/**/*.[pP]*"], Naming(str(tmp_path / "out")))
    found = {Path(job.source).relative_to(folder).as_posix(): job.target.relative_to(tmp_path) for job in jobs}
    assert {name: path.as_posix() for name, path in found.items()} == {
        "x.png": "out/x_sr.png",
        "a/x.png": "out/a/x_sr.png",
        "a/b/y.PNG": "out/a/b/y_sr.png",
        "d.png/e.png": "out/d.png/e_sr.png",
    }
    touch(tmp_path, "strange[1].png")
    assert planned([tmp_path / "strange[1].png"])[0] == {"strange[1].png": "strange[1]_sr.png"}
    with pytest.raises(ImageError, match=r"\*\.txt: describes no images"):
        plan([f"{folder}/**/*.txt"], Naming())


def test_one_file_for_one_image(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    (job,) = plan([str(tmp_path / "a.jpg")], Naming(str(tmp_path / "large.webp"))).jobs
    assert job.target == tmp_path / "large.webp"
    (job,) = plan([str(tmp_path / "a.jpg")], Naming("-")).jobs
    assert job.target is None
    with pytest.raises(ImageError, match=r"large\.png: one file for 2 images; give a folder"):
        plan([str(tmp_path)], Naming("large.png"))
    (job,) = plan([str(tmp_path / "a.jpg")], Naming(f"{tmp_path}/new.png/")).jobs
    assert job.target == tmp_path / "new.png/a_sr.png"
    for name in ("large.gif", "large.AVIF"):
        with pytest.raises(ImageError, match=rf"{name}: no format that is written; .*\.png"):
            plan([str(tmp_path / "a.jpg")], Naming(str(tmp_path / name)))
    (tmp_path / "large.gif").mkdir()
    (tmp_path / "folder.png").mkdir()  # a folder whatever its name
    (job,) = plan([str(tmp_path / "a.jpg")], Naming(str(tmp_path / "folder.png"))).jobs
    assert job.target == tmp_path / "folder.png/a_sr.png"


def test_streams_and_addresses(tmp_path: Path) -> None:
    assert plan(["-"], Naming("x.png")).jobs[0].target == Path("x.png")
    assert plan(["-"], Naming(str(tmp_path))).jobs[0].target == tmp_path / "stdin_sr.png"
    with pytest.raises(ImageError, match="standard input needs a place to go"):
        plan(["-"], Naming())
    for address, name in {
        "https://example.org/a/cat.jpg?size=large#x": "cat_sr.png",
        "https://example.org/a%20b/c%2Fd.png": "d_sr.png",
        "https://example.org/..%2f..%2f.profile": "profile_sr.png",
        "https://example.org/": "picture_sr.png",
        "https://example.org/x%00%0a.png": "x___sr.png",
    }.items():
        (job,) = plan([address], Naming(str(tmp_path))).jobs
        assert (job.kind, job.source, job.target) == ("url", address, tmp_path / name)
    for address in ("https://[example/a.png", "https://", "https:///a.png"):
        with pytest.raises(ImageError, match="no address"):
            plan([address], Naming(str(tmp_path)))
    (job,) = plan([f"https://example.org/{'%E4%BA%AC' * 120}.png"], Naming(str(tmp_path))).jobs
    assert len(job.target.name.encode()) < 200  # file systems have 255
    for address in ("http://example.org/a.png", "file:///etc/passwd", "ftp://example.org/a.png"):
        with pytest.raises(ImageError, match="only files and addresses https"):
            plan([address], Naming(str(tmp_path)))
    with pytest.raises(ImageError, match="would both be written"):
        plan(["https://a.org/x.png", "https://b.org/x.png"], Naming(str(tmp_path)))


def test_inputs_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty.png").mkdir()
    with pytest.raises(ImageError, match=r"gone\.png: no such image or folder"):
        plan([str(tmp_path / "gone.png")], Naming())
    with pytest.raises(ImageError, match=r"empty\.png: no images in this folder"):
        plan([str(tmp_path / "empty.png")], Naming())
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")  # told when it is read, like a damaged image
    assert planned([tmp_path / "link.png"])[0] == {"link.png": "link_sr.png"}


def test_two_inputs_with_one_output_are_refused_first(
    bicubic: str, photo: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for name in ("a/x.png", "b/x.png"):
        write_image(tmp_path / name, photo[:9, :9])
    inputs = [str(tmp_path / "a/x.png"), str(tmp_path / "b/x.png")]
    assert main(["upscale", bicubic, *inputs, "-o", str(tmp_path / "out")]) == 2
    assert "would both be written" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_each_folder_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "in", *(f"{name}.png" for name in "abcdefgh"))
    looked, resolve = [], Path.resolve
    monkeypatch.setattr(Path, "resolve", lambda path: looked.append(path) or resolve(path))
    assert len(planned([tmp_path / "in"], tmp_path / "out")[0]) == 8
    assert len(looked) <= 4 and {path.name for path in looked} == {"in", "out"}
