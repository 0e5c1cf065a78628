"""The shipped object: what the source gives, byte for byte; it loads; errors say what is wrong."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from dataplane.bpf.handle import word
from dataplane.bpf.maps import MAP_TYPE_ARRAY, Map
from dataplane.bpf.objects import Object
from dataplane.drivers.xdp.driver import OBJECT, supported
from dataplane.errors import DriverError
from dataplane.forwarding.program import CAPTURE, FOLDER

SOURCE = FOLDER


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_rebuilding_gives_the_shipped_objects(where: str, tmp_path: Path) -> None:
    source, out = SOURCE, tmp_path / "out"
    out.mkdir()
    if where == "elsewhere":
        source = tmp_path / "copy"
        source.mkdir()
        for path in SOURCE.iterdir():
            if path.suffix in (".c", ".h") or path.name == "Makefile":
                (source / path.name).write_bytes(path.read_bytes())
    subprocess.run(["make", "-s", "-C", source, f"OUT={out}"], check=True)
    made = {path.name: path.read_bytes() for path in out.iterdir()}
    assert made == {path.name: path.read_bytes() for path in SOURCE.glob("*.o")}, "run `make xdp`"


@pytest.mark.root
def test_this_machine_is_supported() -> None:
    assert supported() is None


@pytest.mark.root
def test_the_verifier_is_soon_through() -> None:
    """An engine's start waits for it: 1,000 instructions are a millisecond. What loops over a header's options is the
    first to multiply them, see `option_at` in packet.h."""
    with Object(OBJECT) as loaded:
        loaded.load()
        with loaded.program("dsr") as program:
            verified = word(program.info(220), 216)  # struct bpf_prog_info, verified_insns
    assert 0 < verified < 40_000


@pytest.mark.parametrize(("path", "entry"), [(OBJECT, "dsr"), (CAPTURE, "capture")], ids=["dsr", "capture"])
def test_the_stack_does_for_linux_6_1(path: Path, entry: str) -> None:
    """Its verifier takes each function's stack for a multiple of 32 bytes, and refuses a chain of calls that needs more
    than 512; newer ones reckon closer."""
    stacks, calls, called, frame = dict[str, int](), dict[str, set[str]](), "", set[str]()
    disassembly = ["llvm-objdump", "-dr", "--no-show-raw-insn", str(path)]
    for line in subprocess.run(disassembly, check=True, capture_output=True, text=True).stdout.splitlines():
        if (begins := re.fullmatch(r"[0-9a-f]+ <(?!LBB)(\w+)>:", line)) is not None:
            called = begins[1]
            stacks[called], calls[called] = 1, set()
        elif (copied := re.search(r"\b(r\d) = r10$", line)) is not None:
            frame.add(copied[1])
        elif (moved := re.search(r"\b(r\d) \+= -(\d+)$", line)) is not None and moved[1] in frame:
            frame.remove(moved[1])
            stacks[called] = max(stacks[called], int(moved[2]))
        elif (used := re.search(r"\(r10 - (\d+)\)", line)) is not None:
            stacks[called] = max(stacks[called], int(used[1]))
        elif (follows := re.search(r"R_BPF_64_32\s+(\w+)$", line)) is not None:
            calls[called].add(follows[1])

    def needed(name: str) -> int:
        return -(-stacks[name] // 32) * 32 + max(map(needed, calls[name]), default=0)

    assert calls[entry]
    assert needed(entry) <= 512


@pytest.mark.root
def test_a_missing_object_is_named(tmp_path: Path) -> None:
    with pytest.raises(DriverError, match=r"no BPF program .*/none\.o") as caught:
        Object(tmp_path / "none.o")
    assert caught.value.remedy == "make xdp"


@pytest.mark.root
def test_what_is_no_object_is_refused_with_libbpfs_words(tmp_path: Path) -> None:
    (tmp_path / "text.o").write_text("not an object")
    with pytest.raises(DriverError, match="libbpf: "):
        Object(tmp_path / "text.o")


@pytest.mark.root
def test_the_verifiers_words_are_told(tmp_path: Path) -> None:
    (tmp_path / "bad.c").write_text(
        """#include <linux/bpf.h>
        __attribute__((section("xdp"))) int bad(struct xdp_md *ctx) { return *(char *)(long)ctx->data; }
        char _license[] __attribute__((section("license"))) = "GPL";"""
    )
    compile_ = ["clang", "-O2", "-g", "-target", "bpf", "-I/usr/include/x86_64-linux-gnu", "-c", "bad.c", "-o", "bad.o"]
    subprocess.run(compile_, cwd=tmp_path, check=True)
    with Object(tmp_path / "bad.o") as opened, pytest.raises(DriverError, match="invalid access to packet"):
        opened.load()


@pytest.mark.root
def test_a_map_that_is_full_says_so() -> None:
    with Map.create(1, "avi_test", 4, 4, 2) as small:
        small.update(b"aaaa", b"1111")
        small.update(b"bbbb", b"2222")
        with pytest.raises(DriverError, match="avi_test is full: it holds 2 entries"):
            small.update(b"cccc", b"3333")
        assert dict(small.items()) == {b"aaaa": b"1111", b"bbbb": b"2222"}
        small.delete(b"aaaa")
        small.delete(b"aaaa")
        assert small.lookup(b"aaaa") is None


@pytest.mark.root
def test_many_entries_are_read_and_written() -> None:
    with Map.create(1, "avi_test", 4, 8, 20_000) as many:
        entries = {n.to_bytes(4, "little"): n.to_bytes(8, "big") for n in range(10_000)}
        many.update_all(b"".join(entries), b"".join(entries.values()))
        assert dict(many.items()) == entries
    with Map.create(MAP_TYPE_ARRAY, "avi_test", 4, 8, 100) as row:
        row.write(b"12345678abcdefgh", 50)
        assert row.read(100)[50 * 8 : 52 * 8] == b"12345678abcdefgh"
        assert row.lookup((51).to_bytes(4, "little")) == b"abcdefgh"
