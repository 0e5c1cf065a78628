"""Every part of `make torture`, short."""

from __future__ import annotations

import pytest

from tests.torture.__main__ import main
from tests.torture.parts import PARTS, Run


@pytest.mark.parametrize("name", PARTS)
def test_part(name: str) -> None:
    run = Run(name, PARTS[name].short)
    PARTS[name].run(run)
    assert run.at + 1 == run.count
    assert sum(run.outcomes.values()) > 0


def test_what_must_not_happen_is_told_with_what_does_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def third_fails(run: Run) -> None:
        for _ in run.steps():
            assert run.at != 2

    monkeypatch.setattr("tests.torture.lines.run", third_fails)
    assert main(["lines=9", "--seed", "x"]) == 1
    told = capsys.readouterr()
    assert "again: python -m tests.torture lines --seed x --first 2 --count 1" in told.err
    assert "FAILED: lines" in told.out
