"""What the comparisons in this folder share: the machine, the two programs, models, timed runs.

Standard library only. Nothing here downloads anything; the peer is a llama.cpp tree that the user
built (bench/README.md says how), handed over by path.
"""
import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Failed(Exception):
    """A program could not be run or said no; the text is for the user."""


class Finished:
    """A program that ended: its output, wall-clock seconds, peak resident bytes."""

    def __init__(self, out, err, seconds, peak_rss, timed_out):
        self.out, self.err, self.seconds = out, err, seconds
        self.peak_rss, self.timed_out = peak_rss, timed_out


def run(argv, env=None, timeout=None):
    """Run a program to its end; Failed unless it exits with 0 (or hits the timeout)."""
    argv = [str(a) for a in argv]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.monotonic()
        try:
            child = subprocess.Popen(argv, stdout=out, stderr=err, stdin=subprocess.DEVNULL,
                                     env={**os.environ, **(env or {})})
        except OSError as e:
            raise Failed(f"{argv[0]}: {e.strerror}") from e
        timed_out = threading.Event()

        def stop():
            timed_out.set()
            child.kill()

        timer = threading.Timer(timeout, stop) if timeout else None
        if timer:
            timer.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            child.kill()
            raise
        finally:
            if timer:
                timer.cancel()
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - start
        out.seek(0)
        err.seek(0)
        result = Finished(out.read().decode(errors="replace"), err.read().decode(errors="replace"),
                          seconds, usage.ru_maxrss * 1024, timed_out.is_set())
    if child.returncode != 0 and not result.timed_out:
        last = (result.err.strip().splitlines() or [""])[-1]
        raise Failed(f"{' '.join(argv)}: exit code {child.returncode}: {last}")
    return result


# ---- where things are --------------------------------------------------------------------------

def base_parser(description, epilog=None, peer="needed"):
    """The options that every script here takes; the peer is "needed", "optional" or has no part."""
    p = argparse.ArgumentParser(description=description, epilog=epilog,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    if peer:
        p.add_argument("peer", metavar="PEER_DIR", type=Path, nargs=None if peer == "needed" else "?",
                       help="llama.cpp tree, built")
        p.add_argument("--peer-build", metavar="DIR", type=Path,
                       help="its build folder (default PEER_DIR/build)")
    p.add_argument("--build", metavar="DIR", type=Path, default=ROOT / "build",
                   help="ashlar's build folder (default %(default)s)")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ashlar" / "bench"
    p.add_argument("--cache", metavar="DIR", type=Path, default=cache,
                   help="keeps generated models (default %(default)s)")
    p.add_argument("--threads", metavar="N", type=int, default=2)
    return p


class Programs:
    """Both sides' executables, found once."""

    def __init__(self, args):
        self.args = args
        self.peer_build = args.peer_build or (args.peer and args.peer / "build")
        self.ashlar = self._need(args.build / "ashlar", "run `make`")
        self.mkmodel = self._need(args.build / "tools" / "mkmodel", "run `make tools`")

    @staticmethod
    def _need(path, hint):
        if not path.is_file():
            raise Failed(f"{path} is missing ({hint})")
        return path

    def peer(self, name):
        return self._need(self.peer_build / "bin" / name, f"build the peer's target {name}")

    def our_logits(self):
        return self._need(self.args.build / "tools" / "logits", "run `make tools`")

    def peer_logits(self):
        return self.against_peer("llama-logits")

    def against_peer(self, name):
        """bench/NAME.c, compiled against the peer's libllama when it is out of date."""
        source = ROOT / "bench" / f"{name}.c"
        program = self.args.cache / name
        libraries = self.peer_build / "bin"
        library = self._need(libraries / "libllama.so", "configure it with BUILD_SHARED_LIBS=ON")
        stale = [source, library]
        if program.exists() and all(f.stat().st_mtime < program.stat().st_mtime for f in stale):
            return program
        self.args.cache.mkdir(parents=True, exist_ok=True)
        run([os.environ.get("CC", "cc"), "-O2", "-std=gnu11", source, "-o", program,
             "-I", self.args.peer / "include", "-I", self.args.peer / "ggml" / "include",
             "-L", libraries, "-lllama", "-lggml", "-lggml-base", f"-Wl,-rpath,{libraries}"])
        return program


def make_model(programs, preset, arch, weight_type, seed=1, more=()):
    """A random model of that shape in the cache, `more` options to mkmodel; made on first use."""
    name = "-".join([preset, arch, weight_type, str(seed), *(m.lstrip("-") for m in more)])
    path = programs.args.cache / f"{name}.gguf"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".part")
        run([programs.mkmodel, "--preset", preset, "--arch", arch, "--type", weight_type,
             "--seed", seed, *more, "-o", unfinished])
        unfinished.rename(path)
    return path


def sha256(path):
    """Hash of a file (reading it also brings it into the page cache)."""
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


# ---- the machine and the versions ---------------------------------------------------------------

FLAGS = ["avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16",
         "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "asimd", "asimddp", "i8mm", "bf16"]


def first_line(path):
    try:
        return Path(path).read_text().splitlines()[0]
    except (OSError, IndexError):
        return "unknown"


def machine_lines():
    """What figures depend on, as `name: value` lines."""
    lscpu = dict(re.findall(r"^\s*([^:]+):\s*(.*)$",
                            run(["lscpu"], env={"LC_ALL": "C"}).out, re.M))
    have = set(lscpu.get("Flags", "").split())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return [
        f"cpu:      {lscpu.get('Model name', 'unknown')}, "
        f"{len(os.sched_getaffinity(0))} cores usable, L2 {lscpu.get('L2 cache', '?')}, "
        f"L3 {lscpu.get('L3 cache', '?')}",
        f"flags:    {' '.join(f for f in FLAGS if f in have)}",
        f"memory:   {int(memory.group(1)) / 2**20:.1f} GiB, transparent huge pages "
        f"{first_line('/sys/kernel/mm/transparent_hugepage/enabled')}",
        f"kernel:   {os.uname().release}, load {first_line('/proc/loadavg')}",
    ]


def our_version(programs):
    version = run([programs.ashlar, "version"]).out.splitlines()[0]
    try:
        commit = run(["git", "-C", ROOT, "describe", "--always", "--dirty"]).out.strip()
    except Failed:
        commit = "no git"
    return f"{version} ({commit})"


# ---- small figures -------------------------------------------------------------------------------

def megabytes(n):
    return f"{n / 1e6:.0f} MB"


def table(rows, left=1):
    """Rows of strings as aligned text, the first `left` columns to the left."""
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) if i < left else c.rjust(w)
                               for i, (c, w) in enumerate(zip(r, widths))).rstrip() for r in rows)


def say(text):
    """Progress, to standard error."""
    print(text, file=sys.stderr, flush=True)


def main(function):
    """Run a script's main function; errors in words, exit codes as the other programs have them."""
    try:
        sys.exit(function())
    except Failed as e:
        print(f"{Path(sys.argv[0]).name}: {e}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
