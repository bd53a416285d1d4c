"""Any position of any text: what is read at an index, at a piece of the text, at a turn of a conversation."""

from __future__ import annotations

import pytest
from fake_tokenizer import WordSubject
from hypothesis import assume, given
from hypothesis import strategies as st
from refusals import refuses
from small_subject import save_subject, tokenizer
from transformers import PreTrainedTokenizerFast

from inversescope.position import cut, keep_last, typed
from inversescope.subject import Subject
from inversescope.subject.tokenizer import PretrainedTokenizer, Tokenizer

TEXT = "Mary and John went, and John gave"
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Who went?"},
    {"role": "assistant", "content": "Mary, and John."},
    {"role": "user", "content": "Who gave?"},
]
CHATML = (
    "{% for message in messages %}{{ '<s>' + message['role'] + '\\n' + message['content'] + '</s>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<s>assistant\\n' }}{% endif %}"
)


class Read:
    """A subject that is no more than a Hugging Face tokenizer, with a prefix."""

    def __init__(self, words: PreTrainedTokenizerFast, prefix: tuple[int, ...]):
        self.words = PretrainedTokenizer(words)
        self.prefix = prefix
        self.converse = self.words.converse

    def encode(self, text: str) -> list[int]:
        return [*self.prefix, *self.words.encode(text)]

    def decode(self, tokens: tuple[int, ...]) -> str:
        return self.words.decode(tokens[len(self.prefix) :])


def chatting() -> PreTrainedTokenizerFast:
    words = tokenizer()
    words.chat_template = CHATML
    return words


BYTES = Read(chatting(), (0,))


def read(source, position) -> str:
    """The text that ends at a position."""
    subject = WordSubject()
    return subject.decode(cut(subject, source, position))


@pytest.mark.parametrize(
    ("position", "ends"),
    [
        ("last", "gave"),
        (0, "Mary"),
        (-1, "gave"),
        (-8, "Mary"),
        (3, " went"),
        ("Mary", "Mary"),
        ("Mary and", "Mary and"),
        (", and", ", and"),
        ("wen", " went"),  # the token in which it ends
        ("John gave", "John gave"),
    ],
)
def test_a_position_is_where_the_input_ends(position, ends: str):
    text = read(TEXT, position)
    assert TEXT.startswith(text) and text.endswith(ends)


@pytest.mark.parametrize(
    ("position", "values"),
    [
        (8, {"given": 8, "allowed": ("0 to 7", "-8 to -1")}),
        (-9, {"given": -9, "allowed": "-8 to -1"}),
        ("Peter", {"given": "'Peter'", "allowed": ("last", "ROLE:TURN")}),
        ("", {"given": "''", "allowed": "last"}),
        ("user:0", {"given": "'user:0'", "allowed": "last"}),  # a text has no turns
        ("John", {"given": "'John'", "allowed": ("2 in 'Mary and John went, and John '", "6 in"), "remedy": True}),
    ],
)
def test_a_position_that_is_none_or_several_is_refused(position, values: dict):
    with refuses(**values):
        read(TEXT, position)


@pytest.mark.parametrize(
    ("text", "typed_position", "position", "is_piece"),
    [
        ("In 1984 he went", "1984", "1984", False),
        ("In 1984 he went", "2", 2, False),
        ("In 1984 he went", "-1", -1, False),
        ("1 and 2", "1", 1, True),  # an index, and a piece of the text
        ("he went", "99", 99, False),  # neither: refused as an index, with those that there are
        ("he went", "1" * 5000, "1" * 5000, False),
        ("he went", "went", "went", False),
    ],
)
def test_a_typed_number_is_an_index_or_a_piece(text: str, typed_position: str, position, is_piece: bool):
    assert typed(BYTES, text, typed_position) == (position, is_piece)


def test_a_time_of_day_is_a_piece_of_a_conversation():
    talk = [{"role": "user", "content": "at 12:30 she went"}]
    tokens = cut(BYTES, talk, "12:30")
    assert BYTES.decode(tokens).endswith("at 12:30")
    with refuses(given="13:30", allowed="user"):
        cut(BYTES, talk, "13:30")


def test_many_occurrences_are_counted_and_the_first_ones_listed():
    with refuses("30", allowed="20 more"):
        read("John " * 30, "John")


@given(st.text(min_size=1), st.data())
def test_what_ends_at_a_piece_holds_it_and_not_a_token_more(text: str, data: st.DataObject):
    """Whatever the text, bytes of a character in several tokens included."""
    end = data.draw(st.integers(1, len(text)))
    decoded = BYTES.decode(tuple(BYTES.encode(text)))
    assume(decoded == text and text.count(text[:end]) == 1 and "\ufffd" not in text and text[:end] != "last")
    tokens = cut(BYTES, text, text[:end])
    assert BYTES.decode(tokens).startswith(text[:end])
    assert not BYTES.decode(tokens[:-1]).startswith(text[:end])


@given(st.text(min_size=1, max_size=20))
def test_every_index_is_a_prefix_of_the_whole(text: str):
    whole = tuple(BYTES.encode(text))
    assert [cut(BYTES, text, index) for index in range(len(whole) - 1)] == [
        whole[: n + 2] for n in range(len(whole) - 1)
    ]
    assert cut(BYTES, text) == cut(BYTES, text, -1) == whole


@pytest.mark.parametrize(
    ("position", "ends"),
    [
        ("user:0", "<s>user\nWho went?"),
        ("user:1", "<s>user\nWho gave?"),
        ("user:-1", "<s>user\nWho gave?"),
        ("user:-2", "<s>user\nWho went?"),
        ("system:0", "<s>system\nBe brief."),
        ("assistant:0", "Mary, and John."),
        ("last", "Who gave?</s>\n<s>assistant\n"),
        (0, "<s>"),
        ("and John", "Mary, and John"),
    ],
)
def test_a_turn_is_read_at_the_last_token_of_its_content(position, ends: str):
    text = BYTES.decode(cut(BYTES, TALK, position))
    assert BYTES.converse(TALK).startswith(text) and text.endswith(ends)


def test_a_conversation_that_the_assistant_ends_is_not_continued():
    text = BYTES.decode(cut(BYTES, TALK[:3]))
    assert text.endswith("Mary, and John.</s>\n")


@given(
    st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.text(min_size=1, max_size=12)), min_size=1), st.data()
)
def test_turns_are_found_whatever_they_say(turns: list[tuple[str, str]], data: st.DataObject):
    talk = [{"role": role, "content": content} for role, content in turns]
    assume(not any(mark in content for _, content in turns for mark in ("<", "\ue000")))
    number = data.draw(st.integers(0, len(talk) - 1))
    role = talk[number]["role"]
    turn = sum(message["role"] == role for message in talk[:number])
    text = BYTES.decode(cut(BYTES, talk, f"{role}:{turn}"))
    up_to = "".join(f"<s>{role}\n{content}</s>\n" for role, content in turns[: number + 1])
    assert up_to.removesuffix("</s>\n") == text


@pytest.mark.parametrize(
    ("talk", "position", "values"),
    [
        (TALK, "tool:0", {"given": "tool:0", "allowed": "system, user, assistant"}),
        (TALK, "user:2", {"given": "user:2", "allowed": ("user:0 to user:1", "user:-2 to user:-1")}),
        (TALK, "user:-3", {"given": "user:-3", "allowed": "user:0 to user:1"}),
        ([], "last", {"allowed": '"role"'}),
        (["hello"], "last", {"given": "message 0: 'hello'", "allowed": '"role"'}),
        ([{"role": "user"}], "last", {"given": "message 0: {'role': 'user'}"}),
        ([{"role": "user", "content": None}], "last", {"given": "message 0:", "allowed": '"role"'}),
        ([{"role": "user", "content": ""}], "user:0", {"given": "user:0: ''", "remedy": True}),
    ],
)  # fmt: skip
def test_a_conversation_that_cannot_be_read_is_refused(talk, position, values: dict):
    with refuses(**values):
        cut(BYTES, talk, position)


def test_a_template_that_shortens_a_message_still_tells_where_it_ends():
    words = chatting()
    words.chat_template = CHATML.replace("message['content']", "message['content'] | trim")
    subject = Read(words, (0,))
    text = subject.decode(cut(subject, [{"role": "user", "content": "  Who?  "}], "user:0"))
    assert text == "<s>user\nWho?"


def test_a_template_that_refuses_or_is_missing_is_told():
    words = chatting()
    words.chat_template = "{{ raise_exception('roles must alternate') }}"
    with refuses(given="roles must alternate"):
        cut(Read(words, (0,)), TALK)
    with refuses(given="4 messages", remedy=True):
        cut(Read(tokenizer(), (0,)), TALK)
    with refuses(given="4 messages", remedy=True):
        Tokenizer(lambda text: [1], lambda tokens: "x").converse(TALK)


def test_what_stands_nearest_to_the_position_is_kept():
    assert keep_last((0, 1, 2, 3), (0,), 4) == (0, 1, 2, 3)
    assert keep_last((0, 1, 2, 3), (0,), 3) == (0, 2, 3)
    assert keep_last((1, 2, 3), (), 1) == (3,)


# Tokens for people


def test_special_tokens_are_shown_for_what_they_are(tmp_path):
    subject = Subject.load(str(save_subject(tmp_path)), device="cpu")
    tokens = subject.encode("Mary</s> went <pad>")
    assert subject.decode(tokens) == "Mary</s> went <pad>"
    assert subject.show(tokens) == "Mary‹/s› went ‹pad›"
    assert subject.show([*subject.prefix, *tokens]) == "‹s›Mary‹/s› went ‹pad›"
    assert subject.encode("<s>Mary") == subject.encode("Mary")  # the prefix stands once


def test_bytes_that_make_no_character_are_named():
    words = PretrainedTokenizer(tokenizer())
    tokens = list(words.encode("Mary: שלום"))
    assert words.show(tokens) == "Mary: שלום"
    assert words.show(tokens[:-1]) == "Mary: שלו‹0xD7›"
    assert words.show(tokens[-1:]) == "‹0x9D›"
    assert words.show(list(words.encode("a\x1b[1m\tb\n\ufffd"))) == "a‹0x1B›[1m\tb\n\ufffd"
    assert words.show(list(words.encode("a\u202eb\u2069\u200d"))) == "a‹U+202E›b‹U+2069›\u200d"


@given(st.text(), st.data())
def test_what_is_shown_is_the_text_where_nothing_is_hidden(text: str, data: st.DataObject):
    words = PretrainedTokenizer(tokenizer())
    tokens = list(words.encode(text))
    if not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in text) and "<" not in text:
        assert words.show(tokens) == text
    some = data.draw(st.lists(st.sampled_from(tokens or [5])))
    assert "\ufffd" not in words.show(some) or "\ufffd" in text


def test_byte_tokens_of_a_vocabulary_of_pieces_are_named():
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models

    pieces = {"<s>": 0, "▁Mary": 1, "▁went": 2, "<0xE2>": 3, "<0x82>": 4, "<0xAC>": 5}
    backend = Backend(models.BPE(pieces, [], byte_fallback=True, fuse_unk=True))
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    words = PretrainedTokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>"))
    assert words.show([1, 3, 4, 5, 2]) == "Mary€ went"
    assert words.show([0, 1, 3, 4, 2]) == "‹s› Mary‹0xE2›‹0x82› went"
