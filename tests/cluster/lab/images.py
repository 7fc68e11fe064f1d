"""Container images without a container engine and without a registry."""

import logging
import os
import re
import shutil
import tempfile
from pathlib import Path

from lab import packages
from lab.configuration import PAUSE_IMAGE
from lab.packages import search_path
from lab.settings import PYTHON_IMAGE, State
from lab.shell import LabError, attempt, run
from lab.toolchain import command

log = logging.getLogger(__name__)

PYTHON_PACKAGES = ("ca-certificates", "libpython3.11", "python3", "python3-venv", "python3.11", "python3.11-venv")
NOBODY = "65532:65532"
# How each engine writes an image to an archive that containerd reads.
ENGINES = {
    "buildah": ("buildah", "push", "--quiet", "{image}", "docker-archive:{file}:{image}"),
    "podman": ("podman", "save", "--quiet", "--format", "docker-archive", "--output", "{file}", "{image}"),
    "docker": ("docker", "save", "--output", "{file}", "{image}"),
}


def make_python_image() -> None:
    """A stand-in for `python:3.11-slim`, made of Debian's packages, for where no registry can be reached."""
    packages.ensure(packages.BASE_IMAGE)
    if image_id("buildah", PYTHON_IMAGE):
        return
    log.info("making %s", PYTHON_IMAGE)
    with tempfile.TemporaryDirectory(prefix="segtriton-root-", dir="/var/tmp") as folder:
        root = Path(folder) / "root"
        run("debootstrap", "--variant=minbase", f"--include={','.join(PYTHON_PACKAGES)}", "bookworm", root)
        for listing in ("var/lib/apt/lists", "var/cache/apt"):
            shutil.rmtree(root / listing)
            (root / listing).mkdir()
        commit(PYTHON_IMAGE, {root: "/"}, options=["--env", "LANG=C.UTF-8", "--cmd", "python3"])


def make_program_image(image: str, program: Path, name: str) -> None:
    """An image of nothing but one program, with the libraries that it names if it is not a static one."""
    if image_id("buildah", image):
        return
    log.info("making %s", image)
    files = {program: f"/{name}"} | {library: str(library) for library in libraries(program)}
    commit(image, files, options=["--entrypoint", f'["/{name}"]', "--user", NOBODY])


def libraries(program: Path) -> list[Path]:
    """The shared libraries of a program, its loader included."""
    said = attempt("ldd", program)
    return [Path(path) for path in re.findall(r"(?:=> |^\s+)(/\S+) \(", said.stdout, re.MULTILINE)]


def commit(image: str, files: dict[Path, str], options: list[str]) -> None:
    """Makes an image of files and settings."""
    container = run("buildah", "from", "scratch").strip()
    try:
        for source, target in files.items():
            run("buildah", "copy", "--quiet", container, source, target)
        run("buildah", "config", *options, container)
        run("buildah", "commit", "--quiet", "--disable-compression", container, image)
    finally:
        run("buildah", "rm", container)


def image_id(engine: str, image: str) -> str:
    """What an engine knows an image's content by; empty if it has no such image, or is not there."""
    if not shutil.which(engine, path=search_path()):
        return ""
    template = "{{.FromImageID}}" if engine == "buildah" else "{{.Id}}"
    kind = ["--type=image"] if engine in ("buildah", "podman") else []
    return attempt(engine, "inspect", *kind, "--format", template, image).stdout.strip()


def load(state: State, image: str) -> None:
    """Brings an image of buildah, podman or docker into the node, unless this very build is there."""
    engine, build = find(image)
    note = state.loaded_images / re.sub(r"[^\w.-]", "_", image)
    if note.exists() and note.read_text() == build:
        return
    with tempfile.TemporaryDirectory(prefix="image-", dir=state.root) as folder:
        archive = Path(folder) / "image.tar"
        run(*(part.format(image=image, file=archive) for part in ENGINES[engine]))
        run("ctr", "--address", state.containerd_socket, "--namespace", "k8s.io", "images", "import", archive)
    note.write_text(build)


def find(image: str) -> tuple[str, str]:
    """The engine that has an image, and which build of it."""
    for engine in ENGINES:
        if build := image_id(engine, image):
            return engine, build
    raise LabError(f"neither {' nor '.join(ENGINES)} has an image {image}; build it first")


def load_pause(state: State) -> None:
    """The image without which containerd starts no pod."""
    make_program_image(PAUSE_IMAGE, command("pause"), "pause")
    load(state, PAUSE_IMAGE)


def tag_of(program: Path) -> str:
    """A tag that changes when the program is built from other sources."""
    return program.parents[1].name.rpartition("-")[2]


def check_rights() -> None:
    """Images need root here, as the rest of the lab does."""
    if os.geteuid() != 0:
        raise LabError("this needs root; or set KUBECONFIG to use a cluster that runs already")
