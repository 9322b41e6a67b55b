"""Small tasks in lm-eval's form, in the language of the small corpus, and what a model should get in them."""

import json
from pathlib import Path
from typing import Any

import torch

from mixtures.tokenizer import Tokenizer
from tests.trainer.corpus import documents
from tests.trainer.runs import greedy
from trainer.model import Falcon2

CHOICE = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{train: data/{name}-train.jsonl, test: data/{name}-test.jsonl}}}}
output_type: multiple_choice
training_split: train
fewshot_split: train
fewshot_config: {{sampler: first_n}}
test_split: test
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{gold}}}}"
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
metadata: {{version: 2}}
"""

GENERATION = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{train: data/{name}-train.jsonl, test: data/{name}-test.jsonl}}}}
output_type: generate_until
training_split: train
fewshot_split: train
fewshot_config: {{sampler: first_n}}
test_split: test
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["."], max_gen_toks: 6, do_sample: false}}
metric_list:
  - {{metric: exact_match, aggregation: mean, higher_is_better: true}}
filter_list:
  - {{name: strict-match, filter: [{{function: regex, regex_pattern: "^ ?([a-z]+)"}}, {{function: take_first}}]}}
metadata: {{version: 1}}
"""

Doc = dict[str, Any]


def write_task(folder: Path, name: str, template: str, train: list[Doc], test: list[Doc]) -> None:
    """A task file, and its data in a folder beside it."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(template.format(name=name))
    for split, docs in (("train", train), ("test", test)):
        (folder / "data" / f"{name}-{split}.jsonl").write_text("".join(json.dumps(doc) + "\n" for doc in docs))


def questions(folder: str, count: int) -> list[Doc]:
    """Beginnings of sentences, each with its own next word and two of others; every third one names a wrong answer."""
    sentences = [s.split() for text in documents(folder, count) for s in text.split(". ")[:1]]
    words = [sentence[2].strip(".") for sentence in sentences]
    docs = []
    for i, sentence in enumerate(sentences):
        choices = [words[i], words[(i + 1) % count], words[(i + 2) % count] * 2]
        docs.append({"question": " ".join(sentence[:2]), "choices": choices, "gold": i % 3})
    return docs


def accuracies(model: Falcon2, tokenizer: Tokenizer, shots: list[Doc], docs: list[Doc]) -> tuple[float, float]:
    """By hand: share of questions whose likeliest choice is the gold one; by sum, and by mean over characters."""
    before = "".join(f"{doc['question']} {doc['choices'][doc['gold']]}\n\n" for doc in shots)
    plain, normed = 0, 0
    for doc in docs:
        scores = [_score(model, tokenizer, before + doc["question"], f" {choice}") for choice in doc["choices"]]
        lengths = [len(choice) for choice in doc["choices"]]
        means = [score / length for score, length in zip(scores, lengths, strict=True)]
        plain += scores.index(max(scores)) == doc["gold"]
        normed += means.index(max(means)) == doc["gold"]
    return plain / len(docs), normed / len(docs)


def first_word(model: Falcon2, tokenizer: Tokenizer, prompt: str) -> str:
    """The first word of the likeliest continuation."""
    tokens = greedy(model, _encoded(tokenizer, prompt), 6)[0].tolist()
    text: str = tokenizer.engine.decode(tokens, skip_special_tokens=False)
    return text.split(".")[0].strip().split(" ")[0]


@torch.no_grad()
def _score(model: Falcon2, tokenizer: Tokenizer, context: str, continuation: str) -> float:
    """Log-probability of a continuation, the sum over its tokens."""
    n_context, tokens = _encoded(tokenizer, context).shape[1], _encoded(tokenizer, context + continuation)
    logs = model(tokens[:, :-1]).double().log_softmax(-1)
    of_targets = logs.gather(-1, tokens[:, 1:, None])[0, n_context - 1 :, 0]
    return float(of_targets.sum())


def _encoded(tokenizer: Tokenizer, text: str) -> torch.Tensor:
    (ids,) = tokenizer.encode_batch([text])
    return torch.tensor(ids.astype("int64"))[None]
