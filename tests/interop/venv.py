"""Makes the virtual environment that holds one version of the legacy package, once, whatever other process tries to.

usage: python3 venv.py FOLDER VERSION

Prints "made" or "found". The lock is the operating system's, so one who dies while making leaves no lock behind, and
the half-made folder that it leaves lacks the mark that is written last.
"""

import os
import shutil
import subprocess
import sys

PACKAGE = "kademlia-dynamic"


def lock(path):
    """Waits until the lock is ours. It lasts until this process ends."""
    handle = open(path, "a+")
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX)
    except ImportError:  # Windows
        import msvcrt

        while True:
            try:
                handle.seek(0)
                msvcrt.locking(handle.fileno(), msvcrt.LK_LOCK, 1)
                break
            except OSError:  # it waits for ten seconds only
                continue
    return handle


def run(*command):
    """Runs a step of the making; ends with what it printed if it fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace").strip()
        sys.exit("%s failed:\n%s" % (" ".join(command), said))


def is_whole(python, mark, version):
    """Whether the folder was made to the end, and its Python still runs (it dies with the one that it was made from)."""
    if not os.path.exists(mark) or not os.path.exists(python):
        return False
    check = "import sys, importlib.metadata as it, kademlia_dynamic; sys.exit(it.version(%r) != %r)" % (PACKAGE, version)
    return subprocess.run([python, "-c", check], stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


def main():
    folder, version = os.path.abspath(sys.argv[1]), sys.argv[2]
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    held = lock(folder + ".lock")
    python = os.path.join(folder, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))
    mark = os.path.join(folder, "made")
    if is_whole(python, mark, version):
        print("found")
    else:
        shutil.rmtree(folder, ignore_errors=True)
        run(sys.executable, "-m", "venv", folder)
        run(python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "%s==%s" % (PACKAGE, version))
        with open(mark, "w") as out:
            out.write(version + "\n")
        print("made")
    held.close()


main()
