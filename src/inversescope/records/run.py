"""Files of the run itself, and of the steps `task` and `report`."""

from __future__ import annotations

from inversescope.records.record import SEAL, Record, Room, document, key

RESOLVED = document(
    "resolved.json",
    "The whole config with every default filled in.",
    key(
        "seed, subject, task, features, collect, neighbourhood, generator, train, calibrate, sample, causal, text",
        "sections of the config",
    ),
    key("config_sha256", "SHA-256 of `config.toml`"),
    SEAL,
)
PROVENANCE = document(
    "provenance.json",
    "The software, the machine and the model that made the run.",
    key("inversescope, python, torch, transformers", "versions"),
    key(
        "commit, dirty",
        "the commit of the source and whether it was changed since; null when installed from a package",
    ),
    key("platform, processor, device, dtype", "where it ran and in which number format the subject was read"),
    key("seed", "the run's seed; every step draws from a random stream of its own made from it"),
    key(
        "subject",
        "`name`, `fingerprint` (hash of the architecture and of a sample of the weights), `in_memory` (the model was "
        "given in Python, and must be given again to open the run), `prefix`: the tokens that "
        "start every input, and `projections`: the hash of each by name",
    ),
    key("task_file", "the SHA-256 of the user's file that defines the task; null for an installed task"),
    key(
        "features",
        "for each feature given by a function of the user's, the SHA-256 of the file that it stands in; for each whose "
        "expression needs [part of speech, sentiment or topic](features.md#part-of-speech-sentiment-topic), the "
        "library and model, with versions",
    ),
    key(
        "config",
        "where relative paths of the config start: `folder`, its folder, and `from_run`, the way to it from the run, "
        "which counts where that folder is no longer there",
    ),
    key(
        "prior",
        "hashes of what the prior is made from: files and folders of the task, the rows of own texts, code of the task "
        "that is not of this package, tokenizer, chat template; and `date`: today, for a chat template that writes it",
    ),
    key(
        "nodes",
        "nodes of the cluster that did a part of the work last, with versions, instruction set, GPUs, and the hash of "
        "one computation; empty where there was none",
    ),
    key("started", "time in UTC, ISO 8601"),
    key("seconds", '`{"collect": 12.3, ...}`: wall-clock time of each step, over all its lives if it was interrupted'),
    SEAL,
)
ACCURACY = document(
    "task/accuracy.json",
    "How well the subject does the task. Measured first; below `needed` the run stops unless forced.",
    key("defined", "whether the task has a notion of a right answer; if false all else is null"),
    key("value, low, high", "share of right answers with its 95% interval"),
    key("n", "prompts used"),
    key("what", "the rule by which an answer counts as right, in one sentence"),
    key("needed", "the share below which explaining is refused"),
)
READING = document(
    "task/reading.json",
    "What became of the rows of a file or a data set of texts.",
    key("rows, distinct, blank", "rows with a text, the different inputs that they come to, rows without a text"),
    key("shortened, max_tokens", "texts longer than an input may be, and the longest input in tokens"),
    key("by_position", "whether a position says where the texts are read; else they are read at their end"),
    key("features", "columns that are features"),
    key("left_out", "columns that are none, each with the reason"),
    key("cut", "the sentence on texts that were cut; null where there are none"),
    key("notes", "all of this in sentences"),
    always=False,
)

CORPUS = document(
    "task/corpus.json",
    "What became of the documents of a corpus.",
    key("corpus", "the corpus by name"),
    key("documents, windows", "documents with a window of their own, and all their windows"),
    key("empty, short", "documents left out: without text, shorter than a window"),
    key(
        "repeated", "windows left out because 13 tokens in a row (all, of shorter ones) also stand in another document"
    ),
    key("overlaps", "pairs of documents with such text, and the number of sequences in common; 50 pairs at most"),
    key("kinds", "number of documents of each kind"),
    key("notes", "all of this in sentences"),
    always=False,
)

RUN = Room(
    "",
    "",
    (
        Record("config.toml", "the config, byte for byte as it was given"),
        Record("manifest.json", "written last of all: the steps, and the hash of each step's manifest"),
        RESOLVED,
        PROVENANCE,
        Record(".lock", "empty; locked by the process that writes into the run", always=False),
        Record(
            ".parts.jsonl",
            "in the folder of an unfinished step: its parts with their hashes, a line each; `.parts-I-of-N.jsonl`: "
            "those of a share",
            always=False,
        ),
        Record(".writer", "the number of that process, while it writes", always=False),
    ),
)
TASK = Room("task", "", (ACCURACY, READING, CORPUS))
REPORT = Room(
    "report",
    "",
    (
        Record("report/report.html", "the report: one file that needs no network and nothing beside it"),
        Record("report/results.parquet", "a copy of `score/results.parquet`"),
        Record("report/results.json", "a copy of `score/results.json`"),
    ),
)
