"""Papers of arXiv."""

import gzip
import io
import shutil
import tarfile

import pytest

from mixtures.sources.arxiv import _number
from tests.mixtures.sources.imports import imported

EXPECTED = """# On flat trees of König

Abstract. We study flat trees in $\\mathbb{R}^n$. A naïve bound costs 50% more.

## Introduction to FlatTree

Trees are old and useful. The method FlatTree is new.

As everybody knows, section \\ref{sec:results} has results, and FlatTree's proof.

## Results

Theorem. For every $\\varepsilon x>0$ we have

\\begin{align}
  \\left\\lVert Ax \\right\\rVert &\\le \\varepsilon\\langle x, y \\rangle,\\\\
  \\operatorname{rank}A &= \\langle u, v \\rangle.
\\end{align}

Proof. Clear, see \\eqref{eq:bound}.

$$a^2 + b^2 = c^2$$

Time of FlatTree in seconds.

- first, “quoted” text — with dashes;
- (b) second (A note.).

```
def cost(x):  # not 50 % of $x
    return x \\
```

See https://example.org/a%20b_c.

## More

Text after the references."""
SHORT = "min_chars=10"
PAPER = "\\documentclass{article}\\title{T}\\begin{document}Some text here.\\end{document}"


def packed(files):
    """A tar of files, or what one file holds, as arXiv packs it."""
    if isinstance(files, str):
        return gzip.compress(files.encode())
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            add(archive, name, content.encode())
    return gzip.compress(stream.getvalue())


def add(archive, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def archive_of(path, members):
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            add(archive, name, content)
    return path


@pytest.fixture
def sample_files(samples):
    folder = samples / "2301.00042"
    return {file.relative_to(folder).as_posix(): file.read_text() for file in folder.rglob("*.tex")}


def test_an_archive_of_arxiv(sample_files, tmp_path):
    members = {
        "2301/2301.00042.gz": packed(sample_files),
        "2301/2301.00043.gz": packed(PAPER),
        "2301/2301.00044.pdf": b"%PDF-1.5",
        "2301/2301.00045.gz": packed("\\input amstex old"),
        "2301/2301.00046.gz": packed(sample_files)[:300],
        "2301/2301.00047.gz": packed({"main.tex": "\\documentclass{article} no document"}),
        "2301/math0601001.gz": packed(PAPER),
    }
    path = archive_of(tmp_path / "arXiv_src_2301_001.tar", members)
    report, documents = imported("arxiv", path, tmp_path / "out", SHORT, "licence=CC BY 4.0")
    told = {document["url"]: document for document in documents}
    assert told["https://arxiv.org/abs/2301.00042"]["text"] == EXPECTED
    assert told["https://arxiv.org/abs/2301.00042"]["title"] == "On flat trees of König"
    assert told["https://arxiv.org/abs/2301.00043"]["text"] == "# T\n\nSome text here."
    assert {document["licence"] for document in documents} == {"CC BY 4.0"}
    assert set(told) == {f"https://arxiv.org/abs/{n}" for n in ("2301.00042", "2301.00043", "math/0601001")}
    counts = report["counts"]
    assert counts["dropped"] == {"no LaTeX document": 1, "only a PDF": 1}
    assert counts["damaged"] == {"damaged paper": 1, "no \\begin{document}": 1}
    assert counts["examples"] == ["2301.00046: damaged paper", "2301.00047: no \\begin{document}"]
    assert counts["records"] == 7


def test_members_of_an_archive_that_are_no_papers_are_counted(tmp_path):
    members = {
        "2301/2301.00001.gz": packed(PAPER),
        "2301/2301.00002.PDF": b"%PDF-1.5",
        "2301/2301.00003.ps": b"%!PS",
        "2301/2301.00004.html": b"<p>",
        "2301/2301.00005.TEX": PAPER.encode(),
        "2301/2301.00006.tex": PAPER.encode(),
        "2301/2301.00007.tex": PAPER.encode() + b" " * 2000,
    }
    path = archive_of(tmp_path / "arXiv_src_2301_001.tar", members)
    report, documents = imported("arxiv", path, tmp_path / "out", SHORT, "max_paper_bytes=2000")
    assert sorted(document["url"][-1] for document in documents) == ["1", "5", "6"]
    assert report["counts"]["dropped"] == {"neither LaTeX nor a PDF": 2, "only a PDF": 1}
    assert report["counts"]["damaged"] == {"paper larger than max_paper_bytes": 1}
    assert report["counts"]["records"] == 7


def test_a_tar_of_one_paper_has_figures_that_are_no_records(tmp_path):
    members = {"ms/main.tex": PAPER.replace("Some", "\\input{part}Some").encode(), "ms/part.tex": b"More. "}
    path = archive_of(tmp_path / "mine.tar", {**members, "ms/a.eps": b"%!PS", "ms/b.pdf": b"%PDF-1.5"})
    report, (document,) = imported("arxiv", path, tmp_path / "out", SHORT)
    assert document["text"] == "# T\n\nMore. Some text here."
    assert report["counts"]["records"] == 1


def test_a_paper_may_have_files_without_an_ending(tmp_path):
    files = {"paper": PAPER.replace("Some", "\\input part Some"), "part": "More. ", "README": "no TeX"}
    (tmp_path / "hep-th9901001.gz").write_bytes(packed(files))
    _, (document,) = imported("arxiv", tmp_path / "hep-th9901001.gz", tmp_path / "out", SHORT)
    assert document["text"] == "# T\n\nMore. Some text here."


def test_a_tar_without_magic_bytes_is_one(tmp_path):
    files = {"ms.tex": PAPER.replace("Some", "\\input{part}Some"), "part.tex": "More. "}
    tar = bytearray(gzip.decompress(packed(files)))
    for begin in (0, 1024):
        tar[begin + 257 : begin + 265] = bytes(8)
        tar[begin + 148 : begin + 156] = b" " * 8
        tar[begin + 148 : begin + 156] = b"%06o\0 " % sum(tar[begin : begin + 512])
    (tmp_path / "hep-th9901001.gz").write_bytes(gzip.compress(tar))
    _, (document,) = imported("arxiv", tmp_path / "hep-th9901001.gz", tmp_path / "out", SHORT)
    assert document["text"] == "# T\n\nMore. Some text here."


def test_names_in_a_tar_may_be_absolute(tmp_path):
    files = {"/abs/ms.tex": PAPER.replace("Some", "\\input{part}Some"), "abs/part.tex": "More. "}
    (tmp_path / "hep-th9901001.gz").write_bytes(packed(files))
    _, (document,) = imported("arxiv", tmp_path / "hep-th9901001.gz", tmp_path / "out", SHORT)
    assert document["text"] == "# T\n\nMore. Some text here."


def test_folders_single_papers_and_numbered_files(samples, sample_files, tmp_path):
    shutil.copytree(samples / "2301.00042", tmp_path / "papers" / "2301.00042")
    (tmp_path / "papers" / "single.gz").write_bytes(packed(PAPER))
    (tmp_path / "papers" / "2302.00001.tar.gz").write_bytes(packed(sample_files))
    loose = tmp_path / "papers" / "loose"
    loose.mkdir()
    for name in ("2303.00001.tex", "2303.00002v2.tex"):
        (loose / name).write_text(PAPER.replace("Some", "\\input{part}Some"))
    (loose / "part.tex").write_text("Shared. ")
    report, documents = imported("arxiv", tmp_path / "papers", tmp_path / "out", SHORT)
    assert sorted((document["url"].rpartition("/")[2], document["text"][:24]) for document in documents) == [
        ("", "# T\n\nSome text here."),
        ("2301.00042", EXPECTED[:24]),
        ("2302.00001", EXPECTED[:24]),
        ("2303.00001", "# T\n\nShared. Some text h"),
        ("2303.00002v2", "# T\n\nShared. Some text h"),
    ]
    assert report["counts"]["records"] == 5


def test_a_bomb_and_a_paper_without_end_cost_only_themselves(tmp_path):
    members = {
        "2301/2301.00001.gz": gzip.compress(b"\\documentclass{article}" + b" " * 2_000_000),
        "2301/2301.00002.gz": packed(PAPER.replace("Some", "\\newcommand{\\a}{\\a\\a}\\a Some")),
        "2301/2301.00003.gz": packed(PAPER),
    }
    path = archive_of(tmp_path / "arXiv_src_2301_001.tar", members)
    report, (document,) = imported("arxiv", path, tmp_path / "out", SHORT, "max_paper_bytes=1_000_000")
    assert document["url"].endswith("2301.00003")
    assert report["counts"]["damaged"] == {
        "commands that expand without end": 1,
        "paper larger than max_paper_bytes": 1,
    }


def test_of_an_archive_cut_short_the_papers_before_the_cut_are_kept(tmp_path):
    path = archive_of(tmp_path / "a.tar", {f"2301/2301.0000{i}.gz": packed(PAPER) for i in range(5)})
    path.write_bytes(path.read_bytes()[: 2 * 1024 + 520])
    report, documents = imported("arxiv", path, tmp_path / "out", SHORT)
    assert len(documents) == 2
    assert report["counts"]["damaged"]["cannot be read further"] == 1


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("2301.00042", "2301.00042"),
        ("0704.0001v2", "0704.0001v2"),
        ("hep-th9901001", "hep-th/9901001"),
        ("math.AG0601001", "math/0601001"),
        ("thesis", "thesis"),
    ],
)
def test_numbers(name, number):
    assert _number(name) == (number, "" if name == "thesis" else f"https://arxiv.org/abs/{number}")
