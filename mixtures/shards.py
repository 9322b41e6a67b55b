"""Which shards there are to tokenise, and what lies under the token root when all are done.

tokenizer = open_tokenizer("tokenizer.json")
remove_drafts(tokens)
install_tokenizer(tokenizer, tokens)
jobs = plan_tokenize([out], tokens, tokenizer)
for job in jobs:                      # in any order, anywhere
    if not is_done(job):
        tokenize_shard(job)
finish(jobs, tokens)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from mixtures.catalogue import CATALOGUE, TOKENIZER, Catalogue, read_catalogue, survey, write_catalogue
from mixtures.columns import columns_path
from mixtures.decontamination.hits import hits_path
from mixtures.document_index import open_documents
from mixtures.documents import SUFFIXES, shard_stem
from mixtures.errors import InputError, TokenFileError, TokenizerError
from mixtures.files import written_whole
from mixtures.tokenization import Rules, TokenizeJob, fingerprint
from mixtures.tokenizer import Tokenizer, digest
from mixtures.tokens import read_header

_DATASETS: Final = ("RefinedWeb-English", "RefinedWeb-Europe")
"""What `falconmix curate` publishes; the other folders beside them are not for training."""


def install_tokenizer(tokenizer: Tokenizer, token_root: Path) -> Path:
    """Put the tokenizer beside the token files. Raises TokenizerError where another one is there already."""
    path = token_root / TOKENIZER
    if path.exists() and digest(path.read_text(encoding="utf-8")) != tokenizer.digest:
        raise TokenizerError(f"{token_root}: holds tokens of another tokenizer; give another --output or delete it")
    if not path.exists():
        with written_whole(path) as file:
            file.write(tokenizer.content.encode())
    return path


def plan_tokenize(
    inputs: Iterable[Path], token_root: Path, tokenizer: Tokenizer, rules: Rules | None = None
) -> list[TokenizeJob]:
    """One job per shard, in order of their outputs.

    An input is the output of `falconmix curate` (its published sets keep their folder names), another folder of shards
    (the token folder is called like it, subfolders keep their names) or a file (the token folder is called like the
    file). Raises InputError for a path that is missing, foreign or empty, and where two shards would meet in one file.
    """
    jobs: dict[Path, TokenizeJob] = {}
    for path in inputs:
        for source, folder in _sources(path):
            output = token_root / folder / f"{shard_stem(source)}.tokens"
            if output in jobs:
                raise InputError(f"{source} and {jobs[output].source} would both become {output}; rename one")
            jobs[output] = TokenizeJob(
                source=source,
                output=output,
                tokenizer=token_root / TOKENIZER,
                tokenizer_digest=tokenizer.digest,
                rules=rules or Rules(),
            )
    return [jobs[output] for output in sorted(jobs)]


def is_done(job: TokenizeJob) -> bool:
    """Whether the job's files stand, whole and made from this very input."""
    try:
        header = read_header(job.output)
        open_documents(job.output, header)
    except TokenFileError:
        return False
    beside = [columns_path(job.output), *([hits_path(job.output)] if job.rules.decontamination else [])]
    return all(path.exists() for path in beside) and header.job == fingerprint(job)


def remove_drafts(token_root: Path) -> None:
    """Delete what writers that were killed left behind; nobody else may be writing below the root."""
    for draft in token_root.rglob(".*.part"):
        draft.unlink(missing_ok=True)


def finish(jobs: Sequence[TokenizeJob], token_root: Path) -> Catalogue:
    """Write `tokens.json` over the finished `jobs`, keeping folders of earlier runs that they do not touch.

    Raises TokenFileError for a job that is not done, TokenizerError where an earlier run used another tokenizer.
    """
    catalogue = survey(token_root, [(job.output, job.source.name) for job in jobs])
    if (token_root / CATALOGUE).exists():
        catalogue = read_catalogue(token_root).joined(catalogue)
    write_catalogue(token_root, catalogue)
    return catalogue


def _sources(path: Path) -> list[tuple[Path, Path]]:
    """Shards under an input path, each with the name of its token folder."""
    if path.is_file():
        return [(path, Path(shard_stem(path)))]
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder; give the output of `falconmix curate` or document shards")
    datasets = [path / name for name in _DATASETS if (path / name).is_dir()]
    found = [
        (shard, folder.name / shard.parent.relative_to(folder))
        for folder in datasets or [path.resolve()]
        for shard in sorted(folder.rglob("*"))
        if shard.name.endswith(SUFFIXES) and not shard.name.startswith(".")
    ]
    if not found:
        raise InputError(f"{path}: holds no shards ({', '.join(SUFFIXES)}); give a folder that does")
    return found
