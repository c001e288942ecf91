"""Reports and previews beside a result: which are requested, and that none replaces a file."""

from types import SimpleNamespace

import pytest

from gpustack.cli.extras import Extras
from gpustack.errors import OutputError


@pytest.fixture
def extras(tmp_path):
    def of(*names, preview=None, overwrite=False):
        preview = None if preview is None else tmp_path / preview
        return Extras(preview, [tmp_path / name for name in names], overwrite, None)

    return of


@pytest.mark.parametrize(
    ("names", "preview", "report", "look"),
    [
        ([], None, False, False),
        (["a.json"], None, True, False),
        (["a.JSON"], None, True, False),
        (["a.html"], None, False, True),
        (["a.HTML", "a.json"], None, True, True),
        ([], "a.png", False, True),
    ],
)
def test_what_they_need_of_a_result(extras, names, preview, report, look):
    assert extras(*names, preview=preview).wanted == {"report": report, "look": look}


@pytest.mark.parametrize("names", [("a.json", "b.json"), ("a.html", "b.HTML")])
def test_one_report_of_a_kind(extras, names):
    kind = names[0].rpartition(".")[2]
    with pytest.raises(OutputError, match=rf"expected one report in {kind}, got .*{names[0]} too"):
        extras(*names)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_report_that_has_appeared_meanwhile(extras, tmp_path, overwrite):
    asked, report = extras("a.json", overwrite=overwrite), tmp_path / "a.json"
    report.write_text("mine")
    result, output = SimpleNamespace(report={"made": "here"}), tmp_path / "out.fits"
    if overwrite:
        asked.write(result, output)
        assert "here" in report.read_text()
    else:
        with pytest.raises(OutputError, match=r"out\.fits was written; its report was not: .*json"):
            asked.write(result, output)
        assert report.read_text() == "mine"
