"""Random configs, sites, positions, texts, expressions of features and replies of a language model: each is used, or
refused with a message; nothing else ever happens, and nothing takes long or much memory.
"""

from __future__ import annotations

import argparse
import json
import random
import time
import tomllib
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from faults.figures import Figure, Part, forget_peak, peak
from faults.world import helper
from inversescope.cli.configs import shipped
from inversescope.config import RunConfig
from inversescope.errors import UserError
from inversescope.features.functions import FUNCTIONS, NAMES
from inversescope.features.language import parse
from inversescope.position import cut, keep_last, typed
from inversescope.propose.parsing import read_answers, read_proposals
from inversescope.sites import POINTS, Site, select
from inversescope.subject import Subject
from inversescope.tasks import IOIConfig, load_task

LONGEST, LARGEST = 60.0, 2 << 10  # seconds of one trial; resident MB at its peak, the model among them
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, -(10**30), 0.5, float("nan"), float("inf"), -0.0, 1e-320, "",
    " ", "all", "auto", "*", "resid_post.*", "9" * 5000, "\0", "\ud800", "a\nb", "[bold]", "\u202e", "é" * 300,
    "../../x", "/dev/null", [], [None], [0], [[]], [[[[[]]]]], [1, 1], ["", ""], {}, {"a": 1}, {"": {}},
    "x" * 100_000,
)  # fmt: skip
SIGNS = "abzAZ 019.,:;*+-_=<>()[]{}'\"\\/@#%&|!?~^$\n\t\r\0é中\u0301😀\u202e\ufeff\ud83d\x1b\x7f"
WORDS = (
    *POINTS, *FUNCTIONS, *NAMES, "and", "or", "not", "in", "if", "else", "None", "True", "==", "<=", "//", "%", "'a'",
    "r'(a|b)+'", "1", "999999", "(", ")", ",", "user:-1", "last", "-1", "@", "+", ".", "lambda", "__class__", "for",
    "{99}", "(?R)", "{", "}", '"hypotheses"', '"words"', '"expression"', '"question"', '"answers"', ":", "[", "]",
    "null", "<think>",
)  # fmt: skip


def noise(rng: random.Random) -> str:
    """Random text: signs, words of the package's languages, or a lot of one sign."""
    kind = rng.randrange(4)
    if kind == 0:
        return "".join(rng.choices(SIGNS, k=rng.randrange(40)))
    if kind == 1:
        return "".join(rng.choices(WORDS, k=rng.randrange(12)))
    if kind == 2:
        return " ".join(rng.choices(WORDS, k=rng.randrange(12)))
    return rng.choice(SIGNS) * rng.choice((1, 9, 400, 5000, 100_000))


def damaged(text: str, rng: random.Random) -> str:
    """The text with some signs left out, added, or given twice."""
    for _ in range(rng.randrange(1, 4)):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.randrange(8))
        text = text[:start] + rng.choice(("", noise(rng)[:200], text[start:end] * 2)) + text[end:]
    return text


def expression(rng: random.Random, depth: int = 0) -> str:
    """An expression that is close to the language of features."""
    if depth > 4 or rng.random() < 0.3:
        return rng.choice((*NAMES, "'a'", "r'(\\w+)'", "3", "None", "True", repr(noise(rng)[:30])))
    parts = [expression(rng, depth + 1) for _ in range(3)]
    function = rng.choice(list(FUNCTIONS))
    return rng.choice(
        (
            f"{function}({', '.join(parts[: rng.randrange(4)])})",
            f"{parts[0]} {rng.choice(('and', 'or', '==', '<', 'in', '+', '//', '%'))} {parts[1]}",
            f"not {parts[0]}",
            f"({parts[0]} if {parts[1]} else {parts[2]})",
            f"{parts[0]} in ({parts[1]}, {parts[2]})",
        )
    )


def toml(value: Any) -> str:
    """A value as TOML; what it does not have, as what is nearest."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float):
        return repr(value) if "e" not in repr(value) or "." in repr(value) else f"{value:.1e}"
    return '""' if value is None else json.dumps(value)


class Fuzz:
    """What is tried, on a model of two layers."""

    def __init__(self, model: Path):
        self.subject = Subject.load(str(model), device="cpu", dtype="float32")
        self.task = load_task(IOIConfig(), self.subject)
        self.text = "Then, Michael and Jessica had a lot of fun at the garden. Michael gave a ring to"
        self.configs = list(shipped().values())

    def config(self, rng: random.Random) -> None:
        """A shipped config with odd values or keys, or damaged as text."""
        text = rng.choice(self.configs)
        if rng.random() < 0.4:
            RunConfig.parse(damaged(text, rng), "fuzzed")
            return
        settings = tomllib.loads(text)
        for _ in range(rng.randrange(1, 4)):
            section = rng.choice([*RunConfig.model_fields, "nothing"])
            kind = getattr(RunConfig.model_fields.get(section), "annotation", None)
            keys = [*getattr(kind, "model_fields", {}), "name", "file", "path", "x"]
            value = rng.choice(ODD)
            if rng.random() < 0.2 or not isinstance(settings.get(section, {}), dict):
                settings[section] = value
            elif section == "features":
                form = rng.choice(("expression", "regex", "function", "column", "undecided"))
                settings.setdefault(section, {})[noise(rng)[:9]] = {form: rng.choice((value, noise(rng)))}
            else:
                settings.setdefault(section, {})[rng.choice(keys)] = value
        RunConfig.parse("\n".join(f"{json.dumps(key)} = {toml(value)}" for key, value in settings.items()), "fuzzed")

    def site(self, rng: random.Random) -> None:
        """Addresses of sites, parsed and looked up."""
        point, numbers = rng.choice(POINTS), [str(rng.choice(ODD[:12])) for _ in range(rng.randrange(3))]
        address = rng.choice((noise(rng), ".".join([point, *numbers]), damaged("probe@z.1.0+resid_post.1", rng)))
        rng.choice((Site.parse, lambda given: select([given], self.subject.shape)))(address)

    def position(self, rng: random.Random) -> None:
        """Positions of a text or a conversation."""
        said = [{"role": rng.choice(("user", "x")), "content": rng.choice((self.text, noise(rng)))} for _ in range(3)]
        odd = rng.choice([value for value in ODD if isinstance(value, str | list)])
        source: Any = rng.choice((self.text, noise(rng), said, [rng.choice(ODD)], odd))
        position = rng.choice((noise(rng), rng.choice(("last", "user:0", "x:-9", "9" * 5000)), rng.randrange(-99, 99)))
        if isinstance(position, str) and rng.random() < 0.5:
            position, _ = typed(self.subject, source, position)
        cut(self.subject, source, position)

    def texts(self, rng: random.Random) -> None:
        """Texts and tokens: there and back, shown to people, cut, read by the model and labelled."""
        text = rng.choice((noise(rng), damaged(self.text, rng)))
        tokens = keep_last(cut(self.subject, text), self.subject.prefix, self.subject.longest)
        self.subject.show(tokens)
        assert set(self.task.labels(tokens)) == set(self.task.features)
        any_tokens = [rng.randrange(self.subject.model.config.vocab_size) for _ in range(rng.randrange(20))]
        assert set(self.task.labels(any_tokens)) == set(self.task.features)
        self.task.log_prior(any_tokens)
        if rng.random() < 0.2:
            self.subject.capture([tokens], [Site.parse("resid_post.1")])

    def program(self, rng: random.Random) -> None:
        """Expressions of features, evaluated on random texts."""
        source = rng.choice((expression(rng), damaged(expression(rng), rng), noise(rng), f"matches({noise(rng)!r})"))
        read = parse(source)
        for text in (noise(rng), self.text, ""):
            label = read.label(text)
            assert label is None or isinstance(label, str)

    def reply(self, rng: random.Random) -> None:
        """Replies of a language model, read as hypotheses and as answers."""
        items = [{"words": noise(rng), "expression": expression(rng)}, {"words": "x", "question": noise(rng)}]
        whole: Any = {"hypotheses": [*items, rng.choice(ODD)], "answers": {"1": rng.choice(ODD), "2": "yes"}}
        text = json.dumps(rng.choice((whole, rng.choice(ODD), {**whole, "answers": rng.choice(ODD)})))
        text = rng.choice((text, damaged(text, rng), noise(rng), "```json\n" + text, "[" * 100_000, '{"a":' * 50_000))
        proposed = read_proposals(text, 8, parse)
        assert all(isinstance(each.words, str) for each in proposed.hypotheses)
        assert set(read_answers(text, ["one", "two"]).values()) <= {"yes", "no", "cannot tell", None}


KINDS: dict[str, Callable[[Fuzz, random.Random], None]] = {
    "configs": Fuzz.config,
    "sites": Fuzz.site,
    "positions": Fuzz.position,
    "texts": Fuzz.texts,
    "expressions of features": Fuzz.program,
    "replies": Fuzz.reply,
}


USED, REFUSED = "used", "refused"


def trial(fuzz: Fuzz, kind: str, seed: str) -> str:
    """One trial: `USED` or `REFUSED`, or else what happened."""
    started, end = time.process_time(), USED
    forget_peak()
    try:
        KINDS[kind](fuzz, random.Random(seed))
    except UserError:
        end = REFUSED
    except Exception as error:
        return f"{seed}: {type(error).__name__}: {error}"[:300]
    seconds = time.process_time() - started
    if seconds > LONGEST or peak() > LARGEST:
        return f"{seed}: {seconds:.0f} s, {peak()} MB"
    return end


def measure(folder: Path, chosen: argparse.Namespace) -> Iterator[Figure]:
    """The figures, one for each kind."""
    fuzz = Fuzz(helper("small_subject").save_subject(folder / "model"))
    for kind, number in zip(KINDS, count(), strict=False):
        trials = chosen.fuzzed // len(KINDS) + (number < chosen.fuzzed % len(KINDS))
        slowest, largest, ends = 0.0, 0, []
        for index in range(trials):
            started = time.process_time()
            ends.append(trial(fuzz, kind, f"{chosen.seed} {kind} {index}"))
            slowest, largest = max(slowest, time.process_time() - started), max(largest, peak())
        wrong = [end for end in ends if end not in (USED, REFUSED)]
        note = f"{ends.count(USED)} used, the others refused; slowest {slowest:.1f} s"
        yield Figure(f"fuzzed {kind}", trials, trials - len(wrong), tuple(wrong), note, largest)


PART = Part(
    "random configs, sites, positions, texts, expressions and replies: each is used, or refused with a message",
    lambda options: options.add_argument("--fuzzed", type=int, default=10_000, help="trials, all kinds together"),
    measure,
)
