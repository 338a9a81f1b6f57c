"""The page in the browser, by Gradio."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from fastapi import FastAPI
from gradio import processing_utils

from class_jax.errors import UserError
from class_jax.pictures.outputs import ATTENTION, CUTOUT, KINDS, MAP, OVERLAY, Output, lay_over
from class_jax.serving.service import MOST_BYTES, MOST_PIXELS, Service, hide_folder

MOST_FILES = 200  # in a zip
MOST_PAGES = 100  # that are open at once
KEPT_SECONDS = 3600  # files of a page; they are looked for every few minutes
LOOK_SECONDS = 300
SQUARE = 12  # pixels, of the checkerboard
CHOICES = {"Cut-outs": CUTOUT, "Maps": MAP, "Overlays": OVERLAY}
INTRODUCTION = """# What stands out?
Drop a picture, paste one or pick an example. It stays on the machine that serves this page and is
deleted within about an hour, or when the server ends."""
LIMITS = (
    f"Up to {MOST_FILES} pictures of {MOST_BYTES >> 20} MB and {MOST_PIXELS // 1_000_000} "
    "megapixels each."
)
STYLE = """
.gradio-container {max-width: 1200px !important; width: 100%; min-width: 0; margin: 0 auto}
#examples img {object-fit: cover}
"""


def add_page(app: FastAPI, service: Service, *, examples: list[Path], folder: Path) -> FastAPI:
    """Add the page to an application.

    Args:
      app: the application.
      service: makes the outputs.
      examples: files of pictures to pick from.
      folder: for uploads and what is made of them; the caller deletes it.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    # Gradio would fetch a file that a request names by its address.
    processing_utils.async_ssrf_protected_download = _refuse_address
    page = Page(service, folder)
    with gr.Blocks(
        title="class_jax", analytics_enabled=False, delete_cache=(LOOK_SECONDS, KEPT_SECONDS)
    ) as blocks:
        gr.Markdown(INTRODUCTION)
        with gr.Tab("One picture"):
            _lay_out_one(page, examples)
        with gr.Tab("Many pictures"):
            _lay_out_many(page)
    blocks.state_session_capacity = MOST_PAGES
    blocks.queue(max_size=MOST_PAGES, api_open=False)
    # Only so do Gradio's checks apply in an application of one's own: without, a request may name
    # any file of this machine as its upload.
    blocks.has_launched = blocks.is_running = True
    return gr.mount_gradio_app(
        app,
        blocks,
        "/",
        footer_links=[],
        run_history=False,
        show_error=True,
        max_file_size=MOST_BYTES,
        ssr_mode=False,
        pwa=False,
        theme=gr.themes.Default(
            font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
        ),
        css=STYLE,
    )


def _lay_out_one(page: "Page", examples: list[Path]) -> None:
    """Place the part for one picture, and say what happens when it is used."""
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            source = gr.Image(
                label="Picture", type="filepath", sources=["upload", "clipboard"], height=320,
                elem_id="source",
            )  # fmt: skip
            gr.Examples(
                [str(path) for path in examples], source, elem_id="examples",
                cache_examples=False, api_visibility="private",
            )  # fmt: skip
        with gr.Column(scale=3, min_width=300):
            with gr.Tab("Cut-out"):
                cutout = _show("Cut-out")
            with gr.Tab("Compare"):
                slider = gr.ImageSlider(
                    label="Before and after", interactive=False, buttons=["fullscreen"]
                )
            with gr.Tab("Overlay"):
                overlay = _show("Overlay")
            with gr.Tab("Map"):
                saliency = _show("Saliency map")
            if page.service.has_attention:
                with gr.Tab("Attention"):
                    gr.Markdown("Click a point to see where the network looks to judge it.")
                    points = _show("Click a point")
                    sheet = _show("Attention at the point", show_label=False)
            with gr.Row():
                downloads = [
                    gr.DownloadButton(f"Download {name}", interactive=False)
                    for name in ("cut-out", "map")
                ]
            threshold = gr.Slider(
                0, 1, 0, step=0.01, label="Threshold",
                info="0 keeps soft edges; above, a hard mask at that level",
            )  # fmt: skip
    if not page.service.has_attention:
        gr.Markdown("Attention is not shown: an .onnx file holds the map alone.")
        points = gr.Image(visible=False)
    shown = [cutout, slider, overlay, saliency, points]
    once: dict[str, Any] = {
        "concurrency_limit": 1, "concurrency_id": "network", "api_visibility": "private",
    }  # fmt: skip
    # Without preprocessing: Gradio would decode the file by its own rules.
    gr.on(
        [source.change, threshold.release], page.show, [source, threshold], [*shown, *downloads],
        preprocess=False, **once,
    ).success(page.save, [source, threshold], downloads, preprocess=False, **once)  # fmt: skip
    if page.service.has_attention:
        points.select(page.attend, source, sheet, preprocess=False, **once)


def _lay_out_many(page: "Page") -> None:
    """Place the part for many pictures."""
    gr.Markdown(LIMITS)
    files = gr.File(label="Pictures", file_count="multiple", type="filepath")
    kind = gr.Radio(list(CHOICES), value="Cut-outs", label="Make")
    button = gr.Button("Make a zip", variant="primary")
    result, report = gr.File(label="Zip", interactive=False), gr.Markdown()
    button.click(
        page.make_zip, [files, kind], [result, report], concurrency_limit=2,
        concurrency_id="zip", api_visibility="private",
    )  # fmt: skip


def _show(label: str, *, show_label: bool = True) -> gr.Image:
    return gr.Image(
        label=label, show_label=show_label, interactive=False, buttons=["fullscreen"], format="png"
    )


class Page:
    """The work of the page's parts when they are used."""

    def __init__(self, service: Service, folder: Path) -> None:
        """Use a service; write into a folder."""
        self.service, self._folder = service, folder

    def show(self, source: dict[str, Any] | None, threshold: float) -> tuple[Any, ...]:
        """Return cut-out, both sides of the slider, overlay, map and picture; buttons that wait."""
        if (path := _path_of(source)) is None:
            return (*[None] * 5, *self._wait())
        render, level = self.service.render, threshold or None
        view = _explain(path, lambda: self.service.view(path))
        cutout = _lay_on_board(render(view, Output(CUTOUT, threshold=level)))
        overlay = render(view, Output(OVERLAY, threshold=level))
        saliency = render(view, Output(MAP, threshold=level))
        return cutout, (view.image, cutout), overlay, saliency, view.image, *self._wait()

    def _wait(self) -> tuple[Any, Any]:
        """Return download buttons that cannot be used yet."""
        return gr.update(interactive=False, value=None), gr.update(interactive=False, value=None)

    def save(self, source: dict[str, Any] | None, threshold: float) -> tuple[Any, Any]:
        """Return download buttons with the cut-out and the map at the picture's own size."""
        if (path := _path_of(source)) is None:
            return self._wait()
        outputs = [Output(kind, threshold=threshold or None) for kind in (CUTOUT, MAP)]
        contents = _explain(path, lambda: self.service.make(path, outputs).result())
        updates = []
        for content, kind in zip(contents, (CUTOUT, MAP), strict=True):
            target = self._folder / os.urandom(16).hex() / f"{path.stem}_{kind}.png"
            target.parent.mkdir()
            target.write_bytes(content)
            updates.append(gr.update(interactive=True, value=str(target)))
        return updates[0], updates[1]

    def attend(self, source: dict[str, Any] | None, event: gr.SelectData) -> np.ndarray | None:
        """Return the sheet of the attention at the point that was clicked."""
        if (path := _path_of(source)) is None:
            return None
        x, y = (int(place) for place in event.index)
        view = _explain(path, lambda: self.service.view(path))
        return _explain(path, lambda: self.service.render(view, Output(ATTENTION, point=(x, y))))

    def make_zip(
        self,
        files: list[str] | None,
        kind: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - where Gradio looks for it
    ) -> tuple[str | None, str]:
        """Return a zip of what was made of many pictures, and what is to be said."""
        if not files:
            raise _complain("Choose some pictures first.")
        if len(files) > MOST_FILES:
            raise _complain(f"{len(files)} files: at most {MOST_FILES} at once.")
        target = self._folder / os.urandom(16).hex() / f"{CHOICES[kind]}.zip"
        target.parent.mkdir()
        outcomes = self.service.make_zip([Path(f) for f in files], Output(CHOICES[kind]), target)
        problems = []
        for done, problem in enumerate(outcomes, 1):
            progress((done, len(files)), unit="pictures")
            problems += [problem] if problem else []
        made = len(files) - len(problems)
        lines = [f"{made} of {len(files)} {KINDS[CHOICES[kind]]} made.", *problems]
        return (str(target) if made else None), "\n\n".join(lines)


def _path_of(source: dict[str, Any] | None) -> Path | None:
    return Path(source["path"]) if source else None


def _explain(path: Path, work: Callable[[], Any]) -> Any:
    """Return what `work` returns; a user's mistake becomes a message on the page."""
    try:
        return work()
    except UserError as error:
        raise _complain(hide_folder(error, path)) from error


def _complain(sentence: str) -> gr.Error:
    return gr.Error(sentence, title="Sorry", print_exception=False)


def _lay_on_board(cutout: np.ndarray) -> np.ndarray:
    """Return a cut-out, uint8 RGBA [H, W, 4], over a checkerboard."""
    height, width = cutout.shape[:2]
    rows, columns = np.arange(height)[:, None] // SQUARE, np.arange(width) // SQUARE
    board = np.where((rows + columns) % 2, 255, 205).astype(np.uint8)
    alpha = cutout[..., 3].astype(np.float32) / 255
    colours = np.ascontiguousarray(cutout[..., :3])
    return lay_over(colours, alpha, np.dstack([board] * 3))


async def _refuse_address(url: str, cache_dir: str) -> str:
    raise _complain("Pictures are taken as files, not by their addresses.")
