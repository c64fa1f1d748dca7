"""A JupyterLab of its own for the tests: on a free port, with a random token, in temporary folders."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SEARCHED = ("JUPYTER_PATH", "JUPYTER_CONFIG_PATH")  # folders that Jupyter would read besides its own
SETTINGS = {
    # By default cells outside the window are not in the page, and a test could not look at them.
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}


def copy_course(folder: Path, names: list[str]) -> Path:
    """The notebooks and their twins as in the checkout, whose files the tests leave alone."""
    copy = folder / "notebooks"
    (copy / "src").mkdir(parents=True)
    for name in names:
        shutil.copy(ROOT / "notebooks" / f"{name}.ipynb", copy)
        shutil.copy(ROOT / "notebooks" / "src" / f"{name}.py", copy / "src")
    shutil.copy(ROOT / "jupytext.toml", folder)
    return copy


def environment(folder: Path, token: str) -> dict[str, str]:
    """Nothing of the user's Jupyter is read or written."""
    settings = folder / "settings"
    for plugin, values in SETTINGS.items():
        path = settings / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    folders = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    ours = {name: value for name, value in os.environ.items() if name not in SEARCHED}
    return {
        **ours,
        **{variable: str(folder / name) for variable, name in folders.items()},
        "JUPYTER_TOKEN": token,
    }


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def answers(url: str) -> bool:
    try:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(url, timeout=5) as reply:
            return reply.status == 200
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


@contextmanager
def jupyterlab(folder: Path, notebooks: Path, *, patience: float = 60) -> Iterator[str]:
    """Start JupyterLab on ``notebooks``, as `make lab` does; gives the address of notebook `{name}`."""
    token, port = secrets.token_hex(16), free_port()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    command += [f"--notebook-dir={notebooks}", "--LabApp.extension_manager=readonly"]
    log = folder / "jupyterlab.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(folder, token),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        started = time.monotonic()
        while not answers(f"http://127.0.0.1:{port}/api/status?token={token}"):
            assert server.poll() is None, f"JupyterLab ended:\n{log.read_text()[-3000:]}"
            assert time.monotonic() - started < patience, f"no answer:\n{log.read_text()[-3000:]}"
            time.sleep(0.2)
        # A workspace each; the shared one would open the notebooks of earlier tests too.
        yield f"http://127.0.0.1:{port}/lab/workspaces/{{name}}/tree/{{name}}.ipynb?token={token}"
    finally:
        server.terminate()  # it ends its kernels before itself
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
