"""Language of a text: by its script, and in Latin script by its function words. A rule for texts of a sentence or more.

No library and no model: words such as *the* and *of* are a third of any text, and few languages share them.
"""

from __future__ import annotations

from collections import Counter

import regex

from inversescope.features.word_splitting import split

FEWEST = 2  # function words that a text must have for its language to be decided

_WORDS = {
    "English": "the of and to in is that it was for on are with as his they at be this from have or had by but what "
    "were when your can said there which their will how them about would these her has him who my you he she not an",
    "French": "le la les de des du un une et est que qui dans pour pas sur avec plus par au aux ce cette ne se il elle "
    "nous vous ils sont mais ou été comme son sa ses leur dont où même très était être fait",
    "German": "der die das und ist nicht ein eine einen dem den des zu mit sich auf für von im als auch es an werden "
    "aus er hat dass sie nach wird bei noch wie war oder aber vor zur bis mehr durch man sein wurde ich wir ihr",
    "Spanish": "el la los las de del y que en un una es por con para no se su al lo como más pero sus le ya este sí "
    "porque esta entre cuando muy sin sobre también me hasta hay donde quien desde todo nos durante fue ser son",
    "Italian": "il lo la gli le di del della dei che e è un una per non in con si da come più ma sono nel alla anche "
    "questo ha o se su al dal era stato molto essere delle suo sua loro quando dove ai nella",
    "Portuguese": "o a os as de do da dos das e que em um uma para com não por mais se como mas foi ao ele ela seu sua "
    "ou quando muito nos já está também só pelo pela até isso entre depois sem mesmo são na no",
    "Dutch": "de het een en van in is dat op te zijn met voor niet aan er om dan maar ook als bij nog uit door over "
    "naar heeft hij ze wordt werd deze die was wat kan geen of tot je ik wij haar hun",
}
LANGUAGES = tuple(_WORDS)
_FUNCTION_WORDS = {language: frozenset(words.split()) for language, words in _WORDS.items()}
# The first script that has most of the letters; Han with kana is Japanese.
_SCRIPTS = {
    "Japanese": r"[\p{Hiragana}\p{Katakana}]",
    "Chinese": r"\p{Han}",
    "Korean": r"\p{Hangul}",
    "Cyrillic script": r"\p{Cyrillic}",
    "Greek": r"\p{Greek}",
    "Arabic script": r"\p{Arabic}",
    "Hebrew": r"\p{Hebrew}",
    "Devanagari script": r"\p{Devanagari}",
    "Thai": r"\p{Thai}",
}
_LETTER = regex.compile(r"\p{L}")
_LATIN = regex.compile(r"\p{Latin}")
_IN_SCRIPT = {name: regex.compile(pattern) for name, pattern in _SCRIPTS.items()}


def language(text: str) -> str | None:
    """The language or script of a text; undecided where no language has most function words, or has fewer than two."""
    letters = len(_LETTER.findall(text))
    if 2 * len(_LATIN.findall(text)) < letters:
        return _script(text, letters)
    words = [word.lower() for word in split(text)]
    counts = Counter({name: sum(word in known for word in words) for name, known in _FUNCTION_WORDS.items()})
    (first, most), (_, second) = counts.most_common(2)
    return first if most >= FEWEST and most > second else None


def _script(text: str, letters: int) -> str | None:
    counts = {name: len(pattern.findall(text)) for name, pattern in _IN_SCRIPT.items()}
    if counts["Japanese"]:  # written with Han signs too
        counts["Japanese"] += counts.pop("Chinese")
    name, most = max(counts.items(), key=lambda item: item[1])
    return name if 2 * most > letters else None
