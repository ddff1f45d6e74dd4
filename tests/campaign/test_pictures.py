"""Thumbnails: small, of the images that the run had, none where they are gone."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from PIL import Image

import mutatenn
from mutatenn.results.store import Store
from mutatenn.testing import made_run


def run_of(folder: Path, images: dict[str, Image.Image]) -> mutatenn.Run:
    """Return a run of these images."""
    (folder / "photos").mkdir()
    for name, image in images.items():
        image.save(folder / "photos" / name)
    run = made_run(folder / "run", {"cpu": {}}, images=len(images))
    text = (run.directory / "campaign.toml").read_text()
    (run.directory / "campaign.toml").write_text(text.replace("mutatenn:digits/*.png", f"{folder}/photos/*"))
    store = Store.open(run.directory, write=True)
    with store._db:
        for place, name in enumerate(sorted(images)):
            digest = hashlib.sha256((folder / "photos" / name).read_bytes()).hexdigest()
            row = (name, digest, place)
            store._db.execute("UPDATE images SET name = ?, digest = ? WHERE position = ?", row)
    store.close()
    return mutatenn.open_run(run.directory)


def test_they_are_small_pictures_of_the_images(tmp_path: Path) -> None:
    red = Image.new("RGB", (200, 100), (220, 10, 10))
    run = run_of(tmp_path, {"a.png": red, "b.png": Image.new("L", (4, 4), 7)})
    found = mutatenn.thumbnails(run, ["a.png", "b.png", "c.png"], side=32)
    assert set(found) == {"a.png", "b.png"}
    picture = Image.open(io.BytesIO(found["a.png"]))
    assert (picture.format, picture.size) == ("WEBP", (32, 16))
    pixel = picture.convert("RGB").getpixel((8, 8))
    assert isinstance(pixel, tuple)
    assert (pixel[0] > 180, pixel[1] < 60) == (True, True)
    assert Image.open(io.BytesIO(found["b.png"])).size == (4, 4)


def test_none_of_images_that_changed_or_went(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 8))
    run = run_of(tmp_path, {"a.png": image, "b.png": image, "c.png": image})
    Image.new("RGB", (8, 8), (1, 2, 3)).save(tmp_path / "photos" / "a.png")
    (tmp_path / "photos" / "b.png").unlink()
    assert list(mutatenn.thumbnails(run, run.image_names)) == ["c.png"]
    (run.directory / "campaign.toml").unlink()
    assert mutatenn.thumbnails(run, run.image_names) == {}
